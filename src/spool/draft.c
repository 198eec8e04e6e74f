/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A draft is one mail while it comes in. It gathers in memory; a large one, or any when memory is
 * short, streams into a big file. At commit its record is built here, CRC and all, with the message
 * left where it lies, and goes to the committer (segment.c), which only writes and syncs.
 *
 * Messages in memory hold at most the writer's `memory_max` octets, but for the first 8 KiB of each
 * draft, which are counted and not refused. Above three quarters of it a draft grows in a big file
 * where there is one; at the edge appends fail with ERR_NO_SPACE.
 *
 * A big file holds one mail, or nothing. After a write to it that failed it is not used again.
 *
 *   draft_new      draft_commit_take                              writer_told_durable
 *   ────────► OPEN ─────────┬──────────────────────► COMMITTING ──────────────────────► settled(NULL)
 *              │            │                         ▲   │   │
 *              │            │  draft_go_on            │   │   │ writer_told_broken
 *              │            └─► WAITS_FOR_BIG ────────┘   │   └────► UNSEALED ── spool_writer_sealed ─┐
 *              │                                          │ REPORT_FAILED                             ▼
 *              │                 (or its append failed) ──┴──────────────────► DOOMED ─────► settled(e)
 *              └─ draft_discard ─► gone                                                writer_settle_doomed
 */
#include "spool/draft.h"

#include <errno.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "spool/record.h"

enum {
	DRAFT_FIRST = 8 * 1024, /* octets of the buffer that comes with a draft */
	DRAFTS_IDLE_MAX = 64,	/* drafts kept for reuse */
	DRAFT_HEAD_KEPT = 4096, /* a larger record head is not kept with an idle draft */
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

void
big_free(struct big **of)
{
	if (!*of)
		return;
	close((*of)->fd);
	free(*of);
	*of = NULL;
}

void
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

void
draft_free_idle(struct spool_writer *w)
{
	list_each_safe (at, &w->idle) {
		struct draft *d = list_of(at, struct draft, link);

		buf_free(&d->head);
		free(d);
	}
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

void
draft_move(struct draft *d, struct list *to, enum draft_state state)
{
	list_remove(&d->link);
	list_append(to, &d->link);
	d->state = state;
}

void
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

void
draft_go_on(struct draft *d)
{
	d->writer->waiting_for_big_n--;
	if (draft_begin_big(d))
		draft_hand_over(d);
	else
		draft_doom(d, NULL);
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
