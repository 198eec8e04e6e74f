/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit: the place where a mail becomes kept.
 *
 * While one group is being synced, records gather; when the sync returns, all that wait (up to 256
 * records or 4 MiB) are the next group. There is no timer and no delay: one lone record is written at
 * once, a hundred that come together cost one sync.
 *
 * Invariants
 * 1. DURABLE is reported only after a sync, begun when the whole group had been written, returned
 *    success. It is the only report from which anybody may answer 250.
 * 2. A group begins where the last one ended, on a 4 KiB border, and only behind a group that is
 *    durable. Nothing is written twice, nothing behind a hole.
 * 3. After a write or sync that failed the segment is never touched again, not to retry either: the
 *    kernel has marked the pages clean, and a later "ok" would be a lie. The group's commits go back
 *    with BROKEN and are not written elsewhere. Mails go on in the next segment, fates not at all.
 * 4. Commits are written in the order in which they came, except that one with a big file waits aside
 *    until that file is synced.
 * 5. A commit with a big file that came before a retirement is in a group before it, or fails.
 *
 * A segment, and who moves it on:
 *
 *     segment_give        committer_begin_segment             committer_end_segment
 *   ─────────────► spare ────────────────────────► in use ──┬─► FILLED   the next record does not fit
 *                    │                                      ├─► RETIRED  segment_retire
 *                    └─ segment_retire ─► given back        └─► BROKEN   a write or sync failed
 *
 * A commit:
 *
 *     segment_commit               committer_gather             committer_report_group
 *   ─────────┬───────────► waiting ────────────────► in a group ──┬─► DURABLE
 *            │                ▲ │                                 └─► BROKEN
 *            │                │ ├─ segment_fail_waiting ──────► FAILED
 *            │     big_settle │ └─ segment_retire (big file) ─► FAILED
 *            └──► its big file is being synced ─ big_settle ──► FAILED
 *
 * Threads: everything in struct committer is under its lock but the group, which is the committer
 * thread's. `in_use` is changed by that thread while it is not busy, or by segment_retire then.
 */
#include "spool/segment.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/must.h"
#include "io/thread.h"

int (*segment_sync)(int fd) = fdatasync;

struct committer {
	pthread_mutex_t lock;
	pthread_cond_t work, big_work;
	pthread_t thread, big_thread;
	struct loop_wake *wake;
	struct list waiting, waiting_big; /* commits */
	struct list spares;		  /* segments */
	struct segment *in_use;
	struct list reports;
	unsigned retirements;
	bool is_busy; /* a group is being written */
	bool is_retiring, is_stopped, is_closing, is_big_closing;
	enum committer_kind kind;
};

struct group {
	struct segment *segment;
	struct list commits;
	unsigned records;
	size_t size; /* of the records */
};

/* ── reports ── */

static struct report *
report_new(enum report_kind kind)
{
	struct report *r = calloc(1, sizeof *r);

	must(r);
	r->kind = kind;
	list_init(&r->commits);
	return r;
}

static void
report_add(struct committer *c, struct report *r)
{
	bool is_first = list_is_empty(&c->reports);

	list_append(&c->reports, &r->link);
	if (is_first)
		loop_wake_up(c->wake);
}

/* The commits of a group that is durable; joined to the last report when the loop has not taken it
 * yet, so that a slow loop gets few and large ones. */
static void
report_durable(struct committer *c, struct group *g)
{
	struct report *last =
		list_is_empty(&c->reports) ? NULL : list_of(c->reports.prev, struct report, link);

	if (!last || last->kind != REPORT_DURABLE || last->number != g->segment->number) {
		last = report_new(REPORT_DURABLE);
		last->number = g->segment->number;
		report_add(c, last);
	}
	last->end = g->segment->end;
	list_move_all(&last->commits, &g->commits);
}

static void
report_failed(struct committer *c, struct commit *commit, const struct err *e)
{
	struct report *r = report_new(REPORT_FAILED);

	r->e = *e;
	list_append(&r->commits, &commit->link);
	report_add(c, r);
}

static void
report_retired_big(struct committer *c, struct commit *commit)
{
	struct err e;

	err_set(&e, ERR_TEMPORARY, ERR_LOCAL, "the queue was restarted, please try again");
	report_failed(c, commit, &e);
}

static struct report *
committer_end_segment(struct committer *c, enum report_kind kind)
{
	struct report *r = report_new(kind);

	r->segment = c->in_use;
	if (c->in_use) {
		r->number = c->in_use->number;
		r->end = c->in_use->end;
	}
	c->in_use = NULL;
	report_add(c, r);
	return r;
}

/* ── the committer's thread ── */

static bool
committer_begin_segment(struct committer *c)
{
	if (c->in_use)
		return true;
	if (list_is_empty(&c->spares))
		return false;
	c->in_use = list_of(c->spares.next, struct segment, link);
	list_remove(&c->in_use->link);
	return true;
}

/* As many of the waiting commits as one group and the segment's rest take. False: not even one. */
static bool
committer_gather(struct committer *c, struct group *g)
{
	size_t room = c->in_use->size - c->in_use->end;

	*g = (struct group){ .segment = c->in_use };
	list_init(&g->commits);
	if (room > SEGMENT_GROUP_OCTETS)
		room = SEGMENT_GROUP_OCTETS;
	list_each_safe (at, &c->waiting) {
		struct commit *commit = list_of(at, struct commit, link);

		if (g->records == SEGMENT_GROUP_RECORDS || commit->size > room - g->size)
			break;
		list_remove(at);
		list_append(&g->commits, at);
		g->records++;
		g->size += commit->size;
	}
	return g->records > 0;
}

static unsigned
group_fill_vector(
	const struct group *g, struct iovec vector[SEGMENT_GROUP_RECORDS * COMMIT_PARTS + 1])
{
	static char zeros[SPOOL_BLOCK];
	size_t rest = (SPOOL_BLOCK - g->size % SPOOL_BLOCK) % SPOOL_BLOCK;
	unsigned n = 0;

	list_each (at, &g->commits) {
		struct commit *commit = list_of(at, struct commit, link);

		record_stamp(commit->part[0].iov_base, g->segment->generation);
		for (unsigned i = 0; i < commit->parts; i++)
			vector[n++] = commit->part[i];
	}
	vector[n++] = (struct iovec){ zeros, rest };
	return n;
}

static bool
write_all_at(int fd, struct iovec *vector, unsigned n, uint64_t at)
{
	while (n > 0) {
		ssize_t wrote = pwritev(fd, vector, (int)n, (off_t)at);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return false;
		at += (uint64_t)wrote;
		while (n > 0 && (size_t)wrote >= vector->iov_len) {
			wrote -= (ssize_t)vector->iov_len;
			vector++;
			n--;
		}
		if (n > 0) {
			vector->iov_base = (char *)vector->iov_base + wrote;
			vector->iov_len -= (size_t)wrote;
		}
	}
	return true;
}

static bool
group_write(const struct group *g, struct err *e)
{
	struct iovec vector[SEGMENT_GROUP_RECORDS * COMMIT_PARTS + 1];
	unsigned n = group_fill_vector(g, vector);
	const char *what = "sync";

	if (!write_all_at(g->segment->fd, vector, n, g->segment->end))
		what = "write";
	else if (segment_sync(g->segment->fd) == 0)
		return true;
	err_set_errno(e, "cannot %s segment %llu of the spool", what,
		(unsigned long long)g->segment->number);
	e->kind = ERR_SYNC;
	return false;
}

static void
committer_report_group(struct committer *c, struct group *g, bool is_durable, const struct err *e)
{
	struct report *r;

	if (is_durable) {
		c->in_use->end += (g->size + SPOOL_BLOCK - 1) / SPOOL_BLOCK * SPOOL_BLOCK;
		report_durable(c, g);
		return;
	}
	c->is_stopped = c->kind == COMMITTER_OF_FATES;
	r = committer_end_segment(c, REPORT_BROKEN);
	r->e = *e;
	list_move_all(&r->commits, &g->commits);
}

static void *
committer_run(void *of)
{
	struct committer *c = of;
	struct group g;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct err e;
		bool is_durable;

		if (c->is_retiring) {
			committer_end_segment(c, REPORT_RETIRED);
			c->is_retiring = false;
		}
		if (c->is_stopped || list_is_empty(&c->waiting) || !committer_begin_segment(c)) {
			if (c->is_closing)
				break;
			pthread_cond_wait(&c->work, &c->lock);
			continue;
		}
		if (!committer_gather(c, &g)) {
			committer_end_segment(c, REPORT_FILLED);
			continue;
		}
		c->is_busy = true;
		pthread_mutex_unlock(&c->lock);
		is_durable = group_write(&g, &e);
		pthread_mutex_lock(&c->lock);
		c->is_busy = false;
		committer_report_group(c, &g, is_durable, &e);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ── the thread that syncs big files ── */

static void
big_settle(struct committer *c, struct commit *commit, const struct err *e)
{
	if (err_is(e)) {
		report_failed(c, commit, e);
	} else if (commit->retirements != c->retirements) {
		report_retired_big(c, commit);
	} else {
		list_append(&c->waiting, &commit->link);
		pthread_cond_signal(&c->work);
	}
}

static void *
big_run(void *of)
{
	struct committer *c = of;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct err e = { 0 };
		struct commit *commit;

		if (list_is_empty(&c->waiting_big)) {
			if (c->is_big_closing)
				break;
			pthread_cond_wait(&c->big_work, &c->lock);
			continue;
		}
		commit = list_of(c->waiting_big.next, struct commit, link);
		list_remove(&commit->link);
		pthread_mutex_unlock(&c->lock);
		if (segment_sync(commit->big_fd) < 0) {
			err_set_errno(&e, "cannot sync a big file of the spool");
			e.kind = ERR_SYNC;
		}
		pthread_mutex_lock(&c->lock);
		big_settle(c, commit, &e);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ── the loop's side ── */

struct committer *
segment_committer_open(struct loop_wake *wake, enum committer_kind kind)
{
	struct committer *c = calloc(1, sizeof *c);

	must(c);
	c->wake = wake;
	c->kind = kind;
	list_init(&c->waiting);
	list_init(&c->waiting_big);
	list_init(&c->spares);
	list_init(&c->reports);
	must(pthread_mutex_init(&c->lock, NULL) == 0);
	must(pthread_cond_init(&c->work, NULL) == 0);
	must(pthread_cond_init(&c->big_work, NULL) == 0);
	thread_start(&c->thread, committer_run, c);
	if (kind == COMMITTER_OF_MAILS)
		thread_start(&c->big_thread, big_run, c);
	return c;
}

void
segment_committer_close(struct committer **of, struct list *commits, struct list *segments)
{
	struct committer *c = *of;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->is_big_closing = true;
	pthread_cond_signal(&c->big_work);
	pthread_mutex_unlock(&c->lock);
	if (c->kind == COMMITTER_OF_MAILS)
		must(pthread_join(c->big_thread, NULL) == 0);
	pthread_mutex_lock(&c->lock);
	c->is_closing = true;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
	must(pthread_join(c->thread, NULL) == 0);
	list_each_safe (at, &c->reports) {
		struct report *r = list_of(at, struct report, link);

		list_move_all(commits, &r->commits);
		if (r->segment)
			list_append(segments, &r->segment->link);
		free(r);
	}
	list_move_all(commits, &c->waiting);
	list_move_all(segments, &c->spares);
	if (c->in_use)
		list_append(segments, &c->in_use->link);
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->big_work);
	pthread_mutex_destroy(&c->lock);
	free(c);
	*of = NULL;
}

void
segment_commit(struct committer *c, struct commit *commit)
{
	must(commit->size % SPOOL_ALIGN == 0 && commit->size <= SEGMENT_GROUP_OCTETS - SPOOL_BLOCK);
	pthread_mutex_lock(&c->lock);
	commit->retirements = c->retirements;
	if (commit->big_fd >= 0) {
		must(c->kind == COMMITTER_OF_MAILS);
		list_append(&c->waiting_big, &commit->link);
		pthread_cond_signal(&c->big_work);
	} else {
		list_append(&c->waiting, &commit->link);
		if (!c->is_busy)
			pthread_cond_signal(&c->work);
	}
	pthread_mutex_unlock(&c->lock);
}

void
segment_give(struct committer *c, struct segment *s)
{
	must(s->size >= SPOOL_SEGMENT_MIN && s->size % SPOOL_BLOCK == 0);
	s->end = SPOOL_BLOCK;
	pthread_mutex_lock(&c->lock);
	list_append(&c->spares, &s->link);
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

static void
retire_bigs(struct committer *c, struct list *commits)
{
	list_each_safe (at, commits) {
		struct commit *commit = list_of(at, struct commit, link);

		if (commit->big_fd < 0)
			continue;
		list_remove(at);
		report_retired_big(c, commit);
	}
}

void
segment_retire(struct committer *c, struct list *unused)
{
	pthread_mutex_lock(&c->lock);
	c->retirements++;
	retire_bigs(c, &c->waiting);
	retire_bigs(c, &c->waiting_big);
	list_move_all(unused, &c->spares);
	if (c->is_busy)
		c->is_retiring = true;
	else
		committer_end_segment(c, REPORT_RETIRED);
	pthread_mutex_unlock(&c->lock);
}

void
segment_fail_waiting(struct committer *c, const struct err *e)
{
	pthread_mutex_lock(&c->lock);
	if (!c->in_use && list_is_empty(&c->spares))
		list_each_safe (at, &c->waiting) {
			list_remove(at);
			report_failed(c, list_of(at, struct commit, link), e);
		}
	pthread_mutex_unlock(&c->lock);
}

void
segment_take_reports(struct committer *c, struct list *reports)
{
	pthread_mutex_lock(&c->lock);
	list_move_all(reports, &c->reports);
	pthread_mutex_unlock(&c->lock);
}

bool
segment_is_at_hand(struct committer *c)
{
	return segment_any_descriptor(c) >= 0;
}

int
segment_any_descriptor(struct committer *c)
{
	int fd = -1;

	pthread_mutex_lock(&c->lock);
	if (c->in_use)
		fd = c->in_use->fd;
	else if (!list_is_empty(&c->spares))
		fd = list_of(c->spares.next, struct segment, link)->fd;
	pthread_mutex_unlock(&c->lock);
	return fd;
}
