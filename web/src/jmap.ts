// SPDX-License-Identifier: Apache-2.0
// The client of JMAP (RFC 8620).
//
// `call` puts a method call on the list of the turn; when the turn is over they all go in one request, in the order in which they were made. So whoever
// wants several answers at once just asks for them, and a call may take arguments from the answer of an earlier one of the same turn (`ref`).

import { ask, proof, Refused } from './session';
import type { Id, Methods } from './types';

const account = 'a';
const using = ['urn:ietf:params:jmap:core', 'urn:ietf:params:jmap:mail', 'urn:ietf:params:jmap:submission', 'https://posthouse.example/jmap'];

/** An error of a method (RFC 8620 §3.6.2). */
export class MethodError extends Error {
	constructor(
		readonly type: string,
		description?: string,
	) {
		super(description ?? type);
	}
}

/** Points into the answer of an earlier call (RFC 8620 §3.7). */
export interface Reference {
	resultOf: string;
	name: string;
	path: string;
}

/** Any argument may be given as a reference: `ids: query.ref('/ids')` goes out as "#ids". */
type Arguments<T> = { [K in keyof T]: T[K] | Reference };

export interface Call<T> {
	answer: Promise<T>;
	ref(path: string): Reference;
}

interface Waiting {
	invocation: [string, Record<string, unknown>, string];
	resolve: (answer: never) => void;
	reject: (error: Error) => void;
}

const silence_ms = 5000; // without a connection, before the reader is told

let turn: Waiting[] = [];

function isReference(value: unknown): value is Reference {
	return typeof value === 'object' && value !== null && 'resultOf' in value;
}

function wire(given: object): Record<string, unknown> {
	const args: Record<string, unknown> = { accountId: account };
	for (const [name, value] of Object.entries(given)) args[isReference(value) ? `#${name}` : name] = value;
	return args;
}

export function call<M extends keyof Methods>(name: M, args: Arguments<Methods[M][0]>): Call<Methods[M][1]> {
	const id = String(turn.length);
	const answer = new Promise<Methods[M][1]>((resolve, reject) => {
		if (turn.length === 0) queueMicrotask(send);
		turn.push({ invocation: [name, wire(args), id], resolve, reject });
	});
	answer.catch(() => undefined); // whoever awaits it sees the error; that nobody does is no error of its own
	return { answer, ref: (path) => ({ resultOf: id, name, path }) };
}

async function send(): Promise<void> {
	const calls = turn;
	turn = [];
	try {
		const response = await ask('/jmap/api', {
			method: 'POST',
			headers: { 'Content-Type': 'application/json' },
			body: JSON.stringify({ using, methodCalls: calls.map((c) => c.invocation) }),
		});
		const { methodResponses } = (await response.json()) as { methodResponses: [string, never, string][] };
		settle(calls, methodResponses);
	} catch (error) {
		for (const c of calls) c.reject(error as Error);
	}
}

/** A call has the first response with its id; further ones are of implicit calls (RFC 8620 §5.4), which nobody here waits for. */
function settle(calls: Waiting[], responses: [string, never, string][]): void {
	calls.forEach((c, index) => {
		const found = responses.find(([, , id]) => id === String(index));
		if (!found) return c.reject(new MethodError('serverFail'));
		const [name, answer] = found;
		const { type, description } = answer as { type: string; description?: string };
		if (name === 'error') c.reject(new MethodError(type, description));
		else c.resolve(answer);
	});
}

interface Served {
	accounts: Record<Id, { accountCapabilities: Record<string, { maxDelayedSend?: number }> }>;
}

/** How long the station holds what it is given, in seconds (RFC 8621 §1.3.2). */
export async function fetchHoldMost(): Promise<number> {
	const { accounts } = (await (await ask('/.well-known/jmap')).json()) as Served;
	return accounts[account]?.accountCapabilities['urn:ietf:params:jmap:submission']?.maxDelayedSend ?? 0;
}

export interface Uploaded {
	blobId: Id;
	type: string;
	size: number;
}

const uploadsMost = 4; // at once: no station's maxConcurrentUpload is less (RFC 8620 §2)
let uploads = 0;
const queue: (() => void)[] = [];

/** Each file in its turn, however many are dropped at once. */
export async function upload(file: Blob, progress: (share: number) => void, stop?: AbortSignal): Promise<Uploaded> {
	if (uploads < uploadsMost) uploads++;
	else await new Promise<void>((go) => queue.push(go));
	try {
		if (stop?.aborted) throw new DOMException('', 'AbortError');
		return await transfer(file, progress, stop);
	} finally {
		const next = queue.shift();
		if (next) next();
		else uploads--;
	}
}

/** By XMLHttpRequest, since fetch does not tell how far it is. */
function transfer(file: Blob, progress: (share: number) => void, stop?: AbortSignal): Promise<Uploaded> {
	return new Promise((resolve, reject) => {
		const request = new XMLHttpRequest();
		request.open('POST', `/jmap/upload/${account}`);
		request.setRequestHeader('Content-Type', file.type || 'application/octet-stream');
		for (const [name, value] of Object.entries(proof())) request.setRequestHeader(name, value);
		request.upload.onprogress = (e) => progress(e.total ? e.loaded / e.total : 0);
		request.onload = () => {
			if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText) as Uploaded);
			else reject(new Refused(request.status));
		};
		request.onerror = () => reject(new Refused(0));
		request.onabort = () => reject(new DOMException('', 'AbortError'));
		stop?.addEventListener('abort', () => request.abort());
		request.send(file);
	});
}

export function downloadUrl(blobId: Id, name: string | null, type: string): string {
	return `/jmap/download/${account}/${encodeURIComponent(blobId)}/${encodeURIComponent(name || 'file')}?type=${encodeURIComponent(type)}`;
}

export async function download(blobId: Id, type: string): Promise<Blob> {
	return (await ask(downloadUrl(blobId, null, type))).blob();
}

/**
 * Tells of every change of state (RFC 8620 §7.3). EventSource connects again by itself, but not when the server refused it (a restart of the station): then
 * we do, ever more patiently, and ask whether we are still signed in (another tab may have ended it). A reader that ends makes one connection anew, so
 * only a longer silence is told. After a gap nobody knows what was missed: that counts as a change of everything.
 */
export function listen(changed: (types: string[]) => void, online: (is: boolean) => void): () => void {
	let source: EventSource;
	let timer: number | undefined;
	let silence: number | undefined;
	let patience_ms = 1000;
	let was_lost = false;

	function connect(): void {
		source = new EventSource(`/jmap/events?types=*&closeafter=no&ping=30`);
		source.onopen = () => {
			patience_ms = 1000;
			window.clearTimeout(silence);
			silence = undefined;
			online(true);
			if (was_lost) changed(['Email', 'Mailbox', 'EmailSubmission']);
			was_lost = false;
		};
		source.onerror = () => {
			was_lost = true;
			silence ??= window.setTimeout(() => online(false), silence_ms);
			if (source.readyState !== EventSource.CLOSED) return;
			ask('/session').catch(() => undefined); // a 401 signs the page out
			timer = window.setTimeout(connect, patience_ms);
			patience_ms = Math.min(patience_ms * 2, 60_000);
		};
		source.addEventListener('state', (e) => {
			const { changed: accounts } = JSON.parse((e as MessageEvent<string>).data) as { changed: Record<string, Record<string, string>> };
			changed(Object.keys(accounts[account] ?? {}));
		});
	}

	connect();
	return () => {
		window.clearTimeout(timer);
		window.clearTimeout(silence);
		source.close();
	};
}
