/* SPDX-License-Identifier: Apache-2.0 */
#include "role/resolve/event.h"

#include <stdlib.h>
#include <sys/time.h>
#include <unbound-event.h>

#include "base/must.h"

/*
 * libunbound asks for events in libevent's manner, through tables of functions that we fill; so it lives in our loop, without a
 * thread or a child of its own. An event is a descriptor, a timer or both. What libevent promises, and is kept here:
 *
 *   1. An event without UB_EV_PERSIST is inactive from just before its callback; one with it begins its time-out anew.
 *   2. The callback may do anything to its event, free it included: after a callback nothing of the event is touched.
 *   3. Descriptors are closed soon after `del`: from then on the loop does not know them.
 */

struct event_base {
	struct ub_event_base as_unbound; /* first: the library hands this back */
	struct loop *loop;
};

struct event {
	struct ub_event as_unbound; /* first */
	struct loop *loop;
	int fd;
	short bits;
	void (*happened)(int fd, short bits, void *owner);
	void *owner;
	struct loop_watch *watch; /* NULL: inactive, or a timer alone */
	struct loop_timer *timer;
	int64_t timeout_ms; /* negative: none */
};

static struct event *
event_of(struct ub_event *e)
{
	must(e->magic == UB_EVENT_MAGIC);
	return (struct event *)(void *)e;
}

static int64_t
in_ms(const struct timeval *t)
{
	return t ? (int64_t)t->tv_sec * 1000 + (t->tv_usec + 999) / 1000 : -1;
}

static void
deactivate(struct event *e)
{
	e->timeout_ms = -1;
	loop_watch_close(&e->watch);
	if (e->timer)
		loop_timer_set(e->timer, -1);
}

static void
happen(struct event *e, short bits)
{
	if (!(e->bits & UB_EV_PERSIST))
		deactivate(e);
	else if (e->timeout_ms >= 0)
		loop_timer_set(e->timer, e->timeout_ms);
	e->happened(e->fd, bits, e->owner);
}

static void
event_ready(void *owner, int events)
{
	struct event *e = owner;
	int bits = (events & LOOP_READ ? UB_EV_READ : 0) | (events & LOOP_WRITE ? UB_EV_WRITE : 0);

	bits &= e->bits;
	if (bits)
		happen(e, (short)bits);
}

static void
event_due(void *owner)
{
	happen(owner, UB_EV_TIMEOUT);
}

static void
set_timeout(struct event *e, const struct timeval *timeout)
{
	e->timeout_ms = in_ms(timeout);
	if (e->timeout_ms >= 0 && !e->timer)
		e->timer = loop_timer_open(e->loop, event_due, e);
	if (e->timer)
		loop_timer_set(e->timer, e->timeout_ms);
}

/* ── the table of an event ── */

static void
on_add_bits(struct ub_event *ub, short bits)
{
	struct event *e = event_of(ub);

	e->bits = (short)(e->bits | bits);
}

static void
on_del_bits(struct ub_event *ub, short bits)
{
	struct event *e = event_of(ub);

	e->bits = (short)(e->bits & ~bits);
}

static void
on_set_fd(struct ub_event *ub, int fd)
{
	event_of(ub)->fd = fd;
}

static void
on_free(struct ub_event *ub)
{
	struct event *e = event_of(ub);

	deactivate(e);
	loop_timer_close(&e->timer);
	free(e);
}

static int
on_add(struct ub_event *ub, struct timeval *timeout)
{
	struct event *e = event_of(ub);
	int events =
		(e->bits & UB_EV_READ ? LOOP_READ : 0) | (e->bits & UB_EV_WRITE ? LOOP_WRITE : 0);

	if (events && e->fd >= 0) {
		if (!e->watch)
			e->watch = loop_watch_open(e->loop, e->fd, event_ready, e);
		loop_watch_set(e->watch, events);
	}
	set_timeout(e, timeout);
	return 0;
}

static int
on_del(struct ub_event *ub)
{
	deactivate(event_of(ub));
	return 0;
}

static int
on_add_timer(struct ub_event *ub, struct ub_event_base *base, void (*happened)(int, short, void *),
	void *owner, struct timeval *timeout)
{
	struct event *e = event_of(ub);

	(void)base; /* the one it was made of */
	e->happened = happened;
	e->owner = owner;
	set_timeout(e, timeout);
	return 0;
}

static struct ub_event_vmt event_table = { /* not const: the library's own type is not */
	.add_bits = on_add_bits,
	.del_bits = on_del_bits,
	.set_fd = on_set_fd,
	.free = on_free,
	.add = on_add,
	.del = on_del,
	.add_timer = on_add_timer,
	.del_timer = on_del
};

/* ── the table of the base ── */

static struct ub_event *
on_new_event(struct ub_event_base *base, int fd, short bits, void (*happened)(int, short, void *),
	void *owner)
{
	struct event *e = calloc(1, sizeof *e);

	must(e && base->magic == UB_EVENT_MAGIC);
	*e = (struct event){ .as_unbound = { .magic = UB_EVENT_MAGIC, .vmt = &event_table },
		.loop = ((struct event_base *)(void *)base)->loop,
		.fd = fd,
		.bits = bits,
		.happened = happened,
		.owner = owner,
		.timeout_ms = -1 };
	return &e->as_unbound;
}

static struct ub_event_base_vmt base_table = { .new_event = on_new_event };

struct ub_event_base *
event_base_open(struct loop *l)
{
	struct event_base *b = calloc(1, sizeof *b);

	must(b);
	*b = (struct event_base){ .as_unbound = { .magic = UB_EVENT_MAGIC, .vmt = &base_table },
		.loop = l };
	return &b->as_unbound;
}

void
event_base_close(struct ub_event_base **base)
{
	free(*base);
	*base = NULL;
}
