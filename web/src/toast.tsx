// SPDX-License-Identifier: Apache-2.0
// Short news at the foot of the page, in a live region; some can be undone there.

import { signal } from '@preact/signals';
import { t } from './i18n';
import { Icon } from './icons';
import { Refused } from './session';

export interface Toast {
	text: string;
	undo?: () => void;
	stays_ms?: number;
}

const toast = signal<Toast | null>(null);
let timer: number | undefined;

export function tell(news: Toast): void {
	window.clearTimeout(timer);
	toast.value = news;
	timer = window.setTimeout(() => (toast.value = null), news.stays_ms ?? (news.undo ? 10_000 : 5_000));
}

export function hush(): void {
	window.clearTimeout(timer);
	toast.value = null;
}

/** What is said of an error that nobody expected. */
export function tellError(error: unknown): void {
	const status = error instanceof Refused ? error.status : 0;
	tell({ text: status === 413 ? t().tooLarge : status === 507 ? t().fullBox : t().failed });
}

export function undoToast(): boolean {
	const undo = toast.value?.undo;
	if (undo) undo();
	return undo !== undefined;
}

export function Toasts() {
	const now = toast.value;
	return (
		<div class="toasts" role="status" aria-live="polite">
			{now && (
				<div class="toast">
					<span>{now.text}</span>
					{now.undo && (
						<button type="button" onClick={now.undo}>
							{t().undo}
						</button>
					)}
					<button type="button" class="icon" aria-label={t().close} title={t().close} onClick={hush}>
						<Icon name="close" />
					</button>
				</div>
			)}
		</div>
	);
}
