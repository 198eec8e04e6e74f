/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

/*
 * The doors. Whoever comes in is a guest until the connection ends. There is always room for one more: when there are too many, in all or from one address,
 * the one that has asked for nothing for longest makes room.
 *
 * In clear only where the file says so, and, where there is no certificate, on loopback.
 */

enum {
	ACCEPTS_A_TURN = 64,
	IDLE_MOST_MS = 65000, /* without a request, whatever trickles in */
	IDLE_MOST_DRAINING_MS = 500,
};

struct door {
	struct list link;
	struct web *web;
	struct loop_watch *watch;
	int fd;
	unsigned listen; /* which of config.listens */
};

/* ── guests ── */

void
guest_settle(struct guest *g)
{
	struct web *w = g->web;

	if (g->is_in_http || g->awaits_proxy || g->tunnel || g->request)
		return;
	list_remove(&g->link);
	w->guests_n--;
	free(g);
	if (w->is_draining)
		loop_timer_set(w->tick, 0);
}

void
guest_end(struct guest *g)
{
	g->is_ending = true;
	if (g->awaits_proxy)
		behalf_close(g);
	else if (g->tunnel)
		tunnel_close(g); /* libmicrohttpd sees its end closed */
	else if (g->is_in_http && g->fd >= 0)
		shutdown(g->fd, SHUT_RDWR);
	guest_settle(g);
}

/* The address as text, and what of it is counted: IPv4 whole, IPv6 its /64. */
void
guest_know_address(struct guest *g)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)&g->at;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)&g->at;
	struct buf text = { .max = IP_TEXT };
	enum ip_family family = IP_V4;
	unsigned char octets[16] = { 0 };

	if (g->at.ss_family == AF_INET) {
		memcpy(octets, &four->sin_addr, 4);
	} else if (ip_is_mapped(six->sin6_addr.s6_addr)) {
		memcpy(octets, six->sin6_addr.s6_addr + 12, 4);
	} else {
		family = IP_V6;
		memcpy(octets, &six->sin6_addr, 16);
	}
	g->is_loopback = g->is_loopback && ip_is_loopback(family, octets);
	memset(g->network, 0, sizeof g->network);
	memcpy(g->network, octets, family == IP_V4 ? 4 : 8);
	ip_add(&text, family, octets);
	snprintf(g->client, sizeof g->client, "%.*s", STR_ARG(buf_str(&text)));
	buf_free(&text);
}

static bool
is_anybody(const struct guest *a, const struct guest *b)
{
	return a && b;
}

/* Who comes through a proxy has no address before the proxy has said it: the proxy's own is not theirs. */
static bool
is_neighbour(const struct guest *a, const struct guest *b)
{
	return !a->awaits_proxy && !b->awaits_proxy &&
	       memcmp(a->network, b->network, sizeof a->network) == 0;
}

/* When there are more than `most` such guests, the newcomer among them, the one that has been idle longest ends. False: they all have something to do. */
static bool
make_room(const struct guest *newcomer,
	bool (*is_such)(const struct guest *a, const struct guest *b), unsigned most)
{
	struct guest *idle = NULL;
	unsigned n = 0;

	list_each (at, &newcomer->web->guests) {
		struct guest *g = list_of(at, struct guest, link);

		if (g->is_ending || !is_such(newcomer, g))
			continue;
		n++;
		if (!idle && g != newcomer &&
			!(g->request && g->request->connection)) /* with a whole header */
			idle = g;
	}
	if (n <= most)
		return true;
	if (idle)
		guest_end(idle);
	return idle != NULL;
}

static void
turn_away(struct guest *g, const char *why)
{
	log_event("turned-away", "client=%s why=%s", g->client, why);
	if (!g->awaits_proxy)
		close(g->fd);
	guest_end(g);
}

void
guest_welcome(struct guest *g)
{
	struct web *w = g->web;
	const struct config *c = &w->role.config;
	bool is_clear = g->listen < c->listens_n && c->listens[g->listen].has_no_tls;

	if (config_networks_have(&c->refuse, (const struct sockaddr *)&g->at) ||
		!make_room(g, is_neighbour, WEB_GUESTS_FROM_ONE) ||
		!make_room(g, is_anybody, w->guests_most)) {
		turn_away(g, "too-many-or-refused");
		return;
	}
	if (!is_clear && !w->tls && !g->is_loopback) {
		turn_away(g, "no-certificate");
		return;
	}
	if (is_clear || !w->tls)
		guest_enter_http(g, g->fd);
	else
		tunnel_open(g);
	guest_settle(g);
}

static void
guest_begin(struct door *d, int fd, const struct sockaddr_storage *peer, socklen_t peer_n)
{
	struct web *w = d->web;
	const struct config *c = &w->role.config;
	struct guest *g = calloc(1, sizeof *g);
	int on = 1;

	must(g);
	*g = (struct guest){ .web = w,
		.at = *peer,
		.at_n = peer_n,
		.fd = fd,
		.listen = d->listen,
		.is_loopback = true,
		.idle_ms = loop_now_ms(w->role.loop) };
	guest_know_address(g);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	list_append(&w->guests, &g->link);
	w->guests_n++;
	if (d->listen < c->listens_n &&
		config_networks_have(&c->listens[d->listen].proxy, (const struct sockaddr *)peer))
		behalf_open(g);
	if (!g->awaits_proxy)
		guest_welcome(g);
	else if (!make_room(g, is_anybody, w->guests_most))
		turn_away(g, "too-many-or-refused");
}

/* ── doors ── */

static void
door_ready(void *owner, int events)
{
	struct door *d = owner;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t n = sizeof peer;
		int fd = accept4(d->fd, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			guest_begin(d, fd, &peer, n);
			continue;
		}
		if (errno == EINVAL) { /* it was shut down; master opens it for the next */
			log_event("door-is-shut", "door=web");
			role_exit(&d->web->role, EX_UNAVAILABLE);
		} else if (errno !=
			   EAGAIN) { /* out of descriptors or memory: look again at the next tick */
			door_shut_all(d->web);
		}
		return;
	}
}

void
door_listener(void *owner, unsigned kind, unsigned listen, int fd)
{
	struct web *w = owner;
	struct door *d = calloc(1, sizeof *d);

	(void)kind; /* there is only one here */
	must(d);
	*d = (struct door){ .web = w, .fd = fd, .listen = listen };
	d->watch = loop_watch_open(w->role.loop, fd, door_ready, d);
	list_append(&w->doors, &d->link);
	if (w->are_doors_open)
		loop_watch_set(d->watch, LOOP_READ);
}

void
door_open_all(struct web *w)
{
	if (w->are_doors_open || w->is_draining || !w->has_begun)
		return;
	w->are_doors_open = true;
	list_each (at, &w->doors)
		loop_watch_set(list_of(at, struct door, link)->watch, LOOP_READ);
}

void
door_shut_all(struct web *w)
{
	w->are_doors_open = false;
	list_each (at, &w->doors)
		loop_watch_set(list_of(at, struct door, link)->watch, 0);
}

static bool
is_late(const struct guest *g, int64_t now_ms)
{
	int64_t most_ms = g->web->is_draining ? IDLE_MOST_DRAINING_MS : IDLE_MOST_MS;

	if (g->awaits_proxy)
		return behalf_is_late(g, now_ms);
	if (g->tunnel &&
		!g->is_in_http) /* it shakes hands; or has left, and does not take what was said to it last */
		return tunnel_is_late(g, now_ms);
	return !g->request && now_ms - g->idle_ms > most_ms;
}

void
door_tick(struct web *w, int64_t now_ms)
{
	list_each_safe (at, &w->guests) {
		struct guest *g = list_of(at, struct guest, link);

		if (is_late(g, now_ms))
			guest_end(g);
	}
}
