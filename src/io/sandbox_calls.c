/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include "io/sandbox.h"

/*
 * Which calls of the kernel a role may make once it works. All others answer ENOSYS, as an older kernel would, so that a library
 * falls back or fails in its ordinary way; nobody is killed for asking.
 *
 *   - No memory becomes executable, and nothing is executed: no exec, no mmap or mprotect with PROT_EXEC.
 *   - No process and no thread is started. Threads are there before the filter is.
 *   - A signal goes to ourselves alone (abort does that): nor does a descriptor send one to somebody else when it is ready.
 *   - Nothing is typed into a terminal and none is changed: of ioctl and fcntl only the commands below.
 *   - Sockets are made of the families and kinds that the role's row says; all others come from master.
 *
 * Each thread of the process gets the filter at once (TSYNC).
 */

#define CALL(name) SCMP_SYS(name)

static const int always[] = {
	/* descriptors that are there */
	CALL(read),
	CALL(readv),
	CALL(pread64),
	CALL(preadv),
	CALL(write),
	CALL(writev),
	CALL(pwrite64),
	CALL(pwritev),
	CALL(close),
	CALL(lseek),
	CALL(fstat),
	CALL(newfstatat),
	CALL(statx),
	CALL(fstatfs),
	CALL(dup),
	CALL(ftruncate),
	CALL(fallocate),
	CALL(fsync),
	CALL(fdatasync),
	CALL(sync_file_range),
	CALL(sendfile),
	CALL(fadvise64),
	CALL(memfd_create),
	CALL(eventfd2),
	CALL(pipe2),
	/* sockets that are there */
	CALL(accept4),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(shutdown),
	CALL(getsockopt),
	CALL(getsockname),
	CALL(getpeername),
	/* waiting */
	CALL(epoll_ctl),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_pwait2),
	CALL(poll),
	CALL(ppoll),
	CALL(futex),
	CALL(restart_syscall),
	CALL(sched_yield),
	CALL(nanosleep),
	CALL(clock_nanosleep),
	/* memory */
	CALL(brk),
	CALL(munmap),
	CALL(mremap),
	CALL(madvise),
	CALL(msync),
	/* time, chance, who am I */
	CALL(clock_gettime),
	CALL(clock_getres),
	CALL(gettimeofday),
	CALL(time),
	CALL(getrandom),
	CALL(getpid),
	CALL(gettid),
	CALL(getppid),
	CALL(getuid),
	CALL(geteuid),
	CALL(getgid),
	CALL(getegid),
	CALL(uname),
	CALL(sysinfo),
	CALL(getrusage),
	CALL(getrlimit),
	CALL(sched_getaffinity),
	CALL(umask),
	/* signals to ourselves, and the end */
	CALL(rt_sigaction),
	CALL(rt_sigprocmask),
	CALL(rt_sigreturn),
	CALL(sigaltstack),
	CALL(exit),
	CALL(exit_group),
};

static const int opening[] = { CALL(open), CALL(openat), CALL(stat), CALL(lstat), CALL(access),
	CALL(faccessat), CALL(faccessat2), CALL(getdents64), CALL(readlink), CALL(readlinkat),
	CALL(getcwd), CALL(statfs) };

static const int changing[] = { CALL(mkdir), CALL(mkdirat), CALL(unlink), CALL(unlinkat),
	CALL(rename), CALL(renameat), CALL(renameat2), CALL(link), CALL(linkat), CALL(flock),
	CALL(syncfs), CALL(copy_file_range), CALL(fchmod), CALL(utimensat) };

static const int dialling[] = { CALL(connect), CALL(bind) };

/* TCGETS is isatty. */
static const unsigned ioctls[] = { FIONBIO, FIONREAD, FIOCLEX, FIONCLEX, TCGETS };

/* Without F_SETOWN and F_SETSIG, which send signals to others. F_SETFL has a rule of its own. */
static const unsigned fcntls[] = { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_GETLK,
	F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_ADD_SEALS, F_GET_SEALS };

/* Of who neither dials nor asks: what it does to sockets that outlive it (a listener) must not spoil them. */
static const struct {
	int level, name;
} options[] = { { SOL_SOCKET, SO_RCVLOWAT }, { IPPROTO_TCP, TCP_NODELAY },
	{ IPPROTO_TCP, TCP_CORK } };

/* What the runtimes of the sanitizers do: they read /proc, stop all threads to look for leaks, and print. */
static const int sanitizing[] = { CALL(open), CALL(openat), CALL(readlink), CALL(readlinkat),
	CALL(getdents64), CALL(getdents), CALL(clone), CALL(ptrace), CALL(wait4), CALL(prctl),
	CALL(sched_getaffinity), CALL(stat), CALL(access), CALL(process_vm_readv),
	CALL(process_vm_writev), CALL(tgkill), CALL(prlimit64), CALL(set_robust_list), CALL(rseq) };

struct filter {
	scmp_filter_ctx context;
	unsigned n;
	int why; /* of the first rule that was refused */
};

static void
allow(struct filter *f, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int why = seccomp_rule_add(f->context, SCMP_ACT_ALLOW, calls[i], 0);

		if (why != 0 && why != -EEXIST && !f->why)
			f->why = why;
		f->n++;
	}
}

#define ALLOW(f, list) allow(f, list, sizeof list / sizeof list[0])

static void
allow_if(struct filter *f, int call, unsigned n, const struct scmp_arg_cmp *arguments)
{
	int why = seccomp_rule_add_array(f->context, SCMP_ACT_ALLOW, call, n, arguments);

	if (why != 0 && !f->why)
		f->why = why;
	f->n++;
}

static void
allow_socket(struct filter *f, int family, int type)
{
	allow_if(f, CALL(socket), 2,
		(struct scmp_arg_cmp[]){ SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)family),
			SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xf, (scmp_datum_t)type) });
}

/* The kernel looks at 32 bits of a command. */
#define IS_32(argument, value) \
	SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, 0xffffffff, (scmp_datum_t)(value))

static void
allow_commands(struct filter *f, int call, const unsigned *commands, size_t n)
{
	for (size_t i = 0; i < n; i++)
		allow_if(f, call, 1, (struct scmp_arg_cmp[]){ IS_32(1, commands[i]) });
}

#define ALLOW_COMMANDS(f, call, list) allow_commands(f, call, list, sizeof list / sizeof list[0])

/* What is done to a descriptor that is there. */
static void
allow_settings(struct filter *f, unsigned may)
{
	const unsigned n = f->n;

	ALLOW_COMMANDS(f, CALL(ioctl), ioctls);
	ALLOW_COMMANDS(f, CALL(fcntl), fcntls);
	allow_if(f, CALL(fcntl), 2,
		(struct scmp_arg_cmp[]){
			IS_32(1, F_SETFL), SCMP_A2_64(SCMP_CMP_MASKED_EQ, O_ASYNC, 0) });
	if (may & SANDBOX_ASKS) /* the scope of an IPv6 address */
		allow_if(f, CALL(ioctl), 1, (struct scmp_arg_cmp[]){ IS_32(1, SIOCGIFINDEX) });
	if (may & (SANDBOX_DIALS | SANDBOX_ASKS))
		allow_if(f, CALL(setsockopt), 0, NULL);
	else
		for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
			allow_if(f, CALL(setsockopt), 2,
				(struct scmp_arg_cmp[]){
					IS_32(1, options[i].level), IS_32(2, options[i].name) });
	f->n = n + 3; /* calls, however many rules */
}

static void
allow_with_arguments(struct filter *f, unsigned may)
{
	const struct scmp_arg_cmp to_ourselves = SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)getpid());
	const struct scmp_arg_cmp is_data = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	/* MSG_FASTOPEN connects: it is for those who may, as libunbound does over TCP. */
	const struct scmp_arg_cmp sends[] = { SCMP_A3_64(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0),
		SCMP_A4_64(SCMP_CMP_EQ, 0) };
	const struct scmp_arg_cmp sends_message = SCMP_A2_64(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0);

	allow_if(f, CALL(sendto), may & SANDBOX_ASKS ? 0 : 2, sends);
	allow_if(f, CALL(sendmsg), may & SANDBOX_ASKS ? 0 : 1, &sends_message);
	allow_if(f, CALL(mmap), 1, &is_data);
	allow_if(f, CALL(mprotect), 1, &is_data);
	allow_settings(f, may);
	if (!sandbox_is_sanitized()) {
		allow_if(f, CALL(tgkill), 1, &to_ourselves);
		allow_if(f, CALL(prlimit64), 2, /* to read our own */
			(struct scmp_arg_cmp[]){
				SCMP_A0_64(SCMP_CMP_EQ, 0), SCMP_A2_64(SCMP_CMP_EQ, 0) });
	}
	for (size_t i = 0; i < 2; i++) {
		int family = i == 0 ? AF_INET : AF_INET6;

		if (may & SANDBOX_DIALS)
			allow_socket(f, family, SOCK_STREAM);
		if (may & SANDBOX_ASKS)
			allow_socket(f, family, SOCK_DGRAM);
	}
	if (may & SANDBOX_DIALS_UNIX)
		allow_socket(f, AF_UNIX, SOCK_STREAM);
	if (may & SANDBOX_PAIRS)
		allow_if(f, CALL(socketpair), 2,
			(struct scmp_arg_cmp[]){ SCMP_A0_64(SCMP_CMP_EQ, AF_UNIX),
				SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM) });
	if (may & SANDBOX_ASKS) /* getifaddrs */
		allow_if(f, CALL(socket), 2,
			(struct scmp_arg_cmp[]){ SCMP_A0_64(SCMP_CMP_EQ, AF_NETLINK),
				SCMP_A2_64(SCMP_CMP_EQ, NETLINK_ROUTE) });
}

static void
allow_all_of(struct filter *f, unsigned may)
{
	ALLOW(f, always);
	if (may & SANDBOX_OPENS)
		ALLOW(f, opening);
	if (may & SANDBOX_CHANGES)
		ALLOW(f, changing);
	if (may & (SANDBOX_DIALS | SANDBOX_DIALS_UNIX | SANDBOX_ASKS))
		ALLOW(f, dialling);
	if (sandbox_is_sanitized())
		ALLOW(f, sanitizing);
	allow_with_arguments(f, may);
}

void
sandbox_close_rings(void)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);

	if (context &&
		seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0) == 0)
		seccomp_load(context);
	seccomp_release(context);
}

bool
sandbox_calls_load(unsigned may, unsigned *n, struct err *e)
{
	struct filter f = { .context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS)) };
	const uint32_t action = SECCOMP_RET_ERRNO;
	int why;

	*n = 0;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0) {
		seccomp_release(f.context);
		return true; /* this kernel has no filter of calls */
	}
	if (!f.context)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "no memory for the filter of calls");
	seccomp_attr_set(f.context, SCMP_FLTATR_CTL_TSYNC, 1);
	seccomp_attr_set(f.context, SCMP_FLTATR_CTL_OPTIMIZE,
		2); /* a tree, not a list: asked at every call */
	allow_all_of(&f, may);
	why = f.why ? f.why : seccomp_load(f.context);
	seccomp_release(f.context);
	if (why != 0) {
		errno = -why;
		return err_set_errno(e, "the filter of calls cannot be loaded");
	}
	*n = f.n;
	return true;
}
