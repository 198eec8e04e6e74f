/* SPDX-License-Identifier: Apache-2.0 */
#include "role/send/health.h"

#include <errno.h>

#include "unit.h"

/* What send remembers of hops and families, on a clock of our own. */

#define ONE   S("192.0.2.1:25")
#define TWO   S("192.0.2.2:25")
#define SIX   S("[2001:db8::6]:25")
#define SEVEN S("[2001:db8::7]:25")
enum { SECOND = 1000, MINUTE = 60000 };

static void
test_a_dead_hop_waits_longer_each_time(void **state)
{
	static const int64_t waits_ms[] = { MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 10 * MINUTE,
		10 * MINUTE };
	struct health h = { 0 };
	int64_t now_ms = 5;

	(void)state;
	health_open(&h);
	for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
		for (int at_once = 0; at_once < 20; at_once++)
			health_failed(&h, ONE, HOP_IPV4, ECONNREFUSED, now_ms);
		assert_int_equal(
			health_look(&h, ONE, HOP_IPV4, now_ms + waits_ms[i] - 1), HEALTH_DEAD);
		assert_int_equal(health_look(&h, TWO, HOP_IPV4, now_ms), HEALTH_GOOD);
		now_ms += waits_ms[i];
		assert_int_equal(health_look(&h, ONE, HOP_IPV4, now_ms), HEALTH_GOOD);
	}
	health_failed(&h, ONE, HOP_IPV4, 0, now_ms);
	health_worked(&h, ONE, HOP_IPV4, now_ms);
	assert_int_equal(health_look(&h, ONE, HOP_IPV4, now_ms), HEALTH_GOOD);
	health_failed(&h, ONE, HOP_IPV4, 0, now_ms);
	assert_int_equal(health_look(&h, ONE, HOP_IPV4, now_ms + MINUTE), HEALTH_GOOD);
	health_free(&h);
}

static void
test_a_family_is_broken_when_two_are_silent_and_the_other_works(void **state)
{
	struct health h = { 0 };

	(void)state;
	health_open(&h);
	health_failed(&h, SIX, HOP_IPV6, ETIMEDOUT, 1);
	health_failed(&h, SIX, HOP_IPV6, ETIMEDOUT, 2); /* the same one says nothing new */
	health_worked(&h, ONE, HOP_IPV4, 3);
	assert_int_equal(health_look(&h, S("[2001:db8::8]:25"), HOP_IPV6, 4), HEALTH_GOOD);
	health_failed(&h, SEVEN, HOP_IPV6, EHOSTUNREACH, 5);
	assert_int_equal(health_look(&h, S("[2001:db8::8]:25"), HOP_IPV6, 6), HEALTH_FAMILY_BROKEN);
	assert_int_equal(health_look(&h, SIX, HOP_IPV6, 6), HEALTH_DEAD);
	assert_int_equal(health_look(&h, ONE, HOP_IPV4, 6), HEALTH_GOOD);
	assert_int_equal(health_look(&h, S("unix:/run/lmtp"), HOP_UNIX, 6), HEALTH_GOOD);
	/* ten minutes later one may try, and one is enough */
	assert_int_equal(
		health_look(&h, S("[2001:db8::8]:25"), HOP_IPV6, 5 + 10 * MINUTE), HEALTH_GOOD);
	health_failed(&h, S("[2001:db8::8]:25"), HOP_IPV6, ETIMEDOUT, 5 + 10 * MINUTE);
	assert_int_equal(health_look(&h, S("[2001:db8::9]:25"), HOP_IPV6, 6 + 10 * MINUTE),
		HEALTH_FAMILY_BROKEN);
	health_worked(&h, S("[2001:db8::9]:25"), HOP_IPV6, 7 + 10 * MINUTE);
	assert_int_equal(
		health_look(&h, S("[2001:db8::9]:25"), HOP_IPV6, 7 + 10 * MINUTE), HEALTH_GOOD);
	health_free(&h);
}

/* Without anything that works we are the ones who are cut off. */
static void
test_when_both_are_silent_neither_is_broken(void **state)
{
	struct health h = { 0 };

	(void)state;
	health_open(&h);
	for (int i = 0; i < 2; i++) {
		health_failed(&h, i ? ONE : TWO, HOP_IPV4, ETIMEDOUT, 1);
		health_failed(&h, i ? SIX : SEVEN, HOP_IPV6, ETIMEDOUT, 1);
	}
	assert_int_equal(health_look(&h, S("192.0.2.9:25"), HOP_IPV4, 2), HEALTH_GOOD);
	assert_int_equal(health_look(&h, S("[2001:db8::9]:25"), HOP_IPV6, 2), HEALTH_GOOD);
	/* a refusal is an answer: that family works, so it is the other that does not */
	health_failed(&h, S("192.0.2.9:25"), HOP_IPV4, ECONNREFUSED, 3);
	assert_int_equal(health_look(&h, S("[2001:db8::9]:25"), HOP_IPV6, 4), HEALTH_FAMILY_BROKEN);
	health_free(&h);
}

static void
test_no_network_is_believed_at_once(void **state)
{
	struct health h = { 0 };

	(void)state;
	health_open(&h);
	health_failed(&h, SIX, HOP_IPV6, ENETUNREACH, 1);
	assert_int_equal(health_look(&h, SIX, HOP_IPV6, 2), HEALTH_FAMILY_BROKEN);
	assert_int_equal(health_look(&h, SIX, HOP_IPV6, 1 + 10 * MINUTE), HEALTH_GOOD);
	health_failed(&h, ONE, HOP_IPV4, EADDRNOTAVAIL, 1);
	assert_int_equal(health_look(&h, ONE, HOP_IPV4, 2), HEALTH_GOOD);
	health_free(&h);
}

static void
test_the_oldest_is_forgotten(void **state)
{
	struct health h = { 0 };
	char address[32];

	(void)state;
	health_open(&h);
	for (unsigned i = 0; i <= 4096; i++) {
		snprintf(address, sizeof address, "192.0.2.1:%u", i);
		health_failed(&h, str_of(address), HOP_IPV4, ECONNREFUSED, 1);
	}
	assert_int_equal(h.dead.hops.used, 4096);
	assert_int_equal(health_look(&h, S("192.0.2.1:0"), HOP_IPV4, 2), HEALTH_GOOD);
	assert_int_equal(health_look(&h, S("192.0.2.1:1"), HOP_IPV4, 2), HEALTH_DEAD);
	assert_int_equal(health_look(&h, S("192.0.2.1:4096"), HOP_IPV4, 2), HEALTH_DEAD);
	health_free(&h);
}

static void
test_where_tls_fails_it_is_tried_again_later(void **state)
{
	struct health h = { 0 };

	(void)state;
	health_open(&h);
	assert_false(health_tls_fails(&h, ONE, 1));
	health_tls_failed(&h, ONE, 1);
	assert_true(health_tls_fails(&h, ONE, 10 * MINUTE));
	assert_false(health_tls_fails(&h, TWO, 2));
	assert_false(health_tls_fails(&h, ONE, 1 + 10 * MINUTE));
	health_tls_failed(&h, ONE, 1 + 10 * MINUTE);
	health_worked(&h, ONE, HOP_IPV4, 2 + 10 * MINUTE); /* in clear, as was to be expected */
	assert_true(health_tls_fails(&h, ONE, 20 * MINUTE));
	assert_int_equal(health_look(&h, ONE, HOP_IPV4, 20 * MINUTE), HEALTH_GOOD);
	health_free(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_dead_hop_waits_longer_each_time),
		cmocka_unit_test(test_a_family_is_broken_when_two_are_silent_and_the_other_works),
		cmocka_unit_test(test_when_both_are_silent_neither_is_broken),
		cmocka_unit_test(test_no_network_is_believed_at_once),
		cmocka_unit_test(test_the_oldest_is_forgotten),
		cmocka_unit_test(test_where_tls_fails_it_is_tried_again_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
