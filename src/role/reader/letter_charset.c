/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

#include <errno.h>
#include <iconv.h>

/*
 * Charsets of old mail. What they are where nobody says so, or says it wrongly, is found by letter_guess.c.
 *
 * 1. A label is looked up in a table of ours; what is not in it is as good as not declared. No text of a stranger reaches iconv_open:
 *    some of its charsets have had bugs, and nobody writes mail in those.
 * 2. Labels mean what browsers take them for (the Encoding Standard of WHATWG): "gb2312" is LETTER_GB18030, "iso-8859-1" windows-1252, "shift_jis" the one of
 *    Windows, and "us-ascii" says nothing. ISO-2022-JP is brought into the form of EUC-JP first: its escapes only choose the set.
 * 3. Descriptors are opened once (letter_prepare) and kept: glibc loads a module for most of them, which the sandbox does not allow later.
 */

enum { BAD_MAX = 4096 };

/* Names of iconv. */
/* clang-format off */
static const char *const charsets[] = {
	[LETTER_UTF_8] = "UTF-8", [LETTER_WINDOWS_1252] = "CP1252", [LETTER_ISO_2022_JP] = "EUC-JP-MS", [LETTER_GB18030] = "GB18030",
	[LETTER_BIG5] = "BIG5-HKSCS", [LETTER_SHIFT_JIS] = "CP932", [LETTER_EUC_JP] = "EUC-JP-MS", [LETTER_EUC_KR] = "UHC",
	[LETTER_OTHERS] = "ISO-8859-2", "ISO-8859-3", "ISO-8859-4", "ISO-8859-5", "ISO-8859-6", "ISO-8859-7", "ISO-8859-8", "ISO-8859-10",
	"ISO-8859-13", "ISO-8859-14", "ISO-8859-15", "ISO-8859-16", "KOI8-R", "KOI8-U", "CP874", "CP1250", "CP1251", "CP1253",
	"CP1254", "CP1255", "CP1256", "CP1257", "CP1258",
};
/* clang-format on */

enum { CHARSETS = sizeof charsets / sizeof charsets[0] };

/* clang-format off */
static const struct {
	struct str label;
	const char *charset;
} aliases[] = {
	{ S("utf8"), "UTF-8" }, { S("unicode-1-1-utf-8"), "UTF-8" },
	{ S("iso-8859-1"), "CP1252" }, { S("latin1"), "CP1252" }, { S("l1"), "CP1252" }, { S("iso8859-1"), "CP1252" }, { S("cp1252"), "CP1252" },
	{ S("ansi_x3.110-1983"), "CP1252" },
	{ S("iso-8859-9"), "CP1254" }, { S("latin5"), "CP1254" },
	{ S("iso-8859-11"), "CP874" }, { S("tis-620"), "CP874" }, { S("windows-874"), "CP874" },
	{ S("iso-8859-8-i"), "ISO-8859-8" },
	{ S("latin2"), "ISO-8859-2" },
	{ S("koi8"), "KOI8-R" }, { S("koi"), "KOI8-R" }, { S("cskoi8r"), "KOI8-R" },
	{ S("koi8-ru"), "KOI8-U" },
	{ S("gbk"), "GB18030" }, { S("gb2312"), "GB18030" }, { S("gb_2312-80"), "GB18030" }, { S("gb_2312"), "GB18030" }, { S("csgb2312"), "GB18030" },
	{ S("euc-cn"), "GB18030" }, { S("x-gbk"), "GB18030" }, { S("cp936"), "GB18030" }, { S("windows-936"), "GB18030" }, { S("ms936"), "GB18030" },
	{ S("chinese"), "GB18030" },
	{ S("big5"), "BIG5-HKSCS" }, { S("big-5"), "BIG5-HKSCS" }, { S("cn-big5"), "BIG5-HKSCS" }, { S("csbig5"), "BIG5-HKSCS" }, { S("x-x-big5"), "BIG5-HKSCS" },
	{ S("cp950"), "BIG5-HKSCS" }, { S("windows-950"), "BIG5-HKSCS" },
	{ S("shift_jis"), "CP932" }, { S("shift-jis"), "CP932" }, { S("sjis"), "CP932" }, { S("x-sjis"), "CP932" }, { S("ms_kanji"), "CP932" },
	{ S("windows-31j"), "CP932" }, { S("ms932"), "CP932" }, { S("csshiftjis"), "CP932" },
	{ S("euc-jp"), "EUC-JP-MS" }, { S("x-euc-jp"), "EUC-JP-MS" },
	{ S("euc-kr"), "UHC" }, { S("ks_c_5601-1987"), "UHC" }, { S("ks_c_5601"), "UHC" }, { S("ksc5601"), "UHC" }, { S("korean"), "UHC" },
	{ S("windows-949"), "UHC" }, { S("cp949"), "UHC" },
};
/* clang-format on */

/* One loop is one thread, and a descriptor is a table and no state, once it is reset. */
static iconv_t opened[CHARSETS];
static bool is_opened[CHARSETS];

static int
charset_by_name(struct str name)
{
	for (int i = 0; i < (int)CHARSETS; i++)
		if (i != LETTER_ISO_2022_JP && str_eq_nocase(name, str_of(charsets[i])))
			return i;
	return LETTER_NO_CHARSET;
}

int
letter_charset_of(struct str label)
{
	char name[16];
	int n;

	label = str_trim(label);
	if (str_starts_nocase(label, S("iso-2022-jp")) || str_eq_nocase(label, S("csiso2022jp")))
		return LETTER_ISO_2022_JP;
	for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
		if (str_eq_nocase(label, aliases[i].label))
			return charset_by_name(str_of(aliases[i].charset));
	if (str_starts_nocase(label, S("windows-"))) {
		n = snprintf(name, sizeof name, "CP%.*s", STR_ARG(str_part(label, 8, 8)));
		return charset_by_name((struct str){ name, (size_t)n });
	}
	if (str_starts_nocase(label, S("iso8859-")) || str_starts_nocase(label, S("iso_8859-"))) {
		n = snprintf(name, sizeof name, "ISO-%.*s",
			STR_ARG(str_part(label, label.p[3] == '_' ? 4 : 3, 8)));
		return charset_by_name((struct str){ name, (size_t)n });
	}
	return charset_by_name(label);
}

const char *
letter_charset_name(int charset)
{
	return charsets[charset];
}

static iconv_t
descriptor(int charset)
{
	if (!is_opened[charset])
		opened[charset] = iconv_open("UTF-8", charsets[charset]);
	is_opened[charset] = true;
	return opened[charset];
}

void
letter_prepare(void)
{
	for (int i = 0; i < (int)CHARSETS; i++)
		descriptor(i);
	letter_guess_prepare();
}

void
letter_charset_add(struct buf *to, uint32_t c)
{
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = 0xfffd;
	if (c < 0x80)
		buf_add_char(to, (char)c);
	else if (c < 0x800)
		buf_add(to,
			(struct str){
				(char[]){ (char)(0xc0 | c >> 6), (char)(0x80 | (c & 63)) }, 2 });
	else if (c < 0x10000)
		buf_add(to, (struct str){
				    (char[]){ (char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 63)),
					    (char)(0x80 | (c & 63)) },
				    3 });
	else
		buf_add(to, (struct str){
				    (char[]){ (char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 63)),
					    (char)(0x80 | (c >> 6 & 63)), (char)(0x80 | (c & 63)) },
				    4 });
}

/* ── decoding; `end` is where `to` must not grow beyond ── */

size_t
letter_ascii_run(struct str s)
{
	size_t n = 0;

	for (uint64_t eight; n + 8 <= s.n; n += 8) {
		memcpy(&eight, s.p + n, 8);
		if (eight & 0x8080808080808080u)
			break;
	}
	while (n < s.n && !((unsigned char)s.p[n] & 0x80))
		n++;
	return n;
}

/* The ASCII at the head of `in` goes over. False: it is full. */
static bool
copy_ascii(struct str *in, struct buf *to, size_t end)
{
	size_t n = letter_ascii_run(*in), room = end - to->n;

	buf_add(to, str_part(*in, 0, n < room ? n : room));
	*in = str_from(*in, n < room ? n : room);
	return n <= room;
}

size_t
letter_utf8_length(struct str s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return s.n >= n && str_is_utf8(str_part(s, 0, n)) ? n : 0;
}

static bool
decode_utf8(struct str in, struct buf *to, size_t end)
{
	bool is_right = true;

	while (copy_ascii(&in, to, end) && in.n) {
		size_t n = letter_utf8_length(in);

		if (to->n + (n ? n : 3) > end)
			break;
		buf_add(to, n ? str_part(in, 0, n) : S("\xef\xbf\xbd"));
		is_right = is_right && n;
		in = str_from(in, n ? n : 1);
	}
	return is_right;
}

/* Every octet means something: what is not defined is a control character, as browsers have it. */
static void
decode_windows_1252(struct str in, struct buf *to, size_t end)
{
	static const uint16_t rows[32] = { 0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020,
		0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d, 0x8f, 0x90, 0x2018,
		0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153,
		0x9d, 0x17e, 0x178 };

	while (copy_ascii(&in, to, end) && in.n && to->n + 3 <= end) {
		unsigned char c = (unsigned char)in.p[0];

		letter_charset_add(to, c < 0xa0 ? rows[c - 0x80] : c);
		in = str_from(in, 1);
	}
}

/* By iconv, in pieces. More than BAD_MAX octets that mean nothing: the rest is read as windows-1252, for each costs a call. */
static bool
decode_by_table(int charset, struct str in, struct buf *to, size_t end)
{
	iconv_t table = descriptor(charset);
	unsigned bad = 0;
	char piece[1024];

	if (table == (iconv_t)-1)
		bad = BAD_MAX;
	else
		iconv(table, NULL, NULL, NULL, NULL);
	while (bad < BAD_MAX && copy_ascii(&in, to, end) && in.n && to->n < end) {
		char *from = (char *)(uintptr_t)in.p, *out = piece;
		size_t left = in.n, room = end - to->n < sizeof piece ? end - to->n : sizeof piece;
		size_t done = iconv(table, &from, &left, &out, &room);
		bool is_full = done == (size_t)-1 && errno == E2BIG;

		buf_add(to, (struct str){ piece, (size_t)(out - piece) });
		if (is_full && out == piece)
			return bad == 0;
		in = (struct str){ from, left };
		if (done != (size_t)-1 || is_full || left == 0)
			continue;
		if (end - to->n < 3)
			break;
		buf_add(to, S("\xef\xbf\xbd"));
		in = str_from(in, 1);
		bad++;
	}
	if (bad == BAD_MAX)
		decode_windows_1252(in, to, end);
	return bad == 0;
}

/* ISO-2022-JP in the form of EUC-JP: RFC 1468, with the Katakana of JIS X 0201 that some write. */
static void
add_euc(struct str in, struct buf *to)
{
	static const struct {
		struct str escape;
		unsigned char octets, prefix;
	} sets[] = { { S("\033(B"), 0, 0 }, { S("\033(J"), 0, 0 }, { S("\033$@"), 2, 0 },
		{ S("\033$B"), 2, 0 }, { S("\033(I"), 1, 0x8e }, { S("\033$(D"), 2, 0x8f } };
	size_t set = 0, i;

	while (in.n) {
		for (i = 0; i < sizeof sets / sizeof sets[0]; i++)
			if (scan_word_nocase(&in, sets[i].escape))
				break;
		if (i < sizeof sets / sizeof sets[0]) {
			set = i;
			continue;
		}
		i = sets[set].octets;
		if (i > in.n || (unsigned char)in.p[0] <= ' ' || i == 0) {
			set = in.p[0] == '\n' ? 0 : set;
			buf_add(to, str_part(in, 0, 1));
			in = str_from(in, 1);
			continue;
		}
		if (sets[set].prefix)
			buf_add_char(to, (char)sets[set].prefix);
		for (size_t k = 0; k < i; k++)
			buf_add_char(to, (char)((unsigned char)in.p[k] | 0x80));
		in = str_from(in, i);
	}
}

static bool
decode_iso_2022_jp(struct str in, struct buf *to, size_t end)
{
	struct buf euc = { .max = in.n * 2 + 64 };
	bool is_right;

	add_euc(in, &euc);
	is_right = decode_by_table(LETTER_EUC_JP, buf_str(&euc), to, end);
	buf_free(&euc);
	return is_right;
}

bool
letter_charset_decode(int charset, struct str octets, size_t max, struct buf *to)
{
	size_t room = to->max - to->n, end = to->n + (max < room ? max : room);

	if (charset == LETTER_UTF_8)
		return decode_utf8(octets, to, end);
	if (charset == LETTER_ISO_2022_JP)
		return decode_iso_2022_jp(octets, to, end);
	if (charset != LETTER_WINDOWS_1252)
		return decode_by_table(charset, octets, to, end);
	decode_windows_1252(octets, to, end);
	return true;
}

bool
letter_charset_text(struct str label, struct str octets, size_t max, struct buf *to)
{
	int charset = letter_charset_of(label);
	size_t begin = to->n;
	bool is_declared =
		charset != LETTER_NO_CHARSET || label.n == 0 || str_eq_nocase(label, S("us-ascii"));

	if (charset != LETTER_NO_CHARSET && letter_charset_decode(charset, octets, max, to))
		return true;
	if (charset == LETTER_NO_CHARSET && letter_ascii_run(octets) == octets.n &&
		str_find(octets, '\033') == octets.n) {
		letter_charset_decode(LETTER_UTF_8, octets, max, to);
		return is_declared;
	}
	to->n = begin;
	charset = letter_guess(octets);
	letter_charset_decode(charset, octets, max, to);
	return false;
}
