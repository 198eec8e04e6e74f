/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"
#include "unit.h"

/* Fields that another host can take; the message behind them is always the same. */
static const struct {
	struct str before;
	const char *after; /* NULL: it cannot be done */
} rows[] = {
	{ S("Subject: plain,   as it\r\n\tcame\r\n"), "Subject: plain,   as it\r\n\tcame\r\n" },
	{ S("Subject: Grüße\r\n"), "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n" },
	{ S("Subject: Gr\r\n üße\r\n"), "Subject: =?UTF-8?B?R3Igw7zDn2U=?=\r\n" },
	{ S("From: René <rene@example.org>\r\n"),
		"From: =?UTF-8?B?UmVuw6k=?= <rene@example.org>\r\n" },
	{ S("From: \"René \\\"R\\\" X\" (é) <rene@example.org>\r\n"),
		"From: =?UTF-8?B?UmVuw6kgIlIiIFg=?= ( =?UTF-8?B?w6k=?=) <rene@example.org>\r\n" },
	{ S("To: a@b, \"x, y\" <c@d>,\r\n é <e@f>\r\n"),
		"To: a@b, \"x, y\" <c@d>, =?UTF-8?B?w6k=?= <e@f>\r\n" },
	{ S("Cc: é: a@b, c@d;, \"<\" <\"e>\"@f>\r\n"),
		"Cc: =?UTF-8?B?w6k=?=: a@b, c@d;, \"<\" <\"e>\"@f>\r\n" },
	{ S("To: a@b (é)\r\n"), "To: a@b ( =?UTF-8?B?w6k=?=)\r\n" },
	{ S("From: é@example.org\r\n"), NULL },
	{ S("From: <é@example.org>\r\n"), NULL },
	{ S("From: x <a@é.example>\r\n"), NULL },
	{ S("From: a@b, é\r\n"), NULL },
	{ S("Subject: \xe9\r\n"), NULL },
	{ S("Content-Disposition: attachment; (é) filename=\"é 1.pdf\"; size=7\r\n"),
		"Content-Disposition: attachment;\r\n filename*=UTF-8''%C3%A9%201.pdf; "
		"size=7\r\n" },
	{ S("Content-Type: text/plain; charset=utf-8; name=\"驿站驿站驿站驿站.txt\"\r\n"),
		"Content-Type: text/plain; charset=utf-8;\r\n"
		" name*0*=UTF-8''%E9%A9%BF%E7%AB%99%E9%A9%BF%E7%AB%99%E9%A9%BF;\r\n"
		" name*1*=%E7%AB%99%E9%A9%BF%E7%AB%99.txt\r\n" },
	{ S("Content-Type: text/é\r\n"), NULL },
	{ S("Content-Type: text/plain; né=x\r\n"), NULL },
	{ S("Content-Type: message/global\r\n"), NULL },
	{ S("Message-ID: <1@x> (é)\r\n"), "Message-ID: <1@x>\r\n" },
	{ S("Message-ID: <é@x>\r\n"), NULL },
	{ S("Received: from x (é) by y; Mon, 23 Nov 2026 05:19:00 +0000\r\n"),
		"Received: from x by y; Mon, 23 Nov 2026 05:19:00 +0000\r\n" },
	{ S("Received: from x for <é@y>\r\n"), NULL },
	{ S("X-Unknown: (é) <é>\r\n"), "X-Unknown: =?UTF-8?B?KMOpKSA8w6k+?=\r\n" },
};

static void
test_each_kind_of_field(void **state)
{
	const struct str rest = S("X-Last: 1\r\n\r\nSubject: Grüße\r\n\xe9\r\n");
	struct buf message = { .max = 4096 }, to = { .max = 4096 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		buf_reset(&message);
		buf_reset(&to);
		buf_add(&message, rows[i].before);
		buf_add(&message, rest);
		if (message_to_ascii(&to, buf_str(&message), &e) != (rows[i].after != NULL))
			fail_msg("row %zu: %.*s", i, STR_ARG(buf_str(&to)));
		if (!rows[i].after) {
			assert_int_equal(e.class, ERR_PERMANENT);
			assert_int_equal(e.kind, ERR_NEEDS_SMTPUTF8);
			continue;
		}
		assert_str(str_part(buf_str(&to), 0, to.n - rest.n), str_of(rows[i].after));
		assert_str(str_from(buf_str(&to), to.n - rest.n), rest);
	}
	buf_free(&message);
	buf_free(&to);
}

static void
test_long_texts_are_folded(void **state)
{
	struct buf message = { .max = 1 << 16 }, to = { .max = 1 << 16 };
	struct str rest, line;
	struct err e;

	(void)state;
	buf_add(&message, S("Subject:"));
	for (int i = 0; i < 100; i++)
		buf_add(&message, S(" Grüße aus 驿站"));
	buf_add(&message, S("\r\nTo:"));
	for (int i = 0; i < 100; i++)
		buf_add(&message, i ? S(", René <rene@example.org>") : S(" a@b"));
	buf_add(&message, S("\r\n\r\n"));
	assert_true(message_to_ascii(&to, buf_str(&message), &e));
	for (rest = buf_str(&to); scan_until(&rest, '\n', &line);)
		assert_in_range(line.n, 1, 77); /* with the CR */
	buf_free(&message);
	buf_free(&to);
}

static void
test_a_cap_is_an_error(void **state)
{
	struct buf to = { .max = 20 };
	struct err e;

	(void)state;
	assert_false(message_to_ascii(&to, S("Subject: Grüße und Grüße\r\n\r\n"), &e));
	assert_int_equal(e.kind, ERR_TOO_BIG);
	buf_free(&to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_kind_of_field),
		cmocka_unit_test(test_long_texts_are_folded),
		cmocka_unit_test(test_a_cap_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
