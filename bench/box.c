/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mailbox of many mails: how long until all are indexed, and how long the page waits for its first list and for a search.
 * `bench-box DIRECTORY [MAILS]`: the Maildir is made there when it is not yet. The mails: a third in threads of three, one in ten with Chinese text,
 * about 3 KB each, of words that are as common as words are.
 */
#include "base/must.h"
#include "role/reader/box.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 20000, BODY_WORDS = 300, TURNS = 5 };

static uint64_t seed = 88172645463325252u;

static uint32_t
draw(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A word by its rank: the product of two draws makes low ones common. */
static void
add_word(struct buf *to)
{
	uint32_t rank = (uint32_t)((uint64_t)draw(WORDS) * draw(WORDS) / WORDS);

	for (rank += 26; rank; rank /= 26)
		buf_add_char(to, (char)('a' + rank % 26));
	buf_add_char(to, ' ');
}

static void
add_character(struct buf *to)
{
	uint32_t rune = 0x4e00 + (uint32_t)((uint64_t)draw(3000) * draw(3000) / 3000);

	buf_add_char(to, (char)(0xe0 | rune >> 12));
	buf_add_char(to, (char)(0x80 | (rune >> 6 & 0x3f)));
	buf_add_char(to, (char)(0x80 | (rune & 0x3f)));
}

static void
compose(struct buf *to, unsigned n)
{
	buf_reset(to);
	buf_addf(to,
		"Received: from a.example by b.example; Mon, 23 Nov 2026 10:00:00 +0000\r\nFrom: "
		"Sender %u <s%u@example.net>\r\n",
		n % 997, n % 997);
	buf_addf(to, "To: wei@example.org\r\nSubject: %sAbout ", n % 3 && n % 9 < 3 ? "Re: " : "");
	buf_addf(to,
		"matter %u\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: "
		"<%u@example.net>\r\n",
		n % 9 < 3 ? n / 3 : n, n);
	if (n % 3 && n % 9 < 3)
		buf_addf(to, "References: <%u@example.net>\r\n", n / 3 * 3);
	buf_add(to, S("MIME-Version: 1.0\r\nContent-Type: text/plain; "
		      "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
	for (unsigned i = 0; i < BODY_WORDS; i++) {
		if (n % 10 == 0)
			add_character(to);
		else
			add_word(to);
		if (i % 12 == 11)
			buf_add(to, S("\r\n"));
	}
	if (n % 1000 == 0)
		buf_add(to, S("zanzibar\r\n"));
}

static void
generate(const char *directory, unsigned mails)
{
	struct buf text = { .max = 1024 * 1024 };
	char path[1024];

	for (unsigned n = 0; n < mails; n++) {
		const struct timespec times[2] = { { .tv_sec = 1700000000 + n },
			{ .tv_sec = 1700000000 + n } };
		int fd;

		snprintf(path, sizeof path, "%s/cur/%u.M%u.host:2,%s", directory, 1700000000 + n, n,
			n % 20 ? "S" : "");
		compose(&text, n);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		must(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n &&
			futimens(fd, times) == 0);
		close(fd);
	}
	buf_free(&text);
}

static void
fill(struct box *b)
{
	struct arena arena = { .max = 1024 * 1024 };
	struct box_found found = { 0 };
	struct err e = { 0 };
	double begin = now_s(), first = 0;

	while (!box_look(b, 100, &e) && !err_is(&e))
		if (first <= 0 &&
			box_query(b, &(struct box_query){ .limit = 50 }, &arena, &found, &e) &&
			found.n == 50)
			first = now_s() - begin;
	if (err_is(&e))
		fprintf(stderr, "%s\n", e.text);
	must(!err_is(&e));
	printf("indexed in %.1f s; the newest 50 after %.0f ms\n", now_s() - begin, first * 1000);
	arena_free(&arena);
}

static void
measure(struct box *b, const char *what, const struct box_query *q)
{
	struct arena arena = { .max = 64 * 1024 * 1024 };
	struct box_found found;
	struct err e = { 0 };
	double best = 1e9;

	for (int i = 0; i < TURNS; i++) {
		double begin = now_s();

		must(box_query(b, q, &arena, &found, &e));
		if (now_s() - begin < best)
			best = now_s() - begin;
	}
	printf("%-44s %7.1f ms, %llu found\n", what, best * 1000, (unsigned long long)found.total);
	arena_free(&arena);
}

static void
measure_search(struct box *b, struct str inbox, const char *text)
{
	const struct box_term both[] = { { .kind = BOX_IN_FOLDER, .text = inbox },
		{ .kind = BOX_TEXT, .text = str_of(text) } };
	const struct box_term all = { .kind = BOX_AND, .sub = both, .sub_n = 2 };
	char what[64];

	snprintf(what, sizeof what, "search %s, 50 of, threads, total", text);
	measure(b, what,
		&(struct box_query){ .filter = &all,
			.limit = 50,
			.collapses_threads = true,
			.wants_total = true });
}

static void
measure_folders(struct box *b, bool is_fresh)
{
	struct arena arena = { .max = 1024 * 1024 };
	double begin = now_s();
	struct box_folder *list;

	box_folders(b, &arena, &list);
	printf("folders with their numbers, %-16s %7.1f ms\n", is_fresh ? "counted" : "known",
		(now_s() - begin) * 1000);
	arena_free(&arena);
}

int
main(int argc, char **argv)
{
	unsigned mails = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100000;
	struct arena arena = { .max = 1024 * 1024 };
	struct box_folder inbox;
	struct err e = { 0 };
	struct box_term in;
	struct box *b;
	double begin;

	must(argc > 1 && box_open(&b, str_of(argv[1]), &e));
	box_close(&b);
	generate(argv[1], mails);
	must(box_open(&b, str_of(argv[1]), &e));
	fill(b);
	must(box_folder_of_role(b, BOX_INBOX, &arena, &inbox));
	in = (struct box_term){ .kind = BOX_IN_FOLDER, .text = inbox.id };
	box_close(&b);
	begin = now_s();
	must(box_open(&b, str_of(argv[1]), &e));
	while (!box_look(b, 1000, &e))
		must(!err_is(&e));
	printf("opened again in %.0f ms\n", (now_s() - begin) * 1000);
	measure_folders(b, true);
	measure_folders(b, false);
	measure(b, "inbox, 50 of, threads, total",
		&(struct box_query){ .filter = &in,
			.limit = 50,
			.collapses_threads = true,
			.wants_total = true });
	measure(b, "inbox, 50 of", &(struct box_query){ .filter = &in, .limit = 50 });
	measure_search(b, inbox.id, "zanzibar");
	measure_search(b, inbox.id, "matter");
	measure_search(b, inbox.id, "\"matter 777\"");
	measure_search(b, inbox.id, "bcb");
	measure_search(b, inbox.id, "一丁");
	measure_search(b, inbox.id, "一");
	box_close(&b);
	arena_free(&arena);
	return 0;
}
