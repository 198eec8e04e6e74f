// SPDX-License-Identifier: Apache-2.0
// Sign in, write a mail with an attachment of a Chinese name, send it; it arrives at somebody else's page without a reload, and is answered.

import { readFile } from 'node:fs/promises';

export default async function ({ signIn, shot, assert }) {
	const alice = await signIn('alice@example.org', 'wonderland');
	const bob = await signIn('bob', 'builder');
	await bob.getByText('Nothing here.').waitFor();

	await alice.getByRole('button', { name: 'Compose' }).click();
	await alice.getByRole('button', { name: 'Send', exact: true }).click();
	const to = alice.locator('.composer [role=combobox][aria-invalid=true]:focus');
	await to.waitFor();
	const words = await to.evaluate((e) => document.getElementById(e.getAttribute('aria-describedby')).textContent);
	assert(words === 'Add a recipient.', `of the missing recipient it says ${words}`);
	await to.fill('wrong,');
	await alice.getByRole('button', { name: 'Send', exact: true }).click();
	await alice.getByText('“wrong” is not an address.').waitFor();
	await alice.getByRole('button', { name: 'Remove wrong' }).click();
	assert((await alice.locator('.composer [aria-invalid=true]').count()) === 0, 'what was mended is still told');
	await alice.getByRole('combobox', { name: 'To' }).fill('bob@example.org');
	await alice.getByLabel('Subject').fill('Lunch 午饭');
	await alice.getByRole('textbox', { name: 'Message' }).fill('See you at noon.\n.\n中午见。');
	const files = alice.waitForEvent('filechooser');
	await alice.getByRole('button', { name: 'Attach files' }).click();
	await (await files).setFiles({ name: '菜单 menu.txt', mimeType: 'text/plain', buffer: Buffer.from('饺子\n') });
	await alice.getByText('菜单 menu.txt').waitFor();
	await shot(alice, 'compose');
	await alice.getByRole('button', { name: 'Send', exact: true }).click();
	await alice.getByText('Will be sent in a few seconds.').waitFor();

	const row = bob.getByText('Lunch 午饭').first();
	await row.waitFor(); // the page hears of it by itself
	await shot(bob, 'inbox');
	await row.click();
	await bob.getByText('See you at noon.').first().waitFor();
	await bob.getByText('alice@example.org').first().waitFor();
	await bob.locator('iframe.frame').waitFor(); // which pushes down what hangs on the mail
	const download = bob.waitForEvent('download');
	await bob.getByText('菜单 menu.txt').first().click();
	const file = await download;
	assert(file.suggestedFilename() === '菜单 menu.txt', `downloaded as ${file.suggestedFilename()}`);
	assert((await readFile(await file.path(), 'utf8')) === '饺子\n', 'the attachment has changed');
	await shot(bob, 'reading');

	await bob.getByRole('button', { name: 'Reply', exact: true }).first().click();
	await bob.getByRole('textbox', { name: 'Message' }).fill('Fine.');
	await bob.getByRole('button', { name: 'Send', exact: true }).click();
	await alice.getByText('Re: Lunch 午饭').first().waitFor();
}
