// SPDX-License-Identifier: Apache-2.0
// What the page knows of the mailbox: folders, identities, the rows of the list that were loaded, the conversation that is open. Views read the signals;
// only this file and actions.ts write them, and always from answers of the server: nothing is guessed ahead.

import { computed, signal } from '@preact/signals';
import { same } from './address';
import { call, fetchHoldMost } from './jmap';
import { go, place } from './place';
import { filterOf, hasText } from './search';
import { tellError } from './toast';
import type { EmailSummary, Filter, Id, Identity, Mailbox, Snippet } from './types';

export type Member = Pick<EmailSummary, 'id' | 'threadId' | 'mailboxIds' | 'keywords' | 'from' | 'to' | 'receivedAt' | 'hasAttachment'>;

/** A conversation in the list: the mail that stands for it, and all its mails. */
export interface Row {
	email: EmailSummary;
	members: Member[];
	snippet?: Snippet;
}

export const page = 50; // rows asked for at once

export const mailboxes = signal<Mailbox[]>([]);
export const identities = signal<Identity[]>([]);
export const holdMost_s = signal(Infinity); // for so long the station holds what is to be sent later; 0: it does not
export const rows = signal<ReadonlyMap<number, Row>>(new Map());
export const total = signal<number | null>(null); // null: not yet known
export const isListLost = signal(false); // it could not be loaded
export const only = signal<'all' | 'unread' | 'flagged'>('all'); // of the list, the reader wants to see
export const cursor = signal<Id | null>(null); // a thread
export const selection = signal<ReadonlyMap<Id, Row>>(new Map()); // by thread
export const isEverything = signal(false); // all that the list has is chosen, also what was not loaded
export const opened = signal<{ id: Id; emails: EmailSummary[] } | null>(null);
export const changedTypes = signal<{ types: string[] }>({ types: [] }); // the last push

export const byRole = (role: string): Mailbox | undefined => mailboxes.value.find((m) => m.role === role);
export const ownAddresses = computed(() => identities.value.map((i) => i.email));
export const mailbox = computed(() => mailboxes.value.find((m) => m.id === place.value.mailbox));
/** In these folders it is the recipients that tell mails apart. */
export const isOutgoing = computed(() => mailbox.value?.role === 'sent' || mailbox.value?.role === 'drafts');

const memberProperties = ['id', 'threadId', 'mailboxIds', 'keywords', 'from', 'to', 'receivedAt', 'hasAttachment'];
const rowProperties = [...memberProperties, 'blobId', 'size', 'subject', 'preview'];

// ── folders ──

/** In the order in which they stand at the side. */
export const roles = ['inbox', 'drafts', 'sent', 'archive', 'junk', 'trash'] as const;

function rank(m: Mailbox): number {
	const at = roles.findIndex((r) => r === m.role);
	return at < 0 ? roles.length : at;
}

export async function loadMailboxes(): Promise<void> {
	const { list } = await call('Mailbox/get', { ids: null }).answer;
	mailboxes.value = asTree(list.sort((a, b) => rank(a) - rank(b) || a.sortOrder - b.sortOrder || a.name.localeCompare(b.name)));
}

/** Each folder below the one that it lies in. A folder of the inbox stands among those at the top: so Maildirs have them all. */
export function asTree(list: Mailbox[]): Mailbox[] {
	const inbox = list.find((m) => m.role === 'inbox')?.id;
	const isTop = (m: Mailbox) => m.parentId === null || m.parentId === inbox || !list.some((p) => p.id === m.parentId);
	const tree: Mailbox[] = [];
	const waiting = list.filter(isTop).reverse();
	for (let m = waiting.pop(); m; m = waiting.pop()) {
		tree.push(m);
		const { id } = m;
		if (id !== inbox) waiting.push(...list.filter((child) => child.parentId === id && !isTop(child)).reverse());
	}
	return tree;
}

export async function loadHoldMost(): Promise<void> {
	holdMost_s.value = await fetchHoldMost();
}

export async function loadIdentities(): Promise<void> {
	const { list } = await call('Identity/get', { ids: null }).answer;
	identities.value = list.sort((a, b) => Number(a.mayDelete) - Number(b.mayDelete)); // the login's own before those that it shares with a team
}

/** As whom one writes: under the address that is named, else under the login's own. */
export function identityAs(from?: string): Identity | undefined {
	return identities.value.find((i) => from !== undefined && same(i.email, from)) ?? identities.value.find((i) => !i.mayDelete) ?? identities.value[0];
}

// ── the list ──

function filter(): Filter | null {
	const { mailbox: id, search } = place.value;
	const of: Filter | null = search !== null ? filterOf(search, mailboxes.value) : id === null ? null : { inMailbox: id };
	if (of === null || only.value === 'all') return of;
	return { operator: 'AND', conditions: [of, only.value === 'unread' ? { notKeyword: '$seen' } : { hasKeyword: '$flagged' }] };
}

const newestFirst = { sort: [{ property: 'receivedAt', isAscending: false }] };

/** The whole conversation; where it is not known, the one mail that is. */
function membersOf<M extends Member>(email: M, known: Member[]): Member[] {
	const own = known.filter((m) => m.threadId === email.threadId);
	return own.length ? own : [email];
}

/** One page of rows, with the conversations behind them, in one request. */
async function fetchPage(of: Filter, position: number): Promise<{ rows: Row[]; total: number }> {
	const query = call('Email/query', {
		...newestFirst,
		filter: of,
		collapseThreads: true,
		position,
		limit: page,
		calculateTotal: true,
	});
	const emails = call('Email/get', { ids: query.ref('/ids'), properties: rowProperties });
	const threads = call('Thread/get', { ids: emails.ref('/list/*/threadId') });
	const members = call('Email/get', { ids: threads.ref('/list/*/emailIds'), properties: memberProperties });
	const { search } = place.value;
	const snippets = search !== null && hasText(search) ? call('SearchSnippet/get', { filter: of, emailIds: query.ref('/ids') }) : null;

	const { ids, total: all = 0 } = await query.answer;
	const found = new Map((await emails.answer).list.map((e) => [e.id, e]));
	const known: Member[] = await members.answer.then((m) => m.list, () => []); // too many of them: then without
	const marked = snippets ? await snippets.answer.then((s) => s.list, () => []) : [];
	const list = ids.flatMap((id): Row[] => {
		const email = found.get(id);
		if (!email) return [];
		const snippet = marked.find((s) => s.emailId === id);
		return [{ email, members: membersOf(email, known), ...(snippet ? { snippet } : {}) }];
	});
	return { rows: list, total: all };
}

const asked = new Set<number>(); // pages that were asked for since the list was begun
let visible = { first: 0, last: 0 };

/** The view tells what it shows; what is missing there is fetched. */
export function show(first: number, last: number): void {
	visible = { first, last };
	for (let at = Math.floor(first / page); at <= Math.floor(last / page); at++) if (!asked.has(at)) loadPage(at).catch(tellError);
}

async function loadPage(at: number): Promise<void> {
	const of = filter();
	const here = hereNow();
	if (!of) return;
	asked.add(at);
	try {
		const got = await fetchPage(of, at * page);
		if (!samePlace(here)) return;
		const next = new Map(rows.value);
		got.rows.forEach((row, index) => next.set(at * page + index, row));
		rows.value = next;
		total.value = got.total;
		isListLost.value = false;
	} catch (error) {
		if (!samePlace(here)) return;
		asked.delete(at);
		isListLost.value = total.value === null;
		throw error;
	}
}

function hereNow() {
	return { mailbox: place.value.mailbox, search: place.value.search, only: only.value };
}

function samePlace(here: ReturnType<typeof hereNow>): boolean {
	return here.mailbox === place.value.mailbox && here.search === place.value.search && here.only === only.value;
}

/** Another folder, another search, another choice of what to see: everything anew. */
export function beginList(): Promise<void> {
	asked.clear();
	rows.value = new Map();
	total.value = null;
	isListLost.value = false;
	cursor.value = null;
	choose(new Map());
	visible = { first: 0, last: 0 };
	return loadPage(0);
}

/** The pages in sight once more; the others are forgotten and come again when they are scrolled to. */
async function reloadList(): Promise<void> {
	const of = filter();
	const here = hereNow();
	if (!of) return;
	const pages: number[] = [];
	for (let at = Math.floor(visible.first / page); at <= Math.floor(visible.last / page); at++) pages.push(at);
	const got = await Promise.all(pages.map((at) => fetchPage(of, at * page)));
	if (!samePlace(here)) return;
	const next = new Map<number, Row>();
	got.forEach((part, n) => part.rows.forEach((row, index) => next.set(pages[n]! * page + index, row)));
	asked.clear();
	pages.forEach((at) => asked.add(at));
	rows.value = next;
	total.value = got[0]?.total ?? 0;
	isListLost.value = false;
	selection.value = new Map([...selection.value].map(([id, row]) => [id, [...next.values()].find((r) => r.email.threadId === id) ?? row]));
}

export const lookMost = 200; // conversations asked for at once, when all that the list has is looked up
const getMost = 500; // mails: within every server's maxObjectsInGet

/** Of conversations that nobody looks at, as much as a deed needs. */
export async function lookUp(position: number): Promise<{ email: Member; members: Member[] }[]> {
	const of = filter();
	if (!of) return [];
	const query = call('Email/query', { ...newestFirst, filter: of, collapseThreads: true, position, limit: lookMost, calculateTotal: false });
	const emails = call('Email/get', { ids: query.ref('/ids'), properties: memberProperties });
	const threads = call('Thread/get', { ids: emails.ref('/list/*/threadId') });
	const { list } = await emails.answer;
	const ids = (await threads.answer).list.flatMap((thread) => thread.emailIds);
	const known: Member[] = [];
	for (let at = 0; at < ids.length; at += getMost) known.push(...(await call('Email/get', { ids: ids.slice(at, at + getMost), properties: memberProperties }).answer).list);
	return list.map((email) => ({ email, members: membersOf(email, known) }));
}

let isRefreshing = false;
let again = false;

/** After every change, ours or another's. News that come while one is under way make one more, not many. */
export async function refresh(): Promise<void> {
	if (isRefreshing) {
		again = true;
		return;
	}
	isRefreshing = true;
	try {
		do {
			again = false;
			await Promise.all([loadMailboxes(), reloadList(), loadThread()]);
		} while (again);
	} finally {
		isRefreshing = false;
	}
}

// ── the open conversation ──

export async function loadThread(): Promise<void> {
	const id = place.value.thread;
	if (id === null) {
		opened.value = null;
		return;
	}
	const thread = call('Thread/get', { ids: [id] });
	const emails = call('Email/get', { ids: thread.ref('/list/*/emailIds'), properties: rowProperties });
	const [{ list: threads }, { list }] = await Promise.all([thread.answer, emails.answer]);
	if (place.value.thread !== id) return;
	if (threads.length === 0) {
		opened.value = null;
		go({ thread: null });
		return;
	}
	opened.value = { id, emails: withoutTrash(list).sort((a, b) => a.receivedAt.localeCompare(b.receivedAt)) };
}

/** What was thrown away is not shown between what was kept, except to somebody who stands in that folder. */
function withoutTrash(list: EmailSummary[]): EmailSummary[] {
	const hidden = ['trash', 'junk'].map((role) => byRole(role)?.id).filter((id) => id !== undefined && id !== place.value.mailbox) as Id[];
	const left = list.filter((e) => !Object.keys(e.mailboxIds).every((id) => hidden.includes(id)));
	return left.length ? left : list;
}

// ── cursor and selection ──

export const cursorIndex = computed(() => {
	for (const [index, row] of rows.value) if (row.email.threadId === cursor.value) return index;
	return -1;
});

export function moveCursor(by: number): Row | undefined {
	const now = cursorIndex.value;
	const next = now < 0 ? 0 : Math.min(Math.max(now + by, 0), (total.value ?? 1) - 1);
	const row = rows.value.get(next);
	if (row) cursor.value = row.email.threadId;
	return row;
}

export function choose(which: ReadonlyMap<Id, Row>): void {
	selection.value = which;
	isEverything.value = false;
}

const loaded = (): Map<Id, Row> => new Map([...rows.value.values()].map((row) => [row.email.threadId, row]));

/** One that is taken out of everything leaves those that were loaded. */
export function toggle(row: Row): void {
	const next = isEverything.value ? loaded() : new Map(selection.value);
	if (!next.delete(row.email.threadId)) next.set(row.email.threadId, row);
	choose(next);
}

export function selectAll(all: boolean): void {
	choose(all ? loaded() : new Map());
}

/** Beyond what is loaded. */
export function selectEverything(): void {
	selectAll(true);
	isEverything.value = true;
}
