/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/log.h"
#include "base/must.h"

/*
 * Reading the log: what its writers publish comes into the index (mail.c).
 *
 * Laws kept here:
 *   1. A segment is never read further than its writer has published as durable.
 *   2. Nothing is read before vault's token key is known: a stranger's mail could not be told from
 *      a login's.
 *   3. What the log said of the time before this start is forgotten only when every mail of it is in
 *      the index.
 */

enum {
	SLICE_MS = 5,	  /* of reading, a turn of the loop */
	CLOCK_EVERY = 16, /* mails */
};

/* A segment whose mails are being read. */
struct followed {
	struct list link;
	uint64_t number, offset, durable; /* read so far; may be read so far */
	bool is_own;
	bool is_behind; /* there is more to read */
};

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

void
follow_given(struct queue *q, uint64_t number, bool is_own)
{
	followed_of(q, number)->is_own = is_own;
}

bool
follow_is_own(struct queue *q, uint64_t number)
{
	return followed_of(q, number)->is_own;
}

/* ── all of it is read ── */

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
void
follow_check_whole(struct queue *q)
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

/* ── reading on ── */

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

/* What receivers are writing now first, then what is left of the time before this start: so nothing
 * new waits behind a long queue, which a slice a turn of the loop is read of. */
void
follow_read_on(struct queue *q)
{
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
	follow_check_whole(q);
}

void
follow_segment(struct queue *q, uint64_t number, uint64_t durable)
{
	struct followed *f = followed_of(q, number);

	if (durable > f->durable)
		f->durable = durable;
	f->is_behind = true;
	follow_read_on(q);
}

/* ── the beginning ── */

static void
read_more(void *owner)
{
	follow_read_on(owner);
}

void
follow_start(struct queue *q)
{
	uint64_t number, end;

	q->read_timer = loop_timer_open(q->role.loop, read_more, q);
	for (size_t at = 0; keeper_next_sealed(q->keeper, &at, &number, &end);) {
		followed_of(q, number)->durable = UINT64_MAX; /* read when the token key is there */
		followed_of(q, number)->is_behind = true;
	}
}
