/* SPDX-License-Identifier: Apache-2.0 */
#include "role/resolve/resolve.h"

#include "base/log.h"
#include "base/must.h"

/*
 * The one that asks the DNS. The queue names a domain, and is told the road: the hops in the order in which they are to be tried,
 * or why there are none, and always what was asked and answered (errand.c). The gate of receive names a client, and is told
 * what the DNS says of it (client.c). It keeps nothing but the cache: when it dies, the
 * queue asks its successor again.
 *
 * A reload begins every road under way anew, since hostname, doors and permitted networks may be others; another `resolver`
 * section is another resolver too, with an empty cache.
 */

static void
queue_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct resolve *r = owner;

	(void)from;
	if (m->kind == IPC_road) {
		errand_begin(r, &m->road);
		return;
	}
	role_lost(&r->role, ROLE_QUEUE, m->broke_rules);
	errand_drop_all(r);
	ipc_close(&r->queue);
}

static void
receive_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct resolve *r = owner;

	(void)from;
	if (m->kind == IPC_question) {
		client_begin(r, &m->question);
		return;
	}
	role_lost(&r->role, ROLE_RECEIVE, m->broke_rules);
	ipc_close(&r->receive);
	client_end_all(r);
}

static void
resolve_peer(void *owner, enum ipc_role peer, unsigned index, int fd)
{
	struct resolve *r = owner;

	(void)index;
	if (peer == ROLE_RECEIVE) {
		ipc_close(&r->receive);
		client_end_all(r); /* what an earlier receive asked */
		r->receive =
			ipc_open(r->role.loop, fd, ROLE_RESOLVE, ROLE_RECEIVE, receive_came, r);
		return;
	}
	must(peer == ROLE_QUEUE);
	errand_drop_all(r); /* what an earlier queue asked */
	ipc_close(&r->queue);
	r->queue = ipc_open(r->role.loop, fd, ROLE_RESOLVE, ROLE_QUEUE, queue_came, r);
}

/* All that a resolver is made of, to see whether another file means another one. */
static void
describe_section(const struct config *c, struct buf *section)
{
	codec_add_str(section, c->resolver.trust_anchor);
	for (size_t i = 0; i < c->resolver.forward_n; i++)
		codec_add_str(section, c->resolver.forward[i]);
}

static void
open_resolver(struct resolve *r)
{
	resolver_close(&r->resolver);
	r->refusal = (struct err){ 0 };
	r->resolver = resolver_open(r->role.loop, &r->role.config, &r->refusal);
	if (r->resolver)
		return;
	r->refusal.class = ERR_TEMPORARY; /* for the mail: it waits until the file is mended */
	log_event("no-resolver", "why=%s", log_quote(str_of(r->refusal.text)));
}

static void
resolve_configured(void *owner)
{
	struct resolve *r = owner;
	struct buf section = { .max = 1024 * 1024 };

	describe_section(&r->role.config, &section);
	errand_pause_all(r);
	client_end_all(r);
	lists_end(r);
	ours_read(&r->ours, &r->role.config);
	if (!r->resolver || !str_eq(buf_str(&section), buf_str(&r->section)))
		open_resolver(r);
	buf_free(&r->section);
	r->section = section;
	errand_resume_all(r);
	if (r->has_begun)
		lists_check(r);
}

static void
resolve_begin(void *owner)
{
	struct resolve *r = owner;

	r->has_begun = true;
	lists_check(r);
}

static void
resolve_drain(void *owner)
{
	struct resolve *r = owner;

	errand_drop_all(r);
	client_end_all(r);
	lists_end(r);
	resolver_close(&r->resolver);
	role_exit(&r->role, 0);
}

int
resolve_role(void)
{
	static const struct role_hooks hooks = { .configured = resolve_configured,
		.peer = resolve_peer,
		.begin = resolve_begin,
		.drain = resolve_drain };
	static struct resolve r;

	list_init(&r.errands);
	list_init(&r.inquiries);
	return role_run(&r.role, ROLE_RESOLVE, &hooks, &r);
}
