/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "smtp/milter.h"

/* A conversation with a filter: what the client says is read packet by packet, "D…" macros apart. */
struct talk {
	struct milter m;
	struct milter_facts facts;
	struct str rest; /* of the output, not read yet */
};

enum {
	ALL_ACTIONS = 0xff,
	SILENT_SENDER = 0x4000,
	SILENT_RECIPIENTS = 0x8000,
	SILENT_HEADERS = 0x80,
	SILENT_BODY = 0x80000,
	SKIP = 0x400,
	KEEP_BLANK = 0x100000
};

static void
say(struct talk *t, char letter, struct str data)
{
	char head[5] = { 0, (char)((data.n + 1) >> 16), (char)((data.n + 1) >> 8),
		(char)(data.n + 1), letter };

	milter_feed(&t->m, (struct str){ head, 5 });
	milter_feed(&t->m, data);
}

/* The next packet to the filter, its letter first. Empty: there is none. */
static struct str
heard(struct talk *t)
{
	struct str out = milter_output(&t->m), packet;
	size_t n;

	if (out.n == 0)
		return out;
	assert_true(out.n > 4);
	n = (size_t)(unsigned char)out.p[1] << 16 | (size_t)(unsigned char)out.p[2] << 8 |
	    (unsigned char)out.p[3];
	packet = str_part(out, 4, n);
	assert_int_equal(packet.n, n);
	return packet;
}

static void
took(struct talk *t)
{
	milter_sent(&t->m, heard(t).n + 4);
}

static void
offers(struct talk *t, uint32_t version, uint32_t actions, uint32_t steps)
{
	uint32_t numbers[] = { version, actions, steps };
	char data[12];

	for (size_t i = 0; i < 12; i++)
		data[i] = (char)(numbers[i / 4] >> (24 - 8 * (i % 4)));
	took(t);
	say(t, 'O', (struct str){ data, 12 });
}

static void
begin(struct talk *t, uint32_t actions, uint32_t steps)
{
	*t = (struct talk){ .facts = { .hostname = S("mail.example.org"),
				    .client_address = S("192.0.2.1"),
				    .client_port = S("4321"),
				    .client_port_number = 4321,
				    .client_family = MILTER_IPV4,
				    .hello = S("client.test"),
				    .sender = S("ann@example.net"),
				    .recipient = S("bob@example.org"),
				    .id = S("0123") } };
	milter_begin(&t->m, &t->facts, 1000);
	assert_int_equal(milter_next(&t->m), MILTER_WANT_INPUT);
	offers(t, 6, actions, steps);
	assert_int_equal(milter_next(&t->m), MILTER_ON_ANSWER);
}

static void
answer(struct talk *t, char letter, enum milter_verdict verdict)
{
	assert_int_equal(milter_next(&t->m), MILTER_WANT_INPUT);
	say(t, letter, S(""));
	assert_int_equal(milter_next(&t->m), MILTER_ON_ANSWER);
	assert_int_equal(t->m.verdict, verdict);
}

static void
expect(struct talk *t, struct str packet)
{
	assert_str(heard(t), packet);
	took(t);
}

static void
test_whole_mail(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, 0, 0);
	milter_client(&t.m);
	expect(&t, S("DCj\0mail.example.org\0_\000192.0.2.1\0{client_addr}\000192.0.2.1\0{client_"
		     "port}\0004321\0"));
	expect(&t, S("C[192.0.2.1]\0004\x10\xe1"
		     "192.0.2.1\0"));
	answer(&t, 'c', MILTER_CONTINUE);
	milter_hello(&t.m);
	expect(&t, S("Hclient.test\0"));
	answer(&t, 'c', MILTER_CONTINUE);
	milter_sender(&t.m);
	expect(&t, S("DM{mail_addr}\0ann@example.net\0i\0000123\0"));
	expect(&t, S("M<ann@example.net>\0"));
	answer(&t, 'c', MILTER_CONTINUE);
	milter_recipient(&t.m);
	expect(&t, S("DRi\0000123\0{rcpt_addr}\0bob@example.org\0"));
	expect(&t, S("R<bob@example.org>\0"));
	answer(&t, 'r', MILTER_REFUSE);
	assert_int_equal(t.m.error.code, 550);
	milter_data(&t.m);
	expect(&t, S("DTi\0000123\0"));
	expect(&t, S("T"));
	answer(&t, 'c', MILTER_CONTINUE);
	milter_message(&t.m, S("A: 1\r\nB:2\r\n\t3\r\n"), S("body\r\n"));
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	expect(&t, S("LA\0001\0"));
	say(&t, 'c', S(""));
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	expect(&t, S("LB\0002\n\t3\0"));
	say(&t, 'c', S(""));
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	expect(&t, S("DNi\0000123\0"));
	expect(&t, S("N"));
	say(&t, 'c', S(""));
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	expect(&t, S("Bbody\r\n"));
	say(&t, 'c', S(""));
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	expect(&t, S("DEi\0000123\0"));
	expect(&t, S("E"));
	answer(&t, 'c', MILTER_CONTINUE);
	milter_reset(&t.m);
	assert_str(heard(&t), S("")); /* the mail is over: there is nothing to abort */
	milter_sender(&t.m);
	milter_free(&t.m);
}

/* What it does not want to hear, or not to answer. */
static void
test_steps(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, 0,
		0x1 | 0x2 | 0x4 | 0x8 | 0x200 | 0x40 | SILENT_HEADERS | SILENT_BODY | KEEP_BLANK);
	milter_client(&t.m);
	assert_int_equal(milter_next(&t.m), MILTER_ON_ANSWER);
	milter_hello(&t.m);
	milter_sender(&t.m);
	milter_recipient(&t.m);
	milter_data(&t.m);
	assert_int_equal(milter_next(&t.m), MILTER_ON_ANSWER);
	assert_str(heard(&t), S(""));
	milter_message(&t.m, S("A: 1\r\nB: 2\r\n"), S("body\r\n"));
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	expect(&t, S("LA\0 1\0"));
	expect(&t, S("LB\0 2\0"));
	expect(&t, S("Bbody\r\n"));
	expect(&t, S("DEi\0000123\0"));
	expect(&t, S("E"));
	answer(&t, 'a', MILTER_ACCEPT);
	milter_free(&t.m);
}

static void
begin_message(struct talk *t, uint32_t actions, uint32_t steps, struct str body)
{
	begin(t, actions, steps | 0x1 | 0x2 | 0x4 | 0x8 | 0x200 | 0x20 | 0x40);
	milter_sender(&t->m);
	milter_message(&t->m, S("A: 1\r\n"), body);
}

static void
test_body_in_chunks(void **state)
{
	static char large[1000000];
	struct talk t;
	size_t got = 0, n;

	(void)state;
	memset(large, 'x', sizeof large);
	begin_message(&t, 0, SILENT_BODY, (struct str){ large, sizeof large });
	while (milter_next(&t.m) == MILTER_WANT_OUTPUT) {
		assert_true(milter_output(&t.m).n < 512 * 1024);
		n = heard(&t).n;
		assert_true(n <= 65536);
		got += n - 1;
		took(&t);
	}
	while (heard(&t).p[0] == 'B') {
		got += heard(&t).n - 1;
		took(&t);
	}
	assert_int_equal(got, sizeof large);
	milter_free(&t.m);
}

/* One that promised not to answer, and does not read: what it is told waits until some of it has gone. */
static void
test_silent_and_unread(void **state)
{
	struct talk t;
	unsigned waits = 0;

	(void)state;
	begin(&t, 0, SILENT_SENDER | SILENT_RECIPIENTS);
	for (int mail = 0; mail < 10; mail++) {
		milter_sender(&t.m);
		for (int i = 0; i < 10000; i++) {
			while (milter_next(&t.m) == MILTER_WANT_OUTPUT) {
				assert_true(milter_output(&t.m).n < 512 * 1024);
				took(&t);
				waits++;
			}
			assert_int_equal(milter_next(&t.m), MILTER_ON_ANSWER);
			milter_recipient(&t.m);
		}
		milter_reset(&t.m);
		while (milter_next(&t.m) == MILTER_WANT_OUTPUT)
			took(&t);
	}
	assert_true(waits > 0);
	milter_free(&t.m);
}

static void
test_skip(void **state)
{
	static char large[200000];
	struct talk t;

	(void)state;
	begin_message(&t, 0, SKIP, (struct str){ large, sizeof large });
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	took(&t);
	say(&t, 's', S(""));
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	took(&t);
	expect(&t, S("E"));
	milter_free(&t.m);
}

static void
test_changes(void **state)
{
	static const struct {
		char letter;
		struct str data;
		struct milter_change want;
	} changes[] = {
		{ 'h', S("X-A\0b\0"), { MILTER_ADD_HEADER, 0, S("X-A"), S(" b") } },
		{ 'i', S("\0\0\0\2X-A\0b\0"), { MILTER_INSERT_HEADER, 2, S("X-A"), S(" b") } },
		{ 'm', S("\0\0\0\1X-A\0\0"), { MILTER_CHANGE_HEADER, 1, S("X-A"), S("") } },
		{ '+', S("<a@b.c>\0"), { MILTER_ADD_RECIPIENT, 0, S(""), S("<a@b.c>") } },
		{ '2', S("<a@b.c>\0NOTIFY=NEVER\0"),
			{ MILTER_ADD_RECIPIENT, 0, S(""), S("<a@b.c>") } },
		{ '-', S("a@b.c\0"), { MILTER_DELETE_RECIPIENT, 0, S(""), S("a@b.c") } },
		{ 'e', S("<>\0"), { MILTER_CHANGE_SENDER, 0, S(""), S("<>") } },
		{ 'q', S("why\0"), { MILTER_QUARANTINE, 0, S(""), S("why") } },
	};
	struct milter_change c;
	struct str in;
	struct talk t;

	(void)state;
	begin_message(&t, ALL_ACTIONS, 0x10, S(""));
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
		say(&t, changes[i].letter, changes[i].data);
	say(&t, 'p', S(""));
	say(&t, 'b', S("new "));
	say(&t, 'b', S("body"));
	answer(&t, 'c', MILTER_CONTINUE);
	assert_int_equal(t.m.progress, 1);
	assert_true(t.m.has_new_body);
	assert_str(buf_str(&t.m.new_body), S("new body"));
	in = buf_str(&t.m.changes);
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		assert_true(milter_scan_change(&in, &c));
		assert_int_equal(c.kind, changes[i].want.kind);
		assert_int_equal(c.index, changes[i].want.index);
		assert_str(c.name, changes[i].want.name);
		assert_str(c.value, changes[i].want.value);
	}
	assert_false(milter_scan_change(&in, &c));
	milter_free(&t.m);
}

static void
test_replies(void **state)
{
	static const struct {
		struct str said;
		uint16_t code, detail;
		enum err_class class;
		struct str words;
	} replies[] = {
		{ S("550 5.7.23 no\0"), 550, 23, ERR_PERMANENT, S("no") },
		{ S("450 later\0"), 450, 1, ERR_TEMPORARY, S("later") },
		{ S("554-5.6.6 100%%\r\n554 5.6.6 no\r\n\0"), 554, 6, ERR_PERMANENT, S("100% no") },
		{ S("550 5.7.1 a\tb\x1b[2J\0"), 550, 1, ERR_PERMANENT, S("a?b?[2J") },
		{ S("421\0"), 421, 1, ERR_TEMPORARY, S("") },
	};
	struct talk t;

	(void)state;
	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
		begin_message(&t, 0, 0x10, S(""));
		assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
		say(&t, 'y', replies[i].said);
		assert_int_equal(milter_next(&t.m), MILTER_ON_ANSWER);
		assert_int_equal(t.m.verdict, MILTER_REFUSE);
		assert_int_equal(t.m.error.code, replies[i].code);
		assert_int_equal(t.m.error.class, replies[i].class);
		assert_int_equal(t.m.error.enhanced.detail, replies[i].detail);
		assert_str(str_of(t.m.error.text), replies[i].words);
		milter_free(&t.m);
	}
}

/* Each ends the conversation at once. */
static void
test_lies(void **state)
{
	static const struct {
		char letter;
		struct str data;
	} lies[] = {
		{ 'Z', S("") },
		{ 'O', S("\0\0\0\6\0\0\0\0\0\0\0\0") },
		{ 's', S("") },
		{ 'h', S("X-A\0b\0") }, /* not offered */
		{ '+', S("a@b.c") },	/* no NUL */
		{ '+', S("a@b.c\0x\0") },
		{ 'i', S("\0\0\1") },
		{ 'y', S("250 2.0.0 fine\0") },
		{ 'y', S("550 5.7.1 a\r\n250 b\0") },
		{ 'y', S("550 5.7.1 a\r\n550 5.7.1 b\0") },
		{ 'y', S("no\0") },
		{ 'y', S("550 no NUL") },
	};
	struct talk t;

	(void)state;
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		begin_message(&t, 0xfe, 0x10, S(""));
		assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
		say(&t, lies[i].letter, lies[i].data);
		assert_int_equal(milter_next(&t.m), MILTER_ON_FAILED);
		assert_int_equal(t.m.error.kind, ERR_PROTOCOL);
		milter_free(&t.m);
	}
}

static void
test_bad_offers(void **state)
{
	static const uint32_t offers_of[][3] = { { 1, 0, 0 }, { 7, 0, 0 }, { 6, 0x100, 0 },
		{ 6, 0, 0x800 }, { 6, 0, 0x10000000 } };
	struct talk t = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof offers_of / sizeof *offers_of; i++) {
		milter_begin(&t.m, &t.facts, 1000);
		offers(&t, offers_of[i][0], offers_of[i][1], offers_of[i][2]);
		assert_int_equal(milter_next(&t.m), MILTER_ON_FAILED);
		milter_free(&t.m);
	}
}

/* Packets beyond all measure, answers to nothing, changes without end, a body without end. */
static void
test_too_much(void **state)
{
	char large[2000] = "";
	struct talk t;

	(void)state;
	begin(&t, 0, 0);
	milter_client(&t.m);
	milter_feed(&t.m, S("\x7f\0\0\0c"));
	assert_int_equal(milter_next(&t.m), MILTER_ON_FAILED);
	milter_free(&t.m);

	begin(&t, 0, 0);
	milter_client(&t.m);
	say(&t, 'c', S(""));
	say(&t, 'r', S(""));
	assert_int_equal(milter_next(&t.m), MILTER_ON_ANSWER);
	milter_hello(&t.m);
	assert_int_equal(milter_next(&t.m), MILTER_ON_FAILED);
	milter_free(&t.m);

	begin_message(&t, ALL_ACTIONS, 0x10, S(""));
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	for (int i = 0; i <= MILTER_CHANGES_MAX; i++)
		say(&t, '-', S("a@b.c\0"));
	assert_int_equal(milter_next(&t.m), MILTER_ON_FAILED);
	milter_free(&t.m);

	begin_message(&t, ALL_ACTIONS, 0x10, S(""));
	assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
	say(&t, 'b', (struct str){ large, sizeof large });
	assert_int_equal(milter_next(&t.m), MILTER_ON_FAILED);
	milter_free(&t.m);
}

/* Cut anywhere, an answer is the same. */
static void
test_cut_anywhere(void **state)
{
	struct str packet = S("\0\0\0\x11y550 5.7.23 none\0");
	struct talk t;

	(void)state;
	for (size_t cut = 0; cut <= packet.n; cut++) {
		begin_message(&t, 0, 0x10, S(""));
		assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
		milter_feed(&t.m, str_part(packet, 0, cut));
		if (cut < packet.n)
			assert_int_equal(milter_next(&t.m), MILTER_WANT_INPUT);
		milter_feed(&t.m, str_from(packet, cut));
		assert_int_equal(milter_next(&t.m), MILTER_ON_ANSWER);
		assert_str(str_of(t.m.error.text), S("none"));
		milter_free(&t.m);
	}
}

/* A mail that comes to nothing is told, once. */
static void
test_abort(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, 0, 0x4);
	milter_sender(&t.m);
	milter_reset(&t.m);
	milter_reset(&t.m);
	expect(&t, S("A"));
	assert_str(heard(&t), S(""));
	milter_sender(&t.m);
	milter_sender(&t.m);
	expect(&t, S("A"));
	milter_quit(&t.m);
	expect(&t, S("Q"));
	milter_free(&t.m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_mail),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_body_in_chunks),
		cmocka_unit_test(test_silent_and_unread),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_bad_offers),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
