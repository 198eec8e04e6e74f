/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/ipc.h"
#include "io/loop.h"
#include "role/master/door.h"

/*
 * Master holds what must survive the death of a role: the listening sockets and the configuration.
 * It starts the roles, joins them by channels, starts again what died, and ends them in order. It
 * reads no file's contents and no octet from a network.
 *
 *             role_start              `ready`
 *   absent ──────────────▶ starting ────────▶ working
 *      ▲                       │                 │
 *      └────── role_died ──────┴─────────────────┘
 *        (its pidfd says so; role_again starts it after a pause that grows while it dies young)
 */

enum {
	PAUSE_FIRST_MS = 50,
	PAUSE_MOST_MS = 5000,
	YOUNG_MS = 2000,  /* a role that dies younger makes the pause grow */
	DRAIN_MS = 30000, /* then what is left is killed */
	CHANNEL_BUFFER = 1024 * 1024,
};

struct process {
	enum ipc_role role;
	pid_t pid; /* 0: absent */
	int pidfd;
	struct ipc *channel;
	struct loop_watch *watch;
	struct loop_timer *again;
	int64_t started_ms;
	int64_t pause_ms;
	bool is_ready;
	struct master *master;
};

enum { PROCESSES = 6 };

struct master {
	struct loop *loop;
	const char *path;
	master_read *read_config;
	struct master_plan plan;
	int config_fd;
	int doors[MASTER_DOORS_MAX];
	int submit, control;
	struct process processes[PROCESSES];
	struct loop_watch *signals;
	struct loop_timer *deadline;
	int signal_fd;
	unsigned draining; /* how many stages of the order below have begun */
	bool was_ready;
	int exit_code;
};

/* Who talks to whom. */
static const enum ipc_role edges[][2] = {
	{ ROLE_RECEIVE, ROLE_QUEUE },
	{ ROLE_RECEIVE, ROLE_VAULT },
	{ ROLE_QUEUE, ROLE_VAULT },
	{ ROLE_QUEUE, ROLE_SEND },
	{ ROLE_QUEUE, ROLE_STORE },
	{ ROLE_QUEUE, ROLE_RESOLVE },
	{ ROLE_SEND, ROLE_VAULT },
};

/* The order of ending: nobody is ended before those who hand work to it. */
static const unsigned drain_order[] = { ROLE_RECEIVE, ROLE_QUEUE,
	ROLE_SEND | ROLE_STORE | ROLE_VAULT | ROLE_RESOLVE };

enum {
	EDGES = sizeof edges / sizeof edges[0],
	STAGES = sizeof drain_order / sizeof drain_order[0]
};

static void role_start(struct process *p);
static void master_came(void *owner, struct ipc *from, struct ipc_message *m);
static void drain_next(struct master *m);

static struct process *
process_of(struct master *m, enum ipc_role role)
{
	for (size_t i = 0; i < PROCESSES; i++)
		if (m->processes[i].role == role)
			return &m->processes[i];
	return NULL;
}

/* ── starting a role ── */

/* The file to execute for a role, beside our own: vault and resolve have libraries that nobody else
 * needs to map. */
static void
executable_path(enum ipc_role role, char path[4096])
{
	ssize_t n = readlink("/proc/self/exe", path, 4000);

	must(n > 0);
	path[n] = 0;
	if (role == ROLE_VAULT)
		memcpy(path + n, "-vault", sizeof "-vault");
	if (role == ROLE_RESOLVE)
		memcpy(path + n, "-resolve", sizeof "-resolve");
}

/* In the child, between fork and exec: only calls that are safe there. */
static _Noreturn void
become_role(const char *path, int channel, char *const argv[])
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (channel == 3)
		fcntl(channel, F_SETFD, 0);
	else
		dup2(channel, 3);
	execv(path, argv);
	_exit(EX_OSFILE);
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

static void
hand_over(struct process *p)
{
	struct master *m = p->master;

	ipc_send_configure(
		p->channel, &(struct ipc_configure){ .fd = m->config_fd, .name = str_of(m->path) });
	if (p->role == ROLE_RECEIVE) {
		for (uint32_t i = 0; i < m->plan.doors_n; i++)
			ipc_send_listener(
				p->channel, &(struct ipc_listener){ .fd = m->doors[i],
						    .door = (uint8_t)m->plan.doors[i].door,
						    .name = str_of(m->plan.doors[i].name) });
		ipc_send_listener(p->channel,
			&(struct ipc_listener){
				.fd = m->submit, .door = DOOR_SUBMIT, .name = S("submit") });
	}
	if (p->role == ROLE_QUEUE)
		ipc_send_listener(p->channel,
			&(struct ipc_listener){
				.fd = m->control, .door = DOOR_CONTROL, .name = S("control") });
}

static bool
is_edge(enum ipc_role a, enum ipc_role b)
{
	for (size_t i = 0; i < EDGES; i++)
		if ((edges[i][0] == a && edges[i][1] == b) ||
			(edges[i][0] == b && edges[i][1] == a))
			return true;
	return false;
}

/* A fresh channel between two that have something to say to each other, and live. */
static void
join(struct process *a, struct process *b)
{
	int pair[2];

	if (!a->pid || !b->pid || !is_edge(a->role, b->role))
		return;
	if (!channel_pair(pair)) {
		log_event("no-channel", "between=%s,%s errno=%d", ipc_role_name(a->role),
			ipc_role_name(b->role), errno);
		return;
	}
	ipc_send_peer(a->channel, &(struct ipc_peer){ .fd = pair[0], .role = (uint8_t)b->role });
	ipc_send_peer(b->channel, &(struct ipc_peer){ .fd = pair[1], .role = (uint8_t)a->role });
	close(pair[0]);
	close(pair[1]);
}

static void
join_peers(struct process *p)
{
	for (size_t i = 0; i < PROCESSES; i++)
		join(p, &p->master->processes[i]);
}

static void
role_died(void *owner, int events)
{
	struct process *p = owner;
	struct master *m = p->master;
	int64_t age = loop_now_ms(m->loop) - p->started_ms;
	int status = 0;

	(void)events;
	if (waitpid(p->pid, &status, WNOHANG) != p->pid)
		return;
	if (m->draining == 0 || status != 0)
		log_event("role-ended", "role=%s pid=%d %s=%d", ipc_role_name(p->role), (int)p->pid,
			WIFSIGNALED(status) ? "signal" : "exit",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	p->pid = 0;
	p->is_ready = false;
	loop_watch_close(&p->watch);
	close(p->pidfd);
	ipc_close(&p->channel);
	if (m->draining) {
		drain_next(m);
		return;
	}
	if (!m->was_ready && WIFEXITED(status) && WEXITSTATUS(status) == EX_CONFIG) {
		m->exit_code = EX_CONFIG; /* it has said why; another try would say the same */
		loop_stop(m->loop);
		return;
	}
	p->pause_ms = age >= YOUNG_MS ? 0 : p->pause_ms ? p->pause_ms * 2 : PAUSE_FIRST_MS;
	if (p->pause_ms > PAUSE_MOST_MS)
		p->pause_ms = PAUSE_MOST_MS;
	loop_timer_set(p->again, p->pause_ms);
}

static void
role_again(void *owner)
{
	struct process *p = owner;

	if (!p->pid && !p->master->draining)
		role_start(p);
}

static void
role_start(struct process *p)
{
	struct master *m = p->master;
	char path[4096], title[32];
	char *argv[] = { title, (char[]){ "role" }, (char[]){ "          " }, NULL };
	int pair[2];

	executable_path(p->role, path);
	snprintf(title, sizeof title, "posthouse: %s", ipc_role_name(p->role));
	snprintf(argv[2], 11, "%s", ipc_role_name(p->role));
	must(channel_pair(pair));
	p->pid = fork();
	must(p->pid >= 0);
	if (p->pid == 0)
		become_role(path, pair[1], argv);
	close(pair[1]);
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	must(p->pidfd >= 0);
	p->started_ms = loop_now_ms(m->loop);
	p->watch = loop_watch_open(m->loop, p->pidfd, role_died, p);
	loop_watch_set(p->watch, LOOP_READ);
	p->channel = ipc_open(m->loop, pair[0], ROLE_MASTER, p->role, master_came, p);
	hand_over(p);
	join_peers(p);
	ipc_send_begin(p->channel, &(struct ipc_begin){ .fd = -1 });
}

/* ── what roles say ── */

static void
say_ready(struct master *m)
{
	const char *path = getenv("NOTIFY_SOCKET"); /* sd_notify(3): one datagram */
	struct sockaddr_storage to = { .ss_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	int s;

	for (size_t i = 0; i < PROCESSES; i++)
		if (!m->processes[i].is_ready)
			return;
	if (m->was_ready)
		return;
	m->was_ready = true;
	log_event("ready", "doors=%u", m->plan.doors_n);
	if (n == 0 || n > 100)
		return;
	memcpy((char *)&to + offsetof(struct sockaddr_storage, ss_family) + sizeof to.ss_family,
		path, n);
	if (path[0] == '@')
		*((char *)&to + offsetof(struct sockaddr_storage, ss_family) +
			sizeof to.ss_family) = 0;
	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return;
	sendto(s, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&to,
		(socklen_t)(sizeof to.ss_family + n));
	close(s);
}

static void
master_came(void *owner, struct ipc *from, struct ipc_message *message)
{
	struct process *p = owner, *other;

	(void)from;
	switch (message->kind) {
	case IPC_ready:
		p->is_ready = true;
		say_ready(p->master);
		break;
	case IPC_lost:
		other = process_of(p->master, (enum ipc_role)message->lost.role);
		if (!other || !other->pid || !is_edge(p->role, other->role) || p->master->draining)
			break;
		if (message->lost.broke_rules) {
			log_event("fault", "role=%s says=%s", ipc_role_name(other->role),
				ipc_role_name(p->role));
			kill(other->pid, SIGKILL);
		} else {
			join(p, other);
		}
		break;
	default: /* its channel closed: it is dying, or lying; its pidfd will tell */
		ipc_close(&p->channel);
		if (message->broke_rules && p->pid)
			kill(p->pid, SIGKILL);
		break;
	}
}

/* ── reload and end ── */

static bool
may_reload(const struct master_plan *a, const struct master_plan *b)
{
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): plans begin as zero, padding too */
	return memcmp(a, b, sizeof *a) == 0;
}

static void
reload(struct master *m)
{
	struct master_plan plan = { 0 };
	int fd = -1;

	if (!m->read_config(m->path, &plan, &fd)) {
		log_event("reload-refused", "kept=old");
		return;
	}
	if (!may_reload(&plan, &m->plan)) {
		log_event("reload-refused", "kept=old why=\"listen, state, spool, segment-size or "
					    "memory has changed: restart the station to apply\"");
		close(fd);
		return;
	}
	close(m->config_fd);
	m->config_fd = fd;
	for (size_t i = 0; i < PROCESSES; i++)
		ipc_send_configure(m->processes[i].channel,
			&(struct ipc_configure){ .fd = fd, .name = str_of(m->path) });
	log_event("reloaded", "file=%s", log_quote(str_of(m->path)));
}

/* Ends the next group of the order once all before it are gone. */
static void
drain_next(struct master *m)
{
	for (size_t i = 0; i < PROCESSES; i++)
		for (unsigned stage = 0; stage < m->draining; stage++)
			if ((m->processes[i].role & drain_order[stage]) && m->processes[i].pid)
				return;
	if (m->draining == STAGES) {
		loop_stop(m->loop);
		return;
	}
	for (size_t i = 0; i < PROCESSES; i++)
		if (m->processes[i].role & drain_order[m->draining])
			ipc_send_drain(m->processes[i].channel, &(struct ipc_drain){ .fd = -1 });
	m->draining++;
	drain_next(m);
}

static void
drain_late(void *owner)
{
	struct master *m = owner;

	for (size_t i = 0; i < PROCESSES; i++)
		if (m->processes[i].pid) {
			log_event("drain-late", "role=%s", ipc_role_name(m->processes[i].role));
			kill(m->processes[i].pid, SIGKILL);
		}
}

static void
master_signal(void *owner, int events)
{
	struct master *m = owner;
	struct signalfd_siginfo info;

	(void)events;
	while (read(m->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGHUP) {
			reload(m);
		} else if (m->draining == 0) {
			log_event("draining", "signal=%u", info.ssi_signo);
			loop_timer_set(m->deadline, DRAIN_MS);
			drain_next(m);
		} else if (info.ssi_signo == SIGINT) {
			drain_late(m); /* a second Ctrl-C: at once */
		}
	}
}

static bool
open_signals(struct master *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	m->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (m->signal_fd < 0)
		return false;
	m->signals = loop_watch_open(m->loop, m->signal_fd, master_signal, m);
	loop_watch_set(m->signals, LOOP_READ);
	return true;
}

static bool
open_doors(struct master *m, struct err *e)
{
	for (uint32_t i = 0; i < m->plan.doors_n; i++)
		if (!door_open_inet(&m->plan.doors[i], &m->doors[i], e))
			return false;
	return door_make_directory(m->plan.state, e) &&
	       door_open_unix(m->plan.state, "submit", SOCK_STREAM, 0666, &m->submit, e) &&
	       door_open_unix(m->plan.state, "control", SOCK_SEQPACKET, 0600, &m->control, e);
}

int
master_run(const char *path, master_read *read_config)
{
	static const enum ipc_role roles[PROCESSES] = { ROLE_VAULT, ROLE_RESOLVE, ROLE_STORE,
		ROLE_SEND, ROLE_QUEUE, ROLE_RECEIVE };
	static struct master m;
	struct err e = { 0 };

	m = (struct master){ .path = path, .read_config = read_config, .loop = loop_open() };
	log_open("station");
	signal(SIGPIPE, SIG_IGN);
	if (!read_config(path, &m.plan, &m.config_fd))
		return EX_CONFIG;
	if (!open_doors(&m, &e) || !open_signals(&m)) {
		fprintf(stderr, "posthouse: %s\n", e.text);
		return e.cause == EACCES ? EX_NOPERM : EX_OSERR;
	}
	m.deadline = loop_timer_open(m.loop, drain_late, &m);
	for (size_t i = 0; i < PROCESSES; i++) {
		m.processes[i] = (struct process){ .role = roles[i], .master = &m };
		m.processes[i].again = loop_timer_open(m.loop, role_again, &m.processes[i]);
	}
	for (size_t i = 0; i < PROCESSES; i++)
		role_start(&m.processes[i]);
	loop_run(m.loop);
	log_event("ended", "exit=%d", m.exit_code);
	return m.exit_code;
}
