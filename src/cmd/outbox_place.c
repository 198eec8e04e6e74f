/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/outbox_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

/*
 * Where an outbox may be: a person's home first, then what an administrator made for services without one, then /var/tmp. What is kept
 * there are letters, so no directory is taken whose name somebody else could have taken before, and none is made behind a symlink.
 */

bool
outbox_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool
is_own_directory(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static bool
sync_parent(const char *path)
{
	char parent[OUTBOX_PATH];

	snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
	/* one where this person may write but not read holds nothing to sync by; the file is safe, its name most probably */
	return outbox_sync(parent) || errno == EACCES;
}

/* Of this person alone, now or before. Where a symlink or somebody else's directory has the name, nothing is made behind it. */
static bool
make_directory(const char *path, struct err *e)
{
	if (mkdir(path, 0700) == 0)
		return sync_parent(path) || err_set_errno(e, "%s", path);
	if (errno != EEXIST)
		return err_set_errno(e, "%s", path);
	return is_own_directory(path) ||
	       err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s: this is no directory of yours", path);
}

/* All that is missing of a path, behind its first octets. */
static bool
make_directories(const char *path, size_t base, struct err *e)
{
	const char *slash = path + base;
	char part[OUTBOX_PATH];

	while (*slash) {
		slash = strchrnul(slash + 1, '/');
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		if (!make_directory(part, e))
			return false;
	}
	return true;
}

/* Whoever keeps $HOME of another person (sudo) leaves nothing there. */
static bool
find_home(bool makes, char base[OUTBOX_PATH], struct err *e)
{
	const char *home = secure_getenv("HOME");
	const struct passwd *person;

	(void)makes;
	if (!home || *home != '/' || !is_own_directory(home)) {
		person = getpwuid(geteuid());
		home = person && is_own_directory(person->pw_dir) ? person->pw_dir : NULL;
	}
	return (home && snprintf(base, OUTBOX_PATH, "%s", home) < OUTBOX_PATH) ||
	       err_set(e, ERR_TEMPORARY, ERR_LOCAL, "there is no home for an outbox");
}

/* The same of $XDG_STATE_HOME, which need not be there yet. */
static bool
find_state_home(bool makes, char base[OUTBOX_PATH], struct err *e)
{
	const char *state = secure_getenv("XDG_STATE_HOME");

	if (!state || *state != '/' || snprintf(base, OUTBOX_PATH, "%s", state) >= OUTBOX_PATH)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "there is no home for an outbox");
	if (makes) {
		char parent[OUTBOX_PATH];

		snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(base, '/') - base), base);
		if (is_own_directory(parent) && mkdir(base, 0700) == 0)
			outbox_sync(parent);
	}
	return is_own_directory(base) ||
	       err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s: this is no directory of yours", base);
}

/* An administrator's, for services without a home: each user makes a directory there, and nobody else's can be removed or listed. */
static bool
find_spool(bool makes, char base[OUTBOX_PATH], struct err *e)
{
	static const char spool[] = "/var/spool/posthouse-outbox";
	struct stat st;

	if (lstat(spool, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0 ||
		!(st.st_mode & S_ISVTX))
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "there is no %s", spool);
	snprintf(base, OUTBOX_PATH, "%s/%u", spool, (unsigned)geteuid());
	return !makes || make_directory(base, e);
}

/* A /var/tmp that a service has for itself (systemd's PrivateTmp) goes with the service, and all that is kept there. */
static bool
is_of_service(void)
{
	int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	struct buf text = { .max = 1 << 20 };
	struct str rest, line;
	bool is = false;

	if (fd < 0)
		return false;
	file_read_all(fd, &text);
	close(fd);
	for (rest = buf_str(&text); scan_until(&rest, '\n', &line);)
		is |= memmem(line.p, line.n, " /var/tmp ", 10) &&
		      memmem(line.p, line.n, "systemd-private", 15);
	buf_free(&text);
	return is;
}

/* One that was made because somebody else had taken the name. */
static bool
find_other_name(char base[OUTBOX_PATH])
{
	DIR *d = opendir("/var/tmp");
	bool is_found = false;
	char prefix[64];

	if (!d)
		return false;
	snprintf(prefix, sizeof prefix, "posthouse-%u.", (unsigned)geteuid());
	for (struct dirent *entry; !is_found && (entry = readdir(d));) {
		if (!str_starts(str_of(entry->d_name), str_of(prefix)))
			continue;
		snprintf(base, OUTBOX_PATH, "/var/tmp/%s", entry->d_name);
		is_found = is_own_directory(base);
	}
	closedir(d);
	return is_found;
}

static bool
find_temporary(bool makes, char base[OUTBOX_PATH], struct err *e)
{
	unsigned user = geteuid();
	struct stat st;

	if (makes && is_of_service())
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL,
			"/var/tmp is this service's own, and goes with it: an administrator makes "
			"/var/spool/posthouse-outbox (mode 1733)");
	snprintf(base, OUTBOX_PATH, "/var/tmp/posthouse-%u", user);
	if (makes && mkdir(base, 0700) < 0 && errno != EEXIST)
		return err_set_errno(e, "%s", base);
	if (lstat(base, &st) < 0)
		return err_set_errno(e, "%s", base);
	if (st.st_uid == user || find_other_name(base))
		return true;
	snprintf(base, OUTBOX_PATH, "/var/tmp/posthouse-%u.XXXXXX", user);
	return (makes && mkdtemp(base)) || err_set_errno(e, "%s", base);
}

/* The best first. */
static const struct place {
	bool (*find_base)(bool makes, char base[OUTBOX_PATH], struct err *e);
	const char *within;
} places[OUTBOX_PLACES] = {
	{ find_state_home, "/posthouse/outbox" },
	{ find_home, "/.local/state/posthouse/outbox" },
	{ find_spool, "" },
	{ find_temporary, "" },
};

/* $XDG_STATE_HOME may be where it is without it. */
static bool
was_before(unsigned which, const struct stat *st)
{
	char path[OUTBOX_PATH];
	struct stat other;
	struct err e;

	while (which-- > 0)
		if (outbox_place(which, false, path, &e) && lstat(path, &other) == 0 &&
			other.st_dev == st->st_dev && other.st_ino == st->st_ino)
			return true;
	return false;
}

bool
outbox_place(unsigned which, bool makes, char path[OUTBOX_PATH], struct err *e)
{
	const struct place *place = &places[which];
	char refused[OUTBOX_PATH];
	struct stat st;
	size_t base;

	if (!place->find_base(makes, path, e))
		return false;
	base = strlen(path);
	if (base >= OUTBOX_PATH - 200)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "the path of your home is too long");
	snprintf(path + base, OUTBOX_PATH - base, "%s", place->within);
	outbox_refused(refused, path);
	if (makes && !make_directories(refused, base, e))
		return false;
	if (lstat(path, &st) < 0)
		return err_set_errno(e, "%s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & (S_IRWXG | S_IRWXO))
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL,
			"%s: this is no directory of yours alone (chmod 700)", path);
	if (was_before(which, &st))
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s: it stands before", path);
	return true;
}

void
outbox_refused(char refused[OUTBOX_PATH], const char *outbox)
{
	snprintf(refused, OUTBOX_PATH, "%.*s/refused", OUTBOX_PATH - 100, outbox);
}
