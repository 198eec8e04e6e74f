/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/must.h"
#include "role/queue/queue.h"

/* Whose question is next: payers and what waits behind them, without questions. */

enum { MOST = 40 };

static struct queue *
begin(void **state, struct turns *t)
{
	struct queue *q = calloc(1, sizeof *q);

	must(q);
	q->role.loop = loop_open();
	index_begin(q);
	turns_begin(t, MOST);
	*state = q;
	return q;
}

/* n more things wait behind that payer. */
static uint32_t
wait_for(struct queue *q, struct turns *t, const char *payer, unsigned n)
{
	uint32_t name = intern_add(&q->texts, str_of(payer));
	struct asker *a = turns_of(q, t, name);

	a->recipients.n += n;
	turns_ready(t, a);
	return name;
}

static struct asker *
ask_one(struct queue *q, struct turns *t)
{
	struct asker *a = turns_next(q, t);

	if (a) {
		a->recipients.n--;
		turns_started(t, a);
	}
	return a;
}

/* All that is under way ends, and nothing waits any more. */
static void
let_go(struct queue *q, struct turns *t)
{
	while (t->askers.used) {
		size_t at = 0;
		struct asker *a = map_next(&t->askers, &at);

		a->recipients.n = 0;
		if (a->under_way)
			turns_ended(q, t, a);
		else
			assert_null(turns_next(q, t));
	}
	map_free(&t->askers);
}

static void
test_one_payer_has_a_quarter(void **state)
{
	struct turns t;
	struct queue *q = begin(state, &t);
	struct asker *a = NULL;
	unsigned n = 0;

	wait_for(q, &t, "big", 1000);
	for (struct asker *next; (next = ask_one(q, &t)); n++)
		a = next;
	assert_int_equal(n, MOST / 4);
	turns_ended(q, &t, a);
	assert_ptr_equal(ask_one(q, &t), a);
	assert_null(ask_one(q, &t));
	let_go(q, &t);
}

static void
test_a_small_payer_asks_at_once(void **state)
{
	struct turns t;
	struct queue *q = begin(state, &t);
	uint32_t small;

	wait_for(q, &t, "big", 1000);
	while (ask_one(q, &t))
		;
	small = wait_for(q, &t, "small", 1);
	assert_int_equal(ask_one(q, &t)->payer, small);
	assert_null(ask_one(q, &t));
	let_go(q, &t);
}

static void
test_payers_take_turns(void **state)
{
	struct turns t;
	struct queue *q = begin(state, &t);
	uint32_t a = wait_for(q, &t, "a", 5), b = wait_for(q, &t, "b", 5);

	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(ask_one(q, &t)->payer, a);
		assert_int_equal(ask_one(q, &t)->payer, b);
	}
	assert_null(ask_one(q, &t));
	let_go(q, &t);
}

static void
test_all_together_have_a_limit_and_are_forgotten(void **state)
{
	struct turns t;
	struct queue *q = begin(state, &t);
	struct asker *asked[MOST];
	unsigned n = 0;
	char payer[8];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(payer, sizeof payer, "%u", i);
		wait_for(q, &t, payer, 1);
	}
	while ((asked[n] = ask_one(q, &t)) && ++n < MOST)
		;
	assert_int_equal(n, MOST);
	assert_null(turns_next(q, &t));
	while (n)
		turns_ended(q, &t, asked[--n]);
	for (struct asker *a; (a = ask_one(q, &t));)
		turns_ended(q, &t, a);
	assert_int_equal(t.askers.used, 0);
	assert_int_equal(t.under_way, 0);
	assert_int_equal(q->chains.live, 0);
	let_go(q, &t);
}

/* What waited was held, dropped or came to its time: nobody told us. */
static void
test_what_went_away_asks_nothing(void **state)
{
	struct turns t;
	struct queue *q = begin(state, &t);
	uint32_t a = wait_for(q, &t, "a", 1);

	turns_of(q, &t, a)->recipients.n = 0;
	assert_null(turns_next(q, &t));
	assert_int_equal(t.askers.used, 0);
	let_go(q, &t);
}

static int
clean_up(void **state)
{
	struct queue *q = *state;

	intern_free(&q->texts);
	pool_free(&q->chains);
	loop_close(&q->role.loop);
	free(q);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_one_payer_has_a_quarter, clean_up),
		cmocka_unit_test_teardown(test_a_small_payer_asks_at_once, clean_up),
		cmocka_unit_test_teardown(test_payers_take_turns, clean_up),
		cmocka_unit_test_teardown(
			test_all_together_have_a_limit_and_are_forgotten, clean_up),
		cmocka_unit_test_teardown(test_what_went_away_asks_nothing, clean_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
