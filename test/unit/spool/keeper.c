/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper: what it finds again, what it uses again and when, and what it says when it cannot. */
#include "station.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spool/keeper.h"

static const char *_Atomic failing_directory; /* NULL: none */
static atomic_int failing_errno, segment_syncs;
static atomic_bool fates_held;

static int
failing_sync(int fd)
{
	const char *directory = failing_directory;

	segment_syncs += fd_path_has(fd, "/seg/");
	while (fates_held && fd_path_has(fd, "/fate/"))
		usleep(100);
	if (!directory || !fd_path_has(fd, directory))
		return fdatasync(fd);
	errno = failing_errno;
	return -1;
}

static int
set_up(void **state)
{
	*state = calloc(1, sizeof(struct station));
	return 0;
}

static int
tear_down(void **state)
{
	failing_directory = NULL;
	fates_held = false;
	station_end(*state);
	free(*state);
	return 0;
}

static int
open_in(struct station *s, const char *name, int flags)
{
	char path[160];

	snprintf(path, sizeof path, "%s/%s", s->path, name);
	return open(path, flags, 0600);
}

static uint64_t ticket_wanted;

static bool
ticket_came(struct station *s)
{
	return s->ticket >= ticket_wanted;
}

static void
station_wait_ticket(struct station *s, uint64_t ticket)
{
	ticket_wanted = ticket;
	station_wait(s, ticket_came);
}

/* ── the directory ── */

static void
a_second_station_is_told_so(void **state)
{
	struct station *s = *state, second = { 0 };
	struct err e = { 0 };

	station_open(s);
	memcpy(second.path, s->path, sizeof second.path);
	assert_false(station_try(&second, &e));
	assert_int_equal(e.class, ERR_PERMANENT);
	assert_non_null(strstr(e.text, "belongs to a running station"));
	station_close(&second);
	station_send(s, 1, 100); /* the first one goes on */
	station_wait_kept(s, 1);
}

static void
a_format_it_does_not_know_is_left_alone(void **state)
{
	struct station *s = *state;
	struct err e = { 0 };
	int fd;

	station_open(s);
	station_send(s, 1, 100);
	station_wait_kept(s, 1);
	station_close(s);
	fd = open_in(s, "format", O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "posthouse spool 2\n", 18), 18);
	close(fd);
	assert_false(station_try(s, &e));
	assert_int_equal(e.class, ERR_PERMANENT);
	assert_non_null(strstr(e.text, "format"));
	station_close(s);
	fd = open_in(s, "format", O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "posthouse spool 1\n", 18), 18);
	close(fd);
	station_reopen(s);
	assert_int_equal(station_recover(s, NULL, NULL), 1);
}

static void
a_directory_with_segments_but_no_format_is_not_ours(void **state)
{
	struct station *s = *state;
	struct err e = { 0 };
	char path[160];

	station_open(s);
	station_close(s);
	snprintf(path, sizeof path, "%s/format", s->path);
	assert_int_equal(unlink(path), 0);
	assert_false(station_try(s, &e));
	assert_int_equal(e.class, ERR_PERMANENT);
	station_close(s);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void
a_path_that_cannot_be_is_an_error(void **state)
{
	struct station *s = *state, lost = { .path = "/nowhere/at/all" };
	struct err e = { 0 };

	station_open(s);
	assert_false(station_try(&lost, &e));
	assert_int_equal(e.class, ERR_TEMPORARY);
	assert_int_equal(e.cause, ENOENT);
	station_close(&lost);
}

/* ── fates ── */

static uint64_t
add_fate(
	struct station *s, uintptr_t mail, uint32_t recipient, enum fate_kind kind, const char *why)
{
	struct fate f = { .kind = kind,
		.id = mail_id_of(mail),
		.recipient = recipient,
		.at_ms = 1000 + recipient,
		.due_ms = -1,
		.tries = 3,
		.host = S("mx.example.net"),
		.children = kind == FATE_EXPANDED ? S("packed") : (struct str){ 0 } };

	err_set(&f.why, ERR_TEMPORARY, ERR_REMOTE, "%s", why);
	f.why.code = 451;
	f.why.enhanced = (struct enhanced){ 4, 7, 1 };
	return keeper_add_fate(s->keeper, &f);
}

static void
expect_fate(struct station *s, uintptr_t mail, size_t *at, uint32_t recipient, enum fate_kind kind,
	const char *why)
{
	struct fate f = { 0 };

	assert_true(keeper_next_fate(s->keeper, mail_id_of(mail), at, &f));
	assert_true(mail_id_eq(f.id, mail_id_of(mail)));
	assert_int_equal(f.recipient, recipient);
	assert_int_equal(f.kind, kind);
	assert_int_equal(f.at_ms, 1000 + recipient);
	assert_int_equal(f.due_ms, -1);
	assert_int_equal(f.tries, 3);
	assert_string_equal(f.why.text, why);
	assert_int_equal(f.why.class, ERR_TEMPORARY);
	assert_int_equal(f.why.kind, ERR_REMOTE);
	assert_int_equal(f.why.code, 451);
	assert_int_equal(f.why.enhanced.subject, 7);
	assert_true(str_eq(f.host, S("mx.example.net")));
	assert_true(str_eq(f.children, kind == FATE_EXPANDED ? S("packed") : S("")));
}

static void
expect_fates(struct station *s)
{
	struct fate f;
	size_t at = 0;

	expect_fate(s, 7, &at, 0, FATE_DEFERRED, "third");
	expect_fate(s, 7, &at, 2, FATE_EXPANDED, "b");
	assert_false(keeper_next_fate(s->keeper, mail_id_of(7), &at, &f));
	at = 0;
	assert_false(keeper_next_fate(s->keeper, mail_id_of(8), &at, &f));
}

static void
the_newest_fate_of_each_recipient_is_found_again(void **state)
{
	struct station *s = *state;

	station_open(s);
	station_send(s, 7, 100);
	station_wait_kept(s, 1);
	add_fate(s, 7, 0, FATE_DEFERRED, "first");
	add_fate(s, 7, 2, FATE_EXPANDED, "b");
	add_fate(s, 7, 0, FATE_HELD, "second");
	add_fate(s, 7, 0, FATE_DEFERRED, "third");
	expect_fates(s);
	station_close(s); /* writes what waits */
	for (int start = 0; start < 3;
		start++) { /* the first reads the log, the others a checkpoint */
		station_reopen(s);
		expect_fates(s);
		assert_int_equal(station_recover(s, NULL, NULL), 1);
		keeper_forget_history(s->keeper);
		expect_fates(s);
		station_close(s);
	}
	station_reopen(s);
}

static void
fates_of_no_mail_are_forgotten(void **state)
{
	struct station *s = *state;
	struct fate f;
	size_t at = 0;

	station_open(s);
	add_fate(s, 7, 0, FATE_DEFERRED, "x");
	station_close(s);
	station_reopen(s);
	assert_int_equal(station_recover(s, NULL, NULL), 0);
	add_fate(s, 8, 0, FATE_DEFERRED, "y");
	keeper_forget_history(s->keeper);
	assert_false(keeper_next_fate(s->keeper, mail_id_of(7), &at, &f));
	assert_true(keeper_next_fate(s->keeper, mail_id_of(8), &at, &f));
}

static void
a_fate_is_durable_when_its_ticket_is(void **state)
{
	struct station *s = *state;
	struct station copy = { 0 };
	char command[200];
	size_t at = 0;

	station_open(s);
	station_send(s, 7, 100);
	station_wait_kept(s, 1);
	station_wait_ticket(s, add_fate(s, 7, 5, FATE_DEFERRED, "kept"));
	snprintf(copy.path, sizeof copy.path, "%s-copy", s->path);
	snprintf(command, sizeof command, "cp -a %s %s", s->path, copy.path);
	assert_int_equal(system(command), 0);
	station_reopen(&copy);
	expect_fate(&copy, 7, &at, 5, FATE_DEFERRED, "kept");
	station_end(&copy);
}

static void
a_torn_tail_of_the_log_is_silent_and_damage_in_it_costs_one_record(void **state)
{
	struct station *s = *state;
	char name[32] = { 0 }, block[SPOOL_BLOCK];
	size_t at = 0;
	struct fate f;
	int fd;

	station_open(s);
	station_send(s, 1, 100);
	station_wait_kept(s, 1);
	station_close(s);
	station_reopen(s);
	station_recover(s, NULL, NULL);
	for (uintptr_t i = 0; i < 4; i++) /* a group each: the blocks from here on */
		station_wait_ticket(s, add_fate(s, 1, (uint32_t)i, FATE_DEFERRED, "x"));
	snprintf(name, sizeof name, "fate/%08llu", (unsigned long long)s->keeper->log_oldest);
	station_close(s);
	fd = open_in(s, name, O_RDWR);
	assert_true(fd >= 0);
	for (off_t b = 1, found = 0; found < 4; b++) {
		struct str in = { block, sizeof block };

		assert_true(b < 100);
		assert_int_equal(pread(fd, block, sizeof block, b * SPOOL_BLOCK), sizeof block);
		size_t host = str_find_str(in, S("mx.example.net"));

		if (host == in.n)
			continue;
		found++;
		block[host] ^= 1; /* other records may stand before the fate's in its group */
		if (found == 2 || found == 4)
			assert_int_equal(
				pwrite(fd, block, sizeof block, b * SPOOL_BLOCK), sizeof block);
	}
	close(fd);
	station_reopen(s);
	expect_fate(s, 1, &at, 0, FATE_DEFERRED, "x");
	expect_fate(s, 1, &at, 2, FATE_DEFERRED, "x");
	assert_false(keeper_next_fate(s->keeper, mail_id_of(1), &at, &f));
}

static bool
log_is_small_again(struct station *s)
{
	return s->keeper->checkpoint > 1 && !s->keeper->is_checkpointing &&
	       s->keeper->log_next - s->keeper->log_oldest <=
		       1 + KEEPER_LOGS_SPARE + KEEPER_CHECKPOINT_LOGS;
}

static void
the_log_is_replaced_by_a_checkpoint_when_it_has_grown(void **state)
{
	struct station *s = *state;
	char path[160];
	size_t at;

	station_open(s);
	for (uintptr_t mail = 1; mail <= 100; mail++)
		station_send(s, mail, 10);
	station_wait_kept(s, 100);
	for (unsigned round = 0; round < 2000; round++) {
		uint64_t ticket = 0;

		for (uintptr_t mail = 1; mail <= 100; mail++)
			ticket = add_fate(
				s, mail, round % 3, FATE_DEFERRED, round % 2 ? "odd" : "even");
		station_wait_ticket(s, ticket);
	}
	station_wait(s, log_is_small_again);
	snprintf(path, sizeof path, "%s/fate/00000001", s->path);
	station_close(s);
	assert_int_not_equal(access(path, F_OK), 0);
	station_reopen(s);
	for (uintptr_t mail = 1; mail <= 100; mail++) {
		at = 0;
		expect_fate(s, mail, &at, 0, FATE_DEFERRED, "even"); /* round 1998 */
		expect_fate(s, mail, &at, 1, FATE_DEFERRED, "odd");
		expect_fate(s, mail, &at, 2, FATE_DEFERRED, "odd"); /* round 1997 */
	}
}

/* ── segments again ── */

static void
pin_and_note(void *owner, uintptr_t mail, bool is_settled)
{
	unsigned *settled = owner;

	(void)mail;
	*settled += is_settled;
}

static bool
has_two_segments(struct station *s)
{
	return s->made >= 2;
}

static bool
was_made(struct station *s)
{
	return s->made > 0;
}

static bool
first_is_free(struct station *s)
{
	const struct kept_segment *g = fate_segment(&s->keeper->state, 1);

	return g && g->state == KEPT_FREE;
}

/* Mails 1 to 10 in segment 1, which is sealed; all read and pinned. */
static void
fill_first_segment(struct station *s)
{
	unsigned n = 0;

	station_open(s);
	for (uintptr_t mail = 1; mail <= 10; mail++)
		station_send(s, mail, 1000);
	station_wait_kept(s, 10);
	station_wait(s, has_two_segments);
	s->is_stingy = true;
	assert_int_equal(s->published_segment, 1);
	station_read(s, 1, s->published, NULL, NULL, &n);
	assert_int_equal(n, 10);
	for (int i = 0; i < 10; i++)
		keeper_pin(s->keeper, 1);
}

static bool
first_is_sealed(struct station *s)
{
	return s->filled_told > 0;
}

static void
a_segment_is_used_again_when_all_is_released(void **state)
{
	struct station *s = *state;
	unsigned settled = 0;
	uint64_t generation;

	fill_first_segment(s);
	generation = fate_segment(&s->keeper->state, 1)->generation;
	for (uintptr_t mail = 1; mail <= 9; mail++)
		keeper_release(s->keeper, 1, mail_id_of(mail), 0);
	spool_writer_retire(s->writer);
	station_wait(s, first_is_sealed);
	station_wait_ticket(s, s->keeper->ticket);
	assert_false(first_is_free(s)); /* one is left */
	keeper_release(s->keeper, 1, mail_id_of(10), 0);
	assert_false(first_is_free(s)); /* not durable yet */
	station_wait(s, first_is_free);
	station_close(s);

	station_reopen(s); /* nothing of it comes back */
	assert_int_equal(station_recover(s, pin_and_note, &settled), 10);
	assert_int_equal(settled, 10);
	keeper_forget_history(s->keeper);
	station_wait(s, first_is_free); /* again by itself */
	s->made = 0;
	keeper_make_segment(s->keeper);
	station_wait(s, was_made);
	assert_true(fate_segment(&s->keeper->state, 1)->state == KEPT_OPEN);
	assert_true(fate_segment(&s->keeper->state, 1)->generation != generation);
}

static void
old_records_never_appear_in_a_segment_used_again(void **state)
{
	struct station *s = *state;
	unsigned n = 0;
	uint64_t first;

	fill_first_segment(s);
	for (uintptr_t mail = 1; mail <= 10; mail++)
		keeper_release(s->keeper, 1, mail_id_of(mail), 0);
	spool_writer_retire(s->writer);
	station_wait(s, first_is_sealed);
	station_wait(s, first_is_free);
	keeper_make_segment(s->keeper); /* takes the free one */
	station_send(s, 50, 100);
	station_wait_kept(s, 11);
	first = s->published_segment;
	assert_int_equal(first, 1);
	station_read(s, 1, UINT64_MAX, NULL, NULL, &n); /* far behind what is published */
	assert_int_equal(n, 1);
	station_close(s);
	station_reopen(s);
	n = 0;
	assert_int_equal(station_recover(s, pin_and_note, &n), 1);
	assert_int_equal(n, 0); /* mail 50 is not settled */
}

/* Its octets may be in the page cache alone; what counts must be on the disk. */
static void
a_dead_writers_segment_is_synced_before_it_is_read(void **state)
{
	struct station *s = *state;
	struct err e = { 0 };
	unsigned n = 0;

	fill_first_segment(s);
	station_close(s);
	assert_true(station_try(s, &e));
	segment_syncs = 0;
	assert_true(keeper_seal(s->keeper, 1, UINT64_MAX, &e) > 0);
	assert_int_equal(segment_syncs, 1);
	station_read(s, 1, UINT64_MAX, NULL, NULL, &n);
	assert_int_equal(n, 10);
}

/* The crash between the new header and the log's word for it. */
static void
a_segment_with_a_header_newer_than_the_log_is_empty(void **state)
{
	struct station *s = *state;
	struct segment_header h = {
		.use = SEGMENT_MAILS, .number = 1, .generation = 42, .size = STATION_SEGMENT
	};
	char block[SPOOL_BLOCK];
	int fd;

	fill_first_segment(s);
	for (uintptr_t mail = 1; mail <= 10; mail++)
		keeper_release(s->keeper, 1, mail_id_of(mail), 0);
	station_close(s);
	record_put_segment_header(block, &h);
	fd = open_in(s, "seg/00000001", O_WRONLY);
	assert_int_equal(pwrite(fd, block, sizeof block, 0), sizeof block);
	close(fd);
	station_reopen(s);
	assert_int_equal(station_recover(s, NULL, NULL), 0);
}

/* A header that was torn, or rotted, loses no mail: the log knows the generation. */
static void
a_torn_header_loses_nothing(void **state)
{
	struct station *s = *state;
	int fd;

	fill_first_segment(s);
	station_close(s);
	fd = open_in(s, "seg/00000001", O_WRONLY);
	assert_int_equal(pwrite(fd, "torn", 4, 20), 4);
	close(fd);
	station_reopen(s);
	assert_int_equal(station_recover(s, NULL, NULL), 10);
}

static void
a_lost_log_delivers_again_rather_than_never(void **state)
{
	struct station *s = *state;
	char command[200];

	fill_first_segment(s);
	station_close(s);
	snprintf(command, sizeof command, "rm %s/fate/*", s->path);
	assert_int_equal(system(command), 0);
	station_reopen(s);
	assert_int_equal(station_recover(s, NULL, NULL), 10);
}

static void
a_damaged_record_is_passed_over_and_its_segment_kept(void **state)
{
	struct station *s = *state;
	unsigned n = 0;
	int fd;

	fill_first_segment(s);
	spool_writer_retire(s->writer);
	station_wait(s, first_is_sealed);
	station_close(s);
	fd = open_in(s, "seg/00000001", O_WRONLY);
	assert_int_equal(pwrite(fd, "X", 1, SPOOL_BLOCK + 500), 1);
	close(fd);
	station_reopen(s);
	assert_int_equal(station_recover(s, NULL, NULL), 9);
	for (uintptr_t mail = 1; mail <= 10; mail++)
		keeper_pin(s->keeper, 1);
	for (uintptr_t mail = 1; mail <= 10; mail++)
		keeper_release(s->keeper, 1, mail_id_of(mail), 0);
	station_wait_ticket(s, s->keeper->ticket);
	station_read(s, 1, UINT64_MAX, NULL, NULL, &n);
	assert_false(first_is_free(s));
}

/* The last group, cut at each sector, from either side: what was kept before is found, what is torn
 * is not. */
static void
a_group_torn_at_any_sector_is_whole_or_absent(void **state)
{
	struct station *s = *state;
	char before[64 * 1024], after[64 * 1024];
	uint64_t begin, end;
	unsigned whole = 0;
	struct err e;
	int fd;

	station_open(s);
	for (uintptr_t mail = 1; mail <= 3; mail++)
		station_send(s, mail, 2000);
	station_wait_kept(s, 3);
	begin = s->published;
	station_close(s);
	fd = open_in(s, "seg/00000001", O_RDONLY);
	assert_int_equal(pread(fd, before, sizeof before, (off_t)begin), sizeof before);
	close(fd);
	end = begin + 4 * SPOOL_BLOCK;
	{
		struct buf group = { .max = sizeof after }, recipients = { .max = 100 };
		struct segment_header h;
		char block[SPOOL_BLOCK];

		fd = open_in(s, "seg/00000001", O_RDONLY);
		assert_int_equal(pread(fd, block, sizeof block, 0), sizeof block);
		close(fd);
		assert_true(record_get_segment_header((struct str){ block, sizeof block }, &h));
		codec_add_str(&recipients, S("bob@example.net"));
		for (uintptr_t mail = 4; mail <= 6; mail++) {
			struct buf text = { .max = 10000 };

			mail_text(&text, mail, 4500);
			record_add_mail(&group, h.generation,
				&(struct spool_mail){ .envelope = { .id = mail_id_of(mail),
							      .arrived_ms = 4500,
							      .recipients = buf_str(&recipients),
							      .recipients_n = 1 },
					.prefix = S("Received: here\r\n"),
					.message = buf_str(&text) });
			buf_free(&text);
		}
		assert_true(group.n > end - begin - SPOOL_BLOCK && group.n <= end - begin);
		memset(after, 0, sizeof after);
		memcpy(after, group.p, group.n);
		buf_free(&group);
		buf_free(&recipients);
	}
	for (size_t cut = 0; cut <= end - begin; cut += 512)
		for (int side = 0; side < 2; side++) {
			struct station copy = { 0 };
			char command[500];
			unsigned n;

			snprintf(copy.path, sizeof copy.path, "%s-copy",
				s->path); /* without the spare files */
			snprintf(command, sizeof command,
				"mkdir -p %s/seg %s/fate && cp %s/format %s && cp %s/fate/*1* "
				"%s/fate && cp %s/seg/*1 %s/seg",
				copy.path, copy.path, s->path, copy.path, s->path, copy.path,
				s->path, copy.path);
			assert_int_equal(system(command), 0);
			fd = open_in(&copy, "seg/00000001", O_WRONLY);
			if (side == 0)
				assert_int_equal(pwrite(fd, after, cut, (off_t)begin), cut);
			else
				assert_int_equal(pwrite(fd, after + cut, end - begin - cut,
							 (off_t)(begin + cut)),
					end - begin - cut);
			close(fd);
			assert_true(station_try(&copy, &e));
			n = station_recover(&copy, NULL, NULL); /* checks the text of each */
			assert_true(n >= 3 && n <= 6);
			whole += n == 6;
			station_close(&copy);
			assert_true(station_try(&copy, &e)); /* done again, it finds the same */
			assert_int_equal(station_recover(&copy, NULL, NULL), n);
			station_end(&copy);
		}
	assert_true(whole >= 2); /* all of it from the left, all of it from the right */
	station_reopen(s);
}

/* ── big files ── */

static unsigned
count_bigs(struct station *s)
{
	char command[200];
	FILE *f;
	unsigned n = 0;

	snprintf(command, sizeof command, "ls %s/big > %s/count; wc -l < %s/count > %s/n", s->path,
		s->path, s->path, s->path);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof command, "%s/n", s->path);
	f = fopen(command, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u", &n), 1);
	fclose(f);
	return n;
}

static bool
log_files_are_made(
	struct station *s) /* the maker is idle, and free to remove a big file too early */
{
	return s->keeper->logs_at_hand == 1 + KEEPER_LOGS_SPARE;
}

static uint64_t big_wanted;

static bool
big_is_gone(struct station *s)
{
	struct err e;
	int fd = keeper_open_big(s->keeper, big_wanted, &e);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static void
big_files_live_as_long_as_their_mail(void **state)
{
	struct station *s = *state;
	struct spool_mail m;
	uint64_t offset = 0, at;

	station_open(s);
	station_send(s, 1, SPOOL_INLINE_MAX + 1000);
	station_send(s, 2, SPOOL_INLINE_MAX + 2000);
	station_wait_kept(s, 2);
	station_close(s);
	station_reopen(s);
	s->no_bigs = true;
	assert_int_equal(station_recover(s, NULL, NULL), 2);
	keeper_forget_history(s->keeper); /* removes those that no mail names */
	assert_true(keeper_next_mail(s->keeper, 1, &offset, UINT64_MAX, &m, &at));
	big_wanted = m.big;
	keeper_pin(s->keeper, 1);
	assert_false(big_is_gone(s));
	station_wait(s, log_files_are_made);
	fates_held = true;
	keeper_release(s->keeper, 1, m.envelope.id, m.big);
	for (int turn = 0; turn < 20; turn++) {
		loop_timer_set(s->poll, 1);
		loop_run(s->loop);
		assert_false(big_is_gone(s)); /* not before it is durable */
	}
	fates_held = false;
	station_wait(s, big_is_gone);
	assert_true(keeper_next_mail(s->keeper, 1, &offset, UINT64_MAX, &m, &at));
	assert_true(mail_check(s, &m) > 0); /* the other is there */
	station_close(s);
	station_reopen(s);
	s->no_bigs = true;
	station_recover(s, NULL, NULL);
	keeper_forget_history(s->keeper);
	station_close(s);
	assert_true(count_bigs(s) <= 1 + 2 * JOB_BIGS_N); /* the mail's, and those made ahead */
	station_reopen(s);
}

/* ── failures ── */

static bool
was_not_made(struct station *s)
{
	return s->not_made > 0;
}

static void
no_space_for_a_segment_is_told_and_leaves_nothing(void **state)
{
	struct station *s = *state;

	failing_errno = ENOSPC;
	failing_directory = "/seg/";
	station_open(s);
	station_wait(s, was_not_made);
	assert_int_equal(s->last.kind, ERR_NO_SPACE);
	assert_int_equal(s->made, 0);
	failing_directory = NULL; /* and when there is room again */
	keeper_make_segment(s->keeper);
	station_wait(s, was_made);
	station_send(s, 1, 100);
	station_wait_kept(s, 1);
	station_close(s);
	station_reopen(s);
	assert_int_equal(station_recover(s, NULL, NULL), 1);
}

static bool
fates_are_broken(struct station *s)
{
	return s->fates_broke;
}

static void
a_fate_log_that_does_not_sync_acknowledges_nothing(void **state)
{
	struct station *s = *state;
	uint64_t before;

	station_open(s);
	station_send(s, 1, 100);
	station_wait_kept(s, 1);
	station_wait_ticket(s, s->keeper->ticket);
	before = s->ticket;
	failing_errno = EIO;
	failing_directory = "/fate/";
	add_fate(s, 1, 0, FATE_DELIVERED, "x");
	station_wait(s, fates_are_broken);
	assert_int_equal(s->last.kind, ERR_SYNC);
	failing_directory = NULL; /* and now it would work */
	for (int turn = 0; turn < 20; turn++) {
		add_fate(s, 1, 0, FATE_DEFERRED, "x");
		loop_timer_set(s->poll, 1);
		loop_run(s->loop);
		assert_int_equal(s->ticket, before);
	}
}

static void
the_next_log_files_are_made_ahead_of_a_full_disk(void **state)
{
	struct station *s = *state;
	uint64_t ticket = 0;

	station_open(s);
	station_send(s, 1, 100);
	station_wait_kept(s, 1);
	while (s->keeper->logs_at_hand < 1 + KEEPER_LOGS_SPARE)
		station_wait_ticket(s, add_fate(s, 1, 0, FATE_DEFERRED, "x"));
	close(s->keeper->fate);
	s->keeper->fate = -1;	       /* no further one can be made */
	for (int i = 0; i < 2000; i++) /* 8 MiB, two files */
		station_wait_ticket(s, ticket = add_fate(s, 1, 0, FATE_DEFERRED, "x"));
	assert_true(ticket > 2000);
	assert_false(s->fates_broke);
}

static void
an_end_that_cannot_be_is_refused(void **state)
{
	struct station *s = *state;
	struct err e = { 0 };

	station_open(s);
	station_send(s, 1, 100);
	station_wait_kept(s, 1);
	assert_int_equal(keeper_seal(s->keeper, 1, SPOOL_BLOCK + 1, &e), 0);
	assert_int_equal(e.class, ERR_PERMANENT);
	assert_int_equal(keeper_seal(s->keeper, 1, 2 * STATION_SEGMENT, &e), 0);
	assert_int_equal(keeper_seal(s->keeper, 999, SPOOL_BLOCK, &e), 0);
	assert_true(keeper_seal(s->keeper, 1, s->published, &e) > 0);
	station_wait_ticket(s,
		keeper_seal(s->keeper, 1, s->published, &e)); /* twice is once, and is answered */
}

int
main(void)
{
#define SPOOL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(a_second_station_is_told_so),
		SPOOL_TEST(a_format_it_does_not_know_is_left_alone),
		SPOOL_TEST(a_directory_with_segments_but_no_format_is_not_ours),
		SPOOL_TEST(a_path_that_cannot_be_is_an_error),
		SPOOL_TEST(the_newest_fate_of_each_recipient_is_found_again),
		SPOOL_TEST(fates_of_no_mail_are_forgotten),
		SPOOL_TEST(a_fate_is_durable_when_its_ticket_is),
		SPOOL_TEST(a_torn_tail_of_the_log_is_silent_and_damage_in_it_costs_one_record),
		SPOOL_TEST(the_log_is_replaced_by_a_checkpoint_when_it_has_grown),
		SPOOL_TEST(a_segment_is_used_again_when_all_is_released),
		SPOOL_TEST(old_records_never_appear_in_a_segment_used_again),
		SPOOL_TEST(a_dead_writers_segment_is_synced_before_it_is_read),
		SPOOL_TEST(a_segment_with_a_header_newer_than_the_log_is_empty),
		SPOOL_TEST(a_torn_header_loses_nothing),
		SPOOL_TEST(a_lost_log_delivers_again_rather_than_never),
		SPOOL_TEST(a_damaged_record_is_passed_over_and_its_segment_kept),
		SPOOL_TEST(a_group_torn_at_any_sector_is_whole_or_absent),
		SPOOL_TEST(big_files_live_as_long_as_their_mail),
		SPOOL_TEST(no_space_for_a_segment_is_told_and_leaves_nothing),
		SPOOL_TEST(a_fate_log_that_does_not_sync_acknowledges_nothing),
		SPOOL_TEST(the_next_log_files_are_made_ahead_of_a_full_disk),
		SPOOL_TEST(an_end_that_cannot_be_is_refused),
	};

	segment_sync = failing_sync; /* before any thread reads it */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
