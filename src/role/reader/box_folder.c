/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "role/reader/box_core.h"

/*
 * Folders: the Maildir itself is the inbox, each ".A.B" in it that has a cur/ is the folder B of A (Maildir++). What others have renamed is known by
 * its inode and keeps its id. The list lies in memory, in the order of numbers; rows are written when a transaction ends.
 */

static const struct {
	enum box_role role;
	const char *
		path; /* the first of a role that is there has it; the first of all is made when none is */
} roles[] = {
	{ BOX_INBOX, "" },
	{ BOX_DRAFTS, ".Drafts" },
	{ BOX_SENT, ".Sent" },
	{ BOX_SENT, ".Sent Messages" },
	{ BOX_SENT, ".Sent Items" },
	{ BOX_TRASH, ".Trash" },
	{ BOX_TRASH, ".Deleted Messages" },
	{ BOX_TRASH, ".Deleted Items" },
	{ BOX_JUNK, ".Junk" },
	{ BOX_JUNK, ".Spam" },
	{ BOX_ARCHIVE, ".Archive" },
	{ BOX_ARCHIVE, ".Archives" },
};
enum { ROLE_ROWS = sizeof roles / sizeof *roles };

/* ── in memory ── */

struct folder *
folder_of_number(struct box *b, int64_t number)
{
	for (size_t i = 0; i < b->folders_n; i++)
		if (b->folders[i].number == number)
			return &b->folders[i];
	return NULL;
}

struct folder *
folder_of_id(struct box *b, struct str id)
{
	for (size_t i = 0; i < b->folders_n; i++)
		if (str_eq(str_of(b->folders[i].id), id))
			return &b->folders[i];
	return NULL;
}

static struct folder *
folder_of_path(struct box *b, struct str path)
{
	for (size_t i = 0; i < b->folders_n; i++)
		if (str_eq(str_of(b->folders[i].path), path))
			return &b->folders[i];
	return NULL;
}

void
folder_count_anew(struct box *b, struct folder *f)
{
	if (!f)
		return;
	f->counted = index_change(b, BOX_FOLDERS);
	f->has_counts = false;
	f->is_touched = true;
}

static void
give_roles(struct box *b)
{
	bool given[BOX_ROLES] = { false };

	for (size_t i = 0; i < b->folders_n; i++)
		b->folders[i].role = BOX_NO_ROLE;
	for (size_t i = 0; i < ROLE_ROWS; i++) {
		struct folder *f =
			given[roles[i].role] ? NULL : folder_of_path(b, str_of(roles[i].path));

		if (!f)
			continue;
		f->role = roles[i].role;
		given[f->role] = true;
	}
}

static struct folder *
append(struct box *b)
{
	struct folder *grown;

	if (b->folders_n % 64 == 0) {
		grown = realloc(b->folders, (b->folders_n + 64) * sizeof *grown);
		must(grown);
		b->folders = grown;
	}
	b->folders[b->folders_n] = (struct folder){ .watch = { -1, -1 } };
	return &b->folders[b->folders_n++];
}

void
folders_load(struct box *b)
{
	sqlite3_stmt *s = index_ask(b,
		"SELECT number, id, path, inode, made, changed, counted, mtime_new, mtime_cur FROM "
		"folder ORDER BY number",
		"");

	while (index_next(b, s)) {
		struct folder *f = append(b);

		f->number = sqlite3_column_int64(s, 0);
		snprintf(f->id, sizeof f->id, "%.*s", STR_ARG(index_text(s, 1)));
		snprintf(f->path, sizeof f->path, "%.*s", STR_ARG(index_octets(s, 2)));
		f->inode = (ino_t)sqlite3_column_int64(s, 3);
		f->made = sqlite3_column_int64(s, 4);
		f->changed = sqlite3_column_int64(s, 5);
		f->counted = sqlite3_column_int64(s, 6);
		f->mtime_ns[BOX_NEW] = sqlite3_column_int64(s, 7);
		f->mtime_ns[BOX_CUR] = sqlite3_column_int64(s, 8);
	}
	give_roles(b);
}

void
folders_write(struct box *b)
{
	for (size_t i = 0; i < b->folders_n; i++) {
		struct folder *f = &b->folders[i];

		if (f->is_touched)
			index_do(b,
				"UPDATE folder SET path = ?2, inode = ?3, changed = ?4, counted = "
				"?5, mtime_new = ?6, mtime_cur = ?7 WHERE number = ?1",
				"ibiiiii", f->number, str_of(f->path), (int64_t)f->inode,
				f->changed, f->counted, f->mtime_ns[BOX_NEW], f->mtime_ns[BOX_CUR]);
		f->is_touched = false;
	}
}

/* ── finding them ── */

static bool
enter(struct box *b, const char *path, ino_t inode)
{
	unsigned char hash[BOX_HASH];
	char salt[16] = "";
	struct folder *f;

	if (b->folders_n >= BOX_FOLDERS_MAX)
		return false;
	f = append(b);
	snprintf(f->path, sizeof f->path, "%s", path);
	f->inode = inode;
	for (unsigned i = 1; !*f->id || index_number(b, "SELECT number FROM folder WHERE id = ?1",
						"t", str_of(f->id)) >= 0;
		i++) {
		name_hash(str_of(path), str_of(salt), hash);
		name_id('F', hash, f->id);
		snprintf(salt, sizeof salt, "%u",
			i); /* another that was once called so has this id */
	}
	f->made = f->changed = f->counted = index_change(b, BOX_FOLDERS);
	if (!index_do(b,
		    "INSERT INTO folder (id, path, inode, made, changed, counted) VALUES (?1, ?2, "
		    "?3, ?4, ?4, ?4)",
		    "tbii", str_of(f->id), str_of(path), (int64_t)inode, f->made)) {
		b->folders_n--;
		return false;
	}
	f->number = sqlite3_last_insert_rowid(b->db);
	f->is_there = f->is_due = true;
	look_watch(b, f);
	return true;
}

static void
leave(struct box *b, struct folder *f)
{
	sqlite3_stmt *s;
	struct mail_row row;
	int64_t number;

	while ((number = index_number(b, "SELECT number FROM mail WHERE folder = ?1 LIMIT 1", "i",
			f->number)) >= 0 &&
		mail_row(b, number, &row))
		mail_leave(b, &row);
	s = index_ask(b, "DELETE FROM folder WHERE number = ?1", "i", f->number);
	index_next(b, s);
	index_gone(b, BOX_FOLDERS, str_of(f->id), f->made);
	look_unwatch(b, f);
	memmove(f, f + 1, (size_t)(b->folders + b->folders_n - f - 1) * sizeof *f);
	b->folders_n--;
}

static void
renamed(struct box *b, struct folder *f, const char *path)
{
	snprintf(f->path, sizeof f->path, "%s", path);
	f->changed = index_change(b, BOX_FOLDERS);
	f->is_touched = f->is_there = true;
}

/* One that the Maildir has and the list has not: has it moved here? */
static void
found(struct box *b, const char *path, ino_t inode)
{
	struct stat st;

	for (size_t i = 0; i < b->folders_n; i++) {
		struct folder *f = &b->folders[i];

		if (f->inode != inode || !*f->path ||
			(fstatat(b->directory, f->path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
				st.st_ino == inode))
			continue;
		renamed(b, f, path);
		return;
	}
	enter(b, path, inode);
}

static void
find_one(struct box *b, const char *path)
{
	char cur[BOX_PATH_MAX];
	struct folder *f = folder_of_path(b, str_of(path));
	struct stat st;

	snprintf(cur, sizeof cur, "%s%scur", path, *path ? "/" : "");
	if (fstatat(b->directory, cur, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		look_await(b, path);
		return;
	}
	if (!S_ISDIR(st.st_mode) ||
		fstatat(b->directory, *path ? path : ".", &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		!S_ISDIR(st.st_mode))
		return;
	if (!f) {
		found(b, path, st.st_ino);
	} else {
		f->is_there = true;
		f->is_due |= f->inode != st.st_ino;
		f->is_touched |= f->inode != st.st_ino;
		f->inode = st.st_ino;
	}
}

bool
folders_read(struct box *b, struct err *e)
{
	int fd = openat(b->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!d)
		return err_set_errno(e, "%s: cannot be read", b->path);
	for (size_t i = 0; i < b->folders_n; i++)
		b->folders[i].is_there = false;
	find_one(b, "");
	while ((entry = readdir(d)))
		if (entry->d_name[0] == '.' && entry->d_name[1] && entry->d_name[1] != '.')
			find_one(b, entry->d_name);
	closedir(d);
	for (size_t i = b->folders_n; i-- > 0;)
		if (!b->folders[i].is_there)
			leave(b, &b->folders[i]);
	give_roles(b);
	return true;
}

bool
folders_make_roles(struct box *b, struct err *e)
{
	bool has[BOX_ROLES] = { false };

	if (!maildir_make(b, ""))
		return err_set_errno(e, "%s: cannot be made", b->path);
	if (!folders_read(b, e))
		return false;
	for (size_t i = 0; i < b->folders_n; i++)
		has[b->folders[i].role] = true;
	for (size_t i = 0; i < ROLE_ROWS; i++) {
		if (has[roles[i].role])
			continue;
		has[roles[i].role] = true;
		if (!maildir_make(b, roles[i].path))
			return err_set_errno(e, "%s/%s: cannot be made", b->path, roles[i].path);
	}
	return folders_read(b, e);
}

/* ── telling of them ── */

/* The nearest folder above that is there; *rest: what stands behind it. */
static struct folder *
parent_of(struct box *b, const struct folder *f, struct str *rest)
{
	struct str path = str_of(f->path);
	size_t n = path.n;

	while (n > 1) {
		struct folder *above;

		while (n > 1 && path.p[n - 1] != '.')
			n--;
		above = n > 1 ? folder_of_path(b, str_part(path, 0, n - 1)) : NULL;
		*rest = str_from(path, n);
		if (above)
			return above;
		n--;
	}
	*rest = str_from(path, path.n ? 1 : 0);
	return NULL;
}

/* Both numbers of mails and of threads, in one pass over an index of the folder. */
static void
count(struct box *b, struct folder *f)
{
	static const char sql[] = "SELECT count(*), count(*) FILTER (WHERE flags & 9 = 0), "
				  "count(DISTINCT thread) FROM mail WHERE folder = ?1";
	sqlite3_stmt *s = index_ask(b, sql, "i", f->number);

	if (!index_next(b, s))
		return;
	f->total = (uint32_t)sqlite3_column_int64(s, 0);
	f->unread = (uint32_t)sqlite3_column_int64(s, 1);
	f->threads = (uint32_t)sqlite3_column_int64(s, 2);
	index_done(s);
	/* A thread counts as unread wherever in the box its unread mail lies: RFC 8621 §2. */
	f->unread_threads = (uint32_t)index_number(b,
		"SELECT count(*) FROM (SELECT DISTINCT thread FROM mail WHERE flags & 9 = 0) u"
		" WHERE EXISTS (SELECT 1 FROM mail m WHERE m.thread = u.thread AND m.folder = ?1)",
		"i", f->number);
	f->has_counts = !b->is_broken;
}

static bool
tell(struct box *b, struct folder *f, struct arena *arena, struct box_folder *to)
{
	struct buf name = { .max = 4096 };
	struct str rest = { 0 };
	struct folder *above = parent_of(b, f, &rest);
	bool good;

	if (!f->has_counts)
		count(b, f);
	*to = (struct box_folder){ .number = f->number,
		.role = f->role,
		.total = f->total,
		.unread = f->unread,
		.threads = f->threads,
		.unread_threads = f->unread_threads };
	if (*f->path)
		name_from_mutf7(rest, &name);
	else
		buf_add(&name, S("Inbox"));
	good = arena_dup(arena, str_of(f->id), &to->id) &&
	       arena_dup(arena, buf_str(&name), &to->name) &&
	       (!above || arena_dup(arena, str_of(above->id), &to->parent));
	buf_free(&name);
	return good;
}

size_t
box_folders(struct box *b, struct arena *arena, struct box_folder **list)
{
	size_t n = 0;

	*list = arena_take(arena, (b->folders_n + 1) * sizeof **list);
	while (*list && n < b->folders_n && tell(b, &b->folders[n], arena, &(*list)[n]))
		n++;
	return n;
}

bool
box_folder(struct box *b, struct str id, struct arena *arena, struct box_folder *f)
{
	struct folder *found = folder_of_id(b, id);

	return found && tell(b, found, arena, f);
}

bool
box_folder_of_role(struct box *b, enum box_role role, struct arena *arena, struct box_folder *f)
{
	for (size_t i = 0; i < b->folders_n; i++)
		if (b->folders[i].role == role)
			return tell(b, &b->folders[i], arena, f);
	return false;
}

/* ── changing them ── */

void
folder_fail(struct err *e, const char *what)
{
	int cause = errno;

	err_set_errno(e, "%s", what);
	if (cause == ENOSPC || cause == EDQUOT)
		e->kind = ERR_NO_SPACE;
}

/* The directory's name of a folder of this name under `parent`. */
static bool
path_for(struct box *b, struct str parent, struct str name, char path[BOX_NAME_MAX], struct err *e)
{
	struct buf coded = { .max = BOX_NAME_MAX - 1 };
	struct folder *above = parent.n ? folder_of_id(b, parent) : NULL;
	bool good;

	if (parent.n && !above)
		return err_set(e, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN,
			"there is no such folder to put it in");
	if (above)
		buf_add(&coded, str_of(above->path));
	buf_add_char(&coded, '.');
	good = name_to_mutf7(name, &coded);
	if (good)
		snprintf(path, BOX_NAME_MAX, "%.*s", STR_ARG(buf_str(&coded)));
	buf_free(&coded);
	if (!good || str_eq_nocase(str_of(path), S(".Inbox")))
		return err_set(e, ERR_PERMANENT, ERR_MAILBOX_NAME, "no folder can have this name");
	if (folder_of_path(b, str_of(path)))
		return err_set(
			e, ERR_PERMANENT, ERR_MAILBOX_NAME, "there is such a folder already");
	return true;
}

bool
box_folder_make(struct box *b, struct str parent, struct str name, struct arena *arena,
	struct str *id, struct err *e)
{
	char path[BOX_NAME_MAX] = "";
	struct folder *f;

	if (b->folders_n >= BOX_FOLDERS_MAX)
		return err_set(e, ERR_PERMANENT, ERR_NO_SPACE, "there are too many folders");
	if (!path_for(b, parent, name, path, e))
		return false;
	if (!maildir_make(b, path)) {
		folder_fail(e, "the folder cannot be made");
		return false;
	}
	box_begin(b);
	find_one(b, path);
	give_roles(b);
	box_end(b);
	f = folder_of_path(b, str_of(path));
	return (f && arena_dup(arena, str_of(f->id), id)) ||
	       err_set(e, ERR_TEMPORARY, ERR_LOCAL, "the index does not take the folder");
}

static bool
is_below(const struct folder *f, const struct folder *above)
{
	struct str path = str_of(above->path);

	return f != above && str_starts(str_of(f->path), path) && f->path[path.n] == '.';
}

/* With all that are below it. Directories are renamed one by one: what a power cut leaves half done is found as it is. */
static bool
rename_all(struct box *b, struct folder *f, const char *path, struct err *e)
{
	size_t n = strlen(f->path);
	char old[BOX_NAME_MAX], next[BOX_NAME_MAX * 2];

	memcpy(old, f->path, n + 1);
	for (size_t i = 0; i < b->folders_n; i++)
		if (is_below(&b->folders[i], f) &&
			strlen(path) + strlen(b->folders[i].path) - n >= BOX_NAME_MAX)
			return err_set(e, ERR_PERMANENT, ERR_MAILBOX_NAME,
				"the name is too long for a folder below it");
	for (size_t i = 0; i < b->folders_n; i++) {
		struct folder *at = &b->folders[i];

		if (!str_starts(str_of(at->path), str_of(old)) ||
			(at->path[n] && at->path[n] != '.'))
			continue;
		snprintf(next, sizeof next, "%s%s", path, at->path + n);
		if (renameat2(b->directory, at->path, b->directory, next, RENAME_NOREPLACE) != 0) {
			folder_fail(e, "the folder cannot be renamed");
			return false;
		}
		renamed(b, at, next);
	}
	return maildir_sync(b, ".") || (folder_fail(e, "the folder cannot be renamed"), false);
}

bool
box_folder_rename(struct box *b, struct str id, struct str parent, struct str name, struct err *e)
{
	struct folder *f = folder_of_id(b, id), *above = parent.n ? folder_of_id(b, parent) : NULL;
	char path[BOX_NAME_MAX] = "";
	bool good;

	if (!f)
		return err_set(e, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "there is no such folder");
	if (f->role != BOX_NO_ROLE)
		return err_set(e, ERR_PERMANENT, ERR_REFUSED, "this folder has a role");
	if (above && (above == f || is_below(above, f)))
		return err_set(
			e, ERR_PERMANENT, ERR_MAILBOX_NAME, "a folder cannot be inside itself");
	if (!path_for(b, parent, name, path, e))
		return false;
	box_begin(b);
	good = rename_all(b, f, path, e);
	give_roles(b);
	box_end(b);
	return good;
}

/* A directory of files goes; with those in it, when it is so wished. */
static bool
remove_part(struct box *b, const char *path, bool with_files)
{
	int fd = !with_files ? -1
			     : openat(b->directory, path,
				       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		unlinkat(fd, entry->d_name, 0);
	if (d)
		closedir(d);
	return unlinkat(b->directory, path, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

static bool
remove_directory(struct box *b, const char *path, bool with_mails)
{
	static const char *const inside[] = { "new", "cur", "tmp" };
	char part[BOX_PATH_MAX];

	for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
		snprintf(part, sizeof part, "%s/%s", path, inside[i]);
		if (!remove_part(b, part, with_mails || i == 2))
			return false;
	}
	return remove_part(b, path, true) && maildir_sync(b, ".");
}

bool
box_folder_remove(struct box *b, struct str id, bool with_mails, struct err *e)
{
	struct folder *f = folder_of_id(b, id);
	bool good;

	if (!f)
		return err_set(e, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "there is no such folder");
	if (f->role != BOX_NO_ROLE)
		return err_set(e, ERR_PERMANENT, ERR_REFUSED, "this folder has a role");
	for (size_t i = 0; i < b->folders_n; i++)
		if (is_below(&b->folders[i], f))
			return err_set(
				e, ERR_PERMANENT, ERR_MAILBOX_BUSY, "there are folders below it");
	good = remove_directory(b, f->path, with_mails);
	if (!good && (errno == ENOTEMPTY || errno == EEXIST))
		err_set(e, ERR_PERMANENT, ERR_MAILBOX_BUSY, "there are mails in it");
	else if (!good)
		folder_fail(e, "the folder cannot be removed");
	box_begin(b);
	if (good)
		leave(b, f);
	else
		maildir_make(b, f->path); /* what is left of it is a folder still */
	give_roles(b);
	box_end(b);
	return good;
}
