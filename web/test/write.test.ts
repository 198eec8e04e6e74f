// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { station } from './station';
import { Draft } from '../src/compose/draft';
import { answer, composing, forward, signed, write } from '../src/compose/open';
import { people } from '../src/list';
import { asTree, beginList, identities, identityAs, isListLost, loadIdentities, rows } from '../src/store';
import { place } from '../src/place';
import type { Email, Identity } from '../src/types';

const identity = (email: string, mayDelete: boolean, textSignature = ''): Identity => ({ id: email, name: '', email, textSignature, htmlSignature: '', mayDelete });
const team = identity('info@example.org', true, 'The team');
const own = identity('wei@example.org', false, 'Wei');

const letter = (heads: Partial<Email>): Email => ({
	id: 'e', blobId: 'b', threadId: 't', mailboxIds: {}, keywords: {}, size: 1, receivedAt: '2026-11-23T10:00:00Z', sentAt: null, from: null, to: null, cc: null, bcc: null,
	replyTo: null, subject: 'Plan', hasAttachment: false, preview: '', messageId: null, inReplyTo: null, references: null, textBody: [], htmlBody: [], attachments: [], bodyValues: {},
	'header:List-Unsubscribe:asURLs': null, ...heads,
});
const person = (email: string) => [{ name: null, email }];

test('one writes under the own address, whatever order the station has', async () => {
	station(() => ({ list: [team, own] }));
	await loadIdentities();
	assert.deepEqual(identities.value.map((i) => i.email), [own.email, team.email]);
	identities.value = [team, own];
	assert.equal(identityAs()?.email, own.email);
	assert.equal(identityAs('INFO@example.org')?.email, team.email);
	assert.equal(identityAs('else@example.org')?.email, own.email);
});

test('the signature is that of the address one writes under, and stands above what is quoted', () => {
	identities.value = [team, own];
	assert.equal(signed({}).text, '\n\n-- \nWei');
	assert.equal(signed({ savedAs: 'd', text: 'Words' }).text, 'Words');
	composing.value = null;
	for (const act of [(e: Email) => answer(e, false), forward]) {
		act(letter({ from: person('ann@x.org'), to: person('info@example.org') }));
		const { text, html } = composing.value!.start;
		assert.match(text!, /^\n\nThe team\n\n/);
		assert.match(html!, /<div>The team<\/div>.*Plan|<div>The team<\/div>.*<blockquote>/s);
		assert.ok(!text!.includes('\n-- \n'));
		composing.value = null;
	}
});

const sales = identity('sales@example.org', true, 'Sales\nOpen from nine');
const nobody = identity('none@example.org', true);

/** Begun, something typed at its head, and then written under one address after the other. */
function signedBy(begin: () => void, typed: string, ...chosen: Identity[]): string {
	identities.value = [own, team, sales, nobody];
	begin();
	const draft = new Draft(composing.value!.start, false);
	const lines = (typed + draft.text.value).split('\n');
	for (const i of chosen) {
		const change = draft.writeAs(i, lines);
		if (change) lines.splice(change.at, change.gone, ...change.lines);
	}
	composing.value = null;
	return lines.join('\n');
}

test('with another address comes its signature', () => {
	const fresh = () => write({});
	assert.equal(signedBy(fresh, 'Hi', sales), 'Hi\n\n-- \nSales\nOpen from nine');
	assert.equal(signedBy(fresh, 'Hi', sales, nobody), 'Hi');
	assert.equal(signedBy(fresh, 'Hi', nobody, team), 'Hi\n\n-- \nThe team');
	assert.equal(signedBy(fresh, 'Wei', team), 'Wei\n\n-- \nThe team', 'a line like it, elsewhere');

	const reply = () => answer(letter({ from: person('ann@x.org'), to: person('wei@example.org') }), false);
	const rest = signedBy(reply, '').slice('\n\nWei'.length);
	assert.match(rest, /^\n\nOn /);
	assert.equal(signedBy(reply, 'Yes', sales), `Yes\n\nSales\nOpen from nine${rest}`);
	assert.equal(signedBy(reply, 'Yes', nobody), `Yes${rest}`);
	assert.equal(signedBy(reply, 'Yes', nobody, team), `Yes\n\nThe team${rest}`);
});

test('a signature that was touched stays, and where none was none comes', () => {
	const written = 'Hi\n\n-- \nWei Li';
	assert.equal(signedBy(() => write({ savedAs: 'd', text: written }), '', sales), written);
	assert.equal(signedBy(() => write({ savedAs: 'd', text: written }), '', nobody, sales), written);
	assert.equal(signedBy(() => write({ text: 'By a link' }), '', nobody, sales), 'By a link');
});

test('a mail without an author is not answered to nobody', () => {
	composing.value = null;
	answer(letter({ from: null, to: person('wei@example.org') }), false);
	assert.equal(composing.value, null);
});

test('an answer that is only begun counts for nobody in the list', () => {
	identities.value = [own];
	const email = letter({ from: person('ann@x.org') });
	const begun = letter({ id: 'd', from: person(own.email), keywords: { $draft: true } });
	assert.equal(people({ email, members: [email, begun] }), 'ann');
	assert.equal(people({ email: begun, members: [begun] }), '');
});

test('a folder stands below the one that it lies in', () => {
	const folder = (id: string, parentId: string | null, role: string | null = null) => ({ id, name: id, parentId, role, sortOrder: 0, totalEmails: 0, unreadEmails: 0, totalThreads: 0, unreadThreads: 0 });
	const list = [folder('in', null, 'inbox'), folder('deep', 'low'), folder('high', 'in'), folder('low', 'top'), folder('lower', 'top'), folder('lost', 'gone'), folder('top', null)];
	assert.deepEqual(asTree(list).map((m) => m.id), ['in', 'high', 'lost', 'top', 'low', 'deep', 'lower']);
});

test('a list that cannot be loaded says so until it can', async () => {
	place.value = { ...place.value, mailbox: 'f', search: null };
	station(() => null);
	await assert.rejects(beginList());
	assert.equal(isListLost.value, true);
	station(() => ({ list: [], ids: [], total: 0 }));
	await beginList();
	assert.equal(isListLost.value, false);
	assert.equal(rows.value.size, 0);
});
