/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"
#include "message/message.h"
#include "unit.h"

static const struct str bob[] = { { "Bob <bob@example.org>", 21 } };

static struct message_parts
short_parts(void)
{
	return (struct message_parts){
		.from = S("ann@example.net"),
		.to = bob,
		.to_n = 1,
		.subject = S("Hello"),
		.text = S("Hi\n.\nBob"),
		.unix_seconds = 0,
		.message_id = S("17@example.net"),
	};
}

static struct str
composed(struct buf *to, const struct message_parts *parts)
{
	struct err e;

	to->max = 1 << 20;
	buf_reset(to);
	if (!message_compose(to, parts, &e))
		fail_msg("%s", e.text);
	return buf_str(to);
}

/* Nothing that leaves here has a bare CR or LF, NUL, a line over 998 or, in the header, over 78. */
static void
assert_can_travel(struct str message)
{
	bool in_header = true;

	assert_true(str_ends_nocase(message, S("\r\n")));
	for (struct str line; message.n;) {
		assert_true(scan_until(&message, '\n', &line));
		assert_int_equal(line.p[line.n - 1], '\r');
		line.n--;
		assert_int_equal(str_find(line, '\r'), line.n);
		assert_int_equal(str_find(line, '\0'), line.n);
		in_header = in_header && line.n;
		if (line.n > (in_header ? 78 : 998))
			fail_msg("too long: '%.*s'", STR_ARG(line));
	}
}

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
	struct message_parts parts = short_parts();
	struct buf to = { 0 };
	struct str message = composed(&to, &parts);
	struct str expected = S("From: ann@example.net\r\n"
				"To: Bob <bob@example.org>\r\n"
				"Subject: Hello\r\n"
				"Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
				"Message-ID: <17@example.net>\r\n"
				"MIME-Version: 1.0\r\n"
				"Content-Type: text/plain; charset=us-ascii\r\n"
				"Content-Transfer-Encoding: 7bit\r\n"
				"\r\n"
				"Hi\r\n.\r\nBob\r\n");

	(void)state;
	assert_str(message, expected);
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
		struct str subject = str_trim(str_of(subjects[i])), rest;
		struct message_parts parts = short_parts();
		struct header_field field;

		parts.subject = subject;
		rest = composed(&to, &parts);
		if (i + 1 < sizeof subjects / sizeof subjects[0])
			assert_can_travel(rest);
		while (header_next(&rest, &field) && !str_eq(field.name, S("Subject")))
			;
		if (subject.n == 0)
			continue;
		decode_value(&back, field.value);
		assert_str(buf_str(&back), subject);
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
		{ "J\xc3\xbcrgen Xaver <j@example.org>",
			"=?UTF-8?Q?J=C3=BCrgen_Xaver?= <j@example.org>" },
		{ "\xe9\xa9\xbf\xe7\xab\x99 <yz@example.org>",
			"=?UTF-8?B?6am/56uZ?= <yz@example.org>" },
	};
	struct buf to = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct message_parts parts = short_parts();
		struct header_field field;
		struct str rest;

		parts.from = str_of(cases[i].mailbox);
		rest = composed(&to, &parts);
		assert_true(header_next(&rest, &field));
		assert_str(str_trim(field.value), str_of(cases[i].written));
	}
	buf_free(&to);
}

static void
test_a_hundred_recipients_fold(void **state)
{
	struct str many[100];
	struct message_parts parts = short_parts();
	struct buf to = { 0 };

	(void)state;
	for (size_t i = 0; i < 100; i++)
		many[i] = S("Somebody Else <somebody@example.org>");
	parts.to = many;
	parts.to_n = 100;
	assert_can_travel(composed(&to, &parts));
	buf_free(&to);
}

static void
test_text_that_cannot_go_as_it_is_is_quoted_printable(void **state)
{
	struct message_parts parts = short_parts();
	struct buf to = { 0 };
	char line[2000];
	struct str message, body;

	(void)state;
	parts.text = S("Gr\xc3\xbc\xc3\x9f"
		       "e = \r ok \n");
	message = composed(&to, &parts);
	assert_can_travel(message);
	assert_true(str_is_ascii(message));
	body = str_from(message, str_find_str(message, S("\r\n\r\n")) + 4);
	assert_true(str_eq(body, S("Gr=C3=BC=C3=9Fe =3D=20\r\n ok=20\r\n")));
	memset(line, 'x', sizeof line);
	parts.text = (struct str){ line, sizeof line };
	assert_can_travel(composed(&to, &parts));
	parts.text = (struct str){ line, 998 };
	message = composed(&to, &parts);
	assert_true(str_find_str(message, S("7bit")) < message.n);
	buf_free(&to);
}

static void
test_injections_are_errors(void **state)
{
	static const struct str bad[] = { { "a\r\nBcc: x", 9 }, { "a\nb", 3 }, { "a\rb", 3 },
		{ "a\0b", 3 }, { "\xff", 1 } };
	struct buf to = { .max = 10000 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		for (int field = 0; field < 4; field++) {
			struct message_parts parts = short_parts();

			*(struct str *[]){ &parts.from, &parts.subject, &parts.message_id,
				&(struct str){ 0 } }[field] = bad[i];
			if (field == 3)
				parts.to = &bad[i];
			assert_false(message_compose(&to, &parts, &e));
			assert_int_equal(e.class, ERR_PERMANENT);
			assert_int_equal(to.n, 0);
		}
	buf_free(&to);
}

static void
test_a_message_too_large_is_an_error(void **state)
{
	struct message_parts parts = short_parts();
	struct buf to = { .max = 100 };
	struct err e;

	(void)state;
	assert_false(message_compose(&to, &parts, &e));
	assert_int_equal(e.kind, ERR_TOO_BIG);
	buf_free(&to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_message_is_these_octets),
		cmocka_unit_test(test_any_subject_comes_back),
		cmocka_unit_test(test_names_are_quoted_or_encoded),
		cmocka_unit_test(test_a_hundred_recipients_fold),
		cmocka_unit_test(test_text_that_cannot_go_as_it_is_is_quoted_printable),
		cmocka_unit_test(test_injections_are_errors),
		cmocka_unit_test(test_a_message_too_large_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
