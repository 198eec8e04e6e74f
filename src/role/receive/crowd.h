/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_RECEIVE_CROWD_H
#define ROLE_RECEIVE_CROWD_H

#include "base/str.h"

/*
 * What the gate knows of clients: how many connections each has open, and what is remembered of those that
 * were here. One table for all receivers, in memory that master made and keeps.
 */
struct crowd;

/* fd: the table of the message `table`, which stays the caller's; -1, or not of its shape: memory of our own.
 * slot: which of the receivers we are; the connections of whoever had it before are forgotten. */
struct crowd *crowd_open(int fd, unsigned slot);
void crowd_close(struct crowd **c);

/* ── connections; keys are whatever is counted: an address, a network ── */
void crowd_enter(struct crowd *c, struct str key);
void crowd_leave(struct crowd *c, struct str key); /* once for each crowd_enter */
uint32_t crowd_here(const struct crowd *c,
	struct str key); /* of all receivers; may be too many, hardly ever is */

/* ── memory ── */
enum crowd_kind {
	CROWD_RATE = 1, /* recipients named in a minute */
	CROWD_UNKNOWN,	/* unknown ones, in an hour */
	CROWD_FAULT,	/* sessions that we ended for what the client did, in an hour */
	CROWD_WAITED,	/* has waited for the greeting */
	CROWD_GREY,	/* has been asked to come again */
	CROWD_GOOD,	/* came again, or brought mail */
};

struct crowd_memory {
	uint32_t since_s, until_s; /* since 1970 */
	uint32_t count;
};

/* False: nothing, or no longer. */
bool crowd_recall(const struct crowd *c, enum crowd_kind kind, struct str key, int64_t now_s,
	struct crowd_memory *m);
void crowd_remember(
	struct crowd *c, enum crowd_kind kind, struct str key, const struct crowd_memory *m);

/* `more` happened; how often in this window of time, which began with the first. */
uint32_t crowd_count(struct crowd *c, enum crowd_kind kind, struct str key, uint32_t window_s,
	int64_t now_s, uint32_t more);

#endif
