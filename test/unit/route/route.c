/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "route/route.h"

static void
exact_name_beats_suffix_beats_star(void **state)
{
	struct str domain = S("Mail.Partner.Example");

	(void)state;
	assert_true(route_matches(S("mail.partner.example"), domain) >
		    route_matches(S(".partner.example"), domain));
	assert_true(route_matches(S(".partner.example"), domain) >
		    route_matches(S(".example"), domain));
	assert_true(route_matches(S(".example"), domain) > route_matches(S("*"), domain));
	assert_true(route_matches(S("*"), domain) > 0);
}

static void
others_do_not_match(void **state)
{
	(void)state;
	assert_int_equal(route_matches(S("partner.example"), S("mail.partner.example")), 0);
	assert_int_equal(route_matches(S(".partner.example"), S("partner.example")), 0);
	assert_int_equal(route_matches(S(".partner.example"), S("notpartner.example")), 0);
	assert_int_equal(route_matches(S("."), S("a.")), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_name_beats_suffix_beats_star),
		cmocka_unit_test(others_do_not_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
