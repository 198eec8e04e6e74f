// SPDX-License-Identifier: Apache-2.0
// What the page's times are where a person has them, in chromium: for bench/webmail, which names the station in the environment. Prints JSON, in ms.
// A row counts as drawn when the frame after the one that has it in the document begins.

import { createRequire } from 'node:module';
import { connect } from 'node:net';

const require = createRequire(new URL('../web/package.json', import.meta.url));
const { chromium } = require('playwright-core');
const { BASE, SMTP, LOGIN, PASSWORD } = process.env;
const turns = { signIn: 5, reload: 10, search: 10, delivered: 40 };

/** In the page: Date.now() when a row with these words in it has been drawn. */
function drawn(words) {
	return new Promise((done) => {
		const look = () => {
			if (![...document.querySelectorAll('.row')].some((row) => row.textContent.includes(words))) return;
			watch.disconnect();
			requestAnimationFrame(() => requestAnimationFrame(() => done(Date.now())));
		};
		const watch = new MutationObserver(look);
		watch.observe(document.documentElement, { childList: true, subtree: true, characterData: true });
		look();
	});
}

/** A session of SMTP: send(lines) says each when the one before was answered, and gives the time of the last answer. */
function smtp() {
	const socket = connect(Number(SMTP), '127.0.0.1').setEncoding('utf8').setNoDelay();
	let answered = () => undefined;
	let rest = '';
	socket.on('data', (text) => {
		rest += text;
		if (!/^\d{3} .*\r\n$/m.test(rest)) return;
		rest = '';
		answered(Date.now());
	});
	const answer = () => new Promise((done) => (answered = done));
	const greeted = answer();
	return {
		async send(lines) {
			await greeted;
			let at;
			for (const line of lines) {
				const next = answer();
				socket.write(`${line}\r\n`);
				at = await next;
			}
			return at;
		},
		end: () => socket.end(),
	};
}

async function signIn(browser) {
	const page = await (await browser.newContext({ viewport: { width: 1200, height: 800 }, locale: 'en-GB' })).newPage();
	await page.goto(BASE);
	await page.locator('input[name=username]').fill(LOGIN);
	await page.locator('input[name=password]').fill(PASSWORD);
	const took = await page.evaluate(`(async () => {
		const begin = Date.now();
		document.querySelector('button[type=submit]').click();
		return await (${drawn})('') - begin;
	})()`);
	return { page, took };
}

const taken = { signIn: [], reload: [], search: [], delivered: [] };
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
let page;
for (let n = 0; n < turns.signIn; n++) {
	if (page) await page.context().close();
	const one = await signIn(browser);
	page = one.page;
	taken.signIn.push(one.took);
}
for (let n = 0; n < turns.reload; n++) {
	await page.reload({ waitUntil: 'commit' });
	taken.reload.push(await page.evaluate(`(async () => await (${drawn})('') - performance.timeOrigin)()`));
}
for (let n = 0; n < turns.search; n++) {
	taken.search.push(await page.evaluate(`(async () => {
		const field = document.querySelector('input[type=search]');
		field.value = '${n % 2 ? '会议' : 'invoice'}';
		const begin = Date.now();
		field.form.requestSubmit();
		while (document.querySelector('.row')) await new Promise(requestAnimationFrame);
		return await (${drawn})('') - begin;
	})()`));
}
await page.goto(BASE);
await page.evaluate(`(${drawn})('')`);
const session = smtp();
await session.send(['HELO bench.example']);
for (let n = 0; n < turns.delivered; n++) {
	const words = `Arrived in the browser ${n}.`;
	const seen = page.evaluate(`(${drawn})(${JSON.stringify(words)})`);
	const kept = await session.send(['MAIL FROM:<a@src.test>', `RCPT TO:<${LOGIN}>`, 'DATA', `From: a@src.test\r\nSubject: ${words}\r\n\r\ntext\r\n.`]);
	taken.delivered.push((await seen) - kept);
}
session.end();
await browser.close();
console.log(JSON.stringify(taken));
