/* SPDX-License-Identifier: Apache-2.0 */
#include "role/send/send.h"

#include "base/must.h"

/*
 * Handing mails on. The queue decides what is tried when, how much at once, and along which road;
 * here each attempt (attempt.c) goes from hop to hop of its road until one has decided, over warm
 * connections or new ones (link.c), with those last that failed lately (health.c), and says what
 * every recipient was answered.
 */

static void
queue_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct send *s = owner;

	(void)from;
	if (m->kind == IPC_attempt) {
		attempt_begin(s, &m->attempt);
		return;
	}
	role_lost(&s->role, ROLE_QUEUE, m->broke_rules);
	ipc_close(&s->queue);
	link_queue_lost(s);
}

static void
vault_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct send *s = owner;

	(void)from;
	if (m->kind == IPC_secret_is) {
		link_secret_came(s, &m->secret_is);
		return;
	}
	role_lost(&s->role, ROLE_VAULT, m->broke_rules);
	ipc_close(&s->vault);
	link_secrets_failed(s);
}

static void
send_peer(void *owner, enum ipc_role peer, unsigned index, int fd)
{
	struct send *s = owner;

	(void)index;
	if (peer == ROLE_VAULT) {
		if (s->vault)
			link_secrets_failed(s);
		ipc_close(&s->vault);
		s->vault = ipc_open(s->role.loop, fd, ROLE_SEND, ROLE_VAULT, vault_came, s);
		return;
	}
	must(peer == ROLE_QUEUE);
	link_queue_lost(s);
	ipc_close(&s->queue);
	s->queue = ipc_open(s->role.loop, fd, ROLE_SEND, ROLE_QUEUE, queue_came, s);
}

static void
send_configured(void *owner)
{
	struct send *s = owner;

	s->configured++;
	secure_configure(s);
	link_close_idle(s);
}

static void
send_begin(void *owner)
{
	(void)owner;
}

static void
send_drain(void *owner)
{
	struct send *s = owner;

	s->is_draining = true;
	link_close_idle(s);
	if (s->attempts_n == 0)
		role_exit(&s->role, 0);
}

int
send_main(void)
{
	static const struct role_hooks hooks = { .configured = send_configured,
		.peer = send_peer,
		.begin = send_begin,
		.drain = send_drain };
	static struct send s;

	list_init(&s.links);
	s.warm.key_of = link_pool_key;
	health_open(&s.health);
	return role_run(&s.role, ROLE_SEND, &hooks, &s);
}
