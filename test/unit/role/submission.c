/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "role/reader/delivery.h"
#include "role/reader/submit.h"
#include "spool/history.h"

/* What leaves of a message, and what the queue's words come to. */

/* ── outgoing ── */

static struct str
sent(const char *message, struct outgoing *o)
{
	static char room[OUTGOING_ROOM];
	static struct buf all = { .max = 1 << 20 };

	buf_reset(&all);
	outgoing_begin(o, str_of(message));
	for (size_t n; (n = outgoing_read(o, room));)
		buf_add(&all, (struct str){ room, n });
	assert_int_equal(all.n, o->size);
	outgoing_free(o);
	return buf_str(&all);
}

static void
nobody_sees_bcc(void **state)
{
	struct outgoing o;

	(void)state;
	assert_str(sent("From: a@b\nBcc: secret@c,\n\tother@d\nTo: e@f\nbCC : x@y\nResent-Bcc: "
			"z@z\n\nBcc: stays\n",
			   &o),
		S("From: a@b\r\nTo: e@f\r\n\r\nBcc: stays\r\n"));
	assert_str(sent("Bcc: a@b\r\n\r\nx\r\n", &o), S("\r\nx\r\n"));
	/* A line ends by CR alone too, once it has left. */
	assert_str(sent("Subject: quiet\rBcc: secret@c\r\n d@e\rTo: f@g\r\r\nBcc: stays\n", &o),
		S("Subject: quiet\r\nTo: f@g\r\n\r\nBcc: stays\r\n"));
	assert_str(sent("X-Bcc: a@b\r\n\r\n", &o), S("X-Bcc: a@b\r\n\r\n"));
	assert_str(sent("Subject: a\r\n\r\nx\r\nBcc: stays\r\n", &o),
		S("Subject: a\r\n\r\nx\r\nBcc: stays\r\n"));
}

static void
lines_end_as_smtp_wants_it(void **state)
{
	struct outgoing o;

	(void)state;
	assert_str(sent("A: b\n\none\r\ntwo\nthree\rfour", &o),
		S("A: b\r\n\r\none\r\ntwo\r\nthree\r\nfour\r\n"));
	assert_str(sent("A: b\n\nend\r", &o), S("A: b\r\n\r\nend\r\n"));
	assert_str(sent("A: b\n", &o), S("A: b\r\n"));
	assert_str(sent("A: b", &o), S("A: b\r\n"));
	assert_str(sent("A: b\n\n\n\n", &o), S("A: b\r\n\r\n\r\n\r\n"));
}

static void
knows_what_it_needs(void **state)
{
	char line[1200] = "A: b\n\n";
	struct outgoing o;

	(void)state;
	sent("A: b\n\nx\n", &o);
	assert_false(o.is_8bit || o.header_is_8bit || o.needs_chunking);
	sent("A: b\n\n\xc3\xa9\n", &o);
	assert_true(o.is_8bit && !o.header_is_8bit);
	sent("A: \xc3\xa9\n\nx\n", &o);
	assert_true(o.header_is_8bit);
	memset(line + 6, 'x', 998);
	sent(line, &o);
	assert_false(o.needs_chunking);
	line[6 + 998] = 'x';
	sent(line, &o);
	assert_true(o.needs_chunking);
}

static void
long_messages_come_in_pieces(void **state)
{
	static char message[200001];
	struct outgoing o;
	struct str got;

	(void)state;
	memcpy(message, "A: b\n\n", 6);
	for (size_t i = 6; i < sizeof message - 1; i++)
		message[i] = i % 50 == 49 ? '\n' : 'x';
	got = sent(message, &o);
	for (size_t i = 0; i < got.n; i++)
		if (got.p[i] == '\n')
			assert_int_equal(got.p[i - 1], '\r');
	assert_str(str_from(got, got.n - 2), S("\r\n"));
}

/* ── delivery ── */

static json_t *
queued(const char *const *addresses)
{
	json_t *status = json_object();

	for (; *addresses; addresses++)
		json_object_set_new(
			status, *addresses, delivery_entry(S("250 2.0.0 kept"), "queued"));
	return status;
}

static void
tell(struct delivery *d, enum history_kind kind, struct str recipient, struct str who,
	struct str how, struct str words)
{
	struct buf packed = { .max = 1000 };

	if (recipient.n)
		codec_add_str(&packed, recipient);
	delivery_told(d, &(struct ipc_told){ .kind = (uint8_t)kind,
				 .who = who,
				 .how = how,
				 .words = words,
				 .recipients = buf_str(&packed) });
	buf_free(&packed);
}

static void
expect(const json_t *status, const char *address, const char *delivered, const char *reply)
{
	const json_t *entry = json_object_get(status, address);

	assert_string_equal(json_string_value(json_object_get(entry, "delivered")), delivered);
	assert_string_equal(json_string_value(json_object_get(entry, "smtpReply")), reply);
	assert_string_equal(json_string_value(json_object_get(entry, "displayed")), "unknown");
}

static void
each_recipient_has_its_own_end(void **state)
{
	const char *const all[] = { "Wei@example.org", "bob@example.net", "no@example.net",
		"late@example.net", NULL };
	struct arena arena = { .max = 1 << 20 };
	json_t *status = queued(all);
	struct delivery d;

	(void)state;
	delivery_begin(&d, &arena, status);
	tell(&d, HISTORY_ARRIVED, S("wei@example.org"), S("x@example.org"), S(""), S(""));
	tell(&d, HISTORY_EXPANDED, S("wei@example.org"), S(""), S("<wei@example.org>"), S(""));
	tell(&d, HISTORY_DELIVERED, S("wei@example.org"), S("mailbox"), S(""), S("delivered"));
	tell(&d, HISTORY_DELIVERED, S("bob@example.net"), S("mx.example.net"), S(""),
		S("250 2.0.0 queued as 7"));
	tell(&d, HISTORY_FAILED, S("no@example.net"), S("mx.example.net"), S(""),
		S("550 5.1.1 nobody"));
	tell(&d, HISTORY_DEFERRED, S("late@example.net"), S("mx.example.net"), S(""),
		S("no answer"));
	assert_false(delivery_end(&d, status, true));
	expect(status, "Wei@example.org", "yes", "250 2.0.0 delivered");
	expect(status, "bob@example.net", "unknown", "250 2.0.0 queued as 7");
	expect(status, "no@example.net", "no", "550 5.1.1 nobody");
	expect(status, "late@example.net", "queued", "451 4.0.0 no answer");
	json_decref(status);
	arena_free(&arena);
}

static void
what_was_called_back_is_known_by_its_history(void **state)
{
	const char *const all[] = { "bob@example.net", "team@example.org", NULL };
	struct arena arena = { .max = 1 << 20 };
	json_t *status = queued(all);
	struct delivery d;

	(void)state;
	delivery_begin(&d, &arena, status);
	assert_false(delivery_is_dropped(&d));
	tell(&d, HISTORY_EXPANDED, S("team@example.org"), S(""), S("<wei@example.org>"), S(""));
	tell(&d, HISTORY_DROPPED, S("bob@example.net"), S(""), S(""), S(""));
	assert_false(delivery_is_dropped(&d));
	tell(&d, HISTORY_DROPPED, S("wei@example.org"), S(""), S(""), S(""));
	assert_true(delivery_is_dropped(&d));
	/* Its operator took that back: it is in the queue. */
	delivery_item(&d, &(struct ipc_item){ .address = S("bob@example.net"), .state = 'W' });
	assert_false(delivery_is_dropped(&d));
	tell(&d, HISTORY_DROPPED, S("bob@example.net"), S(""), S(""), S(""));
	assert_true(delivery_is_dropped(&d));
	tell(&d, HISTORY_DELIVERED, S("wei@example.org"), S("mailbox"), S(""), S("delivered"));
	assert_false(delivery_is_dropped(&d));
	json_decref(status);
	arena_free(&arena);
}

static void
an_alias_is_as_its_worst_member(void **state)
{
	const char *const all[] = { "team@example.org", NULL };
	struct arena arena = { .max = 1 << 20 };
	json_t *status = queued(all);
	struct delivery d;

	(void)state;
	delivery_begin(&d, &arena, status);
	tell(&d, HISTORY_EXPANDED, S("team@example.org"), S(""),
		S("<wei@example.org>, <bob@example.org>"), S(""));
	tell(&d, HISTORY_DELIVERED, S("wei@example.org"), S("mailbox"), S(""), S(""));
	assert_false(delivery_end(&d, status, false));
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(status, "team@example.org"), "delivered")),
		"queued");
	delivery_begin(&d, &arena, status);
	tell(&d, HISTORY_EXPANDED, S("team@example.org"), S(""),
		S("<wei@example.org>, <bob@example.org>"), S(""));
	tell(&d, HISTORY_DELIVERED, S("wei@example.org"), S("mailbox"), S(""), S(""));
	tell(&d, HISTORY_FAILED, S("bob@example.org"), S(""), S(""), S("the disk is full"));
	tell(&d, HISTORY_SETTLED, S(""), S(""), S(""), S(""));
	assert_true(delivery_end(&d, status, false));
	expect(status, "team@example.org", "no", "554 5.0.0 the disk is full");
	json_decref(status);
	arena_free(&arena);
}

static void
what_nobody_knows_is_unknown_in_the_end(void **state)
{
	const char *const all[] = { "wei@example.org", NULL };
	struct arena arena = { .max = 1 << 20 };
	json_t *status = queued(all);
	struct delivery d;

	(void)state;
	delivery_begin(&d, &arena, status);
	assert_false(delivery_end(&d, status, false));
	expect(status, "wei@example.org", "queued", "250 2.0.0 kept");
	delivery_begin(&d, &arena, status);
	assert_true(delivery_end(&d, status, true));
	expect(status, "wei@example.org", "unknown", "250 2.0.0 kept");
	json_decref(status);
	arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_sees_bcc),
		cmocka_unit_test(lines_end_as_smtp_wants_it),
		cmocka_unit_test(knows_what_it_needs),
		cmocka_unit_test(long_messages_come_in_pieces),
		cmocka_unit_test(each_recipient_has_its_own_end),
		cmocka_unit_test(what_was_called_back_is_known_by_its_history),
		cmocka_unit_test(an_alias_is_as_its_worst_member),
		cmocka_unit_test(what_nobody_knows_is_unknown_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
