/* SPDX-License-Identifier: Apache-2.0 */
#include "role/send/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/must.h"

/*
 * How a link begins:
 *
 *   link_open         the route's login is asked of vault, when the file names one
 *   link_connect      from the route's source address
 *   link_connected    the talk begins: link.c
 *
 * While the road has another hop a silent one is given up soon: most hosts that answer at all do so
 * within a second, and its turn comes again with the next try. This is the sense of RFC 8305, without
 * the second connections that its race would open to hosts that are merely slow.
 */

enum {
	CONNECT_LAST_MS = 30000,
	CONNECT_MS = 5000, /* when another hop is left: room for two lost packets */
	ASK_MS = 30000,
};

static const char no_login_now[] = "the login for this route cannot be read now";

/* ── Not connected ── */

/* The connection could not be made. */
static void
link_fail(struct link *l, const struct err *e)
{
	struct attempt *a = l->attempt;

	link_note_health(l, e->cause);
	link_free(&l);
	attempt_hop_failed(a, e, STAGE_CONNECT);
}

/* The login is not to be had: no other hop would help. */
static void
link_fail_asking(struct link *l, const char *words)
{
	struct attempt *a = l->attempt;
	struct err e;

	err_set(&e, ERR_TEMPORARY, ERR_LOGIN_LATER, "%s", words);
	link_free(&l);
	attempt_fail(a, &e);
}

static bool
cannot_connect(const struct link *l, int cause, struct err *e)
{
	err_set(e, ERR_TEMPORARY, ERR_CONNECT, "cannot connect to %.*s: %s",
		STR_ARG(l->attempt->at->text), strerror(cause));
	e->cause = cause;
	return false;
}

void
link_connect_timed_out(struct link *l)
{
	struct err e;

	if (l->phase == LINK_ASKING) {
		link_fail_asking(l, no_login_now);
		return;
	}
	err_set(&e, ERR_TEMPORARY, ERR_TIMEOUT, "%.*s does not answer: no connection in %d s",
		STR_ARG(l->attempt->at->text),
		(attempt_has_other_hop(l->attempt) ? CONNECT_MS : CONNECT_LAST_MS) / 1000);
	e.cause = ETIMEDOUT;
	link_fail(l, &e);
}

/* ── Connecting ── */

void
link_connected(struct link *l)
{
	int cause = 0;
	socklen_t n = sizeof cause;
	struct err e;

	getsockopt(l->stream.fd, SOL_SOCKET, SO_ERROR, &cause, &n);
	if (!cause) {
		link_begin(l);
		return;
	}
	cannot_connect(l, cause, &e);
	link_fail(l, &e);
}

/* A socket address; 0: the path is too long for one. */
static socklen_t
address_of_hop(const struct hop *h, struct sockaddr_storage *to)
{
	struct sockaddr_in *in = (struct sockaddr_in *)to;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
	struct sockaddr_un *un = (struct sockaddr_un *)to;

	switch (h->family) {
	case HOP_IPV4:
		*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(h->port) };
		memcpy(&in->sin_addr, h->address, sizeof in->sin_addr);
		return sizeof *in;
	case HOP_IPV6:
		*in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
			.sin6_port = htons(h->port) };
		memcpy(&in6->sin6_addr, h->address, sizeof in6->sin6_addr);
		return sizeof *in6;
	case HOP_UNIX:
		if (h->host.n >= sizeof un->sun_path)
			return 0;
		*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
		memcpy(un->sun_path, h->host.p, h->host.n);
		return sizeof *un;
	}
	return 0;
}

/* The route's source address of the hop's family, when the file names one; its port is chosen when
 * the other end is known, so that one address has all ports for each host. */
static bool
bind_source(const struct link *l, const struct config_route *route, struct err *e)
{
	const struct hop *h = &l->attempt->at->hop;
	int family = h->family == HOP_IPV4 ? AF_INET : AF_INET6, on = 1;
	struct sockaddr_storage address;
	struct hop source = { .family = h->family };

	for (size_t i = 0; route && h->family != HOP_UNIX && i < route->source_n; i++) {
		if (route->source[i].family != family)
			continue;
		memcpy(source.address, route->source[i].address, sizeof source.address);
		setsockopt(l->stream.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
		if (bind(l->stream.fd, (struct sockaddr *)&address,
			    address_of_hop(&source, &address)) != 0)
			return err_set_errno(e, "the route's source address cannot be used");
	}
	return true;
}

static bool
link_connect(struct link *l, struct err *e)
{
	const struct attempt *a = l->attempt;
	struct sockaddr_storage to;
	socklen_t to_n = address_of_hop(&a->at->hop, &to);
	int on = 1;

	if (!attempt_has_its_route(a, e))
		return false;
	if (to_n == 0)
		return err_set(
			e, ERR_PERMANENT, ERR_CONNECT, "the path of a UNIX socket is too long");
	stream_open(
		&l->stream, socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (l->stream.fd < 0)
		return err_set_errno(e, "no socket to connect with");
	if (!bind_source(l, attempt_route(a), e))
		return false;
	if (connect(l->stream.fd, (struct sockaddr *)&to, to_n) != 0 && errno != EINPROGRESS) {
		int cause = errno;

		link_note_health(l, cause);
		return cannot_connect(l, cause, e);
	}
	setsockopt(l->stream.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	l->phase = LINK_CONNECTING;
	l->watch = loop_watch_open(l->house->role.loop, l->stream.fd, link_ready, l);
	loop_watch_set(l->watch, LOOP_WRITE);
	loop_timer_set(l->patience, attempt_has_other_hop(a) ? CONNECT_MS : CONNECT_LAST_MS);
	return true;
}

/* ── Its beginning ── */

static struct link *
link_new(struct attempt *a)
{
	struct link *l = calloc(1, sizeof *l);
	struct send *s = a->house;

	must(l);
	*l = (struct link){ .house = s,
		.attempt = a,
		.stream.fd = -1,
		.login.max = 1024,
		.password.max = 1024,
		.hostname.max = 256,
		.tls.max = 256,
		.key.max = a->at->key.n };
	buf_add(&l->hostname, s->role.config.hostname);
	buf_add(&l->key, a->at->key);
	l->patience = loop_timer_open(s->role.loop, link_out_of_patience, l);
	list_append(&s->links, &l->node);
	return l;
}

static bool
link_ask_secret(struct link *l, struct str route, struct err *e)
{
	if (!l->house->vault)
		return err_set(e, ERR_TEMPORARY, ERR_LOGIN_LATER, "%s", no_login_now);
	l->phase = LINK_ASKING;
	l->ask = ++l->house->asks;
	loop_timer_set(l->patience, ASK_MS);
	ipc_send_secret(
		l->house->vault, &(struct ipc_secret){ .fd = -1, .ask = l->ask, .route = route });
	return true;
}

bool
link_open(struct attempt *a, struct err *e)
{
	const struct config_route *route = attempt_route(a);
	struct link *l = link_new(a);
	bool is_under_way = route && route->login_file.n ? link_ask_secret(l, route->name, e)
							 : link_connect(l, e);

	if (!is_under_way)
		link_free(&l);
	return is_under_way;
}

static void
link_asked(struct link *l, const struct ipc_secret_is *m)
{
	struct attempt *a = l->attempt;
	struct err e;

	buf_add(&l->login, m->login);
	buf_add(&l->password, m->password);
	if (!m->found) {
		link_fail_asking(l, "the login for this route cannot be read: see its file in the "
				    "configuration");
	} else if (!link_connect(l, &e)) {
		link_free(&l);
		attempt_hop_failed(a, &e, STAGE_CONNECT);
	}
}

void
link_secret_came(struct send *s, struct ipc_secret_is *m)
{
	list_each (at, &s->links) {
		struct link *l = list_of(at, struct link, node);

		if (l->phase == LINK_ASKING && l->ask == m->ask) {
			link_asked(l, m);
			return;
		}
	}
}

void
link_secrets_failed(struct send *s)
{
	list_each_safe (at, &s->links) {
		struct link *l = list_of(at, struct link, node);

		if (l->phase == LINK_ASKING)
			link_fail_asking(l, no_login_now);
	}
}
