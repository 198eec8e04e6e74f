/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

#include <iconv.h>

#include "base/must.h"

/*
 * What charset octets are in that nobody declared. What is valid UTF-8 is UTF-8: text of another charset nearly never is. An escape of ISO-2022-JP gives it away. Else each
 * of five charsets of East Asia reads the octets as pairs, and gets for each pair
 *
 *    4  it is one of the characters that are most frequent in that language (about half of any text; the rows of `frequent`)
 *    1  it lies in the part of the charset where common characters are (`common`)
 *   -1  it is a character, of the rest
 *   -4  it cannot be
 *
 * and windows-1252 gets 2 for each octet above 0xA0 that stands alone, nothing for two together, and -2 for each of more: in European text
 * letters with accents stand among ASCII. The highest sum wins; a tie goes to windows-1252, then to the row that comes first.
 */

enum { PAIRS = 65536, SAMPLE_MAX = 16 * 1024 };

static struct guess {
	enum letter_charset charset;
	unsigned char common_first, common_last; /* lead octets of common characters */
	const char *frequent;
	unsigned char is_frequent[PAIRS / 8];
} guesses[] = {
	{ LETTER_GB18030, 0xb0, 0xd7,
		"的一是不了在人有我他这中大来上个国和到说们为子以时地出会可也你对生能而自那得于着下"
		"之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部"
		"其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三"
		"又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身"
		"，。、？！：邮件您请谢",
		{ 0 } },
	{ LETTER_BIG5, 0xa4, 0xc6,
		"的一是不了在人有我他這中大來上個國和到說們為子以時地出會可也你對生能而自那得於著下"
		"之年過發後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部"
		"其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情明性知全三"
		"又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身"
		"，。、？！：郵件您請謝",
		{ 0 } },
	{ LETTER_SHIFT_JIS, 0x88, 0x9f,
		"あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりる"
		"れろわをんがぎぐげござじずぜぞだでどばびぶべぼぱっゃゅょ"
		"アイウエオカキクケコサシスセソタチツテトナニネノハヒフマミムメモヤユヨラリルレロワ"
		"ンガグジズダデドバビブベボパピプペポッャュョー、。日本人一年大中",
		{ 0 } },
	{ LETTER_EUC_JP, 0xb0, 0xcf,
		"あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりる"
		"れろわをんがぎぐげござじずぜぞだでどばびぶべぼぱっゃゅょ"
		"アイウエオカキクケコサシスセソタチツテトナニネノハヒフマミムメモヤユヨラリルレロワ"
		"ンガグジズダデドバビブベボパピプペポッャュョー、。日本人一年大中",
		{ 0 } },
	{ LETTER_EUC_KR, 0xb0, 0xc8,
		"이다는에의을가고하지로한도은를서기사자어나리시인대으일해그정아있수것보들주게부과적"
		"면상제라전만안요여니스장원성공습오동국중세우조문지회와구신경유연생까연성물선드내비"
		"무해모소",
		{ 0 } },
};

static void
learn_frequent(struct guess *g)
{
	const char *name = letter_charset_name((int)g->charset);
	iconv_t table = iconv_open(name, "UTF-8");
	char *in = (char *)(uintptr_t)g->frequent, pair[2], *out;
	size_t left, n = strlen(in);

	while (table != (iconv_t)-1 && n > 0) {
		char *at = in;
		size_t character = letter_utf8_length((struct str){ in, n });
		unsigned code;

		must(character > 0);
		left = character;
		n -= character;
		in += character;
		out = pair;
		size_t room = sizeof pair;
		if (iconv(table, &at, &left, &out, &room) == (size_t)-1 || room > 0)
			continue;
		code = (unsigned)(unsigned char)pair[0] << 8 | (unsigned char)pair[1];
		g->is_frequent[code / 8] |= (unsigned char)(1u << code % 8);
	}
	if (table != (iconv_t)-1)
		iconv_close(table);
}

void
letter_guess_prepare(void)
{
	static bool is_done;

	for (size_t i = 0; i < sizeof guesses / sizeof guesses[0] && !is_done; i++)
		learn_frequent(&guesses[i]);
	is_done = true;
}

/* How many octets the character at the head has: 1 or 2; 0: it cannot be. 4 only in LETTER_GB18030. */
static size_t
character_length(enum letter_charset charset, const unsigned char *p, size_t n)
{
	unsigned char lead = p[0], trail = n > 1 ? p[1] : 0;

	switch (charset) {
	case LETTER_GB18030:
		if (lead >= 0x81 && lead <= 0xfe && n > 3 && trail >= 0x30 && trail <= 0x39)
			return p[2] >= 0x81 && p[2] <= 0xfe && p[3] >= 0x30 && p[3] <= 0x39 ? 4 : 0;
		return lead >= 0x81 && lead <= 0xfe && trail >= 0x40 && trail <= 0xfe &&
				       trail != 0x7f
			       ? 2
			       : 0;
	case LETTER_BIG5:
		return lead >= 0x87 && lead <= 0xfe &&
				       ((trail >= 0x40 && trail <= 0x7e) ||
					       (trail >= 0xa1 && trail <= 0xfe))
			       ? 2
			       : 0;
	case LETTER_SHIFT_JIS:
		if (lead >= 0xa1 && lead <= 0xdf)
			return 1;
		return ((lead >= 0x81 && lead <= 0x9f) || (lead >= 0xe0 && lead <= 0xfc)) &&
				       trail >= 0x40 && trail <= 0xfc && trail != 0x7f
			       ? 2
			       : 0;
	case LETTER_EUC_JP:
		if (lead == 0x8f)
			return n > 2 && trail >= 0xa1 && p[2] >= 0xa1 ? 2 : 0;
		return (lead == 0x8e || (lead >= 0xa1 && lead <= 0xfe)) && trail >= 0xa1 &&
				       trail <= 0xfe
			       ? 2
			       : 0;
	default: /* EUC-KR, with what Windows added */
		return lead >= 0x81 && lead <= 0xfe && trail >= 0x41 && trail <= 0xfe ? 2 : 0;
	}
}

static long
score_pairs(const struct guess *g, struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	long score = 0;

	for (size_t i = 0, n; i < s.n; i += n) {
		unsigned code = i + 1 < s.n ? (unsigned)p[i] << 8 | p[i + 1] : 0;

		n = 1;
		if (p[i] < 0x80)
			continue;
		n = character_length(g->charset, p + i, s.n - i);
		if (n == 0 && i + 4 > s.n)
			break; /* cut */
		if (n == 0)
			score -= 4;
		else if (g->is_frequent[code / 8] >> code % 8 & 1)
			score += 4;
		else
			score += n == 2 && p[i] >= g->common_first && p[i] <= g->common_last &&
						 (g->charset != LETTER_GB18030 || p[i + 1] >= 0xa1)
					 ? 1
					 : -1;
		n = n ? n : 1;
	}
	return score;
}

static long
score_windows_1252(struct str s)
{
	long score = 0;

	for (size_t i = 0, n; i < s.n; i += n + 1) {
		for (n = 0; i + n < s.n && s.p[i + n] & 0x80;)
			n++;
		if (n == 1)
			score += (unsigned char)s.p[i] > 0xa0 ? 2 : 0;
		else if (n > 2)
			score -= 2 * (long)n;
	}
	return score;
}

/* But for a character that was cut at the end, of which the beginning alone is no proof. */
static bool
is_utf8(struct str s)
{
	size_t n = s.n;

	while (n > 0 && s.n - n < 3 && ((unsigned char)s.p[n - 1] & 0xc0) == 0x80)
		n--;
	if (n > 0 && (unsigned char)s.p[n - 1] >= 0xc2 && (unsigned char)s.p[n - 1] < 0xf5 &&
		letter_utf8_length(str_from(s, n - 1)) == 0 && !str_is_ascii(str_part(s, 0, n - 1)))
		s.n = n - 1;
	return str_is_utf8(s);
}

int
letter_guess(struct str octets)
{
	struct str sample = str_part(octets, 0, SAMPLE_MAX);
	enum letter_charset best = LETTER_WINDOWS_1252;
	long best_score;

	letter_guess_prepare();
	if (str_find_str(sample, S("\033$B")) < sample.n ||
		str_find_str(sample, S("\033$@")) < sample.n)
		return LETTER_ISO_2022_JP;
	if (is_utf8(octets))
		return LETTER_UTF_8;
	sample = str_part(
		octets, letter_ascii_run(octets), SAMPLE_MAX); /* where it begins to matter */
	best_score = score_windows_1252(sample);
	for (size_t i = 0; i < sizeof guesses / sizeof guesses[0]; i++) {
		long score = score_pairs(&guesses[i], sample);

		if (score > best_score) {
			best_score = score;
			best = guesses[i].charset;
		}
	}
	return (int)best;
}
