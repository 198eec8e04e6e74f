// SPDX-License-Identifier: Apache-2.0
// That no key is missing, the compiler sees; that none was left as it is in English, it does not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { en } from '../src/i18n/en';
import { zh } from '../src/i18n/zh';

test('every word of the Chinese catalogue is Chinese', () => {
	const { statusOf: _, html: __, ...words } = zh; // nothing but what it is given, and a name
	for (const [key, word] of Object.entries(words)) {
		const text = typeof word === 'function' ? (word as (...a: unknown[]) => string)(2, 'x') : word;
		assert.match(text, /\p{Script=Han}/u, key);
	}
});

test('and both have the same keys', () => {
	assert.deepEqual(Object.keys(zh), Object.keys(en));
});
