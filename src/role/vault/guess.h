/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_GUESS_H
#define ROLE_VAULT_GUESS_H

#include "base/list.h"
#include "base/map.h"

/*
 * How often web has tried passwords of a login that were not right. Web counts by client, but one that was taken over names what client it
 * likes: so GUESS_MOST in GUESS_MS, and the others wait. Sessions, programs with passwords of their own and passwords that were right lately are not
 * asked about: no stranger keeps out who is in already.
 */

enum { GUESS_MOST = 20, GUESS_MS = 10 * 60 * 1000, GUESS_LOGINS_MAX = 4096 };

struct guesses {
	struct map logins;
	struct list by_age; /* by their first guess, oldest first */
};

void guess_begin(struct guesses *g);
/* Counts one more, before it is known whether it is right. False: there were too many. */
bool guess_may(struct guesses *g, struct str login, int64_t now_ms);
void guess_was_right(struct guesses *g, struct str login);

#endif
