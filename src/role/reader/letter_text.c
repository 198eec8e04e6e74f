/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

/*
 * The text of a part: transfer encoding undone, then its charset, then line ends. Each step is given twice what is asked for and a little more: no charset
 * of ours and no line end shrinks to less than half, so what comes out is longer than asked exactly where there is more.
 */

enum { TEXT_MAX = 8 * 1024 * 1024, SLACK = 1024 };

static void
unify_line_ends(struct buf *text)
{
	size_t n = 0;

	if (text->n == 0 || !memchr(text->p, '\r', text->n))
		return;
	for (size_t i = 0; i < text->n; i++) {
		if (text->p[i] == '\r' && i + 1 < text->n && text->p[i + 1] == '\n')
			continue;
		text->p[n++] = text->p[i] == '\r' ? '\n' : text->p[i];
	}
	text->n = n;
}

/* Not longer than `limit`, and no character in two. */
static struct str
cut(const struct buf *text, size_t limit)
{
	if (text->n <= limit)
		return buf_str(text);
	while (limit > 0 && ((unsigned char)text->p[limit] & 0xc0) == 0x80)
		limit--;
	return str_part(buf_str(text), 0, limit);
}

void
letter_text(struct letter *l, const struct letter_part *p, size_t max, struct buf *to,
	struct letter_text_facts *facts)
{
	const struct letter_piece *piece = letter_piece(p);
	struct str label = piece->is_charset_declared ? p->charset : S(""), octets;
	size_t limit = l->is_source ? LETTER_SOURCE_MAX : TEXT_MAX, wide;
	bool is_right = true;

	limit = max < limit ? max : limit;
	if (limit > to->max - to->n)
		limit = to->max - to->n;
	wide = limit * 2 + SLACK;
	struct buf decoded = { .max = wide }, text = { .max = wide };
	octets = str_part(piece->body, 0, wide);
	if (piece->encoding != LETTER_PLAIN) {
		is_right = letter_decode(piece->encoding, piece->body, wide, &decoded);
		octets = buf_str(&decoded);
	}
	is_right = letter_charset_text(label, octets, wide, &text) && is_right;
	unify_line_ends(&text);
	buf_add(to, cut(&text, limit));
	*facts = (struct letter_text_facts){ .has_encoding_problem = !is_right,
		.is_truncated = text.n > limit || octets.n == wide };
	buf_free(&decoded);
	buf_free(&text);
}

bool
letter_octets(struct letter *l, const struct letter_part *p, struct buf *to)
{
	const struct letter_piece *piece = letter_piece(p);

	(void)l;
	letter_decode(piece->encoding, piece->body, p->size, to);
	return !to->overflow;
}
