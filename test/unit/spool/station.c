/* SPDX-License-Identifier: Apache-2.0 */
#include "station.h"

#include <unistd.h>

#include "../directory.h"
#include "base/hash.h"

/* ── what joins writer and keeper ── */

static void
told_settled(void *owner, void *session, const struct err *e)
{
	struct station *s = owner;

	if (e) {
		s->refused++;
		s->last = *e;
	} else {
		s->kept++;
	}
	if (s->on_settled)
		s->on_settled(s, (uintptr_t)session, !e);
}

static void
told_durable(void *owner, uint64_t number, uint64_t durable)
{
	struct station *s = owner;

	assert_int_equal(durable % SPOOL_BLOCK, 0);
	s->durable_before++;
	s->published_segment = number;
	s->published = durable;
}

static void
station_seal(struct station *s, uint64_t number, uint64_t durable, bool tell_writer)
{
	struct err e = { 0 };
	uint64_t ticket = keeper_seal(s->keeper, number, durable, &e);

	assert_true(ticket > 0);
	if (!tell_writer)
		return;
	assert_true(s->seals_n < sizeof s->seals / sizeof *s->seals);
	s->seals[s->seals_n++] = (struct seal_note){ ticket, number };
}

static void
told_broken(void *owner, uint64_t number, uint64_t durable, const struct err *e)
{
	struct station *s = owner;

	assert_int_equal(e->kind, ERR_SYNC);
	s->broken_told++;
	s->broken_segment = number;
	s->broken_end = durable;
	if (!s->holds_seals)
		station_seal(s, number, durable, true);
}

static void
told_filled(void *owner, uint64_t number, uint64_t durable)
{
	struct station *s = owner;

	s->filled_told++;
	if (number)
		station_seal(s, number, durable, false);
}

static void
told_want(void *owner, unsigned segments, unsigned bigs)
{
	struct station *s = owner;
	struct err e;

	s->segments_owed += segments;
	while (!s->is_stingy && s->segments_owed > 0) {
		keeper_make_segment(s->keeper);
		s->segments_owed--;
	}
	for (; !s->no_bigs && bigs > 0; bigs--) {
		uint64_t number;
		int fd;

		assert_true(keeper_make_big(s->keeper, &number, &fd, &e));
		spool_writer_give_big(s->writer, number, fd);
	}
}

static void
told_fates_durable(void *owner, uint64_t ticket)
{
	struct station *s = owner;

	assert_true(ticket > s->ticket);
	s->ticket = ticket;
	for (unsigned i = 0; i < s->seals_n;) {
		if (s->seals[i].ticket > ticket) {
			i++;
			continue;
		}
		spool_writer_sealed(s->writer, s->seals[i].number);
		s->seals[i] = s->seals[--s->seals_n];
	}
}

static void
told_fates_broken(void *owner, const struct err *e)
{
	struct station *s = owner;

	s->fates_broke = true;
	s->last = *e;
}

static void
told_segment(void *owner, uint64_t number, uint64_t generation, uint64_t size, int fd,
	const struct err *e)
{
	struct station *s = owner;

	if (e) {
		assert_int_equal(number, 0);
		s->not_made++;
		s->last = *e;
		return;
	}
	s->made++;
	if (s->writer)
		spool_writer_give_segment(s->writer, number, generation, size, fd);
	else
		close(fd);
}

static void
poll_again(void *owner)
{
	struct station *s = owner;

	loop_stop(s->loop);
}

bool
station_try(struct station *s, struct err *e)
{
	s->loop = loop_open();
	s->poll = loop_timer_open(s->loop, poll_again, s);
	s->keeper = keeper_open(s->loop, str_of(s->path), STATION_SEGMENT,
		&(struct keeper_hooks){ .owner = s,
			.fates_durable = told_fates_durable,
			.fates_broken = told_fates_broken,
			.segment_made = told_segment },
		e);
	s->ticket = 0;
	return s->keeper != NULL;
}

void
station_reopen(struct station *s)
{
	struct err e;

	if (!station_try(s, &e))
		fail_msg("%s", e.text);
	s->writer = spool_writer_open(s->loop,
		&(struct spool_hooks){ .owner = s,
			.settled = told_settled,
			.durable = told_durable,
			.broken = told_broken,
			.filled = told_filled,
			.want = told_want },
		64 * 1024 * 1024);
}

void
station_open(struct station *s)
{
	snprintf(s->path, sizeof s->path, "/tmp/posthouse-spool-XXXXXX");
	assert_non_null(mkdtemp(s->path));
	station_reopen(s);
}

void
station_close(struct station *s)
{
	spool_writer_close(&s->writer);
	keeper_close(&s->keeper);
	loop_timer_close(&s->poll);
	loop_close(&s->loop);
	assert_null(s->loop);
	s->segments_owed = 0;
}

void
station_end(struct station *s)
{
	station_close(s);
	directory_remove(s->path);
}

void
station_wait(struct station *s, bool (*is_true)(struct station *s))
{
	int64_t end = loop_wall_ms() + 20000;

	while (!is_true(s)) {
		assert_true(loop_wall_ms() < end);
		loop_timer_set(s->poll, 1);
		loop_run(s->loop);
	}
}

static unsigned kept_wanted;

static bool
kept_enough(struct station *s)
{
	return s->kept >= kept_wanted;
}

void
station_wait_kept(struct station *s, unsigned kept)
{
	kept_wanted = kept;
	station_wait(s, kept_enough);
}

bool
fd_path_has(int fd, const char *part)
{
	char link[64], path[256] = { 0 };

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	assert_true(readlink(link, path, sizeof path - 1) > 0);
	return strstr(path, part) != NULL;
}

/* ── mails from numbers ── */

struct mail_id
mail_id_of(uintptr_t mail)
{
	struct mail_id id = { .octet = { 'm' } };

	codec_put_u64(id.octet + 8, mail);
	return id;
}

size_t
mail_size_of(uintptr_t mail)
{
	return mail * 2654435761u % 9000;
}

void
mail_text(struct buf *to, uintptr_t mail, size_t size)
{
	char *p = buf_room(to, size);

	assert_non_null(p);
	for (size_t i = 0; i < size; i++)
		p[i] = (char)('a' + (mail + i + i / 77) % 26);
	buf_grew(to, size);
}

void
station_send(struct station *s, uintptr_t mail, size_t size)
{
	struct draft *d = draft_new(s->writer);
	struct buf text = { .max = size + 1 }, recipients = { .max = 1000 };
	struct err e;
	struct str rest;

	mail_text(&text, mail, size);
	for (rest = buf_str(&text); rest.n > 0;
		rest = str_from(rest, rest.n < 5000 ? rest.n : 5000))
		if (!draft_append(d, str_part(rest, 0, 5000), &e))
			fail_msg("%s", e.text);
	codec_add_str(&recipients, S("bob@example.net"));
	draft_commit_take(&d,
		&(struct spool_envelope){ .id = mail_id_of(mail),
			.arrived_ms = (int64_t)size,
			.reverse_path = S("alice@example.org"),
			.recipients = buf_str(&recipients),
			.recipients_n = 1 },
		S("Received: here\r\n"), (void *)mail);
	assert_null(d);
	buf_free(&text);
	buf_free(&recipients);
}

/* ── reading ── */

static void
read_big(struct station *s, const struct spool_mail *m, struct buf *to)
{
	struct err e;
	int fd = keeper_open_big(s->keeper, m->big, &e);

	assert_true(fd >= 0);
	assert_non_null(buf_room(to, m->big_size));
	assert_int_equal(pread(fd, to->p, m->big_size, 0), m->big_size);
	buf_grew(to, m->big_size);
	assert_int_equal(hash_crc32c(0, buf_str(to)), m->big_crc);
	close(fd);
}

uintptr_t
mail_check(struct station *s, const struct spool_mail *m)
{
	uintptr_t mail = codec_get_u64(m->envelope.id.octet + 8);
	struct buf expected = { .max = SIZE_MAX }, big = { .max = SIZE_MAX };
	struct str message = m->message;

	mail_text(&expected, mail, (size_t)m->envelope.arrived_ms);
	if (m->big) {
		read_big(s, m, &big);
		message = buf_str(&big);
	}
	assert_true(str_eq(message, buf_str(&expected)));
	assert_true(str_eq(m->prefix, S("Received: here\r\n")));
	buf_free(&expected);
	buf_free(&big);
	return mail;
}

void
station_read(struct station *s, uint64_t segment, uint64_t end,
	void (*seen)(void *owner, uintptr_t mail, bool is_settled), void *owner, unsigned *n)
{
	uint64_t offset = 0, at;
	struct spool_mail m;

	while (keeper_next_mail(s->keeper, segment, &offset, end, &m, &at)) {
		struct buf again = { .max = SIZE_MAX };
		struct spool_mail m2;
		struct err e;
		uintptr_t mail;

		if (m.big && keeper_is_settled(s->keeper, m.envelope.id))
			continue; /* its big file may be gone */
		mail = mail_check(s, &m);
		assert_true(keeper_read(s->keeper, segment, at, &again, &m2, &e));
		assert_int_equal(mail_check(s, &m2), mail);
		buf_free(&again);
		(*n)++;
		if (seen)
			seen(owner, mail, keeper_is_settled(s->keeper, m2.envelope.id));
	}
}

unsigned
station_recover(
	struct station *s, void (*seen)(void *owner, uintptr_t mail, bool is_settled), void *owner)
{
	uint64_t number, end;
	unsigned n = 0;

	for (size_t at = 0; keeper_next_unsealed(s->keeper, &at, &number);)
		station_seal(s, number, UINT64_MAX, false);
	for (size_t at = 0; keeper_next_sealed(s->keeper, &at, &number, &end);)
		station_read(s, number, UINT64_MAX, seen, owner, &n);
	return n;
}
