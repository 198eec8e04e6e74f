/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format of the spool's files. Numbers are little-endian; a text is a u32 length and its octets
 * (base/codec.h). One file layout serves three uses: segments of mails, fate logs, and checkpoints
 * of the fates.
 *
 *   file     = header block, then groups
 *   group    = records, then zeros to the next 4 KiB border: what one sync covers
 *   record   = header, payload, zeros to the next 64-octet border
 *
 *   header block, 4096 octets            record header, 64 octets
 *    0   8  "PHspool1"                     0   4  "PHrc"
 *    8   4  use: 1 mails, 2 fates,         4   2  kind: 1 mail, 2 fates, 3 mark
 *           3 checkpoint                   6   2  zero
 *   12   4  zero                           8   8  generation
 *   16   8  number, also the file's name  16   8  octets of the payload
 *   24   8  generation                    24  16  id of the mail; other kinds: zero
 *   32   8  octets of the file            40   4  CRC32C of payload and padding
 *   40   4  CRC32C of octets 0–39         44  16  zero
 *   44      zeros                         60   4  CRC32C of octets 0–59
 *
 *   payload of a mail                    payload of fates: see fate_entry.c
 *    0   8  arrived, ms since 1970       payload of a mark: empty; it ends a checkpoint
 *    8   4  flags; the highest bit: there are wishes
 *   12   4  number of recipients
 *   16   8  number of the big file, 0: none
 *   24   8  octets of the message in it
 *   32   4  CRC32C of those
 *   36      texts: reverse-path, client, login, token, recipients
 *           wishes, if any: hold until, ms since 1970; texts: envid, dsn
 *           texts: prefix, message
 *
 * Wishes are left out where there is none, so that records of stations that knew none are read as they are.
 *
 * Invariants
 * 1. Every octet of a record, padding included, is under one of its two CRCs: a flipped bit is found.
 * 2. The generation is random and known to this house alone. A record of another generation is an
 *    older use of the same file, or somebody's text that looks like a record: it is not there.
 * 3. A group begins on a 4 KiB border, so that no block with acknowledged octets is written again.
 * 4. Mails are independent: a damaged record costs itself alone. A reader who finds no record goes on
 *    64 octets later; one who finds a sound header with a damaged payload goes on behind it, because
 *    its length is sound.
 * 5. The header block's fields lie in one sector: after a power cut it is the old one or the new one.
 */
#include "spool/record.h"

#include "base/hash.h"
#include "base/must.h"

static const uint32_t HAS_WISHES = 1u << 31;

enum {
	MAIL_BIG = RECORD_HEADER + 16, /* where big, big_size and big_crc stand in a record */
};

static const char zeros[SPOOL_ALIGN];

size_t
record_padding(size_t n)
{
	return (SPOOL_ALIGN - n % SPOOL_ALIGN) % SPOOL_ALIGN;
}

void
record_put_header(
	char *record, enum spool_kind kind, struct mail_id id, uint64_t payload_n, uint32_t crc)
{
	memset(record, 0, RECORD_HEADER);
	memcpy(record, "PHrc", 4);
	codec_put_u16(record + 4, (uint16_t)kind);
	codec_put_u64(record + 16, payload_n);
	memcpy(record + 24, &id, sizeof id);
	codec_put_u32(record + 40, crc);
}

void
record_stamp(char *record, uint64_t generation)
{
	codec_put_u64(record + 8, generation);
	codec_put_u32(record + 60, hash_crc32c(0, (struct str){ record, 60 }));
}

/* ── writing ── */

static bool
envelope_fits(const struct spool_mail *m)
{
	const struct spool_envelope *v = &m->envelope;
	struct str texts[] = { v->reverse_path, v->client, v->login, v->token, v->recipients,
		v->envid, v->dsn };
	size_t sum = sizeof texts / sizeof *texts * sizeof(uint32_t);

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (texts[i].n > SPOOL_ENVELOPE_MAX)
			return false;
		sum += texts[i].n;
	}
	return sum <= SPOOL_ENVELOPE_MAX && m->prefix.n <= SPOOL_PREFIX_MAX;
}

void
spool_add_dsn(struct buf *to, uint8_t notify, struct str orcpt)
{
	codec_add_u8(to, notify);
	codec_add_str(to, orcpt);
}

bool
spool_scan_dsn(struct str *in, uint8_t *notify, struct str *orcpt)
{
	struct str rest = *in;

	if (!codec_scan_u8(&rest, notify) || !codec_scan_str(&rest, orcpt))
		return false;
	*in = rest;
	return true;
}

static bool
has_wishes(const struct spool_envelope *v)
{
	return v->hold_until_ms || v->envid.n || v->dsn.n;
}

void
record_add_mail_head(struct buf *to, const struct spool_mail *m)
{
	const struct spool_envelope *v = &m->envelope;
	size_t begin = to->n;

	if (!envelope_fits(m)) {
		to->overflow = true;
		return;
	}
	if (!buf_room(to, RECORD_HEADER))
		return;
	buf_grew(to, RECORD_HEADER);
	codec_add_u64(to, (uint64_t)v->arrived_ms);
	codec_add_u32(to, v->flags | (has_wishes(v) ? HAS_WISHES : 0));
	codec_add_u32(to, v->recipients_n);
	codec_add_u64(to, 0);
	codec_add_u64(to, 0);
	codec_add_u32(to, 0);
	codec_add_str(to, v->reverse_path);
	codec_add_str(to, v->client);
	codec_add_str(to, v->login);
	codec_add_str(to, v->token);
	codec_add_str(to, v->recipients);
	if (has_wishes(v)) {
		codec_add_u64(to, (uint64_t)v->hold_until_ms);
		codec_add_str(to, v->envid);
		codec_add_str(to, v->dsn);
	}
	codec_add_str(to, m->prefix);
	codec_add_u32(to, (uint32_t)m->message.n);
	if (!to->overflow)
		record_set_big(to->p + begin, m->big, m->big_size, m->big_crc);
}

void
record_set_big(char *record, uint64_t big, uint64_t size, uint32_t crc)
{
	codec_put_u64(record + MAIL_BIG, big);
	codec_put_u64(record + MAIL_BIG + 8, size);
	codec_put_u32(record + MAIL_BIG + 16, crc);
}

/* Padding, CRC and header for the record whose payload ends the buffer. */
static void
record_finish(
	struct buf *to, size_t begin, enum spool_kind kind, struct mail_id id, uint64_t generation)
{
	size_t payload_n;
	struct str covered;

	if (to->overflow)
		return;
	payload_n = to->n - begin - RECORD_HEADER;
	buf_add(to, (struct str){ zeros, record_padding(payload_n) });
	if (to->overflow)
		return;
	covered = str_from(buf_str(to), begin + RECORD_HEADER);
	record_put_header(to->p + begin, kind, id, payload_n, hash_crc32c(0, covered));
	record_stamp(to->p + begin, generation);
}

void
record_add_mail(struct buf *to, uint64_t generation, const struct spool_mail *m)
{
	size_t begin = to->n;

	if (m->message.n > SPOOL_INLINE_MAX) {
		to->overflow = true;
		return;
	}
	record_add_mail_head(to, m);
	buf_add(to, m->message);
	record_finish(to, begin, SPOOL_MAIL, m->envelope.id, generation);
}

static void
record_add(struct buf *to, uint64_t generation, enum spool_kind kind, struct str payload)
{
	size_t begin = to->n;

	if (!buf_room(to, RECORD_HEADER))
		return;
	buf_grew(to, RECORD_HEADER);
	buf_add(to, payload);
	record_finish(to, begin, kind, (struct mail_id){ 0 }, generation);
}

void
record_add_fates(struct buf *to, uint64_t generation, struct str entries)
{
	record_add(to, generation, SPOOL_FATES, entries);
}

void
record_add_mark(struct buf *to, uint64_t generation)
{
	record_add(to, generation, SPOOL_MARK, S(""));
}

/* ── reading ── */

static bool
header_is_sound(struct str in, uint64_t generation)
{
	const char *p = in.p;
	uint16_t kind = codec_get_u16(p + 4);

	return memcmp(p, "PHrc", 4) == 0 && codec_get_u64(p + 8) == generation &&
	       codec_get_u32(p + 60) == hash_crc32c(0, str_part(in, 0, 60)) && kind >= SPOOL_MAIL &&
	       kind <= SPOOL_MARK && codec_get_u64(p + 16) <= RECORD_PAYLOAD_MAX;
}

enum record_result
record_read(struct str in, uint64_t generation, struct record *r, uint64_t *want_more)
{
	uint64_t payload_n;
	struct str covered;

	*want_more = RECORD_HEADER;
	if (in.n < RECORD_HEADER)
		return RECORD_MORE;
	if (!header_is_sound(in, generation))
		return RECORD_NONE;
	payload_n = codec_get_u64(in.p + 16);
	*r = (struct record){ .kind = (enum spool_kind)codec_get_u16(in.p + 4),
		.size = RECORD_HEADER + payload_n + record_padding(payload_n) };
	memcpy(&r->id, in.p + 24, sizeof r->id);
	*want_more = r->size;
	if (in.n < r->size)
		return RECORD_MORE;
	covered = str_part(in, RECORD_HEADER, r->size - RECORD_HEADER);
	if (codec_get_u32(in.p + 40) != hash_crc32c(0, covered))
		return RECORD_BROKEN;
	r->payload = str_part(covered, 0, payload_n);
	return RECORD_OK;
}

bool
record_next(struct str in, uint64_t generation, uint64_t *at, struct record *r, uint64_t *broken)
{
	uint64_t want_more;

	while (*at < in.n) {
		switch (record_read(str_from(in, *at), generation, r, &want_more)) {
		case RECORD_OK:
			*at += r->size;
			return true;
		case RECORD_BROKEN:
			*at += r->size;
			if (broken)
				(*broken)++;
			break;
		case RECORD_MORE: /* it would end behind the file */
		case RECORD_NONE:
			*at += SPOOL_ALIGN;
			break;
		}
	}
	return false;
}

static bool
recipients_are_sound(struct str packed, uint32_t n)
{
	struct str one;

	while (n > 0 && codec_scan_str(&packed, &one))
		n--;
	return n == 0 && packed.n == 0;
}

static bool
dsn_is_sound(struct str packed, uint32_t n)
{
	uint8_t notify;
	struct str orcpt;

	if (packed.n == 0)
		return true;
	while (n > 0 && spool_scan_dsn(&packed, &notify, &orcpt))
		n--;
	return n == 0 && packed.n == 0;
}

/* A record that says it has wishes has one. */
static bool
scan_wishes(struct str *in, struct spool_envelope *v)
{
	uint64_t hold_until_ms;

	if (!(v->flags & HAS_WISHES))
		return true;
	v->flags &= ~HAS_WISHES;
	if (!codec_scan_u64(in, &hold_until_ms) || !codec_scan_str(in, &v->envid) ||
		!codec_scan_str(in, &v->dsn))
		return false;
	v->hold_until_ms = (int64_t)hold_until_ms;
	return has_wishes(v) && dsn_is_sound(v->dsn, v->recipients_n);
}

bool
record_get_mail(const struct record *r, struct spool_mail *m)
{
	struct spool_envelope *v = &m->envelope;
	struct str in = r->payload;
	uint64_t arrived_ms;

	*m = (struct spool_mail){ .envelope.id = r->id };
	if (r->kind != SPOOL_MAIL ||
		!(codec_scan_u64(&in, &arrived_ms) && codec_scan_u32(&in, &v->flags) &&
			codec_scan_u32(&in, &v->recipients_n) && codec_scan_u64(&in, &m->big) &&
			codec_scan_u64(&in, &m->big_size) && codec_scan_u32(&in, &m->big_crc) &&
			codec_scan_str(&in, &v->reverse_path) && codec_scan_str(&in, &v->client) &&
			codec_scan_str(&in, &v->login) && codec_scan_str(&in, &v->token) &&
			codec_scan_str(&in, &v->recipients) && scan_wishes(&in, v) &&
			codec_scan_str(&in, &m->prefix) && codec_scan_str(&in, &m->message)))
		return false;
	v->arrived_ms = (int64_t)arrived_ms;
	return in.n == 0 && recipients_are_sound(v->recipients, v->recipients_n);
}

/* ── the header block ── */

void
record_put_segment_header(char block[SPOOL_BLOCK], const struct segment_header *h)
{
	memset(block, 0, SPOOL_BLOCK);
	memcpy(block, "PHspool1", 8);
	codec_put_u32(block + 8, (uint32_t)h->use);
	codec_put_u64(block + 16, h->number);
	codec_put_u64(block + 24, h->generation);
	codec_put_u64(block + 32, h->size);
	codec_put_u32(block + 40, hash_crc32c(0, (struct str){ block, 40 }));
}

bool
record_get_segment_header(struct str block, struct segment_header *h)
{
	if (block.n < SPOOL_BLOCK || memcmp(block.p, "PHspool1", 8) != 0 ||
		codec_get_u32(block.p + 40) != hash_crc32c(0, str_part(block, 0, 40)))
		return false;
	*h = (struct segment_header){ .use = (enum segment_use)codec_get_u32(block.p + 8),
		.number = codec_get_u64(block.p + 16),
		.generation = codec_get_u64(block.p + 24),
		.size = codec_get_u64(block.p + 32) };
	return h->use >= SEGMENT_MAILS && h->use <= SEGMENT_STATE;
}
