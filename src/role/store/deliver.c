/* SPDX-License-Identifier: Apache-2.0 */
#include "role/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/file.h"

/*
 * A batch into Maildirs, in an order that a power cut cannot spoil:
 *
 *   1. every message is written to tmp/          (write_file)
 *   2. one sync for all of them                  (sync_all)
 *   3. every file is renamed to new/             (move_file)
 *   4. one sync for the directories              (sync_all)
 *   5. only then the queue is told "delivered"
 *
 * The file's name is made of the mail's id and the recipient's number. So a delivery that is
 * repeated after a crash finds its file in new/, or in cur/ when a reader has moved it, and leaves
 * one. When a sync fails the files of the batch are removed again: what such a file holds on the
 * disk is unknown, and a later sync would say "ok" all the same.
 */

enum { PATH_LENGTH_MAX = 1024 };

/* ── gathering, in the loop's thread ── */

struct batch *
batch_new(void)
{
	struct batch *b = calloc(1, sizeof *b);

	must(b);
	return b;
}

void
batch_free(struct batch **b)
{
	if (!*b)
		return;
	for (size_t i = 0; i < (*b)->n; i++) {
		struct delivery *d = &(*b)->deliveries[i];

		free((char *)(uintptr_t)d->directory.p); /* head and message lie behind it */
		if (d->message_fd >= 0)
			close(d->message_fd);
	}
	free(*b);
	*b = NULL;
}

/* With a NUL behind it. */
static bool
maildir_path(struct buf *to, const struct config *c, const struct ipc_deliver *m, struct err *e)
{
	if (!config_mailbox_path(c, m->mailbox, m->domain, to) && !to->overflow)
		return err_set(
			e, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "no mailbox can have this name");
	buf_add_char(to, 0);
	return !to->overflow ||
	       err_set(e, ERR_PERMANENT, ERR_MAILBOX_NAME, "the mailbox's path is too long");
}

void
batch_add(struct batch *b, const struct config *c, struct ipc_deliver *m)
{
	struct delivery *d = &b->deliveries[b->n];
	struct buf memory = { .max = PATH_LENGTH_MAX };
	size_t path_n, head_n;
	char id[MAIL_ID_TEXT];

	must(b->n < BATCH_MAX);
	b->n++;
	*d = (struct delivery){ .attempt = m->attempt, .message_fd = m->fd, .again = m->again };
	if (!maildir_path(&memory, c, m, &d->err)) {
		buf_free(&memory);
		return;
	}
	path_n = memory.n;
	memory.max = IPC_PACKET_MAX + 2 * PATH_LENGTH_MAX;
	buf_addf(&memory, "Return-Path: <%.*s>\r\nDelivered-To: %.*s\r\n", STR_ARG(m->reverse_path),
		STR_ARG(m->delivered_to));
	head_n = memory.n - path_n;
	buf_add(&memory, m->message);
	must(!memory.overflow);
	d->directory = (struct str){ memory.p, path_n - 1 };
	d->head = (struct str){ memory.p + path_n, head_n };
	d->message = (struct str){ memory.p + path_n + head_n, m->message.n };
	snprintf(d->name, sizeof d->name, "%llu.%s-%u.%.*s",
		(unsigned long long)(m->arrived_ms / 1000), mail_id_text(m->id, id), m->recipient,
		(int)(c->hostname.n < 64 ? c->hostname.n : 64), c->hostname.p);
}

/* ── delivering, in the worker's thread ── */

/* "<directory>/<part>/<name>" */
static const char *
path_of(const struct delivery *d, const char *part, const char *name,
	char path[PATH_LENGTH_MAX * 2])
{
	snprintf(path, PATH_LENGTH_MAX * 2, "%s/%s%s%s", d->directory.p, part, *name ? "/" : "",
		name);
	return path;
}

static bool
make_maildir(const struct delivery *d)
{
	static const char *const parts[] = { "tmp", "new", "cur" };
	char path[PATH_LENGTH_MAX * 2];

	for (size_t i = 0; i < 3; i++)
		if (!file_make_directories(path_of(d, parts[i], "", path)))
			return false;
	return true;
}

/* Is the file of an earlier try in new/, or in cur/ under its name and a reader's flags? */
static bool
is_there(const struct delivery *d)
{
	char path[PATH_LENGTH_MAX * 2];
	size_t n = strlen(d->name);
	struct dirent *entry;
	bool found = access(path_of(d, "new", d->name, path), F_OK) == 0;
	DIR *cur = found ? NULL : opendir(path_of(d, "cur", "", path));

	while (cur && !found && (entry = readdir(cur)))
		found = strncmp(entry->d_name, d->name, n) == 0 &&
			(entry->d_name[n] == 0 || entry->d_name[n] == ':');
	if (cur)
		closedir(cur);
	return found;
}

static bool
copy_all(int to, int from)
{
	struct stat st;
	off_t at = 0;

	if (fstat(from, &st) != 0)
		return false;
	while (at < st.st_size)
		if (sendfile(to, from, &at, (size_t)(st.st_size - at)) <= 0)
			return false;
	return true;
}

/* What goes to the log has the path; what may go to the sender has not. */
static void
delivery_fail(struct delivery *d, const char *what, const char *path)
{
	int cause = errno;

	log_event("mailbox-failed", "path=%s errno=%d", log_quote(str_of(path)), cause);
	errno = cause;
	err_set_errno(&d->err, "the mailbox cannot be %s", what);
	if (cause == ENOSPC || cause == EDQUOT)
		d->err.kind = ERR_NO_SPACE;
}

/* The descriptor of the file in tmp/, or -1 with d->err. */
static int
write_file(struct delivery *d, bool *made_directories)
{
	char path[PATH_LENGTH_MAX * 2];
	int fd = open(path_of(d, "tmp", d->name, path),
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 && errno == ENOENT && make_maildir(d)) {
		*made_directories = true;
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	if (fd >= 0 && file_write_all(fd, d->head) &&
		(d->message_fd >= 0 ? copy_all(fd, d->message_fd)
				    : file_write_all(fd, d->message))) {
		d->is_written = true;
		return fd;
	}
	delivery_fail(d, "written", path);
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	return -1;
}

/* One file system that the batch has touched. */
struct touched {
	dev_t device;
	int fd;	      /* a file or directory on it */
	unsigned n;   /* how many there are */
	bool is_wide; /* directories above were made too */
};

struct touches {
	struct touched list[BATCH_MAX];
	size_t n;
};

/* Takes the descriptor. */
static void
touch(struct touches *all, int fd, bool is_wide)
{
	struct stat st = { 0 };
	size_t i = 0;

	if (fstat(fd, &st) != 0)
		is_wide = true;
	while (i < all->n && all->list[i].device != st.st_dev)
		i++;
	if (i == all->n)
		all->list[all->n++] = (struct touched){ .device = st.st_dev, .fd = fd };
	else
		close(fd);
	all->list[i].n++;
	all->list[i].is_wide |= is_wide;
}

/* One thing touched: its own sync. Several: one for the file system, cheaper than many. */
static bool
sync_all(struct touches *all)
{
	bool is_good = true;

	for (size_t i = 0; i < all->n; i++) {
		struct touched *t = &all->list[i];

		if ((t->n > 1 || t->is_wide ? syncfs(t->fd) : fsync(t->fd)) != 0)
			is_good = false;
		close(t->fd);
	}
	all->n = 0;
	return is_good;
}

static void
move_file(struct delivery *d, struct touches *directories)
{
	char from[PATH_LENGTH_MAX * 2], to[PATH_LENGTH_MAX * 2];
	int fd;

	path_of(d, "tmp", d->name, from);
	path_of(d, "new", d->name, to);
	if (rename(from, to) != 0 &&
		!(errno == ENOENT && make_maildir(d) && rename(from, to) == 0)) {
		delivery_fail(d, "moved into", from);
		unlink(from);
		return;
	}
	fd = open(path_of(d, "new", "", to), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		touch(directories, fd, false);
	else
		delivery_fail(d, "opened", to);
}

/* What an earlier try moved into place was perhaps never synced. */
static void
touch_found(struct delivery *d, struct touches *directories)
{
	static const char *const parts[] = { "new", "cur" };
	char path[PATH_LENGTH_MAX * 2];

	for (size_t i = 0; i < 2; i++) {
		int fd = open(path_of(d, parts[i], "", path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			touch(directories, fd, false);
		else
			delivery_fail(d, "opened", path);
	}
}

/* After a failed sync nothing of the batch may stay: not even what looks whole. */
static void
take_back(struct batch *b, const char *part)
{
	char path[PATH_LENGTH_MAX * 2];

	for (size_t i = 0; i < b->n; i++) {
		struct delivery *d = &b->deliveries[i];

		if (!d->is_written && !d->is_there)
			continue;
		if (d->is_written) /* one that is there stays: the next try syncs it again */
			unlink(path_of(d, part, d->name, path));
		if (!err_is(&d->err))
			err_set(&d->err, ERR_TEMPORARY, ERR_SYNC,
				"the disk of the mailboxes did not confirm the mail");
	}
}

void
batch_deliver(struct batch *b)
{
	struct touches touched = { 0 };

	for (size_t i = 0; i < b->n; i++) {
		struct delivery *d = &b->deliveries[i];
		bool made_directories = false;
		int fd;

		d->is_there = !err_is(&d->err) && d->again && is_there(d);
		if (err_is(&d->err) || d->is_there)
			continue;
		fd = write_file(d, &made_directories);
		if (fd >= 0)
			touch(&touched, fd, made_directories);
	}
	if (!sync_all(&touched)) {
		take_back(b, "tmp");
		return;
	}
	for (size_t i = 0; i < b->n; i++)
		if (b->deliveries[i].is_written)
			move_file(&b->deliveries[i], &touched);
		else if (b->deliveries[i].is_there)
			touch_found(&b->deliveries[i], &touched);
	if (!sync_all(&touched))
		take_back(b, "new");
}
