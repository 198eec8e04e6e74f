/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_SEND_LINK_H
#define ROLE_SEND_LINK_H

#include "role/send/send.h"

/* What the two files of a link share; nobody else includes this. */

/* ── link.c ── */
void link_begin(struct link *l); /* the connection is there: the talk */
void link_ready(void *owner, int events);
void link_out_of_patience(void *owner);
void link_note_health(const struct link *l, int cause); /* as health_failed has it */
void link_free(struct link **link);

/* ── link_connect.c ── */
void link_connected(struct link *l);	     /* or not: connect has ended */
void link_connect_timed_out(struct link *l); /* while ASKING or CONNECTING */

#endif
