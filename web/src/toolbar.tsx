// SPDX-License-Identifier: Apache-2.0
// What can be done with the conversations that are chosen; the same buttons over the list and over an open conversation.

import { signal } from '@preact/signals';
import { archive, isFlagged, isUnread, junk, markRead, moveInto, remove, targets, toggleFlag } from './actions';
import { Dialog } from './dialog';
import { nameOf } from './folders';
import { t } from './i18n';
import { Icon, type IconName } from './icons';
import { mailbox, mailboxes, refresh, rows, selectAll, selection, total } from './store';
import { tellError } from './toast';

const isMoving = signal(false);

export function IconButton({ icon, name, act, filled }: { icon: IconName; name: string; act: () => void; filled?: boolean }) {
	return (
		<button type="button" class="icon" aria-label={name} title={name} onClick={act}>
			<Icon name={icon} filled={filled ?? false} />
		</button>
	);
}

export function Deeds() {
	const list = targets();
	const unread = list.some(isUnread);
	const role = mailbox.value?.role;
	return (
		<>
			{role !== 'archive' && <IconButton icon="archive" name={t().toArchive} act={() => void archive()} />}
			<IconButton icon="trash" name={role === 'trash' ? t().destroy : t().toTrash} act={() => void remove()} />
			<IconButton icon="junk" name={role === 'junk' ? t().notJunk : t().toJunk} act={() => void junk()} />
			<IconButton icon={unread ? 'read' : 'mail'} name={unread ? t().markRead : t().markUnread} act={() => void markRead(unread)} />
			<IconButton icon="flag" name={list.some(isFlagged) ? t().unflag : t().flag} act={() => void toggleFlag()} />
			<IconButton icon="move" name={t().move} act={() => (isMoving.value = true)} />
		</>
	);
}

export function askMove(): void {
	if (targets().length) isMoving.value = true;
}

export function MoveDialog() {
	if (!isMoving.value) return null;
	const close = () => (isMoving.value = false);
	return (
		<Dialog title={t().moveTo} onClose={close}>
			<ul class="choices">
				{mailboxes.value
					.filter((m) => m.id !== mailbox.value?.id)
					.map((m) => (
						<li key={m.id}>
							<button
								type="button"
								onClick={() => {
									close();
									void moveInto(m);
								}}
							>
								{nameOf(m)}
							</button>
						</li>
					))}
			</ul>
		</Dialog>
	);
}

export function ListBar() {
	const n = selection.value.size;
	const all = n > 0 && n >= rows.value.size;
	return (
		<div class="bar" role="toolbar" aria-label={t().mails}>
			<label class="tick">
				<input type="checkbox" aria-label={t().selectAll} checked={all} indeterminate={n > 0 && !all} onChange={(e) => selectAll(e.currentTarget.checked)} />
			</label>
			{n > 0 ? (
				<>
					<span class="bar-text">{t().selected(n)}</span>
					<Deeds />
				</>
			) : (
				<>
					<span class="bar-text">{total.value === null ? t().loading : t().total(total.value)}</span>
					<IconButton icon="refresh" name={t().refresh} act={() => void refresh().catch(tellError)} />
				</>
			)}
		</div>
	);
}
