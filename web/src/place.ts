// SPDX-License-Identifier: Apache-2.0
// Where the reader is. The address bar is the truth, so the back button (and a phone's back gesture) works:
//
//	#/box/MAILBOX[/THREAD]      #/search/WORDS[/THREAD]      #/compose/MAILTO

import { signal } from '@preact/signals';
import { decode } from './links';
import type { Id } from './types';

export interface Place {
	mailbox: Id | null;
	search: string | null;
	thread: Id | null;
}

export const place = signal<Place>({ mailbox: null, search: null, thread: null });

/** A mailto: link that was followed; whoever can write takes it from here. */
export const mailto = signal<string | null>(null);

function read(): void {
	const [, kind, what = '', thread] = location.hash.split('/').map((part) => decode(part, ''));
	if (kind === 'compose') {
		mailto.value = what;
		go({ mailbox: null, search: null, thread: null });
	} else if (kind === 'search' && what) place.value = { mailbox: null, search: what, thread: thread ?? null };
	else place.value = { mailbox: kind === 'box' && what ? what : null, search: null, thread: thread ?? null };
}

export function hashOf(to: Place): string {
	const thread = to.thread === null ? '' : `/${encodeURIComponent(to.thread)}`;
	if (to.search !== null) return `#/search/${encodeURIComponent(to.search)}${thread}`;
	return to.mailbox === null ? '#/' : `#/box/${encodeURIComponent(to.mailbox)}${thread}`;
}

export function go(to: Partial<Place>): void {
	location.hash = hashOf({ ...place.value, ...to });
}

export function goBox(mailbox: Id): void {
	go({ mailbox, search: null, thread: null });
}

export function watchPlace(): void {
	addEventListener('hashchange', read);
	read();
}
