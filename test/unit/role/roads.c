/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/must.h"
#include "role/queue/queue.h"

/* A mail to each of very many domains, once: what is remembered of them has its limits. */

enum { DOMAINS = 60000, KEPT = 50000 };

static struct queue *
begin(void **state)
{
	static struct config_route routes[] = { { .name = S("*"),
		.pattern = S("*"),
		.via = { .family = HOP_IPV4, .port = 25 },
		.connections = 20,
		.port = 25 } };
	struct queue *q = calloc(1, sizeof *q);

	must(q);
	q->role.loop = loop_open();
	q->role.config.routes = routes;
	q->role.config.routes_n = 1;
	q->role.config.limits.outbound = 400;
	q->role.config.queue.expire_ms = INT64_MAX / 2;
	q->suspensions.max = 1; /* none are read from a spool */
	q->packed.max = 4096;
	index_begin(q);
	wheel_begin(q);
	road_start(q);
	schedule_begin(q);
	*state = q;
	return q;
}

/* It finds its road, stands in line, and is gone again. */
static void
come_and_go(struct queue *q, unsigned number)
{
	uint32_t mail = index_add_mail(q, &(struct mail){ .id = mail_id_random(), .may_relay = 1 });
	char text[64];
	uint32_t r;

	snprintf(text, sizeof text, "box@domain%u.test", number);
	r = index_add_recipient(q, mail, str_of(text), false);
	road_find(q, r);
	assert_int_equal(recipient_of(q, r)->state, RECIPIENT_IN_LINE);
	recipient_leave(q, r);
	index_drop_mail(q, mail);
}

static void
test_roads_have_a_limit(void **state)
{
	struct queue *q = begin(state);

	for (unsigned i = 0; i < DOMAINS; i++)
		come_and_go(q, i);
	assert_int_equal(q->roads.used, KEPT);
	come_and_go(q, DOMAINS - 1); /* known */
	assert_int_equal(q->roads.used, KEPT);
	assert_false(road_sweep(q));
}

static void
test_roads_of_an_older_file_are_forgotten(void **state)
{
	struct queue *q = begin(state);
	unsigned slices = 0;

	for (unsigned i = 0; i < 2000; i++)
		come_and_go(q, i);
	road_configured(q);
	come_and_go(q, 1);
	while (road_sweep(q))
		slices++;
	assert_in_range(slices, 2, 2000); /* not in one turn */
	assert_int_equal(q->roads.used, 1);
}

static void
find_destination(struct queue *q, unsigned number)
{
	struct hop h = { .host = S("mx"), .family = HOP_IPV4, .port = 25 };
	struct buf hops = { .max = 1024 };

	memcpy(h.address, &number, sizeof number);
	hop_add(&hops, &h);
	destination_of(q, NULL, buf_str(&hops), S("domain.test"));
	buf_free(&hops);
}

static void
test_destinations_have_a_limit(void **state)
{
	struct queue *q = begin(state);

	for (unsigned i = 0; i < DOMAINS; i++)
		find_destination(q, i);
	assert_in_range(q->destinations.used, 2, KEPT);
}

static void
test_destinations_are_forgotten_a_slice_a_turn(void **state)
{
	struct queue *q = begin(state);
	struct queue_destination *d;
	unsigned slices = 0;

	for (unsigned i = 0; i < 2000; i++)
		find_destination(q, i);
	assert_false(destination_sweep(q));
	for (size_t at = 0; (d = destination_next(q, &at));)
		d->used_ms -= 3600 * 1000;
	while (destination_sweep(q))
		slices++;
	assert_in_range(slices, 2, 2000);
	assert_int_equal(q->destinations.used, 1); /* the store */
}

static int
end(void **state)
{
	struct queue *q = *state;
	struct queue_destination *d;

	road_configured(q);
	while (road_sweep(q))
		;
	for (size_t at = 0; (d = destination_next(q, &at));)
		d->used_ms = INT64_MIN;
	while (destination_sweep(q))
		;
	free((char *)(uintptr_t)q->mailboxes->key.p);
	free((char *)(uintptr_t)q->mailboxes->name.p);
	free((char *)(uintptr_t)q->mailboxes->route.p);
	free(q->mailboxes);
	map_free(&q->destinations);
	map_free(&q->roads);
	fair_free(&q->outbound);
	fair_free(&q->inbound);
	pool_free(&q->mails);
	pool_free(&q->recipients);
	pool_free(&q->chains);
	intern_free(&q->texts);
	texts_free(&q->locals);
	refs_free(&q->by_id);
	buf_free(&q->packed);
	loop_timer_close(&q->wheel_timer);
	loop_timer_close(&q->sweep_timer);
	loop_timer_close(&q->road_timer);
	loop_close(&q->role.loop);
	free(q->wheel);
	free(q);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_roads_have_a_limit, end),
		cmocka_unit_test_teardown(test_roads_of_an_older_file_are_forgotten, end),
		cmocka_unit_test_teardown(test_destinations_have_a_limit, end),
		cmocka_unit_test_teardown(test_destinations_are_forgotten_a_slice_a_turn, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
