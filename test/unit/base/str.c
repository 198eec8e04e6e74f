/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

static void
cursors_move_only_on_success(void **state)
{
	struct str in = S("SIZE=12 rest"), word = { 0 };
	uint64_t n = 0;

	(void)state;
	assert_false(scan_word_nocase(&in, S("body")));
	assert_str(in, S("SIZE=12 rest"));
	assert_true(scan_word_nocase(&in, S("size")) && scan_char(&in, '=') && scan_u64(&in, &n));
	assert_int_equal(n, 12);
	assert_false(scan_char(&in, 'r'));
	assert_true(scan_blanks(&in));
	assert_false(scan_until(&in, '!', &word));
	assert_str(in, S("rest"));
	assert_true(scan_until(&in, 's', &word));
	assert_str(word, S("re"));
	assert_str(in, S("t"));
}

static void
numbers_stop_at_their_edge(void **state)
{
	struct str most = S("18446744073709551615"), over = S("18446744073709551616"),
		   none = S("x");
	uint64_t n = 0;

	(void)state;
	assert_true(scan_u64(&most, &n));
	assert_true(n == UINT64_MAX);
	assert_false(scan_u64(&over, &n));
	assert_int_equal(over.n, 20);
	assert_false(scan_u64(&none, &n));
}

static void
parts_are_clipped(void **state)
{
	struct str s = S("abc"), before, after;

	(void)state;
	assert_str(str_from(s, 9), (struct str){ 0 });
	assert_str(str_part(s, 1, SIZE_MAX), S("bc"));
	assert_false(str_cut(s, ':', &before, &after));
	assert_str(before, s);
	assert_int_equal(after.n, 0);
	assert_true(str_cut(S("a:"), ':', &before, &after));
	assert_int_equal(after.n, 0);
	assert_int_equal(str_find(s, 'z'), 3);
	assert_int_equal(str_find_str(s, S("bc")), 1);
	assert_str(str_trim(S(" \ta b\t ")), S("a b"));
}

static void
utf8_is_strict(void **state)
{
	static const struct {
		struct str text;
		bool is_good;
	} rows[] = {
		{ S("plain"), true },
		{ S("\xe9\xa9\xbf\xe7\xab\x99"), true },
		{ S("\xf0\x9f\x93\xae"), true },
		{ S("\xc0\xaf"), false },	  /* overlong */
		{ S("\xe0\x80\xaf"), false },	  /* overlong */
		{ S("\xed\xa0\x80"), false },	  /* surrogate */
		{ S("\xf4\x90\x80\x80"), false }, /* above U+10FFFF */
		{ S("\xe9\xa9"), false },	  /* cut */
		{ S("\x80"), false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(str_is_utf8(rows[i].text), rows[i].is_good);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursors_move_only_on_success),
		cmocka_unit_test(numbers_stop_at_their_edge),
		cmocka_unit_test(parts_are_clipped),
		cmocka_unit_test(utf8_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
