/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_QUEUE_H
#define CMD_QUEUE_H

#include "base/buf.h"
#include "cmd/ask.h"

/* What `posthouse queue` was asked for (queue.c), and how it tells what it hears (queue_tell.c). */

struct queue_verb {
	const char *name;
	enum order_verb verb;
	bool is_deed, takes_name;
	const char *past; /* deeds: "12 mails, 15 recipients …" */
};

struct queue_asker {
	struct ask ask;
	const struct queue_verb *verb;
	const char *by, *until, *config;
	bool is_json, is_sure, is_dry, is_trial;
	struct buf what;	  /* filter or name */
	uint64_t shown, expected; /* mails; recipients of the deed */
	struct mail_id last;
};

/* struct ask.came: an item, a group, a place; of the end, how far a deed is. */
void queue_tell(void *asker, const struct ipc_message *m);

#endif
