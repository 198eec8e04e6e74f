/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "spool/keeper.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A record made of these octets, CRCs right: what a disk cannot do, but a mistake of ours could. */
static void
read_as_payload(struct str payload, enum spool_kind kind)
{
	struct buf file = { .max = 2 * RECORD_PAYLOAD_MAX };
	struct fate_state state;
	struct fate_entry entry;
	struct spool_mail m;
	struct record r;
	uint64_t want, misshaped = 0;

	record_add_fates(&file, 7, payload);
	must(record_read(buf_str(&file), 7, &r, &want) == RECORD_OK && str_eq(r.payload, payload));
	r.kind = kind;
	if (record_get_mail(&r, &m)) {
		struct buf again = { .max = 2 * RECORD_PAYLOAD_MAX };

		record_add_mail(&again, 7,
			&m); /* what was read can be written, unless it is above the limits */
		must(again.overflow || again.n == file.n);
		buf_free(&again);
	}
	fate_state_init(&state);
	while (fate_scan_entry(&payload, &entry, &misshaped))
		fate_apply(&state, &entry);
	fate_state_free(&state);
	buf_free(&file);
}

/* Any octets are a file of records, or none; and any octets are a payload, or misshaped. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	struct segment_header h;
	uint64_t at = 0, broken = 0, generation = 7, damaged = 0;
	struct fate_state state;
	struct record r;

	if (size > 1024 * 1024)
		return 0;
	while (record_next(in, generation, &at, &r, &broken))
		must(at <= size && r.size % SPOOL_ALIGN == 0 && r.payload.n < r.size);
	record_get_segment_header(in, &h);
	fate_state_init(&state);
	fate_apply_file(&state, in, SEGMENT_FATES, &damaged);
	fate_apply_file(&state, in, SEGMENT_STATE, &damaged);
	fate_state_free(&state);
	read_as_payload(in, SPOOL_MAIL);
	read_as_payload(in, SPOOL_FATES);
	return 0;
}
