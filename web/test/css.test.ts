// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanCss } from '../src/css';

function clean(css: string, remote = false): { css: string; hasRemote: boolean } {
	const found = { hasRemote: false };
	return { css: cleanCss(css, remote, found), hasRemote: found.hasRemote };
}

test('what is cut never joins its neighbours, and no element ends or begins within CSS', () => {
	for (const css of ['<@import x;/style><@import x;iframe src=//evil.example>', '<@IMPORT x;!-- -->', '<url(x)/style>', '</style>', '<@im@import x;port y;/style>']) {
		const out = clean(css).css;
		assert.ok(!out.includes('<') && !/@import/i.test(out), `${css}: ${out}`);
	}
	assert.equal(clean('a{b:c}@im@import x;port "y";').css.includes('@import'), false);
	assert.equal(clean('u@import x;rl(http://evil.example/)').css.includes('url('), false);
});

test('nothing is fetched but pictures that were allowed', () => {
	assert.deepEqual(clean('p{background:url("http://evil.example/a.png") red}'), { css: 'p{background: none  red}', hasRemote: true });
	assert.deepEqual(clean('p{background:url(https://evil.example/a.png)}', true), { css: 'p{background:url(https://evil.example/a.png)}', hasRemote: true });
	assert.deepEqual(clean('@import "https://evil.example/a.css"; p{color:red}', true), { css: '  p{color:red}', hasRemote: true });
});

test('a "<" that means something goes on meaning it', () => {
	assert.deepEqual(clean('p::before{content:"<b"}'), { css: 'p::before{content:"\\3c b"}', hasRemote: false });
	assert.deepEqual(clean('p{background:url(data:image/gif;base64,R0lGOD==)}'), { css: 'p{background:url(data:image/gif;base64,R0lGOD==)}', hasRemote: false });
});
