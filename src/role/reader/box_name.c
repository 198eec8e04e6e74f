/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>
#include <time.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/must.h"
#include "role/reader/box_core.h"

/*
 * Names in a Maildir. A mail's file is BASE or BASE:2,LETTERS; whoever changes flags or moves it leaves BASE alone. A folder is a directory
 * ".Parent.Child", each part in the modified UTF-7 of RFC 3501 §5.1.3.
 */

static const struct {
	char letter;
	unsigned flag;
} letters[] = { { 'D', BOX_DRAFT }, { 'F', BOX_FLAGGED }, { 'P', BOX_FORWARDED },
	{ 'R', BOX_ANSWERED }, { 'S', BOX_SEEN } };
enum { LETTERS = sizeof letters / sizeof *letters };

/* ── files ── */

struct str
name_base(struct str name)
{
	return str_part(name, 0, str_find_str(name, S(":2,")));
}

static unsigned
flag_of(char letter)
{
	for (size_t i = 0; i < LETTERS; i++)
		if (letters[i].letter == letter)
			return letters[i].flag;
	return 0;
}

bool
name_flags(struct str name, unsigned *flags)
{
	struct str tail = str_from(name, name_base(name).n + 3);

	*flags = 0;
	for (size_t i = 0; i < tail.n; i++)
		*flags |= flag_of(tail.p[i]);
	return str_find(tail, 'T') == tail.n;
}

/* Letters stand in the order of ASCII, those that others have put there too. */
void
name_with_flags(struct str name, unsigned flags, char to[BOX_NAME_MAX])
{
	struct str base = name_base(name), tail = str_from(name, base.n + 3);
	bool has[128] = { false };
	size_t n;

	for (size_t i = 0; i < tail.n; i++)
		if ((unsigned char)tail.p[i] > ' ' && (unsigned char)tail.p[i] < 127 &&
			!flag_of(tail.p[i]))
			has[(unsigned char)tail.p[i]] = true;
	for (size_t i = 0; i < LETTERS; i++)
		has[(unsigned char)letters[i].letter] = flags & letters[i].flag;
	n = (size_t)snprintf(to, BOX_NAME_MAX, "%.*s:2,", STR_ARG(base));
	for (unsigned i = 0; i < sizeof has && n + 1 < BOX_NAME_MAX; i++)
		if (has[i])
			to[n++] = (char)i;
	to[n < BOX_NAME_MAX ? n : BOX_NAME_MAX - 1] = 0;
}

void
name_new(char to[BOX_NAME_MAX - 64])
{
	char random[MAIL_ID_TEXT];

	snprintf(to, BOX_NAME_MAX - 64, "%lld.P%s.posthouse", (long long)time(NULL),
		mail_id_text(mail_id_random(), random));
}

uint64_t
name_time(struct str name)
{
	uint64_t time;

	return scan_u64(&name, &time) ? time : 0;
}

/* ── ids ── */

void
name_hash(struct str s, struct str salt, unsigned char hash[BOX_HASH])
{
	unsigned char whole[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *sha = EVP_MD_CTX_new();

	must(sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL));
	must(EVP_DigestUpdate(sha, s.p, s.n));
	if (salt.n)
		must(EVP_DigestUpdate(sha, "", 1) && EVP_DigestUpdate(sha, salt.p, salt.n));
	must(EVP_DigestFinal_ex(sha, whole, NULL));
	EVP_MD_CTX_free(sha);
	memcpy(hash, whole, BOX_HASH);
}

void
name_id(char kind, const unsigned char hash[BOX_HASH], char id[BOX_ID])
{
	id[0] = kind;
	codec_hex(id + 1, hash, BOX_HASH);
}

bool
name_id_hash(char kind, struct str id, unsigned char hash[BOX_HASH])
{
	char again[BOX_ID];

	if (id.n != 1 + 2 * BOX_HASH || id.p[0] != kind ||
		!codec_from_hex(str_from(id, 1), hash, BOX_HASH))
		return false;
	name_id(kind, hash, again);
	return str_eq(id, str_of(again)); /* lower case alone is an id */
}

/* ── folders: modified UTF-7 ── */

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static uint32_t
take_rune(struct str *in)
{
	size_t n;
	uint32_t rune = box_rune(*in, &n);

	*in = str_from(*in, n);
	return rune;
}

static void
add_rune(struct buf *to, uint32_t r)
{
	if (r < 0x80) {
		buf_add_char(to, (char)r);
		return;
	}
	if (r < 0x800) {
		buf_add_char(to, (char)(0xc0 | r >> 6));
	} else if (r < 0x10000) {
		buf_add_char(to, (char)(0xe0 | r >> 12));
		buf_add_char(to, (char)(0x80 | (r >> 6 & 0x3f)));
	} else {
		buf_add_char(to, (char)(0xf0 | r >> 18));
		buf_add_char(to, (char)(0x80 | (r >> 12 & 0x3f)));
		buf_add_char(to, (char)(0x80 | (r >> 6 & 0x3f)));
	}
	buf_add_char(to, (char)(0x80 | (r & 0x3f)));
}

/* Bits on their way between 16 (of UTF-16) and 6 (of base64). */
struct bits {
	uint32_t value;
	unsigned n;
};

static void
put_unit(struct buf *to, struct bits *b, uint32_t unit)
{
	b->value = b->value << 16 | unit;
	for (b->n += 16; b->n >= 6; b->n -= 6)
		buf_add_char(to, base64[b->value >> (b->n - 6) & 63]);
}

static void
put_run(struct buf *to, struct str *rest, uint32_t rune)
{
	struct bits bits = { 0 };
	struct str ahead;

	buf_add_char(to, '&');
	do {
		if (rune >= 0x10000) {
			put_unit(to, &bits, 0xd800 + ((rune - 0x10000) >> 10));
			put_unit(to, &bits, 0xdc00 + ((rune - 0x10000) & 0x3ff));
		} else {
			put_unit(to, &bits, rune);
		}
		ahead = *rest;
		rune = ahead.n ? take_rune(&ahead) : 0;
		if (rune >= 0x80)
			*rest = ahead;
	} while (rune >= 0x80);
	if (bits.n)
		buf_add_char(to, base64[bits.value << (6 - bits.n) & 63]);
	buf_add_char(to, '-');
}

bool
name_to_mutf7(struct str utf8, struct buf *to)
{
	if (!utf8.n || utf8.n > 200 || !str_is_utf8(utf8) || str_trim(utf8).n != utf8.n)
		return false;
	while (utf8.n) {
		uint32_t rune = take_rune(&utf8);

		if (rune < ' ' || (rune >= 0x7f && rune < 0xa0) || rune == '.' || rune == '/')
			return false;
		else if (rune == '&')
			buf_add(to, S("&-"));
		else if (rune < 0x80)
			buf_add_char(to, (char)rune);
		else
			put_run(to, &utf8, rune);
	}
	return !to->overflow;
}

/* A run between '&' and '-'; false: it is none. */
static bool
take_run(struct str run, struct buf *to)
{
	uint32_t high = 0;
	struct bits b = { 0 };

	for (size_t i = 0; i < run.n; i++) {
		const char *at = memchr(base64, run.p[i], 64);
		uint32_t unit;

		if (!at)
			return false;
		b.value = b.value << 6 | (uint32_t)(at - base64);
		b.n += 6;
		if (b.n < 16)
			continue;
		b.n -= 16;
		unit = b.value >> b.n & 0xffff;
		if ((unit >= 0xdc00 && unit < 0xe000) != (high != 0) || (unit < 0x80 && !high))
			return false;
		if (unit >= 0xd800 && unit < 0xdc00) {
			high = unit;
			continue;
		}
		add_rune(to, high ? 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00) : unit);
		high = 0;
	}
	return !high && b.n < 6;
}

void
name_from_mutf7(struct str coded, struct buf *to)
{
	while (coded.n) {
		struct str run = str_from(coded, 1);
		size_t n = str_find(run, '-'), before = to->n;
		uint32_t rune;

		if (coded.p[0] == '&' && n < run.n) {
			if (n == 0)
				buf_add_char(to, '&');
			if (n == 0 || take_run(str_part(run, 0, n), to)) {
				coded = str_from(run, n + 1);
				continue;
			}
			to->n = before;
		}
		rune = take_rune(&coded);
		add_rune(to, rune < ' ' ? 0xfffd : rune);
	}
}
