// SPDX-License-Identifier: Apache-2.0
// What is typed into the search field, as a filter of JMAP (RFC 8621 §4.4.1). All words must fit; -word must not; "two words" are one.
//
//	from: to: cc: subject: body:   text in that place          has:attachment
//	is:unread read flagged         keywords                    in:inbox, in:"My folder"
//	before: after: on:             2026-11-23 or 2026/11/23    larger: smaller:  10k 5M

import type { Condition, Filter, Id, Mailbox } from './types';

interface Term {
	key: string;
	value: string;
	isNot: boolean;
}

const pattern = /(-?)(?:([a-z]+)[:：])?(?:"([^"]*)"?|(\S+))/giu;

export function terms(line: string): Term[] {
	return [...line.matchAll(pattern)].map((m) => ({ key: (m[2] ?? '').toLowerCase(), value: m[3] ?? m[4] ?? '', isNot: m[1] === '-' })).filter((t) => t.value);
}

/** 10k, 5M, 1.5 MB → octets. */
export function octets(text: string): number | null {
	const m = /^(\d+(?:\.\d+)?)\s*([kmg]?)i?b?$/i.exec(text);
	if (!m) return null;
	const power = ['', 'k', 'm', 'g'].indexOf(m[2]!.toLowerCase());
	return Math.round(Number(m[1]) * 1024 ** power);
}

/** Midnight, here, of a day; `later` days after it. */
export function day(text: string, later = 0): string | null {
	const m = /^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})$/.exec(text);
	if (!m) return null;
	const date = new Date(Number(m[1]), Number(m[2]) - 1, Number(m[3]) + later);
	return Number.isNaN(date.getTime()) ? null : date.toISOString().replace(/\.\d+Z$/, 'Z');
}

const states: Record<string, Condition> = {
	unread: { notKeyword: '$seen' },
	read: { hasKeyword: '$seen' },
	flagged: { hasKeyword: '$flagged' },
	starred: { hasKeyword: '$flagged' },
	answered: { hasKeyword: '$answered' },
	draft: { hasKeyword: '$draft' },
};

function folder(name: string, mailboxes: Mailbox[]): Id | null {
	const wanted = name.toLowerCase();
	const found = mailboxes.find((m) => m.role === wanted) ?? mailboxes.find((m) => m.name.toLowerCase() === wanted);
	return found?.id ?? null;
}

type Word = (value: string, mailboxes: Mailbox[]) => Condition | null;

const words: Record<string, Word> = {
	from: (from) => ({ from }),
	to: (to) => ({ to }),
	cc: (cc) => ({ cc }),
	bcc: (bcc) => ({ bcc }),
	subject: (subject) => ({ subject }),
	body: (body) => ({ body }),
	has: (value) => (/^attachments?$/i.test(value) ? { hasAttachment: true } : null),
	is: (value) => states[value.toLowerCase()] ?? null,
	in: (value, mailboxes) => {
		const id = folder(value, mailboxes);
		return id === null ? null : { inMailbox: id };
	},
	before: (value) => known('before', day(value)),
	after: (value) => known('after', day(value)),
	on: (value) => {
		const [after, before] = [day(value), day(value, 1)];
		return after && before ? { after, before } : null;
	},
	larger: (value) => known('minSize', octets(value)),
	smaller: (value) => known('maxSize', octets(value)),
};

function known<K extends keyof Condition>(name: K, value: Condition[K] | null): Condition | null {
	return value === null ? null : ({ [name]: value } as Condition);
}

/** A word that means nothing here (`re:`, a URL, a folder that is not) is text like any other. */
function condition(term: Term, mailboxes: Mailbox[]): Condition {
	const found = Object.hasOwn(words, term.key) ? words[term.key]!(term.value, mailboxes) : null;
	return found ?? { text: term.key ? `${term.key}:${term.value}` : term.value };
}

/** Junk and trash are left out, unless the search says where. */
export function filterOf(line: string, mailboxes: Mailbox[]): Filter {
	const all = terms(line);
	const conditions = all.map((term): Filter => {
		const c = condition(term, mailboxes);
		return term.isNot ? { operator: 'NOT', conditions: [c] } : c;
	});
	const elsewhere = mailboxes.filter((m) => m.role === 'junk' || m.role === 'trash').map((m) => m.id);
	if (elsewhere.length && !all.some((t) => t.key === 'in' && folder(t.value, mailboxes))) conditions.push({ inMailboxOtherThan: elsewhere });
	return conditions.length === 1 ? conditions[0]! : { operator: 'AND', conditions };
}

/** Whether SearchSnippet/get has anything to mark. */
export function hasText(line: string): boolean {
	return terms(line).some((t) => !t.isNot && !['has', 'is', 'in', 'before', 'after', 'on', 'larger', 'smaller'].includes(t.key));
}
