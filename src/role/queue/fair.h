/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_QUEUE_FAIR_H
#define ROLE_QUEUE_FAIR_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "role/queue/pace.h"

/*
 * Whose turn it is. Senders take turns; the lines of a sender, one for each destination, take turns
 * among themselves. A line whose destination takes no more is parked there and costs nobody a look
 * until that changes; one that has its share of a destination waits for the end of an attempt of its own. Pure: lines know how many wait in them, not who.
 */

struct destination;

/* Recipients by their names in the queue's pool, neighbours by their links: in fair.c only `n` counts. */
struct chain {
	uint32_t first, last, n;
};

struct sender {
	struct list link;  /* in fair.turns while one of its lines is ready */
	uint32_t name;	   /* the key of fair.senders */
	struct list ready; /* its lines that may start */
	unsigned lines_n;  /* all */
};

struct line {
	struct list link; /* in sender.ready, in destination.parked, in fair.starved, or in none */
	unsigned under_way; /* of its attempts */
	struct list beside; /* in destination.lines */
	uint32_t key[2];    /* sender.name, destination.number: the key of fair.lines */
	uint32_t name;	    /* of its entry in the queue's pool */
	struct sender *sender;
	struct destination *to;
	struct chain waiting;
};

/* Where mail goes: a set of hops, or our own store. */
struct destination {
	uint32_t number;
	struct pace pace;
	struct list parked, lines;
	unsigned waiting_n;
	uint32_t last_sender;	    /* of what was started last; 0: none, or nobody */
	int64_t shared_until_ms;    /* more than one sender was seen a little ago */
	int64_t suspended_until_ms; /* 0: it is not; wall clock */
	struct heap_link wake;	    /* in fair.waking: its parked lines are looked at again then */
};

struct fair {
	struct list turns;   /* struct sender */
	struct list starved; /* lines that wait for memory */
	struct map senders, lines;
	struct heap waking;	  /* struct destination, by ms of now */
	unsigned under_way, most; /* of all destinations together */
};

void fair_begin(struct fair *f, unsigned most);
void fair_free(struct fair *f);
void destination_begin(
	struct destination *d, uint32_t number, unsigned most, unsigned rate, int64_t now_ms);

/* The line of that sender to that destination, made when it is not there. */
struct line *fair_line(struct fair *f, uint32_t sender, struct destination *d);
/* Something waits in it: it takes its turns from now on, unless it does already. */
void fair_ready(struct fair *f, struct line *l);
/* The next line that may start something now, or NULL. It has had its turn. */
struct line *fair_next(struct fair *f, int64_t now_ms, int64_t wall_ms);
/* Nothing waits in it: its destination's others may start in its stead, and when nothing is under way
 * either, it is no more. */
void fair_leave(struct fair *f, struct line *l);
/* The destination goes: it has no line. */
void fair_forget(struct fair *f, struct destination *d);
void fair_starve(struct fair *f, struct line *l); /* no memory for its message */
void fair_feed(struct fair *f);			  /* there may be some again */

void fair_started(struct fair *f, struct line *l, int64_t now_ms);
/* One less is under way; what the destination said is told to its pace by the caller, before. If nothing waits in the
 * line, the caller calls fair_leave. */
void fair_ended(struct fair *f, struct line *l);
/* Wakes what was to be looked at again by now. */
void fair_wake_due(struct fair *f, int64_t now_ms);
/* In how many ms there is something to wake; at most `most_ms`. */
int64_t fair_next_ms(const struct fair *f, int64_t now_ms, int64_t most_ms);
/* It may take more than it did: lines that are parked there are looked at again. */
void fair_wake(struct fair *f, struct destination *d);

#endif
