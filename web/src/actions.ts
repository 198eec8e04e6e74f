// SPDX-License-Identifier: Apache-2.0
// What is done with conversations. A deed is a set of patches with the set that takes it back: "Undo" sends the other one.

import { confirm } from './dialog';
import { t } from './i18n';
import { call, MethodError } from './jmap';
import { go, place } from './place';
import { withProgress } from './progress';
import { byRole, choose, cursor, isEverything, lookMost, lookUp, mailbox, moveCursor, opened, refresh, rows, selection, total, type Member, type Row } from './store';
import { hush, tell, tellError } from './toast';
import { nameOf } from './folders';
import type { Id, Mailbox, Patch } from './types';

type Patches = Record<Id, Patch>;

/** A conversation that something is done with: of one that is not in sight no more is known. */
type Target = Pick<Row, 'members'> & { email: Member };

const most = 200; // objects a call: within every server's maxObjectsInSet, and quick enough to be stopped between two

/** What is chosen: the rows that are ticked, else the conversation that is open, else the one under the cursor. */
export function targets(): Row[] {
	if (selection.value.size) return [...selection.value.values()];
	const id = place.value.thread ?? cursor.value;
	const row = [...rows.value.values()].find((r) => r.email.threadId === id);
	if (row) return [row];
	const now = opened.value;
	return now && now.emails[0] && now.id === id ? [{ email: now.emails[0], members: now.emails }] : [];
}

/** …and where everything is chosen, also what was never in sight: it is looked up first, since doing it moves what is left. Null: stopped. */
async function chosen(): Promise<Target[] | null> {
	if (!isEverything.value) return targets();
	const all = total.value ?? 0;
	const found = new Map<Id, Target>(); // mail that comes meanwhile shifts the pages, and makes some come twice
	return withProgress(t().lookingUp, all, async (progress) => {
		for (let at = 0; !progress.isStopped; at += lookMost) {
			const part = await lookUp(at);
			for (const target of part) found.set(target.email.threadId, target);
			progress.tell(Math.min(found.size, all));
			if (part.length < lookMost) break;
		}
		return progress.isStopped ? null : [...found.values()];
	});
}

/** The mails that a deed on a conversation means: those in the folder one stands in; in a search, those that were received. */
function meant(row: Target): Member[] {
	const here = place.value.mailbox;
	const own = ['sent', 'drafts', 'trash', 'junk'].map((role) => byRole(role)?.id);
	const found = here !== null ? row.members.filter((m) => m.mailboxIds[here]) : row.members.filter((m) => !Object.keys(m.mailboxIds).some((id) => own.includes(id)));
	return found.length ? found : row.members.filter((m) => m.id === row.email.id);
}

// ── doing ──

interface Outcome {
	done: Id[];
	all: number;
	isStopped: boolean;
	error: unknown; // of the request that ended it
}

/** Piece by piece, one after another; `change` answers with what could not be changed. Never fails: what was done before an error is to be told, and undone. */
function piecewise(words: string, ids: Id[], change: (part: Id[]) => Promise<Id[]>): Promise<Outcome> {
	return withProgress(words, ids.length, async (progress) => {
		const outcome: Outcome = { done: [], all: ids.length, isStopped: false, error: null };
		for (let at = 0; at < ids.length; at += most) {
			if ((outcome.isStopped = progress.isStopped)) break;
			const part = ids.slice(at, at + most);
			try {
				const failed = new Set(await change(part));
				outcome.done.push(...part.filter((id) => !failed.has(id)));
			} catch (error) {
				outcome.error = error;
				break;
			}
			progress.tell(at + part.length);
		}
		return outcome;
	});
}

function update(patches: Patches): Promise<Outcome> {
	return piecewise(t().changing, Object.keys(patches), async (part) => {
		const { notUpdated } = await call('Email/set', { update: Object.fromEntries(part.map((id) => [id, patches[id]!])) }).answer;
		return Object.keys(notUpdated ?? {});
	});
}

/** What came of it, in words: `text` only where all of it was done. */
function report({ done, all, isStopped, error }: Outcome, text: string, undo?: () => void): void {
	if (done.length === all) return tell({ text, ...(undo ? { undo } : {}) });
	if (!done.length && !isStopped) return tellError(error);
	tell({ text: isStopped ? t().stoppedAt(done.length, all) : t().onlyDone(done.length, all), ...(undo && done.length ? { undo } : {}) });
}

async function perform(patches: Patches, inverse: Patches, text: string): Promise<void> {
	choose(new Map());
	const outcome = await update(patches);
	report(outcome, text, () => void takeBack(Object.fromEntries(outcome.done.map((id) => [id, inverse[id]!]))));
	void refresh().catch(() => undefined);
}

async function takeBack(inverse: Patches): Promise<void> {
	hush();
	report(await update(inverse), t().undone);
	void refresh().catch(() => undefined);
}

/** A deed on what is given, else on what is chosen; nothing is done where that is nothing, or could not be looked up. */
async function withTargets(given: Target[] | undefined, act: (list: Target[]) => Promise<void>): Promise<void> {
	try {
		const list = given ?? (await chosen());
		if (list?.length) await act(list);
	} catch (error) {
		tellError(error);
	}
}

// ── moving ──

/** What leaves the list takes the cursor to its neighbour and closes the conversation. */
function leave(list: Target[]): void {
	const here = list.some((row) => row.email.threadId === cursor.value);
	if (here && !moveCursor(1)) moveCursor(-1);
	if (list.some((row) => row.email.threadId === place.value.thread)) go({ thread: null });
}

function move(given: Row[] | undefined, to: Mailbox | undefined, text: (n: number) => string): Promise<void> {
	return withTargets(given, async (list) => {
		if (!to) return;
		const mails = list.flatMap(meant);
		const patches = Object.fromEntries(mails.map((m) => [m.id, { mailboxIds: { [to.id]: true } }]));
		const inverse = Object.fromEntries(mails.map((m) => [m.id, { mailboxIds: m.mailboxIds }]));
		leave(list);
		await perform(patches, inverse, text(list.length));
	});
}

export function archive(list?: Row[]): Promise<void> {
	return move(list, byRole('archive'), t().archived);
}

export function junk(list?: Row[]): Promise<void> {
	const isJunk = mailbox.value?.role === 'junk';
	const to = byRole(isJunk ? 'inbox' : 'junk');
	return move(list, to, (n) => (isJunk && to ? t().moved(n, nameOf(to)) : t().junked(n)));
}

export function moveInto(to: Mailbox, list?: Row[]): Promise<void> {
	return move(list, to, (n) => t().moved(n, nameOf(to)));
}

/** To the trash; from there, out of the world. */
export function remove(given?: Row[]): Promise<void> {
	if (mailbox.value?.role !== 'trash') return move(given, byRole('trash'), t().trashed);
	return withTargets(given, async (list) => {
		if (!(await confirm(t().askDestroy(list.length), t().destroy))) return;
		leave(list);
		choose(new Map());
		const ids = list.flatMap(meant).map((m) => m.id);
		const outcome = await piecewise(t().changing, ids, async (part) => {
			const { notDestroyed } = await call('Email/set', { destroy: part }).answer;
			return Object.entries(notDestroyed ?? {}).flatMap(([id, e]) => (e.type === 'notFound' ? [] : [id])); // gone already is as good
		});
		report(outcome, t().destroyed(list.length));
		await refresh();
	});
}

/** Page by page: what comes in meanwhile goes too, and what cannot go ends it. */
export async function emptyFolder(box: Mailbox): Promise<void> {
	if (!(await confirm(t().askEmptyFolder(nameOf(box)), t().destroy))) return;
	choose(new Map());
	go({ thread: null });
	try {
		for (;;) {
			const { ids } = await call('Email/query', {
				filter: { inMailbox: box.id },
				sort: [{ property: 'receivedAt', isAscending: false }],
				collapseThreads: false,
				position: 0,
				limit: most,
				calculateTotal: false,
			}).answer;
			if (!ids.length) break;
			const { notDestroyed } = await call('Email/set', { destroy: ids }).answer;
			const failed = Object.values(notDestroyed ?? {}).some((e) => e.type !== 'notFound'); // gone already is as good
			if (failed) throw new MethodError('notDestroyed');
		}
		tell({ text: t().emptied(nameOf(box)) });
	} catch (error) {
		tellError(error);
	}
	await refresh().catch(() => undefined);
}

// ── flags ──

export function isUnread(row: Target): boolean {
	return row.members.some((m) => !m.keywords['$seen'] && !m.keywords['$draft']);
}

export function isFlagged(row: Target): boolean {
	return row.members.some((m) => m.keywords['$flagged']);
}

function keyword(given: Row[] | undefined, name: string, on: (list: Target[]) => boolean): Promise<void> {
	return withTargets(given, async (list) => {
		const is = on(list);
		const mails = list.flatMap((row) => (is && name === '$flagged' ? [row.email] : row.members)).filter((m) => Boolean(m.keywords[name]) !== is);
		const patch = (to: boolean) => Object.fromEntries(mails.map((m) => [m.id, { [`keywords/${name}`]: to ? true : null }]));
		if (mails.length) await perform(patch(is), patch(!is), t().marked(list.length));
	});
}

export function markRead(read: boolean, list?: Row[]): Promise<void> {
	return keyword(list, '$seen', () => read);
}

export function toggleFlag(list?: Row[]): Promise<void> {
	return keyword(list, '$flagged', (all) => !all.some(isFlagged));
}

/** By reading, without a word about it. */
export async function seen(ids: Id[]): Promise<void> {
	if (!ids.length) return;
	await call('Email/set', { update: Object.fromEntries(ids.map((id) => [id, { 'keywords/$seen': true }])) }).answer;
	void refresh().catch(() => undefined);
}
