/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/receive.h"

#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

/*
 * The border: the log, and the queue behind it. The queue is told how far the log is durable, and nothing else.
 *
 * A segment belongs to this process until it says `filled`, `broken`, or, on the first message to a new queue,
 * `holding`: only then may the queue seal it. So a queue that dies never costs a mail, and nobody here needs to
 * wait while it is away.
 */

struct broken_segment {
	struct list link;
	uint64_t number, durable;
};

static void
session_settled(void *owner, void *session, const struct err *e)
{
	struct session *s = session;

	(void)owner;
	must(s->ask.state == ASK_WAITING && s->ask.number == 0);
	s->ask.state = e ? ASK_FAILED : ASK_ANSWERED;
	if (e)
		s->ask.err = *e;
	session_run(s);
}

static void
log_is_durable(void *owner, uint64_t number, uint64_t durable)
{
	struct receive *r = owner;

	ipc_send_durable(
		r->queue, &(struct ipc_durable){ .fd = -1, .segment = number, .durable = durable });
}

static void
segment_broke(void *owner, uint64_t number, uint64_t durable, const struct err *e)
{
	struct receive *r = owner;
	struct broken_segment *b = calloc(1, sizeof *b);

	must(b);
	*b = (struct broken_segment){ .number = number, .durable = durable };
	list_append(&r->broken, &b->link);
	log_event("sync-failed", "segment=%llu durable=%llu why=%s", (unsigned long long)number,
		(unsigned long long)durable, log_quote(str_of(e->text)));
	ipc_send_broken(
		r->queue, &(struct ipc_broken){ .fd = -1, .segment = number, .durable = durable });
}

static void
segment_sealed(struct receive *r, uint64_t number)
{
	list_each_safe (at, &r->broken) {
		struct broken_segment *b = list_of(at, struct broken_segment, link);

		if (b->number == number) {
			list_remove(&b->link);
			free(b);
		}
	}
	spool_writer_sealed(r->writer, number);
}

static void
queue_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct receive *r = owner;

	(void)from;
	switch (m->kind) {
	case IPC_segment:
		spool_writer_give_segment(r->writer, m->segment.number, m->segment.generation,
			m->segment.size, m->segment.fd);
		house_open_doors(r);
		break;
	case IPC_big:
		spool_writer_give_big(r->writer, m->big.number, m->big.fd);
		break;
	case IPC_full:
		r->queue_is_full = m->full.is_full;
		break;
	case IPC_sealed:
		segment_sealed(r, m->sealed.segment);
		break;
	default:
		role_lost(&r->role, ROLE_QUEUE, m->broke_rules);
		ipc_close(&r->queue); /* the next one comes through master; until then the log takes
					 mail */
		break;
	}
}

/* The current segment is given back: to a new queue it is the first word, to the old one just
 * another full segment. */
static void
segment_filled(void *owner, uint64_t number, uint64_t durable)
{
	struct receive *r = owner;

	if (r->queue_next < 0) {
		ipc_send_filled(r->queue,
			&(struct ipc_filled){ .fd = -1, .segment = number, .durable = durable });
		return;
	}
	r->queue_is_full = false; /* a new queue says so itself */
	ipc_close(&r->queue);
	r->queue = ipc_open(r->role.loop, r->queue_next, ROLE_RECEIVE, ROLE_QUEUE, queue_came, r);
	r->queue_next = -1;
	list_each (at, &r->broken) /* before `holding`, which makes the queue scan whatever nobody
				      claims */
	{
		struct broken_segment *b = list_of(at, struct broken_segment, link);

		ipc_send_broken(
			r->queue, &(struct ipc_broken){
					  .fd = -1, .segment = b->number, .durable = b->durable });
	}
	ipc_send_holding(
		r->queue, &(struct ipc_holding){ .fd = -1, .segment = number, .durable = durable });
}

static void
writer_wants(void *owner, unsigned segments, unsigned bigs)
{
	struct receive *r = owner;

	ipc_send_want(r->queue, &(struct ipc_want){ .fd = -1, .segments = segments, .bigs = bigs });
}

void
border_open(struct receive *r)
{
	r->writer = spool_writer_open(r->role.loop,
		&(struct spool_hooks){ .owner = r,
			.settled = session_settled,
			.durable = log_is_durable,
			.broken = segment_broke,
			.filled = segment_filled,
			.want = writer_wants },
		r->role.config.limits.memory);
}

void
border_new_queue(struct receive *r, int fd)
{
	if (r->queue_next >= 0)
		close(r->queue_next);
	r->queue_next = fd;
	spool_writer_retire(r->writer); /* segment_filled goes on */
}
