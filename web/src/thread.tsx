// SPDX-License-Identifier: Apache-2.0
// The reading pane: a conversation, its new mails unfolded, or at least its last one.

import { useEffect, useRef, useState } from 'preact/hooks';
import { seen } from './actions';
import { t } from './i18n';
import { go } from './place';
import { Message } from './read';
import { opened } from './store';
import { Deeds, IconButton } from './toolbar';
import type { Id } from './types';

export function Conversation() {
	const thread = opened.value;
	const [open, setOpen] = useState<ReadonlySet<Id>>(new Set());
	const heading = useRef<HTMLHeadingElement>(null);

	useEffect(() => {
		setOpen(new Set());
		heading.current?.focus({ preventScroll: true });
	}, [thread?.id]);
	useEffect(() => {
		if (!thread) return;
		const fresh = thread.emails.filter((e) => !e.keywords['$seen'] && !e.keywords['$draft']).map((e) => e.id);
		const last = thread.emails.filter((e) => !e.keywords['$draft']).at(-1) ?? thread.emails.at(-1);
		setOpen((before) => new Set([...before, ...fresh, ...(last && before.size === 0 ? [last.id] : [])]));
		seen(fresh).catch(() => undefined);
	}, [thread?.id, thread?.emails.length]); // so one that comes meanwhile unfolds too, and one that is marked as unread stays so

	if (!thread)
		return (
			<section class="pane is-empty" aria-label={t().conversation}>
				<p class="empty">{t().nothingOpen}</p>
			</section>
		);

	const toggle = (id: Id) => {
		const next = new Set(open);
		if (!next.delete(id)) next.add(id);
		setOpen(next);
	};
	return (
		<section class="pane" aria-label={t().conversation}>
			<div class="bar" role="toolbar" aria-label={t().conversation}>
				<IconButton icon="back" name={t().back} act={() => go({ thread: null })} />
				<Deeds />
			</div>
			<div class="thread">
				<h2 ref={heading} tabIndex={-1}>
					{thread.emails[0]?.subject || t().noSubject}
				</h2>
				{thread.emails.map((email) => (
					<Message key={email.id} email={email} isOpen={open.has(email.id)} toggle={() => toggle(email.id)} />
				))}
			</div>
		</section>
	);
}
