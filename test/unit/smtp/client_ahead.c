/* SPDX-License-Identifier: Apache-2.0 */
#include "client_scene.h"

/* MAIL ahead: the next mail's commands leave behind the message whose answer is still to come. */

static struct scene
scene_ahead(struct smtp_client_mail *mails, size_t n)
{
	struct scene s = scene_of(mails, n);

	s.settings.goes_ahead = true;
	return s;
}

#define SIZED_GROUP                                \
	"C: MAIL FROM:<ann@example.net> SIZE=21\n" \
	"C: RCPT TO:<bob@example.org>\nC: RCPT TO:<eve@example.org>\nC: DATA\n"
#define BDAT	      GROUP "C: BDAT 21 LAST\n" UNSTUFFED
#define THREE_TIMES   "S: 250 ok\nS: 250 ok\nS: 250 ok\n"
#define FIRST_BY_DATA PIPELINING SIZED_GROUP THREE_TIMES "S: 354 go\n" STUFFED SIZED_GROUP

/* ── On the wire ─────────────────────────────────────────────────────────────────────────────── */

static void
test_the_next_mail_leaves_behind_the_dot(void **state)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct scene s = scene_ahead(mails, 2);

	(void)state;
	scene_play(&s, FIRST_BY_DATA "S: 250 kept\n" THREE_TIMES "S: 354 go\n" STUFFED
				     "S: 250 kept\n" QUIT);
	assert_taken(&outcomes[0]);
	assert_taken(&outcomes_b[1]);
	assert_int_equal(s.ahead_offered, 2);
	scene_end(&s);
}

static void
test_small_chunks_wait_for_nothing(void **state)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct scene s = scene_ahead(mails, 2);

	(void)state;
	scene_play(&s,
		CHUNKING BDAT "C: RSET\n" BDAT THREE_TIMES "S: 250 kept\n"
			      "S: 250 reset\nS: 250 ok\nS: 550 no\nS: 250 ok\nS: 250 kept\n" QUIT);
	assert_taken(&outcomes[1]);
	assert_refused(&outcomes_b[0], ERR_PERMANENT, ERR_REMOTE, STAGE_RCPT, 550);
	assert_taken(&outcomes_b[1]);
	scene_end(&s);
}

static void
test_only_where_it_is_wanted_and_may_be(void **state)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct scene s = scene_of(mails, 2);

	(void)state;
	scene_play(&s,
		CHUNKING BDAT THREE_TIMES "S: 250 kept\n" BDAT THREE_TIMES "S: 250 kept\n" QUIT);
	assert_int_equal(s.ahead_offered, 0);
	scene_end(&s);
	s.settings.goes_ahead = s.ignores_words = true;
	scene_play(&s, BARE THREE_TIMES "S: 354 go\nS: 250 kept\n");
	assert_int_equal(s.ahead_offered, 0);
	assert_int_equal(s.done, 1);
	scene_end(&s);
	s.settings.is_lmtp = true;
	scene_play(&s, CHUNKING THREE_TIMES "S: 250 kept\nS: 250 kept\n");
	assert_int_equal(s.ahead_offered, 0);
	assert_int_equal(s.done, 1);
	scene_end(&s);
}

/* What is not possible, or needs another header, is not said ahead: its turn comes, and then it is settled or asked for. */
static void
test_a_mail_that_cannot_go_ahead_waits_for_its_turn(void **state)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b),
		mail_to_two(outcomes_b) };
	struct scene s = scene_ahead(mails, 2);

	(void)state;
	mails[1].size = 5000;
	scene_play(
		&s, PIPELINING SIZED_GROUP THREE_TIMES "S: 354 go\n" STUFFED "S: 250 kept\n" QUIT);
	assert_taken(&outcomes[0]);
	assert_refused(&outcomes_b[0], ERR_PERMANENT, ERR_TOO_BIG, STAGE_MAIL, 0);
	assert_int_equal(s.done, 2);
	scene_end(&s);
	mails[1].size = mails[0].size;
	mails[1].smtputf8 = true;
	s.ascii = s.message;
	scene_play(&s, PIPELINING SIZED_GROUP THREE_TIMES
		"S: 354 go\n" STUFFED "S: 250 kept\n" SIZED_GROUP THREE_TIMES "S: 354 go\n" STUFFED
		"S: 250 kept\n" QUIT);
	assert_int_equal(s.ascii_asked, 1);
	assert_taken(&outcomes_b[0]);
	scene_end(&s);
}

/* ── Sessions that break ─────────────────────────────────────────────────────────────────────── */

static void
test_421_behind_the_dot(void **state)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct scene s = scene_ahead(mails, 2);

	(void)state;
	scene_play(&s, FIRST_BY_DATA "S: 421 4.3.2 going down\n");
	assert_refused(&outcomes[0], ERR_TEMPORARY, ERR_REMOTE, STAGE_END, 421);
	assert_refused(&outcomes_b[0], ERR_TEMPORARY, ERR_CONNECTION_LOST, STAGE_MAIL, 0);
	assert_false(outcomes[0].may_be_delivered || outcomes_b[0].may_be_delivered);
	scene_end(&s);
	scene_play(&s, FIRST_BY_DATA "S: 250 kept\nS: 421 enough\n");
	assert_taken(&outcomes[0]);
	assert_refused(&outcomes_b[0], ERR_TEMPORARY, ERR_REMOTE, STAGE_MAIL, 421);
	assert_int_equal(s.done, 1);
	scene_end(&s);
}

/* The whole second message had left in its chunk: nobody knows. Had it not, it is known. */
static void
test_only_a_whole_chunk_may_be_delivered(void **state)
{
	struct err lost;

	(void)state;
	err_set(&lost, ERR_PERMANENT, ERR_TIMEOUT, "silence");
	for (size_t missing = 0; missing < 3; missing++) {
		struct smtp_client_mail mails[] = { mail_to_two(outcomes),
			mail_to_two(outcomes_b) };
		struct scene s = scene_ahead(mails, 0);

		s.ignores_words = true;
		scene_play(&s, GREETING "S: 250-mx\nS: 250-PIPELINING\n");
		smtp_client_feed(&s.c, S("250 CHUNKING\r\n"));
		assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_READY);
		smtp_client_mail(&s.c, &mails[0]);
		assert_int_equal(smtp_client_next(&s.c), CLIENT_WANT_BODY);
		smtp_client_body(&s.c, S(MESSAGE), true);
		assert_int_equal(smtp_client_next(&s.c), CLIENT_WANT_AHEAD);
		smtp_client_mail(&s.c, &mails[1]);
		assert_int_equal(smtp_client_next(&s.c), CLIENT_WANT_BODY);
		smtp_client_body(&s.c, S(MESSAGE), true);
		assert_int_equal(smtp_client_next(&s.c), CLIENT_WANT_INPUT);
		smtp_client_sent(&s.c, smtp_client_output(&s.c).n - missing);
		smtp_client_lost(&s.c, &lost);
		assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_FAILED);
		assert_true(outcomes[0].may_be_delivered);
		assert_int_equal(outcomes_b[1].may_be_delivered, missing == 0);
		assert_int_equal(outcomes_b[1].stage, missing ? STAGE_MAIL : STAGE_END);
		assert_int_equal(outcomes_b[1].err.class, ERR_TEMPORARY);
		assert_int_equal(outcomes_b[1].err.kind, ERR_TIMEOUT);
		scene_end(&s);
	}
}

/* Lost between CLIENT_ON_DONE and the next step: nobody else would settle the second. */
static void
test_lost_between_two_mails(void **state)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct scene s = scene_ahead(mails, 2);
	struct err lost;

	(void)state;
	err_set(&lost, ERR_TEMPORARY, ERR_CONNECTION_LOST, "the cable is cut");
	scene_play(&s, FIRST_BY_DATA);
	smtp_client_feed(&s.c, S("250 kept\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_DONE);
	smtp_client_lost(&s.c, &lost);
	assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_FAILED);
	assert_taken(&outcomes[0]);
	assert_refused(&outcomes_b[0], ERR_TEMPORARY, ERR_CONNECTION_LOST, STAGE_MAIL, 0);
	scene_end(&s);
}

/* A yes for the second mail before a word of it has left is a lie, and delivers neither. */
static void
test_an_answer_before_the_end_has_left_is_a_lie(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_ahead(&mail, 0);

	(void)state;
	s.ignores_words = true;
	scene_play(&s, GREETING "S: 250-mx\n");
	smtp_client_feed(&s.c, S("250 PIPELINING\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_READY);
	smtp_client_mail(&s.c, &mail);
	scene_flush(&s);
	smtp_client_feed(&s.c, S("250 a\r\n250 b\r\n250 c\r\n354 d\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_WANT_BODY);
	smtp_client_body(&s.c, S(MESSAGE), true);
	assert_int_equal(smtp_client_next(&s.c), CLIENT_WANT_AHEAD);
	smtp_client_sent(&s.c, smtp_client_output(&s.c).n - 1);
	smtp_client_feed(&s.c, S("250 kept\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_FAILED);
	assert_refused(&outcomes[0], ERR_TEMPORARY, ERR_PROTOCOL, STAGE_END, 0);
	scene_end(&s);
}

/* ── Every order of yes and no, and every cut ────────────────────────────────────────────────── */

enum { SAYS_MAIL = 1, SAYS_RCPT = 2, SAYS_END = 8, BITS = 4 }; /* of one mail */

/*
 * A peer that says yes or no as its bits will have it, but keeps to SMTP: it refuses what comes out of order, and MAIL in an
 * open transaction, which a refused BDAT leaves behind. It remembers what it took.
 */
struct peer {
	unsigned yes; /* BITS a mail */
	bool offers_chunking;
	size_t mails; /* MAIL commands so far */
	size_t recipients;
	bool is_open, takes[2], has_recipient, is_in_message;
	bool has[2][2]; /* of the first and the second mail, each recipient */
	struct buf heard, said;
};

static bool
peer_likes(const struct peer *p, unsigned what)
{
	return p->yes >> (BITS * (p->mails - 1)) & what;
}

static void
peer_say(struct peer *p, bool yes, const char *text)
{
	buf_add(&p->said, str_of(yes ? text : "550 no\r\n"));
}

static void
peer_end(struct peer *p)
{
	bool takes = p->is_open && p->has_recipient && peer_likes(p, SAYS_END);

	for (size_t i = 0; takes && i < 2; i++)
		p->has[p->mails - 1][i] = p->takes[i];
	peer_say(p, takes, "250 kept\r\n");
	if (takes || !p->offers_chunking)
		p->is_open = false;
	p->is_in_message = false;
}

static void
peer_hear_line(struct peer *p, struct str line)
{
	bool yes;

	if (p->is_in_message) {
		if (str_eq(line, S(".\r\n")))
			peer_end(p);
	} else if (str_starts(line, S("MAIL"))) {
		assert_false(p->is_open);
		p->mails++;
		p->recipients = 0;
		p->has_recipient = p->takes[0] = p->takes[1] = false;
		p->is_open = peer_likes(p, SAYS_MAIL);
		peer_say(p, p->is_open, "250 ok\r\n");
	} else if (str_starts(line, S("RCPT"))) {
		yes = p->is_open && peer_likes(p, (unsigned)SAYS_RCPT << p->recipients);
		p->takes[p->recipients++] = yes;
		p->has_recipient = p->has_recipient || yes;
		peer_say(p, yes, "250 ok\r\n");
	} else if (str_starts(line, S("DATA"))) {
		p->is_in_message = p->is_open && p->has_recipient;
		peer_say(p, p->is_in_message, "354 go\r\n");
	} else if (str_starts(line, S("RSET"))) {
		p->is_open = false;
		peer_say(p, true, "250 ok\r\n");
	} else if (str_starts(line, S("EHLO"))) {
		buf_add(&p->said, p->offers_chunking
					  ? S("250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n")
					  : S("250-mx\r\n250 PIPELINING\r\n"));
	} else {
		assert_true(str_starts(line, S("QUIT")));
		peer_say(p, true, "221 bye\r\n");
	}
}

/* Takes the next line or chunk off what it has heard. */
static bool
peer_step(struct peer *p)
{
	struct str line, heard = buf_str(&p->heard);
	size_t n = str_find(heard, '\n') + 1;
	uint64_t chunk;

	if (n > heard.n)
		return false;
	line = str_part(heard, 0, n);
	if (str_starts(line, S("BDAT "))) {
		line = str_from(line, 5);
		assert_true(scan_u64(&line, &chunk));
		if (heard.n < n + chunk)
			return false;
		peer_end(p);
		n += chunk;
	} else {
		peer_hear_line(p, line);
	}
	buf_drop(&p->heard, n);
	return true;
}

static void
settled_as_the_peer_has_it(
	const struct peer *p, size_t mail, const struct smtp_outcome *o, bool is_cut)
{
	for (size_t i = 0; i < 2; i++) {
		assert_true(o[i].is_settled);
		if (!err_is(&o[i].err))
			assert_true(p->has[mail][i]);
		else if (p->has[mail][i])
			assert_true(
				is_cut && o[i].may_be_delivered && o[i].err.class == ERR_TEMPORARY);
		if (!p->offers_chunking && p->mails <= mail)
			assert_false(o[i].may_be_delivered);
		assert_true(is_cut || !o[i].may_be_delivered);
	}
}

/* Two mails to such a peer, of whose words only so many octets arrive, and who hears only so many of ours. Returns whether
 * all of them did. */
static bool
talk(unsigned yes, bool offers_chunking, size_t message_n, size_t heard, size_t said)
{
	static char message[70000];
	struct peer p = { .yes = yes,
		.offers_chunking = offers_chunking,
		.heard.max = 1 << 20,
		.said.max = 65536 };
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct scene s = scene_ahead(mails, 2);
	struct err lost;
	bool is_whole;

	if (message_n) {
		memset(message, 'x', message_n);
		s.message = (struct str){ message, message_n };
		mails[0].size = mails[1].size = message_n;
	}
	scene_begin(&s);
	buf_add(&p.said, S("220 mx\r\n"));
	while (p.said.n && said) {
		struct str words = str_part(buf_str(&p.said), 0, said);

		said -= words.n;
		smtp_client_feed(&s.c, words);
		buf_reset(&p.said);
		scene_run(&s);
		words = str_part(buf_str(&s.said), 0, heard);
		heard -= words.n;
		buf_add(&p.heard, words);
		buf_reset(&s.said);
		while (peer_step(&p))
			;
	}
	is_whole = s.is_closed;
	if (!is_whole && s.is_ready) {
		err_set(&lost, ERR_TEMPORARY, ERR_CONNECTION_LOST, "the cable is cut");
		smtp_client_lost(&s.c, &lost);
		smtp_client_next(&s.c);
	}
	assert_false(s.is_failed);
	if (s.mails_begun > 0)
		settled_as_the_peer_has_it(&p, 0, outcomes, !is_whole);
	if (s.mails_begun > 1)
		settled_as_the_peer_has_it(&p, 1, outcomes_b, !is_whole);
	scene_end(&s);
	buf_free(&p.heard);
	buf_free(&p.said);
	return is_whole;
}

static void
test_every_order_of_yes_and_no(void **state)
{
	(void)state;
	for (unsigned yes = 0; yes < 1u << 2 * BITS; yes++) {
		assert_true(talk(yes, false, 0, SIZE_MAX, SIZE_MAX));
		assert_true(talk(yes, true, 0, SIZE_MAX, SIZE_MAX));
		assert_true(talk(yes, true, 70000, SIZE_MAX, SIZE_MAX));
	}
}

static void
test_every_cut_of_what_the_peer_says(void **state)
{
	(void)state;
	for (unsigned yes = 0; yes < 1u << 2 * BITS; yes++)
		for (int chunking = 0; chunking < 2; chunking++)
			for (size_t said = 0; !talk(yes, chunking, 0, SIZE_MAX, said); said++)
				;
}

static void
test_every_cut_of_what_we_say(void **state)
{
	(void)state;
	for (unsigned yes = 0; yes < 1u << 2 * BITS; yes++)
		for (int chunking = 0; chunking < 2; chunking++)
			for (size_t heard = 0; !talk(yes, chunking, 0, heard, SIZE_MAX); heard++)
				;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_next_mail_leaves_behind_the_dot),
		cmocka_unit_test(test_small_chunks_wait_for_nothing),
		cmocka_unit_test(test_only_where_it_is_wanted_and_may_be),
		cmocka_unit_test(test_a_mail_that_cannot_go_ahead_waits_for_its_turn),
		cmocka_unit_test(test_421_behind_the_dot),
		cmocka_unit_test(test_only_a_whole_chunk_may_be_delivered),
		cmocka_unit_test(test_lost_between_two_mails),
		cmocka_unit_test(test_an_answer_before_the_end_has_left_is_a_lie),
		cmocka_unit_test(test_every_order_of_yes_and_no),
		cmocka_unit_test(test_every_cut_of_what_the_peer_says),
		cmocka_unit_test(test_every_cut_of_what_we_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
