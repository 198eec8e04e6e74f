/* SPDX-License-Identifier: Apache-2.0 */
#include "client_scene.h"

#include "message/message.h"
#include "smtp/server.h"

/* ── The roads a mail can take ───────────────────────────────────────────────────────────────── */

static void
test_without_extensions_each_command_waits(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	scene_play(&s, BARE "C: MAIL FROM:<ann@example.net>\nS: 250 ok\n"
			    "C: RCPT TO:<bob@example.org>\nS: 250 ok\n"
			    "C: RCPT TO:<eve@example.org>\nS: 251 will forward\n"
			    "C: DATA\nS: 354 go on\n" STUFFED "S: 250 2.0.0 Ok: kept as 17\n" QUIT);
	assert_taken(&outcomes[0]);
	assert_taken(&outcomes[1]);
	assert_int_equal(outcomes[0].err.enhanced.class, 2);
	assert_true(s.is_closed);
	scene_end(&s);
}

static void
test_final_words_are_kept(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	scene_play(&s,
		PIPELINING "C: MAIL FROM:<ann@example.net> SIZE=21\n"
			   "C: RCPT TO:<bob@example.org>\nC: RCPT TO:<eve@example.org>\nC: DATA\n"
			   "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n" STUFFED
			   "S: 250-2.0.0 Ok:\nS: 250 2.0.0 kept as 17\n" QUIT);
	assert_true(str_eq(mail.final_words, S("2.0.0 Ok: kept as 17")));
	scene_end(&s);
}

static void
test_pipelining_says_the_group_at_once(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	scene_play(&s,
		PIPELINING "C: MAIL FROM:<ann@example.net> SIZE=21\n"
			   "C: RCPT TO:<bob@example.org>\nC: RCPT TO:<eve@example.org>\nC: DATA\n"
			   "S: 250 ok\nS: 550 5.1.1 nobody\nS: 250 ok\nS: 354 go\n" STUFFED
			   "S: 250 ok\n" QUIT);
	assert_refused(&outcomes[0], ERR_PERMANENT, ERR_REMOTE, STAGE_RCPT, 550);
	assert_string_equal(outcomes[0].err.text, "nobody");
	assert_int_equal(outcomes[0].err.enhanced.detail, 1);
	assert_taken(&outcomes[1]);
	scene_end(&s);
}

static void
test_chunking_sends_a_small_message_without_waiting(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	scene_play(&s, CHUNKING GROUP "C: BDAT 21 LAST\n" UNSTUFFED
				      "S: 250 ok\nS: 250 ok\nS: 452 4.2.2 full\nS: 250 ok\n" QUIT);
	assert_taken(&outcomes[0]);
	assert_refused(&outcomes[1], ERR_TEMPORARY, ERR_REMOTE, STAGE_RCPT, 452);
	scene_end(&s);
}

static void
test_chunking_alone_waits_for_each_reply(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	scene_play(&s, GREETING
		"S: 250-mx\nS: 250 CHUNKING\n"
		"C: MAIL FROM:<ann@example.net>\nS: 250 ok\n"
		"C: RCPT TO:<bob@example.org>\nS: 250 ok\nC: RCPT TO:<eve@example.org>\nS: 250 ok\n"
		"C: BDAT 21 LAST\n" UNSTUFFED "S: 250 ok\n" QUIT);
	assert_taken(&outcomes[1]);
	scene_end(&s);
}

/* A large message is not sent before somebody is known to take it. */
static void
test_a_large_message_waits_for_the_recipients(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);
	size_t n = 300000;
	char *big = malloc(n);

	(void)state;
	memset(big, 'x', n);
	s.message = (struct str){ big, n };
	mail.size = n;
	scene_play(&s, CHUNKING GROUP "S: 250 ok\nS: 550 no\nS: 550 no\n" QUIT);
	assert_refused(&outcomes[0], ERR_PERMANENT, ERR_REMOTE, STAGE_RCPT, 550);
	scene_end(&s);
	s.ignores_words = true;
	scene_play(&s, CHUNKING "S: 250 ok\nS: 550 no\nS: 250 ok\n");
	assert_int_equal(s.given, n);
	assert_true(str_ends_nocase(buf_str(&s.said), S("xxx")));
	scene_hear(&s, S("250 ok"));
	assert_taken(&outcomes[1]);
	scene_end(&s);
	free(big);
}

static void
test_output_stays_small_while_the_body_flows(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 0);
	size_t n = 4000000, most = 0;
	enum smtp_client_event event;
	char *dots = malloc(n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		dots[i] = ".\r\n"[i % 3];
	mail.size = n;
	scene_begin(&s);
	smtp_client_feed(&s.c, S("220 x\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_WANT_INPUT);
	scene_flush(&s);
	smtp_client_feed(&s.c, S("250-x\r\n250 PIPELINING\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_READY);
	smtp_client_mail(&s.c, &mail);
	scene_flush(&s);
	smtp_client_feed(&s.c, S("250 a\r\n250 b\r\n250 c\r\n354 d\r\n"));
	while ((event = smtp_client_next(&s.c)) != CLIENT_WANT_INPUT) {
		size_t pending = smtp_client_output(&s.c).n;

		most = pending > most ? pending : most;
		if (event == CLIENT_WANT_OUTPUT) {
			smtp_client_sent(&s.c, pending < 1000 ? pending : 1000);
			continue;
		}
		assert_int_equal(event, CLIENT_WANT_BODY);
		size_t piece = n - s.given < 65536 ? n - s.given : 65536;
		s.given += piece;
		smtp_client_body(&s.c, (struct str){ dots + s.given - piece, piece }, s.given == n);
	}
	assert_int_equal(s.given, n);
	assert_true(most < 128 * 1024);
	scene_end(&s);
	free(dots);
}

static void
test_two_mails_share_a_session(void **state)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct scene s = scene_of(mails, 2);

	(void)state;
	scene_play(&s, CHUNKING GROUP "C: BDAT 21 LAST\n" UNSTUFFED
				      "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\n" GROUP
				      "C: BDAT 21 LAST\n" UNSTUFFED
				      "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 554 spam\n" QUIT);
	assert_taken(&outcomes[0]);
	assert_refused(&outcomes_b[0], ERR_PERMANENT, ERR_REMOTE, STAGE_END, 554);
	scene_end(&s);
}

/* What a refused transaction leaves behind is swept away with the next MAIL, not before. */
static void
test_reset_travels_with_the_next_mail(void **state)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct scene s = scene_of(mails, 2);

	(void)state;
	scene_play(&s, BARE
		"C: MAIL FROM:<ann@example.net>\nS: 250 ok\n"
		"C: RCPT TO:<bob@example.org>\nS: 550 no\nC: RCPT TO:<eve@example.org>\nS: 450 no\n"
		"C: RSET\nS: 250 ok\nC: MAIL FROM:<ann@example.net>\nS: 452 no\n" QUIT);
	assert_refused(&outcomes[0], ERR_PERMANENT, ERR_REMOTE, STAGE_RCPT, 550);
	assert_refused(&outcomes[1], ERR_TEMPORARY, ERR_REMOTE, STAGE_RCPT, 450);
	assert_refused(&outcomes_b[1], ERR_TEMPORARY, ERR_REMOTE, STAGE_MAIL, 452);
	assert_int_equal(s.done, 2);
	scene_end(&s);
	scene_play(&s, CHUNKING GROUP
		"C: BDAT 21 LAST\n" UNSTUFFED "S: 250 ok\nS: 550 no\nS: 550 no\nS: 503 who for?\n"
		"C: RSET\n" GROUP "C: BDAT 21 LAST\n" UNSTUFFED
		"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\n" QUIT);
	assert_refused(&outcomes[0], ERR_PERMANENT, ERR_REMOTE, STAGE_RCPT, 550);
	assert_taken(&outcomes_b[0]);
	scene_end(&s);
}

static void
test_a_lone_dot_ends_what_nobody_takes(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	scene_play(&s, GREETING "S: 250-mx\nS: 250 PIPELINING\n" GROUP "C: DATA\n"
				"S: 250 ok\nS: 550 no\nS: 550 no\nS: 354 go\nC: .\nS: 554 no valid "
				"recipients\n" QUIT);
	assert_refused(&outcomes[1], ERR_PERMANENT, ERR_REMOTE, STAGE_RCPT, 550);
	assert_int_equal(s.given, 0);
	scene_end(&s);
}

static void
test_parameters_are_those_offered_and_needed(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	mail.smtputf8 = mail.has_8bit = true;
	mail.reverse_path = S("");
	mail.recipients_n = 1;
	scene_play(&s, GREETING "S: 250-mx\nS: 250-8BITMIME\nS: 250-SIZE 2000\nS: 250 smtputf8\n"
				"C: MAIL FROM:<> SIZE=21 BODY=8BITMIME SMTPUTF8\nS: 250 ok\n"
				"C: RCPT TO:<bob@example.org>\nS: 550 no\n" QUIT);
	scene_end(&s);
}

static void
test_what_only_some_hosts_do(void **state)
{
	static const struct {
		const char *offer, *said; /* NULL: nothing, and the mail comes back */
		bool chunking, requires_tls, is_secure, is_unverified;
		uint64_t hold_s;
		enum err_kind kind;
	} cases[] = {
		{ "250 BINARYMIME", NULL, true, false, false, false, 0, ERR_NEEDS_CHUNKING },
		{ "250 CHUNKING", "MAIL FROM:<ann@example.net>\r\n", true, false, false, false, 0,
			0 },
		{ "250-CHUNKING\r\n250 BINARYMIME",
			"MAIL FROM:<ann@example.net> BODY=BINARYMIME\r\n", true, false, false,
			false, 0, 0 },
		{ "250-CHUNKING\r\n250 BINARYMIME", "MAIL FROM:<ann@example.net>\r\n", false, false,
			false, false, 0, 0 },
		{ "250 8BITMIME", NULL, false, true, true, false, 0, ERR_NEEDS_REQUIRETLS },
		{ "250 REQUIRETLS", NULL, false, true, false, false, 0, ERR_NEEDS_REQUIRETLS },
		{ "250 REQUIRETLS", NULL, false, true, true, true, 0, ERR_NEEDS_REQUIRETLS },
		{ "250 REQUIRETLS", "MAIL FROM:<ann@example.net> REQUIRETLS\r\n", false, true, true,
			false, 0, 0 },
		{ "250 DSN", NULL, false, false, false, false, 60, ERR_NEEDS_HOLD },
		{ "250 FUTURERELEASE 59 2030-01-01T00:00:00Z", NULL, false, false, false, false, 60,
			ERR_NEEDS_HOLD },
		{ "250 FUTURERELEASE", "MAIL FROM:<ann@example.net> HOLDFOR=60\r\n", false, false,
			false, false, 60, 0 },
		{ "250 FUTURERELEASE 86400 2030-01-01T00:00:00Z",
			"MAIL FROM:<ann@example.net> HOLDFOR=60\r\n", false, false, false, false,
			60, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct smtp_client_mail mail = mail_to_two(outcomes);
		struct scene s = scene_of(&mail, 1);

		mail.needs_chunking = cases[i].chunking;
		mail.requires_tls = cases[i].requires_tls;
		mail.hold_s = cases[i].hold_s;
		s.is_unverified = cases[i].is_unverified;
		s.settings.tls = cases[i].is_secure ? CLIENT_TLS_FIRST : CLIENT_TLS_NEVER;
		scene_play(&s, cases[i].is_secure ? "TLS\n" GREETING "S: 250-mx\n"
						  : GREETING "S: 250-mx\n");
		scene_hear(&s, str_of(cases[i].offer));
		if (cases[i].said)
			assert_str(buf_str(&s.said), str_of(cases[i].said));
		else
			assert_refused(&outcomes[0], ERR_PERMANENT, cases[i].kind, STAGE_MAIL, 0);
		scene_end(&s);
	}
}

/* ── DSN, SMTPUTF8, LMTP ─────────────────────────────────────────────────────────────────────── */

#define DSN_HOST GREETING "S: 250-mx\nS: 250-PIPELINING\nS: 250 DSN\n"

static void
test_requests_for_reports_are_passed_on(void **state)
{
	static const struct smtp_client_dsn dsn[] = { { DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY,
							      { "rfc822;b+2Bob@example.org", 25 } },
		{ DSN_NOTIFY_NEVER, { NULL, 0 } } };
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	mail.dsn = dsn;
	mail.ret = 'H';
	mail.envid = S("QQ+2B314159");
	scene_play(&s,
		DSN_HOST "C: MAIL FROM:<ann@example.net> RET=HDRS ENVID=QQ+2B314159\n"
			 "C: RCPT TO:<bob@example.org> NOTIFY=SUCCESS,DELAY "
			 "ORCPT=rfc822;b+2Bob@example.org\n"
			 "C: RCPT TO:<eve@example.org> NOTIFY=NEVER\nC: DATA\n"
			 "S: 250 ok\nS: 250 ok\nS: 550 no\nS: 354 go\n" STUFFED "S: 250 ok\n" QUIT);
	assert_taken(&outcomes[0]);
	assert_true(outcomes[0].dsn_taken);
	assert_false(outcomes[1].dsn_taken);
	scene_end(&s);
}

/* RFC 3461 §5.2.2: to a host that knows nothing of it nothing is said. */
static void
test_a_host_without_dsn_is_asked_for_no_report(void **state)
{
	static const struct smtp_client_dsn dsn[] = { { DSN_NOTIFY_SUCCESS, { "rfc822;bob", 10 } },
		{ 0, { NULL, 0 } } };
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	mail.dsn = dsn;
	mail.ret = 'F';
	mail.envid = S("one");
	scene_play(&s, CHUNKING GROUP "C: BDAT 21 LAST\n" UNSTUFFED
				      "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\n" QUIT);
	assert_taken(&outcomes[0]);
	assert_false(outcomes[0].dsn_taken);
	scene_end(&s);
}

static void
test_an_ascii_header_for_a_host_without_smtputf8(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	mail.smtputf8 = true;
	s.message = S("Subject: h\xc3\xa4\r\n\r\n");
	mail.size = s.message.n;
	s.ascii = S("Subject: =?utf-8?q?h=C3=A4?=\r\n\r\n");
	scene_play(&s,
		PIPELINING "C: MAIL FROM:<ann@example.net> SIZE=32\n"
			   "C: RCPT TO:<bob@example.org>\nC: RCPT TO:<eve@example.org>\nC: DATA\n"
			   "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
			   "C: Subject: =?utf-8?q?h=C3=A4?=\nC: \nC: .\nS: 250 ok\n" QUIT);
	assert_taken(&outcomes[0]);
	scene_end(&s);
}

#define LMTP "S: 220 mx LMTP\nC: LHLO client.example\nS: 250-mx\n"

/* RFC 2033 §4.2: as many replies to the end as recipients were taken. */
static void
test_lmtp_answers_for_each_recipient(void **state)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct scene s = scene_of(mails, 2);

	(void)state;
	s.settings.is_lmtp = true;
	scene_play(&s, LMTP "S: 250 PIPELINING\n" GROUP
			    "S: 250 ok\nS: 250 ok\nS: 250 ok\nC: DATA\nS: 354 go\n" STUFFED
			    "S: 250 2.0.0 for bob\nS: 552 5.2.2 eve is full\n" GROUP
			    "S: 250 ok\nS: 550 no\nS: 250 ok\nC: DATA\nS: 354 go\n" STUFFED
			    "S: 250 for eve\n" QUIT);
	assert_taken(&outcomes[0]);
	assert_string_equal(outcomes[0].err.text, "for bob");
	assert_refused(&outcomes[1], ERR_PERMANENT, ERR_REMOTE, STAGE_END, 552);
	assert_refused(&outcomes_b[0], ERR_PERMANENT, ERR_REMOTE, STAGE_RCPT, 550);
	assert_taken(&outcomes_b[1]);
	scene_end(&s);
}

static void
test_lmtp_in_one_chunk(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	s.settings.is_lmtp = true;
	scene_play(&s, LMTP "S: 250-CHUNKING\nS: 250 PIPELINING\n" GROUP
			    "S: 250 ok\nS: 250 ok\nS: 250 ok\nC: BDAT 21 LAST\n" UNSTUFFED
			    "S: 450 busy\nS: 250 for eve\n" QUIT);
	assert_refused(&outcomes[0], ERR_TEMPORARY, ERR_REMOTE, STAGE_END, 450);
	assert_taken(&outcomes[1]);
	scene_end(&s);
}

/* What was said of one recipient stays; the silence about the other is temporary. */
static void
test_lmtp_lost_between_two_answers(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);
	struct err lost;

	(void)state;
	err_set(&lost, ERR_TEMPORARY, ERR_CONNECTION_LOST, "the cable is cut");
	s.settings.is_lmtp = true;
	scene_play(&s, LMTP "S: 250 PIPELINING\n" GROUP
			    "S: 250 ok\nS: 250 ok\nS: 250 ok\nC: DATA\nS: 354 go\n" STUFFED
			    "S: 250 for bob\n");
	smtp_client_lost(&s.c, &lost);
	assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_FAILED);
	assert_taken(&outcomes[0]);
	assert_refused(&outcomes[1], ERR_TEMPORARY, ERR_CONNECTION_LOST, STAGE_END, 0);
	scene_end(&s);
}

static void
test_lmtp_has_no_helo_to_fall_back_to(void **state)
{
	struct scene s = scene_of(NULL, 0);

	(void)state;
	s.settings.is_lmtp = true;
	scene_play(&s, "S: 220 mx\nC: LHLO client.example\nS: 500 what?\nC: QUIT\n");
	assert_int_equal(s.c.error.class, ERR_PERMANENT);
	assert_int_equal(s.c.stage, STAGE_HELLO);
	scene_end(&s);
}

/* ── Refusals without a word said ────────────────────────────────────────────────────────────── */

static void
test_what_cannot_go_is_not_tried(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	mail.size = 1001;
	scene_play(&s, PIPELINING QUIT);
	assert_refused(&outcomes[0], ERR_PERMANENT, ERR_TOO_BIG, STAGE_MAIL, 0);
	scene_end(&s);
	mail = mail_to_two(outcomes);
	mail.smtputf8 = true;
	scene_play(&s, PIPELINING QUIT);
	assert_refused(&outcomes[1], ERR_PERMANENT, ERR_NEEDS_SMTPUTF8, STAGE_MAIL, 0);
	assert_int_equal(s.ascii_asked, 1);
	scene_end(&s);
	mail = mail_to_two(outcomes);
	mail.smtputf8 = true;
	mail.reverse_path = S("\xc3\xa4nn@example.net");
	s.ascii = S("Subject: =?utf-8?q?=C3=A4?=\r\n\r\n");
	scene_play(&s, PIPELINING QUIT);
	assert_refused(&outcomes[1], ERR_PERMANENT, ERR_NEEDS_SMTPUTF8, STAGE_MAIL, 0);
	assert_int_equal(s.ascii_asked, 1); /* not for an address */
	scene_end(&s);
	mail = mail_to_two(outcomes);
	mail.has_8bit = s.settings.bounces_8bit = true;
	scene_play(&s, PIPELINING QUIT);
	assert_refused(&outcomes[1], ERR_PERMANENT, ERR_NEEDS_8BITMIME, STAGE_MAIL, 0);
	scene_end(&s);
	mail = mail_to_two(outcomes);
	mail.envid = S("a b");
	scene_play(&s, PIPELINING QUIT);
	assert_refused(&outcomes[1], ERR_PERMANENT, ERR_OTHER, STAGE_MAIL, 0);
	scene_end(&s);
	mail = mail_to_two(outcomes);
	mail.needs_chunking = true;
	scene_play(&s, PIPELINING QUIT);
	assert_refused(&outcomes[1], ERR_PERMANENT, ERR_NEEDS_CHUNKING, STAGE_MAIL, 0);
	scene_end(&s);
}

static void
test_an_address_cannot_become_a_command(void **state)
{
	static const struct str bad[] = { { "a@b>\r\nRSET", 10 }, { "a\n@b", 4 }, { "a\r@b", 4 },
		{ "a\0@b", 4 } };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct str to[2] = { two[0], bad[i] };
		struct smtp_client_mail mail = mail_to_two(outcomes);
		struct scene s = scene_of(&mail, 1);

		mail.recipients = to;
		scene_play(&s, PIPELINING QUIT);
		assert_refused(&outcomes[0], ERR_PERMANENT, ERR_OTHER, STAGE_MAIL, 0);
		assert_refused(&outcomes[1], ERR_PERMANENT, ERR_OTHER, STAGE_MAIL, 0);
		scene_end(&s);
		mail = mail_to_two(outcomes);
		mail.reverse_path = bad[i];
		scene_play(&s, PIPELINING QUIT);
		assert_refused(&outcomes[0], ERR_PERMANENT, ERR_OTHER, STAGE_MAIL, 0);
		scene_end(&s);
		s.settings.hostname = bad[i];
		scene_play(&s, "S: 220 mx\n");
		assert_true(s.is_failed && s.c.error.class == ERR_PERMANENT);
		scene_end(&s);
	}
}

/* ── Greeting and login ──────────────────────────────────────────────────────────────────────── */

static void
test_helo_where_ehlo_is_unknown(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	scene_play(&s, GREETING "S: 502 what?\nC: HELO client.example\nS: 250 mx\n"
				"C: MAIL FROM:<ann@example.net>\nS: 550 no\n" QUIT);
	assert_refused(&outcomes[0], ERR_PERMANENT, ERR_REMOTE, STAGE_MAIL, 550);
	scene_end(&s);
}

static void
test_a_closed_door(void **state)
{
	static const struct {
		const char *script;
		enum err_class class;
		enum smtp_stage stage;
	} doors[] = {
		{ "S: 554 5.7.1 not you\nC: QUIT\n", ERR_PERMANENT, STAGE_GREETING },
		{ "S: 421 4.3.2 busy\n", ERR_TEMPORARY, STAGE_GREETING },
		{ GREETING "S: 450 later\nC: QUIT\n", ERR_TEMPORARY, STAGE_HELLO },
		{ GREETING "S: 550 no\nC: HELO client.example\nS: 550 no\nC: QUIT\n", ERR_PERMANENT,
			STAGE_HELLO },
		{ BARE "S: 421 idle\n", ERR_TEMPORARY, STAGE_MAIL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++) {
		struct smtp_client_mail mail = mail_to_two(outcomes);
		struct scene s = scene_of(&mail, 1);

		s.ignores_words = i == 4;
		scene_play(&s, doors[i].script);
		assert_true(s.is_failed);
		assert_int_equal(s.c.error.kind, ERR_REMOTE);
		assert_int_equal(s.c.error.class, doors[i].class);
		assert_int_equal(s.c.stage, doors[i].stage);
		scene_end(&s);
	}
}

static void
test_login(void **state)
{
	struct scene s = scene_of(NULL, 0);

	(void)state;
	s.settings.login = S("alice");
	s.settings.password = S("wonderland");
	s.settings.shows_password = true;
	scene_play(&s, GREETING "S: 250-mx\nS: 250 AUTH LOGIN PLAIN\n"
				"C: AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\nS: 235 2.7.0 in\n" QUIT);
	assert_true(s.is_closed);
	scene_end(&s);
	scene_play(&s,
		GREETING "S: 250-mx\nS: 250 AUTH=LOGIN\n"
			 "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YWxpY2U=\nS: 334 UGFzc3dvcmQ6\n"
			 "C: d29uZGVybGFuZA==\nS: 235 in\n" QUIT);
	assert_true(s.is_closed);
	scene_end(&s);
	scene_play(&s,
		GREETING "S: 250-mx\nS: 250 AUTH PLAIN\n"
			 "C: AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\nS: 535 5.7.8 wrong\nC: QUIT\n");
	assert_int_equal(s.c.error.class, ERR_PERMANENT);
	assert_int_equal(s.c.error.code, 535);
	assert_int_equal(s.c.stage, STAGE_AUTH);
	scene_end(&s);
	scene_play(&s, GREETING "S: 250-mx\nS: 250 AUTH CRAM-MD5\n");
	assert_int_equal(s.c.error.class, ERR_PERMANENT);
	assert_int_equal(s.c.error.kind, ERR_LOGIN_REFUSED);
	scene_end(&s);
	scene_play(&s, GREETING "S: 250-mx\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 235 already\n");
	assert_int_equal(s.c.error.kind, ERR_PROTOCOL);
	scene_end(&s);
}

static void
test_a_long_secret_waits_for_its_prompt(void **state)
{
	struct scene s = scene_of(NULL, 0);
	char password[500];

	(void)state;
	memset(password, 'p', sizeof password);
	s.settings.login = S("alice");
	s.settings.password = (struct str){ password, sizeof password };
	s.settings.shows_password = true;
	scene_play(&s, GREETING "S: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN\n");
	scene_hear(&s, S("334 "));
	assert_int_equal(s.said.n, (1 + 5 + 1 + 500 + 2) / 3 * 4 + 2);
	s.said.n = 0;
	scene_hear(&s, S("235 in"));
	assert_true(s.is_ready);
	scene_end(&s);
}

static void
test_a_secret_is_marked_until_it_has_left(void **state)
{
	struct scene s = scene_of(NULL, 0);

	(void)state;
	s.settings.login = S("alice");
	s.settings.password = S("wonderland");
	s.settings.shows_password = true;
	scene_begin(&s);
	smtp_client_feed(&s.c, S("220 x\r\n"));
	scene_run(&s);
	smtp_client_feed(&s.c, S("250-x\r\n250 AUTH PLAIN\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_WANT_INPUT);
	assert_true(s.c.output_is_secret);
	smtp_client_sent(&s.c, 4);
	assert_true(s.c.output_is_secret);
	scene_flush(&s);
	assert_false(s.c.output_is_secret);
	scene_end(&s);
}

/* ── TLS ─────────────────────────────────────────────────────────────────────────────────────── */

#define OFFERED GREETING "S: 250-mx\nS: 250-SIZE 10\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\n"
#define SECURED "C: STARTTLS\nS: 220 go on\nTLS\nC: EHLO client.example\n"

static struct scene
scene_with_tls(struct smtp_client_mail *mail, enum smtp_client_tls tls)
{
	struct scene s = scene_of(mail, mail ? 1 : 0);

	s.settings.tls = tls;
	return s;
}

static void
test_what_was_offered_in_clear_is_forgotten(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_with_tls(&mail, CLIENT_TLS_TRY);

	(void)state;
	/* no SIZE= in MAIL, and no objection to a message that is larger than the 10 of before */
	scene_play(&s, OFFERED SECURED "S: 250 mx\nC: MAIL FROM:<ann@example.net>\nS: 250 ok\n"
				       "C: RCPT TO:<bob@example.org>\nS: 250 ok\n"
				       "C: RCPT TO:<eve@example.org>\nS: 250 ok\n"
				       "C: DATA\nS: 354 go on\n" STUFFED "S: 250 kept\n" QUIT);
	assert_taken(&outcomes[0]);
	assert_true(s.c.is_secure && s.is_closed);
	scene_end(&s);
	/* STARTTLS once more, behind the handshake, is not taken up (RFC 3207 §4.2) */
	s = scene_with_tls(NULL, CLIENT_TLS_REQUIRE);
	scene_play(&s, OFFERED SECURED "S: 250-mx\nS: 250 STARTTLS\n" QUIT);
	assert_true(s.is_closed);
	scene_end(&s);
}

static void
test_tls_before_the_greeting(void **state)
{
	struct scene s = scene_with_tls(NULL, CLIENT_TLS_FIRST);

	(void)state;
	s.settings.login = S("alice");
	s.settings.password = S("wonderland");
	scene_play(&s, "TLS\n" GREETING "S: 250-mx\nS: 250-STARTTLS\nS: 250 AUTH PLAIN\n"
		       "C: AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\nS: 235 in\n" QUIT);
	assert_true(s.is_closed);
	scene_end(&s);
}

static void
test_lmtp_begins_tls_too(void **state)
{
	struct scene s = scene_with_tls(NULL, CLIENT_TLS_TRY);

	(void)state;
	s.settings.is_lmtp = true;
	scene_play(&s,
		"S: 220 lmtp\nC: LHLO client.example\nS: 250-lmtp\nS: 250 STARTTLS\n"
		"C: STARTTLS\nS: 220 go on\nTLS\nC: LHLO client.example\nS: 250 lmtp\n" QUIT);
	assert_true(s.is_closed);
	scene_end(&s);
}

/* What an attacker, or the host, put behind the 220: a whole session that takes the mail. */
static void
test_replies_injected_behind_220_are_thrown_away(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_with_tls(&mail, CLIENT_TLS_TRY);

	(void)state;
	scene_play(&s, OFFERED "C: STARTTLS\n");
	smtp_client_feed(&s.c, S("220 go on\r\n250-evil\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n"
				 "250 ok\r\n354 go\r\n250 kept\r\n25"));
	scene_run(&s);
	scene_shake(&s);
	scene_expect(&s, S("EHLO client.example"));
	assert_int_equal(s.said.n, 0);
	assert_false(outcomes[0].is_settled);
	scene_hear(&s, S("250 mx"));
	scene_expect(&s, S("MAIL FROM:<ann@example.net>"));
	assert_int_equal(s.c.offers, 0);
	scene_end(&s);
}

static void
test_where_there_is_no_tls(void **state)
{
	static const struct {
		const char *script;
		enum smtp_client_tls tls;
		bool has_login, is_failed;
	} hosts[] = {
		{ BARE QUIT, CLIENT_TLS_TRY, false, false },
		{ BARE "C: QUIT\n", CLIENT_TLS_REQUIRE, false, true },
		{ GREETING "S: 500 what?\nC: HELO client.example\nS: 250 mx\nC: QUIT\n",
			CLIENT_TLS_REQUIRE, false, true },
		{ GREETING "S: 250-mx\nS: 250 AUTH PLAIN\nC: QUIT\n", CLIENT_TLS_TRY, true, true },
		{ OFFERED "C: STARTTLS\nS: 454 4.7.0 no key\nC: QUIT\n", CLIENT_TLS_TRY, false,
			true },
		{ OFFERED "C: STARTTLS\nS: 554 no\nC: QUIT\n", CLIENT_TLS_REQUIRE, false, true },
		{ OFFERED QUIT, CLIENT_TLS_NEVER, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
		struct scene s = scene_with_tls(NULL, hosts[i].tls);

		if (hosts[i].has_login) {
			s.settings.login = S("alice");
			s.settings.password = S("wonderland");
		}
		scene_play(&s, hosts[i].script);
		assert_int_equal(s.is_failed, hosts[i].is_failed);
		assert_int_equal(s.is_closed, !hosts[i].is_failed);
		if (s.is_failed) {
			assert_int_equal(s.c.error.class, ERR_TEMPORARY);
			assert_int_equal(s.c.error.kind, ERR_TLS);
			assert_int_equal(s.c.stage, STAGE_TLS);
		}
		scene_end(&s);
	}
}

static void
test_a_handshake_that_fails_ends_the_session(void **state)
{
	struct scene s = scene_with_tls(NULL, CLIENT_TLS_TRY);
	struct err e;

	(void)state;
	scene_play(&s, OFFERED "C: STARTTLS\nS: 220 go on\n");
	assert_true(s.wants_tls);
	err_set(&e, ERR_TEMPORARY, ERR_TLS, "no");
	smtp_client_lost(&s.c, &e);
	scene_run(&s);
	assert_true(s.is_failed);
	assert_int_equal(s.said.n, 0); /* nothing in clear into the ruins of a handshake */
	assert_int_equal(s.c.stage, STAGE_TLS);
	scene_end(&s);
}

static void
test_when_the_same_may_be_tried_in_clear(void **state)
{
	static const struct {
		const char *script;
		enum smtp_client_tls tls;
		bool has_login, may;
	} ends[] = {
		/* where the connection breaks */
		{ OFFERED "C: STARTTLS\n", CLIENT_TLS_TRY, false, true },
		{ OFFERED "C: STARTTLS\nS: 220 go on\n", CLIENT_TLS_TRY, false, true },
		{ OFFERED "C: STARTTLS\nS: 454 no\nC: QUIT\n", CLIENT_TLS_TRY, false, true },
		{ OFFERED SECURED, CLIENT_TLS_TRY, false, true },
		{ OFFERED SECURED, CLIENT_TLS_TRY, true, false },
		{ OFFERED SECURED, CLIENT_TLS_REQUIRE, false, false },
		{ "TLS\n", CLIENT_TLS_FIRST, false, false },
		{ GREETING, CLIENT_TLS_TRY, false, false },
		{ OFFERED SECURED
			"S: 554 not you\nC: HELO client.example\nS: 554 not you\nC: QUIT\n",
			CLIENT_TLS_TRY, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		struct scene s = scene_with_tls(NULL, ends[i].tls);
		struct err e;

		if (ends[i].has_login) {
			s.settings.login = S("alice");
			s.settings.password = S("wonderland");
		}
		scene_play(&s, ends[i].script);
		err_set(&e, ERR_TEMPORARY, ERR_CONNECTION_LOST, "gone");
		if (!s.is_failed)
			smtp_client_lost(&s.c, &e);
		scene_run(&s);
		assert_true(s.is_failed);
		if (smtp_client_may_go_clear(&s.c) != ends[i].may)
			fail_msg("%s", ends[i].script);
		scene_end(&s);
	}
}

/* ── Lies, and the end of the line ───────────────────────────────────────────────────────────── */

#define DATA_GROUP GREETING "S: 250-mx\nS: 250 PIPELINING\n"
static void
test_no_lie_delivers_a_mail(void **state)
{
	static const struct {
		const char *script;
		enum err_kind kind; /* of the second recipient */
	} lies[] = {
		{ "S: hello\n", ERR_PROTOCOL },
		{ "S: 220-mx\nS: 221 mx\n", ERR_PROTOCOL },
		{ "S: 354 mx\n", ERR_PROTOCOL },
		{ "S: 999 mx\n", ERR_PROTOCOL },
		{ "S: 250 mx\nS: 250 mx\nS: 250 mx\nS: 250 mx\nS: 250 mx\nS: 250 mx\n",
			ERR_PROTOCOL },
		{ GREETING "S: 250\xff mx\n", ERR_PROTOCOL },
		{ DATA_GROUP "S: 354 go\n", ERR_PROTOCOL },
		{ DATA_GROUP "S: 250 ok\nS: 354 go\n", ERR_PROTOCOL },
		{ DATA_GROUP "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 kept\n", ERR_PROTOCOL },
		{ DATA_GROUP "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 354 go\n",
			ERR_PROTOCOL },
		{ DATA_GROUP
			"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250-kept\nS: 251 kept\n",
			ERR_PROTOCOL },
		{ DATA_GROUP "S: 550 no\nS: 250 ok\nS: 250 ok\nS: 354 go\n", ERR_REMOTE },
		{ DATA_GROUP "S: 250 ok\nS: 250 ok\nS: 421 bye\n", ERR_REMOTE },
		{ DATA_GROUP "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 421 bye\n", ERR_REMOTE },
		{ DATA_GROUP "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 421 bye\n",
			ERR_REMOTE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		struct smtp_client_mail mail = mail_to_two(outcomes);
		struct scene s = scene_of(&mail, 1);

		s.ignores_words = true;
		scene_play(&s, lies[i].script);
		assert_true(s.is_failed);
		if (s.is_ready) {
			assert_true(outcomes[1].is_settled);
			assert_int_equal(outcomes[1].err.kind, lies[i].kind);
			assert_int_not_equal(outcomes[1].err.class, ERR_NONE);
		}
		assert_int_equal(s.c.error.class, ERR_TEMPORARY);
		scene_end(&s);
	}
}

static void
test_a_peer_without_end_is_cut_off(void **state)
{
	static const char line[1200] = "220-more and more and";
	static const struct str without_end[] = { { "220-more\r\n", 10 }, { "220 more and ", 13 } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct scene s = scene_of(NULL, 0);
		size_t rounds = 0, rounds_most = i == 2 ? 65536 / sizeof line + 1 : 1000;

		scene_begin(&s);
		for (; !s.is_failed && rounds < rounds_most; rounds++) {
			smtp_client_feed(
				&s.c, i == 2 ? (struct str){ line, sizeof line } : without_end[i]);
			if (i == 2)
				smtp_client_feed(&s.c, S("\r\n"));
			scene_run(&s);
		}
		assert_true(s.is_failed);
		assert_int_equal(s.c.error.kind, ERR_PROTOCOL);
		scene_end(&s);
	}
}

/* All answers at once, before any question: the 250s must not count. */
static void
test_answers_ahead_of_their_questions_are_lies(void **state)
{
	static const struct str ahead[] = {
		{ "220 a\r\n250 b\r\n250 c\r\n250 d\r\n250 e\r\n354 f\r\n250 g\r\n", 49 },
		{ "220 a\r\n250-b\r\n250 CHUNKING\r\n250 c\r\n250 d\r\n250 e\r\n250 g\r\n", 56 },
		{ "220 a\r\n250-b\r\n250-PIPELINING\r\n250 CHUNKING\r\n250 c\r\n250 d\r\n250 e\r\n"
		  "250 g\r\n",
			72 },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct smtp_client_mail mail = mail_to_two(outcomes);
		struct scene s = scene_of(&mail, 1);

		scene_begin(&s);
		smtp_client_feed(&s.c, ahead[i]);
		scene_run(&s);
		assert_true(s.is_failed);
		assert_int_equal(s.c.error.kind, ERR_PROTOCOL);
		assert_int_equal(s.done, 0);
		scene_end(&s);
	}
}

/* The session is ready and the peer has already said more: that must not answer the next MAIL. */
static void
test_words_after_the_end_are_not_the_next_answer(void **state)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct scene s = scene_of(mails, 2);

	(void)state;
	s.ignores_words = true;
	scene_play(&s, CHUNKING "S: 250 ok\nS: 250 ok\nS: 250 ok\n");
	smtp_client_feed(&s.c, S("250 kept\r\n250 extra\r\n"));
	scene_run(&s);
	assert_taken(&outcomes[0]);
	assert_true(s.is_failed);
	assert_refused(&outcomes_b[0], ERR_TEMPORARY, ERR_PROTOCOL, STAGE_MAIL, 0);
	scene_end(&s);
}

static void
test_a_refusal_in_the_middle_of_the_body(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 0);

	(void)state;
	s.ignores_words = true;
	scene_play(&s, GREETING "S: 250-mx\n");
	smtp_client_feed(&s.c, S("250 PIPELINING\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_READY);
	smtp_client_mail(&s.c, &mail);
	scene_flush(&s);
	smtp_client_feed(&s.c, S("250 a\r\n250 b\r\n250 c\r\n354 d\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_WANT_BODY);
	smtp_client_body(&s.c, S("Subject"), false);
	smtp_client_feed(&s.c, S("552 5.3.4 too much\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_FAILED);
	assert_int_equal(smtp_client_output(&s.c).n, 0);
	assert_refused(&outcomes[0], ERR_PERMANENT, ERR_REMOTE, STAGE_BODY, 552);
	scene_end(&s);
}

static void
test_too_many_recipients_in_old_words_is_temporary(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	s.ignores_words = true;
	scene_play(&s, DATA_GROUP "S: 250 ok\nS: 552 too many\nS: 552 5.2.2 mailbox full\n");
	assert_int_equal(outcomes[0].err.class, ERR_TEMPORARY);
	assert_int_equal(outcomes[1].err.class, ERR_PERMANENT);
	scene_end(&s);
	mail = mail_to_two(outcomes);
	scene_play(&s, DATA_GROUP "S: 250 ok\nS: 552 5.5.3 too many\nS: 552 5.3.4 too big\n");
	assert_int_equal(outcomes[0].err.class, ERR_TEMPORARY);
	assert_int_equal(outcomes[1].err.class, ERR_PERMANENT);
	scene_end(&s);
}

/* The connection breaks after each octet of each road. Nobody may count as served before the last
 * reply is whole, nobody may be left without an outcome, and nobody refused before may change. */
static void
test_cut_at_every_octet(void **state)
{
	static const char *const roads[] = {
		BARE "S: 250 ok\nS: 550 no\nS: 250 ok\nS: 354 go\nS: 250 kept\n",
		DATA_GROUP "S: 250 ok\nS: 550 no\nS: 250 ok\nS: 354 go\nS: 250 kept\n",
		CHUNKING "S: 250 ok\nS: 550 no\nS: 250 ok\nS: 250 kept\n",
	};
	struct err lost;

	(void)state;
	err_set(&lost, ERR_TEMPORARY, ERR_CONNECTION_LOST, "the cable is cut");
	for (size_t road = 0; road < 3; road++)
		for (size_t cut = 0;; cut++) {
			struct smtp_client_mail mail = mail_to_two(outcomes);
			struct scene s = scene_of(&mail, 1);

			s.ignores_words = true;
			s.peer_octets = cut;
			scene_play(&s, roads[road]);
			if (s.peer_octets) {
				assert_int_equal(s.done, 1);
				assert_taken(&outcomes[1]);
				scene_end(&s);
				break;
			}
			if (s.done) {
				scene_end(&s);
				continue;
			}
			smtp_client_lost(&s.c, &lost);
			assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_FAILED);
			if (s.is_ready) {
				assert_true(outcomes[0].is_settled && outcomes[1].is_settled);
				assert_int_not_equal(outcomes[0].err.class, ERR_NONE);
				assert_int_equal(outcomes[1].err.class, ERR_TEMPORARY);
				assert_int_equal(outcomes[1].err.kind, ERR_CONNECTION_LOST);
				assert_int_equal(
					strstr(outcomes[1].err.text, "only the answer") != NULL,
					outcomes[1].stage == STAGE_END);
			}
			scene_end(&s);
		}
}

static void
test_patience_follows_the_stage(void **state)
{
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 1);

	(void)state;
	s.ignores_words = true;
	scene_play(&s, "");
	assert_int_equal(smtp_client_patience_ms(&s.c), 5 * 60000);
	scene_end(&s);
	scene_play(&s, BARE "S: 250 ok\nS: 250 ok\nS: 250 ok\n");
	assert_int_equal(smtp_client_patience_ms(&s.c), 2 * 60000);
	scene_hear(&s, S("354 go"));
	assert_int_equal(smtp_client_patience_ms(&s.c), 10 * 60000);
	scene_end(&s);
}

/* ── Dots ────────────────────────────────────────────────────────────────────────────────────── */

/* The obvious way, octet by octet. */
static void
stuff_slowly(struct buf *to, struct str message)
{
	char before = '\n', last = '\r';

	for (size_t i = 0; i < message.n; i++) {
		if (message.p[i] == '.' && before == '\n')
			buf_add_char(to, '.');
		last = before;
		before = message.p[i];
		buf_add_char(to, before);
	}
	if (message.n && (last != '\r' || before != '\n'))
		buf_add(to, S("\r\n"));
	buf_add(to, S(".\r\n"));
}

/* Every text of up to 7 octets of CR, LF, dot, x, given in pieces of every length. */
static void
test_dot_stuffing_of_every_short_text(void **state)
{
	struct buf expected = { .max = 100 };

	(void)state;
	for (unsigned n = 0; n <= 7; n++)
		for (unsigned code = 0; code < 1u << (2 * n); code++) {
			char text[7];

			for (unsigned i = 0; i < n; i++)
				text[i] = "\r\n.x"[code >> (2 * i) & 3];
			buf_reset(&expected);
			stuff_slowly(&expected, (struct str){ text, n });
			for (size_t piece = 1; piece <= (n ? n : 1); piece++) {
				struct smtp_client c = {
					.out.max = 100,
					.body_is_open = true,
					.mail = &(struct smtp_client_mail){ .size = n },
					.body_tail = { '\r', '\n' },
				};
				size_t at = 0;

				do {
					struct str part =
						str_part((struct str){ text, n }, at, piece);

					at += part.n;
					smtp_client_body(&c, part, at == n);
				} while (at < n);
				if (!str_eq(smtp_client_output(&c), buf_str(&expected)))
					fail_msg("n %u code %u piece %zu: '%.*s'", n, code, piece,
						STR_ARG(smtp_client_output(&c)));
				smtp_client_free(&c);
			}
		}
	buf_free(&expected);
}

/* ── Against our own server ──────────────────────────────────────────────────────────────────── */

/* Both peers in one function. The server takes bob and not eve, and keeps what it was given. */
struct pair {
	struct smtp_server server;
	struct buf kept;
	unsigned mails_kept;
};

static void
pair_run_server(struct pair *p)
{
	struct err no;

	for (;;)
		switch (smtp_server_next(&p->server)) {
		case SMTP_WANT_INPUT:
		case SMTP_WANT_FLUSH:
		case SMTP_WANT_CLOSE:
			return;
		case SMTP_ON_RCPT:
			err_set(&no, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "nobody");
			smtp_server_answer(&p->server,
				str_eq(p->server.recipient.local, S("bob")) ? NULL : &no);
			break;
		case SMTP_ON_BODY:
			buf_add(&p->kept, p->server.body);
			break;
		case SMTP_ON_RESET:
			break;
		case SMTP_ON_END:
			p->mails_kept++;
			smtp_server_answer(&p->server, NULL);
			break;
		case SMTP_ON_AUTH:
			err_set(&no, ERR_PERMANENT, ERR_LOGIN_REFUSED, "wrong");
			smtp_server_answer(&p->server,
				str_eq(p->server.auth.login, S("alice")) &&
						str_eq(p->server.auth.password, S("wonderland"))
					? NULL
					: &no);
			break;
		case SMTP_WANT_TLS:
			fail_msg("nobody asked for TLS");
			break;
		case SMTP_ON_CONNECT:
		case SMTP_ON_HELLO:
		case SMTP_ON_STARTTLS:
		case SMTP_ON_XCLIENT:
		case SMTP_ON_MAIL:
		case SMTP_ON_DATA:
		case SMTP_ON_VRFY:
		case SMTP_ON_EXPN:
			smtp_server_answer(&p->server, NULL);
			break;
		}
}

/* Carries what each says to the other until both wait. */
static void
pair_talk(struct pair *p, struct scene *s)
{
	struct str said;

	pair_run_server(p);
	while ((said = smtp_server_output(&p->server)).n) {
		smtp_client_feed(&s->c, said);
		smtp_server_sent(&p->server, said.n);
		scene_run(s);
		if (s->said.n)
			smtp_server_feed(&p->server, buf_str(&s->said));
		pair_run_server(p);
		buf_reset(&s->said);
	}
}

static void
test_our_server_keeps_what_our_client_gives(void **state)
{
	static const struct str messages[] = { { "", 0 }, { ".\r\n", 3 }, { "a", 1 },
		{ "A: b\r\n\r\n.\r\n..\r\n", 15 } };
	struct smtp_server_settings house = { S("mx.example"), 1 << 20, 10, true, false };

	(void)state;
	for (unsigned way = 0; way < 4; way++)
		for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
			struct smtp_client_mail mails[] = { mail_to_two(outcomes),
				mail_to_two(outcomes_b) };
			struct scene s = scene_of(mails, 2);
			struct pair p = { .kept.max = 1 << 20 };
			struct str arrives;
			bool chunking = way & 1;

			s.misses_chunking = !chunking;
			s.settings.goes_ahead = way & 2;
			s.settings.login = S("alice");
			s.settings.password = S("wonderland");
			s.settings.shows_password = true;
			s.message = messages[i];
			mails[0].size = mails[1].size = s.message.n;
			smtp_server_begin(&p.server, &house);
			scene_begin(&s);
			pair_talk(&p, &s);
			assert_true(s.is_closed);
			assert_int_equal(s.ahead_offered != 0, (way & 2) != 0);
			assert_int_equal(p.mails_kept, 2);
			assert_taken(&outcomes[0]);
			assert_refused(&outcomes[1], ERR_PERMANENT, ERR_REMOTE, STAGE_RCPT, 550);
			assert_taken(&outcomes_b[0]);
			/* DATA cannot carry a last line without its end */
			arrives = chunking || i != 2 ? s.message : S("a\r\n");
			assert_int_equal(p.kept.n, 2 * arrives.n);
			assert_str(str_part(buf_str(&p.kept), 0, arrives.n), arrives);
			assert_str(str_from(buf_str(&p.kept), arrives.n), arrives);
			smtp_server_free(&p.server);
			buf_free(&p.kept);
			scene_end(&s);
		}
}

static void
test_our_server_refuses_a_wrong_password(void **state)
{
	struct smtp_server_settings house = { S("mx.example"), 1 << 20, 10, true, false };
	struct scene s = scene_of(NULL, 0);
	struct pair p = { .kept.max = 1 << 20 };

	(void)state;
	s.settings.login = S("alice");
	s.settings.password = S("wrong");
	s.settings.shows_password = true;
	smtp_server_begin(&p.server, &house);
	scene_begin(&s);
	pair_talk(&p, &s);
	assert_true(s.is_failed);
	assert_int_equal(s.c.error.code, 535);
	smtp_server_free(&p.server);
	buf_free(&p.kept);
	scene_end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_extensions_each_command_waits),
		cmocka_unit_test(test_final_words_are_kept),
		cmocka_unit_test(test_pipelining_says_the_group_at_once),
		cmocka_unit_test(test_chunking_sends_a_small_message_without_waiting),
		cmocka_unit_test(test_chunking_alone_waits_for_each_reply),
		cmocka_unit_test(test_a_large_message_waits_for_the_recipients),
		cmocka_unit_test(test_output_stays_small_while_the_body_flows),
		cmocka_unit_test(test_two_mails_share_a_session),
		cmocka_unit_test(test_reset_travels_with_the_next_mail),
		cmocka_unit_test(test_a_lone_dot_ends_what_nobody_takes),
		cmocka_unit_test(test_parameters_are_those_offered_and_needed),
		cmocka_unit_test(test_what_only_some_hosts_do),
		cmocka_unit_test(test_requests_for_reports_are_passed_on),
		cmocka_unit_test(test_a_host_without_dsn_is_asked_for_no_report),
		cmocka_unit_test(test_an_ascii_header_for_a_host_without_smtputf8),
		cmocka_unit_test(test_lmtp_answers_for_each_recipient),
		cmocka_unit_test(test_lmtp_in_one_chunk),
		cmocka_unit_test(test_lmtp_lost_between_two_answers),
		cmocka_unit_test(test_lmtp_has_no_helo_to_fall_back_to),
		cmocka_unit_test(test_what_cannot_go_is_not_tried),
		cmocka_unit_test(test_an_address_cannot_become_a_command),
		cmocka_unit_test(test_helo_where_ehlo_is_unknown),
		cmocka_unit_test(test_a_closed_door),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_a_long_secret_waits_for_its_prompt),
		cmocka_unit_test(test_a_secret_is_marked_until_it_has_left),
		cmocka_unit_test(test_what_was_offered_in_clear_is_forgotten),
		cmocka_unit_test(test_tls_before_the_greeting),
		cmocka_unit_test(test_lmtp_begins_tls_too),
		cmocka_unit_test(test_replies_injected_behind_220_are_thrown_away),
		cmocka_unit_test(test_where_there_is_no_tls),
		cmocka_unit_test(test_a_handshake_that_fails_ends_the_session),
		cmocka_unit_test(test_when_the_same_may_be_tried_in_clear),
		cmocka_unit_test(test_no_lie_delivers_a_mail),
		cmocka_unit_test(test_a_peer_without_end_is_cut_off),
		cmocka_unit_test(test_answers_ahead_of_their_questions_are_lies),
		cmocka_unit_test(test_words_after_the_end_are_not_the_next_answer),
		cmocka_unit_test(test_a_refusal_in_the_middle_of_the_body),
		cmocka_unit_test(test_too_many_recipients_in_old_words_is_temporary),
		cmocka_unit_test(test_cut_at_every_octet),
		cmocka_unit_test(test_patience_follows_the_stage),
		cmocka_unit_test(test_dot_stuffing_of_every_short_text),
		cmocka_unit_test(test_our_server_keeps_what_our_client_gives),
		cmocka_unit_test(test_our_server_refuses_a_wrong_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
