/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/outbox_file.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The process that is left behind, one for each outbox, until it is empty.
 *
 * It holds the lock "tending" as long as it lives. Who puts a mail there and finds "tending" taken may leave: the tender looks again
 * after it has let go of the lock.
 */

enum { LOOK_FIRST_S = 1, LOOK_MOST_S = 30 };

static bool
has_mail(const char *outbox)
{
	size_t n;

	memory_release(NULL, outbox_names(outbox, &n));
	return n > 0;
}

static void
tend(const char *outbox)
{
	struct outbox_way *w = outbox_way_new();
	unsigned pause_s = LOOK_FIRST_S;
	int tending;

	/* whoever came while the lock was held has left its mail to us */
	while (has_mail(outbox) && (tending = outbox_lock(outbox, "tending", false)) >= 0) {
		do {
			sleep(pause_s);
			pause_s = 2 * pause_s < LOOK_MOST_S ? 2 * pause_s : LOOK_MOST_S;
			outbox_send_due(w, outbox);
		} while (has_mail(outbox)); /* nor has an outbox that somebody removed */
		close(tending);
	}
	outbox_way_free(&w);
}

/* Nothing of the caller's is kept open: who waits for the end of our output must not wait for this. */
static void
detach(void)
{
	int null = open("/dev/null", O_RDWR);

	if (setsid() < 0 || null < 0 || chdir("/") < 0)
		_exit(1);
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	close_range(3, ~0u, 0);
}

static void
leave_tender(const char *outbox)
{
	pid_t child = fork();

	if (child > 0)
		waitpid(child, NULL, 0);
	if (child != 0)
		return;
	detach();
	if (fork() == 0)
		tend(outbox);
	_exit(0);
}

void
outbox_tend(void)
{
	char outbox[OUTBOX_PATH];
	struct err e;
	int tending;

	for (unsigned i = 0; i < OUTBOX_PLACES; i++) {
		if (!outbox_place(i, false, outbox, &e) || !has_mail(outbox))
			continue;
		tending = outbox_lock(outbox, "tending", false);
		if (tending < 0)
			continue;
		close(tending);
		leave_tender(outbox);
	}
}
