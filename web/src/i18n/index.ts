// SPDX-License-Identifier: Apache-2.0
// The catalogue in use. English is at hand at once, any other is loaded when it is wanted.

import { signal } from '@preact/signals';
import { en, type Words } from './en';

export const languages = { en: 'English', 'zh-CN': '简体中文' } as const;
export type Language = keyof typeof languages;

export const language = signal<Language>('en');
/** How dates are written: as the browser's region has it, where it speaks the same language. */
export const locale = (): string => (navigator.language.startsWith(language.value.slice(0, 2)) ? navigator.language : language.value);

const words = signal<Words>(en);

/** The words now; read within a component, it is drawn anew when the language changes. */
export const t = (): Words => words.value;

export async function speak(which: Language): Promise<void> {
	words.value = which === 'zh-CN' ? (await import('./zh')).zh : en;
	language.value = which;
	document.documentElement.lang = which;
}
