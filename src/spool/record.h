/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPOOL_RECORD_H
#define SPOOL_RECORD_H

#include "spool/spool.h"

/*
 * The parts of a record, for those inside the spool who build one in pieces: the writer leaves the
 * message where it was gathered, and only the committer knows the segment, thus the generation.
 */

enum {
	RECORD_HEADER = 64,
	RECORD_PAYLOAD_MAX = 4 * 1024 * 1024 - 16 * 1024, /* so that any record fits a group */
};

/* A payload, without the octets of its message, begins here: header's place, envelope, prefix, and
 * the length of the message. Texts above their limits set to->overflow. */
void record_add_mail_head(struct buf *to, const struct spool_mail *m);
void record_set_big(char *record, uint64_t big, uint64_t size, uint32_t crc);

/* Fills the header at `record`; crc is that of payload and padding. The generation comes with
 * record_stamp. */
void record_put_header(
	char *record, enum spool_kind kind, struct mail_id id, uint64_t payload_n, uint32_t crc);
void record_stamp(char *record, uint64_t generation);

void record_add_mark(struct buf *to, uint64_t generation);

size_t record_padding(size_t n); /* octets from n to the next place of a record */

enum segment_use { SEGMENT_MAILS = 1, SEGMENT_FATES = 2, SEGMENT_STATE = 3 };

struct segment_header {
	enum segment_use use;
	uint64_t number, generation, size;
};

void record_put_segment_header(char block[SPOOL_BLOCK], const struct segment_header *h);
bool record_get_segment_header(struct str block, struct segment_header *h);

/* The next valid record of `in` from *at on, which is moved behind it; `broken`, when not NULL, counts
 * those whose payload is damaged. False at the end of `in`. */
bool record_next(
	struct str in, uint64_t generation, uint64_t *at, struct record *r, uint64_t *broken);

#endif
