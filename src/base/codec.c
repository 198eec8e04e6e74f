/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"

#include <endian.h>

#include "base/hash.h"
#include "base/must.h"

static void
put_le(void *to, uint64_t v, size_t n)
{
	unsigned char *p = to;

	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t
get_le(const void *from, size_t n)
{
	const unsigned char *p = from;
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

void
codec_put_u16(void *to, uint16_t v)
{
	put_le(to, v, 2);
}

void
codec_put_u32(void *to, uint32_t v)
{
	put_le(to, v, 4);
}

void
codec_put_u64(void *to, uint64_t v)
{
	put_le(to, v, 8);
}

uint16_t
codec_get_u16(const void *from)
{
	return (uint16_t)get_le(from, 2);
}

uint32_t
codec_get_u32(const void *from)
{
	return (uint32_t)get_le(from, 4);
}

uint64_t
codec_get_u64(const void *from)
{
	return get_le(from, 8);
}

static void
add_le(struct buf *to, uint64_t v, size_t n)
{
	char *p = buf_room(to, n);

	if (!p)
		return;
	put_le(p, v, n);
	buf_grew(to, n);
}

static bool
scan_le(struct str *in, uint64_t *v, size_t n)
{
	if (in->n < n)
		return false;
	*v = get_le(in->p, n);
	*in = str_from(*in, n);
	return true;
}

void
codec_add_u8(struct buf *to, uint8_t v)
{
	add_le(to, v, 1);
}

void
codec_add_u16(struct buf *to, uint16_t v)
{
	add_le(to, v, 2);
}

void
codec_add_u32(struct buf *to, uint32_t v)
{
	add_le(to, v, 4);
}

void
codec_add_u64(struct buf *to, uint64_t v)
{
	add_le(to, v, 8);
}

void
codec_add_str(struct buf *to, struct str s)
{
	must(s.n <= UINT32_MAX);
	codec_add_u32(to, (uint32_t)s.n);
	buf_add(to, s);
}

bool
codec_scan_u8(struct str *in, uint8_t *v)
{
	uint64_t wide;

	if (!scan_le(in, &wide, 1))
		return false;
	*v = (uint8_t)wide;
	return true;
}

bool
codec_scan_u16(struct str *in, uint16_t *v)
{
	uint64_t wide;

	if (!scan_le(in, &wide, 2))
		return false;
	*v = (uint16_t)wide;
	return true;
}

bool
codec_scan_u32(struct str *in, uint32_t *v)
{
	uint64_t wide;

	if (!scan_le(in, &wide, 4))
		return false;
	*v = (uint32_t)wide;
	return true;
}

bool
codec_scan_u64(struct str *in, uint64_t *v)
{
	return scan_le(in, v, 8);
}

bool
codec_scan_bytes(struct str *in, void *to, size_t n)
{
	if (in->n < n)
		return false;
	memcpy(to, in->p, n);
	*in = str_from(*in, n);
	return true;
}

bool
codec_scan_str(struct str *in, struct str *s)
{
	struct str rest = *in;
	uint32_t n;

	if (!codec_scan_u32(&rest, &n) || rest.n < n)
		return false;
	*s = str_part(rest, 0, n);
	*in = str_from(rest, n);
	return true;
}

void
codec_add_err(struct buf *to, const struct err *e)
{
	codec_add_u8(to, (uint8_t)e->class);
	codec_add_u8(to, (uint8_t)e->kind);
	codec_add_u32(to, (uint32_t)e->cause);
	codec_add_u16(to, e->code);
	codec_add_u16(to, e->enhanced.class);
	codec_add_u16(to, e->enhanced.subject);
	codec_add_u16(to, e->enhanced.detail);
	codec_add_str(to, str_of(e->text));
}

bool
codec_scan_err(struct str *in, struct err *e)
{
	struct err got = { 0 };
	struct str rest = *in, text;
	uint8_t class, kind;
	uint32_t cause;

	if (!codec_scan_u8(&rest, &class) || !codec_scan_u8(&rest, &kind) ||
		!codec_scan_u32(&rest, &cause) || !codec_scan_u16(&rest, &got.code) ||
		!codec_scan_u16(&rest, &got.enhanced.class) ||
		!codec_scan_u16(&rest, &got.enhanced.subject) ||
		!codec_scan_u16(&rest, &got.enhanced.detail) || !codec_scan_str(&rest, &text))
		return false;
	if (class > ERR_PERMANENT || kind >= ERR_KINDS || text.n >= sizeof got.text)
		return false;
	got.class = (enum err_class) class;
	got.kind = (enum err_kind)kind;
	got.cause = (int)cause;
	if (text.n)
		memcpy(got.text, text.p, text.n);
	*e = got;
	*in = rest;
	return true;
}

static int
hex_value(char c)
{
	if (char_is_digit(c))
		return c - '0';
	c = char_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void
codec_hex(char *to, const void *octets, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = octets;

	for (size_t i = 0; i < n; i++) {
		to[2 * i] = digits[from[i] >> 4];
		to[2 * i + 1] = digits[from[i] & 15];
	}
	to[2 * n] = 0;
}

bool
codec_from_hex(struct str hex, void *to, size_t n)
{
	unsigned char *p = to;

	if (hex.n != 2 * n)
		return false;
	for (size_t i = 0; i < hex.n; i++)
		if (hex_value(hex.p[i]) < 0)
			return false;
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(hex_value(hex.p[2 * i]) << 4 | hex_value(hex.p[2 * i + 1]));
	return true;
}

static bool
scan_xtext_octet(struct str *in, char *octet)
{
	struct str hex = str_part(*in, 1, 2);

	*octet = in->p[0];
	if (*octet != '+') {
		*in = str_from(*in, 1);
		return *octet > ' ' && *octet < 0x7f && *octet != '=';
	}
	*in = str_from(*in, 3);
	for (size_t i = 0; i < hex.n; i++)
		if (hex.p[i] >= 'a') /* RFC 3461 §4: upper case */
			return false;
	return codec_from_hex(hex, octet, 1);
}

void
codec_add_xtext(struct buf *to, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '+' || s.p[i] == '=')
			buf_addf(to, "+%02X", (unsigned char)s.p[i]);
		else
			buf_add_char(to, s.p[i]);
}

bool
codec_add_from_xtext(struct buf *to, struct str xtext)
{
	size_t begin = to->n;
	char octet;

	while (xtext.n)
		if (scan_xtext_octet(&xtext, &octet)) {
			buf_add_char(to, octet);
		} else {
			to->n = begin;
			return false;
		}
	return true;
}

/* What every 12 bits become: 64 × 64 pairs of digits (RFC 4648 §4). */
/* clang-format off */
#define ROW(a) \
	a "A" a "B" a "C" a "D" a "E" a "F" a "G" a "H" a "I" a "J" a "K" a "L" a "M" a "N" a "O" a "P" \
	a "Q" a "R" a "S" a "T" a "U" a "V" a "W" a "X" a "Y" a "Z" a "a" a "b" a "c" a "d" a "e" a "f" \
	a "g" a "h" a "i" a "j" a "k" a "l" a "m" a "n" a "o" a "p" a "q" a "r" a "s" a "t" a "u" a "v" \
	a "w" a "x" a "y" a "z" a "0" a "1" a "2" a "3" a "4" a "5" a "6" a "7" a "8" a "9" a "+" a "/"
static const char base64_pairs[] =
	ROW("A") ROW("B") ROW("C") ROW("D") ROW("E") ROW("F") ROW("G") ROW("H")
	ROW("I") ROW("J") ROW("K") ROW("L") ROW("M") ROW("N") ROW("O") ROW("P")
	ROW("Q") ROW("R") ROW("S") ROW("T") ROW("U") ROW("V") ROW("W") ROW("X")
	ROW("Y") ROW("Z") ROW("a") ROW("b") ROW("c") ROW("d") ROW("e") ROW("f")
	ROW("g") ROW("h") ROW("i") ROW("j") ROW("k") ROW("l") ROW("m") ROW("n")
	ROW("o") ROW("p") ROW("q") ROW("r") ROW("s") ROW("t") ROW("u") ROW("v")
	ROW("w") ROW("x") ROW("y") ROW("z") ROW("0") ROW("1") ROW("2") ROW("3")
	ROW("4") ROW("5") ROW("6") ROW("7") ROW("8") ROW("9") ROW("+") ROW("/");
#undef ROW
/* clang-format on */

static void
put_base64_pair(char *to, uint64_t bits)
{
	memcpy(to, base64_pairs + 2 * (bits & 0xfff), 2);
}

size_t
codec_base64(char *to, struct str s)
{
	char *begin = to;
	size_t i = 0;

	for (uint64_t word; i + sizeof word <= s.n; i += 6, to += 8) {
		memcpy(&word, s.p + i, sizeof word); /* two octets too many */
		word = be64toh(word);
		put_base64_pair(to, word >> 52);
		put_base64_pair(to + 2, word >> 40);
		put_base64_pair(to + 4, word >> 28);
		put_base64_pair(to + 6, word >> 16);
	}
	for (; i < s.n; i += 3, to += 4) {
		unsigned char three[3] = { 0 };
		size_t n = s.n - i < 3 ? s.n - i : 3;

		memcpy(three, s.p + i, n);
		put_base64_pair(to, (uint64_t)three[0] << 4 | three[1] >> 4);
		put_base64_pair(to + 2, (uint64_t)three[1] << 8 | three[2]);
		memset(to + n + 1, '=', 3 - n);
	}
	return (size_t)(to - begin);
}

void
codec_add_base64(struct buf *to, struct str s)
{
	char *room = buf_room(to, codec_base64_size(s.n));

	if (room)
		buf_grew(to, codec_base64(room, s));
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (char_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
codec_add_from_base64(struct buf *to, struct str base64)
{
	size_t begin = to->n, pads = 0;

	if (base64.n % 4)
		return false;
	for (; pads < 2 && base64.n && base64.p[base64.n - 1] == '='; base64.n--)
		pads++;
	for (size_t i = 0; i < base64.n; i += 4) {
		struct str quad = str_part(base64, i, 4);
		uint32_t v = 0;
		char three[3];

		for (size_t k = 0; k < 4; k++) {
			int d = k < quad.n ? base64_value(quad.p[k]) : 0;

			if (d < 0)
				goto bad;
			v = v << 6 | (uint32_t)d;
		}
		for (size_t k = 0; k < 3; k++)
			three[k] = (char)(v >> (16 - 8 * k));
		if (quad.n < 4 && (v & (quad.n == 3 ? 0xffu : 0xffffu)))
			goto bad; /* pad bits that are not zero */
		buf_add(to, (struct str){ three, quad.n - 1 });
	}
	return true;
bad:
	to->n = begin;
	return false;
}

bool
mail_id_eq(struct mail_id a, struct mail_id b)
{
	return memcmp(&a, &b, sizeof a) == 0;
}

const char *
mail_id_text(struct mail_id id, char text[MAIL_ID_TEXT])
{
	codec_hex(text, id.octet, sizeof id.octet);
	return text;
}

bool
mail_id_parse(struct str text, struct mail_id *id)
{
	return codec_from_hex(text, id->octet, sizeof id->octet);
}

void
codec_add_json(struct buf *to, struct str s)
{
	buf_add_char(to, '"');
	while (s.n) {
		size_t n = 1;

		while (n < 4 && n < s.n && !str_is_utf8(str_part(s, 0, n)))
			n++;
		if (!str_is_utf8(str_part(s, 0, n))) {
			buf_add(to, S("\xef\xbf\xbd"));
			n = 1;
		} else if (s.p[0] == '"' || s.p[0] == '\\') {
			buf_add_char(to, '\\');
			buf_add_char(to, s.p[0]);
		} else if ((unsigned char)s.p[0] < ' ' || s.p[0] == 0x7f) {
			buf_addf(to, "\\u%04x", (unsigned)s.p[0]);
		} else {
			buf_add(to, str_part(s, 0, n));
		}
		s = str_from(s, n);
	}
	buf_add_char(to, '"');
}
