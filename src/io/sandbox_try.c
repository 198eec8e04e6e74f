/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/sandbox.h"

/*
 * The locks are tried before the house opens. Each act is harmless where it works: it is made with arguments that the kernel
 * refuses for another reason (and so answers otherwise than ENOSYS), or it is undone at once. An act counts only where the
 * layer that forbids it is here and the role's profile does not allow it.
 */

enum layer { BY_FILES, BY_CALLS };

struct act {
	const char *name;
	enum layer layer;
	unsigned unless; /* enum sandbox_may: who has one of these may do it */
	bool may_sanitizer;
	bool (*is_refused)(void);
};

/* ── by Landlock: EACCES; or by seccomp before it ── */

static bool
cannot_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == ENOSYS || errno == EACCES || errno == EXDEV;
	close(fd);
	return false;
}

static bool
read_passwd(void)
{
	return cannot_open("/etc/passwd", O_RDONLY);
}

static bool
read_root(void)
{
	return cannot_open("/", O_RDONLY | O_DIRECTORY);
}

static bool
read_parent(void)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/mem", (int)getppid());
	return cannot_open(path, O_RDWR);
}

static bool
write_tmp(void)
{
	return cannot_open("/tmp", O_WRONLY | O_TMPFILE);
}

static bool
make_directory(void)
{
	static const char path[] = "/tmp/posthouse-not-allowed";

	if (mkdir(path, 0700) != 0)
		return errno == ENOSYS || errno == EACCES;
	rmdir(path);
	return false;
}

/* ── by seccomp: ENOSYS ── */

static bool
is_unknown(long answer)
{
	return answer < 0 && errno == ENOSYS;
}

static bool
makes_no(int family, int type, int protocol)
{
	int s = socket(family, type | SOCK_CLOEXEC, protocol);

	if (s >= 0)
		close(s);
	return is_unknown(s);
}

static bool
make_tcp(void)
{
	return makes_no(AF_INET, SOCK_STREAM, 0) && makes_no(AF_INET6, SOCK_STREAM, 0);
}

static bool
make_udp(void)
{
	return makes_no(AF_INET, SOCK_DGRAM, 0) && makes_no(AF_INET6, SOCK_DGRAM, 0);
}

static bool
make_unix(void)
{
	int pair[2];

	return makes_no(AF_UNIX, SOCK_STREAM, 0) && makes_no(AF_UNIX, SOCK_DGRAM, 0) &&
	       is_unknown(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static bool
make_raw(void)
{
	return makes_no(AF_INET, SOCK_RAW, IPPROTO_ICMP) && makes_no(AF_PACKET, SOCK_RAW, 0);
}

static bool
make_netlink(void)
{
	return makes_no(AF_NETLINK, SOCK_RAW, 0);
}

static bool
connect_somewhere(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(25) };

	return is_unknown(connect(-1, (struct sockaddr *)&to, sizeof to));
}

static bool
listen_somewhere(void)
{
	return is_unknown(listen(-1, 1));
}

static bool
execute(void)
{
	char *const nothing[] = { NULL };

	return is_unknown(execve("/", nothing, nothing)) &&
	       is_unknown(syscall(SYS_execveat, -1, "", nothing, nothing, AT_EMPTY_PATH));
}

static bool
fork_one(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return is_unknown(pid) && is_unknown(syscall(SYS_fork)) &&
	       is_unknown(syscall(SYS_clone3, NULL, 0));
}

static bool
trace_parent(void)
{
	return is_unknown(ptrace(PTRACE_CONT, getppid(), NULL, NULL));
}

static bool
look_into_parent(void)
{
	return is_unknown(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}

static bool
signal_parent(void)
{
	return is_unknown(kill(getppid(), 0)) &&
	       is_unknown(syscall(SYS_tgkill, getppid(), getppid(), 0)) &&
	       is_unknown(syscall(SYS_rt_sigqueueinfo, getppid(), 0, NULL));
}

static bool
take_descriptor(void)
{
	return is_unknown(syscall(SYS_pidfd_open, getppid(), 0)) &&
	       is_unknown(syscall(SYS_pidfd_getfd, -1, 0, 0));
}

static bool
run_written_memory(void)
{
	void *p = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return errno == ENOSYS;
	munmap(p, 4096);
	return false;
}

static bool
become_root(void)
{
	return is_unknown(syscall(SYS_setuid, 0)) && is_unknown(syscall(SYS_setresuid, 0, 0, 0)) &&
	       is_unknown(syscall(SYS_setgroups, 0, NULL)) &&
	       is_unknown(syscall(SYS_capset, NULL, NULL));
}

static bool
change_world(void)
{
	return is_unknown(mount(NULL, NULL, NULL, 0, NULL)) && is_unknown(chroot("/")) &&
	       is_unknown(syscall(SYS_pivot_root, NULL, NULL)) && is_unknown(unshare(0)) &&
	       is_unknown(setns(-1, 0));
}

static bool
ask_kernel(void)
{
	return is_unknown(syscall(SYS_io_uring_setup, 0, NULL)) &&
	       is_unknown(syscall(SYS_bpf, -1, NULL, 0)) &&
	       is_unknown(syscall(SYS_perf_event_open, NULL, 0, 0, -1, 0)) &&
	       is_unknown(syscall(SYS_keyctl, -1)) &&
	       is_unknown(syscall(SYS_add_key, NULL, NULL, NULL, 0, 0)) &&
	       is_unknown(syscall(SYS_userfaultfd, -1)) &&
	       is_unknown(syscall(SYS_init_module, NULL, 0, NULL)) &&
	       is_unknown(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

static const struct act acts[] = {
	{ "read /etc/passwd", BY_FILES, 0, false, read_passwd },
	{ "list the root directory", BY_FILES, 0, false, read_root },
	{ "open the memory of master", BY_FILES, 0, true, read_parent },
	{ "make a file in /tmp", BY_FILES, 0, false, write_tmp },
	{ "make a directory in /tmp", BY_FILES, 0, false, make_directory },
	{ "open files", BY_CALLS, SANDBOX_OPENS, true, read_passwd },
	{ "make a TCP socket", BY_CALLS, SANDBOX_DIALS, false, make_tcp },
	{ "make a UDP socket", BY_CALLS, SANDBOX_ASKS, false, make_udp },
	{ "make a UNIX socket", BY_CALLS, SANDBOX_DIALS_UNIX, false, make_unix },
	{ "make a raw socket", BY_CALLS, 0, false, make_raw },
	{ "make a netlink socket", BY_CALLS, SANDBOX_ASKS, false, make_netlink },
	{ "connect", BY_CALLS, SANDBOX_DIALS | SANDBOX_DIALS_UNIX | SANDBOX_ASKS, false,
		connect_somewhere },
	{ "listen", BY_CALLS, 0, false, listen_somewhere },
	{ "execute a program", BY_CALLS, 0, false, execute },
	{ "start a process", BY_CALLS, 0, true, fork_one },
	{ "trace master", BY_CALLS, 0, true, trace_parent },
	{ "read the memory of master", BY_CALLS, 0, true, look_into_parent },
	{ "send a signal to master", BY_CALLS, 0, true, signal_parent },
	{ "take a descriptor of master", BY_CALLS, 0, false, take_descriptor },
	{ "execute written memory", BY_CALLS, 0, false, run_written_memory },
	{ "become root", BY_CALLS, 0, false, become_root },
	{ "change mounts, root or namespaces", BY_CALLS, 0, false, change_world },
	{ "use io_uring, bpf, perf, keys or modules", BY_CALLS, 0, false, ask_kernel },
};

static bool
must_be_refused(const struct sandbox *s, const struct act *a)
{
	if ((a->layer == BY_FILES && !s->landlock) || (a->layer == BY_CALLS && !s->calls))
		return false;
	return !(a->unless & s->may) && !(a->may_sanitizer && sandbox_is_sanitized());
}

bool
sandbox_try(struct sandbox *s, struct err *e)
{
	s->tried = 0;
	for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
		if (!must_be_refused(s, &acts[i]))
			continue;
		if (!acts[i].is_refused())
			return err_set(e, ERR_PERMANENT, ERR_LOCAL,
				"this process could %s, which its profile forbids and this kernel "
				"can forbid",
				acts[i].name);
		s->tried++;
	}
	return true;
}
