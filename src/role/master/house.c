/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/house.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "role/state.h"
#include "role/user.h"

enum { DEPTH_MAX = 16 }; /* a mailbox is four deep */

/* ── handing over ── */

struct giving {
	uid_t former;
	const struct master_user *to;
	unsigned given;
	bool has_failed;
};

/* One entry, by a descriptor that names it and nothing else, so that nobody can put a link in its place meanwhile. A file with a
 * second name may be anybody's: it stays. Returns a directory to go into, or NULL. */
static DIR *
give_entry(struct giving *g, int directory, const char *name)
{
	int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), inside = -1;
	struct stat st;

	if (fd < 0) {
		g->has_failed |= errno != ENOENT;
		return NULL;
	}
	if (fstat(fd, &st) != 0) {
		g->has_failed = true;
	} else if (st.st_uid == g->former && (S_ISDIR(st.st_mode) || st.st_nlink == 1)) {
		g->has_failed |= fchownat(fd, "", g->to->uid, g->to->gid, AT_EMPTY_PATH) != 0;
		g->given++;
	}
	if (!g->has_failed && S_ISDIR(st.st_mode))
		inside = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	close(fd);
	return inside >= 0 ? fdopendir(inside) : NULL;
}

/* All below; takes the descriptor. */
static bool
give_below(struct giving *g, int top)
{
	DIR *path[DEPTH_MAX] = { fdopendir(top) };
	int depth = path[0] ? 0 : -1;

	g->has_failed = depth < 0;
	while (depth >= 0) {
		struct dirent *entry = g->has_failed ? NULL : readdir(path[depth]);
		DIR *into = NULL;

		if (!entry) {
			closedir(path[depth--]);
			continue;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			into = give_entry(g, dirfd(path[depth]), entry->d_name);
		if (into && depth + 1 < DEPTH_MAX)
			path[++depth] = into;
		else if (into)
			closedir(into);
	}
	return !g->has_failed;
}

/* The directory itself comes last: a hand-over that was broken off begins again. */
static bool
give(const char *path, const struct master_user *to, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct giving g = { .to = to };
	struct stat st;
	bool good = true;

	if (fd < 0)
		return err_set_errno(e, "%s: cannot be opened", path);
	if (fstat(fd, &st) == 0 && st.st_uid != to->uid) {
		g.former = st.st_uid;
		good = (give_below(&g, dup(fd)) && fchown(fd, to->uid, to->gid) == 0) ||
		       err_set_errno(e, "%s: cannot be handed over to user %u", path, to->uid);
	}
	if (g.given > 0)
		log_event("handed-over", "path=%s entries=%u from=%u to=%u",
			log_quote(str_of(path)), g.given, (unsigned)g.former, to->uid);
	close(fd);
	return good;
}

/* ── making ── */

/* With its parents, each synced into the one above: what lies in it shall not go with it in a power cut. */
static bool
make_directory(const char *path, struct err *e)
{
	char part[1024];
	size_t n = strlen(path);

	for (size_t i = 1; i <= n && i < sizeof part; i++) {
		size_t up;
		int above;

		if (i < n && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, i == n ? 0700 : 0755) != 0) {
			if (errno == EEXIST)
				continue;
			return err_set_errno(e, "%s: cannot be made", part);
		}
		up = (size_t)(strrchr(part, '/') - part);
		part[up ? up : 1] = 0;
		above = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (above < 0 || fsync(above) != 0)
			err_set_errno(e, "%s: cannot be synced", part);
		if (above >= 0)
			close(above);
		if (err_is(e))
			return false;
	}
	return true;
}

static bool
prepare_one(const char *path, const struct master_user *to, struct err *e)
{
	if (!make_directory(path, e))
		return false;
	if (!to->is_set)
		return true;
	if (!give(path, to, e))
		return false;
	return user_may_write(&(struct sandbox_user){ to->uid, to->gid }, path) ||
	       err_set(e, ERR_PERMANENT, ERR_LOCAL,
		       "%s: the user %u of its role cannot get there: open the directories above "
		       "to "
		       "all (chmod o+x), choose another place, or write users = \"\"",
		       path, to->uid);
}

bool
house_prepare(const struct master_plan *plan, struct err *e)
{
	char vault[STATE_PATH_MAX], mail[STATE_PATH_MAX];
	struct str state = str_of(plan->state);

	snprintf(mail, sizeof mail, "%s/mail", plan->state);
	return state_make_vault(state, e) &&
	       prepare_one(state_vault(state, vault), &plan->users[MASTER_VAULT], e) &&
	       prepare_one(mail, &plan->users[MASTER_STORE], e) &&
	       prepare_one(plan->spool, &plan->users[MASTER_QUEUE], e);
}

void
house_prepare_mail(const struct master_plan *plan)
{
	const struct master_user *store = &plan->users[MASTER_STORE];

	for (uint32_t i = 0; i < plan->mail_roots_n; i++) {
		const char *root = plan->mail_roots[i];
		struct err e = { 0 };

		if (access(root, F_OK) != 0 &&
			(!make_directory(root, &e) || (store->is_set && !give(root, store, &e))))
			log_event("no-mailboxes", "why=%s", log_quote(str_of(e.text)));
		else if (store->is_set &&
			 !user_may_write(&(struct sandbox_user){ store->uid, store->gid }, root))
			log_event("no-mailboxes", "path=%s user=%u want=may-write",
				log_quote(str_of(root)), store->uid);
	}
}
