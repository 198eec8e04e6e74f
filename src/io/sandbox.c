/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "base/must.h"

#ifndef POSTHOUSE_ISOLATION
#define POSTHOUSE_ISOLATION 1
#endif

bool
sandbox_is_built(void)
{
	return POSTHOUSE_ISOLATION;
}

bool
sandbox_is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || \
	__has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
	return true;
#else
	return false;
#endif
#else
	return false;
#endif
}

/* ── between fork and exec ── */

static bool
write_file(const char *path, const char *text, size_t n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, n) == (ssize_t)n;

	if (fd >= 0)
		close(fd);
	return good;
}

/* In the new user namespace of an ordinary user he is who he was. */
static void
map_ourselves(uid_t uid, gid_t gid)
{
	char line[64];
	int n;

	write_file("/proc/self/setgroups", "deny", 4);
	n = snprintf(line, sizeof line, "%u %u 1", (unsigned)uid, (unsigned)uid);
	write_file("/proc/self/uid_map", line, (size_t)n);
	n = snprintf(line, sizeof line, "%u %u 1", (unsigned)gid, (unsigned)gid);
	write_file("/proc/self/gid_map", line, (size_t)n);
}

/* A network without any host, even our own, as an ordinary user has it: in a user namespace. Who may not (a container, a strict
 * kernel) goes without: seccomp still keeps sockets from being made. */
static void
leave_network_as_user(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	prctl(PR_SET_DUMPABLE, 1, 0, 0,
		0); /* or the maps are not ours after a change of user; exec decides anew */
	if (uid != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
		map_ourselves(uid, gid);
}

static bool
drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	return syscall(SYS_capset, &head, none) == 0;
}

bool
sandbox_shed(const struct sandbox_user *user, unsigned may)
{
	bool has_left;

	if (!sandbox_is_built())
		return true;
	has_left = (may & (SANDBOX_DIALS | SANDBOX_ASKS)) ||
		   unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) == 0;
	for (unsigned long i = 0; i < 64; i++) /* or root would have them again after exec */
		prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	if (user && (setgroups(0, NULL) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
			    setresuid(user->uid, user->uid, user->uid) != 0))
		return false;
	if (!has_left)
		leave_network_as_user();
	return drop_capabilities() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* ── files: Landlock ──
 * By system call, since no C library has them. The header of the system may be older than its kernel: the bits are ours, with the
 * ABI that brought them. */

enum { RULESET_VERSION = 1, RULE_PATH_BENEATH = 1, ABI_LEAST = 2 };

#define FS_EXECUTE    (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE  (1ULL << 2)
#define FS_READ_DIR   (1ULL << 3)
#define FS_REMOVE_DIR (1ULL << 4)
#define FS_REMOVE     (1ULL << 5)
#define FS_MAKE_DIR   (1ULL << 7)
#define FS_MAKE_REG   (1ULL << 8)
#define FS_FIRST      ((1ULL << 13) - 1) /* all of ABI 1 */
#define FS_REFER      (1ULL << 13)	 /* 2: renames from one directory to another */
#define FS_TRUNCATE   (1ULL << 14)	 /* 3 */
#define FS_IOCTL_DEV  (1ULL << 15)	 /* 5 */
#define NET_BIND_TCP  (1ULL << 0)	 /* 4 */
#define NET_CONNECT   (1ULL << 1)	 /* 4 */
#define SCOPE_UNIX    (1ULL << 0)	 /* 6: abstract sockets of others */
#define SCOPE_SIGNAL  (1ULL << 1)	 /* 6: signals to others */

struct ruleset {
	uint64_t fs, net, scoped;
};

struct __attribute__((packed)) rule {
	uint64_t allowed;
	int32_t parent;
};

static struct ruleset
ruleset_of(int abi, unsigned may)
{
	struct ruleset r = { .fs = FS_FIRST | FS_REFER };

	if (abi >= 3)
		r.fs |= FS_TRUNCATE;
	if (abi >= 5)
		r.fs |= FS_IOCTL_DEV;
	if (abi >= 4 && !(may & SANDBOX_DIALS)) /* ports are no limit for who dials */
		r.net = NET_BIND_TCP | NET_CONNECT;
	if (abi >= 6)
		r.scoped = SCOPE_UNIX | SCOPE_SIGNAL;
	return r;
}

static bool
allow_path(int ruleset, const struct ruleset *r, const struct sandbox_path *path, struct err *e)
{
	const uint64_t of_files = FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE;
	struct rule rule = { .allowed = FS_READ_FILE | FS_READ_DIR };
	char name[1024];
	struct stat st;
	bool good;

	if (path->path.n >= sizeof name)
		return err_set(
			e, ERR_PERMANENT, ERR_LOCAL, "%.40s…: the path is too long", path->path.p);
	snprintf(name, sizeof name, "%.*s", STR_ARG(path->path));
	rule.parent = open(name, O_PATH | O_CLOEXEC);
	if (rule.parent < 0)
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR ||
		       err_set_errno(e, "%s cannot be opened", name);
	if (path->may_change)
		rule.allowed |= FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE | FS_REMOVE_DIR |
				FS_MAKE_DIR | FS_MAKE_REG | FS_REFER;
	rule.allowed &= r->fs;
	if (fstat(rule.parent, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed &= of_files;
	good = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) == 0 ||
	       err_set_errno(e, "%s cannot be left open to the role", name);
	close(rule.parent);
	return good;
}

static bool
allow_paths(struct sandbox *s, int ruleset, const struct ruleset *r, struct err *e)
{
	static const struct sandbox_path sanitizing[] = { { S("/proc"), false },
		{ S("/usr"), false }, { S("/etc/ld.so.cache"), false } };

	for (size_t i = 0; i < s->paths_n; i++)
		if (!allow_path(ruleset, r, &s->paths[i], e))
			return false;
	for (size_t i = 0; sandbox_is_sanitized() && i < 3; i++)
		if (!allow_path(ruleset, r, &sanitizing[i], e))
			return false;
	return true;
}

/* A network namespace begins with a loopback that is down: nobody has one in the world. */
static bool
loopback_is_down(void)
{
	struct ifreq lo = { .ifr_name = "lo" };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_down = s >= 0 && ioctl(s, SIOCGIFFLAGS, &lo) == 0 && !(lo.ifr_flags & IFF_UP);

	if (s >= 0)
		close(s);
	return is_down;
}

/* No capability is left, not even where we are still root, and no execution could bring one. */
static bool
has_shed(struct err *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct has[2] = { 0 };

	if (syscall(SYS_capget, &head, has) != 0)
		return err_set_errno(e, "our own capabilities cannot be read");
	if (has[0].effective || has[0].permitted || has[0].inheritable || has[1].effective ||
		has[1].permitted || has[1].inheritable)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "capabilities are left");
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "new privileges can be had");
	return true;
}

bool
sandbox_close_files(struct sandbox *s, struct err *e)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
	struct ruleset r;
	size_t size;
	int ruleset;
	bool good;

	s->landlock = 0;
	if (!sandbox_is_built())
		return true;
	s->has_no_network = loopback_is_down();
	if (!drop_capabilities())
		return err_set_errno(e, "capabilities cannot be given up");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_set_errno(e, "new privileges cannot be given up");
	if (!has_shed(e))
		return false;
	if (abi < ABI_LEAST) /* the first forbids every rename from one directory to another */
		return true;
	r = ruleset_of((int)abi, s->may);
	size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
	if (ruleset < 0)
		return err_set_errno(e, "Landlock takes no rules");
	good = allow_paths(s, ruleset, &r, e) &&
	       (syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ||
		       err_set_errno(e, "Landlock does not hold us"));
	close(ruleset);
	if (good)
		s->landlock = (int)abi;
	return good;
}

/* ── calls: seccomp, and limits ── */

static bool
limit(__rlimit_resource_t what, rlim_t most, struct err *e)
{
	return setrlimit(what, &(struct rlimit){ most, most }) == 0 ||
	       err_set_errno(e, "a limit cannot be set");
}

bool
sandbox_close_calls(struct sandbox *s, struct err *e)
{
	s->calls = 0;
	if (!sandbox_is_built())
		return true;
	if (!sandbox_is_sanitized()) {
		if (!limit(RLIMIT_NPROC, 0, e)) /* all threads are there */
			return false;
		if (s->may & SANDBOX_SECRET)
			prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	}
	if (!limit(RLIMIT_CORE, 0, e) /* mail and passwords stay in memory */ ||
		(s->file_max && !limit(RLIMIT_FSIZE, s->file_max, e)))
		return false;
	return sandbox_calls_load(s->may, &s->calls, e);
}

/* ── for people ── */

void
sandbox_describe(const struct sandbox *s, struct buf *lines)
{
	if (!sandbox_is_built()) {
		buf_add(lines, S("lacks everything: built without isolation\n"));
		return;
	}
	if (s->landlock)
		buf_addf(lines, "files: %s (Landlock %d)\n",
			s->paths_n == 0		   ? "none"
			: s->may & SANDBOX_CHANGES ? "its own, to change"
						   : "its own, to read",
			s->landlock);
	else
		buf_add(lines, S("lacks a limit of files: this kernel has no Landlock 2\n"));
	if (s->landlock && s->landlock < 4)
		buf_addf(lines,
			"lacks a second limit of TCP: this kernel's Landlock is %d, not 4\n",
			s->landlock);
	if (s->landlock && s->landlock < 6)
		buf_addf(lines,
			"lacks a second limit of signals: this kernel's Landlock is %d, not 6\n",
			s->landlock);
	if (s->calls)
		buf_addf(lines, "calls: %u of the kernel's, all others refused (seccomp)\n",
			s->calls);
	else
		buf_add(lines, S("lacks a limit of calls: this kernel has no seccomp filter\n"));
	if (s->has_no_network)
		buf_add(lines, S("network: none (a namespace of its own)\n"));
	else if (s->may & (SANDBOX_DIALS | SANDBOX_ASKS))
		buf_add(lines, S("network: the station's\n"));
	else
		buf_add(lines,
			S("lacks a network namespace of its own: this kernel gives us none\n"));
	if (sandbox_is_sanitized())
		buf_add(lines,
			S("lacks strictness: the runtime of a sanitizer needs files and calls\n"));
	if (s->tried)
		buf_addf(lines, "tried: %u acts, all refused\n", s->tried);
	else
		buf_add(lines, S("lacks a trial: nothing is here that would refuse an act\n"));
}
