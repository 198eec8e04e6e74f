/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/must.h"
#include "role/queue/control.h"

/* The index by itself: what is put in is found, in order, and leaves nothing behind. */

static struct queue *
begin(void **state)
{
	struct queue *q = calloc(1, sizeof *q);

	must(q);
	q->role.loop = loop_open();
	q->role.config.queue.expire_ms = 3600 * 1000;
	index_begin(q);
	wheel_begin(q);
	*state = q;
	return q;
}

static uint32_t
add(struct queue *q, struct str sender, unsigned recipients)
{
	char text[64];
	uint32_t mail = index_add_mail(q, &(struct mail){ .id = mail_id_random(),
						  .sender = intern_add(&q->texts, sender),
						  .payer = intern_add(&q->texts, sender) });

	for (unsigned i = 0; i < recipients; i++) {
		snprintf(text, sizeof text, "user%u@example.net", i);
		index_add_recipient(q, mail, str_of(text), false);
	}
	return mail;
}

static struct str
address(struct queue *q, uint32_t r, struct buf *to)
{
	buf_reset(to);
	recipient_address(q, r, to);
	return buf_str(to);
}

static void
test_recipients_in_order(void **state)
{
	struct queue *q = begin(state);
	struct buf text = { .max = 1000 };
	uint32_t mail = add(q, S("wei@example.org"), 3), r = 0;

	assert_str(mail_sender(q, mail), S("wei@example.org"));
	assert_int_equal(index_find(q, mail_of(q, mail)->id), mail);
	r = recipient_next(q, mail, r);
	assert_str(address(q, r, &text), S("user0@example.net"));
	assert_int_equal(recipient_of(q, r)->place, 0);
	r = recipient_next(q, mail, r);
	assert_str(address(q, r, &text), S("user1@example.net"));
	r = recipient_next(q, mail, r);
	assert_str(address(q, r, &text), S("user2@example.net"));
	assert_int_equal(recipient_of(q, r)->place, 2);
	assert_int_equal(recipient_next(q, mail, r), 0);
	recipient_set_address(q, r, S("postmaster"));
	assert_str(address(q, r, &text), S("postmaster"));
	assert_int_equal(recipient_of(q, r)->domain, 0);
	recipient_set_address(q, r, S("\"a@b\"@[192.0.2.1]"));
	assert_str(recipient_local(q, r), S("\"a@b\""));
	assert_str(recipient_domain(q, r), S("[192.0.2.1]"));
	buf_free(&text);
}

static void
test_last_words(void **state)
{
	struct queue *q = begin(state);
	uint32_t r = recipient_next(q, add(q, S("a@b"), 1), 0);
	struct err said, e;
	struct str host;

	assert_false(recipient_last(q, r, &e, &host));
	err_set(&said, ERR_TEMPORARY, ERR_REMOTE, "4.2.1 come back later");
	said.code = 450;
	said.enhanced = (struct enhanced){ 4, 2, 1 };
	recipient_note(q, r, &said, S("mx.example.net"));
	recipient_note(
		q, r, &said, S("mx.example.net")); /* the same again, while the old one is there */
	assert_true(recipient_last(q, r, &e, &host));
	assert_str(host, S("mx.example.net"));
	assert_int_equal(e.code, 450);
	assert_int_equal(e.enhanced.subject, 2);
	assert_string_equal(e.text, "4.2.1 come back later");
}

static void
test_nothing_is_left(void **state)
{
	struct queue *q = begin(state);
	uint32_t mails[100];
	struct err e;

	err_set(&e, ERR_TEMPORARY, ERR_REMOTE, "later");
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 100; i++) {
			mails[i] = add(q, S("wei@example.org"), 1 + i);
			recipient_note(q, recipient_next(q, mails[i], 0), &e, S("host"));
			mail_more(q, mails[i])->big = i;
		}
		for (unsigned i = 0; i < 100; i++)
			index_drop_mail(q, mails[i]);
		assert_int_equal(q->mails.live, 0);
		assert_int_equal(q->recipients.live, 0);
		assert_int_equal(q->texts.entries.live, 0);
		assert_int_equal(q->by_id.used, 0);
		assert_int_equal(q->more.used, 0);
	}
	assert_int_equal(q->mails.used, 100); /* the room serves again */
}

/* Whoever walks meets each mail that is there all the time once, though others come and go. */
static void
test_walk_over_changes(void **state)
{
	struct queue *q = begin(state);
	uint32_t mails[1000], cursor = 0, mail, met = 0;

	for (unsigned i = 0; i < 1000; i++)
		mails[i] = add(q, S("a@b"), 1);
	while ((mail = index_next(q, &cursor))) {
		met++;
		if (met == 500) {
			for (unsigned i = 0; i < 1000; i += 10)
				index_drop_mail(q, mails[i]);
			for (unsigned i = 0; i < 20; i++)
				add(q, S("c@d"), 1);
		}
	}
	assert_in_range(met, 950, 1000 - 50 + 20);
}

/* Anybody may leave the wheel, in any order; those of a later round hang in the same slot. */
static void
test_wheel_lets_go(void **state)
{
	struct queue *q = begin(state);
	uint32_t mail = add(q, S("a@b"), 300);

	for (uint32_t r = 0; (r = recipient_next(q, mail, r));) {
		recipient_set_state(q, r, RECIPIENT_DEFERRED);
		wheel_put(q, r,
			q->epoch_ms + 60000 +
				(recipient_of(q, r)->place % 3) * (1 << 14) * WHEEL_TICK_MS);
		assert_in_range(recipient_due_ms(q, r) - q->epoch_ms, 60000,
			60000 + 2 * (1 << 14) * WHEEL_TICK_MS);
	}
	assert_int_equal(q->recipients_waiting, 300);
	for (uint32_t r = 0; (r = recipient_next(q, mail, r));)
		if (recipient_of(q, r)->place % 2)
			wheel_remove(q, r);
	for (uint32_t r = 0; (r = recipient_next(q, mail, r));)
		if (recipient_of(q, r)->place % 2 == 0)
			wheel_remove(q, r);
	assert_int_equal(q->recipients_waiting, 0);
}

/* The wall clock is set back an hour: pauses stay as long as they were, old ones and new ones. Forward: what is due at
 * a moment stays so. */
static void
test_wheel_when_the_clock_is_set(void **state)
{
	struct queue *q = begin(state);
	uint32_t r = recipient_next(q, add(q, S("a@b"), 1), 0);
	int64_t wall_ms = q->epoch_ms, clock_ms = loop_clock_ms(), due_ms;

	recipient_set_state(q, r, RECIPIENT_DEFERRED);
	wheel_put(q, r, wall_ms + 300000);
	due_ms = recipient_due_ms(q, r);
	wheel_clocks(q, wall_ms + 1000, clock_ms + 1000);
	assert_int_equal(recipient_due_ms(q, r), due_ms);
	wheel_clocks(q, wall_ms + 7200000, clock_ms + 1000);
	assert_int_equal(recipient_due_ms(q, r), due_ms);
	wheel_clocks(q, wall_ms + 3600000, clock_ms + 1000);
	assert_in_range(due_ms - recipient_due_ms(q, r), 3600000 - 2000, 3600000 + 2000);
	wheel_remove(q, r);
}

static void
test_sizes(void **state)
{
	(void)state;
	assert_in_range(sizeof(struct mail), 1, 56); /* bench/index measures the rest */
	assert_in_range(sizeof(struct recipient), 1, 44);
}

static int
end(void **state)
{
	struct queue *q = *state;

	if (!q)
		return 0;
	for (uint32_t mail, cursor = 0; (mail = index_next(q, &cursor));)
		index_drop_mail(q, mail);
	pool_free(&q->mails);
	pool_free(&q->recipients);
	intern_free(&q->texts);
	texts_free(&q->locals);
	refs_free(&q->by_id);
	map_free(&q->more);
	buf_free(&q->packed);
	loop_timer_close(&q->wheel_timer);
	loop_timer_close(&q->sweep_timer);
	loop_close(&q->role.loop);
	free(q->wheel);
	free(q);
	return 0;
}

/* RFC 4865: what its sender holds back grows old from the moment on at which it may be sent; nothing sends it earlier. */
static void
test_what_is_to_be_sent_later(void **state)
{
	struct queue *q = begin(state);
	uint32_t mail = add(q, S("wei@example.org"), 1), r = recipient_next(q, mail, 0);
	int64_t arrived_ms = loop_wall_ms(), until_ms = arrived_ms + 7200 * 1000;

	mail_of(q, mail)->arrived_ms = (uint64_t)arrived_ms & ((1ULL << 44) - 1);
	assert_int_equal(mail_expires_ms(q, mail), arrived_ms + 3600 * 1000);
	mail_more(q, mail)->hold_until_ms = until_ms;
	assert_int_equal(mail_expires_ms(q, mail), until_ms + 3600 * 1000);
	assert_int_equal(mail_age_ms(q, mail, until_ms + 5), 5);

	recipient_set_state(q, r, RECIPIENT_DEFERRED);
	wheel_put(q, r, until_ms);
	assert_false(recipient_is_late(q, r));
	q->suspensions.max = 1000;
	assert_false(suspend_recipient(q, r, until_ms)); /* a suspension until then is over early */
	assert_int_equal(recipient_of(q, r)->state, RECIPIENT_DEFERRED);
	wheel_remove(q, r);
	index_drop_mail(q, mail);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_recipients_in_order, end),
		cmocka_unit_test_teardown(test_last_words, end),
		cmocka_unit_test_teardown(test_nothing_is_left, end),
		cmocka_unit_test_teardown(test_walk_over_changes, end),
		cmocka_unit_test_teardown(test_wheel_lets_go, end),
		cmocka_unit_test_teardown(test_wheel_when_the_clock_is_set, end),
		cmocka_unit_test_teardown(test_what_is_to_be_sent_later, end),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
