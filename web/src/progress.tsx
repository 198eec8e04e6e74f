// SPDX-License-Identifier: Apache-2.0
// Long work, in sight: how far it is, and the way to end it (the button, or Escape). What is done by then stays done.

import { signal } from '@preact/signals';
import { Dialog } from './dialog';
import { t } from './i18n';

/** What the work looks at, and tells, between one piece and the next. */
export interface Progress {
	isStopped: boolean;
	tell: (done: number) => void;
}

interface Work {
	words: string;
	done: number;
	all: number;
	progress: Progress;
}

const pause_ms = 300; // what takes no longer is not worth a dialog

const work = signal<Work | null>(null);

export async function withProgress<T>(words: string, all: number, act: (progress: Progress) => Promise<T>): Promise<T> {
	let done = 0;
	let isShown = false;
	const show = () => {
		if (isShown && !progress.isStopped) work.value = { words, done, all, progress };
	};
	const progress: Progress = {
		isStopped: false,
		tell(now) {
			done = now;
			show();
		},
	};
	const timer = window.setTimeout(() => {
		isShown = true;
		show();
	}, pause_ms);
	try {
		return await act(progress);
	} finally {
		window.clearTimeout(timer);
		if (work.value?.progress === progress) work.value = null;
	}
}

function stop(): void {
	if (work.value) work.value.progress.isStopped = true;
	work.value = null;
}

export function Working() {
	const now = work.value;
	if (!now) return null;
	return (
		<Dialog title={now.words} onClose={stop}>
			<progress aria-label={now.words} value={now.done} max={now.all} />
			<p role="status">{t().doneOf(now.done, now.all)}</p>
			<div class="buttons">
				<button type="button" onClick={stop}>
					{t().stop}
				</button>
			</div>
		</Dialog>
	);
}
