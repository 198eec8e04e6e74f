/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer: drafts become kept mails.
 *
 * A draft is one mail while it comes in. It gathers in memory; a large one, or any when memory is
 * short, streams into a big file. At commit its record is built here, CRC and all, with the message
 * left where it lies, and goes to the committer (segment.c), which only writes and syncs.
 *
 * Invariants
 * 1. `settled` without an error comes only out of a DURABLE report, after `durable` of its segment.
 * 2. `settled` with an error comes only for a mail that nobody will ever deliver: its record was never
 *    given to a write, or the end of its segment, before that record, is in the fate log.
 * 3. Hooks are called from writer_woken alone, which is a turn of the loop of its own.
 * 4. Messages in memory hold at most `memory_max` octets, but for the first 8 KiB of each draft, which
 *    are counted and not refused. Above three quarters of it a draft grows in a big file where there
 *    is one; at the edge appends fail with ERR_NO_SPACE.
 * 5. A big file holds one mail, or nothing. After a write to it that failed it is not used again.
 *
 * A draft:
 *
 *   draft_new      draft_commit_take                              writer_told_durable
 *   ────────► OPEN ─────────┬──────────────────────► COMMITTING ──────────────────────► settled(NULL)
 *              │            │                         ▲   │   │
 *              │            │  spool_writer_give_big  │   │   │ writer_told_broken
 *              │            └─► WAITS_FOR_BIG ────────┘   │   └────► UNSEALED ── spool_writer_sealed ─┐
 *              │                                          │ REPORT_FAILED                             ▼
 *              │                 (or its append failed) ──┴──────────────────► DOOMED ─────► settled(e)
 *              └─ draft_discard ─► gone                                                writer_settle_doomed
 */
#include "spool/spool.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "spool/record.h"
#include "spool/segment.h"

enum {
	DRAFT_FIRST = 8 * 1024,	 /* octets of the buffer that comes with a draft */
	DRAFTS_IDLE_MAX = 64,	 /* drafts kept for reuse */
	DRAFT_HEAD_KEPT = 4096,	 /* a larger record head is not kept with an idle draft */
	SEGMENTS_WANTED = 2,	 /* one in use, one for when it is full */
	BIGS_WANTED = 4,	 /* spare ones, besides those that drafts wait for */
	SPACE_AGE_MAX_MS = 1000, /* how old an answer of free_space may be */
};

enum draft_state {
	DRAFT_OPEN,
	DRAFT_WAITS_FOR_BIG,
	DRAFT_COMMITTING,
	DRAFT_UNSEALED,
	DRAFT_DOOMED,
};

struct big {
	struct list link;
	uint64_t number;
	int fd;
};

struct draft {
	struct list link; /* in the list of its state, or among the idle */
	struct spool_writer *writer;
	enum draft_state state;
	void *session; /* NULL: nobody is told */
	struct mail_id id;
	struct err e;	 /* why it can only be discarded */
	struct buf head; /* of the record: header, envelope, prefix */
	char *body;	 /* the message, or its beginning when there is a big file */
	size_t body_n, body_capacity;
	struct big *big;
	uint64_t big_size;
	uint32_t big_crc;
	uint64_t unsealed; /* the segment whose end must be logged first */
	struct commit commit;
	char first[]; /* DRAFT_FIRST octets */
};

struct spool_writer {
	struct loop *loop;
	struct spool_hooks hooks;
	struct loop_wake *wake;
	struct committer *committer;
	struct list open, waiting_for_big, committing, unsealed, doomed, idle; /* drafts */
	unsigned idle_n, waiting_for_big_n;
	size_t memory, memory_max;
	struct list bigs;
	unsigned bigs_n, segments_n; /* at hand */
	unsigned bigs_owed, segments_owed;
	bool is_retiring;
	uint64_t free_space;
	int64_t free_space_at_ms;
};

/* ── memory ── */

static bool
writer_has_room(const struct spool_writer *w, size_t more)
{
	return more <= w->memory_max && w->memory <= w->memory_max - more;
}

static bool
memory_is_short(const struct spool_writer *w, size_t more)
{
	return !writer_has_room(w, more + w->memory_max / 4);
}

static size_t
capacity_for(const struct draft *d, size_t want)
{
	size_t capacity = d->body_capacity;

	while (capacity < want)
		capacity *= 2;
	return capacity;
}

static void
draft_grow(struct draft *d, size_t capacity)
{
	char *body;

	if (capacity == d->body_capacity)
		return;
	body = malloc(capacity);
	must(body);
	memcpy(body, d->body, d->body_n);
	if (d->body != d->first)
		free(d->body);
	d->writer->memory += capacity - d->body_capacity;
	d->body = body;
	d->body_capacity = capacity;
}

struct draft *
draft_new(struct spool_writer *w)
{
	struct draft *d;
	struct buf head = { .max = RECORD_HEADER + SPOOL_ENVELOPE_MAX + 2 * SPOOL_PREFIX_MAX };

	if (!list_is_empty(&w->idle)) {
		d = list_of(w->idle.next, struct draft, link);
		list_remove(&d->link);
		w->idle_n--;
		head = d->head;
	} else {
		d = malloc(sizeof *d + DRAFT_FIRST);
		must(d);
	}
	*d = (struct draft){ .writer = w,
		.head = head,
		.body = d->first,
		.body_capacity = DRAFT_FIRST,
		.commit.big_fd = -1 };
	w->memory += DRAFT_FIRST;
	list_append(&w->open, &d->link);
	return d;
}

static void
big_free(struct big **of)
{
	if (!*of)
		return;
	close((*of)->fd);
	free(*of);
	*of = NULL;
}

static void
draft_free(struct draft *d)
{
	struct spool_writer *w = d->writer;

	list_remove(&d->link);
	big_free(&d->big);
	w->memory -= d->body_capacity;
	if (d->body != d->first)
		free(d->body);
	buf_reset(&d->head);
	if (w->idle_n < DRAFTS_IDLE_MAX && d->head.capacity <= DRAFT_HEAD_KEPT) {
		list_append(&w->idle, &d->link);
		w->idle_n++;
		return;
	}
	buf_free(&d->head);
	free(d);
}

/* ── appending ── */

static bool
draft_write_big(struct draft *d, struct str piece)
{
	d->big_crc = hash_crc32c(d->big_crc, piece);
	d->big_size += piece.n;
	while (piece.n > 0) {
		ssize_t wrote = write(d->big->fd, piece.p, piece.n);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0) {
			err_set_errno(&d->e, "cannot write a big file of the spool");
			if (d->e.cause == ENOSPC || d->e.cause == EDQUOT)
				d->e.kind = ERR_NO_SPACE;
			if (ftruncate(d->big->fd, 0) < 0)
				log_event("big-file-not-emptied", "errno=%d", errno);
			big_free(&d->big);
			return false;
		}
		piece = str_from(piece, (size_t)wrote);
	}
	return true;
}

static void writer_tell_wants(struct spool_writer *w);

/* Moves what was gathered to a big file; it also stays in memory, as the head. */
static bool
draft_begin_big(struct draft *d)
{
	struct spool_writer *w = d->writer;

	d->big = list_of(w->bigs.next, struct big, link);
	list_remove(&d->big->link);
	w->bigs_n--;
	writer_tell_wants(w);
	return draft_write_big(d, (struct str){ d->body, d->body_n });
}

static bool
draft_fail(struct draft *d, struct err *e)
{
	*e = d->e;
	return false;
}

bool
draft_append(struct draft *d, struct str piece, struct err *e)
{
	struct spool_writer *w = d->writer;
	size_t want = d->body_n + piece.n, capacity, more;

	if (err_is(&d->e))
		return draft_fail(d, e);
	if (d->big)
		return draft_write_big(d, piece) || draft_fail(d, e);
	if (want <= d->body_capacity) {
		memcpy(d->body + d->body_n, piece.p, piece.n);
		d->body_n = want;
		return true;
	}
	capacity = capacity_for(d, want);
	more = capacity - d->body_capacity;
	if ((want > SPOOL_INLINE_MAX || memory_is_short(w, more)) && !list_is_empty(&w->bigs))
		return (draft_begin_big(d) && draft_write_big(d, piece)) || draft_fail(d, e);
	if (!writer_has_room(w, more)) {
		err_set(&d->e, ERR_TEMPORARY, ERR_NO_SPACE,
			"no memory left for more mail at once, please try again");
		return draft_fail(d, e);
	}
	draft_grow(d, capacity);
	memcpy(d->body + d->body_n, piece.p, piece.n);
	d->body_n = want;
	return true;
}

/* A discarded draft's big file serves the next one. */
static void
big_recycle(struct spool_writer *w, struct big *big)
{
	if (ftruncate(big->fd, 0) < 0 || lseek(big->fd, 0, SEEK_SET) < 0) {
		big_free(&big);
		return;
	}
	list_append(&w->bigs, &big->link);
	w->bigs_n++;
}

static void
draft_move(struct draft *d, struct list *to, enum draft_state state)
{
	list_remove(&d->link);
	list_append(to, &d->link);
	d->state = state;
}

static void writer_use_bigs(struct spool_writer *w);

void
draft_discard(struct draft **of)
{
	struct draft *d = *of;
	struct spool_writer *w;

	if (!d)
		return;
	must(d->state == DRAFT_OPEN);
	w = d->writer;
	if (d->big) {
		big_recycle(w, d->big);
		d->big = NULL;
		writer_use_bigs(w);
	}
	draft_free(d);
	*of = NULL;
}

/* ── committing ── */

static void
draft_doom(struct draft *d, const struct err *e)
{
	if (e)
		d->e = *e;
	draft_move(d, &d->writer->doomed, DRAFT_DOOMED);
	loop_wake_up(d->writer->wake);
}

/* The record's parts: head, message and padding, each where it lies; CRC over all behind the header. */
static void
draft_hand_over(struct draft *d)
{
	static char zeros[SPOOL_ALIGN];
	struct str message = { d->body, d->big ? 0 : d->body_n };
	size_t payload_n = d->head.n - RECORD_HEADER + message.n,
	       padding = record_padding(payload_n);
	uint32_t crc;

	if (d->big) {
		record_set_big(d->head.p, d->big->number, d->big_size, d->big_crc);
		d->commit.big_fd = d->big->fd;
	}
	crc = hash_crc32c(0, str_from(buf_str(&d->head), RECORD_HEADER));
	crc = hash_crc32c(crc, message);
	crc = hash_crc32c(crc, (struct str){ zeros, padding });
	record_put_header(d->head.p, SPOOL_MAIL, d->id, payload_n, crc);
	d->commit.part[0] = (struct iovec){ d->head.p, d->head.n };
	d->commit.part[1] = (struct iovec){ d->body, message.n };
	d->commit.part[2] = (struct iovec){ zeros, padding };
	d->commit.parts = COMMIT_PARTS;
	d->commit.size = RECORD_HEADER + payload_n + padding;
	draft_move(d, &d->writer->committing, DRAFT_COMMITTING);
	segment_commit(d->writer->committer, &d->commit);
}

/* Drafts that were too large for a record and found no big file at hand. */
static void
writer_use_bigs(struct spool_writer *w)
{
	while (!list_is_empty(&w->bigs) && !list_is_empty(&w->waiting_for_big)) {
		struct draft *d = list_of(w->waiting_for_big.next, struct draft, link);

		w->waiting_for_big_n--;
		if (draft_begin_big(d))
			draft_hand_over(d);
		else
			draft_doom(d, NULL);
	}
}

void
draft_commit_take(
	struct draft **of, const struct spool_envelope *envelope, struct str prefix, void *session)
{
	struct draft *d = *of;
	struct spool_mail m = { .envelope = *envelope, .prefix = prefix };
	bool is_large = !d->big && d->body_n > SPOOL_INLINE_MAX;
	struct err e;

	*of = NULL;
	must(d->state == DRAFT_OPEN);
	d->session = session;
	d->id = envelope->id;
	m.message.n = d->big || is_large ? 0 : d->body_n;
	record_add_mail_head(&d->head, &m);
	if (err_is(&d->e)) {
		draft_doom(d, NULL);
	} else if (d->head.overflow) {
		err_set(&e, ERR_PERMANENT, ERR_TOO_BIG,
			"the envelope is larger than the spool keeps");
		draft_doom(d, &e);
	} else if (is_large) {
		struct spool_writer *w = d->writer;

		draft_move(d, &w->waiting_for_big, DRAFT_WAITS_FOR_BIG);
		w->waiting_for_big_n++;
		writer_use_bigs(w);
		writer_tell_wants(w);
	} else {
		draft_hand_over(d);
	}
}

void
draft_forget(struct spool_writer *w, void *session)
{
	struct list *lists[] = { &w->waiting_for_big, &w->committing, &w->unsealed, &w->doomed };

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		list_each (at, lists[i]) {
			struct draft *d = list_of(at, struct draft, link);

			if (d->session == session)
				d->session = NULL;
		}
}

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

static unsigned
lacking(unsigned wanted, unsigned have, unsigned owed)
{
	return wanted > have + owed ? wanted - have - owed : 0;
}

/* Asks in a turn of its own: the functions that find out are called by the owner. */
static void
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

/* ── the writer ── */

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
	list_each_safe (at, &w->idle) {
		struct draft *d = list_of(at, struct draft, link);

		buf_free(&d->head);
		free(d);
	}
	loop_wake_close(&w->wake);
	free(w);
	*of = NULL;
}

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
