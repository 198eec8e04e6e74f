// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { station } from './station';
import { answer, composing, forward, signed } from '../src/compose/open';
import { people } from '../src/list';
import { beginList, identities, identityAs, isListLost, loadIdentities, rows } from '../src/store';
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
