/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include <sysexits.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "io/token.h"

/*
 * The queue owns every mail's fate. It learns of mails by reading the log, never further than a
 * receiver has published as durable, and it alone opens the files of the spool.
 *
 *   `durable` ──follow──▶ mail.c: indexed ──road.c──▶ schedule.c: tried ──▶ a fate in the log
 *                           │                 ▲            │ fair.c: whose turn, pace.c: how many
 *                           └─ wheel.c ───────┴────────────┘ until a moment
 *
 * Laws kept here:
 *   1. A segment whose writer may be alive is never sealed without that writer's word: `holding`,
 *      `filled` or `broken`.
 *   2. Nobody is told `sealed` before the end is durable in the fate log.
 *   3. Nothing is read before vault's token key is known: a stranger's mail could not be told from
 *      a login's.
 */

enum {
	MAKE_AGAIN_MS = 1000,
	SEGMENTS_OWED_MOST = 8,
	BIGS_OWED_MOST = 4096, /* a large mail at the final dot waits for one */
	DRAIN_MS = 20000,
	SLICE_MS = 5,	  /* of reading the log, a turn of the loop */
	CLOCK_EVERY = 16, /* mails */
	FULL_ROOM = 20,	  /* one in so many of limits.queued must be free again */
};

/* A segment whose mails are being read. */
struct followed {
	struct list link;
	uint64_t number, offset, durable; /* read so far; may be read so far */
	bool is_own;
	bool is_behind; /* there is more to read */
};

/* An end that was logged, whose `sealed` waits until the log is synced. */
struct seal {
	struct list link;
	uint64_t number, ticket;
	bool is_own;
};

struct spare {
	struct list link;
	uint64_t number, generation, size;
	int fd;
};

/* ── reading the log ── */

static struct followed *
followed_of(struct queue *q, uint64_t number)
{
	struct followed *f;

	list_each (at, &q->followed) {
		f = list_of(at, struct followed, link);
		if (f->number == number)
			return f;
	}
	f = calloc(1, sizeof *f);
	must(f);
	f->number = number;
	list_append(&q->followed, &f->link);
	return f;
}

/* Mails until `end_ms`; false: there is more. */
static bool
follow_on(struct queue *q, struct followed *f, int64_t end_ms)
{
	struct spool_mail m;
	uint64_t at;

	for (unsigned n = 1;
		keeper_next_mail(q->keeper, f->number, &f->offset, f->durable, &m, &at); n++) {
		mail_index(q, &m, f->number, at);
		if (n % CLOCK_EVERY == 0 && loop_clock_ms() >= end_ms)
			return false;
	}
	f->is_behind = false;
	if (f->durable == UINT64_MAX) {
		list_remove(&f->link);
		free(f);
	}
	return true;
}

static void forget_history(struct queue *q);

/* What receivers are writing now first, then what is left of the time before this start: so nothing
 * new waits behind a long queue, which a slice a turn of the loop is read of. */
static void
read_on(void *owner)
{
	struct queue *q = owner;
	int64_t end_ms = loop_clock_ms() + SLICE_MS;

	if (!q->token_key.n)
		return;
	for (int is_sealed = 0; is_sealed < 2; is_sealed++)
		list_each_safe (at, &q->followed) {
			struct followed *f = list_of(at, struct followed, link);

			if (!f->is_behind || (f->durable == UINT64_MAX) != is_sealed)
				continue;
			if (!follow_on(q, f, end_ms) || loop_clock_ms() >= end_ms) {
				loop_timer_set(q->read_timer, 0);
				schedule_go(q);
				return;
			}
		}
	schedule_go(q);
	forget_history(q);
}

/* durable UINT64_MAX: it is sealed, to its end. */
static void
follow(struct queue *q, uint64_t number, uint64_t durable)
{
	struct followed *f = followed_of(q, number);

	if (durable > f->durable)
		f->durable = durable;
	f->is_behind = true;
	read_on(q);
}

/* ── segments: made, given, sealed ── */

static void
make_more(struct queue *q)
{
	if (q->is_making || (!q->own_wants_segment && q->wants_segments == 0))
		return;
	if (q->is_draining && q->bounces_n == 0) /* the last reports need one, nobody else does */
		return;
	q->is_making = true;
	keeper_make_segment(q->keeper);
}

static void
give_spares(struct queue *q)
{
	list_each_safe (at, &q->spares) {
		struct spare *s = list_of(at, struct spare, link);

		if (q->own_wants_segment) {
			followed_of(q, s->number)->is_own = true;
			spool_writer_give_segment(
				q->writer, s->number, s->generation, s->size, s->fd);
			q->own_wants_segment = false;
		} else if (q->wants_segments && q->receive) {
			followed_of(q, s->number);
			ipc_send_segment(q->receive, &(struct ipc_segment){ .fd = s->fd,
							     .number = s->number,
							     .generation = s->generation,
							     .size = s->size });
			close(s->fd);
			q->wants_segments--;
		} else {
			return;
		}
		list_remove(&s->link);
		free(s);
	}
}

static void
segment_made(void *owner, uint64_t number, uint64_t generation, uint64_t size, int fd,
	const struct err *e)
{
	struct queue *q = owner;
	struct spare *s;

	(void)e; /* the keeper has logged why */
	q->is_making = false;
	if (number == 0) {
		loop_timer_set(q->make_timer, MAKE_AGAIN_MS);
		return;
	}
	s = calloc(1, sizeof *s);
	must(s);
	*s = (struct spare){ .number = number, .generation = generation, .size = size, .fd = fd };
	list_append(&q->spares, &s->link);
	give_spares(q);
	make_more(q);
}

static void
give_bigs(struct queue *q)
{
	while (q->wants_bigs && q->receive) {
		struct ipc_big big = { .fd = -1 };
		struct err e;

		if (!keeper_make_big(q->keeper, &big.number, &big.fd, &e)) {
			loop_timer_set(q->make_timer, MAKE_AGAIN_MS);
			return;
		}
		ipc_send_big(q->receive, &big);
		close(big.fd);
		codec_add_u64(&q->bigs, big.number);
		q->wants_bigs--;
	}
}

static void
make_again(void *owner)
{
	struct queue *q = owner;

	make_more(q);
	give_bigs(q);
}

void
queue_make_own_segment(struct queue *q)
{
	if (q->own_wants_segment || spool_writer_is_ready(q->writer))
		return;
	q->own_wants_segment = true;
	give_spares(q);
	make_more(q);
}

/* Logs the end of a segment; `sealed` is said when that is durable, if anybody waits for it. */
static void
seal(struct queue *q, uint64_t number, uint64_t durable, bool is_awaited, bool is_own)
{
	struct err e = { 0 };
	uint64_t ticket = keeper_seal(q->keeper, number, durable, &e);
	struct seal *s;

	if (ticket == 0) {
		log_event("seal-failed", "segment=%llu why=%s", (unsigned long long)number,
			log_quote(str_of(e.text)));
		return; /* it stays unsealed: the next start tries again */
	}
	if (is_awaited) {
		s = calloc(1, sizeof *s);
		must(s);
		*s = (struct seal){ .number = number, .ticket = ticket, .is_own = is_own };
		list_append(&q->seals, &s->link);
	}
	follow(q, number, UINT64_MAX);
}

static void
fates_durable(void *owner, uint64_t ticket)
{
	struct queue *q = owner;

	list_each_safe (at, &q->seals) {
		struct seal *s = list_of(at, struct seal, link);

		if (s->ticket > ticket)
			continue;
		if (s->is_own)
			spool_writer_sealed(q->writer, s->number);
		else
			ipc_send_sealed(
				q->receive, &(struct ipc_sealed){ .fd = -1, .segment = s->number });
		list_remove(&s->link);
		free(s);
	}
	reader_fates_durable(q, ticket);
}

static void
fates_broken(void *owner, const struct err *e)
{
	struct queue *q = owner;

	/* What has become of the mails can no longer be kept. A fresh process begins from what the
	 * disk really has. */
	log_event("fate-log-failed", "why=%s", log_quote(str_of(e->text)));
	role_exit(&q->role, EX_IOERR);
}

/* ── the receiver ── */

/* A big file that a receiver had when it died: whatever no live mail names is removed. */
static void
drop_bigs(struct queue *q)
{
	struct str given = buf_str(&q->doubtful_bigs);
	uint64_t number;

	while (codec_scan_u64(&given, &number))
		keeper_drop_big(q->keeper, number);
	buf_reset(&q->doubtful_bigs);
}

/* All that the log holds is in the index: what it said of the time before this start is not needed
 * any more. */
static void
forget_history(struct queue *q)
{
	if (!queue_is_whole(q))
		return;
	drop_bigs(q);
	if (q->history_is_forgotten)
		return;
	keeper_forget_history(q->keeper);
	q->history_is_forgotten = true;
	log_event("index-whole", "mails=%u recipients=%llu", q->mails.live,
		(unsigned long long)q->open_n);
	control_index_is_whole(q);
}

/* Not while a receiver that died may have left mail behind its last word, nor while sealed segments are
 * still being read. */
bool
queue_is_whole(const struct queue *q)
{
	if (!q->receiver_has_reported || !q->token_key.n)
		return false;
	list_each (at, &q->followed) {
		const struct followed *f = list_of(at, struct followed, link);

		if (f->is_behind && f->durable == UINT64_MAX)
			return false;
	}
	return true;
}

static void
forget_big(struct buf *numbers, uint64_t big)
{
	for (size_t at = 0; at < numbers->n; at += sizeof big)
		if (codec_get_u64(numbers->p + at) == big) {
			codec_put_u64(numbers->p + at,
				codec_get_u64(numbers->p + numbers->n - sizeof big));
			numbers->n -= sizeof big;
			return;
		}
}

void
queue_big_is_named(struct queue *q, uint64_t big)
{
	forget_big(&q->bigs, big);
	forget_big(&q->doubtful_bigs, big);
}

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

/* Everything unsealed that neither this receiver still holds nor our own writer uses belonged to a
 * writer that is dead. */
static void
receiver_reports(struct queue *q, uint64_t held, uint64_t durable)
{
	uint64_t dead[64], number;
	size_t n = 0;

	for (size_t at = 0; n < 64 && keeper_next_unsealed(q->keeper, &at, &number);) {
		bool is_spare = false;

		list_each (s, &q->spares)
			is_spare |= list_of(s, struct spare, link)->number == number;
		if (!is_spare && number != held && !followed_of(q, number)->is_own)
			dead[n++] = number;
	}
	if (held)
		seal(q, held, durable, false, false);
	for (size_t i = 0; i < n; i++)
		seal(q, dead[i], UINT64_MAX, false, false);
	buf_add(&q->doubtful_bigs, buf_str(&q->bigs));
	buf_reset(&q->bigs);
	q->receiver_has_reported = true;
	forget_history(q);
}

/* A receiver asks for what it lacks; one that was taken over asks for the disk. */
static unsigned
at_most(unsigned most, uint64_t wanted)
{
	return wanted < most ? (unsigned)wanted : most;
}

static void
receive_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct queue *q = owner;

	(void)from;
	switch (m->kind) {
	case IPC_holding:
		receiver_reports(q, m->holding.segment, m->holding.durable);
		break;
	case IPC_durable:
		follow(q, m->durable.segment, m->durable.durable);
		break;
	case IPC_filled:
		seal(q, m->filled.segment, m->filled.durable, false, false);
		break;
	case IPC_broken:
		seal(q, m->broken.segment, m->broken.durable, true, false);
		break;
	case IPC_want:
		q->wants_segments =
			at_most(SEGMENTS_OWED_MOST, (uint64_t)q->wants_segments + m->want.segments);
		q->wants_bigs = at_most(BIGS_OWED_MOST, (uint64_t)q->wants_bigs + m->want.bigs);
		give_spares(q);
		make_more(q);
		give_bigs(q);
		break;
	default:
		role_lost(&q->role, ROLE_RECEIVE, m->broke_rules);
		ipc_close(&q->receive);
		q->receiver_has_reported = false;
		break;
	}
}

/* ── our own writer, for bounces ── */

static void
own_durable(void *owner, uint64_t number, uint64_t durable)
{
	follow(owner, number, durable);
}

static void
own_broken(void *owner, uint64_t number, uint64_t durable, const struct err *e)
{
	log_event("sync-failed", "segment=%llu why=%s", (unsigned long long)number,
		log_quote(str_of(e->text)));
	seal(owner, number, durable, true, true);
}

static void
own_filled(void *owner, uint64_t number, uint64_t durable)
{
	struct queue *q = owner;

	seal(q, number, durable, false, true);
	if (q->bounces_n) /* more reports than one segment holds */
		queue_make_own_segment(q);
}

static void
own_wants(void *owner, unsigned segments, unsigned bigs)
{
	(void)owner; /* a segment is made when the first bounce is written; bounces are small */
	(void)segments;
	(void)bigs;
}

/* ── the other peers ── */

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
		read_on(q);
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
		ipc_close(&q->receive);
		q->receiver_has_reported = false;
		q->wants_segments = q->wants_bigs = 0; /* a new receiver asks for itself */
		q->receive = ipc_open(l, fd, ROLE_QUEUE, peer, receive_came, q);
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

static bool
queue_open(struct queue *q, struct err *e)
{
	const struct config *c = &q->role.config;
	uint64_t number, end;

	q->keeper = keeper_open(q->role.loop, c->spool, c->queue.segment_size,
		&(struct keeper_hooks){ .owner = q,
			.fates_durable = fates_durable,
			.fates_broken = fates_broken,
			.segment_made = segment_made },
		e);
	if (!q->keeper)
		return false;
	q->writer = spool_writer_open(q->role.loop,
		&(struct spool_hooks){ .owner = q,
			.settled = bounce_settled,
			.durable = own_durable,
			.broken = own_broken,
			.filled = own_filled,
			.want = own_wants },
		c->limits.memory / 4);
	for (size_t at = 0; keeper_next_sealed(q->keeper, &at, &number, &end);) {
		followed_of(q, number)->durable = UINT64_MAX; /* read when the token key is there */
		followed_of(q, number)->is_behind = true;
	}
	return true;
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
	q->make_timer = loop_timer_open(q->role.loop, make_again, q);
	q->read_timer = loop_timer_open(q->role.loop, read_on, q);
	index_begin(q);
	wheel_begin(q);
	road_start(q);
	expand_start(q);
	schedule_begin(q);
	if (!queue_open(q, &e)) {
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

	list_init(&q.followed);
	list_init(&q.seals);
	list_init(&q.spares);
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
