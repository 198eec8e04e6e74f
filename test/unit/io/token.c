/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "io/token.h"

static const struct str key = { "0123456789abcdef0123456789abcdef", TOKEN_KEY_SIZE },
			other_key = { "0123456789abcdef0123456789abcdeF", TOKEN_KEY_SIZE };
static const int64_t now = 1700000000000, day = 86400000;

static void
a_token_names_its_login(void **state)
{
	struct buf token = { .max = TOKEN_MAX };
	struct str login;

	(void)state;
	token_make(&token, key, S("alice@example.org"), now);
	assert_true(token_verify(key, buf_str(&token), now + day, 5 * day, &login));
	assert_true(str_eq(login, S("alice@example.org")));
	buf_free(&token);
}

static void
no_changed_octet_passes(void **state)
{
	struct buf token = { .max = TOKEN_MAX };
	struct str login;

	(void)state;
	token_make(&token, key, S("bob@example.org"), now);
	for (size_t i = 0; i < token.n; i++)
		for (int bit = 0; bit < 8; bit++) {
			token.p[i] = (char)(token.p[i] ^ (1 << bit));
			assert_false(token_verify(key, buf_str(&token), now, 5 * day, &login));
			token.p[i] = (char)(token.p[i] ^ (1 << bit));
		}
	for (size_t n = 0; n < token.n; n++)
		assert_false(
			token_verify(key, str_part(buf_str(&token), 0, n), now, 5 * day, &login));
	assert_true(token_verify(key, buf_str(&token), now, 5 * day, &login));
	assert_false(token_verify(other_key, buf_str(&token), now, 5 * day, &login));
	buf_free(&token);
}

static void
a_token_grows_old(void **state)
{
	struct buf token = { .max = TOKEN_MAX };
	struct str login;

	(void)state;
	token_make(&token, key, S("bob@example.org"), now);
	assert_true(token_verify(key, buf_str(&token), now + day, day, &login));
	assert_false(token_verify(key, buf_str(&token), now + day + 1, day, &login));
	assert_true(token_verify(
		key, buf_str(&token), now - day, day, &login)); /* a clock that was set back */
	buf_free(&token);
}

static void
no_two_tokens_are_alike(void **state)
{
	struct buf one = { .max = TOKEN_MAX }, two = { .max = TOKEN_MAX };

	(void)state;
	token_make(&one, key, S("bob@example.org"), now);
	token_make(&two, key, S("bob@example.org"), now);
	assert_false(str_eq(buf_str(&one), buf_str(&two)));
	buf_free(&one);
	buf_free(&two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_names_its_login),
		cmocka_unit_test(no_changed_octet_passes),
		cmocka_unit_test(a_token_grows_old),
		cmocka_unit_test(no_two_tokens_are_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
