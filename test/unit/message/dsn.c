/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"
#include "unit.h"

static struct err refused, expired;

static struct dsn
bounce_of(const struct dsn_recipient *recipients, size_t n)
{
	err_set(&refused, ERR_PERMANENT, ERR_REMOTE, "no such person");
	refused.code = 550;
	refused.enhanced = (struct enhanced){ 5, 1, 1 };
	err_set(&expired, ERR_PERMANENT, ERR_EXPIRED, "nobody answered for 5 days");
	return (struct dsn){
		.hostname = S("mail.example.net"),
		.to = S("ann@example.net"),
		.message_id = S("b0unce.1@mail.example.net"),
		.original_id = S("00ff"),
		.unix_seconds = 86400,
		.arrived_unix_seconds = 0,
		.recipients = recipients,
		.recipients_n = n,
		.original_header =
			S("From: ann@example.net\r\nSubject: hi\r\nMessage-ID: <9@x>\r\n"),
	};
}

static struct str
composed(struct buf *to, const struct dsn *d)
{
	to->max = 1 << 20;
	buf_reset(to);
	dsn_compose(to, d);
	assert_false(to->overflow);
	return buf_str(to);
}

static void
assert_has(struct str message, const char *part)
{
	if (str_find_str(message, str_of(part)) == message.n)
		fail_msg("'%s' is not in:\n%.*s", part, STR_ARG(message));
}

static void
assert_has_not(struct str message, const char *part)
{
	if (str_find_str(message, str_of(part)) < message.n)
		fail_msg("'%s' is in:\n%.*s", part, STR_ARG(message));
}

static void
test_a_bounce_says_who_and_why(void **state)
{
	struct dsn_recipient two[] = {
		{ .address = S("bob@example.org"),
			.why = &refused,
			.status = { 5, 1, 1 },
			.host = S("mx.example.org") },
		{ .address = S("eve@example.com"), .why = &expired, .status = { 5, 4, 7 } },
	};
	struct dsn d = bounce_of(two, 2);
	struct buf to = { 0 };
	struct str message = composed(&to, &d);

	(void)state;
	assert_has(message, "To: ann@example.net\r\n");
	assert_has(message, "Subject: Not delivered: your mail to bob@example.org and 1 more\r\n");
	assert_has(message, "In-Reply-To: <9@x>\r\nReferences: <9@x>\r\n");
	assert_has(message, "Auto-Submitted: auto-replied\r\n");
	assert_has(message,
		"\r\nYour mail of Thu, 1 Jan 1970 00:00:00 +0000, with the subject: hi\r\n"
		"could not be delivered to these addresses:\r\n");
	assert_has(message, "\r\n  bob@example.org\r\n    There is no mailbox of this name.\r\n"
			    "    mx.example.org said: 550 5.1.1 no such person\r\n"
			    "    Check the address");
	assert_has(message,
		"\r\n  eve@example.com\r\n    It could not be delivered for as long as it "
		"was tried, and has been given up.\r\n"
		"    nobody answered for 5 days\r\n    Reach the person");
	assert_has_not(message, "again later");
	assert_has(message, "\r\n\r\nFinal-Recipient: rfc822; bob@example.org\r\nAction: failed\r\n"
			    "Status: 5.1.1\r\nRemote-MTA: dns; mx.example.org\r\n"
			    "Diagnostic-Code: smtp; 550 5.1.1 no such person\r\n");
	assert_has(message, "\r\n\r\nFinal-Recipient: rfc822; eve@example.com\r\nAction: failed\r\n"
			    "Status: 5.4.7\r\n\r\n--=_bounce_b0unce1");
	assert_has(message, "Content-Type: text/rfc822-headers\r\n\r\nFrom: ann@example.net\r\n"
			    "Subject: hi\r\nMessage-ID: <9@x>\r\n\r\n--=_bounce_b0unce1");
	assert_has_not(message, "Content-Transfer-Encoding: 8bit");
	assert_true(str_ends_nocase(message, S("mailexamplenet--\r\n")));
	buf_free(&to);
}

/* A peer's temporary no that lasted until the end: the reason is the time, and what the peer said. */
static void
test_what_ran_out_of_time_says_both_reasons(void **state)
{
	struct err full = { 0 };
	struct dsn_recipient one[] = { { .address = S("bob@example.org"),
		.why = &full,
		.status = { 5, 0, 0 },
		.host = S("mx.example.org") } };
	struct dsn d = bounce_of(one, 1);
	struct buf to = { 0 };
	struct str message;

	(void)state;
	err_set(&full, ERR_PERMANENT, ERR_REMOTE, "no room");
	full.code = 452;
	full.enhanced = (struct enhanced){ 4, 2, 2 };
	message = composed(&to, &d);
	assert_has(message, "\r\nStatus: 5.4.7\r\n");
	assert_has(message,
		"has been given up.\r\n    mx.example.org said at last: 452 4.2.2 no room\r\n"
		"    The mailbox is full.\r\n    Reach the person some other way");
	buf_free(&to);
}

static void
test_what_was_asked_for_comes_back(void **state)
{
	struct dsn_recipient one[] = { { .address = S("bob@example.org"),
		.original = S("rfc822;sales+2Bx@example.org"),
		.why = &refused,
		.status = { 5, 1, 1 } } };
	struct dsn d = bounce_of(one, 1);
	struct buf to = { 0 };
	struct str message;

	(void)state;
	d.envelope_id = S("QQ+2B31");
	d.original_whole = S("Subject: hi\r\n\r\nna\xc3\xafve\r\n");
	message = composed(&to, &d);
	assert_has(message,
		"Content-Type: message/delivery-status\r\n\r\n"
		"Original-Envelope-Id: QQ+31\r\nReporting-MTA: dns; mail.example.net\r\n");
	assert_has(message, "\r\n\r\nOriginal-Recipient: rfc822; sales+x@example.org\r\n"
			    "Final-Recipient: rfc822; bob@example.org\r\n");
	assert_has(message, "\r\n  bob@example.org  (you wrote to sales+x@example.org)\r\n");
	assert_has(message, "Content-Transfer-Encoding: 8bit\r\nContent-Type: multipart/report;");
	assert_has(message,
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
		"Subject: hi\r\n\r\nna\xc3\xafve\r\n\r\n--=_bounce_");
	assert_has(message, "Your mail is below.");
	d.original_header = d.original_whole = S("Subject: Gr\xc3\xbc\xc3\x9f"
						 "e\r\n\r\n");
	assert_has(composed(&to, &d), "Content-Type: message/global\r\n");
	buf_free(&to);
}

static void
test_delays_and_successes_have_their_own_words(void **state)
{
	static const struct {
		enum dsn_kind kind;
		const char *subject, *words, *fields;
	} rows[] = {
		{ DSN_DELAYED, "Subject: Not delivered yet: your mail to bob@example.org\r\n",
			"    We try until Fri, 2 Jan 1970 01:00:00 +0000.\r\n\r\nWe go on trying.",
			"Action: delayed\r\nStatus: 4.4.1\r\nWill-Retry-Until: Fri, 2 Jan 1970 "
			"01:00:00 "
			"+0000\r\n" },
		{ DSN_RELAYED, "Subject: Passed on: your mail to bob@example.org\r\n",
			"    It was passed on to a host that sends no reports of its own.\r\n",
			"Action: relayed\r\nStatus: 2.0.0\r\n\r\n--" },
		{ DSN_DELIVERED, "Subject: Delivered: your mail to bob@example.org\r\n",
			"    It is in the mailbox.\r\n",
			"Action: delivered\r\nStatus: 2.0.0\r\n\r\n--" },
		{ DSN_EXPANDED, "Subject: Passed on: your mail to bob@example.org\r\n",
			"    It was passed on to every member.\r\n",
			"Action: expanded\r\nStatus: 2.0.0\r\n\r\n--" },
	};
	struct err unanswered;

	(void)state;
	err_set(&unanswered, ERR_TEMPORARY, ERR_CONNECT, "nobody listens");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		bool is_delay = rows[i].kind == DSN_DELAYED;
		struct dsn_recipient one[] = { { .address = S("bob@example.org"),
			.action = rows[i].kind,
			.why = is_delay ? &unanswered : NULL,
			.status = { 4, is_delay ? 4 : 0, is_delay },
			.retry_until_s = 90000 } };
		struct dsn d = bounce_of(one, 1);
		struct buf to = { 0 };
		struct str message;

		d.kind = rows[i].kind;
		message = composed(&to, &d);
		assert_has(message, rows[i].subject);
		assert_has(message, rows[i].words);
		assert_has(message, rows[i].fields);
		assert_has_not(message, "could not be delivered");
		buf_free(&to);
	}
}

/* Chinese comes first, and the English below it, for whoever reads none. */
static void
test_chinese_comes_with_english(void **state)
{
	struct dsn_recipient one[] = { { .address = S("bob@example.org"),
		.why = &refused,
		.status = { 5, 1, 1 },
		.host = S("mx.example.org") } };
	struct dsn d = bounce_of(one, 1);
	struct buf to = { .max = 1 << 20 };
	struct str text;
	size_t chinese, english;

	(void)state;
	d.language = DSN_CHINESE;
	dsn_add_text(&to, &d);
	text = buf_str(&to);
	chinese = str_find_str(
		text, S("您于 1970-01-01 00:00 UTC 发来的邮件（主题：hi）无法送达以下地址："));
	english = str_find_str(text, S("could not be delivered to this address:\n"));
	assert_true(chinese < english && english < text.n);
	assert_has(text,
		"    没有这个名字的邮箱。\n    mx.example.org 的答复：550 5.1.1 no such person\n");
	text = composed(&to, &d);
	assert_true(str_is_ascii(text));
	assert_has(text, "Subject: =?UTF-8?B?");
	buf_free(&to);
}

/* Of RFC 3464 §9.3 a host without a name has its address as mail writes one. */
static void
test_who_said_it(void **state)
{
	static const struct {
		struct str host;
		const char *field;
	} rows[] = {
		{ S("mx.example.org"), "\r\nRemote-MTA: dns; mx.example.org\r\n" },
		{ S("192.0.2.1"), "\r\nRemote-MTA: dns; [192.0.2.1]\r\n" },
		{ S("2001:db8::1"), "\r\nRemote-MTA: dns; [IPv6:2001:db8::1]\r\n" },
		{ S("[192.0.2.1]"), "\r\nRemote-MTA: dns; [192.0.2.1]\r\n" },
		{ S("[IPv6:2001:db8::1]"), "\r\nRemote-MTA: dns; [IPv6:2001:db8::1]\r\n" },
		{ S("/run/lmtp"), "\r\nRemote-MTA: x-unix; /run/lmtp\r\n" },
	};
	struct buf to = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct dsn_recipient one[] = { { .address = S("bob@example.org"),
			.why = &refused,
			.status = { 5, 1, 1 },
			.host = rows[i].host } };
		struct dsn d = bounce_of(one, 1);

		assert_has(composed(&to, &d), rows[i].field);
	}
	buf_free(&to);
}

/* The last line of a program's part stands alone: the boundary's own CRLF comes before it. */
static void
test_strangers_words_stay_in_their_line(void **state)
{
	struct dsn_recipient one[] = {
		{ .address = S("bob@example.org\r\nBcc: eve@example.org"),
			.original = S("rfc822;x+0D+0ABcc:y"),
			.why = &refused,
			.status = { 5, 0, 0 },
			.host = S("mx\r\n\r\nforged") },
	};
	struct dsn d = bounce_of(one, 1);
	struct buf to = { 0 };
	struct str message;

	(void)state;
	memcpy(refused.text, "evil\n.\n", 8); /* as err_set would never have it */
	d.original_header = S("Subject: x\r\nMessage-ID: <a\r\n Bcc: b@example.org>\r\n");
	message = composed(&to, &d);
	assert_int_equal(str_find_str(message, S("\nBcc:")), message.n);
	assert_int_equal(str_find_str(message, S("\nforged")), message.n);
	assert_int_equal(str_find_str(message, S("\n.")), message.n);
	assert_int_equal(str_find_str(message, S("In-Reply-To")), message.n);
	buf_free(&to);
}

static void
test_international_addresses_have_their_own_types(void **state)
{
	struct dsn_recipient one[] = {
		{ .address = S("\xe9\xa9\xbf@example.org"),
			.why = &refused,
			.status = { 5, 1, 1 } },
	};
	struct dsn d = bounce_of(one, 1);
	struct buf to = { 0 };
	struct str message = composed(&to, &d);

	(void)state;
	assert_has(message, "Content-Type: message/global-delivery-status\r\n");
	assert_has(message, "Final-Recipient: utf-8; \xe9\xa9\xbf@example.org\r\n");
	one[0].address = S("bob@example.org");
	one[0].original = S("utf-8;\\x{9A7F}@example.org");
	message = composed(&to, &d);
	assert_has(message, "Content-Type: message/global-delivery-status\r\n");
	assert_has(message, "Original-Recipient: utf-8; \xe9\xa9\xbf@example.org\r\n");
	d.original_header = S("Subject: Gr\xc3\xbc\xc3\x9f"
			      "e\r\n");
	assert_has(composed(&to, &d), "Content-Type: message/global-headers\r\n");
	one[0].original = S("");
	d.original_header = S("Subject: Gr\xfc\xdf"
			      "e\r\n"); /* no UTF-8 */
	message = composed(&to, &d);
	assert_has(message, "Content-Type: message/delivery-status\r\n");
	assert_has(message,
		"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
	buf_free(&to);
}

static void
test_utf8_addresses(void **state)
{
	static const struct {
		struct str address;
		const char *plain; /* NULL: refused */
	} rows[] = {
		{ S("bob@example.org"), "bob@example.org" },
		{ S("ren\\x{E9}@x"), "ren\xc3\xa9@x" },
		{ S("ren\xc3\xa9@x"), "ren\xc3\xa9@x" },
		{ S("\\x{2B}\\x{9A7F}\\x{1F4EE}\\x{10FFFF}"),
			"+\xe9\xa9\xbf\xf0\x9f\x93\xae\xf4\x8f\xbf\xbf" },
		{ S("a\\x{D800}"), NULL },
		{ S("a\\x{110000}"), NULL },
		{ S("a\\x{0A}"), NULL },
		{ S("a\\x{e9}"), NULL },
		{ S("a\\x{E9"), NULL },
		{ S("a\\x{}"), NULL },
		{ S("a\\"), NULL },
		{ S("a+2Bb"), NULL },
		{ S("a b"), NULL },
		{ S("\xe9"), NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct buf to = { .max = 100 };
		bool is_good = dsn_add_utf8_address(&to, rows[i].address);

		if (is_good != (rows[i].plain != NULL))
			fail_msg("row %zu", i);
		assert_str(buf_str(&to), str_of(rows[i].plain));
		buf_free(&to);
	}
}

static void
assert_explains(unsigned class, unsigned subject, unsigned detail, const char *wanted)
{
	struct enhanced code = { (uint16_t) class, (uint16_t)subject, (uint16_t)detail };
	struct dsn_meaning m;

	for (int language = 0; language < DSN_LANGUAGES; language++) {
		m = dsn_explain(code, S(""), (enum dsn_language)language);
		assert_true(m.meaning.n && m.for_sender.n && m.for_operator.n);
		assert_true(str_is_utf8(m.meaning) && str_is_utf8(m.for_sender));
		assert_false(str_has_nocase(m.for_sender, S("later")));
		assert_true(str_is_ascii(m.meaning) == (language == DSN_ENGLISH));
	}
	m = dsn_explain(code, S(""), DSN_ENGLISH);
	if (wanted)
		assert_str(m.meaning, str_of(wanted));
}

static void
test_every_code_is_explained(void **state)
{
	(void)state;
	for (unsigned class = 0; class < 7; class ++)
		for (unsigned subject = 0; subject < 12; subject++)
			for (unsigned detail = 0; detail < 40; detail++)
				assert_explains(class, subject, detail, NULL);
	assert_explains(
		4, 7, 28, "More mail comes from the sender, or the sending host, than is taken.");
	assert_explains(5, 1, 10, "The domain of the address says that it takes no mail at all.");
	assert_explains(5, 2, 99, "Something is wrong with the mailbox.");
	assert_explains(5, 99, 99, "The reason has no number of its own; only the words say it.");
	assert_explains(2, 1, 5, "The address is right.");
	assert_explains(2, 6, 0, "All went well.");
	assert_str(dsn_explain_class((struct enhanced){ 4, 7, 28 }, DSN_ENGLISH),
		S("Not now: it is tried again by itself."));
	assert_int_equal(dsn_explain_class((struct enhanced){ 3, 0, 0 }, DSN_CHINESE).n, 0);
}

static void
test_greylisting_is_told_apart(void **state)
{
	static const struct {
		struct enhanced code;
		const char *words;
		bool is_greylisting;
	} table[] = {
		{ { 4, 7, 1 }, "", true },
		{ { 4, 2, 0 }, "Recipient address rejected: Greylisted, see the help", true },
		{ { 4, 2, 0 }, "mailbox is busy", false },
		{ { 5, 7, 1 }, "GREYLISTED", false },
		{ { 4, 7, 28 }, "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct dsn_meaning m =
			dsn_explain(table[i].code, str_of(table[i].words), DSN_ENGLISH);

		assert_true(str_has_nocase(m.meaning, S("at the first try")) ==
			    table[i].is_greylisting);
		assert_true(str_has_nocase(m.for_operator, S("next try usually passes")) ==
			    table[i].is_greylisting);
	}
}

/* Block lists are no answer to what this station found out itself, nor to codes about logins and TLS. */
static void
test_operators_are_told_what_it_is(void **state)
{
	static const struct {
		enum err_kind kind;
		const char *text, *wanted;
	} own[] = {
		{ ERR_TLS, "TLS: the certificate is not good for this host: x", "tls { trust }" },
		{ ERR_TLS, "no answer", "the route demands it" },
		{ ERR_LOGIN_REFUSED, "", "correct it, reload" },
		{ ERR_LOGIN_NEEDED, "", "needs a login" },
		{ ERR_LOCAL, "the mailbox cannot be written", "mailbox-failed" },
		{ ERR_NO_SPACE, "", "make room" },
		{ ERR_REMOTE, "", NULL },
		{ ERR_TIMEOUT, "", NULL },
	};
	static const unsigned details[] = { 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 30 };

	(void)state;
	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
		struct err e;
		struct str told;

		err_set(&e, ERR_TEMPORARY, own[i].kind, "%s", own[i].text);
		told = dsn_explain_own(&e);
		assert_true(
			own[i].wanted ? str_has_nocase(told, str_of(own[i].wanted)) : told.n == 0);
	}
	for (size_t i = 0; i < sizeof details / sizeof details[0]; i++)
		assert_false(
			str_has_nocase(dsn_explain((struct enhanced){ 5, 7, (uint16_t)details[i] },
					       S(""), DSN_ENGLISH)
					       .for_operator,
				S("block list")));
	assert_true(str_has_nocase(
		dsn_explain((struct enhanced){ 5, 7, 28 }, S(""), DSN_ENGLISH).for_operator,
		S("block list")));
}

/* The header of a mail that came by BDAT: its report goes to hosts that take no such thing. */
/* The queue counts on it: it keeps a report in a record of the log, of 256 KiB. */
static void
test_fifty_of_the_longest_fit_into_a_record(void **state)
{
	enum { RECIPIENTS = 50, WORDS = 64, HEADER = 4096, RECORD = 256 * 1024 };
	struct dsn_recipient rows[RECIPIENTS] = { 0 };
	struct err why = {
		.class = ERR_PERMANENT, .kind = ERR_REMOTE, .code = 450, .enhanced = { 4, 4, 1 }
	};
	struct dsn d = bounce_of(rows, RECIPIENTS);
	struct buf address = { .max = 300 }, header = { .max = HEADER }, to = { 0 };

	(void)state;
	while (address.n < 250)
		buf_add(&address, S("\xe5\xbe\x90"));
	while (header.n < HEADER)
		buf_add_char(&header, '\n');
	for (size_t i = 0; i < WORDS; i++)
		why.text[i] = "\xe5\xbe\x90"[i % 3];
	for (size_t i = 0; i < RECIPIENTS; i++)
		rows[i] = (struct dsn_recipient){ .address = buf_str(&address),
			.why = &why,
			.status = { 5, 4, 7 },
			.host = buf_str(&address) };
	d.language = DSN_CHINESE;
	d.original_header = buf_str(&header);
	assert_in_range(composed(&to, &d).n, RECORD / 2, RECORD);
	buf_free(&address);
	buf_free(&header);
	buf_free(&to);
}

static void
test_any_host_takes_the_header(void **state)
{
	struct dsn_recipient one = { .address = S("bob@example.org"), .why = &refused };
	struct buf to = { 0 }, header = { .max = 8192 };
	struct dsn d = bounce_of(&one, 1);
	struct str rest, line;

	(void)state;
	buf_add(&header, (struct str){ "Subject: a\0b\r\nX-Long: ", 22 });
	for (int i = 0; i < 2000; i++)
		buf_add_char(&header, 'x');
	buf_add(&header, S("\r\nX-Last: one\r\n"));
	d.original_header = buf_str(&header);
	rest = composed(&to, &d);
	assert_has(rest, "Subject: a?b\r\nX-Long: xxx");
	assert_has(rest, "xxx\r\nX-Last: one\r\n");
	for (; rest.n; rest = str_from(rest, line.n + 2)) {
		line = str_part(rest, 0, str_find_str(rest, S("\r\n")));
		assert_true(line.n <= 998 && str_find(line, 0) == line.n);
	}
	buf_free(&to);
	buf_free(&header);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_bounce_says_who_and_why),
		cmocka_unit_test(test_what_ran_out_of_time_says_both_reasons),
		cmocka_unit_test(test_what_was_asked_for_comes_back),
		cmocka_unit_test(test_delays_and_successes_have_their_own_words),
		cmocka_unit_test(test_chinese_comes_with_english),
		cmocka_unit_test(test_who_said_it),
		cmocka_unit_test(test_fifty_of_the_longest_fit_into_a_record),
		cmocka_unit_test(test_any_host_takes_the_header),
		cmocka_unit_test(test_strangers_words_stay_in_their_line),
		cmocka_unit_test(test_international_addresses_have_their_own_types),
		cmocka_unit_test(test_utf8_addresses),
		cmocka_unit_test(test_every_code_is_explained),
		cmocka_unit_test(test_greylisting_is_told_apart),
		cmocka_unit_test(test_operators_are_told_what_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
