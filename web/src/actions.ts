// SPDX-License-Identifier: Apache-2.0
// What is done with conversations. A deed is a set of patches with the set that takes it back: "Undo" sends the other one.

import { confirm } from './dialog';
import { t } from './i18n';
import { call, MethodError } from './jmap';
import { go, place } from './place';
import { byRole, cursor, mailbox, moveCursor, opened, refresh, rows, selection, type Member, type Row } from './store';
import { hush, tell, tellError } from './toast';
import { nameOf } from './folders';
import type { Id, Mailbox, Patch } from './types';

type Patches = Record<Id, Patch>;

const most = 500; // objects a call: within every server's maxObjectsInSet

/** What is chosen: the rows that are ticked, else the conversation that is open, else the one under the cursor. */
export function targets(): Row[] {
	if (selection.value.size) return [...selection.value.values()];
	const id = place.value.thread ?? cursor.value;
	const row = [...rows.value.values()].find((r) => r.email.threadId === id);
	if (row) return [row];
	const now = opened.value;
	return now && now.emails[0] && now.id === id ? [{ email: now.emails[0], members: now.emails }] : [];
}

/** The mails that a deed on a conversation means: those in the folder one stands in; in a search, those that were received. */
function meant(row: Row): Member[] {
	const here = place.value.mailbox;
	const own = ['sent', 'drafts', 'trash', 'junk'].map((role) => byRole(role)?.id);
	const found = here !== null ? row.members.filter((m) => m.mailboxIds[here]) : row.members.filter((m) => !Object.keys(m.mailboxIds).some((id) => own.includes(id)));
	return found.length ? found : row.members.filter((m) => m.id === row.email.id);
}

async function update(patches: Patches): Promise<void> {
	const all = Object.entries(patches);
	const answers = [];
	for (let at = 0; at < all.length; at += most) answers.push(call('Email/set', { update: Object.fromEntries(all.slice(at, at + most)) }).answer);
	void refresh().catch(() => undefined);
	const failed = (await Promise.all(answers)).some((a) => Object.keys(a.notUpdated ?? {}).length);
	if (failed) tellError(null);
}

async function perform(patches: Patches, inverse: Patches, text: string): Promise<void> {
	selection.value = new Map();
	try {
		await update(patches);
		tell({ text, undo: () => void takeBack(inverse) });
	} catch (error) {
		tellError(error);
	}
}

async function takeBack(inverse: Patches): Promise<void> {
	hush();
	try {
		await update(inverse);
		tell({ text: t().undone });
	} catch (error) {
		tellError(error);
	}
}

// ── moving ──

/** What leaves the list takes the cursor to its neighbour and closes the conversation. */
function leave(list: Row[]): void {
	const here = list.some((row) => row.email.threadId === cursor.value);
	if (here && !moveCursor(1)) moveCursor(-1);
	if (list.some((row) => row.email.threadId === place.value.thread)) go({ thread: null });
}

export async function move(list: Row[], to: Mailbox | undefined, text: string): Promise<void> {
	if (!to || list.length === 0) return;
	const mails = list.flatMap(meant);
	const patches = Object.fromEntries(mails.map((m) => [m.id, { mailboxIds: { [to.id]: true } }]));
	const inverse = Object.fromEntries(mails.map((m) => [m.id, { mailboxIds: m.mailboxIds }]));
	leave(list);
	await perform(patches, inverse, text);
}

export function archive(list = targets()): Promise<void> {
	return move(list, byRole('archive'), t().archived(list.length));
}

export function junk(list = targets()): Promise<void> {
	const isJunk = mailbox.value?.role === 'junk';
	const to = byRole(isJunk ? 'inbox' : 'junk');
	return move(list, to, isJunk && to ? t().moved(list.length, nameOf(to)) : t().junked(list.length));
}

export function moveInto(to: Mailbox, list = targets()): Promise<void> {
	return move(list, to, t().moved(list.length, nameOf(to)));
}

/** To the trash; from there, out of the world. */
export async function remove(list = targets()): Promise<void> {
	if (list.length === 0) return;
	if (mailbox.value?.role !== 'trash') return move(list, byRole('trash'), t().trashed(list.length));
	if (!(await confirm(t().askDestroy(list.length), t().destroy))) return;
	const ids = list.flatMap(meant).map((m) => m.id);
	leave(list);
	selection.value = new Map();
	try {
		let failed = false;
		for (let at = 0; at < ids.length; at += most) {
			const { notDestroyed } = await call('Email/set', { destroy: ids.slice(at, at + most) }).answer;
			failed ||= Object.keys(notDestroyed ?? {}).length > 0;
		}
		if (failed) tellError(null);
		else tell({ text: t().destroyed(list.length) });
		await refresh();
	} catch (error) {
		tellError(error);
	}
}

/** Page by page: what comes in meanwhile goes too, and what cannot go ends it. */
export async function emptyFolder(box: Mailbox): Promise<void> {
	if (!(await confirm(t().askEmptyFolder(nameOf(box)), t().destroy))) return;
	selection.value = new Map();
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

export function isUnread(row: Row): boolean {
	return row.members.some((m) => !m.keywords['$seen'] && !m.keywords['$draft']);
}

export function isFlagged(row: Row): boolean {
	return row.members.some((m) => m.keywords['$flagged']);
}

function keyword(list: Row[], name: string, on: boolean): Promise<void> {
	const mails = list.flatMap((row) => (on && name === '$flagged' ? [row.email] : row.members)).filter((m) => Boolean(m.keywords[name]) !== on);
	const patch = (is: boolean) => Object.fromEntries(mails.map((m) => [m.id, { [`keywords/${name}`]: is ? true : null }]));
	return mails.length ? perform(patch(on), patch(!on), t().marked(list.length)) : Promise.resolve();
}

export function markRead(read: boolean, list = targets()): Promise<void> {
	return keyword(list, '$seen', read);
}

export function toggleFlag(list = targets()): Promise<void> {
	return keyword(list, '$flagged', !list.some(isFlagged));
}

/** By reading, without a word about it. */
export async function seen(ids: Id[]): Promise<void> {
	if (ids.length) await update(Object.fromEntries(ids.map((id) => [id, { 'keywords/$seen': true }])));
}
