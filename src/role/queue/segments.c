/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

/*
 * The queue and those who write mails: the receiver, and its own writer of reports. They are given
 * segments and big files, what they say is durable is read (follow.c), and what they leave is sealed.
 *
 * Laws kept here:
 *   1. A segment whose writer may be alive is never sealed without that writer's word: `holding`,
 *      `filled` or `broken`.
 *   2. Nobody is told `sealed` before the end is durable in the fate log.
 */

enum {
	MAKE_AGAIN_MS = 1000,
	SEGMENTS_OWED_MOST = 8,
	BIGS_OWED_MOST = 4096, /* a large mail at the final dot waits for one */
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
			follow_given(q, s->number, true);
			spool_writer_give_segment(
				q->writer, s->number, s->generation, s->size, s->fd);
			q->own_wants_segment = false;
		} else if (q->wants_segments && q->receive) {
			follow_given(q, s->number, false);
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
	follow_segment(q, number, UINT64_MAX);
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
		if (!is_spare && number != held && !follow_is_own(q, number))
			dead[n++] = number;
	}
	if (held)
		seal(q, held, durable, false, false);
	for (size_t i = 0; i < n; i++)
		seal(q, dead[i], UINT64_MAX, false, false);
	buf_add(&q->doubtful_bigs, buf_str(&q->bigs));
	buf_reset(&q->bigs);
	q->receiver_has_reported = true;
	follow_check_whole(q);
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
		follow_segment(q, m->durable.segment, m->durable.durable);
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

void
segments_receiver(struct queue *q, int fd)
{
	ipc_close(&q->receive);
	q->receiver_has_reported = false;
	q->wants_segments = q->wants_bigs = 0; /* a new receiver asks for itself */
	q->receive = ipc_open(q->role.loop, fd, ROLE_QUEUE, ROLE_RECEIVE, receive_came, q);
}

/* ── our own writer, for bounces ── */

static void
own_durable(void *owner, uint64_t number, uint64_t durable)
{
	follow_segment(owner, number, durable);
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

/* ── the beginning ── */

void
segments_begin(struct queue *q)
{
	list_init(&q->followed);
	list_init(&q->seals);
	list_init(&q->spares);
}

bool
segments_open(struct queue *q, struct err *e)
{
	const struct config *c = &q->role.config;

	q->make_timer = loop_timer_open(q->role.loop, make_again, q);
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
	follow_start(q);
	return true;
}
