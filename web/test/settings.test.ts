// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import './station';
import { session } from '../src/session';
import { set, settings, useSettings } from '../src/settings';

test('what one person allowed does not hold for the next at the same browser', async () => {
	Object.assign(globalThis, { document: { documentElement: { dataset: {}, lang: '' } } });
	await useSettings();
	session.value = { login: 'alice', csrf: '', accountId: 'a' };
	set({ remoteSenders: ['shop@x.org'], theme: 'dark' });
	session.value = null;
	assert.deepEqual(settings.value.remoteSenders, []);
	session.value = { login: 'bob', csrf: '', accountId: 'a' };
	assert.deepEqual(settings.value.remoteSenders, []);
	assert.equal(settings.value.theme, 'dark');
	session.value = { login: 'alice', csrf: '', accountId: 'a' };
	assert.deepEqual(settings.value.remoteSenders, ['shop@x.org']);
});
