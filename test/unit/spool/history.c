/* SPDX-License-Identifier: Apache-2.0 */
/* The history: what is found again, by mail and by address; what goes when; what damage costs. */
#include "../unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../directory.h"
#include "base/must.h"
#include "spool/history.h"

enum { SMALL_FILE = 4096 };

struct place {
	char path[64];
	struct history *history;
	uint64_t file_size;
};

static void
place_open(struct place *p)
{
	struct err e = { 0 };

	p->history = history_open(str_of(p->path), p->file_size, &e);
	if (!p->history)
		fail_msg("%s", e.text);
}

static int
set_up(void **state)
{
	struct place *p = calloc(1, sizeof *p);

	must(p);
	snprintf(p->path, sizeof p->path, "/tmp/history-test.XXXXXX");
	must(mkdtemp(p->path));
	p->file_size = HISTORY_FILE_SIZE;
	*state = p;
	return 0;
}

static void
path_of(const struct place *p, unsigned number, char path[128])
{
	snprintf(path, 128, "%s/history/%08u", p->path, number);
}

static int
tear_down(void **state)
{
	struct place *p = *state;

	history_close(&p->history);
	directory_remove(p->path);
	free(p);
	return 0;
}

static struct mail_id
id_of(unsigned number)
{
	struct mail_id id = { { 1, 2, 3, 4 } };

	codec_put_u32(id.octet + 4, number);
	return id;
}

static void
add(struct place *p, unsigned number, const char *address, const char *words)
{
	struct buf recipients = { .max = 1024 };

	codec_add_str(&recipients, S("first@example.org"));
	codec_add_str(&recipients, str_of(address));
	history_add(p->history, &(struct history_event){ .kind = HISTORY_DEFERRED,
					.id = id_of(number),
					.at_ms = 1000 + number,
					.due_ms = 9000,
					.number = 3,
					.who = S("mx.example.net"),
					.how = S("doubled"),
					.words = str_of(words),
					.recipients = buf_str(&recipients),
					.steps = S("steps") });
	buf_free(&recipients);
}

/* How many events the search finds; *last is the newest one's time. */
static unsigned
count(struct history_search *s, int64_t *last)
{
	struct history_event e;
	enum history_result result;
	unsigned n = 0;

	*last = 0;
	while ((result = history_next(s, &e)) != HISTORY_END)
		if (result == HISTORY_EVENT) {
			n++;
			assert_true(e.at_ms >= *last);
			*last = e.at_ms;
		}
	history_search_end(s);
	return n;
}

static unsigned
count_mail(struct place *p, unsigned number)
{
	struct history_search s;
	struct mail_id id = id_of(number);
	int64_t last;

	history_find_mail(&s, p->history, (struct str){ (const char *)&id, sizeof id });
	return count(&s, &last);
}

static unsigned
count_address(struct place *p, const char *address, int64_t *last)
{
	struct history_search s;

	history_find_address(&s, p->history, str_of(address));
	return count(&s, last);
}

static void
an_event_comes_back_as_it_was(void **state)
{
	struct place *p = *state;
	struct history_search s;
	struct history_event e;
	struct mail_id id = id_of(7);
	struct str rest, address;

	place_open(p);
	add(p, 6, "a@example.org", "not this one");
	add(p, 7, "Wei@Example.ORG", "450 later");
	history_find_mail(&s, p->history, (struct str){ (const char *)&id, sizeof id });
	assert_int_equal(history_next(&s, &e), HISTORY_EVENT);
	assert_int_equal(e.kind, HISTORY_DEFERRED);
	assert_true(mail_id_eq(e.id, id));
	assert_int_equal(e.at_ms, 1007);
	assert_int_equal(e.due_ms, 9000);
	assert_int_equal(e.number, 3);
	assert_str(e.who, S("mx.example.net"));
	assert_str(e.how, S("doubled"));
	assert_str(e.words, S("450 later"));
	assert_str(e.steps, S("steps"));
	rest = e.recipients;
	assert_true(codec_scan_str(&rest, &address));
	assert_str(address, S("first@example.org"));
	assert_true(codec_scan_str(&rest, &address));
	assert_str(address, S("wei@example.org"));
	assert_int_equal(history_next(&s, &e), HISTORY_END);
	history_search_end(&s);
}

static void
by_address_means_the_whole_address_in_any_case(void **state)
{
	struct place *p = *state;
	int64_t last;

	place_open(p);
	add(p, 1, "Wei@Example.ORG", "x");
	add(p, 2, "wei@example.org.uk", "wei@example.org");
	add(p, 3, "wei@example.org", "x");
	assert_int_equal(count_address(p, "WEI@example.org", &last), 2);
	assert_int_equal(last, 1003);
	assert_int_equal(count_address(p, "first@example.org", &last), 3);
	assert_int_equal(count_address(p, "nobody@example.org", &last), 0);
	assert_int_equal(count_address(p, "", &last), 0);
}

static void
it_goes_on_after_a_restart(void **state)
{
	struct place *p = *state;

	place_open(p);
	add(p, 1, "a@example.org", "x");
	history_close(&p->history);
	place_open(p);
	add(p, 1, "a@example.org", "y");
	add(p, 2, "a@example.org", "y");
	assert_int_equal(count_mail(p, 1), 2);
}

static void
the_oldest_file_goes(void **state)
{
	struct place *p = *state;
	struct stat st;
	char path[128];
	unsigned newest = 0, there = 0;
	int64_t last;

	p->file_size = SMALL_FILE;
	place_open(p);
	for (unsigned i = 1; i <= 400; i++) {
		add(p, i, "a@example.org", "some words of the next host");
		history_flush(p->history);
	}
	for (unsigned i = 1; i < 100; i++) {
		path_of(p, i, path);
		if (stat(path, &st) == 0) {
			newest = i;
			there++;
			assert_true(st.st_size <= SMALL_FILE + 512);
		}
	}
	assert_true(newest > HISTORY_FILES);
	assert_int_equal(there, HISTORY_FILES);
	assert_int_equal(count_mail(p, 1), 0);
	assert_int_equal(count_mail(p, 400), 1);
	assert_true(count_address(p, "a@example.org", &last) > 100);
	assert_int_equal(last, 1400);
}

/* Each octet of the second of three entries in turn: the other two are found. */
static void
damage_costs_the_entry_it_is_in(void **state)
{
	struct place *p = *state;
	struct stat st;
	char path[128], octet;
	int fd;

	place_open(p);
	for (unsigned i = 1; i <= 3; i++)
		add(p, i, "a@example.org", "words");
	history_flush(p->history);
	path_of(p, 1, path);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = st.st_size / 3; at < st.st_size / 3 * 2; at++) {
		assert_int_equal(pread(fd, &octet, 1, at), 1);
		octet = (char)~octet;
		assert_int_equal(pwrite(fd, &octet, 1, at), 1);
		assert_int_equal(count_mail(p, 1), 1);
		assert_int_equal(count_mail(p, 2), 0);
		assert_int_equal(count_mail(p, 3), 1);
		octet = (char)~octet;
		assert_int_equal(pwrite(fd, &octet, 1, at), 1);
	}
	assert_int_equal(count_mail(p, 2), 1);
	close(fd);
}

static void
what_a_power_cut_left_is_read_and_written_behind(void **state)
{
	struct place *p = *state;
	struct stat st;
	char path[128];

	for (off_t cut = 1; cut < 60; cut += 7) {
		place_open(p);
		add(p, 1, "a@example.org", "words");
		add(p, 2, "a@example.org", "words");
		history_close(&p->history);
		path_of(p, 1, path);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(truncate(path, st.st_size - cut), 0);
		place_open(p);
		add(p, 3, "a@example.org", "words");
		assert_int_equal(count_mail(p, 1), 1);
		assert_int_equal(count_mail(p, 2), 0);
		assert_int_equal(count_mail(p, 3), 1);
		history_close(&p->history);
		assert_int_equal(unlink(path), 0);
	}
}

static void
a_text_that_is_too_long_is_left_out(void **state)
{
	struct place *p = *state;
	struct buf recipients = { .max = 1 << 20 };
	char words[HISTORY_TEXT_MAX + 1];
	int64_t last;

	place_open(p);
	memset(words, 'w', sizeof words);
	for (unsigned i = 0; i < 4000; i++) {
		char address[32];

		snprintf(address, sizeof address, "r%04u@example.org", i);
		codec_add_str(&recipients, str_of(address));
	}
	history_add(p->history, &(struct history_event){ .kind = HISTORY_ARRIVED,
					.id = id_of(1),
					.at_ms = 1,
					.words = { words, sizeof words },
					.recipients = buf_str(&recipients) });
	assert_int_equal(count_mail(p, 1), 1);
	assert_int_equal(count_address(p, "r0000@example.org", &last), 1);
	assert_int_equal(count_address(p, "r2000@example.org", &last), 1);
	assert_int_equal(count_address(p, "r3999@example.org", &last), 0);
	buf_free(&recipients);
}

static void
without_a_place_nothing_is_kept(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	assert_null(history_open(S("/no/such/place"), HISTORY_FILE_SIZE, &e));
	assert_non_null(strstr(e.text, "/no/such/place"));
	add(p, 1, "a@example.org", "x");
	history_flush(p->history);
	assert_int_equal(count_mail(p, 1), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_event_comes_back_as_it_was),
		TEST(by_address_means_the_whole_address_in_any_case),
		TEST(it_goes_on_after_a_restart),
		TEST(the_oldest_file_goes),
		TEST(damage_costs_the_entry_it_is_in),
		TEST(what_a_power_cut_left_is_read_and_written_behind),
		TEST(a_text_that_is_too_long_is_left_out),
		TEST(without_a_place_nothing_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
