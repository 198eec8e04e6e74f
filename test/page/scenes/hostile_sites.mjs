// SPDX-License-Identifier: Apache-2.0
// While somebody is signed in, pages of other sites try their luck: from another host, and from another port of the same one, to which browsers send the cookie.

/** Each way in which a page can ask: what it could read of the answer, "" when nothing. */
async function attempts([base, token]) {
	const body = JSON.stringify({ using: ['urn:ietf:params:jmap:core'], methodCalls: [['Core/echo', { said: 'reached' }, '0']] });
	const ways = [
		['/jmap/api', { method: 'POST', body, headers: { 'Content-Type': 'text/plain' } }],
		['/jmap/api', { method: 'POST', body, mode: 'no-cors' }],
		['/jmap/api', { method: 'POST', body, headers: { 'Content-Type': 'application/json', 'X-Posthouse-CSRF': token } }],
		['/jmap/upload/a', { method: 'POST', body: 'x' }],
		['/frame?remote=1', { method: 'POST', body: '<script>alert(1)</script>', headers: { 'Content-Type': 'text/html' } }],
		['/session', {}],
		['/session', { method: 'DELETE' }],
		['/session', { method: 'POST', body: '{"login":"bob","password":"builder"}', mode: 'no-cors' }],
		['/.well-known/jmap', {}],
		['/jmap/events?types=*&closeafter=state&ping=30', {}],
	];
	const read = [];
	for (const [path, how] of ways) {
		const answer = await fetch(base + path, { credentials: 'include', ...how }).catch(() => null);
		if (answer && answer.type !== 'opaque') read.push(`${how.method ?? 'GET'} ${path}: ${answer.status}`);
	}
	return read;
}

/** A form needs no leave to be sent; the page that comes back is whatever the station answered. */
async function form(page, site, address, kind) {
	await page.goto(site);
	await page.evaluate(
		([to, enctype]) => {
			const f = document.createElement('form');
			Object.assign(f, { action: to, method: 'POST', enctype });
			const field = document.createElement('input');
			Object.assign(field, { name: '{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"said":"reached', value: '"},"0"]]}' });
			f.append(field);
			document.body.append(f);
			f.submit();
		},
		[address, kind],
	);
	await page.waitForURL(address);
	return page.locator('body').innerText();
}

async function framed(page, site, base) {
	await page.goto(site);
	await page.evaluate(async (to) => {
		const frame = document.createElement('iframe');
		frame.src = to;
		const done = new Promise((r) => frame.addEventListener('load', r, { once: true }));
		document.body.append(frame);
		await done;
	}, base);
	const inside = page.frames().find((f) => f !== page.mainFrame());
	return inside.evaluate(() => document.querySelectorAll('input, button, [id=app] *').length).catch(() => 0);
}

export default async function ({ signIn, assert, base, input, expected }) {
	expected.push(/./); // the browser tells of each thing that it forbids
	const alice = await signIn('alice@example.org', 'wonderland');
	const { csrf } = await (await alice.request.get(`${base}/session`)).json();
	const { url } = await alice.evaluate(
		async (token) => (await fetch('/frame?remote=0', { method: 'POST', headers: { 'Content-Type': 'text/html', 'X-Posthouse-CSRF': token }, body: '<p>secret</p>' })).json(),
		csrf,
	);
	const [cookie] = (await alice.context().cookies()).filter((c) => c.name === 'posthouse');
	assert(cookie.httpOnly && cookie.sameSite === 'Strict', `the cookie is ${JSON.stringify(cookie)}`);
	assert((await alice.evaluate(() => document.cookie)) === '', 'scripts see the cookie');

	for (const site of ['http://evil.example/', `http://127.0.0.1:${input.world}/`]) {
		const evil = await alice.context().newPage();
		await evil.goto(site);
		const read = await evil.evaluate(attempts, [base, csrf]);
		assert(read.length === 0, `${site} could read: ${read.join(', ')}`);
		const answers = [];
		for (const path of ['/jmap/api', '/session', '/jmap/upload/a', '/frame'])
			for (const kind of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
				const text = await form(evil, site, base + path, kind);
				answers.push(text);
				assert(/"status":40[13]/.test(text), `a form of ${site} to ${path} got ${text.slice(0, 200)}`);
			}
		for (const path of ['/', url]) assert((await framed(evil, site, base + path)) === 0, `${site} shows ${path} in a frame`);
		const popup = alice.context().waitForEvent('page');
		await evil.evaluate((to) => void (window.other = window.open(to)), base);
		const opened = await popup;
		await opened.waitForLoadState();
		assert((await opened.evaluate(() => window.opener)) === null, `${site} holds the window that it opened`);
		await opened.close();
		await evil.close();
	}
	assert((await alice.request.get(`${base}/session`)).status() === 200, 'somebody has signed alice out');
	assert((await alice.request.get(base + url)).status() === 200, 'alice does not see her own frame');
}
