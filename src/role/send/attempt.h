/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_SEND_ATTEMPT_H
#define ROLE_SEND_ATTEMPT_H

#include "role/send/send.h"

/* What the two files of an attempt share; nobody else includes this. */

/* ── attempt_asked.c ── */
struct attempt *attempt_new(
	struct send *s, const struct ipc_attempt *m); /* copies; m->fd stays the caller's */
void attempt_free(struct attempt **attempt);
/* Out of its arena, which is larger than all that a packet can ask for. */
void *attempt_take(struct attempt *a, size_t n);
struct str attempt_dup(struct attempt *a, struct str s);

#endif
