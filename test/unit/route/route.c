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

static size_t
fits(const char *pattern, const char *from, const char *domain, const char *reverse_path)
{
	struct str sender = str_of(from);

	return route_fits(
		str_of(pattern), &sender, sender.n > 0, str_of(domain), str_of(reverse_path));
}

static void
the_pattern_decides_then_the_sender(void **state)
{
	const char *wei = "wei@example.org", *net = "a.example.net";

	(void)state;
	assert_true(fits("*", wei, net, wei) > fits("*", "@example.org", net, wei));
	assert_true(fits("*", "@example.org", net, wei) > fits("*", "", net, wei));
	assert_true(fits(".example.net", "", net, wei) > fits("*", wei, net, wei));
	assert_true(fits(net, "", net, wei) > fits(".example.net", wei, net, wei));
	assert_true(fits(net, wei, net, wei) > fits(net, "", net, wei));
	assert_int_equal(fits(net, wei, net, "bob@example.org"), 0);
	assert_int_equal(fits(net, wei, net, ""), 0);
	assert_int_equal(fits(net, wei, "b.example.net", wei), 0);
	assert_true(fits(net, "", net, "") > 0);
}

static void
the_best_of_several_senders_counts(void **state)
{
	const struct str from[] = { S("bob@example.org"), S("example.org"), S("wei@example.org") };
	struct str wei = S("wei@example.org");

	(void)state;
	assert_int_equal(route_fits(S("*"), from, 3, S("x.test"), wei),
		route_fits(S("*"), &wei, 1, S("x.test"), wei));
	assert_true(route_fits(S("*"), from, 3, S("x.test"), wei) >
		    route_fits(S("*"), from, 2, S("x.test"), wei));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_name_beats_suffix_beats_star),
		cmocka_unit_test(others_do_not_match),
		cmocka_unit_test(senders_match_by_address_or_domain),
		cmocka_unit_test(the_pattern_decides_then_the_sender),
		cmocka_unit_test(the_best_of_several_senders_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
