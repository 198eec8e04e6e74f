// SPDX-License-Identifier: Apache-2.0
// Mails that lie, follow and lure: remote pictures, pictures of its own, links, names, files; each opened from the list by its subject.

const rightToLeft = '\u202e';

async function read(page, subject) {
	await page.locator('.rows .subject', { hasText: subject }).first().click();
	await page.locator('.thread h2', { hasText: subject }).waitFor();
	const iframe = page.locator('iframe.frame');
	return { iframe, frame: async () => {
		const frame = await (await iframe.elementHandle()).contentFrame();
		await frame.waitForURL(/\/frame\//);
		await frame.waitForLoadState('load');
		return frame;
	} };
}

/** The frame may just be going to its next address. */
const pictures = async (mail) => (await mail.frame()).evaluate(() => [...document.images].map((i) => (i.complete && i.naturalWidth > 0 ? 'shown' : 'not shown'))).catch(() => ['gone']);

const untilAll = (stage, mail, wanted) => stage.until(async () => (await pictures(mail)).every((p) => p === wanted), `all pictures to be ${wanted}`);

/** Blocked; then of this mail alone; then of all of this sender, and of nobody else. What the world saw, the caller looks at. */
async function remote(stage, page) {
	const { shot } = stage;
	const ask = page.getByRole('button', { name: 'Show pictures' });
	let mail = await read(page, 'Offer one');
	await ask.waitFor();
	await untilAll(stage, mail, 'not shown');
	await shot(page, 'hostile-remote-blocked');
	await ask.click();
	await page.waitForFunction(() => !document.querySelector('.notice'));
	await untilAll(stage, mail, 'shown');
	await shot(page, 'hostile-remote-shown');

	mail = await read(page, 'Offer two');
	await page.getByRole('button', { name: 'Always for shop@offers.example' }).click();
	await page.waitForFunction(() => !document.querySelector('.notice'));
	await untilAll(stage, mail, 'shown');
	mail = await read(page, 'Offer three');
	await untilAll(stage, mail, 'shown');
	mail = await read(page, 'Another shop');
	await ask.waitFor();
	await untilAll(stage, mail, 'not shown');
}

async function newsletter(stage, page) {
	const { assert, shot } = stage;
	const mail = await read(page, 'Newsletter');
	await mail.frame();
	const before = await mail.iframe.getAttribute('src');
	await shot(page, 'hostile-newsletter');
	await page.getByRole('button', { name: 'Show pictures' }).click();
	await page.waitForFunction(() => !document.querySelector('.notice'));
	await stage.until(async () => (await mail.iframe.getAttribute('src')) !== before, 'the newsletter with its pictures');
	const look = await stage.until(
		async () =>
			(await mail.frame())
				.evaluate(() => ({
					text: document.body.innerText.length,
					tables: document.querySelectorAll('table').length,
					backgrounds: [...document.querySelectorAll('*')].filter((e) => getComputedStyle(e).backgroundColor !== 'rgba(0, 0, 0, 0)').length,
				}))
				.catch(() => null), // the frame may just be going to its next address
		'the newsletter',
	);
	assert(look.text > 500 && look.tables > 3 && look.backgrounds > 1, `the newsletter is ${JSON.stringify(look)}`);
	await shot(page, 'hostile-newsletter-pictures');
}

async function ownPictures({ assert, shot }, page) {
	const mail = await read(page, 'Own pictures');
	const frame = await mail.frame();
	const shown = await frame.evaluate(() => Object.fromEntries([...document.images].map((i) => [i.id || i.alt, (i.getAttribute('src') ?? '').slice(0, 15) + (i.naturalWidth > 0)])));
	assert(shown.png === 'data:image/png;true', `the picture is ${JSON.stringify(shown)}`);
	assert(!shown.svg?.startsWith('data:image/svg'), `an SVG is shown: ${JSON.stringify(shown)}`);
	await shot(page, 'hostile-own-pictures');
}

async function links({ assert, shot }, page) {
	const mail = await read(page, 'Links');
	const frame = await mail.frame();
	const found = await frame.evaluate(() =>
		[...document.querySelectorAll('a, area')].map((a) => ({ text: a.textContent.trim(), href: a.getAttribute('href'), rel: a.rel, target: a.target, title: a.title, note: a.nextElementSibling?.className === 'posthouse-host' ? a.nextElementSibling.textContent : null })),
	);
	const by = (text) => found.find((a) => a.text === text) ?? assert(false, `no link ${text}: ${JSON.stringify(found)}`);
	for (const gone of ['script', 'data', 'file', 'blob', 'view']) assert(by(gone).href === null, `${gone} leads to ${by(gone).href}`);
	for (const a of found) if (a.href?.startsWith('http')) assert(/noopener/.test(a.rel) && /noreferrer/.test(a.rel) && a.target === '_blank', `opens with ${JSON.stringify(a)}`);
	for (const lie of ['www.bank.example', 'https://bank.example/login', 'bank.example (safe)', 'Visit bank.example', 'bank\u200b.example', 'b\u00adank.example', 'https://bank.example@phish.example/'])
		assert(by(lie).note === 'leads to phish.example', `“${lie}” is not marked: ${JSON.stringify(by(lie))}`);
	assert(by('honest').note === null && by('honest').title === 'leads to phish.example', 'an honest link is marked');
	assert(by('www.honest.example').note === null, 'a true host is marked');
	assert(by('cyrillic').title === 'leads to xn--80ak6aa92e.com', `the host is told as ${by('cyrillic').title}`);
	await shot(page, 'hostile-links');

	const popup = page.context().waitForEvent('page');
	await frame.locator('a', { hasText: /^honest$/ }).click();
	const opened = await popup;
	await opened.waitForLoadState();
	assert((await opened.evaluate(() => [window.opener, document.referrer].join('|'))) === '|', 'whoever was linked to knows of us');
	await opened.close();
	assert(page.url().startsWith(stage_base), 'the page has gone');
}
let stage_base;

async function names({ assert, shot }, page) {
	await read(page, 'I am your bank');
	const head = page.locator('.message-head .person');
	assert((await head.textContent()).includes('<thief@evil.example>'), `the sender reads ${await head.textContent()}`);
	const list = page.locator('.rows [role=row]', { hasText: 'I am your bank' }).locator('.people');
	assert(!(await list.textContent()).includes('service@bank.example') || (await list.textContent()).includes('thief@evil.example'), `the list says ${await list.textContent()}`);
	await shot(page, 'hostile-sender');

	await read(page, 'Turned');
	for (const where of ['.message-head .person-name', '.thread h2', '.rows .is-open .subject', '.rows .is-open .names']) {
		const isolated = await page.locator(where).first().evaluate((e) => {
			for (let up = e; up; up = up.parentElement) if (/isolate|plaintext/.test(getComputedStyle(up).unicodeBidi) || up.localName === 'bdi') return true;
			return getComputedStyle(e).display !== 'inline'; // a block is a paragraph of its own
		});
		assert(isolated, `what ${where} says can turn what stands around it`);
	}
	for (const email of await page.locator('.message-head .person-email, .heads .person-name + .person-email').all())
		assert(await email.evaluate((e) => e.getBoundingClientRect().left > e.previousElementSibling.getBoundingClientRect().left), 'the address stands before the name');
	await shot(page, 'hostile-turned');
}

async function files({ assert, shot, base }, page) {
	await read(page, 'Files');
	await page.locator('.attachments li').first().waitFor();
	const listed = await page.locator('.attachments .name').allTextContents();
	assert(!listed.some((n) => n.includes(rightToLeft)), `a name of a file is turned: ${JSON.stringify(listed)}`);
	await shot(page, 'hostile-files');
	const addresses = await page.locator('.attachments a').evaluateAll((all) => all.map((a) => a.getAttribute('href')));
	for (const [n, address] of addresses.entries()) {
		const download = page.waitForEvent('download');
		await page.locator('.attachments a').nth(n).click();
		const name = (await download).suggestedFilename();
		assert(!/[/\\\u202e]|^\./.test(name), `saved as ${name}`);
		for (const type of ['text/html', 'image/svg+xml', 'application/xhtml+xml', 'text/xml', 'application/pdf', 'text/javascript']) {
			const answer = await page.request.get(`${base}${address.replace(/type=.*/, `type=${encodeURIComponent(type)}`)}`);
			const heads = answer.headers();
			assert(answer.status() === 200, `${address}: ${answer.status()}`);
			assert(heads['content-disposition'].startsWith('attachment') && /sandbox/.test(heads['content-security-policy']) && heads['x-content-type-options'] === 'nosniff', `as ${type}: ${JSON.stringify(heads)}`);
		}
		for (const type of ['image/png', 'text/plain', 'text/plain;charset=utf-7']) {
			const heads = (await page.request.get(`${base}${address.replace(/type=.*/, `type=${encodeURIComponent(type)}`)}`)).headers();
			assert(/sandbox/.test(heads['content-security-policy']) && heads['x-content-type-options'] === 'nosniff', `as ${type}: ${JSON.stringify(heads)}`);
		}
	}
}

/** An answer takes the mail into the editor, which stands in the page itself: it may not cover it, fetch, or run there. */
async function answer({ assert, shot }, page) {
	await read(page, 'Cover');
	await page.getByRole('button', { name: 'Reply', exact: true }).first().click();
	const editor = page.locator('.writing.rich');
	await editor.getByText('covers all').waitFor();
	const { inside, at } = await editor.evaluate((e) => {
		const box = e.getBoundingClientRect();
		const boxes = [...e.querySelectorAll('*')].map((c) => getComputedStyle(c).position);
		return { inside: boxes.filter((p) => p === 'fixed' || p === 'absolute' || p === 'sticky').length, at: box.width };
	});
	await shot(page, 'hostile-answer');
	assert(inside === 0 && at > 0, 'a quoted mail stands outside its place');
	assert((await editor.locator('script, style, form, iframe, [onclick], [onerror]').count()) === 0, 'the editor has more than text in it');
	assert(!(await editor.innerHTML()).includes('paypal'), 'a style has become text or a link');
}

/** Printed, the heads stand above the mail in one document: it can neither hide nor cover them. */
async function printed({ assert, shot }, page) {
	await read(page, 'Forged heads');
	const tab = page.context().waitForEvent('page');
	await page.getByRole('button', { name: 'Print', exact: true }).click();
	const paper = await tab;
	await paper.waitForURL(/\/frame\//);
	await paper.waitForLoadState('load');
	await shot(paper, 'hostile-printed');
	const hidden = await paper.evaluate(() =>
		[...document.querySelectorAll('body > h2, body > p')].filter((e) => {
			const { left, top, height } = e.getBoundingClientRect();
			const seen = document.elementFromPoint(left + 5, top + height / 2);
			return !e.checkVisibility() || !(seen && e.contains(seen));
		}).map((e) => e.textContent),
	);
	assert((await paper.locator('body > p').first().textContent()).includes('mallory@evil.example'), 'the heads are missing');
	assert(hidden.length === 0, `the mail hides ${hidden.join(', ')}`);
	assert(await paper.getByText('the end of it').isVisible(), 'the mail is not printed');
	await paper.close();
}

export default async function (stage) {
	const { signIn, expected, assert } = stage;
	expected.push(/./); // the browser tells of each thing that a policy forbids
	stage_base = stage.base;
	const alice = await signIn('alice@example.org', 'wonderland', { viewport: { width: 1200, height: 1000 } });
	alice.on('dialog', (d) => assert(false, `a dialog: ${d.message()}`));
	const steps = { remote, newsletter, ownPictures, links, names, files, printed, answer };
	const faults = [];
	for (const [name, step] of Object.entries(steps)) {
		if (name === 'newsletter' && !stage.input.has_newsletter) continue;
		await step(stage, alice).catch(async (e) => (faults.push(`${name}: ${e.message}`), stage.shot(alice, `failed-hostile-${name}`)));
	}
	assert(faults.length === 0, faults.join('\n'));
}
