/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

struct str
str_of(const char *c_string)
{
	return c_string ? (struct str){ c_string, strlen(c_string) } : (struct str){ 0 };
}

bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
str_eq_nocase(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (char_lower(a.p[i]) != char_lower(b.p[i]))
			return false;
	return true;
}

bool
str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_part(s, 0, prefix.n), prefix);
}

bool
str_starts_nocase(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq_nocase(str_part(s, 0, prefix.n), prefix);
}

bool
str_ends_nocase(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq_nocase(str_from(s, s.n - suffix.n), suffix);
}

size_t
str_find(struct str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

size_t
str_find_str(struct str s, struct str needle)
{
	const char *at = s.n && needle.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;

	return at ? (size_t)(at - s.p) : s.n;
}

bool
str_has_nocase(struct str s, struct str part)
{
	char first = part.n ? char_lower(part.p[0]) : '\0';

	for (size_t at = 0; at + part.n <= s.n; at++)
		if (part.n == 0 ||
			(char_lower(s.p[at]) == first && str_starts_nocase(str_from(s, at), part)))
			return true;
	return false;
}

struct str
str_from(struct str s, size_t at)
{
	if (at >= s.n)
		return (struct str){ 0 };
	return (struct str){ s.p + at, s.n - at };
}

struct str
str_part(struct str s, size_t at, size_t count)
{
	s = str_from(s, at);
	if (count < s.n)
		s.n = count;
	return s;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str
str_trim(struct str s)
{
	while (s.n && is_blank(s.p[0]))
		s = str_from(s, 1);
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
str_cut(struct str s, char c, struct str *before, struct str *after)
{
	size_t at = str_find(s, c);
	bool found = at < s.n;

	*before = str_part(s, 0, at);
	*after = str_from(s, at + 1);
	return found;
}

size_t
str_distance(struct str a, struct str b)
{
	enum { WORD_MAX = 32 };
	size_t rows[3][WORD_MAX + 1] = { 0 }, *before = rows[0], *last = rows[1], *row = rows[2],
				  *spare;

	if (a.n > WORD_MAX || b.n > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		last[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t best =
				last[j - 1] + (char_lower(a.p[i - 1]) != char_lower(b.p[j - 1]));

			best = last[j] + 1 < best ? last[j] + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
				a.p[i - 2] == b.p[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
		spare = before;
		before = last;
		last = row;
		row = spare;
	}
	return last[b.n];
}

bool
str_is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] & 0x80)
			return false;
	return true;
}

/* The number of octets of the well-formed sequence that s begins with, 0 when it begins with none
 * (RFC 3629 §4). */
static size_t
utf8_sequence(struct str s)
{
	const unsigned char *u = (const unsigned char *)s.p;
	size_t want = u[0] < 0x80   ? 1
		      : u[0] < 0xc2 ? 0
		      : u[0] < 0xe0 ? 2
		      : u[0] < 0xf0 ? 3
		      : u[0] < 0xf5 ? 4
				    : 0;

	if (want == 0 || want > s.n)
		return 0;
	for (size_t i = 1; i < want; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f))
		return 0; /* overlong, surrogate */
	if ((u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
		return 0; /* overlong, above U+10FFFF */
	return want;
}

bool
str_is_utf8(struct str s)
{
	while (s.n) {
		size_t n = utf8_sequence(s);

		if (n == 0)
			return false;
		s = str_from(s, n);
	}
	return true;
}

bool
scan_char(struct str *in, char c)
{
	if (in->n == 0 || in->p[0] != c)
		return false;
	*in = str_from(*in, 1);
	return true;
}

bool
scan_word_nocase(struct str *in, struct str word)
{
	if (!str_starts_nocase(*in, word))
		return false;
	*in = str_from(*in, word.n);
	return true;
}

bool
scan_u64(struct str *in, uint64_t *value)
{
	struct str rest = *in;
	uint64_t v = 0;

	if (rest.n == 0 || !char_is_digit(rest.p[0]))
		return false;
	for (; rest.n && char_is_digit(rest.p[0]); rest = str_from(rest, 1))
		if (__builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(rest.p[0] - '0'), &v))
			return false;
	*in = rest;
	*value = v;
	return true;
}

bool
scan_blanks(struct str *in)
{
	size_t n = 0;

	while (n < in->n && is_blank(in->p[n]))
		n++;
	*in = str_from(*in, n);
	return n > 0;
}

bool
scan_until(struct str *in, char c, struct str *out)
{
	struct str after;

	if (str_find(*in, c) == in->n)
		return false;
	str_cut(*in, c, out, &after);
	*in = after;
	return true;
}
