// SPDX-License-Identifier: Apache-2.0
// The door.

import { useRef, useState } from 'preact/hooks';
import { languages, language, t, type Language } from './i18n';
import { Refused, signIn } from './session';
import { chooseLanguage } from './settings';

function reason(error: unknown): string {
	if (error instanceof TypeError) return t().noConnection; // so fetch fails
	const status = error instanceof Refused ? error.status : 0;
	if (status === 401 || status === 400) return t().wrongLogin;
	return status === 429 ? t().tooOften : t().failed;
}

export function LanguageChoice() {
	return (
		<label class="field">
			{t().language}
			<select value={language.value} onChange={(e) => void chooseLanguage(e.currentTarget.value as Language)}>
				{Object.entries(languages).map(([tag, name]) => (
					<option key={tag} value={tag} lang={tag}>
						{name}
					</option>
				))}
			</select>
		</label>
	);
}

export function SignIn() {
	const login = useRef<HTMLInputElement>(null);
	const password = useRef<HTMLInputElement>(null);
	const [error, setError] = useState<unknown>(null);
	const [isBusy, setBusy] = useState(false);

	async function submit(e: Event): Promise<void> {
		e.preventDefault();
		setBusy(true);
		setError(null);
		try {
			await signIn(login.current!.value.trim(), password.current!.value);
		} catch (refused) {
			setError(refused);
			setBusy(false);
			password.current?.select();
		}
	}

	return (
		<main class="door">
			<form onSubmit={(e) => void submit(e)}>
				<h1>
					Posthouse <span lang="zh-CN">驿站</span>
				</h1>
				<label class="field">
					{t().login}
					<input ref={login} name="username" placeholder="you@example.org" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus />
				</label>
				<label class="field">
					{t().password}
					<input ref={password} name="password" type="password" autocomplete="current-password" required />
				</label>
				<p class="error" role="alert">
					{error ? reason(error) : ''}
				</p>
				<button type="submit" class="primary" disabled={isBusy}>
					{t().signIn}
				</button>
				<LanguageChoice />
			</form>
		</main>
	);
}
