/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A role that was taken over (test_sandbox.py): goes into the sandbox of a role exactly as the role does, and then tries all that
 * it must not be able to do, and the few things that it must.
 *
 *   evil-role ROLE CONFIG [UID]
 *
 *   layer FACT            what holds here, as `posthouse status` says it
 *   act WORD NAME         refused, or WORKED; with the error's name
 *   need WORD NAME        works, or FAILED
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "io/thread.h"
#include "role/profile.h"

static struct config config;
static struct profile profile;
static int listener = -1, tcp = -1, udp = -1, handed = -1,
	   lent = -1;		/* what master or others handed over */
static struct sockaddr_in here; /* where the listener is */
static pid_t victim, master;
static int thread_answer;
static sem_t thread_asked, thread_answered;

/* ── acts: 0 or more when they work ── */

static const char *
in_state(const char *name)
{
	static char path[1024];

	snprintf(path, sizeof path, "%.*s/%s", STR_ARG(config.state), name);
	return path;
}

static const char *
in_spool(const char *name)
{
	static char path[1024];

	snprintf(path, sizeof path, "%.*s/%s", STR_ARG(config.spool), name);
	return path;
}

static const char *
of_process(pid_t pid, const char *name)
{
	static char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return path;
}

static long
get(const char *path, int flags)
{
	return open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
}

static long
socket_of(int family, int type, int protocol)
{
	return socket(family, type | SOCK_CLOEXEC, protocol);
}

static void *
nothing(void *of)
{
	return of;
}

static long
start_thread(void)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, nothing, NULL);
	errno = errno == EAGAIN ? EPERM : errno; /* what the C library makes of it */
	return errno ? -1 : 0;
}

static long
execute_memory(void)
{
	int fd = memfd_create("evil", MFD_CLOEXEC);
	char *const no[] = { NULL };

	return syscall(SYS_execveat, fd, "", no, no, AT_EMPTY_PATH);
}

static long
map_executable(int fd)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long
make_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static long
clone_into(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long
fork_one(long call)
{
	long pid = syscall(call);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long
fast_open(void)
{
	return sendto(
		tcp, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&here, sizeof here);
}

static long
fast_open_message(void)
{
	struct iovec part = { (char[]){ "x" }, 1 };
	struct msghdr m = {
		.msg_name = &here, .msg_namelen = sizeof here, .msg_iov = &part, .msg_iovlen = 1
	};

	return sendmsg(tcp, &m, MSG_FASTOPEN | MSG_NOSIGNAL);
}

/* A descriptor that is ready sends a signal to whom it was told to. */
static long
signal_by_descriptor(void)
{
	int ends[2] = { -1, -1 };

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	return fcntl(ends[0], F_SETOWN, victim);
}

static long
own_limits(pid_t pid)
{
	struct rlimit l = { 1, 1 };

	return prlimit(pid, RLIMIT_CPU, &l, NULL);
}

/* X(name, who may, expression): a role that has one of those bits is not asked. Errors of bad arguments count as "worked". */
#define FILES(X)                                                                                \
	X("read /etc/passwd", 0, get("/etc/passwd", O_RDONLY))                                  \
	X("read /etc/shadow", 0, get("/etc/shadow", O_RDONLY))                                  \
	X("read /etc/hostname", 0, get("/etc/hostname", O_RDONLY))                              \
	X("list /", 0, get("/", O_RDONLY | O_DIRECTORY))                                        \
	X("list /etc", 0, get("/etc", O_RDONLY | O_DIRECTORY))                                  \
	X("list /proc", 0, get("/proc", O_RDONLY | O_DIRECTORY))                                \
	X("list /tmp", 0, get("/tmp", O_RDONLY | O_DIRECTORY))                                  \
	X("list the state directory", 0, get(in_state("."), O_RDONLY | O_DIRECTORY))            \
	X("read own memory map", 0, get("/proc/self/maps", O_RDONLY))                           \
	X("read process 1", 0, get("/proc/1/status", O_RDONLY))                                 \
	X("open the memory of master", 0, get(of_process(master, "mem"), O_RDWR))               \
	X("open the memory of another role", 0, get(of_process(victim, "mem"), O_RDWR))         \
	X("read another role's environment", 0, get(of_process(victim, "environ"), O_RDONLY))   \
	X("open another role's descriptor", 0, get(of_process(victim, "fd/0"), O_RDONLY))       \
	X("list another role's descriptors", 0, get(of_process(victim, "fd"), O_RDONLY))        \
	X("open the kernel's log", 0, get("/dev/kmsg", O_RDONLY))                               \
	X("open a device", 0, get("/dev/urandom", O_RDONLY))                                    \
	X("open /dev/null", 0, get("/dev/null", O_RDWR))                                        \
	X("change the kernel's settings", 0, get("/proc/sys/kernel/hostname", O_WRONLY))        \
	X("make a file in /tmp", 0, get("/tmp/evil", O_WRONLY | O_CREAT))                       \
	X("make a nameless file in /tmp", 0, get("/tmp", O_WRONLY | O_TMPFILE))                 \
	X("make a file in the state directory", 0, get(in_state("evil"), O_WRONLY | O_CREAT))   \
	X("change what status says", 0, get(in_state("status"), O_WRONLY))                      \
	X("make a directory in /tmp", 0, mkdir("/tmp/evil", 0700))                              \
	X("make a link in /tmp", 0, symlink("/etc/passwd", "/tmp/evil"))                        \
	X("give /etc/passwd another name", 0, link("/etc/passwd", "/tmp/evil"))                 \
	X("make a pipe in /tmp", 0, mkfifo("/tmp/evil", 0600))                                  \
	X("make a device", 0, mknod("/tmp/evil", S_IFCHR | 0600, 0x103))                        \
	X("remove master's socket", 0, unlink(in_state("submit")))                              \
	X("rename master's socket", 0, rename(in_state("submit"), "/tmp/evil"))                 \
	X("cut a file of master's", 0, truncate(in_state("status"), 0))                         \
	X("open the rights of a file of master's", 0, chmod(in_state("status"), 0666))          \
	X("take a file of master's", 0, chown(in_state("status"), getuid(), getgid()))          \
	X("read the key of tokens", SANDBOX_SECRET, get(in_state("vault/token.key"), O_RDONLY)) \
	X("list the accounts' directory", SANDBOX_SECRET, get(in_state("vault"), O_RDONLY))     \
	X("make a file beside the accounts", SANDBOX_SECRET,                                    \
		get(in_state("vault/evil"), O_WRONLY | O_CREAT))

#define OTHERS(X)                                                                                  \
	X("list the mailboxes", ROLE_STORE, get(in_state("mail"), O_RDONLY))                       \
	X("make a file among the mailboxes", ROLE_STORE,                                           \
		get(in_state("mail/evil"), O_WRONLY | O_CREAT))                                    \
	X("list another's mailbox", ROLE_STORE, get(in_state("mail/example.org/two"), O_RDONLY))   \
	X("read another's mail", ROLE_STORE, get(in_state("mail/example.org/two/mail"), O_RDONLY)) \
	X("list the spool", ROLE_QUEUE, get(in_spool("."), O_RDONLY))                              \
	X("read the spool's format", ROLE_QUEUE, get(in_spool("format"), O_RDONLY))                \
	X("make a file in the spool", ROLE_QUEUE, get(in_spool("evil"), O_WRONLY | O_CREAT))

#define NETWORK(X)                                                                           \
	X("make a TCP socket", SANDBOX_DIALS, socket_of(AF_INET, SOCK_STREAM, 0))            \
	X("make a TCP socket of IPv6", SANDBOX_DIALS, socket_of(AF_INET6, SOCK_STREAM, 0))   \
	X("make a UDP socket", SANDBOX_ASKS, socket_of(AF_INET, SOCK_DGRAM, 0))              \
	X("make a UDP socket of IPv6", SANDBOX_ASKS, socket_of(AF_INET6, SOCK_DGRAM, 0))     \
	X("make a raw socket", 0, socket_of(AF_INET, SOCK_RAW, IPPROTO_ICMP))                \
	X("make a packet socket", 0, socket_of(AF_PACKET, SOCK_RAW, 0))                      \
	X("make a netlink socket", SANDBOX_ASKS, socket_of(AF_NETLINK, SOCK_RAW, 0))         \
	X("make a netlink socket of the audit", 0, socket_of(AF_NETLINK, SOCK_RAW, 9))       \
	X("make a socket of the kernel's ciphers", 0, socket_of(AF_ALG, SOCK_SEQPACKET, 0))  \
	X("make a vsock socket", 0, socket_of(AF_VSOCK, SOCK_STREAM, 0))                     \
	X("make a UNIX socket", SANDBOX_DIALS_UNIX, socket_of(AF_UNIX, SOCK_STREAM, 0))      \
	X("make a UNIX datagram socket", 0, socket_of(AF_UNIX, SOCK_DGRAM, 0))               \
	X("make a pair of sockets", SANDBOX_PAIRS,                                           \
		socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){ 0 }))                          \
	X("connect a socket that was handed over",                                           \
		SANDBOX_DIALS | SANDBOX_ASKS | SANDBOX_DIALS_UNIX,                           \
		connect(tcp, (struct sockaddr *)&here, sizeof here))                         \
	X("send to a host on a socket that was handed over", SANDBOX_ASKS,                   \
		sendto(udp, "x", 1, 0, (struct sockaddr *)&here, sizeof here))               \
	X("connect by sending", SANDBOX_ASKS, fast_open())                                   \
	X("connect by sending a message", SANDBOX_ASKS, fast_open_message())                 \
	X("bind a socket", SANDBOX_DIALS | SANDBOX_ASKS | SANDBOX_DIALS_UNIX,                \
		bind(tcp, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET }, \
			sizeof here))                                                        \
	X("listen", 0, listen(tcp, 1))

#define PROCESSES(X)                                                                           \
	X("execute a program", 0, execve("/bin/true", (char *[]){ NULL }, (char *[]){ NULL })) \
	X("execute ourselves", 0,                                                              \
		execve("/proc/self/exe", (char *[]){ NULL }, (char *[]){ NULL }))              \
	X("execute memory", 0, execute_memory())                                               \
	X("fork", 0, fork_one(SYS_fork))                                                       \
	X("clone", 0, clone_into(0))                                                           \
	X("clone into a user namespace", 0, clone_into(CLONE_NEWUSER))                         \
	X("clone into a network namespace", 0, clone_into(CLONE_NEWNET))                       \
	X("clone3", 0, syscall(SYS_clone3, NULL, 0))                                           \
	X("start a thread", 0, start_thread())                                                 \
	X("trace master", 0, ptrace(PTRACE_SEIZE, master, NULL, NULL))                         \
	X("trace another role", 0, ptrace(PTRACE_ATTACH, victim, NULL, NULL))                  \
	X("be traced", 0, ptrace(PTRACE_TRACEME, 0, NULL, NULL))                               \
	X("read the memory of another role", 0,                                                \
		syscall(SYS_process_vm_readv, victim, NULL, 0, NULL, 0, 0))                    \
	X("write the memory of another role", 0,                                               \
		syscall(SYS_process_vm_writev, victim, NULL, 0, NULL, 0, 0))                   \
	X("kill master", 0, kill(master, SIGTERM))                                             \
	X("kill another role", 0, kill(victim, SIGKILL))                                       \
	X("kill all", 0, kill(-1, 0))                                                          \
	X("signal another role's thread", 0, syscall(SYS_tgkill, victim, victim, SIGTERM))     \
	X("signal a thread of whoever", 0, syscall(SYS_tkill, victim, SIGTERM))                \
	X("send another role a signal with words", 0,                                          \
		syscall(SYS_rt_sigqueueinfo, victim, SIGTERM, NULL))                           \
	X("get hold of another role", 0, syscall(SYS_pidfd_open, victim, 0))                   \
	X("signal a process in hand", 0, syscall(SYS_pidfd_send_signal, -1, 0, NULL, 0))       \
	X("take another role's descriptor", 0, syscall(SYS_pidfd_getfd, -1, 0, 0))             \
	X("compare with another role", 0, syscall(SYS_kcmp, master, victim, 0, 0, 0))          \
	X("change another role's limits", 0, own_limits(victim))                               \
	X("change master's limits", 0, own_limits(master))                                     \
	X("change our limits", 0, own_limits(0))                                               \
	X("change another role's priority", 0, setpriority(PRIO_PROCESS, (id_t)victim, 19))    \
	X("have a descriptor signal another role", 0, signal_by_descriptor())                  \
	X("have it signal a whole group", 0, fcntl(tcp, F_SETOWN_EX, NULL))                    \
	X("choose its signal", 0, fcntl(tcp, F_SETSIG, SIGKILL))                               \
	X("have it signal at once", 0, fcntl(tcp, F_SETFL, O_ASYNC))                           \
	X("have a socket signal another role", 0, ioctl(tcp, FIOSETOWN, &victim))              \
	X("have a socket signal a group", 0, ioctl(tcp, SIOCSPGRP, &victim))                   \
	X("have a socket signal at once", 0, ioctl(tcp, FIOASYNC, &(int){ 1 }))                \
	X("type into a terminal", 0, ioctl(0, TIOCSTI, "x"))                                   \
	X("paste into a console", 0, ioctl(0, TIOCLINUX, "\3"))                                \
	X("take a terminal", 0, ioctl(0, TIOCSCTTY, 1))                                        \
	X("change a terminal", 0, ioctl(0, TCSETS, NULL))                                      \
	X("put a filter before a listener", SANDBOX_DIALS | SANDBOX_ASKS,                      \
		setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, NULL, 0))                   \
	X("shrink what a listener takes", SANDBOX_DIALS | SANDBOX_ASKS,                        \
		setsockopt(listener, IPPROTO_IP, IP_MINTTL, &(int){ 255 }, sizeof(int)))       \
	X("become another session", 0, syscall(SYS_setsid))                                    \
	X("become root", 0, syscall(SYS_setuid, 0))                                            \
	X("become root for a moment", 0, syscall(SYS_setresuid, -1, 0, -1))                    \
	X("take root's group", 0, syscall(SYS_setgid, 0))                                      \
	X("take other groups", 0, syscall(SYS_setgroups, 0, NULL))                             \
	X("take capabilities", 0, syscall(SYS_capset, NULL, NULL))                             \
	X("be looked at", 0, syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0))                  \
	X("outlive master", 0, syscall(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0))               \
	X("change personality", 0, syscall(SYS_personality, 0x0400000))                        \
	X("map executable memory", 0, map_executable(-1))                                      \
	X("map an executable file", 0, map_executable(handed))                                 \
	X("make memory executable", 0, make_executable())

#define KERNEL(X)                                                                                  \
	X("leave the namespaces", 0, unshare(CLONE_NEWUSER))                                       \
	X("enter a namespace", 0, setns(-1, 0))                                                    \
	X("mount", 0, mount("none", "/tmp", "tmpfs", 0, NULL))                                     \
	X("unmount", 0, umount2("/proc", MNT_DETACH))                                              \
	X("mount in the new way", 0, syscall(SYS_fsopen, "tmpfs", 0))                              \
	X("change root", 0, chroot("/tmp"))                                                        \
	X("exchange root", 0, syscall(SYS_pivot_root, "/", "/"))                                   \
	X("change directory", 0, chdir("/etc"))                                                    \
	X("open in the second way", 0, syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0))     \
	X("open by a handle", 0, syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0))                \
	X("watch files", 0, syscall(SYS_inotify_init1, 0))                                         \
	X("watch all files", 0, syscall(SYS_fanotify_init, 0, 0))                                  \
	X("use io_uring", 0, syscall(SYS_io_uring_setup, 1, NULL))                                 \
	X("use asynchronous reads", 0, syscall(SYS_io_setup, 1, NULL))                             \
	X("load a program into the kernel", 0, syscall(SYS_bpf, 0, NULL, 0))                       \
	X("measure other processes", 0, syscall(SYS_perf_event_open, NULL, -1, 0, -1, 0))          \
	X("handle page faults", 0, syscall(SYS_userfaultfd, 0))                                    \
	X("use the keyring", 0, syscall(SYS_keyctl, 0, -3, 0, 0, 0))                               \
	X("add a key", 0, syscall(SYS_add_key, "user", "x", "x", 1, -3))                           \
	X("request a key", 0, syscall(SYS_request_key, "user", "x", NULL, 0))                      \
	X("load a module", 0, syscall(SYS_init_module, NULL, 0, ""))                               \
	X("load a module from a file", 0, syscall(SYS_finit_module, -1, "", 0))                    \
	X("remove a module", 0, syscall(SYS_delete_module, "x", 0))                                \
	X("load another kernel", 0, syscall(SYS_kexec_load, 0, 0, NULL, 0))                        \
	X("reboot", 0, syscall(SYS_reboot, 0, 0, 0, NULL))                                         \
	X("set the clock", 0, syscall(SYS_clock_settime, 0, NULL))                                 \
	X("set the host's name", 0, sethostname("evil", 4))                                        \
	X("swap", 0, syscall(SYS_swapon, "/tmp/evil", 0))                                          \
	X("read the kernel's log", 0, syscall(SYS_syslog, 3, NULL, 0))                             \
	X("share memory by key", 0, syscall(SYS_shmget, 1, 4096, 01600))                           \
	X("make a queue of messages", 0, syscall(SYS_msgget, 1, 01600))                            \
	X("make a POSIX queue", 0, syscall(SYS_mq_open, "evil", O_RDWR | O_CREAT, 0600, NULL))     \
	X("move another role's pages", 0, syscall(SYS_move_pages, victim, 0, NULL, NULL, NULL, 0)) \
	X("advise another role's memory", 0, syscall(SYS_process_madvise, -1, NULL, 0, 0, 0))      \
	X("change the filter", 0, syscall(SYS_seccomp, 1, 0, NULL))                                \
	X("change Landlock", 0, syscall(SYS_landlock_create_ruleset, NULL, 0, 1))

static void
say(const char *kind, const char *word, const char *name)
{
	printf("%s\t%s\t%s\t%s\n", kind, word, name,
		strerrorname_np(errno) ? strerrorname_np(errno) : "");
	fflush(stdout);
}

static void
judge(const char *name, long answer)
{
	bool is_refused = answer < 0 && (errno == ENOSYS || errno == EACCES || errno == EPERM);

	say("act", is_refused ? "refused" : "WORKED", name);
}

static void
try_all(enum ipc_role role)
{
	const unsigned may = profile.sandbox.may;

#define TRY(name, unless, act)           \
	if (!(may & (unsigned)(unless))) \
		judge(name, (errno = 0, (long)(act)));
#define TRY_AS(name, whose, act) \
	if (role != (whose))     \
		judge(name, (errno = 0, (long)(act)));
	FILES(TRY)
	OTHERS(TRY_AS)
	NETWORK(TRY)
	PROCESSES(TRY)
	KERNEL(TRY)
}

/* ── needs ── */

static bool
thread_works(void)
{
	sem_post(&thread_asked);
	sem_wait(&thread_answered);
	return thread_answer == 42;
}

static void *
thread_main(void *of)
{
	for (;;) {
		sem_wait(&thread_asked);
		thread_answer = fdatasync(handed) == 0 ? 42 : 0;
		sem_post(&thread_answered);
	}
	return of;
}

static bool
accept_works(void)
{
	char c = 0;
	int s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	bool good = s >= 0 && read(s, &c, 1) == 1 && c == '!' && write(s, "x", 1) == 1;

	if (s >= 0)
		close(s);
	return good;
}

static bool
waiting_works(void)
{
	struct epoll_event want = { .events = EPOLLIN }, got;
	int event = eventfd(1, EFD_CLOEXEC);

	return event >= 0 && epoll_ctl(lent, EPOLL_CTL_ADD, event, &want) == 0 &&
	       epoll_wait(lent, &got, 1, 1000) == 1;
}

/* What the libraries do to a descriptor: SQLite locks, libuv and libunbound do not wait. */
static bool
settings_work(void)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int on = 1, copy = fcntl(handed, F_DUPFD_CLOEXEC, 10);

	return copy >= 10 && fcntl(copy, F_SETLK, &whole) == 0 &&
	       fcntl(copy, F_GETLK, &whole) == 0 && fcntl(listener, F_SETFL, O_NONBLOCK) == 0 &&
	       fcntl(listener, F_SETFL, 0) == 0 && ioctl(tcp, FIONBIO, &on) == 0 &&
	       setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 && !isatty(0) &&
	       errno != ENOSYS && close(copy) == 0;
}

static bool
file_is_limited(void)
{
	off_t most = (off_t)profile.sandbox.file_max;

	signal(SIGXFSZ, SIG_IGN);
	return pwrite(handed, "x", 1, most - 1) == 1 && pwrite(handed, "x", 1, most) < 0 &&
	       errno == EFBIG && ftruncate(handed, 4096) == 0;
}

static bool
memory_works(void)
{
	const size_t n = 64 * 1024 * 1024;
	char *p = malloc(n);

	if (!p)
		return false;
	memset(p, 1, n);
	free(p);
	return true;
}

static bool
files_work(const char *root)
{
	char a[1100], b[1100];
	int fd;

	snprintf(a, sizeof a, "%s/evil-tmp", root);
	if (mkdir(a, 0700) != 0 && errno != EEXIST)
		return false;
	snprintf(a, sizeof a, "%s/evil-tmp/a", root);
	snprintf(b, sizeof b, "%s/evil-b", root);
	fd = open(a, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0 || syncfs(fd) != 0 ||
		rename(a, b) != 0)
		return false;
	close(fd);
	return unlink(b) == 0;
}

static bool
reads(const char *path)
{
	long fd = get(path, O_RDONLY);

	if (fd >= 0)
		close((int)fd);
	return fd >= 0 || errno == ENOENT;
}

static bool
dials(void)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return s >= 0 && connect(s, (struct sockaddr *)&here, sizeof here) == 0 &&
	       write(s, "!", 1) == 1;
}

static bool
asks(void)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return s >= 0 && sendto(s, "x", 1, 0, (struct sockaddr *)&here, sizeof here) == 1;
}

static bool
dials_unix(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/nowhere" };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return s >= 0 && connect(s, (struct sockaddr *)&to, sizeof to) != 0 && errno != ENOSYS &&
	       errno != EPERM;
}

static void
need(const char *name, bool works)
{
	say("need", works ? "works" : "FAILED", name);
}

#define NEED(name, check) need(name, (errno = 0, check))

static void
need_all(enum ipc_role role)
{
	const unsigned may = profile.sandbox.may;

	NEED("a thread syncs", thread_works());
	NEED("accept and talk", accept_works());
	NEED("wait for descriptors", waiting_works());
	NEED("take and give back memory", memory_works());
	NEED("set descriptors", settings_work());
	if (profile.sandbox.file_max)
		NEED("write as much as a file may have, and no more", file_is_limited());
	NEED("write what was handed over",
		pwrite(handed, "x", 1, 0) == 1 && fdatasync(handed) == 0);
	NEED("hand over memory", memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING) >= 0);
	if (role == ROLE_QUEUE)
		NEED("change the spool", files_work(in_spool(".")));
	if (role == ROLE_VAULT)
		NEED("change the accounts' directory", files_work(in_state("vault")));
	if (role == ROLE_STORE)
		NEED("change the mailboxes", files_work(in_state("mail")));
	if (role == ROLE_READER)
		NEED("change its mailbox", files_work(in_state("mail/example.org/one")));
	if (role == ROLE_SEND)
		NEED("read the authorities", reads("/etc/ssl/certs/ca-certificates.crt"));
	if (role == ROLE_RESOLVE)
		NEED("read the system's resolvers", reads("/etc/resolv.conf"));
	if (may & SANDBOX_DIALS)
		NEED("connect", dials());
	if (may & SANDBOX_ASKS)
		NEED("ask", asks());
	if (may & SANDBOX_DIALS_UNIX)
		NEED("connect to a UNIX socket", dials_unix());
}

/* ── going in, as role/master and role/role.c do it ── */

static enum ipc_role
role_of(const char *name)
{
	for (unsigned r = 1; r < ROLE_ANY; r <<= 1)
		if (strcmp(ipc_role_name(r), name) == 0)
			return (enum ipc_role)r;
	fprintf(stderr, "evil-role: no role %s\n", name);
	exit(2);
}

static void
open_all(void)
{
	socklen_t n = sizeof here;
	char name[] = "/tmp/posthouse-evil.XXXXXX";

	here = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	listener = socket(AF_INET, SOCK_STREAM, 0);
	must(bind(listener, (struct sockaddr *)&here, sizeof here) == 0 &&
		listen(listener, 8) == 0);
	must(getsockname(listener, (struct sockaddr *)&here, &n) == 0);
	tcp = socket(AF_INET, SOCK_STREAM, 0);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	handed = mkostemp(name, 0);
	must(handed >= 0 && unlink(name) == 0 && ftruncate(handed, 4096) == 0);
}

/* A client in the world: what comes to the listener. */
static pid_t
start_client(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < 2; i++) { /* once before the acts, once after */
			int s = socket(AF_INET, SOCK_STREAM, 0);

			must(connect(s, (struct sockaddr *)&here, sizeof here) == 0 &&
				write(s, "!", 1) == 1);
		}
		for (;;)
			pause();
	}
	return pid;
}

static int
inside(enum ipc_role role)
{
	struct buf lines = { .max = SANDBOX_LINES_MAX };
	struct err e = { 0 };
	pthread_t thread;
	struct str rest, line;

	lent = epoll_create1(EPOLL_CLOEXEC);
	sem_init(&thread_asked, 0, 0);
	sem_init(&thread_answered, 0, 0);
	profile_make(&profile, role, &config, str_of(in_state("mail/example.org/one")));
	must(sandbox_close_files(&profile.sandbox, &e));
	thread_start(&thread, thread_main, NULL);
	if (!sandbox_close_calls(&profile.sandbox, &e) || !sandbox_try(&profile.sandbox, &e)) {
		fprintf(stderr, "evil-role: %s\n", e.text);
		return 1;
	}
	sandbox_describe(&profile.sandbox, &lines);
	rest = buf_str(&lines);
	while (scan_until(&rest, '\n', &line))
		printf("layer\t%.*s\n", STR_ARG(line));
	buf_free(&lines);
	need_all(role);
	if (!sandbox_is_sanitized()) /* whose runtime wraps calls, and does not expect them to be made like this */
		try_all(role);
	need_all(role); /* and nothing of it was broken */
	return 0;
}

/* evil-role inside ROLE CONFIG VICTIM LISTENER TCP UDP HANDED PORT */
static int
go_inside(char **argv)
{
	struct err e = { 0 };
	struct str number;
	uint64_t v[6];

	for (int i = 0; i < 6; i++) {
		number = str_of(argv[4 + i]);
		must(scan_u64(&number, &v[i]));
	}
	victim = (pid_t)v[0];
	master = getppid();
	listener = (int)v[1];
	tcp = (int)v[2];
	udp = (int)v[3];
	handed = (int)v[4];
	here = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)v[5]) };
	if (!config_load(&config, argv[3], &e)) {
		fprintf(stderr, "evil-role: %s\n", e.text);
		return 2;
	}
	return inside(role_of(argv[2]));
}

int
main(int argc, char **argv)
{
	struct sandbox_user user = { 0 };
	char number[6][16];
	pid_t client, evil, other;
	struct str uid;
	uint64_t n = 0;
	int status = -1, values[6];

	if (argc == 10 && strcmp(argv[1], "inside") == 0)
		return go_inside(argv);
	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: evil-role ROLE CONFIG [UID]\n");
		return 2;
	}
	uid = str_of(argc == 4 ? argv[3] : "0");
	must(scan_u64(&uid, &n));
	user = (struct sandbox_user){ (uid_t)n, (gid_t)n };
	open_all();
	client = start_client();
	other = fork();
	if (other == 0)
		for (prctl(PR_SET_PDEATHSIG, SIGKILL);;)
			pause();
	values[0] = (int)other, values[1] = listener, values[2] = tcp, values[3] = udp,
	values[4] = handed;
	values[5] = ntohs(here.sin_port);
	for (int i = 0; i < 6; i++)
		snprintf(number[i], sizeof number[i], "%d", values[i]);
	evil = fork();
	if (evil == 0) {
		char *const in[] = { argv[0], (char[]){ "inside" }, argv[1], argv[2], number[0],
			number[1], number[2], number[3], number[4], number[5], NULL };

		if (sandbox_shed(argc == 4 ? &user : NULL, profile_may(role_of(argv[1]))))
			execv("/proc/self/exe", in);
		_exit(3);
	}
	waitpid(evil, &status, 0);
	printf("victim\t%s\n", waitpid(other, NULL, WNOHANG) == 0 ? "lives" : "DIED");
	kill(other, SIGKILL);
	kill(client, SIGKILL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}
