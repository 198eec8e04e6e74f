/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "smtp/reply.h"

static void
assert_written(struct reply r, struct str wanted)
{
	struct buf got = { .max = 8192 };

	reply_add(&got, r);
	if (!str_eq(buf_str(&got), wanted))
		fail_msg("wanted %.*s, got %.*s", STR_ARG(wanted), STR_ARG(buf_str(&got)));
	buf_free(&got);
}

static void
test_lines(void **state)
{
	(void)state;
	assert_written((struct reply){ 250, { 2, 1, 5 }, S("ok") }, S("250 2.1.5 ok\r\n"));
	assert_written((struct reply){ 334, { 0 }, S("") }, S("334 \r\n"));
	assert_written(
		(struct reply){ 250, { 0 }, S("a\nb\nc") }, S("250-a\r\n250-b\r\n250 c\r\n"));
	assert_written(
		(struct reply){ 250, { 2, 0, 0 }, S("a\n") }, S("250-2.0.0 a\r\n250 2.0.0 \r\n"));
	assert_written(
		(struct reply){ 551, { 5, 1, 6 }, S("x"), S("<"), S(">") }, S("551 5.1.6 <x>\r\n"));
	assert_written(
		(struct reply){ 250, { 0 }, S("a\nb"), S("<"), S(">") }, S("250-<a\r\n250 b>\r\n"));
}

/* What a peer or a disk has put into a text cannot begin a line of its own. */
static void
test_no_text_forges_a_line(void **state)
{
	(void)state;
	assert_written((struct reply){ 550, { 5, 0, 0 }, S("a\r\0b\x7f\tü") },
		S("550 5.0.0 a??b??\?\?\r\n"));
	assert_written(
		(struct reply){ 550, { 5, 0, 0 }, S("ü"), .utf8 = true }, S("550 5.0.0 ü\r\n"));
	assert_written(
		(struct reply){ 550, { 5, 0, 0 }, S("\xff"), .utf8 = true }, S("550 5.0.0 ?\r\n"));
}

static void
test_long_lines_are_cut(void **state)
{
	struct buf got = { .max = 8192 };
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof text);
	reply_add(&got, (struct reply){ 250, { 2, 0, 0 }, { text, sizeof text } });
	assert_int_equal(got.n, 512);
	assert_true(str_ends_nocase(buf_str(&got), S("xx\r\n")));
	buf_free(&got);
}

/* Every kind, in both classes, has a code of its class and words. */
static void
test_every_err_has_a_reply(void **state)
{
	(void)state;
	for (int kind = 0; kind < ERR_KINDS; kind++)
		for (int class = ERR_TEMPORARY; class <= ERR_PERMANENT; class ++) {
			struct err e = { .class = (enum err_class) class,
				.kind = (enum err_kind)kind };
			struct reply r = reply_from_err(&e);

			assert_int_equal(r.code / 100, class == ERR_TEMPORARY ? 4 : 5);
			assert_int_equal(r.enhanced.class, r.code / 100);
			assert_true(r.text.n > 0);
		}
}

static void
test_err_words(void **state)
{
	struct err e;
	struct reply r;

	(void)state;
	err_set(&e, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "nobody is called %s here", "eve");
	assert_written(reply_from_err(&e), S("550 5.1.1 nobody is called eve here\r\n"));
	err_set(&e, ERR_PERMANENT, ERR_MAILBOX_MOVED, "new@elsewhere.example");
	assert_written(reply_from_err(&e), S("551 5.1.6 please try <new@elsewhere.example>\r\n"));
	err_set(&e, ERR_TEMPORARY, ERR_NO_SPACE, "%s", "");
	assert_int_equal(reply_from_err(&e).code, 452);
	err_set(&e, ERR_PERMANENT, ERR_NULL_MX, "no mail to example.org"); /* RFC 7505 §4 */
	assert_written(reply_from_err(&e), S("556 5.1.10 no mail to example.org\r\n"));
	err_set(&e, ERR_PERMANENT, ERR_DOMAIN_UNKNOWN, "no such domain");
	assert_written(reply_from_err(&e), S("550 5.1.2 no such domain\r\n"));
	err_set(&e, ERR_TEMPORARY, ERR_DNS, "no answer");
	assert_written(reply_from_err(&e), S("451 4.4.3 no answer\r\n"));

	err_set(&e, ERR_PERMANENT, ERR_REMOTE, "said the other");
	e.code = 556;
	e.enhanced = (struct enhanced){ 5, 1, 10 };
	r = reply_from_err(&e);
	assert_int_equal(r.code, 556);
	assert_int_equal(r.enhanced.detail, 10);
	e.class = ERR_TEMPORARY; /* we decided otherwise than the peer: its code would lie */
	r = reply_from_err(&e);
	assert_int_equal(r.code, 451);
	assert_int_equal(r.enhanced.class, 4);
}

static int
read_all(struct str wire, struct reply_reader *r)
{
	reply_reader_reset(r);
	return reply_read(r, &wire);
}

static void
test_reads_replies(void **state)
{
	struct reply_reader r = { .text.max = 4096 };
	struct str in = S("250-mail.example\r\n250-SIZE 1\r\n250 HELP\r\n221 bye\r\n22");

	(void)state;
	assert_int_equal(reply_read(&r, &in), 1);
	assert_int_equal(r.code, 250);
	assert_int_equal(r.lines, 3);
	assert_true(str_eq(buf_str(&r.text), S("mail.example\nSIZE 1\nHELP")));
	reply_reader_reset(&r);
	assert_int_equal(reply_read(&r, &in), 1);
	assert_int_equal(r.code, 221);
	reply_reader_reset(&r);
	assert_int_equal(reply_read(&r, &in), 0);
	assert_true(str_eq(in, S("22")));

	assert_int_equal(read_all(S("550 5.1.1 no such user\r\n"), &r), 1);
	assert_int_equal(r.enhanced.class, 5);
	assert_int_equal(r.enhanced.subject, 1);
	assert_int_equal(r.enhanced.detail, 1);
	assert_true(str_eq(buf_str(&r.text), S("5.1.1 no such user")));
	assert_int_equal(read_all(S("550 2.1.1 of another class\r\n"), &r), 1);
	assert_int_equal(r.enhanced.class, 0);
	assert_int_equal(read_all(S("354\n"), &r), 1); /* sloppy, but clear */
	assert_int_equal(read_all(S("250 a\tb\0c\r\n"), &r), 1);
	assert_true(str_eq(buf_str(&r.text), S("a?b?c")));
	buf_free(&r.text);
}

static void
test_cut_at_every_octet(void **state)
{
	const struct str wire = S("250-2.0.0 one\r\n250-2.0.0 two\r\n250 2.0.0 three\r\n");
	struct reply_reader r = { .text.max = 4096 };

	(void)state;
	for (size_t cut = 0; cut < wire.n; cut++) {
		struct str in = str_part(wire, 0, cut), rest;

		reply_reader_reset(&r);
		assert_int_equal(reply_read(&r, &in), 0);
		rest = str_from(wire, cut - in.n);
		assert_int_equal(reply_read(&r, &rest), 1);
		assert_int_equal(r.lines, 3);
	}
	buf_free(&r.text);
}

static void
test_who_does_not_speak_smtp(void **state)
{
	static const char *const lies[] = { "HTTP/1.1 200 OK\r\n", "25\r\n", "2500 x\r\n",
		"250-a\r\n251 b\r\n", "199 x\r\n", "600 x\r\n", "\r\n", "250_x\r\n", " 250 x\r\n" };
	struct reply_reader r = { .text.max = 4096 };
	struct buf wire = { .max = 1 << 16 };

	(void)state;
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
		if (read_all(str_of(lies[i]), &r) != -1)
			fail_msg("%s is no reply", lies[i]);
	for (int i = 0; i < SMTP_REPLY_LINES_MAX; i++)
		buf_add(&wire, S("250-x\r\n"));
	assert_int_equal(read_all(buf_str(&wire), &r), 0);
	buf_add(&wire, S("250 x\r\n"));
	assert_int_equal(read_all(buf_str(&wire), &r), -1);
	buf_reset(&wire);
	buf_add(&wire, S("250 "));
	while (wire.n < SMTP_REPLY_LINE_MAX - 1)
		buf_add_char(&wire, 'x');
	assert_int_equal(read_all(buf_str(&wire), &r), 0);
	buf_add_char(&wire, 'x');
	assert_int_equal(read_all(buf_str(&wire), &r), -1);
	buf_free(&wire);
	buf_free(&r.text);
}

/* A peer may say more than we care to remember. */
static void
test_text_beyond_the_cap_is_dropped(void **state)
{
	struct reply_reader r = { .text.max = 8 };

	(void)state;
	assert_int_equal(read_all(S("250-123456\r\n250 123456\r\n"), &r), 1);
	assert_true(r.text.n <= 8);
	assert_int_equal(r.code, 250);
	buf_free(&r.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_no_text_forges_a_line),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_every_err_has_a_reply),
		cmocka_unit_test(test_err_words),
		cmocka_unit_test(test_reads_replies),
		cmocka_unit_test(test_cut_at_every_octet),
		cmocka_unit_test(test_who_does_not_speak_smtp),
		cmocka_unit_test(test_text_beyond_the_cap_is_dropped),
	};

	return cmocka_run_group_tests_name("smtp/reply", tests, NULL, NULL);
}
