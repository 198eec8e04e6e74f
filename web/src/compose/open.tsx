// SPDX-License-Identifier: Apache-2.0
// The ways to begin writing. The composer itself comes as a chunk of its own, when it is first wanted.

import { signal } from '@preact/signals';
import type { FunctionComponent } from 'preact';
import { format, same, shortName } from '../address';
import { locale, t } from '../i18n';
import { download, upload } from '../jmap';
import { escapeHtml, fetchLetter, htmlOf, textOf } from '../letter';
import { forwardSubject, quote, recipients, replySubject, threading } from '../reply';
import { identityAs, opened, ownAddresses } from '../store';
import { settings } from '../settings';
import { full } from '../time';
import { tell, tellError } from '../toast';
import type { Address, Email, Id } from '../types';
import type { Start } from './draft';
import { footOf } from './signature';

export const composing = signal<{ start: Start; key: number } | null>(null);

const composer = signal<FunctionComponent<{ start: Start; close: () => void }> | null>(null);
let key = 0;

export function write(start: Start): void {
	const foot = footOf(start);
	composing.value = { start: { ...start, ...signed(start), ...(foot === undefined ? {} : { foot }) }, key: key++ };
	import('./composer').then((m) => (composer.value = m.Composer), tellError);
}

export function Composers() {
	const Composer = composer.value;
	const now = composing.value;
	return Composer && now && <Composer key={now.key} start={now.start} close={() => composing.value?.key === now.key && (composing.value = null)} />;
}

/** A text that has only one of its two forms gets the other; and the signature stands where signature.ts has it. */
export function signed(start: Start): Pick<Start, 'text' | 'html'> {
	const signature = start.savedAs ? '' : identityAs(start.from)?.textSignature;
	if (signature && start.marks) return { text: `\n\n${signature}${start.text}`, html: `<div><br></div><div><br></div>${toHtml(signature)}${start.html}` };
	const text = start.text ?? (signature && !start.html ? `\n\n-- \n${signature}` : '');
	return { text, html: start.html ?? toHtml(text) };
}

export function toHtml(text: string): string {
	return text && text.split('\n').map((line) => `<div>${escapeHtml(line) || '<br>'}</div>`).join('');
}

// ── answering ──

/** Of the parts of a mail those that come along: all, or only the pictures that stand in its text. */
function partsOf(email: Email, all: boolean): NonNullable<Start['attachments']> {
	const html = htmlOf(email);
	return email.attachments.flatMap((p) => {
		const cid = p.cid && /^image\//.test(p.type) && html?.includes(`cid:${p.cid}`) ? p.cid : null;
		return p.blobId && (all || cid !== null) ? [{ name: p.name ?? t().unnamed, type: p.type, size: p.size, blobId: p.blobId, cid }] : [];
	});
}

/** The identity that the mail was written to. */
function identityFor(email: Email): { from?: string } {
	const all = [...(email.to ?? []), ...(email.cc ?? []), ...(email.from ?? [])];
	const own = ownAddresses.value.find((o) => all.some((a) => same(a.email, o)));
	return own ? { from: own } : {};
}

export function answer(email: Email, all: boolean): void {
	const people = recipients(email, ownAddresses.value, all);
	if (people.to.length + people.cc.length === 0) return tell({ text: t().nobodyToAnswer });
	const author = email.from?.[0];
	const line = t().wrote(full(email.sentAt ?? email.receivedAt, locale()), author ? shortName(author) : '');
	const html = htmlOf(email);
	write({
		...people,
		...threading(email),
		...identityFor(email),
		subject: replySubject(email.subject),
		text: `\n\n${line}\n${quote(textOf(email))}\n`,
		html: `<div><br></div><div><br></div><div>${escapeHtml(line)}</div><blockquote>${html ?? toHtml(textOf(email))}</blockquote>`,
		attachments: settings.value.writesHtml && html !== null ? partsOf(email, false) : [],
		marks: { emailId: email.id, keyword: '$answered' },
	});
}

export function forward(email: Email): void {
	const people = (list: Address[] | null) => (list ?? []).map(format).join(', ');
	const heads = [
		[t().from, people(email.from)],
		[t().date, full(email.sentAt ?? email.receivedAt, locale())],
		[t().subject, email.subject ?? ''],
		[t().to, people(email.to)],
		[t().cc, people(email.cc)],
	].filter(([, value]) => value);
	const head = `---------- ${t().forwardHead} ----------\n${heads.map(([name, value]) => `${name}: ${value}`).join('\n')}\n`;
	write({
		...identityFor(email),
		subject: forwardSubject(email.subject),
		text: `\n\n${head}\n${textOf(email)}`,
		html: `<div><br></div>${toHtml(head)}${htmlOf(email) ?? toHtml(textOf(email))}`,
		attachments: partsOf(email, true),
		marks: { emailId: email.id, keyword: '$forwarded' },
	});
}

/** Uploaded anew: the blob of a part goes with its mail, and every save, of this window or another, destroys the mail of the one before. */
async function ownPart(part: NonNullable<Start['attachments']>[number]): Promise<typeof part> {
	const { blobId } = await upload(await download(part.blobId, part.type), () => undefined);
	return { ...part, blobId };
}

export async function editDraft(id: Id): Promise<void> {
	try {
		const email = await fetchLetter(id);
		if (!email) return;
		const html = htmlOf(email);
		write({
			to: email.to ?? [],
			cc: email.cc ?? [],
			bcc: email.bcc ?? [],
			subject: email.subject ?? '',
			text: textOf(email),
			...(html === null ? {} : { html }),
			isHtml: html !== null,
			attachments: await Promise.all(partsOf(email, true).map(ownPart)),
			...(email.inReplyTo ? { inReplyTo: email.inReplyTo } : {}),
			...(email.references ? { references: email.references } : {}),
			...identityFor(email),
			savedAs: id,
		});
	} catch (error) {
		tellError(error);
	}
}

/** The last mail of the open conversation, by key. */
async function lastOpened(act: (email: Email) => void): Promise<void> {
	const last = opened.value?.emails.filter((e) => !e.keywords['$draft']).at(-1);
	if (!last) return;
	try {
		const email = await fetchLetter(last.id);
		if (email) act(email);
	} catch (error) {
		tellError(error);
	}
}

export const answerOpened = (all: boolean): Promise<void> => lastOpened((email) => answer(email, all));
export const forwardOpened = (): Promise<void> => lastOpened(forward);
