/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/filter.h"
#include "role/receive/gate.h"

#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

/*
 * The house round the sessions: the other roles, the clock, configuration, and the role's beginning and end.
 */

enum {
	TICK_MS = 1000,
	FD_RESERVE = 64,
	FIRST_SEGMENT_MS = 5000,
	SEGMENT_MOST_MS = 10000, /* how long a mail waits for a segment to be written to */
};

static void
vault_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct receive *r = owner;
	struct err e;

	(void)from;
	switch (m->kind) {
	case IPC_addresses:
		address_table_close(&r->table);
		if (!address_table_open(&r->table, m->addresses.fd, &e))
			log_event("no-address-table", "why=%s", log_quote(str_of(e.text)));
		break;
	case IPC_certificates:
		secure_came(r, &m->certificates);
		house_open_doors(r);
		break;
	case IPC_found:
	case IPC_checked:
	case IPC_signature:
		ask_came(r, m);
		break;
	default:
		role_lost(&r->role, ROLE_VAULT, m->broke_rules);
		ipc_close(&r->vault);
		ask_fail_all(r);
		break;
	}
}

static void
resolve_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct receive *r = owner;

	(void)from;
	if (m->kind == IPC_answer) {
		inquiry_came(r, &m->answer);
		return;
	}
	role_lost(&r->role, ROLE_RESOLVE, m->broke_rules);
	ipc_close(&r->resolve);
	inquiry_give_up(r, INT64_MAX);
}

static void
session_stop(struct session *s, enum err_kind kind, const char *words)
{
	struct err e;

	if (s->awaits_proxy)
		behalf_log_missing(s);
	if (s->is_shaking || s->awaits_proxy) { /* no words would be understood */
		session_free(&s);
		return;
	}
	err_set(&e, ERR_TEMPORARY, kind, "%s", words);
	smtp_server_stop(&s->smtp, &e);
	if (s->ask.state != ASK_WAITING || gate_hurry(s))
		session_run(s);
}

/* The doors open when there is a segment to write to and TLS to speak, so that the first client is not turned away;
 * or soon, so that nobody hangs. */
void
house_open_doors(struct receive *r)
{
	if (r->are_doors_open || r->is_draining || r->began_ms == 0)
		return;
	if ((!spool_writer_is_ready(r->writer) || !r->tls) &&
		loop_now_ms(r->role.loop) - r->began_ms < FIRST_SEGMENT_MS)
		return;
	door_watch_all(r, true);
}

/* Once a second: who has been silent too long, and whose question got no answer. */
static void
receive_tick(void *owner)
{
	struct receive *r = owner;
	int64_t now_ms = loop_now_ms(r->role.loop);
	bool waits_long = false;
	const char *words;
	struct err e;

	list_each_safe (at, &r->sessions) {
		struct session *s = list_of(at, struct session, link);

		if (s->ask.state == ASK_WAITING) {
			waits_long |=
				s->ask.number == 0 && now_ms - s->ask.since_ms > SEGMENT_MOST_MS;
			ask_tick(s, now_ms);
			continue;
		}
		if (filter_is_asking(s))
			continue; /* each has its own timeout */
		words = gate_late(s, now_ms);
		if ((words || r->is_draining) && s->is_over) /* does not even take our 421 */
			session_free(&s);
		else if (words)
			session_stop(s, ERR_IDLE, words);
	}
	if (waits_long) { /* for the disk; where that works, and only a segment is lacking, nobody is left hanging */
		err_set(&e, ERR_TEMPORARY, ERR_NO_SPACE,
			"no room for mail at the moment, please try again later");
		spool_writer_give_up(r->writer, &e);
	}
	inquiry_tick(r);
	house_open_doors(r);
	loop_timer_set(r->tick, TICK_MS);
}

/* ── the role ── */

void
house_drop_terms(struct terms *t)
{
	if (--t->users == 0)
		free(t);
}

static void
receive_configured(void *owner)
{
	struct receive *r = owner;
	const struct config *c = &r->role.config;
	struct terms *t = calloc(1, sizeof *t);

	must(t && c->hostname.n < sizeof t->hostname);
	memcpy(t->hostname, c->hostname.p, c->hostname.n);
	t->zones_n = c->gate.dnsbl_n;
	for (size_t i = 0; i < t->zones_n; i++)
		snprintf(t->zones[i], sizeof t->zones[i], "%.*s", STR_ARG(c->gate.dnsbl[i]));
	t->users = 1; /* the house itself */
	t->smtp = (struct smtp_server_settings){ .hostname = str_of(t->hostname),
		.message_size_max = c->limits.message,
		.recipients_max = c->limits.recipients };
	if (r->terms)
		house_drop_terms(r->terms);
	r->terms = t;
	if (!r->tick)
		r->tick = loop_timer_open(r->role.loop, receive_tick, r);
	if (!r->writer)
		border_open(r);
}

static void
receive_peer(void *owner, enum ipc_role peer, unsigned index, int fd)
{
	struct receive *r = owner;

	(void)index;
	if (peer == ROLE_VAULT) {
		ipc_close(&r->vault);
		ask_fail_all(r);
		r->vault = ipc_open(r->role.loop, fd, ROLE_RECEIVE, ROLE_VAULT, vault_came, r);
		return;
	}
	if (peer == ROLE_RESOLVE) {
		ipc_close(&r->resolve);
		inquiry_give_up(r, INT64_MAX);
		r->resolve =
			ipc_open(r->role.loop, fd, ROLE_RECEIVE, ROLE_RESOLVE, resolve_came, r);
		return;
	}
	must(peer == ROLE_QUEUE);
	border_new_queue(r, fd);
}

static void
receive_caller(void *owner, unsigned seat, int fd)
{
	door_caller(owner, seat, fd);
}

static void
receive_table(void *owner, unsigned slot, int fd)
{
	struct receive *r = owner;

	must(!r->crowd); /* once, before the first connection */
	r->crowd = crowd_open(fd, slot);
	close(fd);
}

static void
receive_begin(void *owner)
{
	struct receive *r = owner;
	struct rlimit limit;

	must(r->crowd);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX)
		r->fd_most = limit.rlim_cur > 2 * FD_RESERVE ? (int)limit.rlim_cur - FD_RESERVE
							     : (int)limit.rlim_cur / 2;
	r->began_ms = loop_now_ms(r->role.loop);
	loop_timer_set(r->tick, 0);
}

static void
receive_drain(void *owner)
{
	struct receive *r = owner;

	r->is_draining = true;
	door_watch_all(r, false);
	list_each_safe (at, &r->sessions)
		session_stop(list_of(at, struct session, link), ERR_SHUTDOWN,
			"closing down, please try again later");
	if (r->sessions_n == 0)
		role_exit(&r->role, 0);
}

static void
receive_dialled(void *owner, uint64_t dial, uint32_t cause, int fd)
{
	filter_dialled(owner, dial, cause, fd);
}

int
receive_main(void)
{
	static const struct role_hooks hooks = { .configured = receive_configured,
		.peer = receive_peer,
		.listener = door_listener,
		.table = receive_table,
		.caller = receive_caller,
		.begin = receive_begin,
		.drain = receive_drain,
		.dialled = receive_dialled };
	static struct receive r = { .queue_next = -1 };
	int code;

	list_init(&r.sessions);
	list_init(&r.doors);
	list_init(&r.late_shakes);
	list_init(&r.broken);
	r.role.loop = NULL;
	code = role_run(&r.role, ROLE_RECEIVE, &hooks, &r);
	spool_writer_close(&r.writer);
	crowd_close(&r.crowd);
	return code;
}
