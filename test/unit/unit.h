/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_UNIT_UNIT_H
#define TEST_UNIT_UNIT_H

/* cmocka with what it needs before it, and what every unit test here uses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

#define assert_str(got, want)                                                                   \
	do {                                                                                    \
		struct str got_ = (got), want_ = (want);                                        \
		if (!str_eq(got_, want_))                                                       \
			fail_msg("got \"%.*s\", want \"%.*s\"", STR_ARG(got_), STR_ARG(want_)); \
	} while (0)

#endif
