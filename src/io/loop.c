/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include <stdlib.h>
#include <time.h>

#include <uv.h>

#include "base/log.h"
#include "base/must.h"

struct loop {
	uv_loop_t uv;
	uv_prepare_t before_waiting; /* once a turn, when everything is done and the loop is about
					to wait */
};

struct loop_watch {
	uv_poll_t uv;
	void (*ready)(void *owner, int events);
	void *owner;
	int events;
};

struct loop_timer {
	uv_timer_t uv;
	void (*due)(void *owner);
	void *owner;
};

struct loop_wake {
	uv_async_t uv;
	void (*woken)(void *owner);
	void *owner;
};

static void
turn_ends(uv_prepare_t *uv)
{
	(void)uv;
	log_flush();
}

struct loop *
loop_open(void)
{
	struct loop *l = calloc(1, sizeof *l);

	must(l && uv_loop_init(&l->uv) == 0 && uv_prepare_init(&l->uv, &l->before_waiting) == 0);
	uv_prepare_start(&l->before_waiting, turn_ends);
	uv_unref((uv_handle_t *)&l->before_waiting);
	return l;
}

void
loop_run(struct loop *l)
{
	log_gather(true);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	log_gather(false);
}

void
loop_stop(struct loop *l)
{
	uv_stop(&l->uv);
}

void
loop_close(struct loop **l)
{
	if (!*l)
		return;
	uv_close((uv_handle_t *)&(*l)->before_waiting, NULL);
	uv_run(&(*l)->uv, UV_RUN_NOWAIT); /* closed handles are given back in a turn */
	if (uv_loop_close(&(*l)->uv) == 0)
		free(*l);
	*l = NULL;
}

int64_t
loop_now_ms(struct loop *l)
{
	return (int64_t)uv_now(&l->uv);
}

int64_t
loop_clock_ms(void)
{
	return (int64_t)(uv_hrtime() / 1000000);
}

int64_t
loop_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
handle_gone(uv_handle_t *h)
{
	free(h); /* each handle is the first member of its owner here */
}

static void
watch_ready(uv_poll_t *uv, int status, int events)
{
	struct loop_watch *w = (struct loop_watch *)(void *)uv;

	/* An error shows as both, so that the owner's next call on the descriptor meets it. */
	w->ready(w->owner, status < 0 ? w->events
				      : ((events & (UV_READABLE | UV_DISCONNECT)) ? LOOP_READ : 0) |
						((events & UV_WRITABLE) ? LOOP_WRITE : 0));
}

struct loop_watch *
loop_watch_open(struct loop *l, int fd, void (*ready)(void *owner, int events), void *owner)
{
	struct loop_watch *w = calloc(1, sizeof *w);

	must(w && uv_poll_init(&l->uv, &w->uv, fd) == 0);
	w->ready = ready;
	w->owner = owner;
	return w;
}

void
loop_watch_set(struct loop_watch *w, int events)
{
	int uv = ((events & LOOP_READ) ? UV_READABLE : 0) |
		 ((events & LOOP_WRITE) ? UV_WRITABLE : 0);

	if (events == w->events)
		return;
	w->events = events;
	must((uv ? uv_poll_start(&w->uv, uv, watch_ready) : uv_poll_stop(&w->uv)) == 0);
}

void
loop_watch_close(struct loop_watch **w)
{
	if (!*w)
		return;
	uv_close((uv_handle_t *)&(*w)->uv, handle_gone);
	*w = NULL;
}

static void
timer_due(uv_timer_t *uv)
{
	struct loop_timer *t = (struct loop_timer *)(void *)uv;

	t->due(t->owner);
}

struct loop_timer *
loop_timer_open(struct loop *l, void (*due)(void *owner), void *owner)
{
	struct loop_timer *t = calloc(1, sizeof *t);

	must(t && uv_timer_init(&l->uv, &t->uv) == 0);
	t->due = due;
	t->owner = owner;
	return t;
}

void
loop_timer_set(struct loop_timer *t, int64_t in_ms)
{
	/* libuv 1.44 runs a timer of 0 that its own callback sets again and again before it looks at any descriptor. */
	if (in_ms < 0)
		uv_timer_stop(&t->uv);
	else
		must(uv_timer_start(&t->uv, timer_due, in_ms ? (uint64_t)in_ms : 1, 0) == 0);
}

void
loop_timer_close(struct loop_timer **t)
{
	if (!*t)
		return;
	uv_close((uv_handle_t *)&(*t)->uv, handle_gone);
	*t = NULL;
}

static void
wake_woken(uv_async_t *uv)
{
	struct loop_wake *w = (struct loop_wake *)(void *)uv;

	w->woken(w->owner);
}

struct loop_wake *
loop_wake_open(struct loop *l, void (*woken)(void *owner), void *owner)
{
	struct loop_wake *w = calloc(1, sizeof *w);

	must(w && uv_async_init(&l->uv, &w->uv, wake_woken) == 0);
	w->woken = woken;
	w->owner = owner;
	return w;
}

void
loop_wake_up(struct loop_wake *w)
{
	uv_async_send(&w->uv);
}

void
loop_wake_close(struct loop_wake **w)
{
	if (!*w)
		return;
	uv_close((uv_handle_t *)&(*w)->uv, handle_gone);
	*w = NULL;
}
