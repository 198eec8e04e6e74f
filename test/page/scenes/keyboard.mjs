// SPDX-License-Identifier: Apache-2.0
// Never a hand on the mouse: sign in, go through the list, read, answer, write, send, search, sign out.

export default async function ({ open, shot, assert, until }) {
	const page = await open();
	const keys = page.keyboard;
	const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '');
	/** Tab until the focus is on what is called so. */
	async function tabTo(name, key = 'Tab') {
		for (let n = 0; n < 60; n++) {
			if ((await focused()).startsWith(name)) return;
			await keys.press(key);
		}
		assert(false, `Tab does not come to ${name}`);
	}

	await page.locator('input[name=username]:focus').waitFor();
	await keys.type('alice');
	await keys.press('Tab');
	await keys.type('wonderland');
	await keys.press('Enter');
	await until(async () => (await page.locator('.row').count()) === 3, 'three mails');
	const [first, second] = await page.locator('.row .subject').allTextContents(); // all of one second: in whatever order

	await keys.press('Tab'); // the first thing is the way past everything
	assert((await focused()) === 'Skip to the list', `Tab comes first to ${await focused()}`);
	await shot(page, 'skip');
	await keys.press('Enter');
	await until(async () => (await focused()).includes(first), 'the focus to be on the first row');
	await keys.press('j');
	await keys.press('j');
	await keys.press('k');
	await until(async () => (await focused()).includes(second), 'j and k to move the focus');
	await keys.press('o');
	await page.locator('.plain', { hasText: `Text of ${second}` }).waitFor();
	await keys.press('r');
	await page.locator('.composer .writing:focus').waitFor();
	await keys.type('From the keys.');
	await keys.press('Control+Enter');
	await page.locator('.composer').waitFor({ state: 'detached' });
	await page.getByText('Will be sent in a few seconds.').waitFor();

	await keys.press('u');
	await keys.press('c');
	await page.locator('.composer [role=combobox]:focus').waitFor();
	await keys.type('bob@example.org,');
	await tabTo('Cc/Bcc');
	await keys.press('Tab');
	await keys.type('Typed');
	await tabTo('Message');
	await keys.type('All of it.');
	await tabTo('Send');
	await keys.press('Enter');
	await page.locator('.composer').waitFor({ state: 'detached' });

	await keys.press('?');
	await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
	await shot(page, 'keys');
	await keys.press('Escape');
	await page.getByRole('dialog').waitFor({ state: 'detached' });
	await keys.press('g');
	await keys.press('s');
	await page.getByRole('row', { name: 'Typed' }).waitFor();
	await page.getByRole('row', { name: `Re: ${second}` }).waitFor();
	await keys.press('/');
	await keys.type('subject:first');
	await keys.press('Enter');
	await until(async () => (await page.locator('.row .subject').allTextContents()).join() === 'First', 'the search to find it');
	await tabTo('Sign out');
	await keys.press('Enter');
	await page.locator('input[name=password]').waitFor();
}
