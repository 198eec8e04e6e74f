// SPDX-License-Identifier: Apache-2.0
// A station for unit tests: it answers each request of JMAP as the test says, and keeps what was asked. What the page takes from the browser is here too.

export type Invocation = [name: string, args: Record<string, any>, id: string];

/** The answer to one call; `null`: the whole request comes to nothing. */
export type Answer = (name: string, args: Record<string, any>) => object | null;

const kept = new Map<string, string>();

Object.assign(globalThis, {
	window: globalThis,
	location: { hash: '', origin: 'http://mail.example.org' },
	localStorage: { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => kept.set(key, value) },
});

Object.defineProperty(globalThis, 'navigator', { value: { language: 'en-GB' }, configurable: true });

export function station(answer: Answer): { requests: Invocation[][] } {
	const requests: Invocation[][] = [];
	globalThis.fetch = async (_path, options) => {
		const { methodCalls } = JSON.parse(options!.body as string) as { methodCalls: Invocation[] };
		requests.push(methodCalls);
		const methodResponses = methodCalls.map(([name, args, id]) => [name, answer(name, args), id]);
		return methodResponses.some(([, given]) => given === null) ? new Response('', { status: 503 }) : Response.json({ methodResponses });
	};
	return { requests };
}

/** The ids that were to be destroyed, over all requests. */
export function destroyed(requests: Invocation[][]): string[] {
	return requests.flat().flatMap(([, args]) => (args['destroy'] as string[] | undefined) ?? []);
}
