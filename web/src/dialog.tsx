// SPDX-License-Identifier: Apache-2.0
// Dialogs: the browser's own element keeps the focus within, closes at Escape and gives the focus back.

import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { t } from './i18n';
import { Icon } from './icons';

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
	const element = useRef<HTMLDialogElement>(null);
	const id = useId();
	useEffect(() => element.current?.showModal(), []);
	return (
		<dialog ref={element} aria-labelledby={id} onClose={onClose} onClick={(e) => e.target === element.current && onClose()}>
			<div class="dialog">
				<div class="dialog-head">
					<h2 id={id}>{title}</h2>
					<button type="button" class="icon" aria-label={t().close} title={t().close} onClick={onClose}>
						<Icon name="close" />
					</button>
				</div>
				{children}
			</div>
		</dialog>
	);
}

interface Question {
	text: string;
	yes: string;
	/** Where a line is to be typed, its label. */
	field?: string;
	/** …and what stands there at first. */
	line?: string;
	answer: (line: string | null) => void;
}

const question = signal<Question | null>(null);

/** A question of yes or no. */
export async function confirm(text: string, yes: string): Promise<boolean> {
	return (await ask({ text, yes })) !== null;
}

/** A question for a line; null: thought better of it. */
export function prompt(text: string, field: string, line = ''): Promise<string | null> {
	return ask({ text, yes: t().ok, field, line });
}

function ask(q: Omit<Question, 'answer'>): Promise<string | null> {
	return new Promise((resolve) => {
		question.value = {
			...q,
			answer: (line) => {
				question.value = null;
				resolve(line);
			},
		};
	});
}

export function Questions() {
	const line = useRef<HTMLInputElement>(null);
	const q = question.value;
	if (!q) return null;
	return (
		<Dialog title={q.text} onClose={() => q.answer(null)}>
			<form
				onSubmit={(e) => {
					e.preventDefault();
					q.answer(line.current?.value ?? '');
				}}
			>
				{q.field && (
					<label class="field">
						{q.field}
						<input ref={line} defaultValue={q.line} required />
					</label>
				)}
				<div class="buttons">
					<button type="button" onClick={() => q.answer(null)}>
						{t().cancel}
					</button>
					<button type="submit" class="primary">
						{q.yes}
					</button>
				</div>
			</form>
		</Dialog>
	);
}
