// SPDX-License-Identifier: Apache-2.0
// More mails than the list loads at once: all of them are chosen, moved, brought back, stopped half-way, and the errors among them are told.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

export default async function ({ expected, signIn, shot, accessible, assert, until, input }) {
	const alice = await signIn('alice', 'wonderland');
	const inFolder = (folder) => ['new', 'cur'].flatMap((part) => readdirSync(join(input.mail, 'alice', folder, part))).length;
	const bar = alice.getByRole('toolbar', { name: 'Mails' });
	const button = (name) => alice.getByRole('button', { name, exact: true });
	const all = input.many + 1;
	await bar.getByText(`${all} conversations`).waitFor();

	const chooseAll = async (words) => {
		await alice.getByRole('checkbox', { name: 'Select all' }).check();
		await alice.getByText('The 50 conversations loaded so far are selected.').waitFor();
		await button(words).click();
	};
	await alice.getByRole('row').first().waitFor();
	await chooseAll(`Select all ${all} in Inbox`);
	await bar.getByText(`${all} selected`).waitFor();
	await shot(alice, 'everything');
	await accessible(alice, 'everything');
	await alice.getByRole('row').first().focus();
	await alice.keyboard.press('End');
	assert((await alice.locator('.row:not(.is-ticked)').count()) === 0, 'a row that came later is not ticked');
	await bar.getByRole('button', { name: 'Archive' }).click();
	await alice.getByText(`${all} conversations archived.`).waitFor();
	await until(() => inFolder('') === 0 && inFolder('.Archive') === all, 'all files in the archive');
	await button('Undo').click();
	await alice.getByText('Undone.').waitFor();
	await until(() => inFolder('') === all && inFolder('.Archive') === 0, 'all files to be back');

	await search();
	await stop();
	await fail();
	await destroy();

	/** What a search finds, and no more. */
	async function search() {
		await alice.getByRole('searchbox').fill('subject:circular');
		await alice.keyboard.press('Enter');
		await bar.getByText(`${input.many} conversations`).waitFor();
		await chooseAll(`Select all ${input.many} found`);
		await bar.getByRole('button', { name: 'Mark as read' }).click();
		await alice.getByText(`${input.many} conversations changed.`).waitFor();
		await button('Clear search').click();
		await until(async () => (await alice.title()).startsWith('(1)'), 'one to be left unread');
	}

	/** Escape, while the first piece is under way: that one is still done, no other, and it can be taken back. */
	async function stop() {
		let sets = 0;
		let letGo;
		const gone = new Promise((resolve) => (letGo = resolve));
		await alice.route('**/jmap/api', async (route) => {
			if (route.request().postData().includes('"Email/set"') && ++sets === 1) await gone;
			await route.continue();
		});
		await bar.getByText(`${all} conversations`).waitFor();
		await chooseAll(`Select all ${all} in Inbox`);
		await bar.getByRole('button', { name: 'Archive' }).click();
		const working = alice.getByRole('dialog', { name: 'Working…' });
		await working.getByText(`0 of ${all}`).waitFor();
		await shot(alice, 'working');
		await accessible(alice, 'working');
		await alice.keyboard.press('Escape');
		await working.waitFor({ state: 'detached' });
		letGo();
		await alice.getByText(`Stopped. 200 of ${all} messages were changed.`).waitFor();
		await alice.unroute('**/jmap/api');
		await until(() => inFolder('.Archive') === 200, 'what was done to stay done');
		await button('Undo').click();
		await until(() => inFolder('') === all, 'what was done to be taken back');
	}

	/** The station is gone after the first piece. */
	async function fail() {
		expected.push(/net::ERR_/);
		let sets = 0;
		await alice.route('**/jmap/api', (route) => (route.request().postData().includes('"Email/set"') && ++sets > 1 ? route.abort() : route.continue()));
		await bar.getByText(`${all} conversations`).waitFor();
		await chooseAll(`Select all ${all} in Inbox`);
		await bar.getByRole('button', { name: 'Delete' }).click();
		await alice.getByText(`Only 200 of ${all} messages could be changed.`).waitFor();
		await alice.unroute('**/jmap/api');
		await button('Undo').click();
		await until(() => inFolder('') === all, 'what was done to be taken back');
	}

	/** From the keyboard: everything into the trash, and from there out of the world. */
	async function destroy() {
		const pick = async () => {
			await bar.getByText(`${all} conversations`).waitFor();
			await alice.keyboard.press('X');
			await alice.getByText('The 50 conversations loaded so far').waitFor();
			await alice.keyboard.press('X');
			await bar.getByText(`${all} selected`).waitFor();
			await alice.keyboard.press('#');
		};
		await pick();
		await alice.getByText(`${all} conversations moved to Trash.`).waitFor();
		await alice.keyboard.press('g');
		await alice.keyboard.press('t');
		await alice.getByRole('link', { name: /^Trash/, current: 'page' }).waitFor();
		await pick();
		await alice.getByRole('dialog').getByRole('button', { name: 'Delete permanently' }).click();
		await alice.getByText(`${all} conversations deleted permanently.`).waitFor();
		await until(() => inFolder('.Trash') === 0, 'no file in the trash');
	}
}
