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

static void
senders_match_by_address_or_domain(void **state)
{
	struct str wei = S("wei@Example.org");

	(void)state;
	assert_true(route_sender_matches(S("wei@example.ORG"), wei));
	assert_true(route_sender_matches(S("@example.org"), wei));
	assert_true(route_sender_matches(S("EXAMPLE.org"), wei));
	assert_true(route_sender_matches(S("example.org"), S("\"a@b\"@example.org")));
	assert_false(route_sender_matches(S("Wei@example.org"), wei));
	assert_false(route_sender_matches(S("ei@example.org"), wei));
	assert_false(route_sender_matches(S("@xample.org"), wei));
	assert_false(route_sender_matches(S("@sub.example.org"), wei));
	assert_false(route_sender_matches(S("@example.org"), S("wei@sub.example.org")));
	assert_false(route_sender_matches(S("@example.org"), S("")));
	assert_false(route_sender_matches(S("@"), S("")));
	assert_false(route_sender_matches(S(""), S("")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_name_beats_suffix_beats_star),
		cmocka_unit_test(others_do_not_match),
		cmocka_unit_test(senders_match_by_address_or_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
