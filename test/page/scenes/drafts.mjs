// SPDX-License-Identifier: Apache-2.0
// A mail begins with the writer's signature. A draft keeps itself: it is there after its window was closed, and two windows that write on the same one lose nothing.

/** With another address comes its signature, formatted or plain. */
async function exchange(page, until) {
	const message = page.getByRole('textbox', { name: 'Message' });
	const from = page.locator('.composer select');
	const read = () => message.evaluate((e) => (e.value ?? e.innerText).replace(/\u00a0/g, ' ').trimEnd());
	const stands = (words) => until(async () => (await read()).endsWith(words), `${words} to stand below`);
	for (const form of ['Plain text', 'Formatted']) {
		await stands('At the river');
		await from.selectOption({ label: 'info@example.org' });
		await stands('The office\nOpen from nine');
		await until(async () => !(await read()).includes('At the river'), 'the other signature to be gone');
		await from.selectOption({ index: 0 });
		await stands('At the river');
		await page.getByRole('button', { name: form, exact: true }).click();
	}
}

export default async function ({ signIn, shot, assert, until }) {
	const first = await signIn('alice', 'wonderland');
	await first.getByRole('button', { name: 'Settings' }).click();
	await first.getByRole('group', { name: 'info@example.org' }).getByRole('textbox', { name: 'Signature' }).fill('The office\nOpen from nine');
	await first.getByRole('button', { name: 'Save for info@example.org' }).click();
	await first.getByText('Saved.').waitFor();
	await first.getByRole('button', { name: 'Settings' }).click();
	const own = first.getByRole('group', { name: 'alice@example.org' });
	await own.getByRole('textbox', { name: 'Your name' }).fill('Alice Liddell');
	await own.getByRole('textbox', { name: 'Signature' }).fill('At the river');
	await own.getByRole('button', { name: 'Save for alice@example.org' }).click();
	await first.getByText('Saved.').waitFor();
	await first.getByRole('button', { name: 'Compose' }).click();
	await first.getByRole('textbox', { name: 'Message' }).filter({ hasText: 'At the river' }).waitFor();
	await exchange(first, until);
	await first.getByRole('combobox', { name: 'To' }).fill('bob@example.org');
	await first.getByRole('textbox', { name: 'Subject' }).fill('Plans');
	await first.getByRole('textbox', { name: 'Message' }).fill('The first thought');
	const files = first.waitForEvent('filechooser');
	await first.getByRole('button', { name: 'Insert image' }).click();
	await (await files).setFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') });
	await first.getByRole('list', { name: 'Attachments' }).getByText('notes.txt').waitFor();
	assert((await first.locator('.writing img').count()) === 0, 'what is no picture stands in the text');
	await first.getByText('Draft saved').waitFor();
	await first.context().close();

	const open = async () => {
		const page = await signIn('alice', 'wonderland');
		await page.getByRole('link', { name: /^Drafts/ }).click();
		await page.getByRole('row', { name: 'Plans' }).click();
		await page.getByRole('textbox', { name: 'Message' }).filter({ hasText: 'The first thought' }).waitFor();
		return page;
	};
	const [left, right] = [await open(), await open()];
	await left.getByRole('list', { name: 'Attachments' }).getByText('notes.txt').waitFor();
	await left.getByText('bob@example.org').first().waitFor();
	for (const [page, words] of [[left, 'left'], [right, 'right']]) {
		await page.getByRole('textbox', { name: 'Message' }).fill(`The first thought, and what the ${words} hand wrote`);
		await page.locator('.composer .state', { hasText: 'Draft saved' }).waitFor();
	}
	await shot(left, 'draft');
	for (const page of [left, right]) await page.getByRole('button', { name: 'Close' }).first().click();

	await until(async () => (await left.getByRole('row', { name: 'Plans' }).count()) === 2, 'both versions to be in the drafts');
	const previews = (await left.locator('.row .preview').allTextContents()).join('\n');
	assert(previews.includes('left hand') && previews.includes('right hand'), `something is lost:\n${previews}`);
}
