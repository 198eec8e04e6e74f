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

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_dates) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
