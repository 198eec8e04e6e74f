/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "message/message.h"
#include "smtp/server.h"

/*
 * What a client sees is told by test/dialog; here is what a driver sees: events, answers, memory.
 * The host below says yes to everything, unless a test sets an error for an event, and writes down
 * what it hears as a line of letters: C connect, H hello, S starttls, T shake hands, o xclient, A auth, M mail, R rcpt, D data, b body, E end,
 * r reset, V vrfy, X expn, F flush, Q close.
 */
struct host {
	struct smtp_server s;
	enum smtp_event no_to; /* with no */
	struct err no;
	enum smtp_event stop_at; /* the driver stops the session while this is asked */
	bool fails_body;
	bool shakes_later; /* the handshake is the test's: run() ends at WANT_TLS */
	struct buf heard, said, body;
};

static const struct smtp_server_settings settings = {
	.hostname = { "mail.example.org", 16 },
	.message_size_max = 1000,
	.recipients_max = 3,
	.offers_auth = true,
};

static void
take_output(struct host *h)
{
	struct str out = smtp_server_output(&h->s);

	buf_add(&h->said, out);
	smtp_server_sent(&h->s, out.n);
}

static enum smtp_event
turn(struct host *h)
{
	static const char letters[] = "iFCHSToAMRDbErVXQ";
	enum smtp_event event = smtp_server_next(&h->s);

	if (event != SMTP_WANT_INPUT)
		buf_add_char(&h->heard, letters[event]);
	if (event == h->stop_at && event)
		smtp_server_stop(
			&h->s, &(struct err){ .class = ERR_TEMPORARY, .kind = ERR_SHUTDOWN });
	switch (event) {
	case SMTP_WANT_INPUT:
	case SMTP_WANT_FLUSH:
	case SMTP_WANT_CLOSE:
		take_output(h);
		break;
	case SMTP_ON_BODY:
		buf_add(&h->body, h->s.body);
		if (h->fails_body)
			smtp_server_fail_body(&h->s, &h->no);
		break;
	case SMTP_ON_RESET:
		buf_reset(&h->body);
		break;
	case SMTP_WANT_TLS:
		take_output(h);
		if (!h->shakes_later)
			smtp_server_secured(&h->s);
		break;
	case SMTP_ON_CONNECT:
	case SMTP_ON_HELLO:
	case SMTP_ON_STARTTLS:
	case SMTP_ON_XCLIENT:
	case SMTP_ON_AUTH:
	case SMTP_ON_MAIL:
	case SMTP_ON_RCPT:
	case SMTP_ON_DATA:
	case SMTP_ON_END:
	case SMTP_ON_VRFY:
	case SMTP_ON_EXPN:
		smtp_server_answer(&h->s, event == h->no_to ? &h->no : NULL);
		break;
	}
	return event;
}

static enum smtp_event
run(struct host *h)
{
	enum smtp_event event;

	do
		event = turn(h);
	while (event != SMTP_WANT_INPUT && event != SMTP_WANT_CLOSE &&
		!(event == SMTP_WANT_TLS && h->shakes_later));
	return event;
}

static enum smtp_event
say(struct host *h, struct str bytes)
{
	smtp_server_feed(&h->s, bytes);
	return run(h);
}

static struct host
open_host(void)
{
	struct host h = { .heard.max = 1 << 16, .said.max = 1 << 24, .body.max = 1 << 16 };

	smtp_server_begin(&h.s, &settings);
	return h;
}

static void
close_host(struct host *h)
{
	smtp_server_free(&h->s);
	buf_free(&h->heard);
	buf_free(&h->said);
	buf_free(&h->body);
}

static void
assert_heard(struct host *h, const char *letters)
{
	if (!str_eq(buf_str(&h->heard), str_of(letters)))
		fail_msg("heard %.*s, wanted %s", STR_ARG(buf_str(&h->heard)), letters);
	buf_reset(&h->heard);
}

static void
assert_said(struct host *h, const char *text)
{
	if (!str_eq(buf_str(&h->said), str_of(text)))
		fail_msg("said %.*s, wanted %s", STR_ARG(buf_str(&h->said)), text);
	buf_reset(&h->said);
}

#define ENVELOPE "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"

/* A session that has said HELO, with nothing to read. */
static struct host
open_greeted(void)
{
	struct host h = open_host();

	say(&h, S("HELO x\r\n"));
	buf_reset(&h.heard);
	buf_reset(&h.said);
	return h;
}

static void
test_events_of_a_mail(void **state)
{
	struct host h = open_host();

	(void)state;
	say(&h, S("EHLO x\r\n" ENVELOPE
		  "RCPT TO:<e@f.example>\r\nDATA\r\n.x\r\ny\r\n.\r\nQUIT\r\n"));
	assert_heard(&h, "CHMRRDbEQ");
	assert_true(str_eq(buf_str(&h.body), S("x\r\ny\r\n")));
	close_host(&h);
}

static void
test_transaction_tells_its_parameters(void **state)
{
	struct host h = open_greeted();

	(void)state;
	h.s.repairs_line_ends = true;
	say(&h, S("MAIL FROM:<a@b.example> SIZE=9 BODY=8BITMIME SMTPUTF8 AUTH=x+3Dy@b.example\r\n"
		  "RCPT TO:<c@d.example>\r\nRCPT TO:<>\r\nBDAT 5\r\n\xe9\0\r\n\nNOOP\r\n"));
	assert_heard(&h, "MRDbb");
	assert_true(h.s.transaction.is_open && h.s.transaction.smtputf8);
	assert_int_equal(h.s.transaction.body, SMTP_BODY_8BITMIME);
	assert_int_equal(h.s.transaction.size_declared, 9);
	assert_true(str_eq(h.s.transaction.auth_identity, S("x=y@b.example")));
	assert_int_equal(h.s.transaction.recipients_accepted, 1);
	assert_int_equal(h.s.transaction.recipients_seen, 2);
	assert_int_equal(h.s.transaction.size, 6); /* with the repaired line end */
	assert_true(h.s.transaction.has_8bit && h.s.transaction.has_nul);
	say(&h, S("RSET\r\n"));
	assert_heard(&h, "r");
	assert_false(h.s.transaction.is_open || h.s.transaction.smtputf8);
	assert_int_equal(h.s.transaction.size, 0);
	close_host(&h);
}

static void
test_wishes_for_reports_are_told(void **state)
{
	struct host h = open_greeted();

	(void)state;
	h.s.hold_most_s = 600;
	h.s.now_s = 1000;
	say(&h, S("MAIL FROM:<a@b.example> RET=HDRS ENVID=Q+2B1 HOLDFOR=600\r\n"));
	assert_int_equal(h.s.transaction.returns, SMTP_RETURN_HDRS);
	assert_true(str_eq(h.s.transaction.envelope_id, S("Q+2B1")));
	assert_int_equal(h.s.transaction.hold_until_s, 1601);
	smtp_server_feed(
		&h.s, S("RCPT TO:<c@d.example> ORCPT=rfc822;x+3D@y NOTIFY=DELAY,FAILURE\r\n"
			"RCPT TO:<e@f.example>\r\n"));
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_RCPT);
	assert_int_equal(h.s.notify, DSN_NOTIFY_DELAY | DSN_NOTIFY_FAILURE);
	assert_true(str_eq(h.s.original_recipient, S("rfc822;x+3D@y")));
	smtp_server_answer(&h.s, NULL);
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_RCPT);
	assert_true(h.s.notify == 0 && h.s.original_recipient.n == 0);
	smtp_server_answer(&h.s, NULL);
	say(&h, S(""));
	say(&h, S("RSET\r\nMAIL FROM:<a@b.example>\r\n"));
	assert_int_equal(h.s.transaction.returns, SMTP_RETURN_UNSAID);
	assert_true(h.s.transaction.envelope_id.n == 0 && h.s.transaction.hold_until_s == 0);
	close_host(&h);
}

/* ON_RESET comes for every open transaction that END did not keep, and for no other. */
static void
test_reset_is_told(void **state)
{
	static const struct {
		struct str said;
		const char *heard;
	} rows[] = {
		{ S("RSET\r\n"), "" },
		{ S(ENVELOPE "RSET\r\nRSET\r\n"), "MRr" },
		{ S(ENVELOPE "HELO x\r\n"), "MRHr" },
		{ S(ENVELOPE "HELO\r\nRSET\r\n"), "MRr" },
		{ S(ENVELOPE "QUIT\r\n"), "MRrQ" },
		{ S(ENVELOPE "DATA\r\n\n\r\n.\r\n"), "MRDr" },
		{ S(ENVELOPE "DATA\r\nx\r\n.\r\n"), "MRDbE" },
		{ S(ENVELOPE "BDAT 1 LAST\r\nxRSET\r\n"), "MRDbE" },
		{ S(ENVELOPE "BDAT 1\r\nxRSET\r\n"), "MRDbr" },
		{ S(ENVELOPE "BDAT 1001\r\nx"), "MR" },
		{ S("MAIL FROM:<a@b.example> X=1\r\nRSET\r\n"), "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct host h = open_greeted();

		say(&h, rows[i].said);
		assert_heard(&h, rows[i].heard);
		close_host(&h);
	}
}

static void
test_no_to_each_question(void **state)
{
	static const struct {
		enum smtp_event event;
		enum err_kind kind;
		const char *heard, *said;
	} rows[] = {
		{ SMTP_ON_MAIL, ERR_RATE, "M", "450 4.7.1" },
		{ SMTP_ON_RCPT, ERR_MAILBOX_BUSY, "MR", "450 4.2.1" },
		{ SMTP_ON_DATA, ERR_LOCAL, "MRD", "451 4.3.0" },
		{ SMTP_ON_END, ERR_SYNC, "MRDbEr", "451 4.3.0" },
		{ SMTP_ON_END, ERR_OVERLOAD, "MRDbErQ", "421 4.3.2" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct host h = open_greeted();

		h.no_to = rows[i].event;
		h.no = (struct err){ .class = ERR_TEMPORARY, .kind = rows[i].kind };
		say(&h, S(ENVELOPE));
		if (rows[i].event > SMTP_ON_RCPT)
			say(&h, S("DATA\r\n"));
		if (rows[i].event > SMTP_ON_DATA)
			say(&h, S("x\r\n.\r\n"));
		assert_heard(&h, rows[i].heard);
		assert_true(str_find_str(buf_str(&h.said), str_of(rows[i].said)) < h.said.n);
		close_host(&h);
	}
}

/* 421 at a question ends the session, whatever is pipelined behind it. */
static void
test_overload_ends_the_session(void **state)
{
	struct host h = open_greeted();

	(void)state;
	h.no_to = SMTP_ON_RCPT;
	h.no = (struct err){ .class = ERR_TEMPORARY, .kind = ERR_OVERLOAD };
	assert_int_equal(say(&h, S(ENVELOPE "DATA\r\nQUIT\r\n")), SMTP_WANT_CLOSE);
	assert_heard(&h, "MRrQ");
	assert_int_equal(run(&h), SMTP_WANT_CLOSE); /* and stays ended */
	close_host(&h);
}

static void
test_failed_body_is_said_at_the_end(void **state)
{
	struct host h = open_greeted();

	(void)state;
	h.fails_body = true;
	h.no = (struct err){ .class = ERR_TEMPORARY, .kind = ERR_NO_SPACE };
	say(&h, S(ENVELOPE "DATA\r\n"));
	buf_reset(&h.said);
	say(&h, S("one\r\n"));
	say(&h, S("two\r\n"));
	assert_said(&h, "");
	assert_heard(&h, "MRDb"); /* nothing more is given to a driver that gave up */
	say(&h, S(".\r\n"));
	assert_heard(&h, "r");
	assert_said(&h, "452 4.3.1 no space left at the moment, try again later\r\n");
	close_host(&h);
}

/* A fault of the message is said rather than one of ours: repeating it would not help. */
static void
test_fault_of_the_message_counts_more(void **state)
{
	struct host h = open_greeted();

	(void)state;
	h.fails_body = true;
	h.no = (struct err){ .class = ERR_TEMPORARY, .kind = ERR_NO_SPACE };
	say(&h, S(ENVELOPE "DATA\r\none\r\n"));
	buf_reset(&h.said);
	say(&h, S("two\n\r\n.\r\n"));
	assert_int_equal(str_find_str(buf_str(&h.said), S("550 5.5.2 ")), 0);
	close_host(&h);
}

static void
test_accept_in_other_words(void **state)
{
	struct host h = open_greeted();

	(void)state;
	smtp_server_feed(&h.s, S("EXPN list\r\n"));
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_EXPN);
	assert_true(str_eq(h.s.argument, S("list")));
	smtp_server_accept(&h.s, 250, S("<a@b.example>\n<c@d.example>"));
	run(&h);
	assert_said(&h, "250-2.0.0 <a@b.example>\r\n250 2.0.0 <c@d.example>\r\n");
	close_host(&h);
}

/* The largest list that a driver may come with is cut, not a crash. */
static void
test_accept_with_too_many_words(void **state)
{
	struct buf list = { .max = 1 << 20 };
	struct host h = open_greeted();

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_add_char(&list, '\n');
	smtp_server_feed(&h.s, S("EXPN list\r\nNOOP\r\n"));
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_EXPN);
	smtp_server_accept(&h.s, 250, buf_str(&list));
	run(&h);
	assert_true(str_ends_nocase(buf_str(&h.said), S("\r\n250 2.0.0 done\r\n")));
	buf_free(&list);
	close_host(&h);
}

static void
test_stop(void **state)
{
	const struct err shutdown = { .class = ERR_TEMPORARY, .kind = ERR_SHUTDOWN };
	struct host h = open_greeted();

	(void)state;
	say(&h, S(ENVELOPE "DATA\r\nhalf a mail"));
	buf_reset(&h.said);
	buf_reset(&h.heard);
	smtp_server_stop(&h.s, &shutdown);
	smtp_server_stop(&h.s, &shutdown);
	assert_int_equal(run(&h), SMTP_WANT_CLOSE);
	assert_heard(&h, "rQ");
	assert_said(&h, "421 4.3.2 mail.example.org shutting down, try again soon\r\n");
	close_host(&h);
}

/* A mail that is being synced has its 250 before the 421: law 1 holds for goodbyes too. */
static void
test_stop_behind_an_answer(void **state)
{
	struct host h = open_greeted();

	(void)state;
	h.stop_at = SMTP_ON_END;
	say(&h, S(ENVELOPE "DATA\r\nx\r\n"));
	buf_reset(&h.said);
	buf_reset(&h.heard);
	assert_int_equal(say(&h, S(".\r\nNOOP\r\n")), SMTP_WANT_CLOSE);
	assert_heard(&h, "EQ");
	assert_said(&h, "250 2.0.0 kept\r\n"
			"421 4.3.2 mail.example.org shutting down, try again soon\r\n");
	close_host(&h);
}

/* A driver that leaves the loop may use its input buffer for somebody else. */
static void
test_park(void **state)
{
	char fed[] = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nbody\r\n.\r\nNOO";
	struct host h = open_greeted();

	(void)state;
	smtp_server_feed(&h.s, (struct str){ fed, sizeof fed - 1 });
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_MAIL);
	smtp_server_park(&h.s);
	memset(fed, '#', sizeof fed);
	assert_true(str_eq(h.s.transaction.reverse_path.local, S("a")));
	smtp_server_answer(&h.s, NULL);
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_RCPT);
	smtp_server_park(&h.s);
	assert_true(str_eq(h.s.recipient.local, S("c")));
	smtp_server_answer(&h.s, NULL);
	run(&h);
	say(&h, S("P\r\n"));
	assert_true(str_eq(buf_str(&h.body), S("body\r\n")));
	assert_true(str_ends_nocase(buf_str(&h.said), S("\r\n250 2.0.0 done\r\n")));
	close_host(&h);
}

/* Bytes may be fed as soon as nothing is left over, before next() asks for them; they are parked as
 * well as the first ones were. */
static void
test_park_again(void **state)
{
	char fed[] = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";
	char more[] = "RCPT TO:<e@f.example>\r\nNOOP\r\n";
	struct host h = open_greeted();

	(void)state;
	smtp_server_feed(&h.s, (struct str){ fed, sizeof fed - 1 });
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_MAIL);
	smtp_server_park(&h.s);
	smtp_server_answer(&h.s, NULL);
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_RCPT);
	smtp_server_answer(&h.s, NULL);
	smtp_server_feed(&h.s, (struct str){ more, sizeof more - 1 });
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_RCPT);
	smtp_server_park(&h.s);
	memset(more, '#', sizeof more);
	smtp_server_answer(&h.s, NULL);
	run(&h);
	assert_true(str_ends_nocase(buf_str(&h.said), S("\r\n250 2.0.0 done\r\n")));
	close_host(&h);
}

/* A peer that asks and does not read gets no more until its output has gone. */
static void
test_output_is_bounded(void **state)
{
	struct buf questions = { .max = 1 << 20 };
	struct host h = open_greeted();
	size_t most = 0;

	(void)state;
	for (int i = 0; i < 10000; i++)
		buf_add(&questions, S("HELP\r\n"));
	smtp_server_feed(&h.s, buf_str(&questions));
	for (enum smtp_event event = SMTP_WANT_FLUSH; event != SMTP_WANT_INPUT;) {
		event = smtp_server_next(&h.s);
		if (smtp_server_output(&h.s).n > most)
			most = smtp_server_output(&h.s).n;
		take_output(&h);
		buf_free(&questions); /* the first WANT_FLUSH has parked the rest */
	}
	assert_in_range(most, 16 * 1024, 17 * 1024);
	close_host(&h);
}

/* What an idle session owns: its struct, and the name that the client gave. */
static void
assert_idle(const struct host *h)
{
	assert_null(h->s.line.p);
	assert_null(h->s.parked.p);
	assert_null(h->s.auth.secrets.p);
	assert_null(h->s.transaction.arena.chunks);
	assert_null(h->s.scratch.chunks);
	assert_true(h->s.out.capacity <= 256);
	assert_true(h->s.hello_copy.capacity <= 256);
}

static void
test_idle_owns_nothing(void **state)
{
	struct host h = open_host();

	(void)state;
	run(&h);
	assert_idle(&h);
	say(&h, S("EHLO x\r\nAUTH PLAIN AGEAYg==\r\n" ENVELOPE "DATA\r\n"));
	for (int i = 0; i < 100; i++)
		say(&h, S("a li"));
	say(&h, S("\r\n.\r\nVRFY x\r\nHELP\r\nNO"));
	say(&h, S("OP\r\n"));
	assert_idle(&h);
	close_host(&h);
}

static void
test_an_endless_line_is_not_gathered(void **state)
{
	struct host h = open_greeted();
	char piece[4096];

	(void)state;
	memset(piece, 'x', sizeof piece);
	for (int i = 0; i < 1000; i++)
		say(&h, (struct str){ piece, sizeof piece });
	assert_true(h.s.line.capacity <= SMTP_AUTH_LINE_MAX);
	say(&h, S("\r\nNOOP\r\n"));
	assert_said(&h, "500 5.5.2 this line is too long\r\n250 2.0.0 done\r\n");
	assert_idle(&h);
	close_host(&h);
}

/* Refused recipients leave nothing behind, however many they are. */
static void
test_ten_thousand_recipients(void **state)
{
	struct host h = open_greeted();

	(void)state;
	say(&h, S("MAIL FROM:<a@b.example>\r\n"));
	h.no_to = SMTP_ON_RCPT;
	h.no = (struct err){ .class = ERR_PERMANENT, .kind = ERR_MAILBOX_UNKNOWN };
	for (int i = 0; i < 10000; i++)
		say(&h, S("RCPT TO:<nobody@example.org>\r\n"));
	assert_int_equal(h.s.transaction.recipients_seen, 10000);
	assert_true(h.s.transaction.arena.used < 2048);
	assert_null(h.s.scratch.chunks);
	h.no_to = SMTP_WANT_INPUT;
	buf_reset(&h.said);
	say(&h, S("RCPT TO:<somebody@example.org>\r\n"));
	assert_said(&h, "250 2.1.5 recipient taken\r\n");
	close_host(&h);
}

static void
test_login_is_seen_and_forgotten(void **state)
{
	struct host h = open_greeted();

	(void)state;
	smtp_server_feed(&h.s, S("AUTH PLAIN Z29kAGFsaWNlAHdvbmRlcmxhbmQ=\r\n"));
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_AUTH);
	assert_true(str_eq(h.s.auth.mechanism, S("PLAIN")));
	assert_true(str_eq(h.s.auth.authorization, S("god")));
	assert_true(str_eq(h.s.auth.login, S("alice")));
	assert_true(str_eq(h.s.auth.password, S("wonderland")));
	smtp_server_answer(
		&h.s, &(struct err){ .class = ERR_PERMANENT, .kind = ERR_LOGIN_REFUSED });
	assert_false(h.s.is_logged_in);
	assert_null(h.s.auth.secrets.p);
	assert_int_equal(h.s.auth.password.n, 0);

	run(&h);
	say(&h, S("AUTH LOGIN YWxpY2U=\r\n"));
	smtp_server_feed(&h.s, S("d29uZGVybGFuZA==\r\n"));
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_AUTH);
	assert_true(str_eq(h.s.auth.mechanism, S("LOGIN")));
	assert_true(str_eq(h.s.auth.login, S("alice")));
	assert_true(str_eq(h.s.auth.password, S("wonderland")));
	smtp_server_answer(&h.s, NULL);
	assert_true(h.s.is_logged_in);
	assert_null(h.s.auth.secrets.p);
	assert_int_equal(h.s.hello.n, 1); /* nothing else begins anew: RFC 4954 §4 */
	close_host(&h);
}

static void
test_auth_can_be_switched_off(void **state)
{
	struct host h = open_host();

	(void)state;
	h.s.offers_auth = false;
	say(&h, S("EHLO x\r\n"));
	assert_true(str_find_str(buf_str(&h.said), S("AUTH")) == h.said.n);
	buf_reset(&h.said);
	say(&h, S("AUTH PLAIN\r\n"));
	assert_said(&h, "502 5.5.1 logging in is switched off here\r\n");
	close_host(&h);
}

/* ── TLS ─────────────────────────────────────────────────────────────────────────────────────── */

/* A session whose driver leaves the handshake to the test. */
static struct host
open_with_tls(void)
{
	struct host h = open_host();

	h.s.offers_starttls = h.shakes_later = true;
	return h;
}

static void
test_tls_forgets_the_client(void **state)
{
	struct host h = open_with_tls();

	(void)state;
	say(&h, S("EHLO x\r\nAUTH PLAIN AGEAYg==\r\n"));
	assert_true(h.s.is_logged_in);
	assert_int_equal(say(&h, S("STARTTLS\r\n")), SMTP_WANT_TLS);
	assert_heard(&h, "CHAST");
	assert_false(h.s.is_secure);
	assert_int_equal(run(&h), SMTP_WANT_TLS); /* until the driver has shaken hands */
	smtp_server_secured(&h.s);
	assert_true(h.s.is_secure);
	assert_false(h.s.is_logged_in || h.s.is_extended || h.s.hello.n);
	assert_idle(&h);
	close_host(&h);
}

/* RFC 3207 §6: whatever comes behind STARTTLS before the driver begins the handshake is gone, not
 * run and not answered, wherever it was cut, and half a line does not wait for its other half. */
static void
test_nothing_in_clear_survives_starttls(void **state)
{
	const struct str clear = S("EHLO x\r\nSTARTTLS\r\n"),
			 injected = S("EHLO evil\r\n" ENVELOPE
				      "DATA\r\nx\r\n.\r\nBDAT 100\r\nVRFY a\r\nNOO");
	struct buf all = { .max = 1024 };

	(void)state;
	buf_add(&all, clear);
	buf_add(&all, injected);
	for (size_t first = 0; first <= all.n; first++)
		for (size_t second = first; second <= all.n; second++) {
			struct host h = open_with_tls();
			const size_t cuts[] = { 0, first, second, all.n };
			enum smtp_event event = run(&h);

			for (size_t i = 0; i < 3 && event != SMTP_WANT_TLS; i++)
				event = say(&h,
					str_part(buf_str(&all), cuts[i], cuts[i + 1] - cuts[i]));
			assert_int_equal(event, SMTP_WANT_TLS);
			assert_heard(&h, "CHST");
			assert_true(str_ends_nocase(
				buf_str(&h.said), S("\r\n220 2.0.0 go on with TLS\r\n")));
			buf_reset(&h.said);
			smtp_server_secured(&h.s);
			say(&h, S("P\r\n"));
			assert_said(&h,
				"421 4.7.1 mail.example.org this is a mail server, and that "
				"was not SMTP\r\n");
			close_host(&h);
		}
	buf_free(&all);
}

/* What is parked is thrown away as well: the driver waited for the answer to ON_STARTTLS. */
static void
test_nothing_parked_survives_starttls(void **state)
{
	char fed[] = "STARTTLS\r\nMAIL FROM:<evil@b.example>\r\n";
	struct host h = open_with_tls();

	(void)state;
	say(&h, S("EHLO x\r\n"));
	smtp_server_feed(&h.s, (struct str){ fed, sizeof fed - 1 });
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_STARTTLS);
	smtp_server_park(&h.s);
	memset(fed, '#', sizeof fed);
	assert_int_equal(run(&h), SMTP_WANT_TLS);
	smtp_server_secured(&h.s);
	assert_int_equal(run(&h), SMTP_WANT_INPUT);
	say(&h, S("EHLO x\r\n"));
	assert_heard(&h, "CHSTH");
	close_host(&h);
}

static void
test_tls_before_the_greeting(void **state)
{
	struct host h = open_host();

	(void)state;
	h.s.begins_with_tls = h.shakes_later = true;
	assert_int_equal(run(&h), SMTP_WANT_TLS);
	assert_said(&h, "");
	smtp_server_secured(&h.s);
	run(&h);
	assert_heard(&h, "TC");
	assert_said(&h, "220 mail.example.org ESMTP Posthouse\r\n");
	close_host(&h);
}

/* Nobody could read a 421 in the middle of a handshake; one that waits for the answer to STARTTLS
 * stands in place of the 220. */
static void
test_stop_and_tls(void **state)
{
	const struct err shutdown = { .class = ERR_TEMPORARY, .kind = ERR_SHUTDOWN };
	struct host h = open_with_tls();

	(void)state;
	say(&h, S("EHLO x\r\nSTARTTLS\r\n"));
	buf_reset(&h.said);
	smtp_server_stop(&h.s, &shutdown);
	assert_int_equal(run(&h), SMTP_WANT_CLOSE);
	assert_said(&h, "");
	close_host(&h);

	h = open_with_tls();
	say(&h, S("EHLO x\r\n"));
	buf_reset(&h.said);
	h.stop_at = SMTP_ON_STARTTLS;
	assert_int_equal(say(&h, S("STARTTLS\r\n")), SMTP_WANT_CLOSE);
	assert_said(&h, "421 4.3.2 mail.example.org shutting down, try again soon\r\n");
	close_host(&h);
}

/* ── Who is it? ──────────────────────────────────────────────────────────────────────────────── */

static void
test_hello_is_asked(void **state)
{
	struct host h = open_host();

	(void)state;
	smtp_server_feed(&h.s, S("HELO one\r\n"));
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_CONNECT);
	smtp_server_answer(&h.s, NULL);
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_HELLO);
	assert_true(str_eq(h.s.hello, S("one")) && !h.s.is_extended);
	smtp_server_answer(&h.s, NULL);
	run(&h);
	say(&h, S(ENVELOPE));
	h.no_to = SMTP_ON_HELLO;
	h.no = (struct err){ .class = ERR_PERMANENT, .kind = ERR_REFUSED };
	say(&h, S("EHLO two\r\n"));
	assert_true(str_eq(h.s.hello, S("one")) && !h.s.is_extended);
	assert_true(h.s.transaction.is_open);
	assert_heard(&h, "MRH"); /* and no reset */
	h.no = (struct err){ .class = ERR_TEMPORARY, .kind = ERR_OVERLOAD };
	assert_int_equal(say(&h, S("EHLO two\r\n")), SMTP_WANT_CLOSE);
	close_host(&h);
}

static void
test_xclient_is_told(void **state)
{
	struct host h = open_host();
	const struct smtp_xclient *x;

	(void)state;
	h.s.offers_xclient = true;
	say(&h, S("EHLO x\r\nAUTH PLAIN AGEAYg==\r\n"));
	smtp_server_feed(&h.s, S("XCLIENT NAME=far.example ADDR=IPV6:2001:db8::1 PORT=40000 "
				 "PROTO=ESMTP HELO=[UNAVAILABLE] LOGIN=a+20b\r\n"));
	assert_int_equal(smtp_server_next(&h.s), SMTP_ON_XCLIENT);
	x = h.s.xclient;
	assert_true(str_eq(x->name, S("far.example")) && str_eq(x->address, S("2001:db8::1")));
	assert_true(str_eq(x->port, S("40000")) && str_eq(x->protocol, S("ESMTP")));
	assert_true(x->hello.n == 0 && str_eq(x->login, S("a b")));
	buf_reset(&h.said);
	run(&h);
	assert_heard(&h, "CHAoC");
	assert_said(&h, "220 mail.example.org ESMTP Posthouse\r\n");
	assert_false(h.s.is_logged_in || h.s.hello.n || h.s.xclient);
	assert_idle(&h);
	close_host(&h);
}

static void
test_what_a_driver_may_count(void **state)
{
	struct host h = open_greeted();

	(void)state;
	say(&h, S("MAIL FROM:<a@b.example>\r\n"));
	h.no_to = SMTP_ON_RCPT;
	h.no = (struct err){ .class = ERR_PERMANENT, .kind = ERR_MAILBOX_UNKNOWN };
	say(&h, S("RCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\nRCPT TO:<>\r\n"));
	h.no.kind = ERR_RELAY_DENIED;
	say(&h, S("RCPT TO:<c@d.example>\r\nAUTH LOGIN\r\nRSET\r\nju"));
	assert_int_equal(h.s.unknown_recipients, 2);
	assert_int_equal(h.s.commands, 8); /* HELO, MAIL, four RCPT, AUTH, RSET */
	say(&h, S("nk\r\n"));
	assert_int_equal(h.s.commands, 9);
	close_host(&h);
}

/* The client is gone after any octet of a session: nothing leaks (the sanitizers look), nothing is
 * kept that was not said to its end. */
static void
test_client_gone_at_every_octet(void **state)
{
	const struct str session = S("EHLO x\r\nAUTH LOGIN\r\nYQ==\r\nYg==\r\n" ENVELOPE
				     "DATA\r\nx\r\n.y\r\n.\r\n" ENVELOPE
				     "BDAT 3\r\nabcBDAT 0 LAST\r\nVRFY x\r\nQUIT\r\n");
	const size_t first_end = str_find_str(session, S("\r\n.\r\n")) + 5;

	(void)state;
	for (size_t cut = 0; cut < session.n; cut++) {
		struct host h = open_host();

		say(&h, str_part(session, 0, cut));
		assert_true((str_find(buf_str(&h.heard), 'E') < h.heard.n) == (cut >= first_end));
		close_host(&h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_of_a_mail),
		cmocka_unit_test(test_transaction_tells_its_parameters),
		cmocka_unit_test(test_wishes_for_reports_are_told),
		cmocka_unit_test(test_reset_is_told),
		cmocka_unit_test(test_no_to_each_question),
		cmocka_unit_test(test_overload_ends_the_session),
		cmocka_unit_test(test_failed_body_is_said_at_the_end),
		cmocka_unit_test(test_fault_of_the_message_counts_more),
		cmocka_unit_test(test_accept_in_other_words),
		cmocka_unit_test(test_accept_with_too_many_words),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_stop_behind_an_answer),
		cmocka_unit_test(test_park),
		cmocka_unit_test(test_park_again),
		cmocka_unit_test(test_output_is_bounded),
		cmocka_unit_test(test_idle_owns_nothing),
		cmocka_unit_test(test_an_endless_line_is_not_gathered),
		cmocka_unit_test(test_ten_thousand_recipients),
		cmocka_unit_test(test_login_is_seen_and_forgotten),
		cmocka_unit_test(test_auth_can_be_switched_off),
		cmocka_unit_test(test_tls_forgets_the_client),
		cmocka_unit_test(test_nothing_in_clear_survives_starttls),
		cmocka_unit_test(test_nothing_parked_survives_starttls),
		cmocka_unit_test(test_tls_before_the_greeting),
		cmocka_unit_test(test_stop_and_tls),
		cmocka_unit_test(test_hello_is_asked),
		cmocka_unit_test(test_xclient_is_told),
		cmocka_unit_test(test_what_a_driver_may_count),
		cmocka_unit_test(test_client_gone_at_every_octet),
	};

	return cmocka_run_group_tests_name("smtp/server", tests, NULL, NULL);
}
