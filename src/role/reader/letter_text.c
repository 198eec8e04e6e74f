/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

/*
 * The text of a part: transfer encoding undone, then its charset, then line ends. No more is decoded than what is asked for can need: four octets a
 * character at most, and as many again where line ends shrink.
 */

enum { TEXT_MAX = 12 * 1024 * 1024, SLACK = 1024 };

static void
unify_line_ends(struct buf *to, size_t begin)
{
	size_t n = begin;

	if (!memchr(to->p + begin, '\r', to->n - begin))
		return;
	for (size_t i = begin; i < to->n; i++) {
		if (to->p[i] == '\r' && i + 1 < to->n && to->p[i + 1] == '\n')
			continue;
		to->p[n++] = to->p[i] == '\r' ? '\n' : to->p[i];
	}
	to->n = n;
}

/* Not longer than `max`, and no character in two. */
static void
cut(struct buf *to, size_t begin, size_t max)
{
	size_t n = begin + max;

	if (to->n <= n)
		return;
	while (n > begin && ((unsigned char)to->p[n] & 0xc0) == 0x80)
		n--;
	to->n = n;
}

void
letter_text(struct letter *l, const struct letter_part *p, size_t max, struct buf *to,
	struct letter_text_facts *facts)
{
	const struct letter_piece *piece = letter_piece(p);
	struct buf octets = { .max = TEXT_MAX * 4 + SLACK };
	struct str label = piece->is_charset_declared ? p->charset : S("");
	struct str decoded = piece->body;
	size_t begin = to->n, limit = l->is_source ? LETTER_SOURCE_MAX : TEXT_MAX;
	bool is_right = true;

	limit = max < limit ? max : limit;
	if (limit > to->max - to->n)
		limit = to->max - to->n;
	if (piece->encoding == LETTER_PLAIN)
		decoded = str_part(decoded, 0, limit * 4 + SLACK);
	else {
		is_right = letter_decode(piece->encoding, piece->body, limit * 4 + SLACK, &octets);
		decoded = buf_str(&octets);
	}
	/* A little more than asked for, to know whether there is more. */
	is_right = letter_charset_text(label, decoded, limit + limit / 8 + SLACK, to) && is_right;
	if (to->n > begin)
		unify_line_ends(to, begin);
	*facts = (struct letter_text_facts){ .has_encoding_problem = !is_right,
		.is_truncated = to->n - begin > limit || decoded.n == limit * 4 + SLACK };
	cut(to, begin, limit);
	buf_free(&octets);
}

bool
letter_octets(struct letter *l, const struct letter_part *p, struct buf *to)
{
	const struct letter_piece *piece = letter_piece(p);

	(void)l;
	letter_decode(piece->encoding, piece->body, p->size, to);
	return !to->overflow;
}
