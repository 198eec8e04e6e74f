/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/words.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"

enum {
	PIPE_OCTETS =
		1024 *
		1024, /* what a role may say while we are busy; more is dropped, and counted by it */
	PIECE = 16 * 1024
};

static bool
is_ours(const struct words *w, struct str line)
{
	struct str name = str_of(ipc_role_name(w->whose));

	return str_starts(line, name) && str_starts(str_from(line, name.n), S(": "));
}

static void
pass_on(struct words *w)
{
	struct str line = { w->line, w->n };

	if (is_ours(w, line))
		log_line(line);
	else if (line.n > 0)
		log_event("words", "role=%s says=%s", ipc_role_name(w->whose), log_quote(line));
	w->n = 0;
}

static void
hear(struct words *w, struct str octets)
{
	for (size_t i = 0; i < octets.n; i++) {
		if (octets.p[i] != '\n')
			w->line[w->n++] = octets.p[i];
		if (octets.p[i] == '\n' || w->n == sizeof w->line)
			pass_on(w);
	}
}

/* One piece. False: there is no more, for now or for ever. */
static bool
read_piece(struct words *w)
{
	static char piece[PIECE];
	ssize_t n = read(w->fd, piece, sizeof piece);

	if (n > 0)
		hear(w, (struct str){ piece, (size_t)n });
	else if (n == 0)
		loop_watch_set(
			w->watch, 0); /* it has closed its end: its death follows, or it is mute */
	return n > 0;
}

static void
words_came(void *owner, int events)
{
	(void)events;
	read_piece(owner); /* one a turn: who talks without end does not keep us from the others */
}

bool
words_open(struct words *w, struct loop *l, enum ipc_role whose, int *theirs)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) != 0)
		return false;
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	fcntl(pair[0], F_SETPIPE_SZ, PIPE_OCTETS);
	*w = (struct words){ .whose = whose, .fd = pair[0] };
	w->watch = loop_watch_open(l, pair[0], words_came, w);
	loop_watch_set(w->watch, LOOP_READ);
	*theirs = pair[1];
	return true;
}

void
words_close(struct words *w)
{
	while (read_piece(w)) /* nobody writes any more: at most what fits into the pipe */
		;
	pass_on(w);
	loop_watch_close(&w->watch);
	close(w->fd);
}
