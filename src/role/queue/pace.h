/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_QUEUE_PACE_H
#define ROLE_QUEUE_PACE_H

#include "base/err.h"

/*
 * How much of one destination may be tried at once, learned from what it said. A value: the time is
 * an argument (ms of any clock that runs on), chance too.
 */
struct pace {
	unsigned limit, most; /* attempts at once: learned; never above */
	unsigned under_way;
	bool is_shared;			    /* more than one sender writes there: set by fair.c */
	unsigned successes;		    /* since the limit last changed */
	unsigned down_n;		    /* probes in vain, one after another; 0: it is up */
	int64_t down_since_ms, probe_at_ms; /* with down_n */
	unsigned rate;			    /* mails a minute; 0: any number */
	int64_t credit_us, credited_ms;	    /* a mail costs 60 s / rate of it */
};

enum { PACE_BEGIN = 2, PACE_SLOW_START = 8, PACE_PROBE_FIRST_MS = 30000 };

void pace_begin(struct pace *p, unsigned most, unsigned rate, int64_t now_ms);
void pace_configure(struct pace *p, unsigned most, unsigned rate); /* a reload */

/* May one more begin now? Else *wait_ms is when to ask again, -1: when one has ended. */
bool pace_may_start(struct pace *p, int64_t now_ms, int64_t *wait_ms);
void pace_start(struct pace *p, int64_t now_ms);

/* How many of them may be one sender's. With others about some are left to them, so that a sender with much mail, whose
 * attempts are long, does not make them wait for the end of one. */
unsigned pace_share(const struct pace *p);

/* What came of one, told before it is taken out of under_way. */
void pace_went_well(struct pace *p);
void pace_was_slowed(struct pace *p); /* lost, timed out, 421, or told that we are too fast */
/* No host could be reached. From the first time on one probe at a time is let through, the next one
 * ever later: from PACE_PROBE_FIRST_MS, or retry_first_ms where that is shorter, up to retry_most_ms. */
void pace_was_down(struct pace *p, int64_t now_ms, int64_t retry_first_ms, int64_t retry_most_ms,
	uint64_t random);

/* ±20 %; doubles from the first with each try, up to the most. */
int64_t pace_delay_ms(int64_t first_ms, int64_t most_ms, uint32_t tries, uint64_t random);

#endif
