/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/seat.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/sandbox.h"

enum {
	TEXTS_MAX = IPC_TEXT_MAX,
	SEATS_SPARE = 16,	/* when fewer are free, one that nobody reads in is ended */
	SILENT_MS = 120 * 1000, /* who reads is asked for at least every minute */
	SPEAKS_MOST =
		2000, /* of a reader in SPEAKS_MS: far more than a call of 1000 submissions needs */
	SPEAKS_MS = 10 * 1000,
	ANSWERS_WAIT_MOST = 64, /* of a reader that does not take them */
	CALLERS_WAIT_MOST = 64, /* at receive: each has a descriptor of ours */
};

static unsigned
number_of(const struct seat *s)
{
	unsigned i = 0;

	while (s->process.master->seats[i] != s)
		i++;
	return i;
}

static void
seat_free(struct seat *s)
{
	s->process.master->seats[number_of(s)] = NULL;
	buf_free(&s->login);
	buf_free(&s->directory);
	buf_free(&s->token);
	buf_free(&s->addresses);
	buf_free(&s->process.guard);
	free(s);
}

static void
reader_died(void *owner, int events)
{
	struct process *p = owner;
	struct master *m = p->master;
	int status = 0;

	(void)events;
	if (waitpid(p->pid, &status, WNOHANG) != p->pid)
		return;
	words_close(&p->words);
	if (status != 0)
		log_event("role-ended", "role=reader pid=%d login=%s %s=%d", (int)p->pid,
			log_quote(buf_str(&p->seat->login)),
			WIFSIGNALED(status) ? "signal" : "exit",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	loop_watch_close(&p->watch);
	close(p->pidfd);
	ipc_close(&p->channel);
	seat_free(p->seat);
	m->reader_ended(m);
}

static void
reader_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct process *p = owner;

	(void)from;
	switch (m->kind) {
	case IPC_guarded:
	case IPC_ready:
		break; /* web and queue have its channel already, and wait for its answers */
	case IPC_speak:
		seat_speak(p, m->speak.ask);
		break;
	default: /* also `lost`: it has no use any more */
		kill(p->pid, SIGKILL);
		if (m->kind == IPC_CLOSED)
			ipc_close(&p->channel);
		break;
	}
}

/* From now on it is nobody's; its number is free again when it is dead. */
static void
end(struct seat *s)
{
	ipc_close(&s->process.channel);
	kill(s->process.pid, SIGKILL);
}

static struct seat *
seat_of(struct master *m, struct str login)
{
	for (size_t i = 0; i < READERS_MAX; i++)
		if (m->seats[i] && m->seats[i]->process.channel &&
			str_eq(buf_str(&m->seats[i]->login), login))
			return m->seats[i];
	return NULL;
}

static void
end_most_silent(struct master *m)
{
	struct seat *silent = NULL;
	size_t lives = 0;

	for (size_t i = 0; i < READERS_MAX; i++) {
		struct seat *s = m->seats[i];

		if (!s || !s->process.channel)
			continue;
		lives++;
		if (!silent || s->asked_ms < silent->asked_ms)
			silent = s;
	}
	if (lives < READERS_MAX - SEATS_SPARE ||
		loop_now_ms(m->loop) - silent->asked_ms < SILENT_MS)
		return;
	log_event("seat-idle", "login=%s readers=%zu", log_quote(buf_str(&silent->login)), lives);
	end(silent);
}

static struct seat *
seat_new(struct master *m, const struct ipc_seat *from)
{
	size_t i = 0;
	struct seat *s;

	end_most_silent(m);
	while (i < READERS_MAX && m->seats[i])
		i++;
	if (i == READERS_MAX) {
		log_event("no-seat", "login=%s readers=%d", log_quote(from->login), READERS_MAX);
		return NULL;
	}
	s = calloc(1, sizeof *s);
	must(s);
	*s = (struct seat){ .process = { .role = ROLE_READER,
				    .place = MASTER_READER,
				    .is_wanted = true,
				    .executable = m->reader_executable,
				    .guard.max = SANDBOX_LINES_MAX,
				    .seat = s,
				    .master = m },
		.login.max = TEXTS_MAX,
		.directory.max = TEXTS_MAX,
		.token.max = TEXTS_MAX,
		.addresses.max = TEXTS_MAX };
	m->seats[i] = s;
	buf_add(&s->login, from->login);
	return s;
}

/* Once for each life of the other: `*joined` is its process. */
static void
join(struct seat *s, enum master_place place, pid_t *joined)
{
	struct process *other = &s->process.master->processes[place];
	const struct ipc_seated seated = {
		.fd = -1, .seat = (uint16_t)number_of(s), .login = buf_str(&s->login)
	};

	if (!other->channel)
		return;
	if (*joined != other->pid)
		start_join(other, &s->process);
	*joined = other->pid;
	ipc_send_seated(other->channel, &seated);
}

void
seat_take(struct master *m, const struct ipc_seat *from)
{
	struct seat *s = seat_of(m, from->login);
	bool is_new;

	if (s && !str_eq(buf_str(&s->directory), from->directory)) {
		end(s); /* the mailbox has moved, and a reader reaches no other directory than its first */
		s = NULL;
	}
	is_new = !s;
	if (is_new && !(s = seat_new(m, from)))
		return;
	s->asked_ms = loop_now_ms(m->loop);
	buf_set(&s->directory, from->directory);
	buf_set(&s->token, from->token);
	buf_set(&s->addresses, from->addresses);
	if (!is_new) {
		start_hand_over_mailbox(s);
	} else if (!start_role(&s->process, reader_died, reader_came)) {
		seat_free(s);
		return;
	}
	join(s, MASTER_WEB, &s->web);
	join(s, MASTER_QUEUE, &s->queue);
}

void
seat_join(struct process *p)
{
	struct master *m = p->master;

	if (p->place != MASTER_WEB && p->place != MASTER_QUEUE)
		return;
	for (size_t i = 0; i < READERS_MAX; i++)
		if (m->seats[i] && m->seats[i]->process.channel)
			join(m->seats[i], p->place,
				p->place == MASTER_WEB ? &m->seats[i]->web : &m->seats[i]->queue);
}

static bool
speaks_too_much(struct seat *s)
{
	int64_t now = loop_now_ms(s->process.master->loop);

	if (s->speaks == 0 || now - s->speaks_since_ms > SPEAKS_MS) {
		s->speaks = 0;
		s->speaks_since_ms = now;
	}
	return ++s->speaks > SPEAKS_MOST || ipc_waiting(s->process.channel) > ANSWERS_WAIT_MOST;
}

void
seat_speak(struct process *reader, uint64_t ask)
{
	struct ipc *receive = reader->master->processes[MASTER_RECEIVE].channel;
	struct ipc_dialled answer = { .fd = -1, .ask = ask, .cause = ECONNREFUSED };
	int pair[2];

	if (speaks_too_much(reader->seat)) {
		log_event("fault", "role=reader says=station why=speaks-too-much login=%s",
			log_quote(buf_str(&reader->seat->login)));
		end(reader->seat);
		return;
	}
	if (ipc_waiting(receive) > CALLERS_WAIT_MOST) {
		answer.cause = EAGAIN;
	} else if (receive &&
		   socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		answer.cause = (uint32_t)errno;
	} else if (receive) {
		ipc_send_caller(receive, &(struct ipc_caller){ .fd = pair[0],
						 .seat = (uint16_t)number_of(reader->seat) });
		answer.fd = pair[1];
		answer.cause = 0;
	}
	ipc_send_dialled(reader->channel, &answer);
	if (answer.fd >= 0) {
		close(pair[0]);
		close(pair[1]);
	}
}

void
seat_end(struct master *m, unsigned seat)
{
	if (seat < READERS_MAX && m->seats[seat])
		end(m->seats[seat]);
}
