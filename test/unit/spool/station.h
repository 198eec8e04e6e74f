/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_SPOOL_STATION_H
#define TEST_SPOOL_STATION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spool/segment.h"
#include "spool/spool.h"

/*
 * A writer and a keeper joined as receive and queue join them, in one loop, over a directory of its
 * own. Each mail is made from its number alone, so that what is read can be checked without notes.
 */

enum { STATION_SEGMENT = SPOOL_SEGMENT_MIN };

struct seal_note {
	uint64_t ticket, number;
};

struct station {
	char path[64];
	struct loop *loop;
	struct loop_timer *poll;
	struct spool_keeper *keeper;
	struct spool_writer *writer;
	unsigned kept, refused; /* settled */
	unsigned durable_before, broken_told, filled_told;
	uint64_t published, published_segment; /* the newest `durable` */
	uint64_t broken_end, broken_segment;   /* the last `broken` */
	uint64_t ticket;		       /* durable in the fate log */
	struct seal_note seals[16];
	unsigned seals_n;
	unsigned made, not_made;
	bool is_stingy;		   /* gives no segments */
	bool no_bigs, holds_seals; /* gives no big files; does not answer `broken` */
	bool fates_broke;
	struct err last; /* of a refused mail, or a segment that was not made */
	void (*on_settled)(struct station *s, uintptr_t mail, bool is_kept);
	unsigned segments_owed;
};

void station_open(struct station *s);		    /* in a new directory */
void station_reopen(struct station *s);		    /* the same directory, after station_close */
bool station_try(struct station *s, struct err *e); /* the keeper alone; false with e */
void station_close(struct station *s);
void station_end(struct station *s); /* closes, removes the directory */

/* Turns of the loop until `is_true` holds; fails the test after 20 s. */
void station_wait(struct station *s, bool (*is_true)(struct station *s));
void station_wait_kept(struct station *s, unsigned kept);

/* For tests that put a sync of their own in place: is `part`, such as "/seg/", in the file's path? */
bool fd_path_has(int fd, const char *part);

struct mail_id mail_id_of(uintptr_t mail);
size_t mail_size_of(uintptr_t mail);
void mail_text(struct buf *to, uintptr_t mail, size_t size);
void station_send(struct station *s, uintptr_t mail, size_t size);

/* Seals what is unsealed and reads all; the number of mails found, each checked octet for octet.
 * `seen`, when not NULL, is told of each. */
unsigned station_recover(
	struct station *s, void (*seen)(void *owner, uintptr_t mail, bool is_settled), void *owner);
uintptr_t mail_check(struct station *s, const struct spool_mail *m); /* its number */
void station_read(struct station *s, uint64_t segment, uint64_t end,
	void (*seen)(void *owner, uintptr_t mail, bool is_settled), void *owner, unsigned *n);

#endif
