/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/start.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/sandbox.h"
#include "role/master/door.h"
#include "role/profile.h"

/*
 * How a role begins: a process that holds nothing of ours but what is handed to it, in this order: its files, the configuration,
 * its listeners, channels to its peers, and `begin` (role/role.h has the other side).
 */

enum { ROLE_CHANNEL = 3, CHANNEL_BUFFER = 1024 * 1024 };

/* Who talks to whom. */
static const enum ipc_role edges[][2] = {
	{ ROLE_RECEIVE, ROLE_QUEUE },
	{ ROLE_RECEIVE, ROLE_VAULT },
	{ ROLE_RECEIVE, ROLE_RESOLVE },
	{ ROLE_QUEUE, ROLE_VAULT },
	{ ROLE_QUEUE, ROLE_SEND },
	{ ROLE_QUEUE, ROLE_STORE },
	{ ROLE_QUEUE, ROLE_RESOLVE },
	{ ROLE_SEND, ROLE_VAULT },
	{ ROLE_WEB, ROLE_VAULT },
	{ ROLE_WEB, ROLE_READER },
	{ ROLE_READER, ROLE_QUEUE },
};

enum { EDGES = sizeof edges / sizeof edges[0] };

/* The file to execute for a role, beside our own: some have libraries that nobody else needs to map. */
bool
start_open_executable(struct process *p, struct err *e)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, 4000);

	must(n > 0);
	path[n] = 0;
	if (p->role & (ROLE_VAULT | ROLE_RESOLVE | ROLE_READER | ROLE_WEB))
		snprintf(path + n, sizeof path - (size_t)n, "-%s", ipc_role_name(p->role));
	p->executable = open(path, O_PATH | O_CLOEXEC);
	return p->executable >= 0 ||
	       err_set_errno(e, "%s, the program of the role %s, cannot be opened", path,
		       ipc_role_name(p->role));
}

/* Not by log_event: lines of master that are still gathered would go out twice. */
static _Noreturn void
end_child(const struct process *p, const char *event, int code)
{
	dprintf(STDERR_FILENO, "%s: %s user=%u why=\"%s\"\n", ipc_role_name(p->role), event,
		geteuid(), strerror(errno));
	_exit(code);
}

/* All that a role begins with: nothing to read, a pipe for its words, its channel. Whatever else we hold or have inherited stays
 * here. */
static bool
arrange_descriptors(int channel, int words)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0 ||
		dup2(words, STDERR_FILENO) < 0)
		return false;
	if (channel == ROLE_CHANNEL ? fcntl(channel, F_SETFD, 0) != 0
				    : dup2(channel, ROLE_CHANNEL) < 0)
		return false;
	if (close_range(ROLE_CHANNEL + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0) /* before Linux 5.11 */
		for (int fd = ROLE_CHANNEL + 1; fd < sysconf(_SC_OPEN_MAX); fd++)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	return true;
}

/* In the child, between fork and exec: only calls that are safe there. We have one thread, so that the environment is nobody's
 * else. Without a terminal of its own session the role has none to type into. */
static _Noreturn void
become_role(const struct process *p, int channel, int words, char *const argv[])
{
	const struct master_user *user = &p->master->plan.users[p->place];
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	unsetenv("NOTIFY_SOCKET");
	if (setsid() < 0 || !arrange_descriptors(channel, words))
		end_child(p, "cannot-begin", EX_OSERR);
	if (!sandbox_shed(user->is_set ? &(struct sandbox_user){ user->uid, user->gid } : NULL,
		    profile_may(p->role)))
		end_child(p, "cannot-shed-rights", EX_NOPERM);
	execveat(p->executable, "", argv, environ, AT_EMPTY_PATH);
	end_child(p, "cannot-execute", EX_OSFILE);
}

static bool
channel_pair(int pair[2])
{
	int size = CHANNEL_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return true;
}

/* The files that the configuration names are opened here, since vault opens nothing outside the state directory.
 * Without waiting: a FIFO in their place must not stop the station. */
static void
hand_over_files(struct process *vault)
{
	const struct master_plan *plan = &vault->master->plan;

	for (uint32_t i = 0; i < plan->files_n; i++) {
		int fd = open(plan->files[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

		ipc_send_file(vault->channel, &(struct ipc_file){ .fd = fd,
						      .cause = fd < 0 ? (uint32_t)errno : 0,
						      .path = str_of(plan->files[i]) });
		if (fd >= 0)
			close(fd);
	}
}

void
start_hand_over_configuration(struct process *p)
{
	const struct master *m = p->master;

	if (p->role == ROLE_VAULT)
		hand_over_files(p);
	ipc_send_configure(p->channel,
		&(struct ipc_configure){
			.fd = m->config_fd, .number = m->configuration, .name = str_of(m->path) });
}

void
start_hand_over_mailbox(struct seat *s)
{
	ipc_send_mailbox(s->process.channel, &(struct ipc_mailbox){ .fd = -1,
						     .login = buf_str(&s->login),
						     .directory = buf_str(&s->directory),
						     .token = buf_str(&s->token),
						     .addresses = buf_str(&s->addresses) });
}

/* ── doors ──
 * A listener outlives those who accept on it, and one of them may have shut it down before its end. */

static bool
is_open(int fd)
{
	struct pollfd is = { .fd = fd, .events = POLLRDHUP };
	socklen_t n = sizeof(int);
	int listens = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens &&
	       poll(&is, 1, 0) >= 0 && !(is.revents & (POLLRDHUP | POLLHUP));
}

/* Over TCP it still has its address. */
static void
mend_doors(struct master *m)
{
	for (uint32_t i = 0; i < m->plan.doors_n; i++)
		if (!is_open(m->doors[i]))
			log_event("door-was-shut", "door=%s again=%s", m->plan.doors[i].name,
				listen(m->doors[i], SOMAXCONN) == 0 ? "open" : "no");
}

bool
start_open_submit(struct master *m, struct err *e)
{
	return door_open_unix(m->plan.state, "submit", SOCK_STREAM, 0666, &m->submit, e);
}

bool
start_open_control(struct master *m, struct err *e)
{
	return door_open_unix(m->plan.state, "control", SOCK_SEQPACKET, 0600, &m->control, e);
}

/* A UNIX socket that was shut down stays so: another takes its name. */
static void
mend_unix(struct master *m, const int *fd, bool (*open_again)(struct master *m, struct err *e))
{
	struct err e = { 0 };
	const int old = *fd;
	bool good;

	if (is_open(old))
		return;
	good = open_again(m, &e);
	log_event("door-was-shut", "door=%s again=%s", fd == &m->submit ? "submit" : "control",
		good ? "open" : log_quote(str_of(e.text)));
	if (good)
		close(old);
}

/* Nobody after us puts a filter before those who call. */
static void
hand_over_listener(struct process *p, int fd, unsigned door, unsigned listen)
{
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on);
	ipc_send_listener(
		p->channel, &(struct ipc_listener){
				    .fd = fd, .door = (uint8_t)door, .listen = (uint8_t)listen });
}

static void
hand_over_doors(struct process *p)
{
	struct master *m = p->master;

	mend_doors(m);
	for (uint32_t i = 0; i < m->plan.doors_n; i++)
		if ((m->plan.doors[i].door == CONFIG_WEB) == (p->role == ROLE_WEB))
			hand_over_listener(
				p, m->doors[i], m->plan.doors[i].door, m->plan.doors[i].listen);
}

static void
hand_over(struct process *p)
{
	struct master *m = p->master;

	if (p->seat)
		start_hand_over_mailbox(p->seat);
	start_hand_over_configuration(p);
	if (p->role & (ROLE_RECEIVE | ROLE_WEB))
		hand_over_doors(p);
	if (p->role == ROLE_RECEIVE) {
		mend_unix(m, &m->submit, start_open_submit);
		hand_over_listener(p, m->submit, DOOR_SUBMIT, 0);
		ipc_send_table(p->channel, &(struct ipc_table){ .fd = m->table });
	}
	if (p->role == ROLE_QUEUE) {
		mend_unix(m, &m->control, start_open_control);
		hand_over_listener(p, m->control, DOOR_CONTROL, 0);
	}
}

bool
start_may_talk(enum ipc_role a, enum ipc_role b)
{
	for (size_t i = 0; i < EDGES; i++)
		if ((edges[i][0] == a && edges[i][1] == b) ||
			(edges[i][0] == b && edges[i][1] == a))
			return true;
	return false;
}

static uint16_t
index_of(const struct process *p)
{
	uint16_t i = 0;

	while (p->seat && p->master->seats[i] != p->seat)
		i++;
	return i;
}

void
start_join(struct process *a, struct process *b)
{
	int pair[2];

	if (!a->channel || !b->channel || !start_may_talk(a->role, b->role))
		return;
	if (!channel_pair(pair)) {
		log_event("no-channel", "between=%s,%s errno=%d", ipc_role_name(a->role),
			ipc_role_name(b->role), errno);
		return;
	}
	ipc_send_peer(a->channel,
		&(struct ipc_peer){
			.fd = pair[0], .role = (uint16_t)b->role, .index = index_of(b) });
	ipc_send_peer(b->channel,
		&(struct ipc_peer){
			.fd = pair[1], .role = (uint16_t)a->role, .index = index_of(a) });
	close(pair[0]);
	close(pair[1]);
}

static void
join_peers(struct process *p)
{
	if (p->seat)
		return; /* seat.c joins it, and says whose it is */
	for (size_t i = 0; i < PROCESSES; i++)
		start_join(p, &p->master->processes[i]);
}

/* False with errno: there is none. */
static bool
make_process(struct process *p, int channel, int words)
{
	char title[32];
	char *argv[] = { title, (char[]){ "role" }, (char[]){ "          " }, NULL };
	int cause;

	snprintf(title, sizeof title, "posthouse: %s", ipc_role_name(p->role));
	snprintf(argv[2], 11, "%s", ipc_role_name(p->role));
	p->pid = fork();
	if (p->pid == 0)
		become_role(p, channel, words, argv);
	if (p->pid > 0 && (p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0)) >= 0)
		return true;
	cause = errno;
	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	p->pid = 0;
	errno = cause;
	return false;
}

/* A process with its words and its channel, whose end here comes back; -1 with errno. */
static int
begin_process(struct process *p)
{
	int pair[2], words, cause;
	bool good;

	if (!channel_pair(pair))
		return -1;
	good = words_open(&p->words, p->master->loop, p->role, &words);
	if (good) {
		good = make_process(p, pair[1], words);
		cause = errno;
		close(words);
		if (!good)
			words_close(&p->words);
		errno = cause;
	}
	cause = errno;
	close(pair[1]);
	if (!good)
		close(pair[0]);
	errno = cause;
	return good ? pair[0] : -1;
}

bool
start_role(struct process *p, void (*died)(void *owner, int events),
	void (*came)(void *owner, struct ipc *from, struct ipc_message *m))
{
	struct master *m = p->master;
	int channel = begin_process(p);

	if (channel < 0) {
		log_event("no-process", "role=%s errno=%d", ipc_role_name(p->role), errno);
		return false;
	}
	if (p->started_ms) /* not the first time */
		log_event("role-started", "role=%s pid=%d", ipc_role_name(p->role), (int)p->pid);
	p->started_ms = loop_now_ms(m->loop);
	p->watch = loop_watch_open(m->loop, p->pidfd, died, p);
	loop_watch_set(p->watch, LOOP_READ);
	p->channel = ipc_open(m->loop, channel, ROLE_MASTER, p->role, came, p);
	hand_over(p);
	join_peers(p);
	ipc_send_begin(p->channel, &(struct ipc_begin){ .fd = -1 });
	return true;
}
