/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/box.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "role/reader/box_core.h"

/*
 * The box as a whole. What lies below it, each with its own law at its head:
 *
 *   box_look.c      what others did to the files       box_index.c   SQLite, the schema
 *   box_maildir.c   files: read, add, change           box_mail.c    mails in the index
 *   box_folder.c    directories                        box_thread.c  box_contact.c
 *   box_name.c      their names                        box_words.c   text for search
 *   box_change.c    what changed since                 box_query.c   filters and orders
 */

static bool
open_directory(struct box *b, struct err *e)
{
	struct stat st;

	if (mkdir(b->path, 0700) != 0 && errno != EEXIST)
		return err_set_errno(e, "%s: cannot be made", b->path);
	b->directory = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->directory < 0 || fstat(b->directory, &st) != 0)
		return err_set_errno(e, "%s: cannot be opened", b->path);
	return true;
}

static bool
open_index(struct box *b, struct err *e)
{
	bool good;

	if (!index_open(b, e))
		return false;
	look_open(b);
	box_begin(b);
	folders_load(b);
	good = folders_make_roles(b, e);
	box_end(b);
	return good;
}

static void
close_index(struct box *b)
{
	look_close(b);
	index_close(b);
	free(b->folders);
	b->folders = NULL;
	b->folders_n = 0;
}

bool
box_open(struct box **b, struct str directory, struct err *e)
{
	*b = calloc(1, sizeof **b);
	must(*b);
	(*b)->directory = (*b)->queue = (*b)->inotify = -1;
	(*b)->path = strndup(directory.p, directory.n);
	must((*b)->path);
	if (directory.n > BOX_PATH_MAX - 64)
		err_set(e, ERR_PERMANENT, ERR_MAILBOX_NAME, "the mailbox's path is too long");
	else if (open_directory(*b, e) && open_index(*b, e))
		return true;
	box_close(b);
	return false;
}

void
box_close(struct box **b)
{
	if (!*b)
		return;
	close_index(*b);
	if ((*b)->queue >= 0)
		close((*b)->queue);
	if ((*b)->directory >= 0)
		close((*b)->directory);
	free((*b)->path);
	free(*b);
	*b = NULL;
}

/* What an index that has broken had not written yet is found again. */
bool
box_look(struct box *b, int64_t budget_ms, struct err *e)
{
	bool good;

	must(b->depth == b->is_filling);
	if (b->is_broken || !b->db) {
		close_index(b);
		if (b->is_spoiled)
			index_delete(b);
		if (!open_index(b, e))
			return false;
	}
	good = look_files(b, budget_ms, e);
	return b->is_broken
		       ? err_set(e, ERR_TEMPORARY, ERR_NO_SPACE, "the index takes nothing more")
		       : good;
}

bool
box_is_broken(const struct box *b)
{
	return b->is_broken || !b->db;
}

bool
box_is_whole(const struct box *b)
{
	return b->is_whole;
}
