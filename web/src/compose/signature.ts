// SPDX-License-Identifier: Apache-2.0
// Where the signature stands in what is written. A new mail has it at its end, below the line "-- ". What answers or forwards has it between its text and the
// other's, without that line: all that stands below it counts as signature.
//
// When the writer takes another address, its signature takes the place of the one before; one that the writer has touched is the writer's own and stays.

import type { Start } from './draft';

/** At the line `at` so many are taken away, and these put there. */
export interface Splice {
	at: number;
	gone: number;
	lines: string[];
}

const divider = '-- ';

/** The line above which a signature stands; '': it stands at the end; undefined: this mail began without one. */
export function footOf(start: Start): string | undefined {
	if (start.marks) return start.text?.trimStart().split('\n', 1)[0];
	return start.savedAs !== undefined || start.text !== undefined || start.html !== undefined ? undefined : '';
}

const plain = (line: string | null): string | null => line?.replace(/\u00a0/g, ' ').trimEnd() ?? null;

/** Where those lines stand one below the other: below the divider, else in the one place where they do. */
function find(lines: (string | null)[], wanted: string[]): number {
	const isHere = (at: number) => wanted.every((line, n) => lines[at + n] === line);
	const places = lines.flatMap((_, at) => (isHere(at) ? [at] : []));
	return places.findLast((at) => lines[at - 1] === plain(divider)) ?? (places.length === 1 ? places[0]! : -1);
}

/** A line that is null is no text of the writer's, such as a quote. Null: nothing is to be changed. */
export function exchange(given: (string | null)[], before: string, after: string, foot: string | undefined): Splice | null {
	const lines = given.map(plain);
	const put = after ? after.split('\n') : [];
	const old = before.split('\n').map(plain) as string[];
	if (!before) return put.length ? insertion(lines, put, foot) : null;
	const at = find(lines, old);
	if (at < 0) return null;
	if (put.length) return { at, gone: old.length, lines: put };
	if (lines[at - 1] !== plain(divider)) return { at, gone: old.length + (lines[at + old.length] === '' ? 1 : 0), lines: [] };
	const above = lines[at - 2] === '' ? 2 : 1;
	return { at: at - above, gone: old.length + above, lines: [] };
}

function insertion(lines: (string | null)[], put: string[], foot: string | undefined): Splice | null {
	if (foot === undefined || lines.includes(plain(divider))) return null;
	if (!foot) return { at: lines.length, gone: 0, lines: ['', divider, ...put] };
	const at = lines.indexOf(plain(foot));
	return at < 0 ? null : { at, gone: 0, lines: [...put, ''] };
}
