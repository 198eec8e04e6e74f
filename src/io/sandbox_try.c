/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
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

/* ── by Landlock: EACCES; or by seccomp before it ──
 * Only what gives us something has worked. A file that is not there for us (a /proc that shows no other process, no /tmp, a disk
 * that is only read) proves nothing either way. */

enum outcome { WORKED, REFUSED, UNTRIED };

static enum outcome
outcome_of(int why)
{
	return why == ENOSYS || why == EACCES || why == EPERM || why == EXDEV ? REFUSED : UNTRIED;
}

static enum outcome
open_it(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return outcome_of(errno);
	close(fd);
	return WORKED;
}

static enum outcome
read_passwd(void)
{
	return open_it("/etc/passwd", O_RDONLY);
}

static enum outcome
read_root(void)
{
	return open_it("/", O_RDONLY | O_DIRECTORY);
}

static enum outcome
read_parent(void)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/mem", (int)getppid());
	return open_it(path, O_RDWR);
}

static enum outcome
write_tmp(void)
{
	return open_it("/tmp", O_WRONLY | O_TMPFILE);
}

static enum outcome
make_directory(void)
{
	static const char path[] = "/tmp/posthouse-not-allowed";

	if (mkdir(path, 0700) != 0)
		return outcome_of(errno);
	rmdir(path);
	return WORKED;
}

static const struct file_act {
	const char *name;
	bool may_sanitizer;
	enum outcome (*try)(void);
} file_acts[] = {
	{ "read /etc/passwd", false, read_passwd },
	{ "list the root directory", false, read_root },
	{ "open the memory of master", true, read_parent },
	{ "make a file in /tmp", false, write_tmp },
	{ "make a directory in /tmp", false, make_directory },
};

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
	return makes_no(AF_UNIX, SOCK_STREAM, 0) && makes_no(AF_UNIX, SOCK_DGRAM, 0);
}

static bool
make_pair(void)
{
	int pair[2];

	return is_unknown(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
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

static bool
open_files(void)
{
	return is_unknown(open("/", O_PATH | O_CLOEXEC));
}

/* On descriptors that are none: an unfiltered kernel answers EBADF. */
static bool
type_into_terminal(void)
{
	return is_unknown(ioctl(-1, TIOCSTI, "")) && is_unknown(ioctl(-1, TIOCSETD, NULL)) &&
	       is_unknown(ioctl(-1, TCSETS, NULL));
}

static bool
signal_by_descriptor(void)
{
	return is_unknown(fcntl(-1, F_SETOWN, 0)) && is_unknown(fcntl(-1, F_SETSIG, 0)) &&
	       is_unknown(fcntl(-1, F_SETFL, O_ASYNC)) && is_unknown(ioctl(-1, FIOASYNC, NULL)) &&
	       is_unknown(ioctl(-1, FIOSETOWN, NULL)) && is_unknown(ioctl(-1, SIOCSPGRP, NULL));
}

static bool
spoil_listener(void)
{
	return is_unknown(setsockopt(-1, SOL_SOCKET, SO_ATTACH_FILTER, NULL, 0)) &&
	       is_unknown(setsockopt(-1, IPPROTO_IP, IP_MINTTL, NULL, 0));
}

static const struct call_act {
	const char *name;
	unsigned unless; /* enum sandbox_may: who has one of these may do it */
	bool may_sanitizer;
	bool (*is_refused)(void);
} call_acts[] = {
	{ "open files", SANDBOX_OPENS, true, open_files },
	{ "make a TCP socket", SANDBOX_DIALS, false, make_tcp },
	{ "make a UDP socket", SANDBOX_ASKS, false, make_udp },
	{ "make a UNIX socket", SANDBOX_DIALS_UNIX, false, make_unix },
	{ "make a pair of UNIX sockets", SANDBOX_DIALS_UNIX | SANDBOX_PAIRS, false, make_pair },
	{ "make a raw socket", 0, false, make_raw },
	{ "make a netlink socket", SANDBOX_ASKS, false, make_netlink },
	{ "connect", SANDBOX_DIALS | SANDBOX_DIALS_UNIX | SANDBOX_ASKS, false, connect_somewhere },
	{ "listen", 0, false, listen_somewhere },
	{ "execute a program", 0, false, execute },
	{ "start a process", 0, true, fork_one },
	{ "trace master", 0, true, trace_parent },
	{ "read the memory of master", 0, true, look_into_parent },
	{ "send a signal to master", 0, true, signal_parent },
	{ "send a signal by a descriptor", 0, false, signal_by_descriptor },
	{ "type into a terminal", 0, false, type_into_terminal },
	{ "spoil a listener", SANDBOX_DIALS | SANDBOX_ASKS, false, spoil_listener },
	{ "take a descriptor of master", 0, false, take_descriptor },
	{ "execute written memory", 0, false, run_written_memory },
	{ "become root", 0, false, become_root },
	{ "change mounts, root or namespaces", 0, false, change_world },
	{ "use io_uring, bpf, perf, keys or modules", 0, false, ask_kernel },
};

static bool
has_worked(const char *name, struct err *e)
{
	return err_set(e, ERR_PERMANENT, ERR_LOCAL,
		"this process could %s, which its profile forbids and this kernel can forbid",
		name);
}

static bool
try_files(struct sandbox *s, struct err *e)
{
	for (size_t i = 0; i < sizeof file_acts / sizeof file_acts[0]; i++) {
		const struct file_act *a = &file_acts[i];
		enum outcome outcome =
			a->may_sanitizer && sandbox_is_sanitized() ? UNTRIED : a->try();

		if (outcome == WORKED)
			return has_worked(a->name, e);
		s->tried += outcome == REFUSED;
	}
	return true;
}

static bool
try_calls(struct sandbox *s, struct err *e)
{
	for (size_t i = 0; i < sizeof call_acts / sizeof call_acts[0]; i++) {
		const struct call_act *a = &call_acts[i];

		if ((a->unless & s->may) || (a->may_sanitizer && sandbox_is_sanitized()))
			continue;
		if (!a->is_refused())
			return has_worked(a->name, e);
		s->tried++;
	}
	return true;
}

bool
sandbox_try(struct sandbox *s, struct err *e)
{
	s->tried = 0;
	return (!s->landlock || try_files(s, e)) && (!s->calls || try_calls(s, e));
}
