/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of the fate log, as octets.
 *
 * The payload of a SPOOL_FATES record is a row of texts (u32 length, octets), an entry each:
 *
 *   u8 kind   then
 *   1 fate      id 16, and: recipient u32, kind u8, at u64, due u64, tries u32,
 *               why: class u8, kind u8, cause u32, code u16, enhanced 3 × u16, text; host; children
 *   2 released  id 16, number u64
 *   3 made      number u64, generation u64, size u64
 *   4 sealed    number u64, generation u64, end u64
 *   5 gone      number u64
 *
 * The numbers of enum fate_kind, err_class and err_kind stand in these files: new ones go to the
 * end. `why` is what codec_add_err writes.
 */
#include "spool/keeper.h"

/* ── written ── */

void
fate_add_texts(struct buf *to, const struct fate *f)
{
	codec_add_err(to, &f->why);
	codec_add_str(to, f->host);
	codec_add_str(to, f->children);
}

static void
add_fate_body(struct buf *to, const struct fate *f)
{
	codec_add_u32(to, f->recipient);
	codec_add_u8(to, (uint8_t)f->kind);
	codec_add_u64(to, (uint64_t)f->at_ms);
	codec_add_u64(to, (uint64_t)f->due_ms);
	codec_add_u32(to, f->tries);
	fate_add_texts(to, f);
}

static void
add_entry_body(struct buf *to, const struct fate_entry *entry)
{
	codec_add_u8(to, (uint8_t)entry->kind);
	switch (entry->kind) {
	case ENTRY_FATE:
		buf_add(to, id_octets(&entry->fate.id));
		add_fate_body(to, &entry->fate);
		break;
	case ENTRY_RELEASED:
		buf_add(to, id_octets(&entry->id));
		codec_add_u64(to, entry->number);
		break;
	case ENTRY_MADE:
		codec_add_u64(to, entry->number);
		codec_add_u64(to, entry->generation);
		codec_add_u64(to, entry->size);
		break;
	case ENTRY_SEALED:
		codec_add_u64(to, entry->number);
		codec_add_u64(to, entry->generation);
		codec_add_u64(to, entry->end);
		break;
	case ENTRY_GONE:
		codec_add_u64(to, entry->number);
		break;
	}
}

void
fate_add_entry(struct buf *to, const struct fate_entry *entry)
{
	size_t begin = to->n;

	codec_add_u32(to, 0);
	add_entry_body(to, entry);
	if (!to->overflow)
		codec_put_u32(to->p + begin, (uint32_t)(to->n - begin - sizeof(uint32_t)));
}

/* ── read ── */

bool
fate_scan_texts(struct str *in, struct fate *f)
{
	return codec_scan_err(in, &f->why) && codec_scan_str(in, &f->host) &&
	       codec_scan_str(in, &f->children) && in->n == 0;
}

static bool
scan_fate_body(struct str in, struct fate *f)
{
	uint64_t at_ms, due_ms;
	uint8_t kind;

	if (!(codec_scan_u32(&in, &f->recipient) && codec_scan_u8(&in, &kind) &&
		    codec_scan_u64(&in, &at_ms) && codec_scan_u64(&in, &due_ms) &&
		    codec_scan_u32(&in, &f->tries) && fate_scan_texts(&in, f)))
		return false;
	f->kind = (enum fate_kind)kind;
	f->at_ms = (int64_t)at_ms;
	f->due_ms = (int64_t)due_ms;
	return kind >= FATE_DELIVERED && kind <= FATE_EXPANDED;
}

static bool
scan_entry_body(struct str in, struct fate_entry *entry)
{
	uint8_t kind;

	*entry = (struct fate_entry){ 0 };
	if (!codec_scan_u8(&in, &kind))
		return false;
	entry->kind = (enum fate_entry_kind)kind;
	switch (entry->kind) {
	case ENTRY_FATE:
		return codec_scan_bytes(&in, &entry->fate.id, sizeof entry->fate.id) &&
		       scan_fate_body(in, &entry->fate);
	case ENTRY_RELEASED:
		return codec_scan_bytes(&in, &entry->id, sizeof entry->id) &&
		       codec_scan_u64(&in, &entry->number) && in.n == 0;
	case ENTRY_MADE:
		return codec_scan_u64(&in, &entry->number) &&
		       codec_scan_u64(&in, &entry->generation) &&
		       codec_scan_u64(&in, &entry->size) && in.n == 0;
	case ENTRY_SEALED:
		return codec_scan_u64(&in, &entry->number) &&
		       codec_scan_u64(&in, &entry->generation) &&
		       codec_scan_u64(&in, &entry->end) && in.n == 0;
	case ENTRY_GONE:
		return codec_scan_u64(&in, &entry->number) && in.n == 0;
	}
	return false;
}

bool
fate_scan_entry(struct str *in, struct fate_entry *entry, uint64_t *misshaped)
{
	struct str one;

	while (codec_scan_str(in, &one)) {
		if (scan_entry_body(one, entry))
			return true;
		(*misshaped)++;
	}
	*misshaped += in->n > 0;
	*in = (struct str){ 0 };
	return false;
}
