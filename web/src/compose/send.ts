// SPDX-License-Identifier: Apache-2.0
// From a draft to the queue. It goes there at once, held for a few seconds or until a moment (FUTURERELEASE, RFC 4865, by RFC 8621 §7), so that closing the
// page loses nothing; "Undo" asks the queue to drop it while it is held.

import { locale, t } from '../i18n';
import { call } from '../jmap';
import { byRole, holdMost_s, loadIdentities, refresh } from '../store';
import { full, utc } from '../time';
import { hush, tell, tellError } from '../toast';
import type { Address, Id, Patch, SetError } from '../types';
import type { Draft } from './draft';
import { editDraft } from './open';

const undoSeconds = 10; // for so long it is held, that the writer may think again; less where the station holds less
const looks = [1, 3, 10, 30, 120, 300]; // seconds after the hold, at which the queue is asked what became of it

const unknown: SetError = { type: 'serverFail' };

/** What the station says of a mail that it does not take. */
function reason(error: SetError): string {
	switch (error.type) {
		case 'invalidRecipients':
			return t().refusedRecipients((error.invalidRecipients ?? []).join(', '));
		case 'forbiddenFrom':
		case 'forbiddenMailFrom':
			return t().forbiddenFrom;
		case 'noRecipients':
			return t().noRecipient;
		case 'tooManyRecipients':
			return t().tooManyRecipients;
		case 'tooLarge':
			return t().tooLarge;
		case 'overQuota':
			return t().fullBox;
		default:
			return `${t().refused} ${error.description ?? ''}`.trim();
	}
}

export const holdSeconds = (): number => Math.min(undoSeconds, holdMost_s.value);

/** A station that holds nothing does not know the parameters either. */
function held(at: Date | null): Record<string, string> | null {
	if (at) return { HOLDUNTIL: utc(at) };
	return holdSeconds() > 0 ? { HOLDFOR: String(holdSeconds()) } : null;
}

function envelope(draft: Draft, at: Date | null): Patch {
	const everybody: Address[] = [...draft.to.value, ...draft.cc.value, ...draft.bcc.value];
	const emails = [...new Set(everybody.map((a) => a.email))];
	return {
		mailFrom: { email: draft.identity.value?.email, parameters: held(at) },
		rcptTo: emails.map((email) => ({ email, parameters: null })),
	};
}

/** Out of the drafts, into what was sent. */
function filed(isSent: boolean): Patch {
	const folder = byRole(isSent ? 'sent' : 'drafts');
	return { ...(folder ? { mailboxIds: { [folder.id]: true } } : {}), 'keywords/$draft': isSent ? null : true };
}

/** True: it is in the queue's hands. False: it is not, the writer was told why, and the draft is as it was. */
export async function send(draft: Draft, at: Date | null): Promise<boolean> {
	try {
		await draft.hold();
		if (!draft.identity.value) await loadIdentities();
		const refusal = await handIn(draft, at);
		if (refusal === null) return true;
		tell({ text: reason(refusal), stays_ms: 15_000 });
	} catch (error) {
		tellError(error);
	}
	draft.release();
	return false;
}

/**
 * Made and submitted in one request; null: it was taken. Then the mail is in the folder of what was sent and never the draft's version, which every save
 * destroys; only where it was not taken is it the draft now.
 */
async function handIn(draft: Draft, at: Date | null): Promise<SetError | null> {
	const email = call('Email/set', { create: { m: draft.toEmail() } });
	const submission = call('EmailSubmission/set', {
		create: { s: { emailId: '#m', identityId: draft.identity.value?.id, envelope: envelope(draft, at) } },
		onSuccessUpdateEmail: { '#s': filed(true) },
	});
	const made = await email.answer;
	const emailId = made.created?.['m']?.id;
	if (emailId === undefined) return made.notCreated?.['m'] ?? unknown;
	const handed = await submission.answer;
	const id = handed.created?.['s']?.id;
	const replaced = draft.replaceBy(id === undefined ? emailId : null);
	if (id === undefined) {
		await replaced;
		return handed.notCreated?.['s'] ?? unknown;
	}
	sent(draft, id, emailId, at);
	return null;
}

function sent(draft: Draft, id: Id, emailId: Id, at: Date | null): void {
	const { marks } = draft.start;
	if (marks) call('Email/set', { update: { [marks.emailId]: { [`keywords/${marks.keyword}`]: true } } });
	refresh().catch(() => undefined);
	const text = at ? t().scheduled(full(at.toISOString(), locale())) : t().sendingSoon;
	if (at || holdSeconds() > 0) tell({ text, undo: () => void cancel(id, emailId), stays_ms: (at ? undoSeconds : holdSeconds()) * 1000 });
	else tell({ text });
	if (!at) follow(id);
}

/** Drops it in the queue and brings the draft back. */
export async function cancel(id: Id, emailId: Id): Promise<void> {
	hush();
	try {
		const { updated } = await call('EmailSubmission/set', { update: { [id]: { undoStatus: 'canceled' } }, onSuccessUpdateEmail: { [id]: filed(false) } }).answer;
		if (!updated || !(id in updated)) return tell({ text: t().tooLate });
		tell({ text: t().sendCanceled });
		await Promise.all([refresh(), editDraft(emailId)]);
	} catch (error) {
		tellError(error);
	}
}

/** Says once what became of it: when all have it, or as soon as somebody has refused it. */
function follow(id: Id): void {
	const timers = looks.map((s) => window.setTimeout(() => void check().catch(() => undefined), (holdSeconds() + s) * 1000));
	const stop = () => timers.forEach((timer) => window.clearTimeout(timer));

	async function check(): Promise<void> {
		const submission = (await call('EmailSubmission/get', { ids: [id] }).answer).list[0];
		if (!submission || submission.undoStatus === 'canceled') return stop();
		const fates = Object.entries(submission.deliveryStatus ?? {});
		const failed = fates.filter(([, fate]) => fate.delivered === 'no').map(([email]) => email);
		if (failed.length) tell({ text: t().someFailed(failed.join(', ')), stays_ms: 20_000 });
		else if (fates.length && fates.every(([, fate]) => fate.delivered !== 'queued')) tell({ text: t().allDelivered });
		else return;
		stop();
	}
}
