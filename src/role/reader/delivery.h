/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_DELIVERY_H
#define ROLE_READER_DELIVERY_H

#include <jansson.h>

#include "base/arena.h"
#include "io/ipc.h"

/*
 * From what the queue tells of a mail (ORDER_WHY) to the deliveryStatus of an EmailSubmission (RFC 8621 §7): a recipient is "queued", "yes" (in
 * a mailbox here), "no", or "unknown" (another host took it, or the history does not reach so far). An alias stands for its members: the
 * worst of what became of them counts. Pure.
 *
 *   delivery_begin → delivery_told, delivery_item … → delivery_end
 */

enum { DELIVERY_ARENA_MAX = 4 * 1024 * 1024 };

struct delivery {
	struct arena *arena; /* its owner's, of at most so much */
	struct delivery_one *list;
	size_t n, roots_n;
	bool is_settled, was_told;
};

/* deliveryStatus as it is kept: those in it that are queued are looked for. */
void delivery_begin(struct delivery *d, struct arena *arena, json_t *status);
void delivery_told(struct delivery *d, const struct ipc_told *m);
void delivery_item(struct delivery *d, const struct ipc_item *m);
/* What was found out goes into `status`. True: nothing will change any more. `is_old`: the queue would know the mail if it still had it, so that
 * what it does not know of is over. */
bool delivery_end(struct delivery *d, json_t *status, bool is_old);

/* Those that are looked for are out of the queue, and nobody gets it: it was called back. */
bool delivery_is_dropped(const struct delivery *d);

/* "550 5.1.1 no such mailbox": an entry of deliveryStatus. */
json_t *delivery_entry(struct str reply, const char *delivered);
/* The peer's words, or ours in the same form. */
void delivery_add_reply(struct buf *to, const struct err *e);

#endif
