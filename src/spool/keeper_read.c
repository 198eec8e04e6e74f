/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper reads: a segment's mails one after another, through a window of octets read ahead, or one
 * record again by its place.
 *
 * What is not sound is passed over to the next record and never fatal. Below an end that was
 * acknowledged it is damage: that is said in the log, once for each gap, and the segment is kept for
 * whoever rescues it. Above it is what a writer left that died, or what stood there before.
 */
#include "spool/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"

void
keeper_forget_window(struct spool_keeper *k)
{
	k->window_number = 0;
	buf_reset(&k->window);
}

int
keeper_segment_fd(struct spool_keeper *k, struct kept_segment *g, struct err *e)
{
	char name[32];

	if (g->fd >= 0)
		return g->fd;
	snprintf(name, sizeof name, "%08llu", (unsigned long long)g->number);
	g->fd = openat(k->seg, name, O_RDONLY | O_CLOEXEC);
	if (g->fd < 0)
		err_set_errno(e, "cannot open seg/%s of the spool", name);
	return g->fd;
}

static bool
read_all_at(int fd, char *to, size_t n, uint64_t at)
{
	while (n > 0) {
		ssize_t got = pread(fd, to, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got < 0 ? errno : EIO;
			return false;
		}
		to += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return true;
}

/* At least `want` octets of the segment from `offset` on, or all to the limit. Empty: they cannot
 * be read. */
static struct str
keeper_window(struct spool_keeper *k, struct kept_segment *g, uint64_t offset, uint64_t want,
	uint64_t limit)
{
	struct err e;
	size_t n;
	int fd;

	if (want > limit - offset)
		want = limit - offset;
	if (k->window_number == g->number && offset >= k->window_at &&
		offset + want <= k->window_at + k->window.n)
		return str_from(buf_str(&k->window), offset - k->window_at);
	keeper_forget_window(k);
	n = want > KEEPER_WINDOW ? want : KEEPER_WINDOW;
	if (n > limit - offset)
		n = limit - offset;
	fd = keeper_segment_fd(k, g, &e);
	if (fd < 0 || !read_all_at(fd, buf_room(&k->window, n), n, offset))
		return (struct str){ 0 };
	buf_grew(&k->window, n);
	k->window_number = g->number;
	k->window_at = offset;
	return buf_str(&k->window);
}

static void
keeper_note_damage(
	struct kept_segment *g, uint64_t offset, const struct record *r, const char *what)
{
	char id[MAIL_ID_TEXT] = "unknown";

	if (r)
		mail_id_text(r->id, id);
	g->is_damaged = true;
	log_event("record-damaged", "segment=%llu offset=%llu mail=%s what=%s",
		(unsigned long long)g->number, (unsigned long long)offset, id,
		log_quote(str_of(what)));
}

bool
keeper_has_damage(const struct spool_keeper *k)
{
	const struct kept_segment *g;

	for (size_t at = 0; (g = map_next(&k->state.segments, &at));)
		if (g->is_damaged)
			return true;
	return false;
}

static bool
is_padding(struct str in)
{
	static const char zeros[SPOOL_ALIGN];

	return memcmp(in.p, zeros, in.n < SPOOL_ALIGN ? in.n : SPOOL_ALIGN) == 0;
}

bool
keeper_next_record(struct spool_keeper *k, struct kept_segment *g, uint64_t *offset, uint64_t limit,
	bool is_published, struct record *r)
{
	uint64_t want = RECORD_HEADER;
	bool in_damage = false;

	while (*offset < limit) {
		struct str in = keeper_window(k, g, *offset, want, limit);
		enum record_result result =
			in.n ? record_read(in, g->generation, r, &want) : RECORD_NONE;

		if (result == RECORD_MORE && want <= limit - *offset)
			continue;
		want = RECORD_HEADER;
		if (result == RECORD_OK) {
			*offset += r->size;
			return true;
		}
		if (is_published && !in_damage &&
			!(result == RECORD_NONE && in.n && is_padding(in))) {
			keeper_note_damage(g, *offset, result == RECORD_BROKEN ? r : NULL,
				in.n ? "what stands there is no sound record"
				     : "it cannot be read");
			in_damage = true;
		}
		if (result == RECORD_BROKEN) {
			*offset += r->size;
			in_damage = false;
		} else {
			*offset += in.n ? SPOOL_ALIGN : SPOOL_BLOCK;
		}
	}
	return false;
}

/* What indexing a found mail tells the keeper. */
static void
keeper_claim(struct spool_keeper *k, const struct spool_mail *m)
{
	struct fate_mail *fates = fate_mail(&k->state, m->envelope.id);

	if (fates)
		fates->is_unclaimed = false;
	if (m->big && !keeper_is_settled(k, m->envelope.id))
		keeper_name_big(k, m->big);
}

bool
keeper_next_mail(struct spool_keeper *k, uint64_t number, uint64_t *offset, uint64_t durable,
	struct spool_mail *m, uint64_t *at)
{
	struct kept_segment *g = fate_segment(&k->state, number);
	struct record r;
	uint64_t limit;

	if (!g || g->state < KEPT_OPEN)
		return false;
	limit = g->state == KEPT_OPEN ? g->size : g->end;
	if (limit > durable)
		limit = durable;
	if (*offset < SPOOL_BLOCK)
		*offset = SPOOL_BLOCK;
	while (keeper_next_record(k, g, offset, limit, true, &r)) {
		*at = *offset - r.size;
		if (record_get_mail(&r, m)) {
			keeper_claim(k, m);
			return true;
		}
		keeper_note_damage(g, *at, &r, "a sound record that is no mail");
	}
	if (g->read_to < limit)
		g->read_to = limit;
	keeper_check_free(k, g);
	return false;
}

bool
keeper_read(struct spool_keeper *k, uint64_t number, uint64_t at, struct buf *to,
	struct spool_mail *m, struct err *e)
{
	struct kept_segment *g = fate_segment(&k->state, number);
	uint64_t n = RECORD_HEADER;
	struct record r;
	int fd;

	if (!g)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "the spool has no segment %llu",
			(unsigned long long)number);
	if ((fd = keeper_segment_fd(k, g, e)) < 0)
		return false;
	for (;;) {
		enum record_result result;
		size_t want = n;

		buf_reset(to);
		if (!buf_room(to, want))
			return err_set(
				e, ERR_TEMPORARY, ERR_NO_SPACE, "no memory for a mail's record");
		if (!read_all_at(fd, to->p, want, at))
			return err_set_errno(e, "cannot read segment %llu of the spool",
				(unsigned long long)number);
		buf_grew(to, want);
		result = record_read(buf_str(to), g->generation, &r, &n);
		if (result == RECORD_OK && record_get_mail(&r, m))
			return true;
		if (result != RECORD_MORE || want >= n)
			return err_set(e, ERR_PERMANENT, ERR_LOCAL,
				"the mail's record in segment %llu of the spool is damaged",
				(unsigned long long)number);
	}
}
