// SPDX-License-Identifier: Apache-2.0
// Each vector is opened as a mail, in the list's order. Then each wall of web/src/frame.ts is tried without the others: what the sanitizer left, in a document
// that may do anything; and the raw vector, behind the server's policy alone. Last the control: a vector behind no wall is seen to run and to reach the world.

const ran = 'a vector ran: ';

/** Sees whatever a page or a frame in it does that a mail may not. */
async function watch(page) {
	const seen = [];
	const shown = page.url();
	await page.context().addInitScript((words) => {
		window.alert = window.confirm = window.prompt = window.print = (n) => console.log(words + n);
		window.addEventListener('message', (e) => console.log(`${words}a message, ${JSON.stringify(e.data)}`));
		window.addEventListener('submit', () => console.log(`${words}a form`), true);
	}, ran);
	await page.reload();
	page.on('console', (line) => line.text().startsWith(ran) && seen.push(line.text()));
	page.on('dialog', (dialog) => (seen.push(`a dialog: ${dialog.message()}`), dialog.dismiss()));
	page.on('popup', (popup) => (seen.push(`a popup: ${popup.url()}`), popup.close()));
	page.on('download', (download) => seen.push(`a download: ${download.url()}`));
	const left = (r) => {
		const isOfMail = r.frame() !== page.mainFrame() && !(r.isNavigationRequest() && /\/frame\/[0-9a-f]{32}$/.test(r.url()));
		if (isOfMail && !/^(?:data|about):/.test(r.url())) seen.push(`a request: ${r.method()} ${r.url()}`);
		if (r.isNavigationRequest() && r.frame() === page.mainFrame() && r.url().split('#')[0] !== shown.split('#')[0]) seen.push(`a navigation: ${r.url()}`);
	};
	page.on('requestfinished', left);
	page.on('requestfailed', (r) => /csp|ERR_BLOCKED/i.test(r.failure().errorText) || left(r)); // forbidden by the policy: it has not left
	return seen;
}

const frameOf = async (page) => (await page.locator('iframe.frame').elementHandle()).contentFrame();

/** Waits for another mail than the last one; its subject, and the frame with it in. */
async function opened(page, last) {
	const heading = page.locator('.thread h2', { hasText: 'vector' });
	await heading.and(page.locator('h2', { hasNotText: new RegExp(`^${last}$`) })).waitFor();
	const frame = await frameOf(page);
	await frame.waitForURL(/\/frame\//);
	await frame.waitForLoadState('load');
	return [(await heading.textContent()).trim(), frame];
}

/** What may not stand in a mail that is shown, if it can be told. */
function remains() {
	const bad = [];
	for (const element of document.querySelectorAll('*')) {
		if (/^(?:script|iframe|frame|object|embed|form|input|button|select|textarea|base|link|svg|math|audio|video|template|dialog)$/.test(element.localName)) bad.push(element.localName);
		const isWeb = element.localName === 'a' && /^http/.test(element.getAttribute('href') ?? '');
		if (isWeb && !(/noopener/.test(element.rel) && element.target === '_blank' && (element.title || /\/#\/compose\//.test(element.href)))) bad.push(`an opener, or no host told: ${element.outerHTML}`);
		if (isWeb && /paypal/.test(element.textContent) && element.nextElementSibling?.textContent !== 'leads to evil.example') bad.push(`disguised: ${element.outerHTML}`);
		for (const { name, value } of element.attributes) {
			if (/^on/i.test(name)) bad.push(name);
			if (/^(?:href|src|action|formaction|background)$/.test(name) && !/^(?:https?:|mailto:|tel:|#|data:image\/|http:\/\/[\d.:]+\/#\/compose\/)/.test(value)) bad.push(`${name}=${value}`);
		}
	}
	return bad;
}

async function readAll(page, vectors, check) {
	const texts = [];
	page.on('request', (r) => r.method() === 'POST' && /\/frame\?/.test(r.url()) && texts.length < vectors.length && texts.push(r.postData()));
	const subjects = new Set();
	await page.locator('.rows [role=row]').first().click();
	for (let last = ''; subjects.size < vectors.length; ) {
		const [subject, frame] = await opened(page, last);
		subjects.add((last = subject));
		check(`${subject} in the page`, await frame.evaluate(remains));
		const box = await page.locator('iframe.frame').boundingBox();
		check(`${subject} in the page`, box.width < 1200 && box.x > 0 ? [] : ['it covers the page']);
		await page.keyboard.press('j');
	}
	return texts;
}

/** A document with nothing around it: what runs here, runs. */
async function alone(page, html) {
	await page.goto('about:blank');
	await page.setContent(html, { waitUntil: 'load' });
	await page.evaluate(() => new Promise((r) => setTimeout(r, 20)));
}

async function behindPolicy(page, csrf, raw) {
	await page.evaluate(
		async ([token, list]) => {
			const show = async (html) => {
				const answer = await fetch('/frame?remote=0', { method: 'POST', headers: { 'Content-Type': 'text/html', 'X-Posthouse-CSRF': token }, body: html });
				const frame = document.createElement('iframe');
				frame.src = (await answer.json()).url;
				const done = new Promise((r) => frame.addEventListener('load', r, { once: true }));
				document.body.append(frame);
				await done;
			};
			await Promise.all(list.map(show));
			await new Promise((r) => setTimeout(r, 50));
			for (const frame of document.querySelectorAll('body > iframe')) frame.remove();
		},
		[csrf, raw],
	);
}

export default async function (stage) {
	const { signIn, shot, assert, browser, input, base, expected } = stage;
	const { vectors } = input;
	expected.push(/./); // the browser tells of each thing that a policy forbids
	const faults = [];
	const alice = await signIn('alice@example.org', 'wonderland');
	const seen = await watch(alice);
	const check = (where, found) => {
		for (const f of [...found, ...seen.splice(0)]) faults.push(`${where}: ${f}`);
	};

	const cleaned = await readAll(alice, vectors, check);
	await alice.waitForTimeout(300);
	check('the page', []);
	await shot(alice, 'hostile-vectors');
	assert(cleaned.length >= vectors.length, `${cleaned.length} frames were made`);
	assert(/Inbox — Posthouse$/.test(await alice.title()), `the title is ${await alice.title()}`);
	assert(await alice.getByRole('button', { name: 'Compose' }).isVisible(), 'the page is harmed');

	await fetch(`http://127.0.0.1:${input.world}/policy-alone`); // the world keeps in order who came: up to here, nobody
	const { csrf } = await (await alice.request.get(`${base}/session`)).json();
	for (let n = 0; n < vectors.length; n += 10) {
		await behindPolicy(alice, csrf, vectors.slice(n, n + 10));
		check(`vectors ${n + 1} … ${n + 10} behind the policy alone`, []);
	}
	await alice.close();
	await fetch(`http://127.0.0.1:${input.world}/sanitizer-alone`);

	const bare = await (await browser.newContext()).newPage();
	await bare.goto('about:blank');
	const seenBare = await watch(bare);
	for (const html of cleaned) {
		await alone(bare, html);
		for (const s of seenBare.splice(0)) faults.push(`left by the sanitizer: ${s}: ${html.slice(-400)}`);
	}

	await bare.goto('http://control.example/'); // who comes to the world from here on, does not count
	await alone(bare, '<script>alert("control")</script>');
	assert(seenBare.some((s) => s.includes('control')), 'the control was not seen to run');
	assert(faults.length === 0, faults.slice(0, 30).join('\n'));
}
