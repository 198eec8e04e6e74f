// SPDX-License-Identifier: Apache-2.0
// Every view, in both languages and both colours, on a desk or on a phone: axe-core finds no fault, the Chinese page has no English word, nothing is out of
// reach. The pictures are for people to look at.

import { readFileSync } from 'node:fs';

const names = {
	en: { compose: 'Compose', settings: 'Settings', menu: 'Menu', back: 'Back', later: 'Send later…', cc: 'Cc/Bcc', move: 'Move to…', keys: 'Keyboard shortcuts', discard: 'Discard draft', signOut: 'Sign out' },
	'zh-CN': { compose: '写邮件', settings: '设置', menu: '菜单', back: '返回', later: '定时发送…', cc: '抄送/密送', move: '移动到…', keys: '键盘快捷键', discard: '删除草稿', signOut: '退出登录' },
};
const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

/** The words of the English catalogue that a Chinese page may not show. */
function englishWords(path) {
	const found = [...readFileSync(path, 'utf8').matchAll(/^\t\w+: '((?:[^'\\]|\\.)*)'/gm)].map((m) => m[1]);
	return new Set(found.filter((words) => !['OK', 'HTML'].includes(words)));
}

/** What somebody sees or hears: texts and the names of controls; not what stands on the keys. */
function said() {
	const texts = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) if (!walk.currentNode.parentElement.closest('kbd')) texts.push(walk.currentNode.textContent.trim());
	for (const element of document.querySelectorAll('[aria-label], [title], [placeholder], [alt]'))
		for (const name of ['aria-label', 'title', 'placeholder', 'alt']) texts.push(element.getAttribute(name) ?? '');
	return texts;
}

/** Controls of the page that lie outside of it, where no scrolling brings them. */
function outside() {
	const seen = [...document.querySelectorAll('button, a, input, select, textarea, [role=textbox]')].filter((e) => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !e.closest('.row, .hidden, .skip'));
	return seen.map((e) => [e.getAttribute('aria-label') ?? e.textContent, e.getBoundingClientRect()]).filter(([, r]) => r.width > 1 && (r.left < -1 || r.right > innerWidth + 1)).map(([name]) => name);
}

export default async function (stage) {
	const { open, shot, assert, accessible, input } = stage;
	const english = englishWords(input.english);
	const isPhone = input.device === 'phone';
	for (const [locale, colorScheme] of isPhone ? [['en', 'dark'], ['zh-CN', 'light']] : [['en', 'light'], ['zh-CN', 'dark']]) await tour(locale, colorScheme);

	async function tour(locale, colorScheme) {
		const page = await open({ locale, colorScheme, reducedMotion: 'reduce', ...(isPhone ? phone : {}) });
		const n = names[locale];
		const button = (name) => page.getByRole('button', { name, exact: true });
		const view = async (name) => {
			const where = `${input.device}-${locale}-${colorScheme}-${name}`;
			await shot(page, where);
			await accessible(page, where);
			const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
			assert(width <= 0, `${where} is ${width} px too wide`);
			const lost = await page.evaluate(outside);
			assert(!lost.length, `${where}: out of reach: ${lost.join(', ')}`);
			if (locale !== 'en') {
				const words = (await page.evaluate(said)).filter((text) => english.has(text));
				assert(!words.length, `${where}: not translated: ${words.join(', ')}`);
			}
		};
		/** A mail in the list; on a phone the list comes back first. */
		const read = async (subject) => {
			if (isPhone && (await page.locator('.is-reading').count())) await button(n.back).click();
			await page.getByRole('row', { name: subject }).click();
			await page.locator('.heads').first().waitFor();
		};

		await page.locator('input[name=password]').waitFor();
		await view('door');
		await page.locator('input[name=username]').fill('alice');
		await page.locator('input[name=password]').fill('wonderland');
		await page.locator('button[type=submit]').click();
		await page.getByRole('row', { name: 'Big sale' }).waitFor();
		await view('list');
		if (isPhone) {
			await button(n.menu).click();
			await page.locator('.folders.is-open').waitFor();
			await view('folders');
			await button(n.menu).click();
		}
		await page.getByRole('row', { name: 'Big sale' }).getByRole('checkbox').check();
		await view('chosen');
		await button(n.move).first().click();
		await view('move');
		await page.keyboard.press('Escape');
		await page.getByRole('row', { name: 'Big sale' }).getByRole('checkbox').uncheck();

		await read('A plain mail');
		await view('plain');
		await read('Big sale');
		await page.locator('iframe.frame').waitFor();
		await page.locator('.notice').waitFor();
		await view('html');
		await read('Files');
		await page.locator('.attachments').waitFor();
		await view('files');
		if (isPhone) await button(n.back).click();

		await button(n.compose).click();
		await page.locator('.composer .writing').waitFor();
		const [more, from] = [await button(n.cc).boundingBox(), await page.locator('.composer select').boundingBox()];
		assert(more.y >= from.y + from.height, 'one button lies over another line');
		await button(n.cc).click();
		await page.locator('.composer [role=combobox]').first().fill('bob@example.org, wrong,');
		await page.locator('.composer .writing').fill('今天 today');
		await view('composer');
		await button(n.later).click();
		await view('later');
		await page.keyboard.press('Escape');
		await button(n.discard).click();
		await page.locator('.toast').waitFor();
		await view('toast');

		await button(n.settings).click();
		await page.locator('dialog[open] legend').first().waitFor();
		await view('settings');
		await button(n.keys).click();
		await view('keys');
		await page.keyboard.press('Escape');
		await button(n.settings).click();
		await page.locator('dialog select').first().selectOption(locale === 'en' ? 'zh-CN' : 'en');
		await page.getByRole('heading', { name: names[locale === 'en' ? 'zh-CN' : 'en'].settings }).waitFor();
		await page.locator('dialog select').first().selectOption(locale);
		await page.keyboard.press('Escape');
		await button(n.signOut).click();
		await page.locator('input[name=password]').waitFor();
		await page.context().close();
	}
}
