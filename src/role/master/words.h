/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_WORDS_H
#define ROLE_MASTER_WORDS_H

#include "io/ipc.h"
#include "io/loop.h"

/*
 * What a role says on its standard error comes here, over a pipe, and goes on to ours: a role never holds the log or the terminal
 * itself, so that it can neither erase lines nor speak for another. A line that does not begin with its name is given out as a
 * quotation.
 */
enum { WORDS_LINE_MAX = 900 }; /* octets; a longer line is several */

struct words {
	enum ipc_role whose;
	int fd;
	struct loop_watch *watch;
	char line[WORDS_LINE_MAX]; /* begun, and not yet ended */
	size_t n;
};

/* *theirs is the other end, close-on-exec; the caller's. False with errno. */
bool words_open(struct words *w, struct loop *l, enum ipc_role whose, int *theirs);
void words_close(struct words *w); /* when the role has ended: after all that it has said */

#endif
