/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "role/reader/box_core.h"

/*
 * What others did to the files. Two ways lead to the same lists, `due` (a name that has come) and `lost` (a mail whose name has gone):
 *
 *   the inotify queue    names of what came and went, folder by folder; when it overflows, or there is none, the other way
 *   a directory is read  when its mtime is not the one that it had when all in it was known
 *
 * Then the due ones are worked off, newest first, as long as the time allows; a rename is a name that has come and one that has gone, so
 *
 *   1. a mail is lost only when its file is not where the index has it, no due name has its base, and no more is to be read from inotify;
 *   2. a directory that changed while it was read has lost nothing yet: readdir may have missed what was renamed meanwhile;
 *   3. an mtime is remembered only when nothing is due, and never one so young that a later change may have the same.
 *
 * A base name twice in one folder (a link in progress) is one mail; twice in two folders, and there to stay, it is two.
 */

enum {
	COMMIT_MS = 2000,
	EVENTS_MAX = 64 * 1024,
	DUE_OCTETS_MAX = 512 * 1024 * 1024,
	YOUNG_MS = 1000
};
static const uint32_t watched = IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR;

static int64_t
clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ── watching ── */

static int
watch_path(struct box *b, const char *below, uint32_t mask)
{
	char path[BOX_PATH_MAX * 2];
	int watch;

	snprintf(path, sizeof path, "%s/%s", b->path, below);
	watch = inotify_add_watch(b->inotify, path, mask);
	if (watch < 0 && errno == ENOSYS)
		b->is_blind = true; /* we are locked in by now: what is new has no watch */
	else if (watch < 0 && errno != ENOENT && errno != ENOTDIR)
		b->inotify = -1; /* the system allows no more of them: mtimes will do */
	return watch;
}

void
look_watch(struct box *b, struct folder *f)
{
	char path[BOX_PATH_MAX];

	for (enum box_part part = BOX_NEW; part < BOX_PARTS; part++)
		if (b->inotify < 0)
			f->watch[part] = -1;
		else if (f->watch[part] < 0)
			f->watch[part] = watch_path(b, maildir_path(f, part, "", path), watched);
}

void
look_await(struct box *b, const char *directory)
{
	if (b->inotify >= 0)
		watch_path(b, directory, IN_CREATE | IN_ONLYDIR | IN_ONESHOT);
}

void
look_unwatch(struct box *b, struct folder *f)
{
	for (enum box_part part = BOX_NEW; part < BOX_PARTS; part++)
		if (b->inotify >= 0 && f->watch[part] >= 0)
			inotify_rm_watch(b->inotify, f->watch[part]);
}

static struct str
due_base(const void *member)
{
	return ((const struct due *)member)->base;
}

void
look_open(struct box *b)
{
	b->due_names.key_of = due_base;
	b->due_arena.max = DUE_OCTETS_MAX;
	b->is_root_due = b->is_first = true;
	if (b->queue < 0)
		b->queue = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	b->inotify = b->queue;
	if (b->inotify >= 0)
		b->root_watch = watch_path(b, "", watched);
}

static bool
more_events(const struct box *b)
{
	struct pollfd p = { .fd = b->inotify, .events = POLLIN };

	return b->inotify >= 0 && poll(&p, 1, 0) > 0;
}

/* ── due and lost ── */

/* Room for one more in a list that doubles. */
static void *
grow(void *list, size_t n, size_t *capacity, size_t each)
{
	if (n < *capacity)
		return list;
	*capacity = *capacity ? *capacity * 2 : 256;
	list = realloc(list, *capacity * each);
	must(list);
	return list;
}

static bool
due_add(struct box *b, const struct folder *f, enum box_part part, struct str name)
{
	struct due *d;

	if (!name.n || name.p[0] == '.' || name.n > BOX_NAME_MAX - 16)
		return true;
	d = arena_take(&b->due_arena, sizeof *d);
	if (!d || !arena_dup(&b->due_arena, name, &d->name))
		return false;
	d->base = name_base(d->name);
	d->folder = f->number;
	d->part = part;
	d->time = name_time(d->name);
	b->due = grow(b->due, b->due_n, &b->due_capacity, sizeof(struct due *));
	b->due[b->due_n++] = d;
	d->same = map_remove(&b->due_names, d->base);
	map_put(&b->due_names, d);
	return true;
}

/* The newest. */
static struct due *
due_take(struct box *b)
{
	struct due *d = b->due[--b->due_n], *first = map_get(&b->due_names, d->base), **at = &first;

	map_remove(&b->due_names, d->base);
	while (*at && *at != d)
		at = &(*at)->same;
	if (*at)
		*at = d->same;
	if (first)
		map_put(&b->due_names, first);
	return d;
}

static void
lost_add(struct box *b, int64_t mail)
{
	b->lost = grow(b->lost, b->lost_n, &b->lost_capacity, sizeof *b->lost);
	b->lost[b->lost_n++] = mail;
}

static void
lost_leave(struct box *b)
{
	struct mail_row row;

	if (more_events(b))
		return;
	for (size_t i = 0; i < b->lost_n; i++) {
		struct folder *f;

		if (!mail_row(b, b->lost[i], &row) ||
			map_get(&b->due_names, name_base(str_of(row.name))))
			continue; /* a due name, when it is worked off, makes it lost again, or finds it */
		f = folder_of_number(b, row.folder);
		if (!f || !maildir_has(b, f, row.part, row.name))
			mail_leave(b, &row);
	}
	b->lost_n = 0;
}

static void
due_work(struct box *b, const struct due *d)
{
	struct folder *f = folder_of_number(b, d->folder), *was;
	char name[BOX_NAME_MAX];
	struct mail_row row;
	unsigned flags;
	int64_t number;
	bool is_known;

	if (!f)
		return;
	snprintf(name, sizeof name, "%.*s", STR_ARG(d->name));
	is_known = mail_of_file(b, f->number, d->base, &row);
	if (!name_flags(d->name, &flags) || !maildir_has(b, f, d->part, name)) {
		if (is_known)
			lost_add(b, row.number);
	} else if (!is_known) {
		mail_enter(b, f, d->part, d->name, &number);
	} else {
		was = folder_of_number(b, row.folder);
		/* Of two names in one folder that in cur/ is where it goes. */
		if (!was || (was == f && d->part > row.part) ||
			!maildir_has(b, was, row.part, row.name))
			mail_place(b, &row, f, d->part, d->name, flags);
	}
}

/* ── by inotify ── */

static struct folder *
folder_of_watch(struct box *b, int watch, enum box_part *part)
{
	for (size_t i = 0; i < b->folders_n; i++)
		for (*part = BOX_NEW; *part < BOX_PARTS; ++*part)
			if (b->folders[i].watch[*part] == watch)
				return &b->folders[i];
	return NULL;
}

static void
all_due(struct box *b)
{
	b->is_root_due = true;
	for (size_t i = 0; i < b->folders_n; i++)
		b->folders[i].is_due = true;
}

static void
take_event(struct box *b, const struct inotify_event *event)
{
	struct str name = event->len ? str_of(event->name) : S("");
	struct mail_row row;
	enum box_part part;
	struct folder *f;

	if (event->mask & IN_Q_OVERFLOW) {
		all_due(b);
		return;
	}
	f = folder_of_watch(b, event->wd, &part);
	if (!f) {
		b->is_root_due = true;
	} else if (event->mask & IN_IGNORED) {
		f->watch[part] = -1;
		f->is_due = b->is_root_due = true;
	} else if (event->mask & (IN_CREATE | IN_MOVED_TO)) {
		f->is_due |= !due_add(b, f, part, name);
	} else if (mail_of_file(b, f->number, name_base(name), &row) &&
		   str_eq(str_of(row.name), name)) {
		lost_add(b, row.number);
	}
}

static void
take_events(struct box *b)
{
	char *events = b->inotify < 0 ? NULL : malloc(EVENTS_MAX);
	ssize_t n;

	while (events && (n = read(b->inotify, events, EVENTS_MAX)) > 0)
		for (size_t at = 0; at < (size_t)n;) {
			struct inotify_event event;

			memcpy(&event, events + at, sizeof event);
			take_event(b, (const struct inotify_event *)(const void *)(events + at));
			at += sizeof event + event.len;
		}
	free(events);
}

/* ── by reading directories ── */

static bool
mtimes(struct box *b, const struct folder *f, int64_t ns[BOX_PARTS])
{
	char path[BOX_PATH_MAX];
	struct stat st;

	for (enum box_part part = BOX_NEW; part < BOX_PARTS; part++) {
		ns[part] = 0;
		if (fstatat(b->directory, maildir_path(f, part, "", path), &st,
			    AT_SYMLINK_NOFOLLOW) == 0)
			ns[part] = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
		else if (part == BOX_CUR)
			return false;
	}
	return true;
}

/* One that was so short ago that the next change may leave it as it is: never to be trusted. */
static int64_t
settled(int64_t mtime_ns)
{
	return mtime_ns / 1000000 + YOUNG_MS < clock_ms(CLOCK_REALTIME) ? mtime_ns : 0;
}

struct known {
	struct str key; /* the part's number and the file's name */
	int64_t number;
	bool is_there;
};

static struct str
known_key(const void *member)
{
	return ((const struct known *)member)->key;
}

static bool
load_known(struct box *b, const struct folder *f, struct map *known, struct arena *arena)
{
	sqlite3_stmt *s = index_ask(
		b, "SELECT number, part, name FROM mail WHERE folder = ?1", "i", f->number);
	char key[BOX_NAME_MAX + 1];

	while (index_next(b, s)) {
		struct known *k = arena_take(arena, sizeof *k);
		int n = snprintf(key, sizeof key, "%d%.*s", sqlite3_column_int(s, 1),
			STR_ARG(index_octets(s, 2)));

		if (!k || !arena_dup(arena, (struct str){ key, (size_t)n }, &k->key)) {
			index_done(s);
			return false;
		}
		k->number = sqlite3_column_int64(s, 0);
		if (!map_get(known, k->key))
			map_put(known, k);
	}
	return true;
}

static bool
read_part(struct box *b, const struct folder *f, enum box_part part, struct map *known)
{
	char path[BOX_PATH_MAX], key[BOX_NAME_MAX + 1];
	int fd = openat(b->directory, maildir_path(f, part, "", path),
		O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	bool good = true;

	while (d && good && (entry = readdir(d))) {
		int n = snprintf(key, sizeof key, "%d%s", (int)part, entry->d_name);
		struct known *k = map_get(known, (struct str){ key, (size_t)n });

		if (k)
			k->is_there = true;
		else
			good = due_add(b, f, part, str_of(entry->d_name));
	}
	if (d)
		closedir(d);
	return good;
}

static void
read_folder(struct box *b, struct folder *f)
{
	int64_t before[BOX_PARTS], after[BOX_PARTS];
	struct map known = { .key_of = known_key };
	struct arena arena = { .max = DUE_OCTETS_MAX };
	struct known *k;

	if (mtimes(b, f, before) && load_known(b, f, &known, &arena) &&
		read_part(b, f, BOX_NEW, &known) && read_part(b, f, BOX_CUR, &known) &&
		mtimes(b, f, after) && memcmp(before, after, sizeof before) == 0) {
		for (size_t i = 0; (k = map_next(&known, &i));)
			if (!k->is_there)
				lost_add(b, k->number);
		memcpy(f->mtime_seen_ns, before, sizeof before);
		f->is_due = false;
	}
	b->due_is_sorted = false;
	map_free(&known);
	arena_free(&arena);
}

static bool
is_watched(const struct box *b, const struct folder *f)
{
	return b->inotify >= 0 && f->watch[BOX_NEW] >= 0 && f->watch[BOX_CUR] >= 0;
}

static void
check_mtimes(struct box *b)
{
	for (size_t i = 0; i < b->folders_n; i++) {
		struct folder *f = &b->folders[i];
		int64_t now[BOX_PARTS];

		if (!b->is_first && is_watched(b, f))
			continue;
		if (!mtimes(b, f, now))
			b->is_root_due = true;
		else if (memcmp(now, f->mtime_ns, sizeof now) != 0)
			f->is_due = true;
		else
			memcpy(f->mtime_seen_ns, now, sizeof now);
	}
}

/* ── the look ── */

/* Ascending, for the newest is taken first, and the inbox before all others. */
static int
compare_due(const void *a, const void *c)
{
	const struct due *x = *(struct due *const *)a, *y = *(struct due *const *)c;

	return x->folder != y->folder && (x->folder == 1 || y->folder == 1)
		       ? (x->folder == 1) - (y->folder == 1)
		       : (x->time > y->time) - (x->time < y->time);
}

static bool
look_directories(struct box *b, struct err *e)
{
	if (b->is_root_due || b->inotify < 0 || b->is_blind) {
		b->is_root_due = false;
		if (!folders_read(b, e))
			return false;
	}
	for (size_t i = 0; i < b->folders_n; i++)
		look_watch(b, &b->folders[i]);
	if (b->is_first || b->inotify < 0 || b->is_blind)
		check_mtimes(b);
	b->is_first = false;
	take_events(b);
	for (size_t i = 0; i < b->folders_n; i++)
		if (b->folders[i].is_due)
			read_folder(b, &b->folders[i]);
	if (!b->due_is_sorted && b->due_n)
		qsort(b->due, b->due_n, sizeof(struct due *), compare_due);
	b->due_is_sorted = true;
	return true;
}

/* All that was found is in the index: the mtimes that were read before count from now on. */
static void
remember(struct box *b)
{
	arena_free(&b->due_arena);
	for (size_t i = 0; i < b->folders_n; i++) {
		struct folder *f = &b->folders[i];

		for (enum box_part part = BOX_NEW; part < BOX_PARTS; part++) {
			int64_t mtime = settled(f->mtime_seen_ns[part]);

			f->is_touched |= f->mtime_ns[part] != mtime;
			f->mtime_ns[part] = mtime;
		}
	}
}

static bool
nothing_due(const struct box *b)
{
	size_t i = 0;

	while (i < b->folders_n && !b->folders[i].is_due)
		i++;
	return i == b->folders_n && b->due_n == 0 && b->lost_n == 0 && !b->is_root_due;
}

/* While a fresh index is filled its transaction spans many looks: small ones cost twice the time. */
static void
commit(struct box *b, bool is_over)
{
	int64_t now_ms = clock_ms(CLOCK_MONOTONIC);

	if (!b->is_filling)
		b->commit_ms = now_ms + COMMIT_MS;
	b->is_filling = !is_over && !b->is_whole && !b->is_broken && now_ms < b->commit_ms;
	if (!b->is_filling)
		box_end(b);
}

bool
look_files(struct box *b, int64_t budget_ms, struct err *e)
{
	int64_t end_ms = clock_ms(CLOCK_MONOTONIC) + budget_ms;
	bool good, is_over;

	if (!b->is_filling)
		box_begin(b);
	good = look_directories(b, e);
	lost_leave(b);
	while (good && b->due_n && !b->is_broken && clock_ms(CLOCK_MONOTONIC) < end_ms)
		due_work(b, due_take(b));
	lost_leave(b);
	is_over = nothing_due(b) || !good;
	if (is_over && good)
		remember(b);
	b->is_whole |= is_over && good;
	commit(b, is_over);
	return good && is_over;
}

int
box_watched(const struct box *b)
{
	return b->inotify;
}

bool
box_is_blind(const struct box *b)
{
	return b->is_blind || b->inotify < 0;
}

/* What changed while we watched has moved mtimes: they are put right, unless something has happened that was not looked at. */
static void
remember_all(struct box *b)
{
	for (size_t i = 0; i < b->folders_n; i++)
		if (!mtimes(b, &b->folders[i], b->folders[i].mtime_seen_ns))
			return;
	if (more_events(b))
		return;
	box_begin(b);
	remember(b);
	box_end(b);
}

void
look_close(struct box *b)
{
	if (b->is_filling)
		box_end(b);
	b->is_filling = false;
	if (b->inotify >= 0 && b->db && !b->is_broken && !b->is_first && nothing_due(b))
		remember_all(b);
	map_free(&b->due_names);
	arena_free(&b->due_arena);
	free(b->due);
	free(b->lost);
	b->due = NULL;
	b->lost = NULL;
	b->due_n = b->due_capacity = b->lost_n = b->lost_capacity = 0;
}
