/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's filter language: what fits, and what a wrong word is told. */
#include "../unit.h"

#include "role/queue/filter.h"

enum { HOUR_MS = 3600 * 1000 };

static const struct err greylisted = { .class = ERR_TEMPORARY,
	.kind = ERR_REMOTE,
	.code = 451,
	.enhanced = { 4, 7, 1 },
	.text = "451 4.7.1 Greylisted, try again later" };

static const struct filter_facts facts = { .id = { { 0xab, 0xcd, 0xef } },
	.reverse_path = { "Wei@example.org", 15 },
	.address = { "\"a@b\"@Mx.Example.NET", 20 },
	.host = { "mx1.example.net", 15 },
	.age_ms = 3 * HOUR_MS,
	.size = 2 << 20,
	.tries = 4,
	.state = FILTER_DEFERRED,
	.last = &greylisted };

static const struct {
	const char *filter;
	bool fits;
} table[] = {
	{ "", true },
	{ "   ", true },
	{ "to:mx.example", true },
	{ "to:MX.EXAMPLE.NET", true },
	{ "to:nobody", false },
	{ "to:*@mx.example.net", true },
	{ "to:*@mx.example", false },
	{ "to:*b*example*", true },
	{ "to:**net", true },
	{ "from:wei@example.org", true },
	{ "from:<>", false },
	{ "!from:<>", true },
	{ "domain:mx.example.net", true },
	{ "domain:example.net", false },
	{ "domain:*.example.net", true },
	{ "dest:mx1", true },
	{ "id:abcd", true },
	{ "ABCDEF00", true },
	{ "abce", false },
	{ "!abce", true },
	{ "age>2h", true },
	{ "age<1d", true },
	{ "age>180m", false },
	{ "age>1w", false },
	{ "tries>3", true },
	{ "tries=4", true },
	{ "tries<4", false },
	{ "size>1M", true },
	{ "size<2048K", false },
	{ "err:~GREYlisted", true },
	{ "err:~\"try again\"", true },
	{ "\"err:~try again\"", true },
	{ "err:~\"again try\"", false },
	{ "err:4.7.1", true },
	{ "err:4.7", true },
	{ "err:4.7.28", false },
	{ "err:451", true },
	{ "err:421", false },
	{ "state:deferred", true },
	{ "state:waiting", false },
	{ "hold:no", true },
	{ "hold:yes", false },
	{ "to:example age>2h tries>3 !hold:yes", true },
	{ "to:example age>2h tries>4 !hold:yes", false },
};

static void
each_word_of_the_language(void **state)
{
	struct filter f;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		if (!filter_parse(&f, str_of(table[i].filter), &e))
			fail_msg("%s: %s", table[i].filter, e.text);
		if (filter_fits(&f, &facts) != table[i].fits)
			fail_msg("%s: wanted %d", table[i].filter, table[i].fits);
	}
}

static void
what_was_said_of_nothing(void **state)
{
	struct filter f;
	struct err e = { 0 };

	(void)state;
	assert_true(filter_parse(&f, S("err:~a"), &e));
	assert_false(filter_fits(&f, &(struct filter_facts){ .state = FILTER_WAITING }));
	assert_true(filter_parse(&f, S("from:<>"), &e));
	assert_true(filter_fits(&f, &(struct filter_facts){ .state = FILTER_WAITING }));
}

static const struct {
	const char *filter, *says;
} mistakes[] = {
	{ "age>2h stat:deferred",
		"column 8: `stat:deferred` is no word of filters; did you mean `state:`?" },
	{ "form:x", "did you mean `from:`?" },
	{ "wei@example.org", "did you mean `to:` or `from:`?" },
	{ "nonsense", "posthouse queue --help" },
	{ "age>2", "age>2h" },
	{ "age>2 h", "age>2h" },
	{ "age:2h", "age>2h" },
	{ "tries>many", "tries>3" },
	{ "size>99999999999999999999G", "size>1M" },
	{ "size>17179869184G", "size>1M" },
	{ "id:xyz", "first digits" },
	{ "id:0123456789abcdef0123456789abcdef0", "first digits" },
	{ "state:sleeping", "waiting, deferred" },
	{ "hold:maybe", "yes or no" },
	{ "err:4.7.1.2", "err:4.7.1" },
	{ "err:", "err:4.7.1" },
	{ "to:", "needs a text" },
	{ "to", "did you mean `to:`?" },
	{ "to:\"a b", "closing quote" },
	{ "\"\"", "is no word" },
	{ "!", "is no word" },
};

static void
a_wrong_word_is_named(void **state)
{
	struct filter f;

	(void)state;
	for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
		struct err e = { 0 };

		if (filter_parse(&f, str_of(mistakes[i].filter), &e))
			fail_msg("%s: taken", mistakes[i].filter);
		if (!strstr(e.text, mistakes[i].says))
			fail_msg("%s: %s", mistakes[i].filter, e.text);
	}
}

static void
limits(void **state)
{
	struct buf words = { .max = 4096 };
	struct filter f;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < FILTER_TERMS_MAX; i++)
		buf_add(&words, S("hold:no "));
	assert_true(filter_parse(&f, buf_str(&words), &e));
	buf_add(&words, S("hold:no"));
	assert_false(filter_parse(&f, buf_str(&words), &e));
	assert_non_null(strstr(e.text, "at most 32 words"));
	buf_reset(&words);
	buf_add(&words, S("to:"));
	while (words.n < FILTER_TEXT_MAX)
		buf_add_char(&words, 'a');
	assert_true(filter_parse(&f, buf_str(&words), &e));
	buf_add_char(&words, 'a');
	assert_false(filter_parse(&f, buf_str(&words), &e));
	assert_non_null(strstr(e.text, "1024"));
	buf_free(&words);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_of_the_language),
		cmocka_unit_test(what_was_said_of_nothing),
		cmocka_unit_test(a_wrong_word_is_named),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
