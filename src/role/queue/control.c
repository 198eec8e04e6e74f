/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/control.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"

/*
 * Commands on state/control: whoever may open that socket may give orders. One order at a time a
 * connection; its answers go out as fast as the command reads, then `end`. No order holds the loop for
 * longer than a slice of a few milliseconds: the rest waits for the next turn.
 */

enum {
	CONTROLS_MOST = 16,
	READER_MS = 5,	     /* a command that reads slowly is looked at again after so long */
	PATIENCE_MS = 10000, /* with an index that is not whole yet */
	RESOLVE_MS = 30000,  /* with resolve */
	SO_FAR_EVERY = 16,   /* slices between two `end` that say how far a deed is */
};

struct control_door {
	struct queue *queue;
	struct loop_watch *watch;
	int fd;
};

static void
control_free(struct control **c)
{
	walk_end(*c);
	why_end(*c);
	ipc_close(&(*c)->channel);
	loop_timer_close(&(*c)->again);
	loop_timer_close(&(*c)->patience);
	buf_free(&(*c)->what);
	buf_free(&(*c)->sender);
	list_remove(&(*c)->link);
	free(*c);
	*c = NULL;
}

void
control_end(struct control *c)
{
	c->end.is_last = true;
	ipc_send_end(c->channel, &c->end);
	c->is_busy = false;
	c->ask = 0;
	loop_timer_set(c->patience, -1);
}

void
control_refuse(struct control *c, const char *why)
{
	c->end.wrong = str_of(why);
	control_end(c);
	c->end.wrong = (struct str){ 0 };
}

/* ── an order, slice by slice ── */

/* The order is written down first; then whoever it concerns is gone through. */
static bool
order_suspend(struct control *c)
{
	int64_t before_ms = 0;
	struct err e = { 0 };

	if (!suspend_set(c->queue, buf_str(&c->what), c->verb == ORDER_SUSPEND ? c->until_ms : 0,
		    &before_ms, &e)) {
		control_refuse(c, e.text);
		return false;
	}
	c->until_ms = before_ms;
	walk_begin(c);
	return true;
}

static void
order_suspended(struct control *c)
{
	int64_t until_ms;
	struct str name;

	for (size_t at = 0; suspend_next(c->queue, &at, &name, &until_ms);)
		ipc_send_place(c->channel,
			&(struct ipc_place){
				.fd = -1, .name = name, .suspended_until_ms = (uint64_t)until_ms });
	control_end(c);
}

/* True: there is more, in another turn. */
static bool
order_go_on(struct control *c)
{
	switch (c->verb) {
	case ORDER_LIST:
	case ORDER_SHOW:
	case ORDER_GROUP:
	case ORDER_HOLD:
	case ORDER_RELEASE:
	case ORDER_RETRY:
	case ORDER_BOUNCE:
	case ORDER_DROP:
	case ORDER_UNDO:
	case ORDER_SUSPEND:
	case ORDER_RESUME:
		return walk_go_on(c);
	case ORDER_WHY:
		return why_go_on(c);
	case ORDER_TOP:
	case ORDER_SUSPENDED:
	case ORDER_ROUTE:
	case ORDER_VERBS:
		break;
	}
	return false;
}

static void
control_go_on(void *owner)
{
	struct control *c = owner;

	if (!c->is_busy)
		return;
	if (ipc_waiting(c->channel) < CONTROL_WAITING_MOST && !order_go_on(c)) {
		control_end(c);
		schedule_go(c->queue);
		return;
	}
	c->slices++;
	if (c->verb >= ORDER_HOLD && c->verb <= ORDER_UNDO && c->slices % SO_FAR_EVERY == 0)
		ipc_send_end(c->channel, &c->end);
	loop_timer_set(c->again, ipc_waiting(c->channel) < CONTROL_WAITING_MOST ? 0 : READER_MS);
}

/* All that is asked of the index. */
static void
order_begin(struct control *c)
{
	struct err e = { 0 };

	loop_timer_set(c->patience, -1);
	c->is_waiting = false;
	c->end.is_partial = !queue_is_whole(c->queue);
	if (c->verb == ORDER_WHY) {
		if (!why_begin(c))
			return;
	} else if (!filter_parse(&c->filter, buf_str(&c->what), &e)) {
		control_refuse(c, e.text);
		return;
	} else {
		walk_begin(c);
	}
	control_go_on(c);
}

static void
order_take(struct control *c, const struct ipc_order *m)
{
	buf_reset(&c->what);
	buf_add(&c->what, m->what);
	buf_reset(&c->sender);
	buf_add(&c->sender, m->sender);
	c->verb = m->verb;
	c->by = m->by;
	c->is_trial = m->is_trial;
	c->until_ms = (int64_t)(m->until_ms & INT64_MAX);
	c->end = (struct ipc_end){ .fd = -1 };
	c->is_busy = true;
	c->slices = 0;
	switch (c->verb) {
	case ORDER_TOP:
		board_top(c);
		control_end(c);
		break;
	case ORDER_SUSPENDED:
		order_suspended(c);
		break;
	case ORDER_SUSPEND:
	case ORDER_RESUME:
		if (order_suspend(c))
			control_go_on(c);
		break;
	case ORDER_ROUTE:
		if (board_route(c))
			loop_timer_set(c->patience, RESOLVE_MS);
		break;
	default: /* a list that lacks what the log still holds would be taken for "all delivered" */
		c->is_waiting = !queue_is_whole(c->queue);
		if (c->is_waiting)
			loop_timer_set(c->patience, PATIENCE_MS);
		else
			order_begin(c);
	}
}

static void
control_patience_ends(void *owner)
{
	struct control *c = owner;

	if (c->is_waiting)
		order_begin(c);
	else if (c->ask)
		control_refuse(c, "resolve does not answer: see the station's log");
}

void
control_index_is_whole(struct queue *q)
{
	list_each_safe (at, &q->controls) {
		struct control *c = list_of(at, struct control, link);

		if (c->is_waiting)
			order_begin(c);
	}
}

void
control_hops(struct queue *q, const struct ipc_hops *m)
{
	list_each_safe (at, &q->controls) {
		struct control *c = list_of(at, struct control, link);

		if (c->ask && c->ask == m->ask) {
			board_send_traced(c, m);
			control_end(c);
		}
	}
}

/* ── connections ── */

static void
control_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct control *c = owner;

	(void)from;
	if (m->kind == IPC_order && !c->is_busy && m->order.verb < ORDER_VERBS &&
		m->order.by < ORDER_BYS)
		order_take(c, &m->order);
	else
		control_free(&c);
}

/* Room for one more, if need be the oldest that asks nothing: idle ones cannot keep the operator out. */
static bool
control_make_room(struct queue *q)
{
	struct control *idle = NULL;
	size_t n = 0;

	list_each (at, &q->controls) {
		struct control *c = list_of(at, struct control, link);

		n++;
		if (!idle && !c->is_busy)
			idle = c;
	}
	if (n >= CONTROLS_MOST && idle) {
		control_free(&idle);
		n--;
	}
	return n < CONTROLS_MOST;
}

static void
control_ready(void *owner, int events)
{
	struct control_door *d = owner;
	struct loop *loop = d->queue->role.loop;
	int fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control *c;

	(void)events;
	if (fd < 0)
		return;
	if (!control_make_room(d->queue)) {
		close(fd);
		return;
	}
	c = calloc(1, sizeof *c);
	must(c);
	c->queue = d->queue;
	c->what.max = c->sender.max = IPC_TEXT_MAX;
	c->patience = loop_timer_open(loop, control_patience_ends, c);
	c->again = loop_timer_open(loop, control_go_on, c);
	c->channel = ipc_open(loop, fd, ROLE_QUEUE, ROLE_COMMAND, control_came, c);
	list_append(&d->queue->controls, &c->link);
}

void
control_listener(struct queue *q, int fd)
{
	struct control_door *d = calloc(1, sizeof *d);

	must(d);
	*d = (struct control_door){ .queue = q, .fd = fd };
	d->watch = loop_watch_open(q->role.loop, fd, control_ready, d);
	loop_watch_set(d->watch, LOOP_READ);
}
