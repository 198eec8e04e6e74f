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
#include "config/config.h"
#include "io/ipc.h"
#include "io/loop.h"
#include "io/sandbox.h"
#include "role/master/complaint.h"
#include "role/master/dial.h"
#include "role/master/door.h"
#include "role/master/house.h"
#include "role/master/notify.h"
#include "role/master/seat.h"
#include "role/master/status.h"
#include "role/master/start.h"
#include "role/master/table.h"

/*
 * Master holds what must survive the death of a role: the listening sockets and the configuration.
 * It starts the roles, joins them by channels, starts again what died, and ends them in order. It
 * reads no file's contents and no octet from a network; of the words of its roles it looks for the ends of lines.
 *
 *             start_role              `ready`
 *   absent ──────────────▶ starting ────────▶ working
 *      ▲                       │                 │
 *      └────── role_died ──────┴─────────────────┘
 *        (its pidfd says so; role_again starts it after a pause that grows while it dies young)
 */

enum {
	PAUSE_FIRST_MS = 50,
	PAUSE_MOST_MS = 5000,
	YOUNG_MS = 2000,		    /* a role that dies younger makes the pause grow */
	DRAIN_MS = 30000,		    /* then what is left is killed */
	TABLE_MS = 10 * 60 * 1000,	    /* so often the gate's memory goes to disk */
	CERTIFICATES_LINES_MAX = 48 * 1024, /* as many as there may be */
};

/* The order of ending: nobody is ended before those who hand work to it. */
static const unsigned drain_order[] = { ROLE_WEB, ROLE_READER, ROLE_RECEIVE, ROLE_QUEUE,
	ROLE_SEND | ROLE_STORE | ROLE_VAULT | ROLE_RESOLVE };

enum { STAGES = sizeof drain_order / sizeof drain_order[0] };

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

/* It has said why; another try would say the same. */
static bool
is_final(int status)
{
	return WIFEXITED(status) &&
	       (WEXITSTATUS(status) == EX_CONFIG || WEXITSTATUS(status) == EX_OSERR ||
		       WEXITSTATUS(status) == EX_NOPERM || WEXITSTATUS(status) == EX_OSFILE);
}

static void
role_pause(struct process *p, int64_t age_ms)
{
	p->pause_ms = age_ms >= YOUNG_MS ? 0 : p->pause_ms ? p->pause_ms * 2 : PAUSE_FIRST_MS;
	if (p->pause_ms > PAUSE_MOST_MS)
		p->pause_ms = PAUSE_MOST_MS;
	loop_timer_set(p->again, p->pause_ms);
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
	words_close(&p->words);
	if (m->draining == 0 || status != 0)
		log_event("role-ended", "role=%s pid=%d %s=%d", ipc_role_name(p->role), (int)p->pid,
			WIFSIGNALED(status) ? "signal" : "exit",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	p->pid = 0;
	p->is_guarded = p->is_ready = false;
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
	p->restarts += status != 0; /* a role that begins anew for a reload ends well */
	say_status(m);
	role_pause(p, age);
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
	complaint_forget(p);
	if (!start_role(p, role_died, master_came)) {
		role_pause(p, 0);
		return;
	}
	seat_join(p);
	say_status(p->master);
}

/* ── what roles say ── */

static void
say_status(const struct master *m)
{
	struct status_role roles[PROCESSES];
	size_t n = 0;

	for (size_t i = 0; i < PROCESSES; i++) {
		const struct process *p = &m->processes[i];
		const struct master_user *user = &m->plan.users[i];

		if (!p->is_wanted)
			continue;
		roles[n++] = (struct status_role){ .name = ipc_role_name(p->role),
			.pid = p->pid,
			.uid = user->is_set ? user->uid : (unsigned)geteuid(),
			.started_ms = loop_wall_ms() - (loop_now_ms(m->loop) - p->started_ms),
			.restarts = p->restarts,
			.is_ready = p->is_ready,
			.guard = buf_str(&p->guard) };
	}
	status_write(m->plan.state, m->started_ms, roles, n, buf_str(&m->certificates));
}

static void
say_ready(struct master *m)
{
	char lines[128];

	for (size_t i = 0; i < PROCESSES; i++)
		if (m->processes[i].is_wanted && !m->processes[i].is_ready)
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

/* Lines of a role for people, in fields: nothing in them moves a terminal. */
static void
take_lines(struct buf *to, struct str lines)
{
	struct str line, field, rest;

	buf_reset(to);
	while (scan_until(&lines, '\n', &line)) {
		for (rest = line; scan_until(&rest, '\t', &field);) {
			buf_add_clean(to, field, true);
			buf_add_char(to, '\t');
		}
		buf_add_clean(to, rest, true);
		buf_add_char(to, '\n');
	}
}

static void
master_came(void *owner, struct ipc *from, struct ipc_message *message)
{
	struct process *p = owner, *other;

	(void)from;
	switch (message->kind) {
	case IPC_guarded:
		if (p->is_guarded) {
			complaint_end_liar(p, "guarded-again");
			break;
		}
		p->is_guarded = true;
		take_lines(&p->guard, message->guarded.lines);
		say_status(p->master);
		break;
	case IPC_certified:
		take_lines(&p->master->certificates, message->certified.lines);
		say_status(p->master);
		break;
	case IPC_ready:
		if (!p->is_guarded || p->is_ready) {
			complaint_end_liar(p, "ready-out-of-order");
			break;
		}
		p->is_ready = true;
		say_status(p->master);
		say_ready(p->master);
		break;
	case IPC_seat:
		if (!p->master->draining && p->master->processes[MASTER_WEB].is_wanted)
			seat_take(p->master, &message->seat);
		break;
	case IPC_lost:
		if (message->lost.role == ROLE_READER) {
			seat_end(p->master, message->lost.index);
			break;
		}
		other = process_of(p->master, (enum ipc_role)message->lost.role);
		if (!other || !other->channel || !start_may_talk(p->role, other->role) ||
			p->master->draining)
			break;
		complaint_take(p, other, message->lost.broke_rules);
		break;
	case IPC_reopen:
		start_hand_over_configuration(p);
		break;
	case IPC_dial:
		dial(&p->master->plan, p->master->configuration, p->channel, &message->dial);
		break;
	default: /* its channel closed: it is dying, or lying; its pidfd will tell */
		ipc_close(&p->channel);
		if (message->broke_rules && p->pid)
			kill(p->pid, SIGKILL);
		break;
	}
}

/* ── the end, and signals ── */

struct process *
master_next_process(struct master *m, size_t *at)
{
	while (*at < PROCESSES + READERS_MAX) {
		size_t i = (*at)++;

		if (i < PROCESSES)
			return &m->processes[i];
		if (m->seats[i - PROCESSES])
			return &m->seats[i - PROCESSES]->process;
	}
	return NULL;
}

static bool
lives_until(struct master *m, unsigned stages)
{
	const struct process *p;

	for (size_t at = 0; (p = master_next_process(m, &at));)
		for (unsigned stage = 0; stage < stages; stage++)
			if ((p->role & drain_order[stage]) && p->pid)
				return true;
	return false;
}

/* Ends the next group of the order once all before it are gone. */
static void
drain_next(struct master *m)
{
	const struct process *p;

	if (lives_until(m, m->draining))
		return;
	if (m->draining == STAGES) {
		loop_stop(m->loop);
		return;
	}
	for (size_t at = 0; (p = master_next_process(m, &at));)
		if (p->role & drain_order[m->draining])
			ipc_send_drain(p->channel, &(struct ipc_drain){ .fd = -1 });
	m->draining++;
	drain_next(m);
}

static void
reader_ended(struct master *m)
{
	if (m->draining)
		drain_next(m);
}

static void
drain_late(void *owner)
{
	struct master *m = owner;

	const struct process *p;

	for (size_t at = 0; (p = master_next_process(m, &at));)
		if (p->pid) {
			log_event("drain-late", "role=%s", ipc_role_name(p->role));
			kill(p->pid, SIGKILL);
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
			master_reload(m);
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
	if (!house_prepare_state(m->plan.state, e) || !start_open_submit(m, e) ||
		!start_open_control(m, e))
		return false;
	status_forget(m->plan.state);
	return true;
}

/* A port that the service manager listens on and no door serves: whoever calls there hears at once that nobody is in. The
 * descriptor alone closed would let them hang, for the manager keeps its own. */
static void
on_unused(void *owner, int events)
{
	const int *unused = owner;
	int fd = accept4(*unused, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd >= 0)
		close(fd);
}

static void
watch_unused(struct master *m)
{
	static int unused[NOTIFY_SOCKETS_MAX];
	size_t n = notify_unused(unused);

	for (size_t i = 0; i < n; i++)
		loop_watch_set(
			loop_watch_open(m->loop, unused[i], on_unused, &unused[i]), LOOP_READ);
}

static void
keep_table(void *owner)
{
	struct master *m = owner;

	table_keep(m->table, m->plan.state);
	loop_timer_set(m->keep_table, TABLE_MS);
}

/* Who closed them before starting us must not find a door in their place. */
static void
hold_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static bool
has_web(const struct master_plan *plan)
{
	for (uint32_t i = 0; i < plan->doors_n; i++)
		if (plan->doors[i].door == CONFIG_WEB)
			return true;
	return false;
}

/* Everybody whom the file wants, absent still; and what readers are started from. */
static bool
open_processes(struct master *m, struct err *e)
{
	static const enum ipc_role roles[PROCESSES] = { [MASTER_VAULT] = ROLE_VAULT,
		[MASTER_RESOLVE] = ROLE_RESOLVE,
		[MASTER_STORE] = ROLE_STORE,
		[MASTER_SEND] = ROLE_SEND,
		[MASTER_QUEUE] = ROLE_QUEUE,
		[MASTER_RECEIVE] = ROLE_RECEIVE,
		[MASTER_WEB] = ROLE_WEB };
	struct process reader = { .role = ROLE_READER };

	for (size_t i = 0; i < PROCESSES; i++) {
		struct process *p = &m->processes[i];

		*p = (struct process){ .role = roles[i],
			.place = (enum master_place)i,
			.is_wanted = i != MASTER_WEB || has_web(&m->plan),
			.master = m,
			.guard.max = SANDBOX_LINES_MAX };
		if (!p->is_wanted)
			continue;
		p->again = loop_timer_open(m->loop, role_again, p);
		if (!start_open_executable(p, e))
			return false;
	}
	if (m->processes[MASTER_WEB].is_wanted && !start_open_executable(&reader, e))
		return false;
	m->reader_executable = reader.executable;
	return true;
}

int
master_run(const char *path, master_read *read_config)
{
	static struct master m;
	struct err e = { 0 };

	hold_standard_descriptors();
	m = (struct master){ .path = path,
		.read_config = read_config,
		.loop = loop_open(),
		.certificates.max = CERTIFICATES_LINES_MAX };
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
	m.join = loop_timer_open(m.loop, complaint_join_again, &m);
	m.keep_table = loop_timer_open(m.loop, keep_table, &m);
	loop_timer_set(m.keep_table, TABLE_MS);
	if (!open_processes(&m, &e)) {
		fprintf(stderr, "posthouse: %s\n", e.text);
		return EX_OSFILE;
	}
	m.reader_ended = reader_ended;
	watch_unused(&m);
	m.watchdog_ms = notify_watchdog_ms();
	notify_forget_environment();
	if (m.watchdog_ms > 0) {
		m.watchdog = loop_timer_open(m.loop, on_watchdog, &m);
		on_watchdog(&m);
	}
	house_prepare_mail(&m.plan);
	for (size_t i = 0; i < PROCESSES; i++)
		if (m.processes[i].is_wanted)
			role_start(&m.processes[i]);
	loop_run(m.loop);
	table_keep(m.table, m.plan.state);
	log_event("ended", "exit=%d", m.exit_code);
	return m.exit_code;
}
