// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { day, filterOf, hasText, octets, terms } from '../src/search';
import type { Mailbox } from '../src/types';

const box = (id: string, name: string, role: string | null) => ({ id, name, role }) as Mailbox;
const none: Mailbox[] = [];
const boxes = [box('i', 'Inbox', 'inbox'), box('j', 'Junk', 'junk'), box('t', 'Trash', 'trash'), box('p', 'My project', null)];

test('a line falls apart into words, keys and quotes', () => {
	assert.deepEqual(terms('from:ann "two words" -subject:"not this" 报告'), [
		{ key: 'from', value: 'ann', isNot: false },
		{ key: '', value: 'two words', isNot: false },
		{ key: 'subject', value: 'not this', isNot: true },
		{ key: '', value: '报告', isNot: false },
	]);
});

test('an open quote reaches to the end', () => {
	assert.deepEqual(terms('subject:"half a'), [{ key: 'subject', value: 'half a', isNot: false }]);
});

test('one word is one condition, several must all hold', () => {
	assert.deepEqual(filterOf('hello', none), { text: 'hello' });
	assert.deepEqual(filterOf('from:ann has:attachment', none), { operator: 'AND', conditions: [{ from: 'ann' }, { hasAttachment: true }] });
});

test('what begins with a minus must not be', () => {
	assert.deepEqual(filterOf('-is:read', none), { operator: 'NOT', conditions: [{ hasKeyword: '$seen' }] });
});

test('states are keywords', () => {
	assert.deepEqual(filterOf('is:unread', none), { notKeyword: '$seen' });
	assert.deepEqual(filterOf('is:Flagged', none), { hasKeyword: '$flagged' });
});

test('sizes and days', () => {
	assert.equal(octets('5M'), 5 * 1024 * 1024);
	assert.equal(octets('1.5k'), 1536);
	assert.equal(octets('big'), null);
	assert.equal(day('2026-03-01'), '2026-02-28T16:00:00Z'); // midnight in Shanghai
	assert.deepEqual(filterOf('larger:10k', none), { minSize: 10240 });
	assert.deepEqual(filterOf('on:2026/3/1', none), { after: '2026-02-28T16:00:00Z', before: '2026-03-01T16:00:00Z' });
});

test('a folder by its role or its name; one that is not is text', () => {
	assert.deepEqual(filterOf('in:inbox', boxes), { inMailbox: 'i' });
	assert.deepEqual(filterOf('in:"my project"', boxes), { inMailbox: 'p' });
	assert.deepEqual(filterOf('in:nowhere', none), { text: 'in:nowhere' });
});

test('junk and trash are searched only when they are named', () => {
	assert.deepEqual(filterOf('x', boxes), { operator: 'AND', conditions: [{ text: 'x' }, { inMailboxOtherThan: ['j', 't'] }] });
	assert.deepEqual(filterOf('x in:trash', boxes), { operator: 'AND', conditions: [{ text: 'x' }, { inMailbox: 't' }] });
});

test('a word that is no key here, or makes no sense, is text', () => {
	assert.deepEqual(filterOf('re:budget', none), { text: 're:budget' });
	assert.deepEqual(filterOf('before:soon', none), { text: 'before:soon' });
	assert.deepEqual(filterOf('constructor:x', none), { text: 'constructor:x' });
});

test('snippets are wanted only where there is text to mark', () => {
	assert.equal(hasText('is:unread has:attachment'), false);
	assert.equal(hasText('is:unread hello'), true);
});
