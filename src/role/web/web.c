/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"

/* The role round it all: the other roles, the clock, the beginning and the end. */

enum {
	TICK_MS = 1000,
	CERTIFICATES_MOST_MS = 5000, /* so long the doors wait for something to speak TLS with */
	DRAIN_MOST_MS = 10000,
	FD_RESERVE = 640, /* seats, frames, bodies, and our own */
	FD_A_GUEST = 3,
};

static void
vault_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct web *w = owner;

	(void)from;
	switch (m->kind) {
	case IPC_certificates:
		tunnel_certificates(w, &m->certificates);
		door_open_all(w);
		break;
	case IPC_signature:
		tunnel_signature(w, &m->signature);
		break;
	case IPC_signed_in:
		session_signed_in(w, &m->signed_in);
		break;
	default:
		role_lost(&w->role, ROLE_VAULT, m->broke_rules);
		ipc_close(&w->vault);
		session_lost_vault(w);
		tunnel_lost_vault(w);
		break;
	}
}

static void
web_peer(void *owner, enum ipc_role peer, unsigned index, int fd)
{
	struct web *w = owner;

	if (peer == ROLE_READER) {
		call_peer(w, index, fd);
		return;
	}
	must(peer == ROLE_VAULT);
	ipc_close(&w->vault);
	session_lost_vault(w);
	w->vault = ipc_open(w->role.loop, fd, ROLE_WEB, ROLE_VAULT, vault_came, w);
	tunnel_lost_vault(w);
}

static void
web_tick(void *owner)
{
	struct web *w = owner;
	int64_t now_ms = loop_now_ms(w->role.loop);

	call_tick(w, now_ms);
	event_tick(w, now_ms);
	http_tick(w, now_ms);
	session_tick(w, now_ms);
	frame_tick(w, now_ms);
	door_tick(w, now_ms);
	if (w->has_begun && now_ms - w->began_ms > CERTIFICATES_MOST_MS)
		door_open_all(w);
	if (w->is_draining && (w->guests_n == 0 || now_ms - w->began_ms > DRAIN_MOST_MS))
		role_exit(&w->role, 0);
	loop_timer_set(w->tick, TICK_MS);
}

/* libmicrohttpd's own descriptors are made here, before the locks. */
static void
web_configured(void *owner)
{
	struct web *w = owner;

	if (w->http)
		return;
	hash_random(w->secret, sizeof w->secret);
	http_open(w);
	w->tick = loop_timer_open(w->role.loop, web_tick, w);
}

static void
web_begin(void *owner)
{
	struct web *w = owner;
	struct rlimit limit;

	w->guests_most = WEB_GUESTS_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
		limit.rlim_cur < FD_RESERVE + FD_A_GUEST * WEB_GUESTS_MAX)
		w->guests_most = limit.rlim_cur > 2 * FD_RESERVE
					 ? ((unsigned)limit.rlim_cur - FD_RESERVE) / FD_A_GUEST
					 : (unsigned)limit.rlim_cur / (2 * FD_A_GUEST);
	w->has_begun = true;
	w->began_ms = loop_now_ms(w->role.loop);
	if (w->tls || w->role.config.tls.certificates_n == 0)
		door_open_all(w);
	loop_timer_set(w->tick, TICK_MS);
}

/* Nobody new comes in; who asks for something gets it; listeners and idle connections end. */
static void
web_drain(void *owner)
{
	struct web *w = owner;

	w->is_draining = true;
	w->began_ms = loop_now_ms(w->role.loop);
	door_shut_all(w);
	event_end_all(w);
	loop_timer_set(w->tick, 0);
}

int
web_main(void)
{
	static const struct role_hooks hooks = { .configured = web_configured,
		.peer = web_peer,
		.listener = door_listener,
		.begin = web_begin,
		.seated = call_seated,
		.drain = web_drain };
	static struct web w;

	w.sessions.key_of = session_key;
	list_init(&w.doors);
	list_init(&w.guests);
	list_init(&w.requests);
	list_init(&w.listeners);
	list_init(&w.frames);
	return role_run(&w.role, ROLE_WEB, &hooks, &w);
}
