// SPDX-License-Identifier: Apache-2.0
// What becomes of a mail after "Send": taken back, held until a day, answered to all, forwarded with its file, refused by one of two. What is held for
// a few seconds is held side by side.

export default async function ({ signIn, shot, assert, until, queue }) {
	const alice = await signIn('alice', 'wonderland');
	const composer = alice.locator('.composer');
	const press = (name) => composer.getByRole('button', { name, exact: true }).click();
	const folder = (name) => alice.getByRole('link', { name: new RegExp(`^${name}`) }).click();

	await toTwo();
	await toAll();
	await forward();
	await undo();
	await later();
	await fates();

	async function write(to, subject) {
		await alice.getByRole('button', { name: 'Compose' }).click();
		await composer.getByRole('combobox', { name: 'To' }).fill(to);
		await composer.getByRole('textbox', { name: 'Subject' }).fill(subject);
		await composer.getByRole('textbox', { name: 'Message' }).fill('A few words.');
	}

	async function gone() {
		await composer.waitFor({ state: 'detached' });
	}

	async function toTwo() {
		await write('bob@example.org, nobody@example.net', 'To two');
		await press('Send');
		await gone();
	}

	async function toAll() {
		await alice.getByRole('row', { name: 'Party' }).click();
		await alice.getByText('Who comes?').last().waitFor();
		await alice.getByRole('button', { name: 'Reply to all' }).last().click();
		await composer.getByRole('textbox', { name: 'Message' }).waitFor();
		const chips = await composer.locator('.chips .chip').evaluateAll((all) => all.map((chip) => chip.title));
		assert(chips.join() === 'List <list@example.net>,dora@example.net,eve@example.net', `the answer goes to ${chips}`);
		await shot(alice, 'reply-all');
		await press('Send');
		await gone();
	}

	async function forward() {
		await alice.getByRole('button', { name: 'Forward' }).last().click();
		await composer.getByText('地图 map.bin').waitFor();
		await composer.getByRole('combobox', { name: 'To' }).fill('bob@example.org');
		await press('Send');
		await gone();
	}

	async function undo() {
		await write('list@example.net', 'Regretted');
		await press('Send');
		await gone();
		await until(() => queue().length, 'the mail to be in the queue at once');
		await alice.getByRole('button', { name: 'Undo' }).click();
		await alice.getByText('Not sent. The draft is back.').waitFor();
		await composer.getByRole('heading', { name: 'Regretted' }).waitFor();
		assert((await composer.getByRole('textbox', { name: 'Message' }).innerText()).includes('A few words.'), 'the text is not back');
		await shot(alice, 'undone');
		await press('Close');
		await gone();
	}

	async function later() {
		await write('list@example.net', 'On Monday');
		await press('Send later…');
		await shot(alice, 'later');
		await alice.getByRole('dialog', { name: 'Send later' }).getByRole('button', { name: 'Monday morning' }).click();
		await gone();
		await alice.getByText(/^Will be sent Monday/).waitFor();
		const held = await until(() => queue().find((one) => one.to === 'list@example.net' && Date.parse(one.next) > Date.now() + 3600_000), 'the mail to be held in the queue');
		assert(new Date(held.next).getDay() === 1, `it is to go on ${held.next}`);
		await folder('Sent');
		await alice.getByRole('row', { name: 'On Monday' }).click();
		await alice.getByRole('button', { name: 'Cancel sending' }).click();
		await composer.getByRole('heading', { name: 'On Monday' }).waitFor();
		await until(() => !queue().some((one) => one.id === held.id && one.state !== 'dropped'), 'the queue to let it go');
		await press('Discard draft');
		await gone();
	}

	async function fates() {
		await folder('Sent');
		await alice.getByRole('row', { name: 'To two' }).click();
		const delivery = alice.getByRole('region', { name: 'Delivery' });
		await delivery.getByText('bob@example.org: delivered').waitFor();
		await delivery.getByText('nobody@example.net: not delivered').waitFor();
		await delivery.getByText('nobody of that name').waitFor();
		await shot(alice, 'delivery');

		const bob = await signIn('bob', 'builder');
		await bob.getByRole('row', { name: 'Fwd: Party' }).click();
		const download = bob.waitForEvent('download');
		await bob.getByText('地图 map.bin').first().click();
		assert((await download).suggestedFilename() === '地图 map.bin', 'the file that was forwarded has another name');
	}
}
