/* SPDX-License-Identifier: Apache-2.0 */
#include "io/thread.h"

#include <semaphore.h>
#include <signal.h>

#include "base/must.h"

struct start {
	void *(*run)(void *);
	void *of;
	sem_t has_begun;
};

static void *
begin(void *argument)
{
	struct start *s = argument;
	void *(*run)(void *) = s->run;
	void *of = s->of;

	must(sem_post(&s->has_begun) == 0); /* s is gone from here on */
	return run(of);
}

void
thread_start(pthread_t *thread, void *(*run)(void *), void *of)
{
	struct start s = { .run = run, .of = of };
	sigset_t all, before;

	must(sem_init(&s.has_begun, 0, 0) == 0);
	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	must(pthread_create(thread, NULL, begin, &s) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	while (sem_wait(&s.has_begun) != 0)
		;
	sem_destroy(&s.has_begun);
}
