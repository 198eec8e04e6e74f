// SPDX-License-Identifier: Apache-2.0
// What can be done with the conversations that are chosen; the same buttons over the list and over an open conversation.

import { signal } from '@preact/signals';
import { archive, emptyFolder, isFlagged, isUnread, junk, markRead, moveInto, remove, targets, toggleFlag } from './actions';
import { Dialog } from './dialog';
import { nameOf } from './folders';
import { t } from './i18n';
import { Icon, type IconName } from './icons';
import { isEverything, isListLost, mailbox, mailboxes, only, refresh, rows, selectAll, selectEverything, selection, total } from './store';
import { tellError } from './toast';

const isMoving = signal(false);

export function IconButton({ icon, name, act, filled }: { icon: IconName; name: string; act: () => void; filled?: boolean }) {
	return (
		<button type="button" class="icon" aria-label={name} title={name} onClick={act}>
			<Icon name={icon} filled={filled ?? false} />
		</button>
	);
}

/** In place of what could not be loaded. */
export function Lost({ retry }: { retry: () => void }) {
	return (
		<div class="empty" role="alert">
			<p>{t().lost}</p>
			<button type="button" onClick={retry}>
				{t().tryAgain}
			</button>
		</div>
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

/** What is thrown away, out of the world in one act. */
function EmptyFolder() {
	const box = mailbox.value;
	if (!box?.totalEmails || (box.role !== 'trash' && box.role !== 'junk')) return null;
	return (
		<button type="button" class="quiet" onClick={() => void emptyFolder(box)}>
			{t().emptyFolder(nameOf(box))}
		</button>
	);
}

function Filters() {
	const choices = [
		['all', t().onlyAll],
		['unread', t().onlyUnread],
		['flagged', t().onlyFlagged],
	] as const;
	return (
		<div class="filters" role="group" aria-label={t().show}>
			{choices.map(([which, name]) => (
				<button key={which} type="button" class="quiet" aria-pressed={only.value === which} onClick={() => (only.value = which)}>
					{name}
				</button>
			))}
		</div>
	);
}

/** When all rows that were loaded are ticked and the list has more: the way to those too. */
function Everything() {
	const all = total.value ?? 0;
	const box = only.value === 'all' ? mailbox.value : undefined;
	if (isEverything.value)
		return (
			<div class="everything">
				<span role="status">{box ? t().everythingIn(all, nameOf(box)) : t().everythingFound(all)}</span>
				<button type="button" class="quiet" onClick={() => selectAll(false)}>
					{t().selectNone}
				</button>
			</div>
		);
	return (
		<div class="everything">
			<span role="status">{t().onlyLoaded(selection.value.size)}</span>
			<button type="button" class="quiet" onClick={selectEverything}>
				{box ? t().selectAllIn(all, nameOf(box)) : t().selectAllFound(all)}
			</button>
		</div>
	);
}

export function ListBar() {
	const n = isEverything.value ? (total.value ?? 0) : selection.value.size;
	const all = n > 0 && n >= rows.value.size;
	return (
		<>
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
						<span class="bar-text">{total.value !== null ? t().total(total.value) : isListLost.value ? '' : t().loading}</span>
						<EmptyFolder />
						<IconButton icon="refresh" name={t().refresh} act={() => void refresh().catch(tellError)} />
					</>
				)}
			</div>
			{all && (total.value ?? 0) > rows.value.size && <Everything />}
			<Filters />
		</>
	);
}
