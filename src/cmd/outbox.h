/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_OUTBOX_H
#define CMD_OUTBOX_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/*
 * Mails of this person that wait because the place where they are handed in does not answer: one file a mail, synced, under
 * $XDG_STATE_HOME/posthouse/outbox (~/.local/state/…); where there is no home, in a directory of its own under /var/tmp that only
 * this user can open. Nothing is set-uid. Whoever puts the first mail there leaves a process behind that tries again until the outbox is
 * empty (one for each outbox, held by a lock); so does every later call, if that process is gone.
 */
struct outbox_mail {
	const char *
		config_file; /* --config; NULL: $POSTHOUSE_CONFIG or the usual one. Its path is kept with the mail */
	const char *profile; /* NULL: what is the default there */
	struct str reverse_path;
	const struct str *recipients; /* as on the wire */
	size_t recipients_n;
	unsigned notify;    /* PH_NOTIFY_… */
	char ret;	    /* 'F', 'H', 0 */
	struct str envid;   /* empty: none */
	struct str message; /* finished */
};

bool outbox_put(const struct outbox_mail *mail, struct err *e); /* true: it is kept, synced */
/* Tries all that waits, now and in this process. True: nothing waits any more. */
bool outbox_flush(struct err *e);
void outbox_tend(void); /* leaves the process behind, if something waits and there is none */

struct outbox_entry {
	char id[33];
	int64_t since_s;
	struct str reverse_path, first_recipient;
	size_t recipients_n;
	uint64_t size;
	struct str
		reason; /* empty: it waits; else why it will not go: it was refused, or its file is damaged */
};

/* show is called with each mail: those that wait, the oldest first, then those that will not go. */
bool outbox_list(void (*show)(void *context, const struct outbox_entry *entry), void *context,
	struct err *e);

#endif
