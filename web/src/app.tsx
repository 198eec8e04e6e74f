// SPDX-License-Identifier: Apache-2.0
// The page of somebody who is signed in: head, folders, list, conversation; one beside the other where there is room, one over the other on a phone.

import { signal, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { parseMailto } from './address';
import { composing, Composers, write } from './compose/open';
import { Dialog, Questions } from './dialog';
import { Folders, isMenuOpen, nameOf } from './folders';
import { t } from './i18n';
import { Icon } from './icons';
import { Identities } from './identity';
import { listen } from './jmap';
import { isHelpOpen, KeysHelp, watchKeys } from './keys';
import { List } from './list';
import { go, goBox, mailto, place } from './place';
import { Working } from './progress';
import { session, signOut } from './session';
import { set, settings, type Theme } from './settings';
import { LanguageChoice } from './signin';
import { beginList, byRole, changedTypes, loadHoldMost, loadIdentities, loadMailboxes, loadThread, isListLost, mailbox, only, refresh } from './store';
import { Conversation } from './thread';
import { Toasts, tellError } from './toast';
import { IconButton, ListBar, MoveDialog } from './toolbar';

const isOnline = signal(true);
const isSettingsOpen = signal(false);

function Search() {
	const input = useRef<HTMLInputElement>(null);
	const { search } = place.value;
	useEffect(() => {
		if (input.current) input.current.value = search ?? '';
	}, [search]);

	function submit(e: Event): void {
		e.preventDefault();
		const line = input.current!.value.trim();
		if (line) go({ mailbox: null, search: line, thread: null });
		else clear();
	}
	function clear(): void {
		const inbox = byRole('inbox');
		if (search !== null && inbox) goBox(inbox.id);
	}
	return (
		<form class="search" role="search" onSubmit={submit}>
			<Icon name="search" />
			<input ref={input} type="search" aria-label={t().search} placeholder={t().search} title={t().searchHint} autocomplete="off" />
			{search !== null && <IconButton icon="close" name={t().clearSearch} act={clear} />}
		</form>
	);
}

function Settings() {
	if (!isSettingsOpen.value) return null;
	const themes: [Theme, string][] = [
		['system', t().system],
		['light', t().light],
		['dark', t().dark],
	];
	return (
		<Dialog title={t().settings} onClose={() => (isSettingsOpen.value = false)}>
			<p class="login">{session.value?.login}</p>
			<LanguageChoice />
			<label class="field">
				{t().appearance}
				<select value={settings.value.theme} onChange={(e) => set({ theme: e.currentTarget.value as Theme })}>
					{themes.map(([value, name]) => (
						<option key={value} value={value}>
							{name}
						</option>
					))}
				</select>
			</label>
			<label class="check">
				<input type="checkbox" checked={settings.value.hasKeys} onChange={(e) => set({ hasKeys: e.currentTarget.checked })} />
				{t().singleKeys}
			</label>
			<Identities done={() => (isSettingsOpen.value = false)} />
			<div class="buttons">
				<button
					type="button"
					onClick={() => {
						isSettingsOpen.value = false;
						isHelpOpen.value = true;
					}}
				>
					{t().keys}
				</button>
				<a class="button" href="/assets/licences.txt" target="_blank" rel="noopener">
					{t().licences}
				</a>
			</div>
		</Dialog>
	);
}

/** The address bar says where the reader is, so this link must not change it. */
function skip(e: Event): void {
	e.preventDefault();
	document.querySelector<HTMLElement>('.row[tabindex="0"]')?.focus();
}

function Head() {
	return (
		<header class="top">
			<a class="skip" href="#list" onClick={skip}>
				{t().skip}
			</a>
			<button type="button" class="icon menu" aria-label={t().menu} aria-expanded={isMenuOpen.value} aria-controls="folders" onClick={() => (isMenuOpen.value = !isMenuOpen.value)}>
				<Icon name="menu" />
			</button>
			<button type="button" class="primary compose" onClick={() => write({})}>
				<Icon name="compose" />
				<span>{t().compose}</span>
			</button>
			<Search />
			<IconButton icon="settings" name={t().settings} act={() => (isSettingsOpen.value = true)} />
			<button type="button" class="sign-out" onClick={() => void signOut().catch(tellError)}>
				{t().signOut}
			</button>
		</header>
	);
}

function title(): string {
	const unread = byRole('inbox')?.unreadEmails ?? 0;
	const { search } = place.value;
	const where = search !== null ? t().searchIn(search) : mailbox.value ? nameOf(mailbox.value) : '';
	return `${unread ? `(${unread}) ` : ''}${where ? `${where} — ` : ''}Posthouse`;
}

const isReady = signal(false); // folders are known, so a place can be shown

async function begin(): Promise<void> {
	await Promise.all([loadMailboxes(), loadIdentities(), loadHoldMost()]);
	isReady.value = true;
	const inbox = byRole('inbox');
	if (!mailbox.value && place.value.search === null && inbox) goBox(inbox.id);
}

function onNews(types: string[]): void {
	changedTypes.value = { types };
	if (types.some((type) => type === 'Email' || type === 'Mailbox' || type === 'Thread')) refresh().catch(() => undefined);
	if (types.includes('Identity')) loadIdentities().catch(() => undefined);
}

export function App() {
	const { mailbox: box, search, thread } = place.value;
	const ready = isReady.value;

	const start = () => {
		isListLost.value = false;
		begin().catch(() => (isListLost.value = true));
	};
	useEffect(() => {
		start();
		const stop = [listen(onNews, (is) => (isOnline.value = is)), watchKeys()];
		return () => {
			isReady.value = false;
			stop.forEach((end) => end());
		};
	}, []);
	useEffect(() => {
		if (ready) beginList().catch(() => undefined); // the list itself says so
	}, [ready, box, search, only.value]);
	useEffect(() => {
		if (ready) loadThread().catch(tellError);
	}, [ready, thread]);
	useSignalEffect(() => {
		document.title = title();
	});
	useSignalEffect(() => {
		const link = mailto.value && parseMailto(mailto.value);
		if (!link) return;
		mailto.value = null;
		write({ to: link.to, cc: link.cc, subject: link.subject, text: link.body });
	});

	const where = search !== null ? t().searchIn(search) : mailbox.value ? nameOf(mailbox.value) : t().mails;
	return (
		<div class={thread === null ? 'page' : 'page is-reading'}>
			<Head />
			{!isOnline.value && (
				<p class="offline" role="alert">
					{t().offline}
				</p>
			)}
			<div class="columns">
				<Folders />
				<main>
					<h1 class="hidden">{where}</h1>
					<section class="list" aria-label={where}>
						<ListBar />
						<List retry={() => (ready ? void beginList().catch(() => undefined) : start())} />
					</section>
					<Conversation />
				</main>
			</div>
			{composing.value && <Composers />}
			<Settings />
			<KeysHelp />
			<MoveDialog />
			<Questions />
			<Working />
			<Toasts />
		</div>
	);
}
