// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { disguised, hostOf, pieces } from '../src/links';

const hrefs = (line: string) => pieces(line).flatMap((p) => (p.href ? [p.href] : []));

test('links end where their sentence does', () => {
	assert.deepEqual(hrefs('See https://example.com/a?b=1, (www.example.org/x_(y)) and ann@example.net.'), ['https://example.com/a?b=1', 'https://www.example.org/x_(y)', 'mailto:ann@example.net']);
	assert.deepEqual(hrefs('请看https://example.com/甲。然后'), ['https://example.com/甲']);
	assert.deepEqual(hrefs('javascript:alert(1) data:text/html,x'), []);
});

test('the pieces are the line', () => {
	const line = 'a https://x.org/ b <https://y.org> c';
	assert.equal(pieces(line).map((p) => p.text).join(''), line);
});

test('a host in ASCII, of the web only', () => {
	assert.equal(hostOf('https://ехample.com/'), 'xn--ample-ywe6i.com'); // Cyrillic
	assert.equal(hostOf('javascript:alert(1)'), null);
	assert.equal(hostOf('https://bank.example@evil.example/'), 'evil.example');
});

test('a text that claims another host is found out', () => {
	assert.equal(disguised('www.bank.example', 'http://evil.example/x'), 'evil.example');
	assert.equal(disguised('https://bank.example/login', 'https://bank.example.evil.example/'), 'bank.example.evil.example');
	assert.equal(disguised('bank.example', 'https://www.bank.example/'), null);
	assert.equal(disguised('bank.example', 'https://login.bank.example/'), null);
	assert.equal(disguised('click here', 'https://evil.example/'), null);
	assert.equal(disguised('Version 1.2', 'https://evil.example/'), null);
	for (const claim of ['Visit bank.example now', 'bank\u200b.example', 'b\u00adank.example', 'bank．example', '请看bank.example/x', 'https://bank.example@evil.example/']) assert.equal(disguised(claim, 'https://evil.example/'), 'evil.example', claim);
	for (const honest of ['请看evil.example/x', 'report.pdf', 'ann@bank.example', 'evil.example']) assert.equal(disguised(honest, 'https://evil.example/'), null, honest);
});
