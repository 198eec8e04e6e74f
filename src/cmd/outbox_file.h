/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_OUTBOX_FILE_H
#define CMD_OUTBOX_FILE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/codec.h"
#include "cmd/outbox.h"

/* Within the outbox: its directories and files (outbox.c), for whoever sends what waits (outbox_send.c). */

enum { OUTBOX_PATH = 4096, OUTBOX_PLACES = 3 };

/* Where an outbox of this person may be, the best place first. False: not there. With `makes` it is made, and e says why not. */
bool outbox_place(unsigned which, bool makes, char path[OUTBOX_PATH], struct err *e);

struct outbox_name {
	char text[MAIL_ID_TEXT];
	int64_t written_ns; /* since 1970 */
};

/* All mails of a directory, the oldest first; free(). NULL: none. */
struct outbox_name *outbox_names(const char *directory, size_t *n);

/* One mail as it was read; zero-initialise. */
struct outbox_file {
	struct outbox_mail mail; /* points into octets and arena */
	int64_t since_s;
	struct buf octets;
	struct arena arena;
};

enum outbox_reading { OUTBOX_READ, OUTBOX_UNREADABLE, OUTBOX_DAMAGED };

enum outbox_reading outbox_read(
	const char *directory, const char *name, struct outbox_file *f, struct err *e);
void outbox_file_free(struct outbox_file *f);

/* Synced, in place of a former one of that name. */
bool outbox_write(const char *directory, const char *name, const struct outbox_mail *mail,
	int64_t since_s, struct err *e);
bool outbox_remove(const char *directory, const char *name);

/* For good: into "refused", with the reason beside it. mail NULL: the file itself goes there, as it is. */
bool outbox_put_aside(const char *outbox, const char *name, const struct outbox_mail *mail,
	int64_t since_s, const char *reason, struct err *e);

#endif
