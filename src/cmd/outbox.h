/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_OUTBOX_H
#define CMD_OUTBOX_H

#include <posthouse.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/*
 * Mails of this person that wait because the place where they are handed in does not answer: one file a mail, synced, under
 * $XDG_STATE_HOME/posthouse/outbox (~/.local/state/…); where there is no home or no room, in a directory of its own under
 * /var/spool/posthouse-outbox or /var/tmp that only this user can open. Nothing is set-uid. Whoever puts the first mail there leaves a process behind that tries again until the outbox is
 * empty (one for each outbox, held by a lock); so does every later call, if that process is gone.
 */
struct outbox_mail {
	const char *
		config_file; /* --config; NULL: $POSTHOUSE_CONFIG or the usual one. Its path is kept with the mail */
	const char *profile; /* NULL: what is the default there */
	struct str reverse_path;
	const struct str *recipients; /* as on the wire, nobody twice */
	size_t recipients_n;
	unsigned notify;    /* PH_NOTIFY_… */
	char ret;	    /* 'F', 'H', 0 */
	struct str envid;   /* as its sender said it, not as xtext; empty: none */
	struct str message; /* finished */
};

/* The same for the library; the message stays the caller's. */
ph_mail *outbox_compose(const struct outbox_mail *mail);

bool outbox_put(const struct outbox_mail *mail, struct err *e); /* true: it is kept, synced */

/* A mail whose room is taken, synced, but which nobody sends; zero-initialise. */
struct outbox_spare {
	char *outbox; /* NULL: there is none */
	char id[33];
	size_t recipients_n;
};

bool outbox_spare_write(struct outbox_spare *spare, const struct outbox_mail *mail, struct err *e);
/* It becomes a mail for those of whom `waits` is true, in the order of the spare's recipients, without more room. */
bool outbox_spare_keep(struct outbox_spare *spare, const bool *waits, struct err *e);
void outbox_spare_drop(struct outbox_spare *spare); /* what was not kept goes */
/* Tries all that waits, now and in this process. True: nothing waits any more. ERR_PERMANENT: nor does it, but it did not reach everybody. */
bool outbox_flush(struct err *e);
/* The mail whose id begins so waits again, for all whom it did not reach. False: e; ERR_OTHER: there is none, or several. */
bool outbox_retry(struct str id, struct err *e);
void outbox_tend(void); /* leaves the process behind, if something waits and there is none */

struct outbox_entry {
	char id[33];
	const char *file;
	int64_t since_s;
	struct str reverse_path, first_recipient;
	size_t recipients_n;
	uint64_t size;
	bool will_not_go;  /* refused, perhaps taken, given up, or its file is damaged */
	struct str reason; /* for that, or why it waits; empty: not tried yet */
};

typedef void outbox_show(void *context, const struct outbox_entry *entry);

/* Each mail that waits, the oldest first, then those that will not go; of one that is both, each part. */
bool outbox_list(outbox_show *show, void *context, struct err *e);

#endif
