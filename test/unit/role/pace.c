/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "role/queue/pace.h"

/* How much of a destination may be tried at once: with a clock that is only a number. */

static unsigned
start_all(struct pace *p, int64_t now_ms)
{
	int64_t wait_ms;
	unsigned n = 0;

	for (; pace_may_start(p, now_ms, &wait_ms); n++)
		pace_start(p, now_ms);
	return n;
}

static void
end_well(struct pace *p)
{
	pace_went_well(p);
	p->under_way--;
}

static void
test_grows_while_used_up(void **state)
{
	struct pace p;

	(void)state;
	pace_begin(&p, 20, 0, 0);
	assert_int_equal(start_all(&p, 0), PACE_BEGIN);
	for (int i = 0; i < 6; i++) {
		end_well(&p);
		start_all(&p, 0);
	}
	assert_int_equal(p.limit, PACE_SLOW_START);
	for (int i = 0; i < PACE_SLOW_START; i++) { /* from here a round for one more */
		assert_int_equal(p.limit, PACE_SLOW_START);
		end_well(&p);
		start_all(&p, 0);
	}
	assert_int_equal(p.limit, PACE_SLOW_START + 1);
	for (int i = 0; i < 1000; i++) {
		end_well(&p);
		start_all(&p, 0);
	}
	assert_int_equal(p.limit, 20);
	assert_int_equal(p.under_way, 20);
}

static void
test_does_not_grow_unused(void **state)
{
	struct pace p;

	(void)state;
	pace_begin(&p, 20, 0, 0);
	for (int i = 0; i < 100; i++) { /* one at a time proves nothing about three */
		pace_start(&p, 0);
		end_well(&p);
	}
	assert_int_equal(p.limit, PACE_BEGIN);
}

static void
test_halves_never_below_one(void **state)
{
	struct pace p;

	(void)state;
	pace_begin(&p, 20, 0, 0);
	p.limit = 9;
	pace_was_slowed(&p);
	assert_int_equal(p.limit, 4);
	for (int i = 0; i < 10; i++)
		pace_was_slowed(&p);
	assert_int_equal(p.limit, 1);
}

static void
test_down_is_probed_one_at_a_time(void **state)
{
	struct pace p;
	int64_t wait_ms, first, second;

	(void)state;
	pace_begin(&p, 20, 0, 0);
	p.limit = 4;
	assert_int_equal(start_all(&p, 1000), 4);
	for (int i = 0; i < 4; i++) { /* all four come back in vain: one piece of news */
		pace_was_down(&p, 1000 + i, 300000, 4 * 3600 * 1000, 0);
		p.under_way--;
	}
	assert_int_equal(p.down_n, 1);
	assert_int_equal(p.down_since_ms, 1000);
	assert_false(pace_may_start(&p, 1003, &wait_ms));
	first = wait_ms;
	assert_in_range(first, 24000 - 3, 36000);
	assert_int_equal(start_all(&p, 1003 + first), 1);
	pace_was_down(&p, 1003 + first, 300000, 4 * 3600 * 1000, 0);
	p.under_way--;
	assert_false(pace_may_start(&p, 1003 + first, &wait_ms));
	second = wait_ms;
	assert_in_range(second, 48000, 72000);
	assert_int_equal(start_all(&p, 1003 + first + second), 1);
	end_well(&p);
	assert_int_equal(p.down_n, 0);
	assert_int_equal(p.limit, PACE_BEGIN);
}

/* Five days of a host that is not there: the probes thin out, and none is farther away than it may be. */
static void
test_five_days_down(void **state)
{
	const int64_t day = 24 * 3600 * 1000, most = 4 * 3600 * 1000;
	struct pace p;
	int64_t now = 0, wait_ms;
	unsigned probes = 0;

	(void)state;
	pace_begin(&p, 20, 0, 0);
	pace_start(&p, 0);
	pace_was_down(&p, 0, 300000, most, 12345);
	p.under_way--;
	while (now < 5 * day) {
		assert_false(pace_may_start(&p, now, &wait_ms));
		assert_in_range(wait_ms, 1, most + most / 5);
		now += wait_ms;
		assert_int_equal(start_all(&p, now), 1);
		pace_was_down(&p, now, 300000, most, (uint64_t)now * 2654435761U);
		p.under_way--;
		probes++;
	}
	assert_in_range(probes, 30, 60);
	assert_int_equal(p.down_since_ms, 0);
}

static void
test_probes_soon_where_retries_are_soon(void **state)
{
	struct pace p;
	int64_t wait_ms;

	(void)state;
	pace_begin(&p, 20, 0, 0);
	pace_was_down(&p, 0, 1000, 5000, 7);
	assert_false(pace_may_start(&p, 0, &wait_ms));
	assert_in_range(wait_ms, 800, 1200);
}

static void
test_rate_in_a_minute(void **state)
{
	struct pace p;
	unsigned n = 0;

	(void)state;
	pace_begin(&p, 20, 30, 0); /* 30 a minute: one every two seconds */
	for (int64_t now = 0; now < 60000; now += 100)
		for (unsigned k = start_all(&p, now); k; k--) {
			p.under_way--;
			n++;
		}
	assert_in_range(n, 30, 31);
}

static void
test_fast_rate_keeps_a_second(void **state)
{
	struct pace p;

	(void)state;
	pace_begin(&p, 1000, 6000, 0); /* 100 a second */
	p.limit = 1000;
	assert_int_equal(start_all(&p, 3600 * 1000), 100); /* an hour's rest saves no more */
}

static void
test_delay_doubles_and_spreads(void **state)
{
	int64_t least = INT64_MAX, most = 0;

	(void)state;
	for (uint64_t random = 0; random < 10000; random++) {
		int64_t ms = pace_delay_ms(300000, 14400000, 3, random * 7919);

		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	assert_in_range(least, 960000, 1000000); /* 20 min - 20 % */
	assert_in_range(most, 1400000, 1440000); /* + 20 % */
	assert_in_range(pace_delay_ms(300000, 14400000, 60000, 1), 11520000, 17280000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows_while_used_up),
		cmocka_unit_test(test_does_not_grow_unused),
		cmocka_unit_test(test_halves_never_below_one),
		cmocka_unit_test(test_down_is_probed_one_at_a_time),
		cmocka_unit_test(test_five_days_down),
		cmocka_unit_test(test_probes_soon_where_retries_are_soon),
		cmocka_unit_test(test_rate_in_a_minute),
		cmocka_unit_test(test_fast_rate_keeps_a_second),
		cmocka_unit_test(test_delay_doubles_and_spreads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
