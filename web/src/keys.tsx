// SPDX-License-Identifier: Apache-2.0
// The keyboard: one table, from which the help dialog is made too. Single keys hold only where nobody is typing, and not while a dialog is open.

import { signal } from '@preact/signals';
import { archive, junk, markRead, remove, targets, toggleFlag } from './actions';
import { answerOpened, forwardOpened, write } from './compose/open';
import { Dialog } from './dialog';
import { t } from './i18n';
import type { Words } from './i18n/en';
import { open } from './list';
import { go, goBox, place } from './place';
import { settings } from './settings';
import { byRole, isEverything, moveCursor, rows, cursor, selectAll, selectEverything, selection, toggle } from './store';
import { undoToast } from './toast';
import { askMove } from './toolbar';

export const isHelpOpen = signal(false);

type Plain = { [K in keyof Words]: Words[K] extends string ? K : never }[keyof Words];

interface Key {
	keys: string[];
	words: Plain;
	act: () => void;
}

function cursorRow() {
	return [...rows.value.values()].find((r) => r.email.threadId === cursor.value);
}

/** With a conversation open, the next one is opened in its place. */
function step(by: number): void {
	const row = moveCursor(by);
	if (row && place.value.thread !== null) go({ thread: row.email.threadId });
}

function withCursor(act: (row: NonNullable<ReturnType<typeof cursorRow>>) => void): void {
	const row = cursorRow();
	if (row) act(row);
}

function box(role: string): void {
	const found = byRole(role);
	if (found) goBox(found.id);
}

/** All that was loaded; once more, all that the list has; once more, nothing. */
function pickAll(): void {
	const n = selection.value.size;
	if (isEverything.value) selectAll(false);
	else if (n > 0 && n >= rows.value.size) selectEverything();
	else selectAll(true);
}

const table: Key[] = [
	{ keys: ['j'], words: 'keyNext', act: () => step(1) },
	{ keys: ['k'], words: 'keyPrevious', act: () => step(-1) },
	{ keys: ['o', 'Enter'], words: 'keyOpen', act: () => withCursor(open) },
	{ keys: ['u', 'Escape'], words: 'keyBack', act: () => go({ thread: null }) },
	{ keys: ['x'], words: 'keySelect', act: () => withCursor(toggle) },
	{ keys: ['X'], words: 'keySelectAll', act: pickAll },
	{ keys: ['c'], words: 'compose', act: () => write({}) },
	{ keys: ['r'], words: 'reply', act: () => void answerOpened(false) },
	{ keys: ['a'], words: 'replyAll', act: () => void answerOpened(true) },
	{ keys: ['f'], words: 'forward', act: () => void forwardOpened() },
	{ keys: ['e'], words: 'toArchive', act: () => void archive() },
	{ keys: ['#', 'Delete'], words: 'toTrash', act: () => void remove() },
	{ keys: ['!'], words: 'toJunk', act: () => void junk() },
	{ keys: ['s'], words: 'keyFlag', act: () => void toggleFlag() },
	{ keys: ['I'], words: 'keyRead', act: () => void markRead(true) },
	{ keys: ['U'], words: 'keyUnread', act: () => void markRead(false) },
	{ keys: ['v'], words: 'move', act: () => targets().length && askMove() },
	{ keys: ['z'], words: 'undo', act: () => void undoToast() },
	{ keys: ['/'], words: 'keySearch', act: () => document.querySelector<HTMLInputElement>('input[type=search]')?.select() },
	{ keys: ['g i'], words: 'keyInbox', act: () => box('inbox') },
	{ keys: ['g s'], words: 'keySent', act: () => box('sent') },
	{ keys: ['g d'], words: 'keyDrafts', act: () => box('drafts') },
	{ keys: ['g a'], words: 'keyArchive', act: () => box('archive') },
	{ keys: ['g t'], words: 'keyTrash', act: () => box('trash') },
	{ keys: ['?'], words: 'keyHelp', act: () => (isHelpOpen.value = true) },
];

/** A control that has the focus keeps the keys that mean something to it. */
function isTaken(e: KeyboardEvent): boolean {
	const at = e.target instanceof HTMLElement ? e.target : null;
	if (!at || document.querySelector('dialog[open]')) return Boolean(at);
	if (at.isContentEditable || at.closest('.composer')) return true;
	if (at.matches('input:not([type=checkbox]), textarea, select')) return true;
	return e.key === 'Enter' && at.matches('a, button, summary, input');
}

let before = ''; // the first of two keys

function onKey(e: KeyboardEvent): void {
	if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || e.isComposing || isTaken(e)) return;
	if (!settings.value.hasKeys) return;
	const pair = `${before} ${e.key}`;
	const hit = table.find((k) => k.keys.includes(pair)) ?? table.find((k) => k.keys.includes(e.key));
	before = e.key === 'g' ? 'g' : '';
	if (!hit) return;
	e.preventDefault();
	hit.act();
}

export function watchKeys(): () => void {
	addEventListener('keydown', onKey);
	return () => removeEventListener('keydown', onKey);
}

export function KeysHelp() {
	if (!isHelpOpen.value) return null;
	const rowsOf = [...table.map((k) => [k.keys, t()[k.words]] as const), [['Ctrl+Enter'], t().keySend] as const];
	return (
		<Dialog title={t().keys} onClose={() => (isHelpOpen.value = false)}>
			<dl class="keys">
				{rowsOf.map(([keys, words]) => (
					<div key={words}>
						<dt>
							{keys.map((k) => (
								<kbd key={k}>{k}</kbd>
							))}
						</dt>
						<dd>{words}</dd>
					</div>
				))}
			</dl>
		</Dialog>
	);
}
