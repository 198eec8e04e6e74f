/* SPDX-License-Identifier: Apache-2.0 */
#include "role/store/store.h"

#include <sys/stat.h>

#include "base/must.h"

/*
 * Delivery into mailboxes here. What the queue sends while one batch is on its way to the disk
 * becomes the next batch: a busy store syncs once for many mails, an idle one at once for one. A
 * thread does the waiting; the loop only gathers and answers.
 *
 *               store_go_on                batch_deliver
 *   gathering ────────────────▶ under way ────────────────▶ batch_done: `stored`, one a mail
 *            (the thread is free)
 */

struct store {
	struct role role;
	struct ipc *queue;
	struct worker *worker;
	struct batch *gathering; /* NULL: nothing has come */
	bool is_busy, is_draining;
};

static void
store_go_on(struct store *s)
{
	if (!s->is_busy && s->gathering) {
		s->is_busy = true;
		worker_give(s->worker, s->gathering);
		s->gathering = NULL;
		if (s->queue)
			ipc_pause(s->queue, false);
	}
	if (s->is_draining && !s->is_busy)
		role_exit(&s->role, 0);
}

static void
batch_done(void *owner, struct batch *b)
{
	struct store *s = owner;

	for (size_t i = 0; i < b->n; i++) {
		struct buf outcome = { .max = 1024 };

		codec_add_err(&outcome, &b->deliveries[i].err);
		ipc_send_stored(s->queue, &(struct ipc_stored){ .fd = -1,
						  .attempt = b->deliveries[i].attempt,
						  .outcome = buf_str(&outcome) });
		buf_free(&outcome);
	}
	batch_free(&b);
	s->is_busy = false;
	store_go_on(s);
}

static void
store_take(struct store *s, struct ipc_deliver *m)
{
	if (!s->gathering)
		s->gathering = batch_new();
	batch_add(s->gathering, &s->role.config, m);
	if (s->gathering->n == BATCH_MAX && s->is_busy)
		ipc_pause(s->queue,
			true); /* the rest waits in the socket until this batch is under way */
	store_go_on(s);
}

static void
queue_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct store *s = owner;

	(void)from;
	if (m->kind == IPC_deliver) {
		store_take(s, &m->deliver);
		return;
	}
	role_lost(&s->role, ROLE_QUEUE, m->broke_rules);
	ipc_close(&s->queue);
}

static void
store_peer(void *owner, enum ipc_role peer, unsigned index, int fd)
{
	struct store *s = owner;

	(void)index;
	must(peer == ROLE_QUEUE);
	ipc_close(&s->queue);
	s->queue = ipc_open(s->role.loop, fd, ROLE_STORE, ROLE_QUEUE, queue_came, s);
	ipc_pause(s->queue, s->is_busy && s->gathering && s->gathering->n == BATCH_MAX);
}

/* Each delivery reads the configuration of its moment. The worker is there before the queue, which may send work ahead of
 * master's `begin`. */
static void
store_configured(void *owner)
{
	struct store *s = owner;

	if (s->worker)
		return;
	umask(077);
	s->worker = worker_open(s->role.loop, batch_done, s);
}

static void
store_begin(void *owner)
{
	(void)owner;
}

static void
store_drain(void *owner)
{
	struct store *s = owner;

	s->is_draining = true;
	store_go_on(s);
}

int
store_main(void)
{
	static const struct role_hooks hooks = { .configured = store_configured,
		.peer = store_peer,
		.begin = store_begin,
		.drain = store_drain };
	static struct store s;

	return role_run(&s.role, ROLE_STORE, &hooks, &s);
}
