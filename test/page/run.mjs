// SPDX-License-Identifier: Apache-2.0
// node run.mjs SCENE: one scene of scenes/ in Debian's chromium, against the station that the environment names:
//   BASE     its web door, "http://127.0.0.1:8080"
//   SHOTS    directory for screenshots
//   INPUT    JSON: what the test tells its scene; always `command` (posthouse), `config`, `mail` (the directory of the mailboxes)
//            with `world`, a port of 127.0.0.1, all other hosts lead there
// A scene is a default export, async (stage) => {}; what it throws is the failure.

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const require = createRequire(new URL('../../web/package.json', import.meta.url));
const { chromium } = require('playwright-core');

const scene = process.argv[2];
const base = process.env.BASE;
const shots = process.env.SHOTS;
const input = JSON.parse(process.env.INPUT ?? '{}');
const patience = 30_000; // a sanitizer build is slow; nothing asserts on time

mkdirSync(shots, { recursive: true });
const own = ['google.com', 'googleapis.com', 'gstatic.com', 'gvt1.com'].map((host) => `MAP *.${host} ~NOTFOUND`); // the browser itself asks there
const world = input.world ? [`--host-resolver-rules=${own.join(', ')}, MAP * 127.0.0.1:${input.world}, EXCLUDE 127.0.0.1`] : [];
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', ...world] });
const problems = [];

/** What chromium always says: of the 401 that tells the page that nobody is signed in, and of styles in documents that are only parsed, never shown. */
const expected = [/status of 401/, /violates the following Content Security Policy/];

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

/** Polls until probe() gives something true, and gives it. */
async function until(probe, words) {
	for (const end = Date.now() + patience; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
		const value = await probe();
		if (value) return value;
		assert(Date.now() < end, `waited ${patience} ms: ${words}`);
	}
}

function posthouse(...words) {
	return execFileSync(input.command, [...words, '--config', input.config], { encoding: 'utf8' });
}

/** The recipients that wait in the queue. */
function queue() {
	return posthouse('queue', 'list', '--json').split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

const rules = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** No fault that axe-core knows of. It comes in by the debugger, so the page's policy does not stop it. */
async function accessible(page, view) {
	await page.evaluate(rules);
	const { violations } = await page.evaluate(() => window.axe.run(document, { iframes: false, resultTypes: ['violations'] }));
	const lines = violations.flatMap((v) => v.nodes.map((n) => `${view}: ${v.id}: ${n.target.join(' ')}: ${n.failureSummary}`));
	assert(!lines.length, lines.join('\n'));
}

const stage = { base, open, signIn, shot, assert, until, posthouse, queue, accessible, browser, require, expected, input };
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
