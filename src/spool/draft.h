/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPOOL_DRAFT_H
#define SPOOL_DRAFT_H

#include "spool/segment.h"
#include "spool/spool.h"

/* What drafts (draft.c) and their writer (spool.c) share. */

enum draft_state {
	DRAFT_OPEN,
	DRAFT_WAITS_FOR_BIG,
	DRAFT_COMMITTING,
	DRAFT_UNSEALED,
	DRAFT_DOOMED,
};

struct big {
	struct list link;
	uint64_t number;
	int fd;
};

struct draft {
	struct list link; /* in the list of its state, or among the idle */
	struct spool_writer *writer;
	enum draft_state state;
	void *session; /* NULL: nobody is told */
	struct mail_id id;
	struct err e;	 /* why it can only be discarded */
	struct buf head; /* of the record: header, envelope, prefix */
	char *body;	 /* the message, or its beginning when there is a big file */
	size_t body_n, body_capacity;
	struct big *big;
	uint64_t big_size;
	uint32_t big_crc;
	uint64_t unsealed; /* the segment whose end must be logged first */
	struct commit commit;
	char first[]; /* the body, until it needs more */
};

struct spool_writer {
	struct loop *loop;
	struct spool_hooks hooks;
	struct loop_wake *wake;
	struct committer *committer;
	struct list open, waiting_for_big, committing, unsealed, doomed, idle; /* drafts */
	unsigned idle_n, waiting_for_big_n;
	size_t memory, memory_max;
	struct list bigs;
	unsigned bigs_n, segments_n; /* at hand */
	unsigned bigs_owed, segments_owed;
	bool is_retiring;
	uint64_t free_space;
	int64_t free_space_at_ms;
};

/* ── draft.c ── */
void draft_free(struct draft *d);
void draft_free_idle(struct spool_writer *w); /* those that are kept for reuse */
void draft_move(struct draft *d, struct list *to, enum draft_state state);
void draft_doom(struct draft *d, const struct err *e); /* will be settled with e; NULL: d->e */
/* It waits for a big file, and one is at hand. */
void draft_go_on(struct draft *d);
void big_free(struct big **of);

/* ── spool.c ── */
void writer_use_bigs(struct spool_writer *w);	/* some may have come: drafts wait for them */
void writer_tell_wants(struct spool_writer *w); /* something was used up, perhaps */

#endif
