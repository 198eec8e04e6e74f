/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_WHY_H
#define CMD_WHY_H

#include "base/list.h"
#include "io/ipc.h"

/* The life of a mail, as `posthouse why` gathers it (why.c) and tells it (why_tell.c). */

struct why_event {
	struct list link;
	struct ipc_told told;
};

struct why_now {
	struct list link;
	struct ipc_item item;
};

struct why_life {
	struct list link;
	struct mail_id id;
	struct list events, nows;
	unsigned events_n, nows_n;
};

/* One object each, as it comes. */
void why_tell_event_json(const struct ipc_told *e);
void why_tell_now_json(const struct ipc_item *i);
/* For people, when all of it is there. is_all: every event and recipient. */
void why_tell_life(const struct why_life *l, bool is_all);

#endif
