/* SPDX-License-Identifier: Apache-2.0 */
#include "role/store/store.h"

#include <pthread.h>

#include "base/must.h"
#include "io/thread.h"

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t given;
	struct batch *todo, *finished; /* under the lock */
	struct loop_wake *wake;
	void (*done)(void *owner, struct batch *b);
	void *owner;
};

static void *
worker_thread(void *argument)
{
	struct worker *w = argument;
	struct batch *b;

	for (;;) {
		pthread_mutex_lock(&w->lock);
		while (!w->todo)
			pthread_cond_wait(&w->given, &w->lock);
		b = w->todo;
		w->todo = NULL;
		pthread_mutex_unlock(&w->lock);

		batch_deliver(b);

		pthread_mutex_lock(&w->lock);
		w->finished = b;
		pthread_mutex_unlock(&w->lock);
		loop_wake_up(w->wake);
	}
	return NULL;
}

static void
worker_woken(void *owner)
{
	struct worker *w = owner;
	struct batch *b;

	pthread_mutex_lock(&w->lock);
	b = w->finished;
	w->finished = NULL;
	pthread_mutex_unlock(&w->lock);
	if (b)
		w->done(w->owner, b);
}

struct worker *
worker_open(struct loop *l, void (*done)(void *owner, struct batch *b), void *owner)
{
	struct worker *w = calloc(1, sizeof *w);

	must(w);
	w->done = done;
	w->owner = owner;
	w->wake = loop_wake_open(l, worker_woken, w);
	must(pthread_mutex_init(&w->lock, NULL) == 0 && pthread_cond_init(&w->given, NULL) == 0);
	thread_start(&w->thread, worker_thread, w);
	return w;
}

void
worker_give(struct worker *w, struct batch *b)
{
	pthread_mutex_lock(&w->lock);
	must(!w->todo);
	w->todo = b;
	pthread_cond_signal(&w->given);
	pthread_mutex_unlock(&w->lock);
}
