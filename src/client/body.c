/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The octets of a message. Those of attachments and of finished messages are not gathered: they are read when their place has come,
 * from the caller's memory in place, from files through one small buffer.
 *
 * A file was looked at when it was named, and the size of the message is told to the server before. So it must still be what it
 * was, until its last octet is read: the same file, of that size, and not written to since. Else the body fails in its middle, the end is never
 * said, and nobody gets half a file.
 */

enum { HEADER_MAX = 262144 }; /* octets of a finished message's header that are looked at */

static int64_t
changed_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static int
file_open(const char *path)
{
	/* what was a file may have become a pipe, which must not be waited for */
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* /proc, and some file systems in user space, say 0 of files that have something in them. */
static bool
is_really_empty(struct ph_mail *m, const struct source *s)
{
	int fd = file_open(s->path);
	char octet;
	ssize_t n = fd < 0 ? -1 : read(fd, &octet, 1);

	if (n < 0)
		mail_fail(m, "%s: %s", s->path, strerror(errno));
	if (n > 0)
		mail_fail(m, "%s: its size is not known: write it into a file first", s->path);
	if (fd >= 0)
		close(fd);
	return n == 0;
}

bool
source_look(struct ph_mail *m, struct source *s)
{
	struct stat st;

	if (stat(s->path, &st) < 0)
		return mail_fail(m, "%s: %s", s->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return mail_fail(m, "%s: not a file", s->path);
	s->size = (uint64_t)st.st_size;
	s->device = st.st_dev;
	s->inode = st.st_ino;
	s->changed_ns = changed_ns(&st);
	return s->size > 0 || is_really_empty(m, s);
}

/* ── one source ── */

static void
source_begin(struct source_reader *r, const struct source *source)
{
	r->source = source;
	r->fd = -1;
	r->at = 0;
}

static void
source_end(struct source_reader *r)
{
	if (r->source && r->fd >= 0)
		close(r->fd);
	r->source = NULL;
}

static uint64_t
source_left(const struct source_reader *r)
{
	return (r->source->path ? r->source->size : r->source->data.n) - r->at;
}

static bool
changed(const struct source *s, struct err *e)
{
	return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s changed since it was named", s->path);
}

/* Is it still what it was? Before the first octet and behind the last. */
static bool
is_unchanged(const struct source *s, int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set_errno(e, "%s", s->path);
	return (st.st_dev == s->device && st.st_ino == s->inode &&
		       (uint64_t)st.st_size == s->size && changed_ns(&st) == s->changed_ns) ||
	       changed(s, e);
}

static bool
source_open(struct source_reader *r, struct err *e)
{
	r->fd = file_open(r->source->path);
	if (r->fd < 0)
		return err_set_errno(e, "%s", r->source->path);
	return is_unchanged(r->source, r->fd, e);
}

static bool
read_file(struct source_reader *r, size_t n, struct err *e)
{
	for (size_t have = 0; have < n;) {
		ssize_t got = read(r->fd, r->octets + have, n - have);

		if (got == 0)
			return changed(r->source, e);
		if (got < 0 && errno != EINTR)
			return err_set_errno(e, "%s", r->source->path);
		have += got > 0 ? (size_t)got : 0;
	}
	return true;
}

/* The next n octets, not more than are left. */
static bool
source_next(struct source_reader *r, size_t n, struct str *octets, struct err *e)
{
	if (!r->source->path) {
		*octets = str_part(r->source->data, (size_t)r->at, n);
		r->at += n;
		return true;
	}
	if ((r->fd < 0 && !source_open(r, e)) || !read_file(r, n, e))
		return false;
	*octets = (struct str){ r->octets, n };
	r->at += n;
	return source_left(r) > 0 || is_unchanged(r->source, r->fd, e);
}

static size_t
source_step(const struct source_reader *r)
{
	uint64_t left = source_left(r);

	return left < sizeof r->octets ? (size_t)left : sizeof r->octets;
}

bool
source_scan(struct ph_mail *m, const struct source *source, struct data *facts)
{
	struct source_reader *r = memory_take(&m->memory, sizeof *r);
	struct str octets, piece;
	struct err e;

	if (!r)
		return mail_no_memory(m);
	data_begin(facts, false, false);
	for (source_begin(r, source); source_left(r);) {
		if (!source_next(r, source_step(r), &octets, &e)) {
			mail_fail(m, "%s", e.text);
			break;
		}
		while (data_next(facts, &octets, &piece) == DATA_PIECE)
			;
	}
	data_finish(facts, &piece);
	source_end(r);
	memory_release(&m->memory, r);
	return !err_is(&m->error);
}

/* ── a message ── */

void
body_begin(struct body *b, const struct ph_mail *m)
{
	body_end(b);
	b->mail = m;
	b->given = 0;
	b->rest = S("");
	b->is_over = false;
	data_begin(&b->data, false, true);
	if (m->is_finished)
		source_begin(&b->source, &m->finished);
	else
		compose_begin(&b->reader, &m->plan);
}

void
body_end(struct body *b)
{
	source_end(&b->source);
}

static enum body_step
composed_next(struct body *b, struct str *piece, struct err *e)
{
	for (;;) {
		const struct source *wanted;
		struct str octets;

		switch (compose_next(&b->reader, piece)) {
		case COMPOSE_PIECE:
			return BODY_PIECE;
		case COMPOSE_OVER:
			return BODY_OVER;
		case COMPOSE_WANT_PART:
			break;
		}
		wanted = &b->mail->sources[b->reader.part];
		if (b->source.source != wanted) {
			source_end(&b->source);
			source_begin(&b->source, wanted);
		}
		if (!source_next(&b->source, b->reader.wanted, &octets, e))
			return BODY_FAILED;
		compose_feed(&b->reader, octets);
	}
}

/* Line ends become CRLF (RFC 5321 §2.3.8). */
static enum body_step
finished_next(struct body *b, struct str *piece, struct err *e)
{
	while (!b->is_over) {
		if (b->rest.n && data_next(&b->data, &b->rest, piece) == DATA_PIECE) {
			if (piece->n)
				return BODY_PIECE;
		} else if (source_left(&b->source)) {
			if (!source_next(&b->source, source_step(&b->source), &b->rest, e))
				return BODY_FAILED;
		} else {
			b->is_over = true;
			if (data_finish(&b->data, piece))
				return BODY_PIECE;
		}
	}
	return BODY_OVER;
}

/* Nothing is read of an empty file, so nothing else would notice. */
static bool
empty_is_unchanged(struct body *b, const struct source *s, struct err *e)
{
	bool is_unchanged;

	if (!s->path || s->size)
		return true;
	source_begin(&b->source, s);
	is_unchanged = source_open(&b->source, e);
	source_end(&b->source);
	return is_unchanged;
}

static bool
empties_are_unchanged(struct body *b, struct err *e)
{
	const struct ph_mail *m = b->mail;
	bool are_unchanged = true;

	for (size_t i = 0; i < m->compose.parts_n && are_unchanged; i++)
		are_unchanged = empty_is_unchanged(b, &m->sources[i], e);
	return are_unchanged;
}

enum body_step
body_next(struct body *b, struct str *piece, struct err *e)
{
	enum body_step step;

	if (b->given == 0 && !b->mail->is_finished && !empties_are_unchanged(b, e))
		return BODY_FAILED;
	step = b->mail->is_finished ? finished_next(b, piece, e) : composed_next(b, piece, e);
	if (step == BODY_PIECE)
		b->given += piece->n;
	return step;
}

/* Gathers the header, in which a piece may end anywhere. False: that was all of it. */
static bool
add_header(struct buf *header, struct str piece)
{
	size_t seen = header->n > 3 ? header->n - 3 : 0, end;

	buf_add(header, piece);
	end = seen + str_find_str(str_from(buf_str(header), seen), S("\r\n\r\n"));
	if (end == header->n)
		return !header->overflow;
	header->n = end;
	return false;
}

bool
body_measure(struct ph_mail *m)
{
	struct body *b = memory_take(&m->memory, sizeof *b);
	struct buf header = { .max = HEADER_MAX, .memory = &m->memory };
	bool is_header = true;
	enum body_step step;
	struct str piece;
	struct err e;

	if (!b)
		return mail_no_memory(m);
	for (body_begin(b, m); (step = body_next(b, &piece, &e)) == BODY_PIECE;)
		is_header = is_header && add_header(&header, piece);
	m->has_utf8_header = !str_is_ascii(buf_str(&header)) && str_is_utf8(buf_str(&header));
	buf_free(&header);
	m->size = b->given;
	if (step == BODY_FAILED)
		mail_fail(m, "%s", e.text);
	m->has_8bit = b->data.has_8bit;
	m->needs_chunking = b->data.has_nul || b->data.has_long_line;
	body_end(b);
	memory_release(&m->memory, b);
	return step == BODY_OVER;
}

bool
ph_mail_write(ph_mail *m, bool (*write)(void *context, const char *octets, size_t n), void *context)
{
	enum body_step step = BODY_PIECE;
	bool is_wanted = true;
	struct body *b;
	struct str piece;
	struct err e;

	m->remark[0] = '\0';
	if (!mail_prepare_message(m))
		return false;
	b = memory_take(&m->memory, sizeof *b);
	if (!b)
		return mail_no_memory(m);
	body_begin(b, m);
	while (is_wanted && (step = body_next(b, &piece, &e)) == BODY_PIECE)
		is_wanted = write(context, piece.p, piece.n);
	if (step == BODY_FAILED)
		text_copy(m->remark, sizeof m->remark, e.text);
	body_end(b);
	memory_release(&m->memory, b);
	return step == BODY_OVER;
}
