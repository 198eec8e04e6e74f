// SPDX-License-Identifier: Apache-2.0
// What this browser remembers: for itself language and appearance, which the door needs too; for each login how its letters are written, and whose
// pictures may be fetched.

import { effect, signal } from '@preact/signals';
import { language, languages, speak, type Language } from './i18n';
import { session } from './session';

export type Theme = 'system' | 'light' | 'dark';

const key = 'posthouse';

interface OfBrowser {
	language?: Language;
	theme: Theme;
}

interface OfLogin {
	writesHtml: boolean;
	hasKeys: boolean; // single keys as shortcuts; who dictates or hits keys by chance needs them off (WCAG 2.1.4)
	remoteSenders: string[];
}

type Kept = OfBrowser & OfLogin;

const first: Kept = { theme: 'system', writesHtml: true, hasKeys: true, remoteSenders: [] };

const keyOf = (login: string): string => `${key}/${login}`;

function read<T>(name: string): Partial<T> {
	try {
		return JSON.parse(localStorage.getItem(name) ?? '{}') as Partial<T>;
	} catch {
		return {};
	}
}

function keep(name: string, what: Partial<Kept>): void {
	try {
		localStorage.setItem(name, JSON.stringify(what));
	} catch {
		// a browser that may not keep anything: it holds for as long as the page is open
	}
}

function readAll(login: string | undefined): Kept {
	const { theme = first.theme, ...rest } = read<OfBrowser>(key);
	const spoken = rest.language ? { language: rest.language } : {};
	return { ...first, theme, ...spoken, ...(login === undefined ? {} : read<OfLogin>(keyOf(login))) };
}

export const settings = signal<Kept>(readAll(undefined));

export function set(change: Partial<Kept>): void {
	settings.value = { ...settings.value, ...change };
	const { theme, language: spoken, ...own } = settings.value;
	keep(key, { theme, ...(spoken ? { language: spoken } : {}) });
	if (session.value) keep(keyOf(session.value.login), own);
}

export async function useSettings(): Promise<void> {
	effect(() => {
		document.documentElement.dataset['theme'] = settings.value.theme;
	});
	effect(() => {
		settings.value = readAll(session.value?.login);
	});
	const own = settings.value.language;
	const known = own && own in languages ? own : undefined;
	await speak(known ?? (/^zh/i.test(navigator.language) ? 'zh-CN' : 'en'));
}

export async function chooseLanguage(which: Language): Promise<void> {
	await speak(which);
	set({ language: language.value });
}
