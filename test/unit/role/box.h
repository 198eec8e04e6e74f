/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_UNIT_ROLE_BOX_H
#define TEST_UNIT_ROLE_BOX_H

#include "../unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../directory.h"
#include "role/reader/box.h"

/* A Maildir of the test's own, with a box over it; others' work is done by hand, as a program that delivers or serves IMAP does it. */
struct house {
	char path[64];
	struct box *box;
	struct arena arena;
};

static inline void
house_open(struct house *h)
{
	struct err e = { 0 };

	if (!box_open(&h->box, str_of(h->path), &e))
		fail_msg("%s", e.text);
}

/* Until there is nothing more to see. */
static inline void
house_look(struct house *h)
{
	struct err e = { 0 };

	for (int turn = 0; turn < 1000; turn++)
		if (box_look(h->box, 1000, &e))
			return;
		else if (err_is(&e))
			fail_msg("%s", e.text);
	fail_msg("the box never comes to rest");
}

static inline int
house_setup(void **state)
{
	struct house *h = calloc(1, sizeof *h);

	assert_non_null(h);
	h->arena.max = 64 << 20;
	snprintf(h->path, sizeof h->path, "/tmp/posthouse-box-XXXXXX");
	assert_non_null(mkdtemp(h->path));
	house_open(h);
	house_look(h);
	*state = h;
	return 0;
}

static inline int
house_teardown(void **state)
{
	struct house *h = *state;

	box_close(&h->box);
	arena_free(&h->arena);
	directory_remove(h->path);
	free(h);
	return 0;
}

static inline const char *
house_path(const struct house *h, const char *below)
{
	static char paths[4][512];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof *paths, "%s/%s", h->path, below);
	return path;
}

static inline void
house_write(const struct house *h, const char *below, const char *text)
{
	int fd = open(house_path(h, below), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static inline void
house_rename(const struct house *h, const char *from, const char *to)
{
	assert_int_equal(rename(house_path(h, from), house_path(h, to)), 0);
}

/* Through tmp/ into `below`, as it should be; received at this second. */
static inline void
house_deliver(const struct house *h, const char *below, const char *text, time_t at)
{
	const struct timespec times[2] = { { .tv_sec = at }, { .tv_sec = at } };

	house_write(h, "tmp/delivery", text);
	assert_int_equal(utimensat(AT_FDCWD, house_path(h, "tmp/delivery"), times, 0), 0);
	house_rename(h, "tmp/delivery", below);
}

static inline struct box_folder
house_folder(struct house *h, enum box_role role)
{
	struct box_folder f;

	assert_true(box_folder_of_role(h->box, role, &h->arena, &f));
	return f;
}

static inline struct box_found
house_query(struct house *h, const struct box_query *q)
{
	struct box_found found;
	struct err e = { 0 };

	if (!box_query(h->box, q, &h->arena, &found, &e))
		fail_msg("%s", e.text);
	return found;
}

static inline struct box_found
house_all(struct house *h)
{
	return house_query(h, &(struct box_query){ .limit = 1000, .wants_total = true });
}

static inline struct box_mail
house_mail(struct house *h, struct str id)
{
	struct box_mail m;

	assert_true(box_mail(h->box, id, &h->arena, &m));
	return m;
}

/* The one mail that there is. */
static inline struct box_mail
house_only(struct house *h)
{
	struct box_found found = house_all(h);

	assert_int_equal(found.n, 1);
	return house_mail(h, found.ids[0]);
}

static inline struct box_changes
house_changes(struct house *h, enum box_kind kind, const char *since)
{
	struct box_changes c;

	assert_true(box_changes(h->box, kind, str_of(since), 0, &h->arena, &c));
	return c;
}

#endif
