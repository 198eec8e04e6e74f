/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

#include "base/codec.h"

/*
 * Content-Type, Content-Disposition: a value and parameters (RFC 2045 §5.1). A parameter can come in many ways, of which the best is taken:
 *
 *   filename*0*=UTF-8''%e6%b5; filename*1*=%8b.txt     sections, some of them encoded (RFC 2231 §3, §4)
 *   filename*=GB18030''%b2%e2.txt                      encoded
 *   filename="=?GB18030?B?...?="                       encoded words where RFC 2047 §5 forbids them, and everybody writes them
 *   filename="测.txt"                                  8-bit octets, of whatever charset
 *
 * A field is read from left to right once for each parameter that is asked for; sections are gathered in an array of fixed size.
 */

enum { SECTIONS_MAX = 100, NAME_MAX_OCTETS = 240 };

struct section {
	struct str value; /* with its quotes */
	bool is_there, is_encoded;
};

struct sections {
	struct section at[SECTIONS_MAX]; /* name*0, name*1 … */
	struct section whole, encoded;	 /* name=, name*= */
};

void
letter_skip_cfws(struct str *in, struct buf *comment)
{
	unsigned depth = 0;
	size_t i = 0;

	for (; i < in->n; i++) {
		char c = in->p[i];

		if (depth == 0 && c != '(' && c != ' ' && c != '\t' && c != '\r' && c != '\n')
			break;
		if (c == '(' && depth++ == 0) {
			if (comment)
				buf_reset(comment);
			continue;
		}
		if (c == ')' && --depth == 0)
			continue;
		if (depth == 0)
			continue;
		if (c == '\\' && i + 1 < in->n)
			c = in->p[++i];
		if (comment && c != '\r' && c != '\n')
			buf_add_char(comment, c);
	}
	*in = str_from(*in, i);
}

bool
letter_quoted(struct str *in, bool keeps_backslash, struct buf *to)
{
	size_t i = 1;

	if (in->n == 0 || in->p[0] != '"')
		return false;
	for (; i < in->n && in->p[i] != '"'; i++) {
		char c = in->p[i], hidden = i + 1 < in->n ? in->p[i + 1] : '\0';

		if (c == '\\' && i + 1 < in->n &&
			(!keeps_backslash || hidden == '"' || hidden == '\\'))
			c = in->p[++i];
		if (c != '\r' && c != '\n')
			buf_add_char(to, c);
	}
	*in = str_from(*in, i < in->n ? i + 1 : i);
	return true;
}

static bool
is_token_char(char c)
{
	return (unsigned char)c > ' ' && c != 127 && !memchr("()<>@,;:\\\"/[]?=", c, 15);
}

static struct str
scan_token(struct str *in)
{
	struct str token;
	size_t n = 0;

	letter_skip_cfws(in, NULL);
	while (n < in->n && is_token_char(in->p[n]))
		n++;
	token = str_part(*in, 0, n);
	*in = str_from(*in, n);
	letter_skip_cfws(in, NULL);
	return token;
}

static void
add_lower(struct buf *to, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_add_char(to, char_lower(s.p[i]));
}

void
letter_value(struct str raw, bool is_type, struct buf *to)
{
	struct str first, second;

	raw = str_part(raw, 0, LETTER_FIELD_MAX);
	first = scan_token(&raw);
	if (!is_type) {
		add_lower(to, first);
		return;
	}
	if (first.n == 0 || !scan_char(&raw, '/'))
		return;
	second = scan_token(&raw);
	if (second.n == 0 || !str_is_ascii(first) || !str_is_ascii(second))
		return;
	add_lower(to, first);
	buf_add_char(to, '/');
	add_lower(to, second);
}

/* Up to the next ';' outside of quotes; *value is what stands before it. */
static void
scan_value(struct str *in, struct str *value)
{
	bool is_quoted = false;
	size_t i = 0;

	letter_skip_cfws(in, NULL);
	for (; i < in->n && (is_quoted || in->p[i] != ';'); i++)
		if (in->p[i] == '"')
			is_quoted = !is_quoted;
		else if (in->p[i] == '\\' && is_quoted && i + 1 < in->n &&
			 (in->p[i + 1] == '"' || in->p[i + 1] == '\\'))
			i++;
	*value = str_part(*in, 0, i);
	*in = str_from(*in, i);
}

/* "*0*" behind a parameter's name tells which section it is. */
static void
put_section(struct sections *all, struct str suffix, struct str value)
{
	struct section s = { .value = value, .is_there = true };
	struct section *place = &all->whole;
	uint64_t number;

	if (suffix.n && suffix.p[suffix.n - 1] == '*') {
		s.is_encoded = true;
		suffix.n--;
		place = &all->encoded;
	}
	if (scan_char(&suffix, '*')) {
		if (!scan_u64(&suffix, &number) || number >= SECTIONS_MAX)
			return;
		place = &all->at[number];
	}
	if (suffix.n == 0 && !place->is_there)
		*place = s;
}

static void
gather(struct str raw, struct str name, struct sections *all)
{
	struct str token, value;

	scan_token(&raw);
	if (scan_char(&raw, '/'))
		scan_token(&raw);
	while (raw.n) {
		scan_char(&raw, ';'); /* some forget the first one */
		token = scan_token(&raw);
		if (!scan_char(&raw, '=')) {
			scan_value(&raw, &value);
			continue;
		}
		scan_value(&raw, &value);
		if (scan_word_nocase(&token, name) && (token.n == 0 || token.p[0] == '*'))
			put_section(all, token, value);
	}
}

/* The octets of a value: out of its quotes, or as far as its words go. */
static void
add_plain(struct str value, struct buf *to)
{
	size_t n = value.n;

	if (letter_quoted(&value, true, to))
		return;
	for (size_t i = 0; i < n; i++)
		if (value.p[i] == '(' && i > 0 && (value.p[i - 1] == ' ' || value.p[i - 1] == '\t'))
			n = i; /* a comment */
	value = str_trim(str_part(value, 0, n));
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] != '\r' && value.p[i] != '\n')
			buf_add_char(to, value.p[i]);
}

static void
add_percent(struct str value, struct buf *to)
{
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '%' && codec_from_hex(str_part(value, i + 1, 2), &c, 1))
			i += 2;
		buf_add_char(to, c);
	}
}

static void
add_section(const struct section *s, bool is_first, struct buf *charset, struct buf *octets)
{
	struct buf text = { .max = LETTER_FIELD_MAX };
	struct str value, language;

	add_plain(s->value, s->is_encoded ? &text : octets);
	value = buf_str(&text);
	if (is_first && s->is_encoded && str_find(value, '\'') < value.n) {
		struct str label;

		scan_until(&value, '\'', &label);
		scan_until(&value, '\'', &language);
		buf_add(charset, label);
	}
	if (s->is_encoded)
		add_percent(value, octets);
	buf_free(&text);
}

bool
letter_param(struct str raw, struct str name, struct buf *to)
{
	struct sections all = { 0 };
	struct buf charset = { .max = LETTER_FIELD_MAX }, octets = { .max = LETTER_FIELD_MAX };
	bool is_extended = true;

	gather(str_part(raw, 0, LETTER_FIELD_MAX), name, &all);
	if (all.encoded.is_there)
		add_section(&all.encoded, true, &charset, &octets);
	else if (all.at[0].is_there)
		for (size_t i = 0; i < SECTIONS_MAX && all.at[i].is_there; i++)
			add_section(&all.at[i], i == 0, &charset, &octets);
	else
		is_extended = false;
	if (is_extended)
		letter_charset_text(buf_str(&charset), buf_str(&octets), to->max - to->n, to);
	else if (all.whole.is_there) {
		add_plain(all.whole.value, &octets);
		letter_field_text(buf_str(&octets), to);
	}
	buf_free(&charset);
	buf_free(&octets);
	return is_extended || all.whole.is_there;
}

/* U+200E, U+200F, U+202A…E, U+2066…9 turn the direction of writing, so that "exe.txt" can be shown of what is none; U+061C too. */
static size_t
direction_mark(struct str s)
{
	if (str_starts(s, S("\xd8\x9c")))
		return 2;
	if (s.n < 3 || s.p[0] != '\xe2')
		return 0;
	if (s.p[1] == '\x80' &&
		((unsigned char)s.p[2] == 0x8e || (unsigned char)s.p[2] == 0x8f ||
			((unsigned char)s.p[2] >= 0xaa && (unsigned char)s.p[2] <= 0xae)))
		return 3;
	return s.p[1] == '\x81' && (unsigned char)s.p[2] >= 0xa6 && (unsigned char)s.p[2] <= 0xa9
		       ? 3
		       : 0;
}

void
letter_clean_name(struct str name, struct buf *to)
{
	size_t begin = to->n, limit;

	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == '/' || name.p[i] == '\\') {
			name = str_from(name, i + 1);
			i = SIZE_MAX; /* again from the new first octet on */
		}
	name = str_trim(name);
	for (size_t n; name.n; name = str_from(name, n)) {
		unsigned char c = (unsigned char)name.p[0];

		n = direction_mark(name);
		if (n == 0 && c == 0xc2 && name.n > 1 && (unsigned char)name.p[1] < 0xa0)
			n = 2; /* C1 */
		if (n == 0 && c >= ' ' && c != 127)
			buf_add_char(to, name.p[0]);
		n = n ? n : 1;
	}
	limit = begin + NAME_MAX_OCTETS;
	if (to->n > limit) {
		while (limit > begin && ((unsigned char)to->p[limit] & 0xc0) == 0x80)
			limit--;
		to->n = limit;
	}
	if (str_eq(str_from(buf_str(to), begin), S(".")) ||
		str_eq(str_from(buf_str(to), begin), S("..")))
		to->n = begin;
}
