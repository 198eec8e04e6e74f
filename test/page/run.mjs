// SPDX-License-Identifier: Apache-2.0
// node run.mjs SCENE: one scene of scenes/ in Debian's chromium, against the station that the environment names:
//   BASE     its web door, "http://127.0.0.1:8080"
//   SHOTS    directory for screenshots
//   INPUT    JSON for the scene; with "world", a port of 127.0.0.1, every other host leads there
// A scene is a default export, async (stage) => {}; what it throws is the failure.

import { createRequire } from 'node:module';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const require = createRequire(new URL('../../web/package.json', import.meta.url));
const { chromium } = require('playwright-core');

const scene = process.argv[2];
const base = process.env.BASE;
const shots = process.env.SHOTS;
const patience = 30_000; // a sanitizer build is slow; nothing asserts on time

mkdirSync(shots, { recursive: true });
const input = process.env.INPUT ? JSON.parse(process.env.INPUT) : {};
const world = input.world ? [`--host-resolver-rules=MAP * 127.0.0.1:${input.world}, EXCLUDE 127.0.0.1`] : [];
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', ...world] });
const problems = [];

/** A window of its own, with nobody signed in. Whatever the page complains about is a failure. */
async function open(options = {}) {
	const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, locale: 'en-GB', ignoreHTTPSErrors: true, ...options });
	context.setDefaultTimeout(patience);
	const page = await context.newPage();
	page.on('pageerror', (error) => problems.push(`page: ${error.message}`));
	page.on('console', (line) => line.type() === 'error' && !stage.expected.some((e) => e.test(line.text())) && problems.push(`console: ${line.text()}`));
	await page.goto(base);
	return page;
}

/** …and somebody signed in, in the language that the page has at first: English, if `options` names no other locale. */
async function signIn(login, password, options) {
	const page = await open(options);
	await page.locator('input[name=username]').fill(login);
	await page.locator('input[name=password]').fill(password);
	await page.locator('button[type=submit]').click();
	await page.locator('form input[name=password]').waitFor({ state: 'detached' });
	return page;
}

async function shot(page, name) {
	await page.screenshot({ path: join(shots, `${name}.png`) });
}

function assert(condition, words) {
	if (!condition) throw new Error(words);
}

const stage = { base, open, signIn, shot, assert, browser, require, expected: [/status of 401/], input };
let code = 0;
try {
	await (await import(`./scenes/${scene}.mjs`)).default(stage);
	if (problems.length) throw new Error(problems.join('\n'));
} catch (error) {
	console.error(error.stack);
	for (const [i, context] of browser.contexts().entries()) for (const page of context.pages()) await page.screenshot({ path: join(shots, `failed-${scene}-${i}.png`) }).catch(() => {});
	code = 1;
}
await browser.close();
process.exit(code);
