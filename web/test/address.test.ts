// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format, isAddress, parse, parseMailto, shortName, unique } from '../src/address';

test('what is pasted into a line of recipients', () => {
	assert.deepEqual(parse('ann@example.net, "Li, Wei" <wei@example.org>; 李伟 <li@example.cn>，bo@example.com'), [
		{ name: null, email: 'ann@example.net' },
		{ name: 'Li, Wei', email: 'wei@example.org' },
		{ name: '李伟', email: 'li@example.cn' },
		{ name: null, email: 'bo@example.com' },
	]);
	assert.deepEqual(parse(' , ;'), []);
});

test('written and read again, an address is the same', () => {
	for (const name of ['Ann', 'Li, Wei', 'a "quoted" one', null]) {
		const address = { name, email: 'x@example.org' };
		assert.deepEqual(parse(format(address)), [address]);
	}
});

test('what is no address is seen', () => {
	assert.equal(isAddress('ann@example.net'), true);
	assert.equal(isAddress('用户@例子.中国'), true);
	for (const wrong of ['ann', 'ann@', '@example.net', 'a b@example.net', 'a@b@c']) assert.equal(isAddress(wrong), false, wrong);
});

test('each once, whatever the case', () => {
	assert.deepEqual(unique([...parse('Ann <a@x.org>'), ...parse('A@X.org')]), [{ name: 'Ann', email: 'a@x.org' }]);
});

test('a short name', () => {
	assert.equal(shortName({ name: '  ', email: 'ann@example.net' }), 'ann');
});

test('mailto: (RFC 6068)', () => {
	assert.deepEqual(parseMailto('mailto:a@x.org?subject=Hi%20there&body=one%0D%0Atwo&to=b@x.org'), {
		to: [
			{ name: null, email: 'a@x.org' },
			{ name: null, email: 'b@x.org' },
		],
		cc: [],
		subject: 'Hi there',
		body: 'one\r\ntwo',
	});
	assert.equal(parseMailto('https://x.org'), null);
	assert.equal(parseMailto('mailto:a@x.org?subject=%zz')?.subject, '%zz');
});
