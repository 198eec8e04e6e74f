/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"
#include "unit.h"

static void
test_dates(void **state)
{
	static const struct {
		int64_t unix_seconds;
		const char *text;
	} cases[] = {
		{ 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
		{ 951827696, "Tue, 29 Feb 2000 12:34:56 +0000" },
		{ 1795411140, "Mon, 23 Nov 2026 05:19:00 +0000" },
		{ 4107542399, "Sun, 28 Feb 2100 23:59:59 +0000" },
		{ 4107542400, "Mon, 1 Mar 2100 00:00:00 +0000" },
		{ 1798761599, "Thu, 31 Dec 2026 23:59:59 +0000" },
		{ 253402300799, "Fri, 31 Dec 9999 23:59:59 +0000" },
		{ INT64_MAX, "Thu, 1 Jan 1970 00:00:00 +0000" },
		{ INT64_MIN, "Thu, 1 Jan 1970 00:00:00 +0000" },
	};
	struct buf to = { .max = 100 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		buf_reset(&to);
		date_add(&to, cases[i].unix_seconds);
		assert_str(buf_str(&to), str_of(cases[i].text));
	}
	buf_free(&to);
}

static void
test_rfc3339(void **state)
{
	static const struct {
		struct str text;
		int64_t unix_seconds; /* -1: refused */
	} cases[] = {
		{ S("1970-01-01T00:00:00Z"), 0 },
		{ S("2000-02-29T12:34:56Z"), 951827696 },
		{ S("2026-11-23T05:19:00Z"), 1795411140 },
		{ S("9999-12-31T23:59:59Z"), 253402300799 },
		{ S("2026-11-23t05:19:00.25z"), 1795411140 },
		{ S("2016-12-31T23:59:60Z"), 1483228800 },
		{ S("1969-12-31T23:59:59Z"), -1 },
		{ S("2026-02-29T00:00:00Z"), -1 },
		{ S("2026-00-01T00:00:00Z"), -1 },
		{ S("2026-13-01T00:00:00Z"), -1 },
		{ S("2026-01-01T24:00:00Z"), -1 },
		{ S("2026-01-01T00:60:00Z"), -1 },
		{ S("2026-1-01T00:00:00Z"), -1 },
		{ S("2026-01-01 00:00:00Z"), -1 },
		{ S("2026-01-01T00:00:00"), -1 },
		{ S("2026-01-01T00:00:00.Z"), -1 },
		{ S("2026-01-01T00:00:00+00:00"), -1 },
		{ S("2026-01"), -1 },
		{ S(""), -1 },
	};
	struct buf to = { .max = 100 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct str in = cases[i].text;
		int64_t got = -1;

		assert_int_equal(date_scan_rfc3339(&in, &got), cases[i].unix_seconds >= 0);
		assert_int_equal(got, cases[i].unix_seconds);
		assert_int_equal(in.n, got < 0 ? cases[i].text.n : 0);
		if (i > 3)
			continue;
		buf_reset(&to);
		date_add_rfc3339(&to, got);
		assert_str(buf_str(&to), cases[i].text);
	}
	buf_free(&to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_rfc3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
