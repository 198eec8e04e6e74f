/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/box_core.h"

/*
 * Text as the index of words has it. FTS5's unicode61 finds words between blanks and folds case and accents; Chinese, Japanese and Korean
 * have no blanks, so a run of their characters is written as overlapping pairs, and its last character once more:
 *
 *   中文字  →  中文 文字 字
 *
 * What is looked for is written likewise, as a phrase of pairs. So two characters find exactly where they stand together, and one
 * alone finds, as the beginning of a word, each pair that begins with it and each end of a run. Wide Latin letters become plain ones.
 */

enum { PREFIX_MIN = 3 }; /* a shorter word must be there as a whole */

uint32_t
box_rune(struct str s, size_t *n)
{
	unsigned char c = (unsigned char)s.p[0];
	uint32_t rune;

	*n = 1;
	if (c < 0x80)
		return c;
	*n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (*n > s.n || !str_is_utf8(str_part(s, 0, *n))) {
		*n = 1;
		return 0xfffd;
	}
	rune = c & (0xffu >> (*n + 1));
	for (size_t i = 1; i < *n; i++)
		rune = rune << 6 | ((unsigned char)s.p[i] & 0x3f);
	return rune;
}

static bool
is_without_blanks(uint32_t r)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = { { 0x1100, 0x11ff }, { 0x3005, 0x3007 }, { 0x3041, 0x3096 },
		{ 0x309d, 0x30ff }, { 0x3105, 0x312f }, { 0x31a0, 0x31bf }, { 0x31f0, 0x31ff },
		{ 0x3400, 0x4dbf }, { 0x4e00, 0x9fff }, { 0xac00, 0xd7ff }, { 0xf900, 0xfaff },
		{ 0xff66, 0xff9f }, { 0x20000, 0x3ffff } };

	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
		if (r >= ranges[i].first && r <= ranges[i].last)
			return r != 0x30fb; /* ・ stands between words */
	return false;
}

/* The pairs of a run that s begins with; its length. */
static size_t
add_run(struct buf *to, struct str s, bool closes)
{
	size_t first = 0, second, at;

	box_rune(s, &first);
	for (at = first; at < s.n && is_without_blanks(box_rune(str_from(s, at), &second));
		at += second) {
		buf_add(to, str_part(s, at - first, first + second));
		buf_add_char(to, ' ');
		first = second;
	}
	if (closes || at < s.n || at == first) {
		buf_add(to, str_part(s, at - first, first));
		buf_add_char(to, ' ');
	}
	return at;
}

/* `closes`: the text ends here, and so does its last run; in what is looked for it may go on. */
static void
add_text(struct buf *to, struct str text, bool closes)
{
	while (text.n) {
		size_t n;
		uint32_t rune = box_rune(text, &n);

		if (is_without_blanks(rune)) {
			buf_add_char(to, ' ');
			n = add_run(to, text, closes);
		} else if (rune >= 0xff01 && rune <= 0xff5e) {
			buf_add_char(to, rune == 0xff02 ? ' ' : (char)(rune - 0xfee0));
		} else if (n == 1 && (rune < ' ' || rune == '"' || rune >= 0x7f)) {
			buf_add_char(to, ' ');
		} else {
			buf_add(to, str_part(text, 0, n));
		}
		text = str_from(text, n);
	}
}

void
words_add(struct buf *to, struct str text)
{
	add_text(to, text, true);
}

/* ── what is looked for ── */

static bool
has_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (char_is_alpha(s.p[i]) || char_is_digit(s.p[i]) || (unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

/* Does the text end in one such character alone? Then what begins with it is meant. */
static bool
ends_alone(struct str s)
{
	bool before = false, last = false;
	size_t n;

	for (; s.n; s = str_from(s, n)) {
		before = last;
		last = is_without_blanks(box_rune(s, &n));
	}
	return last && !before;
}

static void
add_phrase(struct buf *to, struct str text, struct str columns, bool is_word)
{
	bool is_prefix =
		ends_alone(text) || (is_word && text.n >= PREFIX_MIN && str_is_ascii(text));

	if (!has_word(text))
		return;
	if (to->n)
		buf_add(to, S(" AND "));
	buf_add(to, columns);
	buf_add(to, columns.n ? S(":\"") : S("\""));
	add_text(to, text, false);
	buf_add(to, is_prefix ? S("\" *") : S("\""));
}

static bool
is_quote(char c)
{
	return c == '"' || c == '\'';
}

/* RFC 8621 §4.4.1: words, all of which must be there; in quotes of either kind a phrase. */
bool
words_match(struct buf *to, struct str text, struct str columns)
{
	while (text.n) {
		size_t n = 0;

		if (is_quote(text.p[0]) &&
			(n = str_find(str_from(text, 1), text.p[0])) < text.n - 1) {
			add_phrase(to, str_part(text, 1, n), columns, false);
			text = str_from(text, n + 2);
			continue;
		}
		for (n = is_quote(text.p[0]);
			n < text.n && text.p[n] != '"' && (unsigned char)text.p[n] > ' ';)
			n++;
		if (n)
			add_phrase(to, str_part(text, is_quote(text.p[0]), n - is_quote(text.p[0])),
				columns, true);
		else
			n = 1;
		text = str_from(text, n);
	}
	return to->n && !to->overflow;
}
