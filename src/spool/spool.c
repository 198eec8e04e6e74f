/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer: drafts (draft.c) become kept mails. Here its owner hears what the committer (segment.c)
 * reports of them, and is asked for the segments and big files that they need.
 *
 * Invariants
 * 1. `settled` without an error comes only out of a DURABLE report, after `durable` of its segment.
 * 2. `settled` with an error comes only for a mail that nobody will ever deliver: its record was never
 *    given to a write, or the end of its segment, before that record, is in the fate log.
 * 3. Hooks are called from writer_woken alone, which is a turn of the loop of its own.
 */
#include "spool/draft.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

enum {
	SEGMENTS_WANTED = 2,	 /* one in use, one for when it is full */
	BIGS_WANTED = 4,	 /* spare ones, besides those that drafts wait for */
	SPACE_AGE_MAX_MS = 1000, /* how old an answer of free_space may be */
};

/* ── what the committer reports, told to the owner ── */

static struct draft *
commit_draft(struct list *link)
{
	return list_of(list_of(link, struct commit, link), struct draft, commit);
}

static void
draft_settle(struct draft *d, const struct err *e)
{
	struct spool_writer *w = d->writer;
	struct err why;
	void *session = d->session;

	if (e)
		why = *e;
	if (e && d->big &&
		ftruncate(d->big->fd, 0) < 0) /* nobody will deliver it: its room is free again */
		log_event("big-file-not-emptied", "errno=%d", errno);
	draft_free(d);
	if (session)
		w->hooks.settled(w->hooks.owner, session, e ? &why : NULL);
}

static void
writer_told_durable(struct spool_writer *w, struct report *r)
{
	w->hooks.durable(w->hooks.owner, r->number, r->end);
	list_each_safe (at, &r->commits)
		draft_settle(commit_draft(at), NULL);
}

static void
writer_told_broken(struct spool_writer *w, struct report *r)
{
	list_each_safe (at, &r->commits) {
		struct draft *d = commit_draft(at);

		d->unsealed = r->number;
		d->e = r->e;
		draft_move(d, &w->unsealed, DRAFT_UNSEALED);
	}
	w->hooks.broken(w->hooks.owner, r->number, r->end, &r->e);
}

static void
segment_free(struct spool_writer *w, struct segment *s)
{
	if (!s)
		return;
	close(s->fd);
	free(s);
	w->segments_n--;
}

static void
writer_told(struct spool_writer *w, struct report *r)
{
	segment_free(w, r->segment);
	switch (r->kind) {
	case REPORT_DURABLE:
		writer_told_durable(w, r);
		break;
	case REPORT_FILLED:
		if (!w->is_retiring)
			w->hooks.filled(w->hooks.owner, r->number, r->end);
		break;
	case REPORT_RETIRED:
		w->is_retiring = false;
		w->hooks.filled(w->hooks.owner, r->number, r->end);
		break;
	case REPORT_BROKEN:
		writer_told_broken(w, r);
		break;
	case REPORT_FAILED:
		list_each_safe (at, &r->commits)
			draft_doom(commit_draft(at), &r->e);
		break;
	}
	free(r);
}

static void
writer_settle_doomed(struct spool_writer *w)
{
	while (!list_is_empty(&w->doomed)) {
		struct draft *d = list_of(w->doomed.next, struct draft, link);

		draft_settle(d, &d->e);
	}
}

/* ── what it lacks ── */

static unsigned
lacking(unsigned wanted, unsigned have, unsigned owed)
{
	return wanted > have + owed ? wanted - have - owed : 0;
}

/* Asks in a turn of its own: the functions that find out are called by the owner. */
void
writer_tell_wants(struct spool_writer *w)
{
	if (lacking(SEGMENTS_WANTED, w->segments_n, w->segments_owed) > 0 ||
		lacking(BIGS_WANTED + w->waiting_for_big_n, w->bigs_n, w->bigs_owed) > 0)
		loop_wake_up(w->wake);
}

static void
writer_ask(struct spool_writer *w)
{
	unsigned segments = lacking(SEGMENTS_WANTED, w->segments_n, w->segments_owed);
	unsigned bigs = lacking(BIGS_WANTED + w->waiting_for_big_n, w->bigs_n, w->bigs_owed);

	if (w->is_retiring || segments + bigs == 0)
		return;
	w->segments_owed += segments;
	w->bigs_owed += bigs;
	w->hooks.want(w->hooks.owner, segments, bigs);
}

static void
writer_woken(void *of)
{
	struct spool_writer *w = of;
	struct list reports;

	list_init(&reports);
	segment_take_reports(w->committer, &reports);
	while (!list_is_empty(&reports)) {
		struct report *r = list_of(reports.next, struct report, link);

		list_remove(&r->link);
		writer_told(w, r);
	}
	writer_settle_doomed(w);
	writer_ask(w);
}

/* ── opening and closing ── */

struct spool_writer *
spool_writer_open(struct loop *loop, const struct spool_hooks *hooks, uint64_t memory_max)
{
	struct spool_writer *w = calloc(1, sizeof *w);

	must(w);
	w->loop = loop;
	w->hooks = *hooks;
	w->memory_max = memory_max;
	w->free_space_at_ms = -SPACE_AGE_MAX_MS;
	list_init(&w->open);
	list_init(&w->waiting_for_big);
	list_init(&w->committing);
	list_init(&w->unsealed);
	list_init(&w->doomed);
	list_init(&w->idle);
	list_init(&w->bigs);
	w->wake = loop_wake_open(loop, writer_woken, w);
	w->committer = segment_committer_open(w->wake, COMMITTER_OF_MAILS);
	loop_wake_up(w->wake); /* the first want */
	return w;
}

static void
bigs_forget(struct spool_writer *w)
{
	list_each_safe (at, &w->bigs) {
		struct big *big = list_of(at, struct big, link);

		list_remove(at);
		big_free(&big);
	}
	w->bigs_n = w->bigs_owed = 0;
}

static void
drafts_free(struct list *drafts)
{
	list_each_safe (at, drafts)
		draft_free(list_of(at, struct draft, link));
}

static void
segments_free(struct spool_writer *w, struct list *segments)
{
	list_each_safe (at, segments)
		segment_free(w, list_of(at, struct segment, link));
}

void
spool_writer_close(struct spool_writer **of)
{
	struct spool_writer *w = *of;
	struct list commits, segments;

	if (!w)
		return;
	list_init(&commits);
	list_init(&segments);
	segment_committer_close(&w->committer, &commits, &segments);
	segments_free(w, &segments);
	drafts_free(&w->open);
	drafts_free(&w->waiting_for_big);
	drafts_free(&w->committing);
	drafts_free(&w->unsealed);
	drafts_free(&w->doomed);
	bigs_forget(w);
	draft_free_idle(w);
	loop_wake_close(&w->wake);
	free(w);
	*of = NULL;
}

/* ── segments and big files come, or go ── */

void
spool_writer_give_segment(
	struct spool_writer *w, uint64_t number, uint64_t generation, uint64_t size, int fd)
{
	struct segment *s;

	if (w->is_retiring) { /* the last words of a queue that is dead */
		close(fd);
		return;
	}
	s = calloc(1, sizeof *s);
	must(s);
	*s = (struct segment){ .number = number, .generation = generation, .size = size, .fd = fd };
	w->segments_n++;
	w->segments_owed -= w->segments_owed > 0;
	segment_give(w->committer, s);
}

void
writer_use_bigs(struct spool_writer *w)
{
	while (!list_is_empty(&w->bigs) && !list_is_empty(&w->waiting_for_big))
		draft_go_on(list_of(w->waiting_for_big.next, struct draft, link));
}

void
spool_writer_give_big(struct spool_writer *w, uint64_t number, int fd)
{
	struct big *big;

	if (w->is_retiring) {
		close(fd);
		return;
	}
	big = calloc(1, sizeof *big);
	must(big);
	*big = (struct big){ .number = number, .fd = fd };
	list_append(&w->bigs, &big->link);
	w->bigs_n++;
	w->bigs_owed -= w->bigs_owed > 0;
	writer_use_bigs(w);
}

void
spool_writer_sealed(struct spool_writer *w, uint64_t number)
{
	list_each_safe (at, &w->unsealed) {
		struct draft *d = list_of(at, struct draft, link);

		if (d->unsealed == number)
			draft_doom(d, NULL);
	}
}

void
spool_writer_retire(struct spool_writer *w)
{
	struct list unused;

	if (w->is_retiring)
		return;
	w->is_retiring = true;
	list_each (at, &w->open) {
		struct draft *d = list_of(at, struct draft, link);

		if (!d->big)
			continue;
		big_free(&d->big);
		err_set(&d->e, ERR_TEMPORARY, ERR_LOCAL,
			"the queue was restarted, please try again");
	}
	bigs_forget(w);
	list_init(&unused);
	segment_retire(w->committer, &unused);
	segments_free(w, &unused);
	w->segments_owed = 0;
}

void
spool_writer_give_up(struct spool_writer *w, const struct err *e)
{
	segment_fail_waiting(w->committer, e);
	list_each_safe (at, &w->waiting_for_big)
		draft_doom(list_of(at, struct draft, link), e);
	w->waiting_for_big_n = 0;
}

bool
spool_writer_is_ready(const struct spool_writer *w)
{
	return segment_is_at_hand(w->committer);
}

uint64_t
spool_writer_free_space(struct spool_writer *w)
{
	int64_t now_ms = loop_now_ms(w->loop);
	struct statvfs disk;
	uint64_t octets = 0;
	int fd;

	if (now_ms - w->free_space_at_ms < SPACE_AGE_MAX_MS)
		return w->free_space;
	fd = segment_any_descriptor(w->committer);
	if (fd >= 0 && fstatvfs(fd, &disk) == 0) {
		octets = disk.f_bavail * disk.f_frsize;
		octets += octets == 0; /* full, which is known */
	}
	w->free_space = octets;
	w->free_space_at_ms = now_ms;
	return w->free_space;
}
