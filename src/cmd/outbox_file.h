/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_OUTBOX_FILE_H
#define CMD_OUTBOX_FILE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/codec.h"
#include "cmd/outbox.h"

/* Within the outbox: its directories and files (outbox.c), for whoever sends what waits (outbox_send.c). */

enum { OUTBOX_PATH = 4096, OUTBOX_PLACES = 4 };

/* Where an outbox of this person may be, the best place first. False: not there. With `makes` it is made, and e says why not. */
bool outbox_place(unsigned which, bool makes, char path[OUTBOX_PATH], struct err *e);

struct outbox_name {
	char text[MAIL_ID_TEXT];
	int64_t written_ns; /* since 1970 */
};

/* All mails of a directory, the oldest first; free(). NULL: none. */
struct outbox_name *outbox_names(const char *directory, size_t *n);

/* Files of killed writers go. */
void outbox_sweep(const char *outbox);

enum outbox_state {
	OUTBOX_WAITS = 'w',
	OUTBOX_TAKEN = 't',
	OUTBOX_FAILED = 'f', /* refused, unsure, or given up */
};

enum { OUTBOX_REASON = 400 };

/* What is remembered of a mail from one try to the next. */
struct outbox_note {
	int64_t next_s;	  /* not tried before; since 1970 */
	uint32_t pause_s; /* the last, which the next one doubles */
	char waits[OUTBOX_REASON], failed[OUTBOX_REASON];
};

/* One mail as it was read; zero-initialise. */
struct outbox_file {
	struct outbox_mail mail; /* points into octets and arena */
	int64_t since_s;
	struct outbox_note note;
	char *states; /* enum outbox_state of each recipient */
	struct buf octets;
	struct arena arena;
};

enum outbox_reading { OUTBOX_READ, OUTBOX_UNREADABLE, OUTBOX_DAMAGED };

enum outbox_reading outbox_read(
	const char *directory, const char *name, struct outbox_file *f, struct err *e);
void outbox_file_free(struct outbox_file *f);
size_t outbox_count(const struct outbox_file *f, enum outbox_state state); /* recipients */

/* Note and states, in place and synced. False: errno; ENOENT: somebody removed the mail. */
bool outbox_note(const char *directory, const char *name, const struct outbox_file *f);
int64_t outbox_next_try(const char *directory, const char *name); /* of its note alone; 0: none */
bool outbox_remove(const char *directory, const char *name);
/* For good: into "refused". */
bool outbox_put_aside(const char *outbox, const char *name);

#endif
