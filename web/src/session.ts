// SPDX-License-Identifier: Apache-2.0
// Who is signed in, and the one way to the server: the cookie goes by itself, and everything that is not a GET shows the secret that a foreign page
// cannot know.

import { signal } from '@preact/signals';

export interface Session {
	login: string;
	csrf: string;
	accountId: string;
}

/** undefined: not yet known. null: nobody. */
export const session = signal<Session | null | undefined>(undefined);

/** A refusal of HTTP (RFC 7807). */
export class Refused extends Error {
	constructor(readonly status: number) {
		super(`HTTP ${status}`);
	}
}

export function proof(): Record<string, string> {
	return session.value ? { 'X-Posthouse-CSRF': session.value.csrf } : {};
}

export async function ask(path: string, options: RequestInit = {}): Promise<Response> {
	const headers = { ...(options.method ? proof() : {}), ...(options.headers as Record<string, string> | undefined) };
	const response = await fetch(path, { ...options, headers, credentials: 'same-origin' });
	if (response.ok) return response;
	if (response.status === 401 && session.value) session.value = null;
	throw new Refused(response.status);
}

export async function signIn(login: string, password: string): Promise<void> {
	const response = await ask('/session', {
		method: 'POST',
		headers: { 'Content-Type': 'application/json', 'X-Posthouse': '1' },
		body: JSON.stringify({ login, password }),
	});
	session.value = (await response.json()) as Session;
}

export async function resume(): Promise<void> {
	try {
		session.value = (await (await ask('/session')).json()) as Session;
	} catch {
		session.value = null;
	}
}

export async function signOut(): Promise<void> {
	try {
		await ask('/session', { method: 'DELETE' });
	} finally {
		session.value = null;
	}
}
