// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { destroyed, station } from './station';
import { Draft } from '../src/compose/draft';
import { holdSeconds, send } from '../src/compose/send';
import { holdMost_s, identities, mailboxes } from '../src/store';

const folder = (id: string, role: string) => ({ id, name: role, parentId: null, role, sortOrder: 0, totalEmails: 0, unreadEmails: 0, totalThreads: 0, unreadThreads: 0 });
const folders = [folder('fd', 'drafts'), folder('fs', 'sent')];
mailboxes.value = folders;
identities.value = [{ id: 'i', name: 'Wei', email: 'wei@example.org', textSignature: '', htmlSignature: '' }];

const begin = () => new Draft({ to: [{ name: null, email: 'ann@x.org' }], subject: 'Plan', text: 'Words', savedAs: 'old' }, false);

/** Mails that are made are m1, m2, …; destroying and reading fail as long as `is.broken`. */
function shaky(is: { broken: boolean }, refusal?: { type: string }) {
	let mails = 0;
	return station((name, args) => {
		const { create } = args;
		if (name === 'Email/set' && create) return { created: { [Object.keys(create)[0]!]: { id: `m${++mails}` } } };
		if (name === 'EmailSubmission/set') return refusal ? { notCreated: { s: refusal } } : { created: { s: { id: 's1' } } };
		return is.broken ? null : { list: name === 'Mailbox/get' ? [...folders] : [], ids: [], destroyed: args['destroy'] };
	});
}

async function settled(): Promise<void> {
	for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
}

test('what was sent is never destroyed, also when the old version cannot go', async () => {
	const is = { broken: true };
	const { requests } = shaky(is);
	const draft = begin();
	assert.equal(await send(draft, null), true);
	await settled();
	assert.deepEqual(destroyed(requests), ['old']);

	is.broken = false;
	draft.changed();
	await draft.save();
	draft.release();
	draft.changed();
	await draft.save();
	await settled();
	assert.ok(!destroyed(requests).includes('m1'), 'the copy of what was sent is gone');
	await draft.hold();
});

test('what was refused is the draft now', async () => {
	const { requests } = shaky({ broken: false }, { type: 'tooManyRecipients' });
	const draft = begin();
	assert.equal(await send(draft, null), false);
	draft.changed();
	await draft.save();
	assert.deepEqual(destroyed(requests), ['old', 'm1']);
});

test('a version that could not go goes with the next', async () => {
	const is = { broken: true };
	const { requests } = shaky(is);
	const draft = begin();
	draft.changed();
	await draft.save();
	assert.equal(draft.state.value, 'saved');
	is.broken = false;
	draft.changed();
	await draft.save();
	assert.deepEqual(destroyed(requests), ['old', 'old', 'm1']);
});

test('a mail is held no longer than the station holds it', async () => {
	for (const [most, parameters] of [[3600, { HOLDFOR: '10' }], [4, { HOLDFOR: '4' }], [0, null]] as const) {
		holdMost_s.value = most;
		const { requests } = shaky({ broken: false });
		await send(begin(), null);
		await settled();
		const [, args] = requests.flat().find(([name]) => name === 'EmailSubmission/set')!;
		assert.deepEqual(args['create'].s.envelope.mailFrom.parameters, parameters);
		assert.equal(holdSeconds(), Math.min(most, 10));
	}
});
