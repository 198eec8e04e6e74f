/* SPDX-License-Identifier: Apache-2.0 */
#include "role/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

const char *
state_vault(struct str state, char path[STATE_PATH_MAX])
{
	snprintf(path, STATE_PATH_MAX, "%.*s/vault", STR_ARG(state));
	return path;
}

/* The journal goes before its database: whoever finds the database finds what belongs to it. */
static bool
move_older(int state, int vault)
{
	static const char *const names[] = { "users.db-journal", "users.db", "token.key" };
	bool has_moved = false;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (faccessat(vault, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		if (renameat(state, names[i], vault, names[i]) == 0)
			has_moved = true;
		else if (errno != ENOENT)
			return false;
	}
	return !has_moved || (fsync(vault) == 0 && fsync(state) == 0);
}

bool
state_make_vault(struct str state, struct err *e)
{
	char path[STATE_PATH_MAX], above[STATE_PATH_MAX];
	int from, to;
	bool good;

	snprintf(above, sizeof above, "%.*s", STR_ARG(state));
	if (mkdir(state_vault(state, path), 0700) != 0 && errno != EEXIST)
		return err_set_errno(e, "%s: cannot be made", path);
	from = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 &&
		errno ==
			EACCES) /* only master's user lists it; then nothing is to be moved by us */
		return true;
	to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	good = (from >= 0 && to >= 0 && move_older(from, to)) ||
	       err_set_errno(e, "%s: accounts cannot be moved here", path);
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return good;
}
