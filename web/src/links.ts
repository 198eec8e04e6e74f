// SPDX-License-Identifier: Apache-2.0
// Where links are in a text, and where a link really leads.

/** %41 → A; what is not encoded rightly, `otherwise`. */
export function decode(text: string, otherwise = text): string {
	try {
		return decodeURIComponent(text);
	} catch {
		return otherwise;
	}
}

export interface Piece {
	text: string;
	href?: string;
}

const link = /\b(?:https?:\/\/|www\.)[^\s<>"'（）。，、；“”‘’]+|\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+/giu;

/** What ends a sentence does not belong to the link; a closing bracket does if it was opened in it. */
function trim(found: string): string {
	let text = found;
	for (;;) {
		const last = text.at(-1);
		if (last === ')' && text.split('(').length >= text.split(')').length) return text;
		if (!last || !'.,:;!?)]}*_'.includes(last)) return text;
		text = text.slice(0, -1);
	}
}

export function pieces(line: string): Piece[] {
	const list: Piece[] = [];
	let at = 0;
	for (const match of line.matchAll(link)) {
		const text = trim(match[0]);
		if (match.index > at) list.push({ text: line.slice(at, match.index) });
		const href = text.includes('://') ? text : text.includes('@') ? `mailto:${text}` : `https://${text}`;
		list.push({ text, href });
		at = match.index + text.length;
	}
	if (at < line.length) list.push({ text: line.slice(at) });
	return list;
}

/** The host of a web address, in ASCII (so that a letter of another script that looks like ours shows as xn--). */
export function hostOf(href: string): string | null {
	try {
		const url = new URL(href);
		return /^https?:$/.test(url.protocol) ? url.hostname : null;
	} catch {
		return null;
	}
}

const invisible = /[\p{Cf}\u034f\u115f\u1160\u3164]/gu;
const named = /(https?:\/\/)?(?<![\p{L}\p{N}@._-])((?:[\p{L}\p{N}-]+\.)+(?:xn--[a-z0-9-]+|\p{L}{2,}))(?![\p{L}\p{N}-])(@?)/giu;
const isFile = /\.(?:pdf|docx?|xlsx?|pptx?|html?|txt|js|png|jpe?g|gif)$/i; // no top-level domain is called so

/** The hosts that a text names; not those of mail addresses, unless before them stands https://. */
function hostsIn(text: string): string[] {
	const plain = text.normalize('NFKC').replace(invisible, '').replace(/。/g, '.');
	return [...plain.matchAll(named)].filter(([, scheme, host, at]) => (scheme || !at) && !isFile.test(host!)).map((m) => m[2]!);
}

/** Does the text of a link claim a host that it does not lead to? Returns the true one, else null. */
export function disguised(text: string, href: string): string | null {
	const real = hostOf(href);
	if (!real) return null;
	const bare = (host: string) => host.toLowerCase().replace(/^www\./, '');
	const isTrue = (host: string) => {
		const claimed = bare(hostOf(`https://${host}`) ?? host);
		return claimed === bare(real) || bare(real).endsWith(`.${claimed}`);
	};
	// Where words have no blanks between them, a host in ASCII has letters around it.
	const isHonest = (host: string) => isTrue(host) || (host.match(/[a-z0-9.-]+/gi) ?? []).some(isTrue);
	return hostsIn(text).every(isHonest) ? null : real;
}
