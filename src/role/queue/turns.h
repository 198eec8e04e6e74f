/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_QUEUE_TURNS_H
#define ROLE_QUEUE_TURNS_H

#include "role/queue/fair.h"

/*
 * Whose question is next, of resolve or of vault. What is to be asked waits behind its payer; payers
 * take turns, and none has more than a quarter of the questions under way. So one whose million
 * domains do not answer holds up no other.
 *
 * Roads wait in a list, recipients in a chain: an asker has both, and each `turns` uses one of them.
 * The owner fills and empties them.
 */

struct queue;

struct asker {
	struct list
		link; /* in turns.ready, while something waits and it may have one more under way */
	uint32_t payer; /* the key of turns.askers; a text that it keeps */
	unsigned under_way;
	struct list roads;
	struct chain recipients;
	uint32_t chain; /* the name of `recipients` */
};

struct turns {
	struct list ready;
	struct map askers;
	unsigned under_way, most; /* of all together */
};

void turns_begin(struct turns *t, unsigned most);
struct asker *turns_of(
	struct queue *q, struct turns *t, uint32_t payer); /* made when it is not there */
void turns_ready(struct turns *t, struct asker *a);	   /* something waits behind it */
/* Who asks now: something waits behind it, which the caller takes. NULL: nobody may, or wants to. */
struct asker *turns_next(struct queue *q, struct turns *t);
void turns_started(struct turns *t, struct asker *a);
void turns_ended(
	struct queue *q, struct turns *t, struct asker *a); /* the asker may be gone then */

static inline bool
asker_waits(const struct asker *a)
{
	return !list_is_empty(&a->roads) || a->recipients.n;
}

#endif
