// SPDX-License-Identifier: Apache-2.0
// The folders at the side, with what is unread in each.

import { signal } from '@preact/signals';
import { confirm, prompt } from './dialog';
import { t } from './i18n';
import { Icon, type IconName } from './icons';
import { call } from './jmap';
import { goBox, hashOf, place } from './place';
import { byRole, loadMailboxes, mailbox, mailboxes, roles } from './store';
import { tell, tellError } from './toast';
import type { Mailbox, Methods } from './types';

export const isMenuOpen = signal(false); // on a narrow screen, where the folders lie over the list

const icons: Record<string, IconName> = { inbox: 'inbox', drafts: 'compose', sent: 'send', archive: 'archive', junk: 'junk', trash: 'trash' };

/** A folder that has a role is called in the reader's language. */
export function nameOf(m: Mailbox): string {
	const role = roles.find((r) => r === m.role);
	return role ? t()[role] : m.name;
}

function depth(m: Mailbox): number {
	const parent = mailboxes.value.find((p) => p.id === m.parentId);
	return parent && parent.role !== 'inbox' ? Math.min(depth(parent) + 1, 4) : 0;
}

function Folder({ mailbox: m }: { mailbox: Mailbox }) {
	const isHere = place.value.mailbox === m.id;
	const shown = m.role === 'drafts' ? m.totalEmails : m.unreadEmails;
	return (
		<li>
			<a
				href={hashOf({ mailbox: m.id, search: null, thread: null })}
				aria-current={isHere ? 'page' : undefined}
				class={`folder depth-${depth(m)} ${m.unreadEmails && m.role !== 'drafts' ? 'has-unread' : ''}`}
				onClick={() => (isMenuOpen.value = false)}
			>
				<Icon name={icons[m.role ?? ''] ?? 'folder'} />
				<span class="name" title={nameOf(m)}>
					{nameOf(m)}
				</span>
				{shown > 0 && (
					<span class="count">
						{shown.toLocaleString()}
						{m.role !== 'drafts' && <span class="hidden"> {t().unread}</span>}
					</span>
				)}
			</a>
		</li>
	);
}

/** True when it was done; else the reader was told. */
async function change(order: Methods['Mailbox/set'][0]): Promise<boolean> {
	try {
		const { notCreated, notUpdated, notDestroyed } = await call('Mailbox/set', order).answer;
		const refused = Object.values({ ...notCreated, ...notUpdated, ...notDestroyed })[0];
		if (refused) tell({ text: refused.type.startsWith('mailboxHas') ? t().folderNotEmpty : t().failed });
		await loadMailboxes();
		return !refused;
	} catch (error) {
		tellError(error);
		return false;
	}
}

async function makeFolder(): Promise<void> {
	const name = (await prompt(t().newFolder, t().folderName))?.trim();
	if (name) await change({ create: { f: { name, parentId: null } } });
}

async function renameFolder(m: Mailbox): Promise<void> {
	const name = (await prompt(t().renameFolder, t().folderName, m.name))?.trim();
	if (name && name !== m.name) await change({ update: { [m.id]: { name } } });
}

/** One with mails in it stays: what is thrown away with a folder could not be taken back. */
async function removeFolder(m: Mailbox): Promise<void> {
	if (!(await confirm(t().askRemoveFolder(m.name), t().removeFolder))) return;
	const inbox = byRole('inbox');
	if ((await change({ destroy: [m.id] })) && inbox) goBox(inbox.id);
}

export function Folders() {
	const own = mailbox.value?.role === null ? mailbox.value : undefined;
	return (
		<nav id="folders" class={isMenuOpen.value ? 'folders is-open' : 'folders'} aria-label={t().folders}>
			<ul>
				{mailboxes.value.map((m) => (
					<Folder key={m.id} mailbox={m} />
				))}
			</ul>
			<button type="button" class="quiet" onClick={() => void makeFolder()}>
				{t().newFolder}
			</button>
			{own && (
				<>
					<button type="button" class="quiet" onClick={() => void renameFolder(own)}>
						{t().renameFolder}
					</button>
					<button type="button" class="quiet" onClick={() => void removeFolder(own)}>
						{t().removeFolder}
					</button>
				</>
			)}
		</nav>
	);
}
