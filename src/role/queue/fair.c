/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/fair.h"

#include "base/must.h"

enum {
	SHARED_MS = 60000,
	LOOK_AGAIN_MS = 60000, /* at what ends by the wall clock, which may be set meanwhile */
};

/*
 *   turns ─▶ sender ─▶ sender ─▶ …           each turn: one errand of one line of one sender
 *              │ ready
 *              ├─▶ line ─▶ line              its lines take turns as well
 *              │
 *   destination.parked ─▶ line ─▶ line       those whose destination takes no more; of all senders,
 *                                            first come, first woken: round robin again
 *
 * Invariants
 * 1. A sender is in `turns` exactly when it has a ready line.
 * 2. A line that something waits in is ready, parked, starved, or under way with as much as it may be: then the end of
 *    each attempt looks at it again.
 * 3. Where lines are parked, something is under way there, or the destination is in `waking`, or its last
 *    look found neither and it was woken since: so none is forgotten.
 */

static struct str
sender_key(const void *member)
{
	const struct sender *s = member;

	return (struct str){ (const char *)&s->name, sizeof s->name };
}

static struct str
line_key(const void *member)
{
	const struct line *l = member;

	return (struct str){ (const char *)l->key, sizeof l->key };
}

void
fair_begin(struct fair *f, unsigned most)
{
	*f = (struct fair){ .most = most, .senders.key_of = sender_key, .lines.key_of = line_key };
	list_init(&f->turns);
	list_init(&f->starved);
}

void
fair_free(struct fair *f)
{
	void *member;

	for (size_t at = 0; (member = map_next(&f->lines, &at));)
		free(member);
	for (size_t at = 0; (member = map_next(&f->senders, &at));)
		free(member);
	map_free(&f->lines);
	map_free(&f->senders);
	heap_free(&f->waking);
}

void
destination_begin(
	struct destination *d, uint32_t number, unsigned most, unsigned rate, int64_t now_ms)
{
	*d = (struct destination){ .number = number };
	pace_begin(&d->pace, most, rate, now_ms);
	list_init(&d->parked);
	list_init(&d->lines);
}

static struct sender *
sender_of(struct fair *f, uint32_t name)
{
	struct sender *s = map_get(&f->senders, (struct str){ (const char *)&name, sizeof name });

	if (s)
		return s;
	s = calloc(1, sizeof *s);
	must(s);
	s->name = name;
	list_init(&s->ready);
	map_put(&f->senders, s);
	return s;
}

struct line *
fair_line(struct fair *f, uint32_t sender, struct destination *d)
{
	uint32_t key[2] = { sender, d->number };
	struct line *l = map_get(&f->lines, (struct str){ (const char *)key, sizeof key });

	if (l)
		return l;
	l = calloc(1, sizeof *l);
	must(l);
	l->key[0] = sender;
	l->key[1] = d->number;
	l->sender = sender_of(f, sender);
	l->sender->lines_n++;
	l->to = d;
	list_append(&d->lines, &l->beside);
	map_put(&f->lines, l);
	return l;
}

/* ── ready or not ── */

static void
line_ready(struct fair *f, struct line *l)
{
	list_remove(&l->link);
	list_append(&l->sender->ready, &l->link);
	if (!list_is_linked(&l->sender->link))
		list_append(&f->turns, &l->sender->link);
}

static void
line_rest(struct line *l, struct list *where)
{
	list_remove(&l->link);
	if (where)
		list_append(where, &l->link);
	if (list_is_empty(&l->sender->ready))
		list_remove(&l->sender->link);
}

void
fair_ready(struct fair *f, struct line *l)
{
	if (!list_is_linked(&l->link))
		line_ready(f, l);
}

/* As many lines as may start now; when it is down or idle, one. */
void
fair_wake(struct fair *f, struct destination *d)
{
	const struct pace *p = &d->pace;
	unsigned n = p->down_n || p->limit <= p->under_way ? 1 : p->limit - p->under_way;

	heap_remove(&f->waking, &d->wake);
	for (; n && !list_is_empty(&d->parked); n--)
		line_ready(f, list_of(d->parked.next, struct line, link));
}

static void
line_free(struct fair *f, struct line *l)
{
	list_remove(&l->beside);
	map_remove(&f->lines, line_key(l));
	if (--l->sender->lines_n == 0) {
		map_remove(&f->senders, sender_key(l->sender));
		free(l->sender);
	}
	free(l);
}

void
fair_leave(struct fair *f, struct line *l)
{
	struct destination *d = l->to;

	must(l->waiting.n == 0);
	line_rest(l, NULL);
	if (l->under_way == 0)
		line_free(f, l);
	fair_wake(f, d);
}

void
fair_forget(struct fair *f, struct destination *d)
{
	must(list_is_empty(&d->lines));
	heap_remove(&f->waking, &d->wake);
}

void
fair_starve(struct fair *f, struct line *l)
{
	line_rest(l, &f->starved);
	fair_wake(f, l->to);
}

void
fair_feed(struct fair *f)
{
	while (!list_is_empty(&f->starved))
		line_ready(f, list_of(f->starved.next, struct line, link));
}

/* ── turns ── */

static bool
may_start(struct destination *d, int64_t now_ms, int64_t wall_ms, int64_t *wait_ms)
{
	if (d->suspended_until_ms > wall_ms) {
		*wait_ms = d->suspended_until_ms - wall_ms;
		if (*wait_ms > LOOK_AGAIN_MS)
			*wait_ms = LOOK_AGAIN_MS;
		return false;
	}
	d->suspended_until_ms = 0;
	return pace_may_start(&d->pace, now_ms, wait_ms);
}

static void
park(struct fair *f, struct line *l, int64_t wake_at_ms)
{
	struct destination *d = l->to;

	line_rest(l, &d->parked);
	if (wake_at_ms < 0 || d->wake.place)
		return;
	d->wake.due = wake_at_ms;
	heap_put(&f->waking, &d->wake);
}

struct line *
fair_next(struct fair *f, int64_t now_ms, int64_t wall_ms)
{
	while (f->under_way < f->most && !list_is_empty(&f->turns)) {
		struct sender *s = list_of(f->turns.next, struct sender, link);
		struct line *l = list_of(s->ready.next, struct line, link);
		int64_t wait_ms;

		if (l->under_way >= pace_share(&l->to->pace)) {
			line_rest(l, NULL);
			if (l->to->pace.under_way < l->to->pace.limit)
				fair_wake(f, l->to); /* the room is for another one */
			continue;
		}
		if (!may_start(l->to, now_ms, wall_ms, &wait_ms)) {
			park(f, l, wait_ms < 0 ? -1 : now_ms + wait_ms);
			continue; /* looking was not a turn */
		}
		list_remove(&l->link);
		list_append(&s->ready, &l->link);
		list_remove(&s->link);
		list_append(&f->turns, &s->link);
		return l;
	}
	return NULL;
}

void
fair_started(struct fair *f, struct line *l, int64_t now_ms)
{
	struct destination *d = l->to;

	if (d->last_sender && d->last_sender != l->key[0])
		d->shared_until_ms = now_ms + SHARED_MS;
	d->last_sender = l->key[0];
	d->pace.is_shared = now_ms < d->shared_until_ms;
	l->under_way++;
	f->under_way++;
	pace_start(&d->pace, now_ms);
}

void
fair_ended(struct fair *f, struct line *l)
{
	struct destination *d = l->to;

	must(f->under_way && d->pace.under_way && l->under_way);
	l->under_way--;
	f->under_way--;
	d->pace.under_way--;
	if (l->waiting.n && !list_is_linked(&l->link))
		list_append(&d->parked, &l->link);
	fair_wake(f, d);
}

void
fair_wake_due(struct fair *f, int64_t now_ms)
{
	struct heap_link *top;

	while ((top = heap_top(&f->waking)) && top->due <= now_ms)
		fair_wake(f, list_of(top, struct destination, wake));
}

int64_t
fair_next_ms(const struct fair *f, int64_t now_ms, int64_t most_ms)
{
	const struct heap_link *top = heap_top(&f->waking);
	int64_t in_ms = top ? top->due - now_ms : most_ms;

	return in_ms < 0 ? 0 : in_ms < most_ms ? in_ms : most_ms;
}
