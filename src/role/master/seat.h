/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_SEAT_H
#define ROLE_MASTER_SEAT_H

#include "role/master/start.h"

/*
 * Readers: one process a mailbox that somebody reads. They come by vault's word, for a person that has signed in, and go by themselves when nobody
 * asks them any more. They are many and parse what strangers wrote, so one law suffices for all that may go wrong between a reader and
 * somebody else: the reader ends, and the next sign-in seats another.
 */

/* What vault says: the mailbox has its reader, which is joined to web and queue, and has the fresh token. */
void seat_take(struct master *m, const struct ipc_seat *s);
/* Web or queue, which has begun anew, is joined to all readers that live. */
void seat_join(struct process *p);
/* A connection between it and receive, to hand in mail. A reader that wants too many, or does not take them, is ended: each is a descriptor in
 * master and in receive. */
void seat_speak(struct process *reader, uint64_t ask);
void seat_end(struct master *m, unsigned seat); /* somebody has lost it */

#endif
