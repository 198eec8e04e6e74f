// SPDX-License-Identifier: Apache-2.0
// What a reader does with mails that are there: finds them, reads old ones, looks at their source, puts them elsewhere and takes that back.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

export default async function ({ open, expected, signIn, shot, assert, until, posthouse, input }) {
	const alice = await signIn('alice', 'wonderland');
	const row = (words) => alice.getByRole('row', { name: words });
	const button = (name) => alice.getByRole('button', { name, exact: true });
	const inBox = () => ['new', 'cur'].flatMap((part) => readdirSync(join(input.mail, 'alice', part))).length;
	const inFolder = (folder) => ['new', 'cur'].flatMap((part) => readdirSync(join(input.mail, 'alice', `.${folder}`, part))).length;
	await row('Minutes').waitFor();
	await shot(alice, 'list');

	await search();
	await charsets();
	await source();
	await unsubscribe();
	await bulk();
	await filters();
	await emptyTrash();
	await folders();
	await news();
	await lost();

	async function search() {
		const found = {
			'sum due': ['Invoice 7'],
			'会议': ['Minutes'],
			'from:carol invoice': ['Invoice 7'],
			'from:dave': ['Invoice 8'],
			'has:attachment': ['Invoice 7'],
			'larger:5k': ['Invoice 7'],
			'subject:invoice smaller:5k': ['Invoice 8'],
			'invoice -small': ['Invoice 7'],
			'subject:minutes after:2020-01-01': ['Minutes'],
			'invoice before:2020-01-01': [],
		};
		const line = alice.getByRole('searchbox');
		for (const [words, subjects] of Object.entries(found)) {
			await line.fill(words);
			await line.press('Enter');
			await alice.getByRole('heading', { name: `Search: ${words}` }).waitFor({ state: 'attached' });
			if (!subjects.length) await alice.getByText('Nothing found.').waitFor();
			await until(async () => (await alice.locator('.row .subject').allTextContents()).join() === subjects.join(), `${words} to find ${subjects}`);
			if (words === '会议') {
				assert((await alice.locator('.row mark').allTextContents()).join('').includes('会议'), 'what was found is not marked');
				await shot(alice, 'search');
			}
		}
		await button('Clear search').click();
		await row('Minutes').waitFor();
	}

	async function charsets() {
		for (const [name, text] of Object.entries(input.charsets)) {
			await row(`Charset ${name}`).click();
			await alice.locator('.plain', { hasText: text }).waitFor();
		}
	}

	async function source() {
		await row('Invoice 7').click();
		await alice.getByText('The sum is due').last().waitFor();
		const [tab] = await Promise.all([alice.waitForEvent('popup'), alice.getByRole('link', { name: 'View source' }).click()]);
		await tab.getByText('Received: ').first().waitFor();
		assert((await tab.locator('body').innerText()).includes('Subject: Invoice 7'), 'the source is not that of the mail');
		await tab.close();
	}

	async function unsubscribe() {
		await row('Newsletter').click();
		await button('Unsubscribe').click();
		const composer = alice.getByRole('dialog', { name: 'leave' });
		await composer.getByText('leave@lists.example.net').waitFor();
		await button('Discard draft').click();
		await composer.waitFor({ state: 'detached' });
	}

	async function bulk() {
		const before = inBox();
		for (const name of ['one', 'two', 'three']) await row(`Charset ${name}`).getByRole('checkbox').check();
		await alice.getByText('3 selected').waitFor();
		await shot(alice, 'selected');
		await alice.getByRole('toolbar', { name: 'Mails' }).getByRole('button', { name: 'Archive' }).click();
		await alice.getByText('3 conversations archived.').waitFor();
		await until(() => inBox() === before - 3 && inFolder('Archive') === 3, 'three files in the Maildir of the archive');
		await button('Undo').click();
		await alice.getByText('Undone.').waitFor();
		await until(() => inBox() === before && inFolder('Archive') === 0, 'three files to be back');
		await row('Charset two').waitFor();

		for (const name of ['one', 'two']) await row(`Charset ${name}`).getByRole('checkbox').check();
		await alice.getByRole('toolbar', { name: 'Mails' }).getByRole('button', { name: 'Delete' }).click();
		await alice.getByText('2 conversations moved to Trash.').waitFor();
		await until(() => inFolder('Trash') === 2, 'two files in the trash');
	}

	async function filters() {
		const show = alice.getByRole('group', { name: 'Show' });
		const all = await alice.locator('.row').count();
		await row('Minutes').getByRole('button', { name: /^Star/ }).click();
		await show.getByRole('button', { name: 'Starred' }).click();
		await until(async () => (await alice.locator('.row .subject').allTextContents()).join() === 'Minutes', 'only what has a star to be shown');
		await show.getByRole('button', { name: 'Unread' }).click();
		await until(async () => (await alice.locator('.row').count()) > 0 && (await alice.locator('.row:not(.is-unread)').count()) === 0, 'only what is unread to be shown');
		await show.getByRole('button', { name: 'All' }).click();
		await until(async () => (await alice.locator('.row').count()) === all, 'all to be shown again');
	}

	async function emptyTrash() {
		await alice.getByRole('link', { name: /^Trash/ }).click();
		await until(async () => (await alice.locator('.row').count()) === 2, 'what was thrown away');
		await button('Empty Trash').click();
		await alice.getByRole('dialog').getByRole('button', { name: 'Delete permanently' }).click();
		await alice.getByText('Trash is empty.').waitFor();
		await alice.getByText('Nothing here.').waitFor();
		await until(() => inFolder('Trash') === 0, 'no file in the trash');
		await alice.getByRole('link', { name: /^Inbox/ }).click();
		await row('Minutes').waitFor();
	}

	async function folders() {
		await button('New folder').click();
		await alice.getByRole('textbox', { name: 'Name of the folder' }).fill('Bills 账单');
		await button('OK').click();
		await alice.getByRole('link', { name: 'Bills 账单' }).waitFor();
		await row('Invoice 8').getByRole('checkbox').check();
		await alice.getByRole('toolbar', { name: 'Mails' }).getByRole('button', { name: 'Move to…' }).click();
		await alice.getByRole('dialog').getByRole('button', { name: 'Bills 账单' }).click();
		await row('Invoice 8').waitFor({ state: 'detached' });
		await alice.getByRole('link', { name: 'Bills 账单' }).click();
		await row('Invoice 8').waitFor();
		await button('Remove folder').click();
		await alice.getByRole('dialog').getByRole('button', { name: 'Remove folder' }).click();
		await alice.getByText('The folder is not empty.').waitFor();
		await button('Rename folder').click();
		await alice.getByRole('textbox', { name: 'Name of the folder' }).fill('Paid');
		await button('OK').click();
		await alice.getByRole('link', { name: 'Paid' }).waitFor();
		await row('Invoice 8').getByRole('checkbox').check();
		await alice.getByRole('toolbar', { name: 'Mails' }).getByRole('button', { name: 'Archive' }).click();
		await alice.getByText('Nothing here.').waitFor();
		await button('Remove folder').click();
		await alice.getByRole('dialog').getByRole('button', { name: 'Remove folder' }).click();
		await alice.getByRole('link', { name: 'Paid' }).waitFor({ state: 'detached' });
		await row('Minutes').waitFor();
	}

	/** The station is gone: the list says so and tries again, and so does the door. */
	async function lost() {
		expected.push(/net::ERR_/);
		const isApi = (url) => url.pathname.startsWith('/jmap');
		await alice.route(isApi, (route) => route.abort());
		await alice.getByRole('link', { name: /^Archive/ }).click();
		await alice.locator('.list').getByText('This could not be loaded.').waitFor();
		await alice.unroute(isApi);
		await alice.locator('.list').getByRole('button', { name: 'Try again' }).click();
		await alice.getByText('Nothing here.').or(alice.locator('.row')).first().waitFor();

		const door = await open();
		await door.route('**/session', (route) => route.abort());
		await door.locator('input[name=username]').fill('alice');
		await door.locator('input[name=password]').fill('wonderland');
		await door.locator('button[type=submit]').click();
		await door.getByRole('alert').filter({ hasText: 'No connection to the server.' }).waitFor();
	}

	async function news() {
		posthouse('send', 'alice@example.org', '--from', 'bob@example.org', '-s', 'Fresh from the press', '-m', 'Read all about it.', '--via', `smtp://127.0.0.1:${input.smtp}`);
		await row('Fresh from the press').waitFor();
		assert(/^\(\d+\)/.test(await alice.title()), 'the title does not tell of it');
	}
}
