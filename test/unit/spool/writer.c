/* SPDX-License-Identifier: Apache-2.0 */
/* The writer with a keeper behind it: what is settled, when, and what a fresh keeper finds. */
#include "station.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int syncs_begun, syncs_failing;
static atomic_bool syncs_held;
static const char *_Atomic failing_directory;

static int
counted_sync(int fd)
{
	syncs_begun++;
	while (syncs_held)
		usleep(100);
	if (syncs_failing > 0 && fd_path_has(fd, failing_directory)) {
		syncs_failing--;
		errno = EIO;
		return -1;
	}
	return fdatasync(fd);
}

static int
set_up(void **state)
{
	struct station *s = calloc(1, sizeof *s);

	syncs_begun = syncs_failing = 0;
	syncs_held = false;
	*state = s;
	return 0;
}

static int
tear_down(void **state)
{
	struct station *s = *state;

	station_end(s);
	free(s);
	return 0;
}

static bool
has_two_segments(struct station *s)
{
	return s->made >= 2;
}

static void
durable_is_never_behind(struct station *s, uintptr_t mail, bool is_kept)
{
	unsigned n = 0;

	(void)mail;
	assert_true(is_kept);
	assert_true(s->durable_before > 0);
	station_read(s, s->published_segment, s->published, NULL, NULL, &n);
	assert_true(n >= s->kept); /* one segment in this test */
}

static void
a_mail_is_published_before_it_is_settled(void **state)
{
	struct station *s = *state;

	s->on_settled = durable_is_never_behind;
	station_open(s);
	for (uintptr_t mail = 1; mail <= 50; mail++) {
		station_send(s, mail, mail_size_of(mail));
		if (mail % 5 == 0)
			station_wait_kept(s, (unsigned)mail);
	}
	assert_int_equal(s->refused, 0);
}

static bool
sync_began(struct station *s)
{
	(void)s;
	return syncs_begun > 0;
}

static void
those_that_wait_share_one_sync(void **state)
{
	struct station *s = *state;
	int before;

	station_open(s);
	station_wait(s, has_two_segments);
	syncs_begun = 0;
	syncs_held = true;
	station_send(s, 1, 100);
	station_wait(s, sync_began);
	before = syncs_begun;
	for (uintptr_t mail = 2; mail <= 201; mail++)
		station_send(s, mail, 4000);
	assert_int_equal(s->kept, 0);
	syncs_held = false;
	station_wait_kept(s, 201);
	assert_true(syncs_begun - before <= 4); /* one for 200 mails; the keeper may have its own */
}

static void
nothing_is_settled_before_its_sync_returns(void **state)
{
	struct station *s = *state;

	station_open(s);
	station_wait(s, has_two_segments);
	syncs_begun = 0;
	syncs_held = true;
	station_send(s, 1, 100);
	station_wait(s, sync_began);
	for (int turn = 0; turn < 20; turn++) {
		loop_timer_set(s->poll, 1);
		loop_run(s->loop);
		assert_int_equal(s->kept + s->refused + s->durable_before, 0);
	}
	syncs_held = false;
	station_wait_kept(s, 1);
}

static void
note_found(void *owner, uintptr_t mail, bool is_settled)
{
	unsigned char *found = owner;

	assert_false(is_settled);
	found[mail]++;
}

static bool
is_broken(struct station *s)
{
	return s->broken_told > 0;
}

static bool
all_settled(struct station *s)
{
	return s->kept + s->refused == 30;
}

static void
a_failed_sync_refuses_after_the_end_is_logged_and_never_delivers(void **state)
{
	struct station *s = *state;
	unsigned char found[100] = { 0 };
	struct err e = { 0 };
	uint64_t ticket;

	station_open(s);
	s->holds_seals = true;
	failing_directory = "/seg/";
	station_wait(s, has_two_segments); /* none is being made */
	for (uintptr_t mail = 1; mail <= 10; mail++)
		station_send(s, mail, 3000);
	station_wait_kept(s, 10);
	syncs_held = true; /* so that the next ten are one group, or two */
	for (uintptr_t mail = 11; mail <= 20; mail++)
		station_send(s, mail, 3000);
	syncs_failing = 1;
	syncs_held = false;
	station_wait(s, is_broken);
	for (int turn = 0; turn < 20; turn++) {
		loop_timer_set(s->poll, 1);
		loop_run(s->loop);
		assert_int_equal(s->refused, 0); /* the end is not in the log yet */
	}
	s->holds_seals = false;
	ticket = keeper_seal(s->keeper, s->broken_segment, s->broken_end, &e);
	assert_true(ticket > s->ticket);
	s->seals[s->seals_n++] = (struct seal_note){ ticket, s->broken_segment };
	for (uintptr_t mail = 21; mail <= 30; mail++)
		station_send(s, mail, 3000); /* into the next segment */
	station_wait(s, all_settled);
	assert_true(s->refused >= 1 && s->refused <= 10);
	assert_int_equal(s->last.class, ERR_TEMPORARY);
	assert_int_equal(s->last.kind, ERR_SYNC);
	station_close(s);
	station_reopen(s);
	assert_int_equal(station_recover(s, note_found, found), s->kept);
	for (int mail = 1; mail <= 10; mail++)
		assert_int_equal(found[mail], 1);
	for (int mail = 21; mail <= 30; mail++)
		assert_int_equal(found[mail], 1);
}

static void
large_messages_go_to_big_files(void **state)
{
	static const size_t sizes[] = { SPOOL_INLINE_MAX - 1, SPOOL_INLINE_MAX,
		SPOOL_INLINE_MAX + 1, 3000000 };
	struct station *s = *state;
	unsigned char found[100] = { 0 };

	station_open(s);
	for (size_t i = 0; i < 4; i++)
		station_send(s, i + 1, sizes[i]);
	for (uintptr_t mail = 5; mail <= 40; mail++) /* more than there are big files at hand */
		station_send(s, mail, SPOOL_INLINE_MAX + mail);
	station_wait_kept(s, 40);
	station_close(s);
	station_reopen(s);
	assert_int_equal(station_recover(s, note_found, found), 40);
}

static bool
was_refused(struct station *s)
{
	return s->refused > 0;
}

static void
a_big_file_that_does_not_sync_is_refused(void **state)
{
	struct station *s = *state;
	unsigned char found[100] = { 0 };

	station_open(s);
	station_wait(s, has_two_segments);
	failing_directory = "/big/";
	syncs_failing = 1;
	station_send(s, 1, SPOOL_INLINE_MAX + 1);
	station_wait(s, was_refused);
	assert_int_equal(s->last.class, ERR_TEMPORARY);
	assert_int_equal(s->last.kind, ERR_SYNC);
	assert_int_equal(s->broken_told, 0); /* the segment knows nothing of it */
	station_send(s, 2, SPOOL_INLINE_MAX + 1);
	station_wait_kept(s, 1);
	station_close(s);
	station_reopen(s);
	assert_int_equal(station_recover(s, note_found, found), 1);
	assert_int_equal(found[2], 1);
}

static bool
is_ready(struct station *s)
{
	return spool_writer_is_ready(s->writer);
}

static void
drafts_wait_for_a_segment(void **state)
{
	struct station *s = *state;

	s->is_stingy = true;
	station_open(s);
	assert_false(spool_writer_is_ready(s->writer));
	assert_int_equal(spool_writer_free_space(s->writer), 0);
	for (uintptr_t mail = 1; mail <= 5; mail++)
		station_send(s, mail, 100);
	for (int turn = 0; turn < 10; turn++) {
		loop_timer_set(s->poll, 1);
		loop_run(s->loop);
	}
	assert_int_equal(s->kept + s->refused, 0);
	keeper_make_segment(s->keeper);
	station_wait(s, is_ready);
	station_wait_kept(s, 5);
}

static void
a_short_budget_is_an_error_with_a_code(void **state)
{
	struct station *s = *state;
	struct draft *d[300];
	char piece[8000];
	struct err e = { 0 };
	unsigned n = 0;

	memset(piece, 'x', sizeof piece);
	s->no_bigs = true;
	station_open(s);
	for (n = 0; n < 300; n++) {
		bool ok = true;

		d[n] = draft_new(s->writer);
		for (int i = 0; ok && i < 32; i++)
			ok = draft_append(d[n], (struct str){ piece, sizeof piece }, &e);
		if (!ok)
			break;
	}
	assert_true(n > 200 && n < 300); /* 64 MiB, 256 KiB each */
	assert_int_equal(e.kind, ERR_NO_SPACE);
	assert_int_equal(e.class, ERR_TEMPORARY);
	assert_false(draft_append(d[n], S("more"), &e)); /* it can only be discarded */
	for (unsigned i = 0; i <= n; i++)
		draft_discard(&d[i]);
	station_send(s, 1, 100000); /* and then there is room again */
	station_wait_kept(s, 1);
}

static bool
is_retired(struct station *s)
{
	return s->filled_told > 0;
}

static void
retiring_gives_the_segment_back_and_goes_on_in_the_next(void **state)
{
	struct station *s = *state;
	struct draft *large;
	struct err e;
	char piece[SPOOL_INLINE_MAX] = { 'x' };
	uint64_t first;

	station_open(s);
	station_send(s, 1, 100);
	station_wait_kept(s, 1);
	first = s->published_segment;
	large = draft_new(s->writer);
	assert_true(draft_append(large, (struct str){ piece, sizeof piece }, &e));
	assert_true(draft_append(large, S("x"), &e));
	spool_writer_retire(s->writer);
	spool_writer_retire(s->writer);	     /* once is enough */
	assert_int_equal(s->filled_told, 0); /* never from within */
	station_send(s, 2, 100);
	assert_false(draft_append(large, S("x"), &e)); /* its big file belongs to the old queue */
	assert_int_equal(e.class, ERR_TEMPORARY);
	draft_discard(&large);
	station_wait(s, is_retired);
	station_wait_kept(s, 2);
	assert_int_equal(s->filled_told, 1);
	assert_true(s->published_segment != first);
}

static void
nobody_is_told_of_a_forgotten_draft(void **state)
{
	struct station *s = *state;
	unsigned char found[100] = { 0 };

	station_open(s);
	station_wait(s, has_two_segments);
	syncs_held = true;
	station_send(s, 1, 100);
	station_send(s, 2, 100);
	draft_forget(s->writer, (void *)(uintptr_t)1);
	syncs_held = false;
	station_wait_kept(s, 1);
	station_close(s);
	assert_int_equal(s->kept, 1);
	station_reopen(s);
	assert_int_equal(station_recover(s, note_found, found), 2);
}

static void
an_envelope_above_its_limit_is_refused(void **state)
{
	struct station *s = *state;
	char *large = calloc(1, SPOOL_ENVELOPE_MAX + 1);
	struct draft *d;

	station_open(s);
	d = draft_new(s->writer);
	draft_commit_take(&d,
		&(struct spool_envelope){ .recipients = { large, SPOOL_ENVELOPE_MAX + 1 } }, S(""),
		s);
	assert_int_equal(s->refused, 0); /* never from within */
	station_wait(s, was_refused);
	assert_int_equal(s->last.class, ERR_PERMANENT);
	free(large);
}

int
main(void)
{
#define SPOOL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(a_mail_is_published_before_it_is_settled),
		SPOOL_TEST(those_that_wait_share_one_sync),
		SPOOL_TEST(nothing_is_settled_before_its_sync_returns),
		SPOOL_TEST(a_failed_sync_refuses_after_the_end_is_logged_and_never_delivers),
		SPOOL_TEST(large_messages_go_to_big_files),
		SPOOL_TEST(a_big_file_that_does_not_sync_is_refused),
		SPOOL_TEST(drafts_wait_for_a_segment),
		SPOOL_TEST(a_short_budget_is_an_error_with_a_code),
		SPOOL_TEST(retiring_gives_the_segment_back_and_goes_on_in_the_next),
		SPOOL_TEST(nobody_is_told_of_a_forgotten_draft),
		SPOOL_TEST(an_envelope_above_its_limit_is_refused),
	};

	segment_sync = counted_sync; /* before any thread reads it */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
