// SPDX-License-Identifier: Apache-2.0
// Addresses as people write them, to and fro. Not the grammar of RFC 5322, which the server has, but what is typed or pasted into a line.

import { decode } from './links';
import type { Address } from './types';

/** Enough to tell an address from a word; whether it exists, the other side says. */
export function isAddress(text: string): boolean {
	return /^[^\s@<>,;"]+@[^\s@<>,;"]+$/.test(text);
}

export function same(a: string, b: string): boolean {
	return a.toLowerCase() === b.toLowerCase();
}

export function format(a: Address): string {
	if (!a.name) return a.email;
	const name = /[",;<>@]/.test(a.name) ? `"${a.name.replace(/["\\]/g, '\\$&')}"` : a.name;
	return `${name} <${a.email}>`;
}

/** Without what turns the direction of writing: <bdi> is left by a lone U+2066, and then the address would stand where the name was. */
export function straight(text: string): string {
	return text.replace(/[\u202a-\u202e\u2066-\u2069]/g, '');
}

/** A name that looks like an address is not believed: then it is the address itself. */
export function shortName(a: Address): string {
	const name = straight(a.name ?? '').trim();
	if (/[@＠﹫]/.test(name)) return a.email;
	return name || a.email.split('@')[0] || a.email;
}

/** At commas, semicolons and line ends, but not within quotes or angle brackets. */
function split(line: string): string[] {
	const parts: string[] = [];
	let part = '';
	let quoted = false;
	let angled = false;
	for (let i = 0; i < line.length; i++) {
		const c = line[i]!;
		if (quoted && c === '\\') {
			part += c + (line[++i] ?? '');
			continue;
		}
		if (c === '"') quoted = !quoted;
		else if (!quoted && c === '<') angled = true;
		else if (!quoted && c === '>') angled = false;
		if (!quoted && !angled && /[,;\n，；、]/.test(c)) {
			parts.push(part);
			part = '';
		} else part += c;
	}
	return [...parts, part].map((p) => p.trim()).filter(Boolean);
}

function parseOne(text: string): Address {
	const angle = /^(.*)<\s*([^<>]*?)\s*>$/s.exec(text);
	if (!angle) return { name: null, email: text };
	const name = angle[1]!.trim().replace(/^"(.*)"$/s, '$1').replace(/\\(.)/g, '$1');
	return { name: name || null, email: angle[2]! };
}

/** Whatever is no address comes back too, in `email`: the writer is to see and mend it. */
export function parse(line: string): Address[] {
	return split(line).map(parseOne);
}

/** Each address once, the first one's name wins. */
export function unique(list: Address[]): Address[] {
	return list.filter((a, index) => list.findIndex((b) => same(a.email, b.email)) === index);
}

/** mailto: (RFC 6068), as of List-Unsubscribe and of links in mails. */
export function parseMailto(url: string): { to: Address[]; cc: Address[]; subject: string; body: string } | null {
	if (!/^mailto:/i.test(url)) return null;
	const [path = '', query = ''] = url.slice('mailto:'.length).split('?', 2);
	const field = (name: string) => {
		const found = query.split('&').find((pair) => pair.toLowerCase().startsWith(`${name}=`));
		return found ? decode(found.slice(name.length + 1)) : '';
	};
	return {
		to: parse([decode(path), field('to')].filter(Boolean).join(',')),
		cc: parse(field('cc')),
		subject: field('subject'),
		body: field('body'),
	};
}
