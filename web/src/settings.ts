// SPDX-License-Identifier: Apache-2.0
// What this browser remembers of its reader: language, appearance, how letters are written, and whose pictures may be fetched.

import { effect, signal } from '@preact/signals';
import { language, languages, speak, type Language } from './i18n';

export type Theme = 'system' | 'light' | 'dark';

const key = 'posthouse';

interface Kept {
	language?: Language;
	theme: Theme;
	writesHtml: boolean;
	hasKeys: boolean; // single keys as shortcuts; who dictates or hits keys by chance needs them off (WCAG 2.1.4)
	remoteSenders: string[];
}

function read(): Kept {
	const first: Kept = { theme: 'system', writesHtml: true, hasKeys: true, remoteSenders: [] };
	try {
		return { ...first, ...(JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<Kept>) };
	} catch {
		return first;
	}
}

export const settings = signal<Kept>(read());

export function set(change: Partial<Kept>): void {
	settings.value = { ...settings.value, ...change };
	try {
		localStorage.setItem(key, JSON.stringify(settings.value));
	} catch {
		// a browser that may not keep anything: it holds for as long as the page is open
	}
}

export async function useSettings(): Promise<void> {
	effect(() => {
		document.documentElement.dataset['theme'] = settings.value.theme;
	});
	const own = settings.value.language;
	const known = own && own in languages ? own : undefined;
	await speak(known ?? (/^zh/i.test(navigator.language) ? 'zh-CN' : 'en'));
}

export async function chooseLanguage(which: Language): Promise<void> {
	await speak(which);
	set({ language: language.value });
}
