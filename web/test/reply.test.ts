// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from '../src/address';
import { forwardSubject, quote, recipients, replySubject, speaksOfAttachment, threading } from '../src/reply';

const own = ['wei@example.org', 'sales@example.org'];
const mail = (heads: Record<string, string>) => ({
	from: parse(heads['from'] ?? ''),
	to: parse(heads['to'] ?? ''),
	cc: parse(heads['cc'] ?? ''),
	replyTo: heads['replyTo'] ? parse(heads['replyTo']) : null,
});
const emails = ({ to, cc }: ReturnType<typeof recipients>) => ({ to: to.map((a) => a.email), cc: cc.map((a) => a.email) });

test('an answer goes to the author', () => {
	assert.deepEqual(emails(recipients(mail({ from: 'ann@x.org', to: 'wei@example.org, bo@x.org' }), own, false)), { to: ['ann@x.org'], cc: [] });
});

test('Reply-To goes before From', () => {
	const m = mail({ from: 'ann@x.org', replyTo: 'office@x.org', to: 'wei@example.org, bo@x.org' });
	assert.deepEqual(emails(recipients(m, own, false)), { to: ['office@x.org'], cc: [] });
	assert.deepEqual(emails(recipients(m, own, true)), { to: ['office@x.org'], cc: ['bo@x.org'] });
});

test('to all: everybody once, never oneself', () => {
	const m = mail({ from: 'ann@x.org', to: 'Wei@Example.org, bo@x.org, ann@x.org', cc: 'sales@example.org, BO@x.org, cy@x.org' });
	assert.deepEqual(emails(recipients(m, own, true)), { to: ['ann@x.org'], cc: ['bo@x.org', 'cy@x.org'] });
});

test('an answer to what one wrote goes on to those it went to', () => {
	const m = mail({ from: 'wei@example.org', to: 'ann@x.org', cc: 'bo@x.org' });
	assert.deepEqual(emails(recipients(m, own, false)), { to: ['ann@x.org'], cc: [] });
	assert.deepEqual(emails(recipients(m, own, true)), { to: ['ann@x.org'], cc: ['bo@x.org'] });
});

test('a note to oneself alone can be answered', () => {
	assert.deepEqual(emails(recipients(mail({ from: 'wei@example.org', to: 'wei@example.org' }), own, true)), { to: ['wei@example.org'], cc: [] });
});

test('subjects do not pile up', () => {
	assert.equal(replySubject('RE: AW: Re[2]: 回复：Plan'), 'Re: Plan');
	assert.equal(replySubject(null), 'Re:');
	assert.equal(forwardSubject('Fw: Fwd: 转发：Plan'), 'Fwd: Plan');
	assert.equal(replySubject('Reply needed'), 'Re: Reply needed');
});

test('threading (RFC 5322 §3.6.4)', () => {
	assert.deepEqual(threading({ messageId: ['c'], inReplyTo: ['b'], references: ['a', 'b'] }), { inReplyTo: ['c'], references: ['a', 'b', 'c'] });
	assert.deepEqual(threading({ messageId: ['c'], inReplyTo: ['b'], references: null }), { inReplyTo: ['c'], references: ['b', 'c'] });
	assert.deepEqual(threading({ messageId: null, inReplyTo: null, references: null }), {});
});

test('a quote deepens quotes and leaves the signature out', () => {
	assert.equal(quote('Hi\r\n> old\n\nbye\n-- \nAnn\n'), '> Hi\n>> old\n>\n> bye');
});

test('a forgotten attachment is noticed, a quoted one is not', () => {
	assert.equal(speaksOfAttachment('I attach the plan'), true);
	assert.equal(speaksOfAttachment('请见附件'), true);
	assert.equal(speaksOfAttachment('> see the attached file\nThanks'), false);
	assert.equal(speaksOfAttachment('an attaché case'), false);
});
