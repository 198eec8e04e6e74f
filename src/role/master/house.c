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

/* ── the state directory ── */

static bool make_directory(const char *path, mode_t mode, struct err *e);

bool
house_prepare_state(const char *state, struct err *e)
{
	struct stat st;

	if (!make_directory(state, 0711, e))
		return false;
	if (stat(state, &st) != 0)
		return err_set_errno(e, "%s", state);
	if (st.st_uid != geteuid())
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"%s belongs to user %u: start the station as that user, or make it yours "
			"(chown %u %s)",
			state, st.st_uid, geteuid(), state);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"%s may be written by others: take that away (chmod go-w %s), or choose "
			"another `state`",
			state, state);
	return true;
}

/* ── what a station leaves ── */

struct place {
	const char *path;
	const struct master_user *user;
	const char *option;
	const char *const *names; /* what a station keeps there, up to NULL */
	bool is_ours;		  /* whatever lies there */
};

static const char *const names_of_spool[] = { "format", "lock", "seg", "big", "fate", "history",
	"suspensions", "new", NULL };
static const char *const names_of_vault[] = { "users.db", "users.db-journal", "token.key",
	"token.key.new", "sessions.db", "sessions.db-journal", "self-signed.pem",
	"self-signed.pem.new", NULL };
static const char *const no_names[] = { NULL };

/* "lost+found" is the file system's own, and stays root's. */
static bool
is_not_to_be_given(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0;
}

static bool
is_known(const struct place *p, const char *name)
{
	for (const char *const *known = p->names; *known; known++)
		if (strcmp(*known, name) == 0)
			return true;
	return p->is_ours || is_not_to_be_given(name);
}

/* Takes the descriptor. */
static bool
check_names(const struct place *p, int top, struct err *e)
{
	DIR *directory = fdopendir(top);
	struct dirent *entry;
	bool good = true;

	if (!directory)
		return err_set_errno(e, "%s: cannot be read", p->path);
	rewinddir(directory);
	while (good && (entry = readdir(directory)))
		good = is_known(p, entry->d_name) ||
		       err_set(e, ERR_PERMANENT, ERR_LOCAL,
			       "%s: %s there was not made by a station, so nothing is handed over "
			       "to user %u: choose an empty directory for `%s`",
			       p->path, log_quote(str_of(entry->d_name)), p->user->uid, p->option);
	closedir(directory);
	return good;
}

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
	if (path[0])
		rewinddir(path[0]);
	while (depth >= 0) {
		struct dirent *entry = g->has_failed ? NULL : readdir(path[depth]);
		DIR *into = NULL;

		if (!entry) {
			closedir(path[depth--]);
			continue;
		}
		if (!is_not_to_be_given(entry->d_name))
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
give(const struct place *p, struct err *e)
{
	const struct master_user *to = p->user;
	int fd = open(p->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct giving g = { .to = to };
	struct stat st;
	bool good = true;

	if (fd < 0)
		return err_set_errno(e, "%s: cannot be opened", p->path);
	if (fstat(fd, &st) == 0 && st.st_uid != to->uid) {
		g.former = st.st_uid;
		good = check_names(p, dup(fd), e) &&
		       ((give_below(&g, dup(fd)) && fchown(fd, to->uid, to->gid) == 0) ||
			       err_set_errno(e, "%s: cannot be handed over to user %u", p->path,
				       to->uid));
	}
	if (g.given > 0)
		log_event("handed-over", "path=%s entries=%u from=%u to=%u",
			log_quote(str_of(p->path)), g.given, (unsigned)g.former, to->uid);
	close(fd);
	return good;
}

/* ── making ── */

/* With its parents, each synced into the one above: what lies in it shall not go with it in a power cut. The modes are meant,
 * whatever our umask is. */
static bool
make_directory(const char *path, mode_t mode, struct err *e)
{
	char part[1024];
	size_t n = strlen(path);

	for (size_t i = 1; i <= n && i < sizeof part; i++) {
		mode_t own = i == n ? mode : 0755;
		size_t up;
		int above;

		if (i < n && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, own) != 0) {
			if (errno == EEXIST)
				continue;
			return err_set_errno(e, "%s: cannot be made", part);
		}
		if (fchmodat(AT_FDCWD, part, own, 0) != 0)
			return err_set_errno(e, "%s: cannot be opened to others", part);
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

/* Who is not root gives nothing away: what is here must let us write. */
static bool
prepare_as_ordinary(const char *path, struct err *e)
{
	struct stat st;

	if (access(path, W_OK | X_OK) == 0)
		return true;
	if (errno != EACCES || stat(path, &st) != 0 || st.st_uid == geteuid())
		return err_set_errno(e, "%s: cannot be written", path);
	return err_set(e, ERR_PERMANENT, ERR_LOCAL,
		"%s belongs to user %u: start the station as that user, or give it to user %u "
		"(chown -R %u %s)",
		path, st.st_uid, geteuid(), geteuid(), path);
}

static bool
prepare_one(const struct place *p, struct err *e)
{
	static const struct master_user root = { .is_set = false };
	struct place back = *p;

	if (!make_directory(p->path, 0700, e))
		return false;
	if (geteuid() != 0)
		return prepare_as_ordinary(p->path, e);
	if (!p->user->is_set) {
		back.user = &root;
		return give(&back, e);
	}
	return give(p, e) &&
	       user_may_write(&(struct sandbox_user){ p->user->uid, p->user->gid }, p->path, e);
}

/* Accounts are there: what lies beside them is a station's. */
static bool
has_lived(const char *state)
{
	char accounts[STATE_PATH_MAX];
	struct stat st;

	snprintf(accounts, sizeof accounts, "%s/vault/users.db", state);
	return lstat(accounts, &st) == 0 && S_ISREG(st.st_mode);
}

bool
house_prepare(const struct master_plan *plan, struct err *e)
{
	char vault[STATE_PATH_MAX], mail[STATE_PATH_MAX];
	struct str state = str_of(plan->state);
	const struct place places[] = {
		{ state_vault(state, vault), &plan->users[MASTER_VAULT], "state", names_of_vault,
			false },
		{ mail, &plan->users[MASTER_STORE], "state", no_names, has_lived(plan->state) },
		{ plan->spool, &plan->users[MASTER_QUEUE], "spool", names_of_spool, false },
	};

	if (geteuid() == 0 && !sandbox_is_built())
		log_event("no-isolation",
			"user=0 why=\"built with -Disolation=false: every role has all rights of "
			"root\"");
	snprintf(mail, sizeof mail, "%s/mail", plan->state);
	if (!state_make_vault(state, e))
		return false;
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		if (!prepare_one(&places[i], e))
			return false;
	return true;
}

void
house_prepare_mail(const struct master_plan *plan)
{
	const struct master_user *store = &plan->users[MASTER_STORE];
	const struct sandbox_user user = { store->uid, store->gid };

	for (uint32_t i = 0; i < plan->mail_roots_n; i++) {
		const struct place root = { plan->mail_roots[i], store, "mailboxes", no_names,
			false };
		bool is_new = access(root.path, F_OK) != 0;
		struct err e = { 0 };

		if ((is_new && !make_directory(root.path, 0700, &e)) ||
			(is_new && store->is_set && !give(&root, &e)) ||
			(store->is_set && !user_may_write(&user, root.path, &e)))
			log_event("no-mailboxes", "why=%s do=\"chown -R %u %s\"",
				log_quote(str_of(e.text)), (unsigned)store->uid, root.path);
	}
}
