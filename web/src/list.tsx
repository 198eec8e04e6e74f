// SPDX-License-Identifier: Apache-2.0
// The list of conversations: a grid of rows of one height, of which only those in sight are in the document, so a box of 100,000 is as quick as one of ten.
// One row is in the order of Tab (roving tabindex), with its tick and its flag; arrows and j/k go on to the next.

import { useEffect, useRef, useState } from 'preact/hooks';
import { shortName, same } from './address';
import { isFlagged, isUnread, toggleFlag } from './actions';
import { editDraft } from './compose/open';
import { locale, t } from './i18n';
import { Icon } from './icons';
import { go, place } from './place';
import { cursor, cursorIndex, isEverything, isOutgoing, mailbox, moveCursor, ownAddresses, rows, selection, isListLost, show, toggle, total, type Member, type Row } from './store';
import { brief, full } from './time';
import { Lost } from './toolbar';
import type { Address } from './types';

const rowHeight = 64; // px, as in style.css
const margin = 8; // rows above and below the sight

export function open(row: Row): void {
	cursor.value = row.email.threadId;
	if (mailbox.value?.role === 'drafts') void editDraft(row.email.id);
	else go({ thread: row.email.threadId });
}

/** What is only begun has no author yet: the word "Draft" stands for it. */
export const isDraft = (m: Member): boolean => Boolean(m.keywords['$draft']);

export function people(row: Row): string {
	const names = (list: Address[]) => {
		const each = list.map((a) => (ownAddresses.value.some((own) => same(own, a.email)) ? t().me : shortName(a)));
		return [...new Set(each)].slice(0, 3).join(', ');
	};
	if (isOutgoing.value) return t().toWhom(names(row.email.to ?? []));
	const written = row.members.filter((m) => !isDraft(m));
	if (!written.length) return '';
	const authors = [...written].sort((a, b) => a.receivedAt.localeCompare(b.receivedAt)).flatMap((m) => m.from ?? []);
	return names(authors) || t().noSender;
}

/** The snippet of the server marks what was found with <mark>, and is otherwise text that was escaped (RFC 8621 §5): taken apart here, never as HTML. */
function Marked({ html }: { html: string }) {
	const plain = (s: string) => s.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&quot;/g, '"').replace(/&#39;/g, "'").replace(/&amp;/g, '&');
	const parts = html.split(/<mark>(.*?)<\/mark>/s);
	return <>{parts.map((part, n) => (n % 2 ? <mark key={n}>{plain(part)}</mark> : plain(part)))}</>;
}

function Subject({ row }: { row: Row }) {
	const { email, snippet } = row;
	return (
		<span class="about">
			<span class="subject">{snippet?.subject ? <Marked html={snippet.subject} /> : email.subject || t().noSubject}</span>
			<span class="preview">{snippet?.preview ? <Marked html={snippet.preview} /> : email.preview}</span>
		</span>
	);
}

function ListRow({ row, index }: { row: Row; index: number }) {
	const { email, members } = row;
	const element = useRef<HTMLDivElement>(null);
	const isCursor = cursor.value === email.threadId || (cursorIndex.value < 0 && index === 0);
	const isTicked = isEverything.value || selection.value.has(email.threadId);
	const tab = isCursor ? 0 : -1;
	const hasDraft = !isOutgoing.value && members.some(isDraft);
	const number = members.filter((m) => !isDraft(m)).length;
	const name = [people(row), hasDraft && t().draft, email.subject || t().noSubject].filter(Boolean).join(', ');
	const received = members.reduce((last, m) => (m.receivedAt > last ? m.receivedAt : last), email.receivedAt);

	useEffect(() => {
		const focused = document.activeElement;
		if (cursor.value === email.threadId && (focused === document.body || focused?.closest('.rows'))) element.current?.focus({ preventScroll: true });
	}, [isCursor]);

	const classes = ['row', isUnread(row) && 'is-unread', isTicked && 'is-ticked', place.value.thread === email.threadId && 'is-open'].filter(Boolean).join(' ');
	return (
		<div
			ref={element}
			role="row"
			aria-rowindex={index + 1}
			aria-selected={isTicked}
			aria-label={[isUnread(row) && t().unread, name, isFlagged(row) && t().flagged, full(received, locale())].filter(Boolean).join(', ')}
			class={classes}
			tabIndex={tab}
			style={{ transform: `translateY(${index * rowHeight}px)` }}
			onFocus={() => (cursor.value = email.threadId)}
			onClick={() => open(row)}
		>
			<span role="gridcell" class="tick" onClick={(e) => e.stopPropagation()}>
				<input type="checkbox" aria-label={`${t().select}: ${name}`} tabIndex={tab} checked={isTicked} onChange={() => toggle(row)} />
			</span>
			<span role="gridcell" class="people">
				<span class="names">{people(row)}</span>
				{number > 1 && <span class="number" title={t().messages(number)}>{number}</span>}
				{hasDraft && <span class="draft">{t().draft}</span>}
			</span>
			<span role="gridcell" class="middle">
				<Subject row={row} />
			</span>
			<span role="gridcell" class="when">
				{members.some((m) => m.hasAttachment) && (
					<span title={t().hasAttachment}>
						<Icon name="attach" />
					</span>
				)}
				<time dateTime={received} title={full(received, locale())}>
					{brief(received, locale())}
				</time>
			</span>
			<span role="gridcell" class="star" onClick={(e) => e.stopPropagation()}>
				<button type="button" class="icon" tabIndex={tab} aria-pressed={isFlagged(row)} aria-label={`${t().flag}: ${name}`} title={t().flag} onClick={() => void toggleFlag([row])}>
					<Icon name="flag" filled={isFlagged(row)} />
				</button>
			</span>
		</div>
	);
}

function onKey(e: KeyboardEvent): void {
	const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 };
	const by = steps[e.key];
	if (by === undefined) return;
	e.preventDefault();
	moveCursor(by);
}

export function List({ retry }: { retry: () => void }) {
	const scroller = useRef<HTMLDivElement>(null);
	const [sight, setSight] = useState({ first: 0, last: 20 });
	const { mailbox: box, search } = place.value;

	function look(): void {
		const { scrollTop, clientHeight } = scroller.current!;
		const first = Math.max(Math.floor(scrollTop / rowHeight) - margin, 0);
		const last = Math.max(Math.min(Math.ceil((scrollTop + clientHeight) / rowHeight) + margin, (total.value ?? 1) - 1), 0);
		setSight({ first, last });
		if (total.value !== null) show(first, last);
	}

	useEffect(() => {
		scroller.current!.scrollTop = 0;
	}, [box, search]);
	useEffect(look, [total.value, rows.value]);
	useEffect(() => {
		const watch = new ResizeObserver(look);
		watch.observe(scroller.current!);
		return () => watch.disconnect();
	}, []);
	useEffect(() => {
		const element = scroller.current!;
		const top = cursorIndex.value * rowHeight;
		if (top < 0) return;
		if (top < element.scrollTop) element.scrollTop = top;
		else if (top + rowHeight > element.scrollTop + element.clientHeight) element.scrollTop = top + rowHeight - element.clientHeight;
	}, [cursorIndex.value]);

	const shown = [...rows.value].filter(([index]) => index >= sight.first && index <= sight.last).sort(([a], [b]) => a - b);
	return (
		<div ref={scroller} class="rows" onScroll={look} onKeyDown={onKey}>
			{isListLost.value ? (
				<Lost retry={retry} />
			) : total.value === 0 ? (
				<p class="empty">{search === null ? t().emptyList : t().nothingFound}</p>
			) : (
				<div role="grid" aria-label={t().mails} aria-rowcount={total.value ?? -1} aria-multiselectable="true" aria-busy={total.value === null} style={{ height: `${(total.value ?? 0) * rowHeight}px` }}>
					{shown.map(([index, row]) => (
						<ListRow key={row.email.threadId} row={row} index={index} />
					))}
				</div>
			)}
		</div>
	);
}
