/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "role/reader/box_core.h"

/*
 * The files of the box. What they hold never changes; others may rename or remove them at any moment, between any two calls here. So a file is always
 * tried under the name that the index has, and looked for under its base name when it is not there (chase).
 */

static const char *const parts[] = { "new", "cur", "tmp" };

const char *
maildir_path(const struct folder *f, enum box_part part, const char *name, char path[BOX_PATH_MAX])
{
	snprintf(path, BOX_PATH_MAX, "%s%s%s%s%s", f->path, *f->path ? "/" : "", parts[part],
		*name ? "/" : "", name);
	return path;
}

bool
maildir_has(struct box *b, const struct folder *f, enum box_part part, const char *name)
{
	char path[BOX_PATH_MAX];

	return faccessat(b->directory, maildir_path(f, part, name, path), F_OK,
		       AT_SYMLINK_NOFOLLOW) == 0;
}

int
maildir_open(struct box *b, const struct folder *f, enum box_part part, const char *name)
{
	char path[BOX_PATH_MAX];
	struct stat st;
	int fd = openat(b->directory, maildir_path(f, part, name, path),
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool
maildir_sync(struct box *b, const char *path)
{
	int fd = openat(b->directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && fsync(fd) == 0;
	int cause = errno;

	if (fd >= 0)
		close(fd);
	errno = cause;
	return good;
}

bool
maildir_make(struct box *b, const char *folder)
{
	char path[BOX_PATH_MAX];

	if (*folder && mkdirat(b->directory, folder, 0700) != 0 && errno != EEXIST)
		return false;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", parts[i]);
		if (mkdirat(b->directory, path, 0700) != 0 && errno != EEXIST)
			return false;
	}
	if (!*folder)
		return maildir_sync(b, ".");
	/* By this file a program that delivers knows that it is in a folder, not in a Maildir of its own (Maildir++). */
	snprintf(path, sizeof path, "%s/maildirfolder", folder);
	close(openat(b->directory, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
	return maildir_sync(b, folder) && maildir_sync(b, ".");
}

/* The file of this mail, by whatever name it has now: row is put right. False: it is in its folder no more. */
static bool
chase(struct box *b, struct mail_row *row)
{
	struct folder *f = folder_of_number(b, row->folder);
	struct str base = name_base(str_of(row->name));
	char path[BOX_PATH_MAX];
	bool found = false;

	for (enum box_part part = BOX_NEW; f && part < BOX_PARTS && !found; part++) {
		int fd = openat(b->directory, maildir_path(f, part, "", path),
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
		struct dirent *entry;

		while (d && !found && (entry = readdir(d))) {
			found = str_eq(name_base(str_of(entry->d_name)), base);
			if (found) {
				row->part = part;
				snprintf(row->name, sizeof row->name, "%.255s", entry->d_name);
			}
		}
		if (d)
			closedir(d);
	}
	return found;
}

static bool
is_lost(struct box *b, const struct mail_row *row, struct err *e)
{
	mail_leave(b, row);
	return err_set(e, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "this mail is no longer there");
}

/* ── reading ── */

bool
box_read(struct box *b, const struct box_mail *m, struct str *octets)
{
	struct buf whole = { .max = BOX_OCTETS_MAX };
	struct mail_row row;
	int fd = -1;

	*octets = (struct str){ 0 };
	if (!mail_row(b, m->number, &row) || !folder_of_number(b, row.folder))
		return false;
	fd = maildir_open(b, folder_of_number(b, row.folder), row.part, row.name);
	if (fd < 0 && chase(b, &row))
		fd = maildir_open(b, folder_of_number(b, row.folder), row.part, row.name);
	if (fd < 0)
		return false;
	/* Read, not mapped: a file that somebody cuts short would kill who reads the mapping. */
	if (!file_read_all(fd, &whole) && errno != EFBIG)
		buf_free(&whole);
	close(fd);
	if (!whole.p)
		buf_room(&whole, 1);
	*octets = buf_str(&whole);
	return octets->p != NULL;
}

void
box_read_free(struct str *octets)
{
	free((char *)(uintptr_t)octets->p);
	*octets = (struct str){ 0 };
}

/* ── adding ── */

static bool
write_file(struct box *b, const char *path, struct str octets, int64_t received_ms)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_NOW },
		{ .tv_sec = received_ms / 1000, .tv_nsec = received_ms % 1000 * 1000000 } };
	int fd = openat(
		b->directory, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good =
		fd >= 0 && file_write_all(fd, octets) && futimens(fd, times) == 0 && fsync(fd) == 0;
	int cause = errno;

	if (fd >= 0)
		close(fd);
	if (fd >= 0 && !good)
		unlinkat(b->directory, path, 0);
	errno = cause;
	return good;
}

bool
box_add(struct box *b, struct str folder, struct str octets, unsigned flags, int64_t received_ms,
	struct arena *arena, struct box_mail *m, struct err *e)
{
	char base[BOX_NAME_MAX - 64], name[BOX_NAME_MAX], from[BOX_PATH_MAX], to[BOX_PATH_MAX],
		id[BOX_ID];
	unsigned char hash[BOX_HASH];
	struct folder *f = folder_of_id(b, folder);
	int64_t number;

	if (!f)
		return err_set(e, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "there is no such folder");
	name_new(base);
	name_with_flags(str_of(base), flags, name);
	snprintf(from, sizeof from, "%s%stmp/%s", f->path, *f->path ? "/" : "", base);
	if (!write_file(b, from, octets, received_ms < 0 ? 0 : received_ms) ||
		renameat(b->directory, from, b->directory, maildir_path(f, BOX_CUR, name, to)) !=
			0) {
		folder_fail(e, "the mail cannot be written");
		unlinkat(b->directory, from, 0);
		return false;
	}
	if (!maildir_sync(b, maildir_path(f, BOX_CUR, "", to))) {
		folder_fail(e, "the mail cannot be kept");
		unlinkat(b->directory, maildir_path(f, BOX_CUR, name, to), 0);
		return false;
	}
	box_begin(b);
	mail_enter(b, f, BOX_CUR, str_of(name), &number);
	box_end(b);
	name_hash(str_of(base), S(""), hash);
	name_id('M', hash, id);
	if (box_mail(b, str_of(id), arena, m))
		return true;
	/* Whoever hears no tries again: the file may not stay. */
	unlinkat(b->directory, maildir_path(f, BOX_CUR, name, to), 0);
	maildir_sync(b, maildir_path(f, BOX_CUR, "", to));
	return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "the index does not take the mail");
}

/* ── changing ── */

/* Renamed into `to`, some flags set and others cleared; row is what it was, and is put right on the way. The flags are part of the name that
 * is renamed: whoever changed others meanwhile has renamed it too, is found, and keeps what they did. */
static bool
change(struct box *b, struct mail_row *row, struct folder *to, unsigned set, unsigned clear,
	struct err *e)
{
	char old[BOX_PATH_MAX], path[BOX_PATH_MAX], name[BOX_NAME_MAX], fresh[BOX_NAME_MAX - 64];
	bool is_fresh = false;
	unsigned flags = row->flags;
	int tries = 0;

	for (;;) {
		struct folder *from = folder_of_number(b, row->folder);

		if (!from)
			return is_lost(b, row, e);
		if (tries) /* the row has the name that it has now, and the index its flags of before */
			name_flags(str_of(row->name), &flags);
		flags = (flags & ~clear) | set;
		name_with_flags(str_of(row->name), flags, name);
		maildir_path(from, row->part, row->name, old);
		if (renameat2(b->directory, old, b->directory,
			    maildir_path(to, BOX_CUR, name, path), RENAME_NOREPLACE) == 0)
			break;
		if (errno == EINVAL && linkat(b->directory, old, b->directory, path, 0) == 0) {
			unlinkat(b->directory, old, 0); /* a file system that knows no such flag */
			break;
		}
		if (errno == EEXIST && !is_fresh) {
			is_fresh = true;
			name_new(fresh); /* another mail of this name is there */
			name_with_flags(str_of(fresh), flags, name);
			if (renameat(b->directory, old, b->directory,
				    maildir_path(to, BOX_CUR, name, path)) == 0)
				break;
		}
		if (errno != ENOENT) {
			folder_fail(e, "the mail cannot be changed");
			return false;
		}
		if (tries++ > 2 || !chase(b, row))
			return is_lost(b, row, e);
	}
	mail_place(b, row, to, BOX_CUR, str_of(name), flags);
	return true;
}

bool
box_place(struct box *b, const struct box_mail *m, struct str folder, unsigned flags, struct err *e)
{
	struct folder *to = folder_of_id(b, folder);
	unsigned set = flags & ~m->flags, clear = m->flags & ~flags;
	struct mail_row row;
	bool good;

	if (!to)
		return err_set(e, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "there is no such folder");
	if (!mail_row(b, m->number, &row))
		return err_set(
			e, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "this mail is no longer there");
	if (row.folder == to->number && ((row.flags & ~clear) | set) == row.flags)
		return true;
	box_begin(b);
	good = change(b, &row, to, set, clear, e);
	box_end(b);
	return good;
}

bool
box_remove(struct box *b, const struct box_mail *m, struct err *e)
{
	char path[BOX_PATH_MAX];
	struct mail_row row;
	struct folder *f;
	bool good;

	if (!mail_row(b, m->number, &row) || !(f = folder_of_number(b, row.folder)))
		return err_set(
			e, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "this mail is no longer there");
	good = unlinkat(b->directory, maildir_path(f, row.part, row.name, path), 0) == 0;
	if (!good && errno == ENOENT && chase(b, &row))
		good = unlinkat(b->directory, maildir_path(f, row.part, row.name, path), 0) == 0;
	if (!good && errno != ENOENT) {
		folder_fail(e, "the mail cannot be removed");
		return false;
	}
	box_begin(b);
	mail_leave(b, &row);
	box_end(b);
	return true;
}
