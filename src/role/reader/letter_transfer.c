/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

/* What undoes a transfer encoding (RFC 2045 §6). Broken input is decoded as far as it means something. */

enum { CHUNK = 4096 };

/* A letter of base64 is its number plus one; what is none, 0. */
/* clang-format off */
static const unsigned char sextets[256] = {
	['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
	['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
	['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
	['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};
/* clang-format on */

/* The same of hexadecimal digits. */
/* clang-format off */
static const unsigned char nibbles[256] = {
	['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
	['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};
/* clang-format on */

/* The octet of "=C3"; -1: it is none. */
static int
hex_octet(struct str s, size_t at)
{
	int high = at + 2 < s.n ? nibbles[(unsigned char)s.p[at + 1]] : 0;
	int low = high ? nibbles[(unsigned char)s.p[at + 2]] : 0;

	return low ? (high - 1) << 4 | (low - 1) : -1;
}

static bool
is_line_octet(char c)
{
	return c == '\r' || c == '\n' || c == ' ' || c == '\t';
}

enum letter_encoding
letter_encoding_of(struct str raw)
{
	static const struct {
		struct str name;
		enum letter_encoding encoding;
	} rows[] = {
		{ S("7bit"), LETTER_PLAIN },
		{ S("8bit"), LETTER_PLAIN },
		{ S("binary"), LETTER_PLAIN },
		{ S("base64"), LETTER_BASE64 },
		{ S("quoted-printable"), LETTER_QUOTED_PRINTABLE },
	};
	size_t n = 0;

	letter_skip_cfws(&raw, NULL);
	if (raw.n == 0)
		return LETTER_PLAIN;
	while (n < raw.n && !is_line_octet(raw.p[n]) && raw.p[n] != ';' && raw.p[n] != '(')
		n++;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (str_eq_nocase(str_part(raw, 0, n), rows[i].name))
			return rows[i].encoding;
	return LETTER_UNKNOWN;
}

/* Octets go out by the chunk. */
struct sink {
	struct buf *to;
	size_t room, n;
	char chunk[CHUNK];
};

static bool
sink_flush(struct sink *s)
{
	size_t n = s->n < s->room ? s->n : s->room;

	buf_add(s->to, (struct str){ s->chunk, n });
	s->room -= n;
	s->n = 0;
	return s->room > 0;
}

static bool
sink_add(struct sink *s, int octet)
{
	s->chunk[s->n++] = (char)octet;
	return s->n < CHUNK || sink_flush(s);
}

/* Ends at padding: what stands behind it is another base64 at best, and often a footer that a mailing list put there. */
static bool
decode_base64(struct str body, struct sink *s)
{
	bool is_well_formed = true;
	uint32_t bits = 0;
	unsigned n = 0;

	for (size_t i = 0; i < body.n; i++) {
		unsigned sextet = sextets[(unsigned char)body.p[i]];

		if (sextet == 0) {
			if (body.p[i] == '=')
				break;
			is_well_formed = is_well_formed && is_line_octet(body.p[i]);
			continue;
		}
		bits = bits << 6 | (sextet - 1);
		if (++n % 4 == 0 &&
			(!sink_add(s, bits >> 16 & 255) || !sink_add(s, bits >> 8 & 255) ||
				!sink_add(s, bits & 255)))
			return is_well_formed;
	}
	if (n % 4 == 3 && sink_add(s, bits >> 10 & 255))
		sink_add(s, bits >> 2 & 255);
	else if (n % 4 == 2)
		sink_add(s, bits >> 4 & 255);
	return is_well_formed && n % 4 != 1;
}

/* The line end at `at`, blanks before it included; 0: there is none. */
static size_t
line_end(struct str s, size_t at)
{
	size_t n = at;

	while (n < s.n && (s.p[n] == ' ' || s.p[n] == '\t' || s.p[n] == '\r'))
		n++;
	return n < s.n && s.p[n] == '\n' ? n + 1 - at : 0;
}

static bool
decode_quoted_printable(struct str body, struct sink *s)
{
	bool is_well_formed = true;
	int octet;

	for (size_t i = 0, n; i < body.n; i++) {
		if (body.p[i] != '=') {
			if (!sink_add(s, body.p[i]))
				break;
			continue;
		}
		if ((n = line_end(body, i + 1)) > 0 || i + 1 == body.n) {
			i += n; /* a soft line end */
			continue;
		}
		octet = hex_octet(body, i);
		is_well_formed = is_well_formed && octet >= 0;
		if (!sink_add(s, octet >= 0 ? octet : '='))
			break;
		i += octet >= 0 ? 2 : 0;
	}
	return is_well_formed;
}

bool
letter_decode(enum letter_encoding encoding, struct str body, size_t max, struct buf *to)
{
	struct sink s;
	bool is_well_formed = true;

	s.to = to;
	s.n = 0;
	s.room = max < to->max - to->n ? max : to->max - to->n;
	switch (encoding) {
	case LETTER_PLAIN:
	case LETTER_UNKNOWN:
		buf_add(to, str_part(body, 0, s.room));
		return encoding == LETTER_PLAIN;
	case LETTER_BASE64:
		is_well_formed = decode_base64(body, &s);
		break;
	case LETTER_QUOTED_PRINTABLE:
		is_well_formed = decode_quoted_printable(body, &s);
		break;
	}
	sink_flush(&s);
	return is_well_formed;
}

static uint64_t
base64_size(struct str body)
{
	uint64_t n = 0;

	body = str_part(body, 0, str_find(body, '='));
	for (size_t i = 0; i < body.n; i++)
		n += sextets[(unsigned char)body.p[i]] != 0;
	return n / 4 * 3 + (n % 4 == 3 ? 2 : n % 4 == 2);
}

static uint64_t
quoted_printable_size(struct str body)
{
	uint64_t n = body.n;

	for (size_t i = 0, skip; i < body.n; i += skip) {
		skip = 1;
		if (body.p[i] != '=')
			continue;
		if (hex_octet(body, i) >= 0) {
			n -= 2;
			skip = 3;
			continue;
		}
		skip += line_end(body, i + 1);
		if (skip > 1 || i + 1 == body.n)
			n -= skip;
	}
	return n;
}

uint64_t
letter_decoded_size(enum letter_encoding encoding, struct str body)
{
	switch (encoding) {
	case LETTER_PLAIN:
	case LETTER_UNKNOWN:
		break;
	case LETTER_BASE64:
		return base64_size(body);
	case LETTER_QUOTED_PRINTABLE:
		return quoted_printable_size(body);
	}
	return body.n;
}

void
letter_decode_q(struct str word, struct buf *to)
{
	for (size_t i = 0; i < word.n; i++) {
		int octet = word.p[i] == '=' ? hex_octet(word, i) : -1;

		if (word.p[i] == '\r' || word.p[i] == '\n') {
			while (i + 1 < word.n && is_line_octet(word.p[i + 1]))
				i++;
			continue; /* somebody folded it */
		}
		if (octet >= 0)
			i += 2;
		else
			octet = word.p[i] == '_' ? ' ' : word.p[i];
		buf_add_char(to, (char)octet);
	}
}
