// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brief, local, morning, size, utc } from '../src/time';

const now = new Date(2026, 10, 23, 18, 0); // a Monday, here

test('today the hour, this year the day, else the date', () => {
	assert.equal(brief(new Date(2026, 10, 23, 9, 5).toISOString(), 'zh-CN', now), '09:05');
	assert.equal(brief(new Date(2026, 2, 1).toISOString(), 'zh-CN', now), '3月1日');
	assert.equal(brief(new Date(2025, 2, 1).toISOString(), 'zh-CN', now), '2025/03/01');
});

test('sizes', () => {
	assert.deepEqual([0, 999, 1000, 12_345, 1_500_000, 5e12].map(size), ['0 B', '999 B', '1.0 kB', '12 kB', '1.5 MB', '5000 GB']);
});

test('moments to send at', () => {
	assert.equal(local(morning(now, 'tomorrow')), '2026-11-24T08:00');
	assert.equal(local(morning(now, 'monday')), '2026-11-30T08:00');
	assert.equal(local(morning(new Date(2026, 10, 29), 'monday')), '2026-11-30T08:00'); // on a Sunday
	assert.equal(utc(new Date('2026-11-24T08:00:00.123Z')), '2026-11-24T08:00:00Z');
});
