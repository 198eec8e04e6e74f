/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_OUTBOX_FILE_H
#define CMD_OUTBOX_FILE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/codec.h"
#include "cmd/outbox.h"

/*
 * What the files of the outbox know of each other.
 *
 *   outbox.c         a mail is put there; what is there
 *   outbox_place.c   where it may be
 *   outbox_file.c    the file of a mail: format, reading, what is noted in it
 *   outbox_send.c    sending what waits
 *   outbox_retry.c   one mail once more
 *   outbox_tend.c    the process that is left behind
 */

/* ── outbox_place.c ── */

enum { OUTBOX_PATH = 4096, OUTBOX_PLACES = 4 };

/* Where an outbox of this person may be, the best place first. False: not there. With `makes` it is made, and e says why not. */
bool outbox_place(unsigned which, bool makes, char path[OUTBOX_PATH], struct err *e);
void outbox_refused(char refused[OUTBOX_PATH], const char *outbox); /* its directory "refused" */
bool outbox_sync(const char *directory);			    /* names in it last; errno */

/* ── outbox_file.c ── */

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

enum {
	OUTBOX_REASON = 400,
	OUTBOX_RECORD_MAX = (1 << 30) + (128 << 20), /* octets of a file */
};

/* What is remembered of a mail from one try to the next. */
struct outbox_note {
	int64_t next_s;	  /* not tried before; since 1970 */
	uint32_t pause_s; /* the last, which the next one doubles */
	int64_t again_s;  /* a person wanted it once more; since 1970; 0: nobody did */
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
/* Into "refused", until a person says otherwise; and out of it. */
bool outbox_put_aside(const char *outbox, const char *name);
bool outbox_take_back(const char *outbox, const char *name);

/* All of a file, everybody in it waiting. */
void outbox_pack(struct buf *to, const struct outbox_mail *mail, int64_t since_s);
/* Written and synced, but for its directory. False: errno, and nothing is left of it. */
bool outbox_write_new(const char *outbox, const char *name, struct str record);
/* States alone, of a mail that nobody read: in place and synced. False: errno. */
bool outbox_write_states(const char *outbox, const char *name, struct str states);

/* ── outbox_send.c ── */

/* The place that the last mail went to, and a connection there that is kept from one round to the next. */
struct outbox_way;

struct outbox_way *outbox_way_new(void);
void outbox_way_free(struct outbox_way **w);
/* Once through what is due, when nobody else is at it any more. */
void outbox_send_due(struct outbox_way *w, const char *outbox);
/* The outbox's lock of that name, until it is closed. -1: errno; EWOULDBLOCK: another process has it. */
int outbox_lock(const char *outbox, const char *name, bool waits);
/* "sending", for a person who waits: but a few seconds. -1: e. */
int outbox_lock_sending(const char *outbox, struct err *e);

#endif
