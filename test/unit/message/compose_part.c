/* SPDX-License-Identifier: Apache-2.0 */
#include "composing.h"

/* Attachments, pictures, the tree, and how it is read (compose_part.c, compose.c, compose_read.c, param.c). */

/* The header of the first part with a Content-Disposition. */
static struct str
attachment_of(struct str message)
{
	size_t end = str_find_str(message, S("Content-Disposition:")), begin = end;

	assert_true(end < message.n);
	while (begin > 4 && memcmp(message.p + begin - 4, "\r\n\r\n", 4) != 0 &&
		memcmp(message.p + begin - 2, "--", 2) != 0)
		begin--;
	begin += str_find_str(str_from(message, begin), S("Content-Type:"));
	message = str_from(message, begin);
	return str_part(message, 0, str_find_str(message, S("\r\n\r\n")));
}

static void
test_the_whole_tree_is_these_octets(void **state)
{
	static const struct str contents[] = { S("\x89PNG"), S("Subject: x\r\n\r\nHi\r\n"), S("") };
	const struct compose_part parts[] = {
		{ .is_inline = true, .id = S("logo"), .name = S("logo.png"), .size = 4 },
		{ .name = S("/home/ann/a.eml"), .size = contents[1].n, .is_plain = true },
		{ .type = S("text/csv; charset=utf-8") },
	};
	struct compose c = short_mail();
	struct buf to = { 0 };
	struct str message;

	(void)state;
	c.has_html = true;
	c.html = S("<img src=\"cid:logo\">");
	c.parts = parts;
	c.parts_n = 3;
	message = composed(&to, &c, contents);
	assert_str(str_from(message, str_find_str(message, S("MIME"))),
		S("MIME-Version: 1.0\r\n"
		  "Content-Type: multipart/mixed;\r\n"
		  " boundary=\"=_nobodyknows_1\"\r\n"
		  "\r\n"
		  "--=_nobodyknows_1\r\n"
		  "Content-Type: multipart/alternative;\r\n"
		  " boundary=\"=_nobodyknows_2\"\r\n"
		  "\r\n"
		  "--=_nobodyknows_2\r\n"
		  "Content-Type: text/plain; charset=us-ascii\r\n"
		  "Content-Transfer-Encoding: 7bit\r\n"
		  "\r\n"
		  "Hi\r\n"
		  ".\r\n"
		  "Bob\r\n"
		  "\r\n"
		  "--=_nobodyknows_2\r\n"
		  "Content-Type: multipart/related;\r\n"
		  " type=\"text/html\";\r\n"
		  " boundary=\"=_nobodyknows_3\"\r\n"
		  "\r\n"
		  "--=_nobodyknows_3\r\n"
		  "Content-Type: text/html; charset=us-ascii\r\n"
		  "Content-Transfer-Encoding: 7bit\r\n"
		  "\r\n"
		  "<img src=\"cid:logo\">\r\n"
		  "\r\n"
		  "--=_nobodyknows_3\r\n"
		  "Content-Type: image/png;\r\n"
		  " name=\"logo.png\"\r\n"
		  "Content-Transfer-Encoding: base64\r\n"
		  "Content-ID: <logo>\r\n"
		  "Content-Disposition: inline;\r\n"
		  " filename=\"logo.png\"\r\n"
		  "\r\n"
		  "iVBORw==\r\n"
		  "\r\n"
		  "--=_nobodyknows_3--\r\n"
		  "\r\n"
		  "--=_nobodyknows_2--\r\n"
		  "\r\n"
		  "--=_nobodyknows_1\r\n"
		  "Content-Type: message/rfc822;\r\n"
		  " name=\"a.eml\"\r\n"
		  "Content-Transfer-Encoding: 7bit\r\n"
		  "Content-Disposition: attachment;\r\n"
		  " filename=\"a.eml\"\r\n"
		  "\r\n"
		  "Subject: x\r\n"
		  "\r\n"
		  "Hi\r\n"
		  "\r\n"
		  "--=_nobodyknows_1\r\n"
		  "Content-Type: text/csv;\r\n"
		  " charset=utf-8\r\n"
		  "Content-Transfer-Encoding: base64\r\n"
		  "Content-Disposition: attachment\r\n"
		  "\r\n"
		  "\r\n"
		  "--=_nobodyknows_1--\r\n"));
	buf_free(&to);
}

/* What there is decides which multiparts there are. */
static void
test_the_tree_is_as_deep_as_needed(void **state)
{
	static const struct {
		bool has_text, has_html;
		size_t pictures, files;
		const char *types;
	} cases[] = {
		{ false, false, 0, 0, "text/plain" },
		{ true, false, 0, 0, "text/plain" },
		{ false, true, 0, 0, "text/html" },
		{ true, true, 0, 0, "multipart/alternative text/plain text/html" },
		{ false, true, 1, 0, "multipart/related text/html image/gif" },
		{ true, true, 1, 0,
			"multipart/alternative text/plain multipart/related text/html image/gif" },
		{ false, false, 0, 1, "multipart/mixed image/gif" },
		{ true, false, 1, 0, "multipart/mixed text/plain image/gif" },
		{ false, true, 1, 1,
			"multipart/mixed multipart/related text/html image/gif image/gif" },
	};
	const struct compose_part parts[] = {
		{ .is_inline = true, .id = S("x"), .name = S("x.gif") }, { .name = S("y.GIF") }
	};
	struct buf to = { 0 }, types = { .max = 1000 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct compose c = short_mail();
		struct str rest, line;

		c.has_text = cases[i].has_text;
		c.has_html = cases[i].has_html;
		c.html = S("<p>");
		c.parts = parts + !cases[i].pictures;
		c.parts_n = cases[i].pictures + cases[i].files;
		rest = composed(&to, &c, NULL);
		for (buf_reset(&types); scan_until(&rest, '\n', &line);)
			if (scan_word_nocase(&line, S("Content-Type: "))) {
				buf_add(&types, types.n ? S(" ") : S(""));
				buf_add(&types, str_part(line, 0, strcspn(line.p, ";\r")));
			}
		assert_str(buf_str(&types), str_of(cases[i].types));
	}
	buf_free(&to);
	buf_free(&types);
}

/* ── Sizes ───────────────────────────────────────────────────────────────────────────────────── */

static void
test_sizes_are_exact(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 56, 57, 58, 113, 114, 115, COMPOSE_FEED_MAX - 1,
		COMPOSE_FEED_MAX, COMPOSE_FEED_MAX + 1, 2 * COMPOSE_FEED_MAX, 1000000 };
	struct buf to = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		for (int plain = 0; plain < 2; plain++) {
			struct compose_part part = {
				.name = S("a.bin"), .size = sizes[i], .is_plain = plain
			};
			struct compose c = short_mail();

			c.parts = &part;
			c.parts_n = 1;
			composed(&to, &c, NULL);
			if (!plain)
				assert_can_travel(buf_str(&to));
		}
	buf_free(&to);
}

static void
test_a_thousand_parts_and_no_more(void **state)
{
	static struct compose_part parts[COMPOSE_PARTS_MAX + 1];
	struct compose c = short_mail();
	struct buf to = { 0 };

	(void)state;
	for (size_t i = 0; i < COMPOSE_PARTS_MAX; i++)
		parts[i] = (struct compose_part){ .name = S("x.txt"), .size = i };
	c.parts = parts;
	c.parts_n = COMPOSE_PARTS_MAX;
	composed(&to, &c, NULL);
	c.parts_n++;
	assert_refused(&c, "at most 1000 attachments");
	buf_free(&to);
}

static void
test_five_gigabytes_are_planned_without_them(void **state)
{
	struct compose_part part = { .name = S("film.mkv"), .size = (uint64_t)5 << 30 };
	struct compose_plan plan = { 0 };
	struct compose c = short_mail();
	struct err e;

	(void)state;
	c.parts = &part;
	c.parts_n = 1;
	assert_true(compose_plan(&plan, &c, &e));
	assert_int_equal(plan.size - plan.octets.n, 7158278828 + 2 * (uint64_t)94187880);
	compose_free(&plan);
	part.size = UINT64_MAX;
	assert_refused(&c, "larger than a message can be");
}

/* ── Names ───────────────────────────────────────────────────────────────────────────────────── */

static void
test_names_of_files(void **state)
{
	static const struct {
		const char *name, *type_line, *disposition_line;
	} cases[] = {
		{ "a b.zip", ";\r\n name=\"a b.zip\"", ";\r\n filename=\"a b.zip\"" },
		{ "../../etc/passwd", ";\r\n name=\"passwd\"", ";\r\n filename=\"passwd\"" },
		{ "C:\\Users\\x.zip", ";\r\n name=\"x.zip\"", ";\r\n filename=\"x.zip\"" },
		{ "a\"b;c\x1b\x7f.zip", ";\r\n name=\"a\\\"b;c__.zip\"",
			";\r\n filename=\"a\\\"b;c__.zip\"" },
		{ "dir/", ";\r\n name=\"dir\"", ";\r\n filename=\"dir\"" },
		{ " /", ";\r\n name=\"attachment\"", ";\r\n filename=\"attachment\"" },
		{ "\xe5\x8d\x95.zip", ";\r\n name=\"=?UTF-8?B?5Y2VLnppcA==?=\"",
			";\r\n filename*=UTF-8''%E5%8D%95.zip" },
		{ "=?UTF-8?Q?x?=.zip", ";\r\n name=\"=?UTF-8?B?PT9VVEYtOD9RP3g/PS56aXA=?=\"",
			";\r\n filename*=UTF-8''%3D%3FUTF-8%3FQ%3Fx%3F%3D.zip" },
		{ "a/ x.zip ", ";\r\n name=\"x.zip\"", ";\r\n filename=\"x.zip\"" },
		{ "\xe6\x8a\xa5\xe5\x91\x8a\xe6\x8a\xa5\xe5\x91\x8a\xe6\x8a\xa5\xe5\x91\x8a"
		  "\xe6\x8a\xa5\xe5\x91\x8a\xe6\x8a\xa5\xe5\x91\x8a.zip",
			";\r\n "
			"name=\"=?UTF-8?B?5oql5ZGK5oql5ZGK5oql5ZGK5oql5ZGK5oql5ZGKLnppcA==?=\"",
			";\r\n filename*0*=UTF-8''%E6%8A%A5%E5%91%8A%E6%8A%A5%E5%91%8A%E6%8A%A5"
			";\r\n filename*1*=%E5%91%8A%E6%8A%A5%E5%91%8A%E6%8A%A5%E5%91%8A.zip" },
	};
	struct buf to = { 0 }, want = { .max = 10000 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct compose_part part = { .name = str_of(cases[i].name), .type = S("a/b") };
		struct compose c = short_mail();

		c.parts = &part;
		c.parts_n = 1;
		buf_reset(&want);
		buf_addf(&want,
			"Content-Type: a/b%s\r\nContent-Transfer-Encoding: base64\r\n"
			"Content-Disposition: attachment%s",
			cases[i].type_line, cases[i].disposition_line);
		assert_str(attachment_of(composed(&to, &c, NULL)), buf_str(&want));
		assert_can_travel(buf_str(&to));
	}
	buf_free(&to);
	buf_free(&want);
}

static void
test_names_that_cannot_be(void **state)
{
	static char longest[1001];
	const struct {
		struct compose_part part;
		const char *words;
	} cases[] = {
		{ { .name = S("a\r\nb") }, "an attachment's name holds" },
		{ { .name = S("a\nb") }, "an attachment's name holds" },
		{ { .name = S("a\0b") }, "an attachment's name holds" },
		{ { .name = S("\xff") }, "an attachment's name holds" },
		{ { .name = { longest, sizeof longest } }, "longer than 1000" },
		{ { .is_inline = true }, "is no Content-ID" },
		{ { .id = S("a b") }, "is no Content-ID" },
		{ { .id = S("a>\r\nX: y") }, "is no Content-ID" },
		{ { .id = S("<a>") }, "is no Content-ID" },
	};

	(void)state;
	memset(longest, 'x', sizeof longest);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct compose c = short_mail();

		c.parts = &cases[i].part;
		c.parts_n = 1;
		assert_refused(&c, cases[i].words);
	}
}

/* ── Types ───────────────────────────────────────────────────────────────────────────────────── */

static void
test_types_keep_their_grammar(void **state)
{
	static const struct {
		const char *type, *written; /* NULL: refused */
	} cases[] = {
		{ "", "application/pdf;\r\n name=\"x.pdf\"" },
		{ "text/plain", "text/plain;\r\n name=\"x.pdf\"" },
		{ " Text/X-y ; Charset=utf-8;x=\"a\\\"; b\" ",
			"Text/X-y;\r\n Charset=utf-8;\r\n x=\"a\\\"; b\";\r\n name=\"x.pdf\"" },
		{ "a/b; NAME=evil.exe; name*0*=UTF-8''evil", "a/b;\r\n name=\"x.pdf\"" },
		{ "message/rfc822", "application/octet-stream;\r\n name=\"x.pdf\"" },
		{ "Multipart/Mixed; boundary=b", "application/octet-stream;\r\n name=\"x.pdf\"" },
		{ "text", NULL },
		{ "text/", NULL },
		{ "/plain", NULL },
		{ "text /plain", NULL },
		{ "text/plain;", NULL },
		{ "text/plain; x", NULL },
		{ "text/plain; x=", NULL },
		{ "text/plain; x=a b", NULL },
		{ "text/plain; x=\"a", NULL },
		{ "text/plain; x=\"a\\", NULL },
		{ "text/plain; x=\"\xc3\xbc\"", NULL },
		{ "text/plain (x)", NULL },
		{ "text/plain\r\nBcc: x", NULL },
		{ "text/plain; x=\"\r\n\"", NULL },
		{ "text/pl\xc3\xbcin", NULL },
	};
	struct buf to = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct compose_part part = { .name = S("x.pdf"), .type = str_of(cases[i].type) };
		struct compose c = short_mail();
		struct str header;

		c.parts = &part;
		c.parts_n = 1;
		if (!cases[i].written) {
			assert_refused(&c, "is no Content-Type");
			continue;
		}
		header = attachment_of(composed(&to, &c, NULL));
		scan_word_nocase(&header, S("Content-Type: "));
		assert_str(str_part(header, 0, str_find_str(header, S("\r\nContent-"))),
			str_of(cases[i].written));
	}
	buf_free(&to);
}

static void
test_types_are_guessed_by_ending(void **state)
{
	(void)state;
	assert_str(compose_guess_type(S("Photo.JPEG")), S("image/jpeg"));
	assert_str(compose_guess_type(S("a.tar.gz")), S("application/gzip"));
	assert_str(compose_guess_type(S("\xe5\x8d\x95.docx")),
		S("application/vnd.openxmlformats-officedocument.wordprocessingml.document"));
	assert_str(compose_guess_type(S("png")), S("application/octet-stream"));
	assert_str(compose_guess_type(S("")), S("application/octet-stream"));
}

/* ── Memory ──────────────────────────────────────────────────────────────────────────────────── */

struct scarce {
	unsigned grants, held;
};

static void *
scarce_resize(void *context, void *p, size_t n)
{
	struct scarce *s = context;

	if (n && s->grants == 0)
		return NULL;
	s->grants -= n > 0;
	s->held += p == NULL && n;
	s->held -= p && n == 0;
	if (n)
		return realloc(p, n);
	free(p);
	return NULL;
}

/* Wherever memory is refused, it is an error, and all of it goes back. */
static void
test_refused_memory_is_an_error(void **state)
{
	const struct compose_part part = { .name = S("\xe5\x8d\x95.zip") };
	const struct compose_field fields[] = { { S("X-A"), S("\xc3\xbc") },
		{ S("Sender"), S("\"\xc3\xbc\" (\xc3\xbc) <a@b>") } };
	struct compose c = short_mail();
	bool ok = false;

	(void)state;
	c.from = S("\"\xc3\xbc \\\" x\" <a@b>");
	c.fields = fields;
	c.fields_n = 2;
	c.parts = &part;
	c.parts_n = 1;
	for (unsigned grants = 0; !ok; grants++) {
		struct scarce s = { .grants = grants };
		struct memory memory = { scarce_resize, &s };
		struct compose_plan plan = { .memory = &memory };
		struct err e = { 0 };

		ok = compose_plan(&plan, &c, &e);
		assert_int_equal(ok, !err_is(&e));
		assert_true(ok || grants < 100);
		compose_free(&plan);
		assert_int_equal(s.held, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_whole_tree_is_these_octets),
		cmocka_unit_test(test_the_tree_is_as_deep_as_needed),
		cmocka_unit_test(test_sizes_are_exact),
		cmocka_unit_test(test_a_thousand_parts_and_no_more),
		cmocka_unit_test(test_five_gigabytes_are_planned_without_them),
		cmocka_unit_test(test_names_of_files),
		cmocka_unit_test(test_names_that_cannot_be),
		cmocka_unit_test(test_types_keep_their_grammar),
		cmocka_unit_test(test_types_are_guessed_by_ending),
		cmocka_unit_test(test_refused_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
