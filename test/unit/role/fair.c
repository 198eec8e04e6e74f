/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/must.h"
#include "role/queue/fair.h"

/* Whose turn it is: senders, lines and destinations without mails, hosts or a clock. */

enum { MOST = 400 };

static void
wait_in(struct fair *f, struct destination *d, uint32_t sender, uint32_t n)
{
	struct line *l = fair_line(f, sender, d);

	l->waiting.n += n;
	d->waiting_n += n;
	fair_ready(f, l);
}

/* One errand of the next line; its sender's name, 0: none may start. */
static uint32_t
start_one(struct fair *f, int64_t now_ms, struct line **from)
{
	struct line *l = fair_next(f, now_ms, now_ms);

	if (!l)
		return 0;
	*from = l;
	fair_started(f, l, now_ms);
	l->waiting.n--;
	l->to->waiting_n--;
	if (l->waiting.n == 0)
		fair_leave(f, l);
	return l->key[0];
}

static void
end(struct fair *f, struct line *l)
{
	fair_ended(f, l);
	if (l->waiting.n == 0)
		fair_leave(f, l);
}

static void
end_well(struct fair *f, struct line *l)
{
	pace_went_well(&l->to->pace);
	end(f, l);
}

/* The big sender has a hundred thousand to one host, a hundred others have one each to the same: when
 * every turn is over at once, each of them is served within two rounds. */
static void
test_big_sender_delays_nobody(void **state)
{
	struct fair f;
	struct destination d;
	struct line *from = NULL;
	unsigned small = 0, turns = 0;

	(void)state;
	fair_begin(&f, MOST);
	destination_begin(&d, 1, 20, 0, 0);
	wait_in(&f, &d, 1, 100000);
	for (uint32_t i = 0; i < 100; i++)
		wait_in(&f, &d, 2 + i, 1);
	for (; small < 100; turns++) {
		small += start_one(&f, 0, &from) != 1;
		end_well(&f, from);
		assert_true(turns < 2 * 101);
	}
	assert_true(turns <= 2 * 101);
	fair_free(&f);
}

/* The same when the big sender writes to a thousand hosts: its lines share its turns. */
static void
test_many_lines_are_one_sender(void **state)
{
	struct destination *many = calloc(1000, sizeof *many), d;
	struct line *from = NULL;
	struct fair f;
	unsigned small = 0, turns = 0;

	(void)state;
	must(many);
	fair_begin(&f, MOST);
	for (uint32_t i = 0; i < 1000; i++) {
		destination_begin(&many[i], 10 + i, 20, 0, 0);
		wait_in(&f, &many[i], 1, 1000);
	}
	destination_begin(&d, 1, 20, 0, 0);
	for (uint32_t i = 0; i < 100; i++)
		wait_in(&f, &d, 2 + i, 1);
	for (; small < 100; turns++) {
		small += start_one(&f, 0, &from) != 1;
		end_well(&f, from);
		assert_true(turns < 2 * 101);
	}
	fair_free(&f);
	free(many);
}

/* A host that never answers holds its quarter, and the fast ones the rest. */
static void
test_slow_destination_holds_a_quarter(void **state)
{
	struct fair f;
	struct destination slow, fast;
	struct line *from = NULL;
	unsigned held = 0, served = 0;

	(void)state;
	fair_begin(&f, MOST);
	destination_begin(&slow, 1, MOST / 4, 0, 0);
	destination_begin(&fast, 2, MOST / 4, 0, 0);
	slow.pace.limit = MOST / 4; /* it was fast once */
	wait_in(&f, &slow, 7, 100000);
	wait_in(&f, &fast, 7, 1000); /* of the same sender, even */
	for (unsigned i = 0; i < 10000 && served < 1000; i++) {
		if (!start_one(&f, i, &from))
			break;
		if (from->to == &slow) {
			held++;
		} else {
			served++;
			end_well(&f, from);
		}
	}
	assert_int_equal(served, 1000);
	assert_int_equal(held, MOST / 4);
	assert_int_equal(f.under_way, MOST / 4);
	fair_free(&f);
}

/* Down: one probe; everybody else stays in line untried, and moves when the probe went well. */
static void
test_down_waits_without_trying(void **state)
{
	struct fair f;
	struct destination d;
	struct line *from = NULL;
	int64_t wait_ms;

	(void)state;
	fair_begin(&f, MOST);
	destination_begin(&d, 1, 20, 0, 0);
	for (uint32_t i = 0; i < 50; i++)
		wait_in(&f, &d, 1 + i, 10);
	assert_int_not_equal(start_one(&f, 0, &from), 0);
	pace_was_down(&d.pace, 0, 300000, 3600000, 0);
	end(&f, from);
	assert_int_equal(start_one(&f, 0, &from), 0);
	assert_int_equal(d.waiting_n, 499);
	wait_ms = fair_next_ms(&f, 0, 60000);
	assert_in_range(wait_ms, 24000, 36000);
	fair_wake_due(&f, wait_ms - 1);
	assert_int_equal(start_one(&f, wait_ms - 1, &from), 0);
	assert_int_equal(fair_next_ms(&f, wait_ms - 1, 60000), 1);
	fair_wake_due(&f, wait_ms);
	assert_int_not_equal(start_one(&f, wait_ms, &from), 0);
	assert_int_equal(start_one(&f, wait_ms, &from), 0); /* one probe */
	end_well(&f, from);
	assert_int_not_equal(start_one(&f, wait_ms, &from), 0);
	assert_int_not_equal(start_one(&f, wait_ms, &from), 0);
	assert_int_equal(start_one(&f, wait_ms, &from), 0); /* it begins at two again */
	fair_free(&f);
}

static void
test_freed_slots_go_round_the_senders(void **state)
{
	struct fair f;
	struct destination d;
	struct line *from = NULL;
	unsigned served[4] = { 0 };

	(void)state;
	fair_begin(&f, MOST);
	destination_begin(&d, 1, 1, 0, 0);
	for (uint32_t sender = 1; sender <= 3; sender++)
		wait_in(&f, &d, sender, 1000);
	for (unsigned i = 0; i < 300; i++) {
		served[start_one(&f, 0, &from)]++;
		assert_int_equal(start_one(&f, 0, &from), 0);
		end_well(&f, from);
	}
	assert_int_equal(served[0], 0);
	assert_in_range(served[1], 99, 101);
	assert_in_range(served[2], 99, 101);
	assert_in_range(served[3], 99, 101);
	fair_free(&f);
}

/* One who has begun with much mail leaves room to others, once others were seen; alone, it has all of it. */
static void
test_leaves_room_to_others(void **state)
{
	struct fair f;
	struct destination d;
	struct line *from = NULL, *small = NULL;
	unsigned n = 0;

	(void)state;
	fair_begin(&f, MOST);
	destination_begin(&d, 1, 20, 0, 0);
	d.pace.limit = 20;
	wait_in(&f, &d, 1, 1000);
	while (start_one(&f, 0, &from))
		n++;
	assert_int_equal(n, 20);
	wait_in(&f, &d, 2, 1);
	end(&f, from);
	assert_int_equal(start_one(&f, 0, &small), 2); /* had to wait for the end of an attempt */
	for (unsigned i = 0; i < 6; i++) {
		end(&f, from);
		assert_int_equal(start_one(&f, 1, &small), i >= 4);
	}
	wait_in(&f, &d, 3, 1);
	assert_int_equal(start_one(&f, 1, &small), 3); /* at once */
	end(&f, small);
	assert_int_equal(start_one(&f, 1, &small), 0);
	fair_free(&f);
}

static void
test_suspended_until(void **state)
{
	struct fair f;
	struct destination d;
	struct line *from = NULL;

	(void)state;
	fair_begin(&f, MOST);
	destination_begin(&d, 1, 20, 0, 0);
	d.suspended_until_ms = 5000;
	wait_in(&f, &d, 1, 1);
	assert_int_equal(start_one(&f, 0, &from), 0);
	fair_wake_due(&f, 4999);
	assert_int_equal(start_one(&f, 4999, &from), 0);
	assert_int_equal(fair_next_ms(&f, 4999, 60000), 1);
	fair_wake_due(&f, 5000);
	assert_int_equal(start_one(&f, 5000, &from), 1);
	fair_free(&f);
}

/* The line that was woken for a free slot goes away: the next one gets it. */
static void
test_no_slot_is_lost(void **state)
{
	struct fair f;
	struct destination d;
	struct line *from = NULL;
	struct line *first;

	(void)state;
	fair_begin(&f, MOST);
	destination_begin(&d, 1, 1, 0, 0);
	wait_in(&f, &d, 9, 1);
	assert_int_equal(start_one(&f, 0, &from), 9);
	wait_in(&f, &d, 1, 1);
	wait_in(&f, &d, 2, 1);
	assert_int_equal(start_one(&f, 0, &from), 0); /* both are parked */
	end_well(&f, from);
	first = fair_line(&f, 1, &d);
	first->waiting.n = 0; /* the operator dropped it */
	fair_leave(&f, first);
	assert_int_equal(start_one(&f, 0, &from), 2);
	fair_free(&f);
}

/* It ends by the wall clock, also when that is set while the line is parked. */
static void
test_suspension_ends_by_the_wall_clock(void **state)
{
	struct fair f;
	struct destination d;

	(void)state;
	fair_begin(&f, MOST);
	destination_begin(&d, 1, 20, 0, 0);
	wait_in(&f, &d, 1, 1);
	d.suspended_until_ms = 3600000;
	assert_null(fair_next(&f, 0, 0));
	fair_wake_due(&f, 60000);
	assert_null(fair_next(&f, 60000, 60000 - 1800000)); /* set back half an hour */
	fair_wake_due(&f, 120000);
	assert_non_null(fair_next(&f, 120000, 3600000)); /* set forward */
	fair_free(&f);
}

static void
test_starved_lines_wait_for_memory(void **state)
{
	struct fair f;
	struct destination d;
	struct line *from = NULL;

	(void)state;
	fair_begin(&f, MOST);
	destination_begin(&d, 1, 20, 0, 0);
	wait_in(&f, &d, 1, 1);
	wait_in(&f, &d, 2, 1);
	fair_starve(&f, fair_next(&f, 0, 0));
	assert_int_equal(start_one(&f, 0, &from), 2);
	assert_int_equal(start_one(&f, 0, &from), 0);
	fair_feed(&f);
	assert_int_equal(start_one(&f, 0, &from), 1);
	fair_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_big_sender_delays_nobody),
		cmocka_unit_test(test_many_lines_are_one_sender),
		cmocka_unit_test(test_slow_destination_holds_a_quarter),
		cmocka_unit_test(test_down_waits_without_trying),
		cmocka_unit_test(test_freed_slots_go_round_the_senders),
		cmocka_unit_test(test_leaves_room_to_others),
		cmocka_unit_test(test_suspended_until),
		cmocka_unit_test(test_suspension_ends_by_the_wall_clock),
		cmocka_unit_test(test_no_slot_is_lost),
		cmocka_unit_test(test_starved_lines_wait_for_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
