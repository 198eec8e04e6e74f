/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SECRET_H
#define CMD_SECRET_H

#include "base/err.h"
#include "base/str.h"

/* Passwords and tokens of a person, one line each. They never stand in an argument or in a file of settings, only where to find them.
 * Whoever has a struct secret wipes it. */

enum { SECRET_MAX = 8192 }; /* octets with the NUL behind them; tokens are long */

struct secret {
	char text[SECRET_MAX];
};

bool secret_is_place(struct str place); /* env:NAME, file:PATH, cmd:COMMAND */

/* The first line of what is there. A file must be one that no other person can read; its path is absolute or begins with ~/. A command
 * is run by sh, with our standard error. */
bool secret_fetch(struct secret *s, const char *place, struct err *e);

/* One line, octet by octet, so that what follows it stays to be read. An empty one is an error. */
bool secret_read_line(struct secret *s, int fd, struct err *e);
/* The person at the terminal, who does not see what is typed. Ctrl-C ends this process, as anywhere. */
bool secret_ask(struct secret *s, const char *whose, struct err *e);

void secret_wipe(struct secret *s);

#endif
