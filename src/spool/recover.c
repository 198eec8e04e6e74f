/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: what the keeper makes of a directory that a station left, in whatever way it left it.
 *
 * 1. The newest sound checkpoint, then every log file that it does not replace, in order. Damaged
 *    records are passed over and counted; those behind the last sound one are a torn tail, which
 *    nobody was told of.
 * 2. The state found goes into a new checkpoint and a new log file before anything else is done; the
 *    old files are removed. So what was only in the page cache after a failed sync becomes durable
 *    before it counts, and no file is ever continued.
 * 3. Of a segment the header says which generation lives in it, the log where that one ended. A header
 *    that the log does not know yet is of a segment just made, or the log was lost: it is listed as
 *    unsealed, and its mails are read. A torn header changes nothing: the log's generation counts.
 * 4. A segment whose writer is dead is synced first, then read to its last sound record, and ends
 *    there. What is read then is durable; what was acknowledged is in it.
 *
 * Every step may be interrupted and done again.
 */
#include "spool/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "spool/keeper.h"

#define FORMAT S("posthouse spool 1\n")

/* ── the directory ── */

static bool
make_root(const char *path, struct err *e)
{
	int parent;
	bool ok;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST || err_set_errno(e, "cannot make the spool %s", path);
	parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0) {
		int self = parent;

		parent = openat(self, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(self);
	}
	ok = parent >= 0 && fsync(parent) == 0;
	if (!ok)
		err_set_errno(e, "cannot sync the directory above the spool %s", path);
	if (parent >= 0)
		close(parent);
	return ok;
}

static bool
take_lock(struct spool_keeper *k, const char *path, struct err *e)
{
	k->lock = openat(k->root, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (k->lock < 0)
		return err_set_errno(e, "cannot open %s/lock", path);
	if (flock(k->lock, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno == EWOULDBLOCK)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"the spool %s belongs to a running station: stop it, or choose another "
			"`spool`",
			path);
	return err_set_errno(e, "cannot lock %s/lock", path);
}

static bool
write_format(struct spool_keeper *k, struct err *e)
{
	struct job *j = maker_new_job(JOB_WRITE, k->root);

	snprintf(j->name, sizeof j->name, "format");
	buf_add(&j->content, FORMAT);
	maker_run(j);
	*e = j->e;
	maker_free_job(j);
	return !err_is(e);
}

/* The format is written before the directories: so where they are without it, they are not ours. */
static bool
check_format(struct spool_keeper *k, const char *path, struct err *e)
{
	char text[64];
	ssize_t n;
	int fd = openat(k->root, "format", O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		if (faccessat(k->root, "seg", F_OK, 0) == 0)
			return err_set(e, ERR_PERMANENT, ERR_LOCAL,
				"%s has segments but no file `format`: it is not a spool of this "
				"program",
				path);
		return write_format(k, e);
	}
	n = fd < 0 ? -1 : read(fd, text, sizeof text);
	if (n < 0)
		err_set_errno(e, "cannot read %s/format", path);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	if (!str_eq((struct str){ text, (size_t)n }, FORMAT))
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"%s/format names a format that this version does not know", path);
	return true;
}

static int
open_directory(int root, const char *name, struct err *e)
{
	int fd = -1;

	if (mkdirat(root, name, 0700) == 0 || errno == EEXIST)
		fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		err_set_errno(e, "cannot open %s in the spool", name);
	return fd;
}

bool
recover_directory(struct spool_keeper *k, struct str directory, struct err *e)
{
	char path[PATH_MAX];

	if (directory.n == 0 || directory.n >= sizeof path)
		return err_set(
			e, ERR_PERMANENT, ERR_LOCAL, "the spool's path is empty or too long");
	snprintf(path, sizeof path, "%.*s", STR_ARG(directory));
	if (!make_root(path, e))
		return false;
	k->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->root < 0)
		return err_set_errno(e, "cannot open the spool %s", path);
	if (!take_lock(k, path, e) || !check_format(k, path, e) ||
		(k->seg = open_directory(k->root, "seg", e)) < 0 ||
		(k->big = open_directory(k->root, "big", e)) < 0 ||
		(k->fate = open_directory(k->root, "fate", e)) < 0)
		return false;
	return fsync(k->root) == 0 || err_set_errno(e, "cannot sync the spool %s", path);
}

/* ── names ── */

struct numbers {
	uint64_t *v;
	size_t n;
};

static int
compare_numbers(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool
scan_name(struct str name, bool is_hex, struct str suffix, uint64_t *number)
{
	unsigned char octet[8];

	if (!is_hex)
		return scan_u64(&name, number) && str_eq(name, suffix);
	if (!codec_from_hex(name, octet, sizeof octet))
		return false;
	*number = 0;
	for (size_t i = 0; i < sizeof octet; i++)
		*number = *number << 8 | octet[i];
	return true;
}

/* The numbers that the files of a directory have as names, in order; freed by the caller. */
static bool
list_numbers(int directory, bool is_hex, struct str suffix, struct numbers *found, struct err *e)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t number;

	*found = (struct numbers){ 0 };
	if (!d) {
		if (fd >= 0)
			close(fd);
		return err_set_errno(e, "cannot list a directory of the spool");
	}
	while ((entry = readdir(d))) {
		if (!scan_name(str_of(entry->d_name), is_hex, suffix, &number))
			continue;
		found->v = realloc(found->v, (found->n + 1) * sizeof *found->v);
		must(found->v);
		found->v[found->n++] = number;
	}
	closedir(d);
	if (found->n > 0)
		qsort(found->v, found->n, sizeof *found->v, compare_numbers);
	return true;
}

/* ── the fates ── */

/* A file as octets. False with e when it cannot be read: then nothing is known, and nothing may be removed. */
static bool
read_file(int directory, const char *name, struct buf *to, struct err *e)
{
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	ssize_t got = 0;

	buf_reset(to);
	do {
		char *room = buf_room(to, 256 * 1024);

		must(room);
		got = fd < 0 ? -1 : read(fd, room, 256 * 1024);
		if (got > 0)
			buf_grew(to, (size_t)got);
	} while (got > 0 || (got < 0 && fd >= 0 && errno == EINTR));
	if (got < 0)
		err_set_errno(e, "cannot read fate/%s of the spool", name);
	if (fd >= 0)
		close(fd);
	return got == 0;
}

/* The newest checkpoint that is whole; 0: there is none. */
static bool
read_checkpoint(struct spool_keeper *k, const struct numbers *checkpoints, struct buf *file,
	uint64_t *found, uint64_t *damaged, struct err *e)
{
	*found = 0;
	for (size_t i = checkpoints->n; i-- > 0;) {
		char name[32];

		snprintf(name, sizeof name, "%08llu.state", (unsigned long long)checkpoints->v[i]);
		if (!read_file(k->fate, name, file, e))
			return false;
		if (fate_apply_file(&k->state, buf_str(file), SEGMENT_STATE, damaged)) {
			*found = checkpoints->v[i];
			return true;
		}
		log_event("checkpoint-damaged", "file=%s", name);
		fate_state_free(&k->state);
	}
	return true;
}

static bool
read_logs(struct spool_keeper *k, const struct numbers *logs, uint64_t from, struct buf *file,
	uint64_t *damaged, struct err *e)
{
	for (size_t i = 0; i < logs->n; i++) {
		char name[32];

		if (logs->v[i] < from)
			continue;
		snprintf(name, sizeof name, "%08llu", (unsigned long long)logs->v[i]);
		if (!read_file(k->fate, name, file, e))
			return false;
		fate_apply_file(&k->state, buf_str(file), SEGMENT_FATES, damaged);
	}
	return true;
}

/* What was released becomes the history. Where a log was applied to a checkpoint that had it, ids stand twice. */
static void
make_history(struct spool_keeper *k)
{
	struct kept_segment *g;
	struct fate_mail *m;

	for (uint32_t at = 0; (m = fate_next_mail(&k->state, &at));)
		m->is_unclaimed = true;
	for (size_t at = 0; (g = map_next(&k->state.segments, &at));) {
		uint32_t n = 0;

		for (uint32_t i = 0; i < g->released_n; i++) {
			struct mail_id *id;

			if (keeper_is_settled(k, g->released[i]))
				continue;
			id = arena_take(&k->history_arena, sizeof *id);
			must(id);
			*id = g->released[n++] = g->released[i];
			map_put(&k->history, id);
		}
		g->released_n = n;
	}
}

/* ── segments ── */

enum header_found { HEADER_SOUND, HEADER_NONE, HEADER_UNREADABLE };

static enum header_found
read_header(struct spool_keeper *k, uint64_t number, struct segment_header *h)
{
	char name[32], block[SPOOL_BLOCK];
	struct stat st;
	ssize_t got;
	bool ok;
	int fd;

	snprintf(name, sizeof name, "%08llu", (unsigned long long)number);
	fd = openat(k->seg, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return HEADER_UNREADABLE;
	got = pread(fd, block, sizeof block, 0);
	ok = got == (ssize_t)sizeof block && fstat(fd, &st) == 0 &&
	     record_get_segment_header((struct str){ block, sizeof block }, h) &&
	     h->use == SEGMENT_MAILS && h->number == number && h->size == (uint64_t)st.st_size &&
	     h->size >= SPOOL_SEGMENT_MIN && h->size % SPOOL_BLOCK == 0;
	close(fd);
	return ok ? HEADER_SOUND : got < 0 ? HEADER_UNREADABLE : HEADER_NONE;
}

static bool
reconcile_segment(struct spool_keeper *k, uint64_t number, struct err *e)
{
	struct kept_segment *g = fate_segment(&k->state, number);
	struct segment_header h;
	char name[32];

	enum header_found found = read_header(k, number, &h);

	if (found == HEADER_UNREADABLE)
		return err_set_errno(
			e, "cannot read seg/%08llu of the spool", (unsigned long long)number);
	if (found == HEADER_SOUND) {
		if (!g || g->generation != h.generation)
			fate_apply(&k->state, &(struct fate_entry){ .kind = ENTRY_MADE,
						      .number = number,
						      .generation = h.generation,
						      .size = h.size });
	} else if (!g) { /* its making was cut short */
		snprintf(name, sizeof name, "%08llu", (unsigned long long)number);
		unlinkat(k->seg, name, 0);
		return true;
	} else {
		log_event("segment-header-torn", "segment=%llu", (unsigned long long)number);
	}
	g = fate_segment(&k->state, number);
	if (g->state == KEPT_OPENING)
		g->state = KEPT_OPEN;
	g->is_there = true;
	return true;
}

static void
drop_missing_segments(struct spool_keeper *k)
{
	struct buf numbers = { .max = SIZE_MAX };
	struct kept_segment *g;
	uint64_t number;
	struct str in;

	for (size_t at = 0; (g = map_next(&k->state.segments, &at));)
		if (!g->is_there)
			codec_add_u64(&numbers, g->number);
	in = buf_str(&numbers);
	while (codec_scan_u64(&in, &number)) {
		log_event("segment-missing", "segment=%llu", (unsigned long long)number);
		fate_apply(&k->state, &(struct fate_entry){ .kind = ENTRY_GONE, .number = number });
	}
	buf_free(&numbers);
}

static bool
recover_segments(struct spool_keeper *k, struct err *e)
{
	struct numbers found;

	bool ok = true;

	if (!list_numbers(k->seg, false, S(""), &found, e))
		return false;
	for (size_t i = 0; ok && i < found.n; i++)
		ok = reconcile_segment(k, found.v[i], e);
	k->segment_next = found.n > 0 ? found.v[found.n - 1] + 1 : 1;
	free(found.v);
	if (ok)
		drop_missing_segments(k);
	return ok;
}

static bool
recover_bigs(struct spool_keeper *k, struct err *e)
{
	struct numbers found;

	if (!list_numbers(k->big, true, S(""), &found, e))
		return false;
	for (size_t i = 0; i < found.n; i++)
		keeper_put_big(k, found.v[i], -1, BIG_FOUND);
	free(found.v);
	return true;
}

/* ── the state ── */

static void
remove_files(int directory, const struct numbers *numbers, const char *suffix)
{
	for (size_t i = 0; i < numbers->n; i++) {
		char name[48];

		snprintf(name, sizeof name, "%08llu%s", (unsigned long long)numbers->v[i], suffix);
		unlinkat(directory, name, 0);
	}
}

static bool
write_checkpoint(struct spool_keeper *k, uint64_t number, struct err *e)
{
	struct job *j = maker_new_job(JOB_WRITE, k->fate);

	snprintf(j->name, sizeof j->name, "%08llu.state", (unsigned long long)number);
	fate_add_checkpoint(&j->content, &k->state, number);
	maker_run(j);
	*e = j->e;
	k->checkpoint = k->log_oldest = k->log_next = number;
	k->checkpoint_octets = j->content.n;
	maker_free_job(j);
	return !err_is(e);
}

static uint64_t
last_of(const struct numbers *numbers)
{
	return numbers->n > 0 ? numbers->v[numbers->n - 1] : 0;
}

bool
recover_state(struct spool_keeper *k, struct err *e)
{
	struct numbers logs = { 0 }, checkpoints = { 0 };
	struct buf file = { .max = SIZE_MAX };
	uint64_t from, last, damaged = 0;
	bool ok = false;

	if (!list_numbers(k->fate, false, S(""), &logs, e) ||
		!list_numbers(k->fate, false, S(".state"), &checkpoints, e))
		goto out;
	if (!read_checkpoint(k, &checkpoints, &file, &from, &damaged, e) ||
		!read_logs(k, &logs, from, &file, &damaged, e))
		goto out;
	if (damaged > 0)
		log_event("fates-damaged", "records=%llu", (unsigned long long)damaged);
	make_history(k);
	if (!recover_segments(k, e) || !recover_bigs(k, e))
		goto out;
	last = last_of(&logs) > last_of(&checkpoints) ? last_of(&logs) : last_of(&checkpoints);
	if (!write_checkpoint(k, last + 1, e))
		goto out;
	remove_files(k->fate, &logs, "");
	remove_files(k->fate, &checkpoints, ".state");
	ok = true;
out:
	free(logs.v);
	free(checkpoints.v);
	buf_free(&file);
	return ok;
}

uint64_t
recover_end(struct spool_keeper *k, struct kept_segment *g, struct err *e)
{
	uint64_t offset = SPOOL_BLOCK, end = SPOOL_BLOCK;
	int fd = keeper_segment_fd(k, g, e);
	struct record r;

	if (fd < 0)
		return 0;
	keeper_forget_window(k);
	if (segment_sync(fd) < 0) {
		log_event("sync-failed", "segment=%llu why=%s", (unsigned long long)g->number,
			log_quote(str_of(strerror(errno))));
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* the disk's word, not the cache's */
	}
	while (keeper_next_record(k, g, &offset, g->size, false, &r))
		end = offset;
	return (end + SPOOL_BLOCK - 1) / SPOOL_BLOCK * SPOOL_BLOCK;
}
