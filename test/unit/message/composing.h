/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_UNIT_MESSAGE_COMPOSING_H
#define TEST_UNIT_MESSAGE_COMPOSING_H

#include "message/compose.h"
#include "message/message.h"
#include "unit.h"

/* A short mail to change. */
static inline struct compose
short_mail(void)
{
	static const struct str bob[] = { S("Bob <bob@example.org>") };

	return (struct compose){
		.from = S("ann@example.net"),
		.to = bob,
		.to_n = 1,
		.subject = S("Hello"),
		.has_text = true,
		.text = S("Hi\n.\nBob"),
		.message_id = S("17@example.net"),
		.boundary = S("nobodyknows"),
	};
}

/* The whole message; octet i of a part is (char)i of its contents, or of a pattern where contents is NULL. What was said of its size
 * holds. */
static inline struct str
read_all(struct buf *to, const struct compose_plan *plan, const struct str *contents)
{
	static struct compose_reader r;
	static char pattern[COMPOSE_FEED_MAX];
	size_t fed[COMPOSE_PARTS_MAX] = { 0 };
	struct str piece;

	to->max = 4 << 20;
	buf_reset(to);
	compose_begin(&r, plan);
	for (enum compose_step step; (step = compose_next(&r, &piece)) != COMPOSE_OVER;) {
		if (step == COMPOSE_PIECE) {
			assert_in_range(piece.n, 1, COMPOSE_PIECE_MAX);
			buf_add(to, piece);
			continue;
		}
		assert_in_range(r.wanted, 1, COMPOSE_FEED_MAX);
		piece = contents ? str_part(contents[r.part], fed[r.part], r.wanted)
				 : (struct str){ pattern, r.wanted };
		fed[r.part] += piece.n;
		compose_feed(&r, piece);
	}
	assert_false(to->overflow);
	assert_int_equal(to->n, plan->size);
	return buf_str(to);
}

static inline struct str
composed(struct buf *to, const struct compose *c, const struct str *contents)
{
	struct compose_plan plan = { 0 };
	struct err e;

	if (!compose_plan(&plan, c, &e))
		fail_msg("%s", e.text);
	read_all(to, &plan, contents);
	compose_free(&plan);
	return buf_str(to);
}

/* Refused for good, with these words; nothing is left of it. */
static inline void
assert_refused(const struct compose *c, const char *words)
{
	struct compose_plan plan = { 0 };
	struct err e = { 0 };

	assert_false(compose_plan(&plan, c, &e));
	assert_int_equal(e.class, ERR_PERMANENT);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" does not say \"%s\"", e.text, words);
	assert_null(plan.octets.p);
	assert_null(plan.holes);
	compose_free(&plan);
}

/* Nothing that leaves here has a bare CR or LF, NUL, a line over 998 or, in the header, over 78. */
static inline void
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

#endif
