/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/turns.h"

#include "base/must.h"
#include "role/queue/queue.h"

/*
 * An asker is in `ready` when something waits behind it and it has less than its share under way. What
 * waits may go away without a word (a recipient that is held, dropped, expired): so an asker may be
 * found there with nothing behind it, and is looked at again when it comes to its turn.
 */

static struct str
asker_key(const void *member)
{
	const struct asker *a = member;

	return (struct str){ (const char *)&a->payer, sizeof a->payer };
}

void
turns_begin(struct turns *t, unsigned most)
{
	*t = (struct turns){ .askers.key_of = asker_key, .most = most };
	list_init(&t->ready);
}

struct asker *
turns_of(struct queue *q, struct turns *t, uint32_t payer)
{
	struct asker *a = map_get(&t->askers, (struct str){ (const char *)&payer, sizeof payer });

	if (a)
		return a;
	a = calloc(1, sizeof *a);
	must(a);
	a->payer = intern_keep(&q->texts, payer);
	list_init(&a->roads);
	a->chain = chain_name(q, &a->recipients);
	map_put(&t->askers, a);
	return a;
}

static void
forget_idle(struct queue *q, struct turns *t, struct asker *a)
{
	if (a->under_way || asker_waits(a))
		return;
	list_remove(&a->link);
	map_remove(&t->askers, asker_key(a));
	pool_give(&q->chains, a->chain);
	intern_drop(&q->texts, a->payer);
	free(a);
}

static unsigned
share(const struct turns *t)
{
	return t->most < 4 ? 1 : t->most / 4;
}

void
turns_ready(struct turns *t, struct asker *a)
{
	if (a->under_way < share(t) && !list_is_linked(&a->link))
		list_append(&t->ready, &a->link);
}

struct asker *
turns_next(struct queue *q, struct turns *t)
{
	while (t->under_way < t->most && !list_is_empty(&t->ready)) {
		struct asker *a = list_of(t->ready.next, struct asker, link);

		if (asker_waits(a))
			return a;
		list_remove(&a->link);
		forget_idle(q, t, a);
	}
	return NULL;
}

void
turns_started(struct turns *t, struct asker *a)
{
	a->under_way++;
	t->under_way++;
	list_remove(&a->link);
	if (asker_waits(a))
		turns_ready(t, a); /* behind the others */
}

void
turns_ended(struct queue *q, struct turns *t, struct asker *a)
{
	must(a->under_way && t->under_way);
	a->under_way--;
	t->under_way--;
	if (asker_waits(a))
		turns_ready(t, a);
	forget_idle(q, t, a);
}
