/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"
#include "composing.h"

/* The header of a message and its text (compose_field.c, encode.c). */

/* What a reader makes of an unstructured value: unfolded, encoded words decoded. */
static void
decode_value(struct buf *to, struct str value)
{
	struct str rest = value, word;

	buf_reset(to);
	if (str_find_str(value, S("=?")) == value.n) {
		for (size_t i = 0; i < value.n; i++)
			if (value.p[i] != '\r' && value.p[i] != '\n')
				buf_add_char(to, value.p[i]);
		buf_drop(to, 1);
		return;
	}
	while (rest.n) {
		assert_true(scan_blanks(&rest));
		word = str_part(rest, 0, str_find(rest, '\r'));
		assert_true(word.n <= 75);
		rest = str_from(rest, word.n);
		scan_word_nocase(&rest, S("\r\n"));
		assert_true(str_ends_nocase(word, S("?=")));
		word.n -= 2;
		if (scan_word_nocase(&word, S("=?UTF-8?B?"))) {
			size_t begin = to->n;

			assert_true(codec_add_from_base64(to, word));
			assert_true(str_is_utf8(str_from(buf_str(to), begin)));
			continue;
		}
		assert_true(scan_word_nocase(&word, S("=?UTF-8?Q?")));
		size_t begin = to->n;
		for (size_t i = 0; i < word.n; i++) {
			char c = word.p[i] == '_' ? ' ' : word.p[i];

			if (c == '=') {
				assert_true(codec_from_hex(str_part(word, i + 1, 2), &c, 1));
				i += 2;
			}
			buf_add_char(to, c);
		}
		assert_true(str_is_utf8(str_from(buf_str(to), begin)));
	}
}

static void
test_a_plain_message_is_these_octets(void **state)
{
	struct compose c = short_mail();
	struct buf to = { 0 };

	(void)state;
	assert_str(composed(&to, &c, NULL), S("From: ann@example.net\r\n"
					      "To: Bob <bob@example.org>\r\n"
					      "Subject: Hello\r\n"
					      "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
					      "Message-ID: <17@example.net>\r\n"
					      "MIME-Version: 1.0\r\n"
					      "Content-Type: text/plain; charset=us-ascii\r\n"
					      "Content-Transfer-Encoding: 7bit\r\n"
					      "\r\n"
					      "Hi\r\n.\r\nBob\r\n"));
	buf_free(&to);
}

static void
test_nobody_named_is_undisclosed(void **state)
{
	static const struct str copies[] = { S("c@d.e"), S("Eve <e@f.g>") };
	struct compose c = short_mail();
	struct buf to = { 0 };

	(void)state;
	c.to_n = 0;
	c.subject = S("");
	assert_true(str_starts(composed(&to, &c, NULL),
		S("From: ann@example.net\r\nTo: undisclosed-recipients:;\r\nDate: ")));
	c.cc = c.reply_to = copies;
	c.cc_n = 2;
	c.reply_to_n = 1;
	assert_true(str_starts(composed(&to, &c, NULL),
		S("From: ann@example.net\r\nReply-To: c@d.e\r\nCc: c@d.e, Eve <e@f.g>\r\n")));
	buf_free(&to);
}

static void
test_any_subject_comes_back(void **state)
{
	static const char *const subjects[] = {
		"",
		"Gr\xc3\xbc\xc3\x9f"
		"e",
		"\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xb8\x96\xe7\x95\x8c\xef\xbc\x81"
		"\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xb8\x96\xe7\x95\x8c\xef\xbc\x81"
		"\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xb8\x96\xe7\x95\x8c\xef\xbc\x81"
		"\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xb8\x96\xe7\x95\x8c\xef\xbc\x81",
		"=?UTF-8?Q?not_a_word?=",
		"bell\a and tab\t",
		"a long subject of plain words, which has to be folded before it reaches column "
		"seventy-eight, more than once: here it goes on and on, and there it ends",
		"two  blanks   and    more, in a line that is folded somewhere about     here, is "
		"it",
		"one-word-much-longer-than-a-line-one-word-much-longer-than-a-line-one-word-much",
	};
	struct buf to = { 0 }, back = { .max = 10000 };

	(void)state;
	for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		struct compose c = short_mail();
		struct str value;

		c.subject = str_trim(str_of(subjects[i]));
		value = header_get(composed(&to, &c, NULL), S("Subject"));
		if (i + 1 < sizeof subjects / sizeof subjects[0])
			assert_can_travel(buf_str(&to));
		if (c.subject.n == 0) {
			assert_null(value.p);
			continue;
		}
		decode_value(&back, value);
		assert_str(buf_str(&back), c.subject);
	}
	buf_free(&to);
	buf_free(&back);
}

static void
test_names_are_quoted_or_encoded(void **state)
{
	static const struct {
		const char *mailbox, *written;
	} cases[] = {
		{ "<bob@example.org>", "bob@example.org" },
		{ "Bob B. <bob@example.org>", "\"Bob B.\" <bob@example.org>" },
		{ "\"B, \\\"ob\" <bob@example.org>", "\"B, \\\"ob\" <bob@example.org>" },
		{ "B\"ob <bob@example.org>", "\"B\\\"ob\" <bob@example.org>" },
		{ "\"J\xc3\xbc \\\"x\\\"\" <j@example.org>",
			"=?UTF-8?B?SsO8ICJ4Ig==?= <j@example.org>" },
		{ "\"a b\"@example.org", "\"a b\"@example.org" },
		{ "Lit <x@[IPv6:::1]>", "Lit <x@[IPv6:::1]>" },
		{ "root", "root" },
		{ "J\xc3\xbcrgen Xaver <j@example.org>",
			"=?UTF-8?Q?J=C3=BCrgen_Xaver?= <j@example.org>" },
		{ "\xe9\xa9\xbf\xe7\xab\x99 <yz@example.org>",
			"=?UTF-8?B?6am/56uZ?= <yz@example.org>" },
	};
	struct buf to = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct compose c = short_mail();

		c.from = str_of(cases[i].mailbox);
		assert_str(str_trim(header_get(composed(&to, &c, NULL), S("From"))),
			str_of(cases[i].written));
	}
	buf_free(&to);
}

static void
test_what_is_no_mailbox_is_refused(void **state)
{
	static const char *const bad[] = { "", "<>", "a b", "a@", "@b", "a@b c", "a@b, c@d",
		"a@b (Bob)", "Bob <a@b", "a@b>", "a@[b", "\"a@b", "<a@b>,<c@d>;", "Group: a@b;",
		"a\x01@b" };
	char address[400];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct compose c = short_mail();

		c.from = str_of(bad[i]);
		assert_refused(&c, "From: \"");
	}
	for (size_t i = 0; i < sizeof address; i++)
		address[i] = i == 60 ? '@' : 'a';
	struct compose c = short_mail();
	c.to = &(struct str){ address, sizeof address };
	assert_refused(&c, "no mailbox");
}

static void
test_addresses_in_utf8_need_smtputf8(void **state)
{
	static const struct {
		const char *mailbox;
		bool needs_smtputf8;
	} cases[] = {
		{ "\xe9\xad\x8f <wei@example.org>", false },
		{ "wei@\xe4\xbe\x8b.cn", true },
		{ "\xe9\xad\x8f <\xe9\xad\x8f@example.org>", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct compose_plan plan = { 0 };
		struct compose c = short_mail();
		struct err e;

		c.to = &(struct str){ cases[i].mailbox, strlen(cases[i].mailbox) };
		assert_true(compose_plan(&plan, &c, &e));
		assert_int_equal(plan.needs_smtputf8, cases[i].needs_smtputf8);
		assert_int_equal(str_is_ascii(buf_str(&plan.octets)), !cases[i].needs_smtputf8);
		compose_free(&plan);
	}
}

static void
test_a_hundred_recipients_fold(void **state)
{
	struct str many[100];
	struct compose c = short_mail();
	struct buf to = { 0 };

	(void)state;
	for (size_t i = 0; i < 100; i++)
		many[i] = S("Somebody Else <somebody@example.org>");
	c.to = many;
	c.to_n = 100;
	assert_can_travel(composed(&to, &c, NULL));
	buf_free(&to);
}

/* ── Own fields ──────────────────────────────────────────────────────────────────────────────── */

static void
test_own_fields_go_as_their_grammar_wants(void **state)
{
	static const struct {
		const char *name, *value, *written;
	} cases[] = {
		{ "List-Unsubscribe", "<mailto:u@example.net>, <https://example.net/u?a=?b>",
			" <mailto:u@example.net>, <https://example.net/u?a=?b>" },
		{ "X-Word", "=?UTF-8?Q?as_it_is?=", " =?UTF-8?Q?as_it_is?=" },
		{ "X-Empty", "  ", "" },
		{ "X-Bell", "a\ab", " =?UTF-8?B?YQdi?=" },
		{ "X-Chinese", "\xe9\xa9\xbf\xe7\xab\x99", " =?UTF-8?B?6am/56uZ?=" },
		{ "Sender", "\xe9\xad\x8f <wei@example.org>",
			" =?UTF-8?B?6a2P?= <wei@example.org>" },
		{ "References",
			"<one-of-the-older-ones@example.org>\t<another-one@example.org> "
			"<the-third@example.org>",
			" <one-of-the-older-ones@example.org>\t<another-one@example.org>\r\n"
			" <the-third@example.org>" },
		{ "Sender", "\xe9\xad\x8f@example.org", " \xe9\xad\x8f@example.org" },
	};
	struct buf to = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct compose_field field = { str_of(cases[i].name), str_of(cases[i].value) };
		struct compose c = short_mail();
		struct str value;

		c.fields = &field;
		c.fields_n = 1;
		value = header_get(composed(&to, &c, NULL), field.name);
		assert_str(value, str_of(cases[i].written));
		assert_can_travel(buf_str(&to));
	}
	buf_free(&to);
}

static void
test_fields_of_the_composer_are_not_own(void **state)
{
	static const char *const names[] = { "From", "to", "CC", "Bcc", "Resent-Bcc", "Reply-To",
		"Subject", "Date", "message-id", "MIME-Version", "Return-Path", "Content-Type",
		"content-language" };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct compose c = short_mail();

		c.fields = &(struct compose_field){ str_of(names[i]), S("x") };
		c.fields_n = 1;
		assert_refused(&c, names[i]);
	}
}

static void
test_own_fields_that_cannot_be(void **state)
{
	char longest[1000];
	const struct {
		struct str name, value;
		const char *words;
	} cases[] = {
		{ S(""), S("x"), "no name for a field" },
		{ S("X Y"), S("x"), "no name for a field" },
		{ S("X:"), S("x"), "no name for a field" },
		{ S("X\r\nBcc"), S("x"), "no name for a field" },
		{ S("X-\xc3\xbc"), S("x"), "no name for a field" },
		{ { longest, 77 }, S("x"), "no name for a field" },
		{ S("References"), { longest, sizeof longest }, "References holds" },
		{ S("Sender"), S("a\x1b <a@b>"), "Sender holds a control" },
	};
	struct compose c = short_mail();
	struct buf to = { 0 };

	(void)state;
	memset(longest, 'x', sizeof longest);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		c.fields = &(struct compose_field){ cases[i].name, cases[i].value };
		c.fields_n = 1;
		assert_refused(&c, cases[i].words);
	}
	c.fields = &(struct compose_field){ { longest, 76 }, { longest, 900 } };
	composed(&to, &c, NULL);
	c.fields = &(struct compose_field){ S("X-Long"), { longest, sizeof longest } };
	assert_can_travel(composed(&to, &c, NULL)); /* a text: in encoded words */
	buf_free(&to);
}

/* ── Text ────────────────────────────────────────────────────────────────────────────────────── */

static struct str
body_of(struct str message, struct str encoding)
{
	assert_can_travel(message);
	assert_true(str_is_ascii(message));
	assert_str(str_trim(header_get(message, S("Content-Transfer-Encoding"))), encoding);
	return str_from(message, str_find_str(message, S("\r\n\r\n")) + 4);
}

static void
test_text_is_in_the_shortest_encoding_that_is_right(void **state)
{
	static const struct {
		struct str text, encoding, body;
	} cases[] = {
		{ S(""), S("7bit"), S("") },
		{ S("a\rb\n\nc\r\n"), S("7bit"), S("a\r\nb\r\n\r\nc\r\n") },
		{ S("Many words of ASCII, then = a single \xc3\xbc \r ok \n"),
			S("quoted-printable"),
			S("Many words of ASCII, then =3D a single =C3=BC=20\r\n ok=20\r\n") },
		{ S("\t"), S("7bit"), S("\t\r\n") },
		{ S("\xe4\xbd\xa0\xe5\xa5\xbd\n"), S("base64"), S("5L2g5aW9DQo=\r\n") },
		{ S("a bell, which ASCII has and mail has not: \a"), S("quoted-printable"),
			S("a bell, which ASCII has and mail has not: =07\r\n") },
	};
	struct buf to = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct compose c = short_mail();

		c.text = cases[i].text;
		assert_str(body_of(composed(&to, &c, NULL), cases[i].encoding), cases[i].body);
		assert_str(header_get(buf_str(&to), S("Content-Type")),
			str_is_ascii(c.text) ? S(" text/plain; charset=us-ascii")
					     : S(" text/plain; charset=utf-8"));
	}
	buf_free(&to);
}

static void
test_lines_up_to_998_go_as_they_are(void **state)
{
	struct compose c = short_mail();
	struct buf to = { 0 };
	char line[2000];

	(void)state;
	memset(line, 'x', sizeof line);
	c.text = (struct str){ line, 998 };
	body_of(composed(&to, &c, NULL), S("7bit"));
	c.text = (struct str){ line, 999 };
	body_of(composed(&to, &c, NULL), S("quoted-printable"));
	buf_free(&to);
}

/* Base64 of a text goes through a chunk at a time; its lines are whole all the same. */
static void
test_a_long_chinese_text_has_full_lines(void **state)
{
	static char text[30000];
	struct compose c = short_mail();
	struct buf to = { 0 }, all = { .max = 1 << 20 }, back = { .max = 1 << 20 };
	struct str body, line;

	(void)state;
	for (size_t i = 0; i < sizeof text; i += 3)
		memcpy(text + i, i % 300 ? "\xe4\xbd\xa0" : "ab\n", 3);
	c.text = (struct str){ text, sizeof text };
	body = body_of(composed(&to, &c, NULL), S("base64"));
	while (scan_until(&body, '\n', &line)) {
		assert_int_equal(line.n, body.n ? 77 : line.n);
		buf_add(&all, str_part(line, 0, line.n - 1));
	}
	assert_true(codec_add_from_base64(&back, buf_str(&all)));
	for (size_t i = 0, at = 0; i < back.n; i++)
		if (back.p[i] != '\r' && at < sizeof text)
			assert_int_equal(back.p[i], text[at++]);
	assert_int_equal(
		back.n, sizeof text + 100 + 2); /* a CR more a line, and the last line's end */
	buf_free(&to);
	buf_free(&all);
	buf_free(&back);
}

/* ── What is refused ─────────────────────────────────────────────────────────────────────────── */

static void
test_injections_are_errors(void **state)
{
	static const struct str bad[] = { S("a\r\nBcc: x"), S("a\nb"), S("a\rb"), S("a\0b"),
		S("\xff"), S("\xed\xa0\x80") };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct compose_field own = { S("X-Own"), bad[i] };
		struct {
			struct compose c;
			const char *words;
		} cases[8];

		for (size_t k = 0; k < 8; k++)
			cases[k].c = short_mail();
		cases[0].c.from = bad[i], cases[0].words = "From holds";
		cases[1].c.to = &bad[i], cases[1].words = "To holds";
		cases[2].c.cc = &bad[i], cases[2].c.cc_n = 1, cases[2].words = "Cc holds";
		cases[3].c.reply_to = &bad[i], cases[3].c.reply_to_n = 1;
		cases[3].words = "Reply-To holds";
		cases[4].c.subject = bad[i], cases[4].words = "Subject holds";
		cases[5].c.message_id = bad[i], cases[5].words = "is no Message-ID";
		cases[6].c.fields = &own, cases[6].c.fields_n = 1, cases[6].words = "X-Own holds";
		cases[7].c.boundary = bad[i], cases[7].c.has_html = true;
		cases[7].words = "a boundary is";
		for (size_t k = 0; k < 8; k++)
			assert_refused(&cases[k].c, cases[k].words);
	}
}

static void
test_texts_must_be_text(void **state)
{
	struct compose c = short_mail();

	(void)state;
	c.text = S("a\0b");
	assert_refused(&c, "the text holds NUL");
	c.text = S("\xff");
	assert_refused(&c, "the text holds NUL, or is not UTF-8");
	c.text = S("");
	c.has_html = true;
	c.html = S("<b>\xc0\x80");
	assert_refused(&c, "the HTML holds NUL, or is not UTF-8");
}

static void
test_a_message_too_large_is_an_error(void **state)
{
	struct compose c = short_mail();
	char *text = malloc(COMPOSE_SIZE_MAX);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', COMPOSE_SIZE_MAX);
	c.text = (struct str){ text, COMPOSE_SIZE_MAX };
	assert_refused(&c, "are larger than 33554432 octets");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_message_is_these_octets),
		cmocka_unit_test(test_nobody_named_is_undisclosed),
		cmocka_unit_test(test_any_subject_comes_back),
		cmocka_unit_test(test_names_are_quoted_or_encoded),
		cmocka_unit_test(test_what_is_no_mailbox_is_refused),
		cmocka_unit_test(test_addresses_in_utf8_need_smtputf8),
		cmocka_unit_test(test_a_hundred_recipients_fold),
		cmocka_unit_test(test_own_fields_go_as_their_grammar_wants),
		cmocka_unit_test(test_fields_of_the_composer_are_not_own),
		cmocka_unit_test(test_own_fields_that_cannot_be),
		cmocka_unit_test(test_text_is_in_the_shortest_encoding_that_is_right),
		cmocka_unit_test(test_lines_up_to_998_go_as_they_are),
		cmocka_unit_test(test_a_long_chinese_text_has_full_lines),
		cmocka_unit_test(test_injections_are_errors),
		cmocka_unit_test(test_texts_must_be_text),
		cmocka_unit_test(test_a_message_too_large_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
