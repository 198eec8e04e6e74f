/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include <sysexits.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "io/token.h"

/*
 * The queue owns every mail's fate. It learns of mails by reading the log, and it alone opens the files
 * of the spool.
 *
 *   `durable` ──follow.c──▶ mail.c: indexed ──road.c──▶ schedule.c: tried ──▶ a fate in the log
 *                             │                 ▲            │ fair.c: whose turn, pace.c: how many
 *                             └─ wheel.c ───────┴────────────┘ until a moment
 *
 * Here it meets its peers, and begins and ends.
 */

enum {
	DRAIN_MS = 20000,
	FULL_ROOM = 20, /* one in so many of limits.queued must be free again */
};

/* ── the peers ── */

static void
send_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct queue *q = owner;

	(void)from;
	if (m->kind == IPC_outcome) {
		schedule_outcome(q, &m->outcome);
		return;
	}
	role_lost(&q->role, ROLE_SEND, m->broke_rules);
	ipc_close(&q->send);
	schedule_peer_lost(q, false);
}

static void
store_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct queue *q = owner;

	(void)from;
	if (m->kind == IPC_stored) {
		schedule_stored(q, &m->stored);
		return;
	}
	role_lost(&q->role, ROLE_STORE, m->broke_rules);
	ipc_close(&q->store);
	schedule_peer_lost(q, true);
}

static void
vault_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct queue *q = owner;

	(void)from;
	if (m->kind == IPC_token_key && m->token_key.key.n == TOKEN_KEY_SIZE) {
		buf_reset(&q->token_key);
		buf_add(&q->token_key, m->token_key.key);
		follow_read_on(q);
	} else if (m->kind == IPC_expanded) {
		expand_came(q, &m->expanded);
	} else {
		role_lost(&q->role, ROLE_VAULT, m->broke_rules || m->kind != IPC_CLOSED);
		ipc_close(&q->vault);
	}
}

static void
resolve_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct queue *q = owner;

	(void)from;
	if (m->kind == IPC_hops) {
		road_came(q, &m->hops);
		return;
	}
	role_lost(&q->role, ROLE_RESOLVE, m->broke_rules);
	ipc_close(&q->resolve);
}

static void
queue_peer(void *owner, enum ipc_role peer, unsigned index, int fd)
{
	struct queue *q = owner;
	struct loop *l = q->role.loop;

	switch (peer) {
	case ROLE_RECEIVE:
		segments_receiver(q, fd);
		if (q->is_full)
			ipc_send_full(q->receive, &(struct ipc_full){ .fd = -1, .is_full = 1 });
		break;
	case ROLE_SEND:
		ipc_close(&q->send); /* before anything is tried again: not on the dead channel */
		schedule_peer_lost(q, false);
		q->send = ipc_open(l, fd, ROLE_QUEUE, peer, send_came, q);
		break;
	case ROLE_STORE:
		ipc_close(&q->store);
		schedule_peer_lost(q, true);
		q->store = ipc_open(l, fd, ROLE_QUEUE, peer, store_came, q);
		break;
	case ROLE_VAULT:
		ipc_close(&q->vault);
		q->vault = ipc_open(l, fd, ROLE_QUEUE, peer, vault_came, q);
		expand_vault_is_back(q);
		break;
	case ROLE_RESOLVE:
		ipc_close(&q->resolve);
		q->resolve = ipc_open(l, fd, ROLE_QUEUE, peer, resolve_came, q);
		road_resolve_is_back(q);
		break;
	case ROLE_READER:
		reader_peer(q, index, fd);
		break;
	case ROLE_MASTER:
	case ROLE_QUEUE:
	case ROLE_COMMAND:
	case ROLE_WEB:
	case ROLE_ANY:
		must(peer == ROLE_RECEIVE); /* master joins nobody else to us */
	}
	schedule_go(q);
}

/* ── the role ── */

void
queue_check_full(struct queue *q)
{
	uint64_t most = q->role.config.limits.queued;
	bool is_full = q->open_n >= (q->is_full ? most - most / FULL_ROOM : most);

	if (is_full == q->is_full)
		return;
	q->is_full = is_full;
	log_event(is_full ? "queue-full" : "queue-has-room", "recipients=%llu",
		(unsigned long long)q->open_n);
	ipc_send_full(q->receive, &(struct ipc_full){ .fd = -1, .is_full = is_full });
}

static void
schedule_due(void *owner)
{
	schedule_go(owner);
}

static void
queue_configured(void *owner)
{
	struct queue *q = owner;
	struct err e = { 0 };

	if (q->keeper) {
		schedule_configured(q);
		queue_check_full(q);
		schedule_go(q);
		return;
	}
	q->timer = loop_timer_open(q->role.loop, schedule_due, q);
	bounce_start(q);
	index_begin(q);
	wheel_begin(q);
	road_start(q);
	expand_start(q);
	schedule_begin(q);
	if (!segments_open(q, &e)) {
		fprintf(stderr, "posthouse: %s\n", e.text);
		exit(e.class == ERR_PERMANENT ? EX_CONFIG : EX_TEMPFAIL);
	}
}

static void
queue_seated(void *owner, unsigned seat, struct str login)
{
	reader_seated(owner, seat, login);
}

static void
queue_listener(void *owner, unsigned door, unsigned listen, int fd)
{
	(void)door;
	(void)listen;
	control_listener(owner, fd);
}

static void
queue_begin(void *owner)
{
	schedule_go(owner);
}

void
queue_check_drained(struct queue *q)
{
	if (q->is_draining && schedule_is_idle(q) && q->bounces_n == 0)
		role_exit(&q->role, 0);
}

static void
drain_late(void *owner)
{
	struct queue *q = owner;

	log_event("drain-late", "reports=%u", (unsigned)q->bounces_n);
	role_exit(&q->role, 0); /* what is under way is tried again after the start */
}

static void
queue_drain(void *owner)
{
	struct queue *q = owner;

	q->is_draining = true;
	loop_timer_set(loop_timer_open(q->role.loop, drain_late, q), DRAIN_MS);
	queue_check_drained(q);
}

int
queue_main(void)
{
	static const struct role_hooks hooks = { .configured = queue_configured,
		.peer = queue_peer,
		.listener = queue_listener,
		.seated = queue_seated,
		.begin = queue_begin,
		.drain = queue_drain };
	static struct queue q = { .token_key.max = TOKEN_KEY_SIZE,
		.bigs.max = SIZE_MAX,
		.doubtful_bigs.max = SIZE_MAX,
		.scratch.max =
			SPOOL_INLINE_MAX + SPOOL_PREFIX_MAX + SPOOL_ENVELOPE_MAX + SPOOL_BLOCK,
		.message.max = SPOOL_INLINE_MAX + SPOOL_PREFIX_MAX };
	int code;

	segments_begin(&q);
	list_init(&q.controls);
	list_init(&q.seats);
	/* Send, store and vault may still answer what a queue that died has asked: those answers must
	 * meet no question of ours. */
	hash_random(&q.numbers, sizeof q.numbers);
	code = role_run(&q.role, ROLE_QUEUE, &hooks, &q);
	story_end(&q);
	spool_writer_close(&q.writer);
	keeper_close(&q.keeper);
	return code;
}
