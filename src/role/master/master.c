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
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/ipc.h"
#include "io/loop.h"
#include "io/sandbox.h"
#include "role/master/dial.h"
#include "role/master/door.h"
#include "role/master/house.h"
#include "role/master/notify.h"
#include "role/master/status.h"
#include "role/profile.h"
#include "role/master/table.h"

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
	YOUNG_MS = 2000,	   /* a role that dies younger makes the pause grow */
	DRAIN_MS = 30000,	   /* then what is left is killed */
	TABLE_MS = 10 * 60 * 1000, /* so often the gate's memory goes to disk */
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
	unsigned restarts;
	int executable; /* opened at the start: every role is of one version, and need not reach the path */
	struct buf guard; /* what the kernel keeps it from, in its own words */
	struct master *master;
};

enum { PROCESSES = MASTER_PLACES };

struct master {
	struct loop *loop;
	const char *path;
	master_read *read_config;
	struct master_plan plan;
	int config_fd;
	int doors[MASTER_DOORS_MAX];
	int submit, control;
	int64_t started_ms, watchdog_ms;
	struct loop_timer *watchdog;
	int table; /* what the gate remembers */
	struct loop_timer *keep_table;
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
	{ ROLE_RECEIVE, ROLE_RESOLVE },
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
static void say_status(const struct master *m);
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
 * needs to map. -1 with errno. */
static int
open_executable(enum ipc_role role)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, 4000);

	must(n > 0);
	path[n] = 0;
	if (role == ROLE_VAULT)
		memcpy(path + n, "-vault", sizeof "-vault");
	if (role == ROLE_RESOLVE)
		memcpy(path + n, "-resolve", sizeof "-resolve");
	return open(path, O_PATH | O_CLOEXEC);
}

/* In the child, between fork and exec: only calls that are safe there. */
static _Noreturn void
become_role(const struct process *p, int channel, char *const argv[])
{
	const struct master_user *user = &p->master->plan.users[p - p->master->processes];
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (channel == 3)
		fcntl(channel, F_SETFD, 0);
	else
		dup2(channel, 3);
	if (!sandbox_shed(user->is_set ? &(struct sandbox_user){ user->uid, user->gid } : NULL,
		    profile_may(p->role)))
		_exit(EX_NOPERM);
	execveat(p->executable, "", argv, environ, AT_EMPTY_PATH);
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

static void
hand_over(struct process *p)
{
	struct master *m = p->master;

	if (p->role == ROLE_VAULT)
		hand_over_files(p);
	ipc_send_configure(
		p->channel, &(struct ipc_configure){ .fd = m->config_fd, .name = str_of(m->path) });
	if (p->role == ROLE_RECEIVE) {
		for (uint32_t i = 0; i < m->plan.doors_n; i++)
			ipc_send_listener(
				p->channel, &(struct ipc_listener){ .fd = m->doors[i],
						    .door = (uint8_t)m->plan.doors[i].door,
						    .listen = (uint8_t)m->plan.doors[i].listen });
		ipc_send_listener(
			p->channel, &(struct ipc_listener){ .fd = m->submit, .door = DOOR_SUBMIT });
		ipc_send_table(p->channel, &(struct ipc_table){ .fd = m->table });
	}
	if (p->role == ROLE_QUEUE)
		ipc_send_listener(p->channel,
			&(struct ipc_listener){ .fd = m->control, .door = DOOR_CONTROL });
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

/* It has said why; another try would say the same. */
static bool
is_final(int status)
{
	return WIFEXITED(status) &&
	       (WEXITSTATUS(status) == EX_CONFIG || WEXITSTATUS(status) == EX_OSERR ||
		       WEXITSTATUS(status) == EX_NOPERM);
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
	if (!m->was_ready && is_final(status)) {
		m->exit_code = WEXITSTATUS(status);
		loop_stop(m->loop);
		return;
	}
	p->restarts++;
	say_status(m);
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
	char title[32];
	char *argv[] = { title, (char[]){ "role" }, (char[]){ "          " }, NULL };
	int pair[2];

	snprintf(title, sizeof title, "posthouse: %s", ipc_role_name(p->role));
	snprintf(argv[2], 11, "%s", ipc_role_name(p->role));
	must(channel_pair(pair));
	p->pid = fork();
	must(p->pid >= 0);
	if (p->pid == 0)
		become_role(p, pair[1], argv);
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
	say_status(m);
}

/* ── what roles say ── */

static void
say_status(const struct master *m)
{
	struct status_role roles[PROCESSES];

	for (size_t i = 0; i < PROCESSES; i++) {
		const struct process *p = &m->processes[i];
		const struct master_user *user = &m->plan.users[i];

		roles[i] = (struct status_role){ .name = ipc_role_name(p->role),
			.pid = p->pid,
			.uid = user->is_set ? user->uid : (unsigned)geteuid(),
			.started_ms = loop_wall_ms() - (loop_now_ms(m->loop) - p->started_ms),
			.restarts = p->restarts,
			.is_ready = p->is_ready,
			.guard = buf_str(&p->guard) };
	}
	status_write(m->plan.state, m->started_ms, roles, PROCESSES);
}

static void
say_ready(struct master *m)
{
	char lines[128];

	for (size_t i = 0; i < PROCESSES; i++)
		if (!m->processes[i].is_ready)
			return;
	if (m->was_ready)
		return;
	m->was_ready = true;
	log_event("ready", "doors=%u", m->plan.doors_n);
	snprintf(lines, sizeof lines, "READY=1\nSTATUS=All roles work, %u doors are open",
		m->plan.doors_n);
	notify_say(lines);
}

/* Type=notify-reload pairs this with READY=1 by the moment on the monotonic clock. */
static void
say_reloading(void)
{
	struct timespec now;
	char lines[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(lines, sizeof lines, "RELOADING=1\nMONOTONIC_USEC=%lld",
		(long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	notify_say(lines);
}

static void
on_watchdog(void *owner)
{
	struct master *m = owner;

	notify_say("WATCHDOG=1");
	loop_timer_set(m->watchdog, m->watchdog_ms / 2);
}

static void
master_came(void *owner, struct ipc *from, struct ipc_message *message)
{
	struct process *p = owner, *other;

	(void)from;
	switch (message->kind) {
	case IPC_guarded:
		buf_reset(&p->guard);
		buf_add(&p->guard, message->guarded.lines);
		say_status(p->master);
		break;
	case IPC_ready:
		p->is_ready = true;
		say_status(p->master);
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
	case IPC_dial:
		dial(&p->master->plan, p->channel, &message->dial);
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
	return memcmp(a, b, offsetof(struct master_plan, mail_roots_n)) == 0;
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
		log_event("reload-refused",
			"kept=old why=\"listen, state, spool, users, trust, segment-size or "
			"memory has changed: restart the station to apply\"");
		close(fd);
		return;
	}
	close(m->config_fd);
	m->config_fd = fd;
	m->plan = plan;
	house_prepare_mail(&m->plan);
	hand_over_files(process_of(m, ROLE_VAULT));
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
			say_reloading();
			reload(m);
			notify_say("READY=1");
		} else if (m->draining == 0) {
			log_event("draining", "signal=%u", info.ssi_signo);
			notify_say("STOPPING=1\nSTATUS=Finishing what is under way");
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

static void
keep_table(void *owner)
{
	struct master *m = owner;

	table_keep(m->table, m->plan.state);
	loop_timer_set(m->keep_table, TABLE_MS);
}

int
master_run(const char *path, master_read *read_config)
{
	static const enum ipc_role roles[PROCESSES] = { [MASTER_VAULT] = ROLE_VAULT,
		[MASTER_RESOLVE] = ROLE_RESOLVE,
		[MASTER_STORE] = ROLE_STORE,
		[MASTER_SEND] = ROLE_SEND,
		[MASTER_QUEUE] = ROLE_QUEUE,
		[MASTER_RECEIVE] = ROLE_RECEIVE };
	static struct master m;
	struct err e = { 0 };

	m = (struct master){ .path = path, .read_config = read_config, .loop = loop_open() };
	log_open("station");
	signal(SIGPIPE, SIG_IGN);
	if (!read_config(path, &m.plan, &m.config_fd))
		return EX_CONFIG;
	m.started_ms = loop_wall_ms();
	if (!open_doors(&m, &e) || !house_prepare(&m.plan, &e) || !open_signals(&m)) {
		fprintf(stderr, "posthouse: %s\n", e.text);
		return e.cause == EACCES ? EX_NOPERM : EX_OSERR;
	}
	m.deadline = loop_timer_open(m.loop, drain_late, &m);
	m.table = table_open(m.plan.state);
	m.keep_table = loop_timer_open(m.loop, keep_table, &m);
	loop_timer_set(m.keep_table, TABLE_MS);
	for (size_t i = 0; i < PROCESSES; i++) {
		m.processes[i] = (struct process){ .role = roles[i],
			.master = &m,
			.executable = open_executable(roles[i]),
			.guard.max = SANDBOX_LINES_MAX };
		m.processes[i].again = loop_timer_open(m.loop, role_again, &m.processes[i]);
	}
	m.watchdog_ms = notify_watchdog_ms();
	notify_forget_environment();
	if (m.watchdog_ms > 0) {
		m.watchdog = loop_timer_open(m.loop, on_watchdog, &m);
		on_watchdog(&m);
	}
	status_lock(m.plan.state);
	house_prepare_mail(&m.plan);
	for (size_t i = 0; i < PROCESSES; i++)
		role_start(&m.processes[i]);
	loop_run(m.loop);
	table_keep(m.table, m.plan.state);
	log_event("ended", "exit=%d", m.exit_code);
	return m.exit_code;
}
