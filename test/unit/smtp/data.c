/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/buf.h"
#include "smtp/data.h"

/* What came of an input: the message, what stood behind its end, and what was noted. */
struct result {
	struct buf message;
	size_t taken; /* octets of input up to the end; 0: no end */
	bool has_bare_line_end, has_nul, has_8bit, has_long_line;
};

/*
 * The law, said slowly: with the CRLF that ended the DATA command in front, the message lies
 * between that CRLF and the first CRLF.CRLF; a dot behind CRLF goes; a CR or LF without its partner
 * is bare.
 */
static void
reference(struct str wire, bool dots, bool repair, struct result *r)
{
	struct buf full = { .max = 4096 };
	size_t end, from = 2;

	buf_add(&full, S("\r\n"));
	buf_add(&full, wire);
	end = full.n;
	if (dots) {
		end = str_find_str(buf_str(&full), S("\r\n.\r\n"));
		assert_true(end < full.n);
		r->taken = end + 3;
		end += 2;
	}
	for (size_t i = from; i < end; i++) {
		const char *c = full.p + i;
		bool is_paired = (*c == '\r' && i + 1 < end && c[1] == '\n') ||
				 (*c == '\n' && i > from && c[-1] == '\r');

		if (dots && *c == '.' && c[-2] == '\r' && c[-1] == '\n')
			continue;
		if ((*c == '\r' || *c == '\n') && !is_paired) {
			r->has_bare_line_end = true;
			buf_add(&r->message, repair ? S("\r\n") : (struct str){ c, 1 });
			continue;
		}
		buf_add_char(&r->message, *c);
	}
	buf_free(&full);
}

/* Feeds the pieces of wire that lie between the cuts (a bit each). */
static void
run_cut(struct str wire, uint64_t cuts, bool dots, bool repair, struct result *r)
{
	struct data d;
	struct str piece, in;
	enum data_event event = DATA_MORE;
	size_t begin = 0;

	data_begin(&d, dots, repair);
	for (size_t at = 1; at <= wire.n && event != DATA_END; at++) {
		if (at < wire.n && !(cuts >> (at < 64 ? at : 63) & 1))
			continue;
		in = str_part(wire, begin, at - begin);
		begin = at;
		while ((event = data_next(&d, &in, &piece)) == DATA_PIECE) {
			assert_true(piece.n > 0);
			buf_add(&r->message, piece);
		}
		if (event == DATA_END)
			r->taken = at - in.n;
		else
			assert_int_equal(in.n, 0);
	}
	if (!dots && data_finish(&d, &piece))
		buf_add(&r->message, piece);
	r->has_bare_line_end = d.has_bare_line_end;
	r->has_nul = d.has_nul;
	r->has_8bit = d.has_8bit;
	r->has_long_line = d.has_long_line;
}

static void
assert_lawful(struct str wire, uint64_t cuts, bool dots, bool repair)
{
	struct result want = { .message.max = 4096 }, got = { .message.max = 4096 };

	reference(wire, dots, repair, &want);
	run_cut(wire, cuts, dots, repair, &got);
	if ((repair || !want.has_bare_line_end) && /* else it is refused, whatever came out */
		!str_eq(buf_str(&want.message), buf_str(&got.message)))
		fail_msg("cuts %llx dots %d repair %d: another message", (unsigned long long)cuts,
			dots, repair);
	assert_int_equal(got.taken, want.taken);
	assert_int_equal(got.has_bare_line_end, want.has_bare_line_end);
	buf_free(&want.message);
	buf_free(&got.message);
}

/* Every mix of CR, LF, dot and text up to eight octets, cut at each place and at every place. */
static void
test_every_mix_at_every_cut(void **state)
{
	static const char octets[] = { '\r', '\n', '.', 'x' };
	char text[16];

	(void)state;
	for (size_t n = 0; n <= 8; n++)
		for (size_t mix = 0; mix < (size_t)1 << (2 * n); mix++) {
			struct str ended, chunk;

			for (size_t i = 0; i < n; i++)
				text[i] = octets[mix >> (2 * i) & 3];
			memcpy(text + n, "\r\n.\r\nx", 6);
			ended = (struct str){ text, n + 6 };
			chunk = (struct str){ text, n };
			for (int repair = 0; repair < 2; repair++) {
				for (size_t cut = 0; cut < ended.n; cut++)
					assert_lawful(ended, (uint64_t)1 << cut, true, repair);
				assert_lawful(ended, UINT64_MAX, true, repair);
				for (size_t cut = 0; cut < n; cut++)
					assert_lawful(chunk, (uint64_t)1 << cut, false, repair);
				assert_lawful(chunk, UINT64_MAX, false, repair);
			}
		}
}

static struct result
run_whole(struct str wire, bool dots)
{
	struct result r = { .message.max = 1 << 20 };

	run_cut(wire, 0, dots, false, &r);
	buf_free(&r.message);
	return r;
}

/* The scan looks at eight octets at a time: what must be seen is seen in each of their places. */
static void
test_notes_at_every_offset(void **state)
{
	char text[64];

	(void)state;
	for (size_t before = 0; before < 24; before++) {
		struct str wire = { text, before + 13 };

		memset(text, 'x', sizeof text);
		memcpy(text + before + 8, "\r\n.\r\n", 5);
		assert_false(run_whole(wire, true).has_8bit || run_whole(wire, true).has_nul);
		text[before] = '\0';
		assert_true(run_whole(wire, true).has_nul);
		text[before] = (char)0x80;
		assert_true(run_whole(wire, true).has_8bit);
		text[before] = '\t';
		assert_false(run_whole(wire, true).has_8bit || run_whole(wire, true).has_nul);
		text[before] = '\n';
		assert_true(run_whole(wire, true).has_bare_line_end);
		text[before] = '\r';
		assert_true(run_whole(wire, true).has_bare_line_end);
		text[before] = '.';
		assert_false(run_whole(wire, true).has_bare_line_end);
	}
}

/* What is pipelined behind the end is not the message's. */
static void
test_notes_nothing_behind_the_end(void **state)
{
	struct result r = run_whole(S("ab\r\n.\r\n\0\xff\n\r--------------------"), true);

	(void)state;
	assert_int_equal(r.taken, 7);
	assert_false(r.has_nul || r.has_8bit || r.has_bare_line_end || r.has_long_line);
}

static void
test_line_length(void **state)
{
	char text[2100];

	(void)state;
	for (size_t n = 990; n < 1010; n++) {
		memset(text, 'x', sizeof text);
		memcpy(text + n, "\r\nxx\r\n.\r\n", 9);
		assert_int_equal(
			run_whole((struct str){ text, n + 9 }, true).has_long_line, n > 998);
		assert_int_equal(
			run_whole((struct str){ text, n + 9 }, false).has_long_line, n > 998);
		text[0] = '.'; /* stuffed: this octet does not count, RFC 5321 §4.5.3.1.6 */
		assert_int_equal(
			run_whole((struct str){ text, n + 9 }, true).has_long_line, n > 999);
	}
}

static void
test_long_line_in_many_pieces(void **state)
{
	struct data d;
	struct str in, piece;

	(void)state;
	data_begin(&d, true, false);
	for (int i = 0; i < 998; i++) {
		in = S("x");
		assert_int_equal(data_next(&d, &in, &piece), DATA_PIECE);
	}
	assert_false(d.has_long_line);
	in = S("x");
	data_next(&d, &in, &piece);
	assert_true(d.has_long_line);
}

/* A clean message comes out in one slice of the input, whatever its size. */
static void
test_one_piece_in_place(void **state)
{
	struct buf wire = { .max = 1 << 20 };
	struct data d;
	struct str in, piece;

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_add(&wire, S("A line of a message, with a dot. And more.\r\n"));
	buf_add(&wire, S(".\r\nQUIT\r\n"));
	in = buf_str(&wire);
	data_begin(&d, true, false);
	assert_int_equal(data_next(&d, &in, &piece), DATA_PIECE);
	assert_ptr_equal(piece.p, wire.p);
	assert_int_equal(piece.n, 44 * 1000);
	assert_int_equal(data_next(&d, &in, &piece), DATA_END);
	assert_true(str_eq(in, S("QUIT\r\n")));
	buf_free(&wire);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_mix_at_every_cut),
		cmocka_unit_test(test_notes_at_every_offset),
		cmocka_unit_test(test_notes_nothing_behind_the_end),
		cmocka_unit_test(test_line_length),
		cmocka_unit_test(test_long_line_in_many_pieces),
		cmocka_unit_test(test_one_piece_in_place),
	};

	return cmocka_run_group_tests_name("smtp/data", tests, NULL, NULL);
}
