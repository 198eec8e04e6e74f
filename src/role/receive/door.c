/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/filter.h"
#include "role/receive/gate.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/ip.h"
#include "base/log.h"
#include "base/must.h"

/*
 * The doors: from a connection to a session, with what is known of the client by its address, or by the word of a proxy.
 */

enum {
	ACCEPTS_A_TURN = 64,
	FD_OWN =
		48, /* more descriptors than the role has for itself: doors, channels, tables, segments */
	ENVELOPE_REST =
		16 * 1024, /* octets of an envelope for all but recipients and their wishes */
};

struct door {
	struct list link;
	struct receive *house;
	struct loop_watch *watch;
	int fd;
	unsigned kind;	 /* enum config_door, DOOR_SUBMIT */
	unsigned listen; /* which of config.listens; they stay the same over reloads */
	unsigned seat;	 /* of a reader */
};

void
session_know_client(struct session *s, const struct config_network *at, uint16_t port)
{
	const struct config *c = &s->house->role.config;
	struct sockaddr_storage storage;
	const struct sockaddr *a = (const struct sockaddr *)&storage;
	enum ip_family family = at->family == AF_INET ? IP_V4 : IP_V6;
	struct buf text = { .max = IP_TEXT };

	config_make_socket(at, port, &storage);
	s->at = *at;
	s->client_port = port;
	ip_add(&text, family, at->address);
	snprintf(s->client, sizeof s->client, "%.*s", STR_ARG(buf_str(&text)));
	buf_free(&text);
	s->is_trusted = config_networks_have(&c->trusted, a);
	s->is_refused = config_networks_have(&c->refuse, a);
	s->is_loopback = ip_is_loopback(family, at->address);
}

static void
know_user(struct session *s)
{
	struct ucred who = { 0 };
	socklen_t n = sizeof who;

	if (s->is_reader) {
		snprintf(s->client, sizeof s->client, "webmail");
		return;
	}
	getsockopt(s->stream.fd, SOL_SOCKET, SO_PEERCRED, &who, &n);
	snprintf(s->client, sizeof s->client, "uid %u", (unsigned)who.uid);
}

static void
know_peer(struct session *s, const struct sockaddr_storage *peer)
{
	struct config_network at;

	must(manners_read_address((const struct sockaddr *)peer, &at));
	session_know_client(s, &at, config_port(peer));
}

/* What the file says of the door; NULL: nothing, it is our own. */
static const struct config_listen *
door_options(const struct door *d)
{
	return d->kind == DOOR_SUBMIT || d->kind == DOOR_READER
		       ? NULL
		       : &d->house->role.config.listens[d->listen];
}

/* Where strangers come in, nobody of ours has to: a login there is what those want who guess passwords. */
static bool
offers_auth(const struct session *s)
{
	if (!s->is_submission && !s->house->role.config.smtp.auth_on_smtp)
		return false;
	if (s->smtp.is_secure || s->is_reader)
		return true;
	switch (s->house->role.config.smtp.auth_in_clear) {
	case CONFIG_CLEAR_NEVER:
		return false;
	case CONFIG_CLEAR_LOOPBACK:
		return s->is_loopback;
	case CONFIG_CLEAR_ALWAYS:
		return !s->is_local;
	}
	return false;
}

void
session_know_rights(struct session *s)
{
	s->smtp.offers_auth = offers_auth(s);
	s->smtp.offers_starttls = s->has_tls && s->house->tls;
	s->smtp.offers_xclient = s->may_speak_for;
	admit_holds(s);
	s->smtp.repairs_line_ends = s->is_trusted && s->house->role.config.smtp.repair_line_ends;
}

void
session_forget_login(struct session *s)
{
	buf_free(&s->login);
	buf_free(&s->token);
}

/* Whose connection it is is known: from its own address, or from what a proxy says. */
static void
session_welcome(struct session *s)
{
	const struct config *c = &s->house->role.config;
	struct sockaddr_storage client;
	struct err e;

	config_make_socket(&s->at, s->client_port, &client);
	s->may_speak_for = !s->is_local && config_networks_have(&c->listens[s->listen].xclient,
						   (const struct sockaddr *)&client);
	session_know_rights(s);
	gate_enter(s, S(""));
	if (s->smtp.begins_with_tls && !admit_comes_in(s, &e)) { /* no words would be understood */
		log_event("turned-away", "client=%s why=%s", s->client, log_quote(str_of(e.text)));
		session_free(&s);
		return;
	}
	session_run(s);
}

void
door_read_proxy(struct session *s)
{
	switch (behalf_proxy(s)) {
	case NEXT:
		s->heard_ms = loop_now_ms(s->house->role.loop);
		session_welcome(s);
		break;
	case WAIT:
		loop_watch_set(s->watch, LOOP_READ);
		break;
	case DONE:
		session_free(&s);
		break;
	}
}

static void
session_begin(const struct door *d, int fd, const struct sockaddr_storage *peer)
{
	const struct config_listen *options = door_options(d);
	struct session *s = calloc(1, sizeof *s);
	int on = 1;

	must(s);
	*s = (struct session){ .house = d->house,
		.terms = d->house->terms,
		.is_submission = d->kind == CONFIG_SUBMISSION || d->kind == CONFIG_SUBMISSIONS ||
				 d->kind == DOOR_READER,
		.is_local = d->kind == DOOR_SUBMIT || d->kind == DOOR_READER,
		.is_reader = d->kind == DOOR_READER,
		.seat = d->seat,
		.has_tls = options && !options->has_no_tls,
		.awaits_proxy = options && config_networks_have(
						   &options->proxy, (const struct sockaddr *)peer),
		.listen = d->listen,
		.heard_ms = loop_now_ms(d->house->role.loop),
		.login.max = 512,
		.token.max = 4096,
		.recipients.max = SPOOL_ENVELOPE_MAX / 2,
		.dsn.max = SPOOL_ENVELOPE_MAX / 2 - ENVELOPE_REST };
	s->terms->users++;
	ask_clear(&s->ask);
	stream_open(&s->stream, fd);
	if (s->is_local) {
		know_user(s);
	} else {
		know_peer(s, peer);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	}
	smtp_server_begin(&s->smtp, &s->terms->smtp);
	s->smtp.begins_with_tls = d->kind == CONFIG_SUBMISSIONS;
	s->watch = loop_watch_open(s->house->role.loop, fd, session_ready, s);
	s->house->sessions_n++;
	list_append(&s->house->sessions, &s->link);
	if (s->awaits_proxy)
		door_read_proxy(s);
	else
		session_welcome(s);
}

/* A session may want a connection to each filter, too: who came in shall not lack it. */
static bool
has_descriptors(const struct receive *r, int fd)
{
	int filters_n = (int)r->role.config.filters_n,
	    most = r->fd_most > 2 * FD_OWN ? r->fd_most - FD_OWN : r->fd_most / 2;

	return fd < r->fd_most && (filters_n == 0 || (int)r->sessions_n < most / (1 + filters_n));
}

/* No room for a session: the client is told so at once, where it would understand, and not left hanging. */
static void
turn_away(const struct door *d, int fd)
{
	struct str words = S("421 4.3.2 too many connections, please try again later\r\n");

	if (d->kind != CONFIG_SUBMISSIONS &&
		send(fd, words.p, words.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_event("turn-away", "errno=%d", errno);
	close(fd);
}

static void
door_ready(void *owner, int events)
{
	struct door *d = owner;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t n = sizeof peer;
		int fd = accept4(d->fd, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0 && has_descriptors(d->house, fd)) {
			session_begin(d, fd, &peer);
		} else if (fd >= 0) {
			turn_away(d, fd);
		} else {
			if (errno == EINVAL) { /* it was shut down; master opens it for the next */
				log_event("door-is-shut", "door=%u", d->kind);
				role_exit(&d->house->role, EX_UNAVAILABLE);
			} else if (
				errno !=
				EAGAIN) { /* the machine is out of descriptors or memory: look again at the next tick */
				d->house->are_doors_open = false;
				loop_watch_set(d->watch, 0);
			}
			return;
		}
	}
}

/* A reader that was taken over must not fill the house for all others. */
static bool
has_few_sessions(const struct receive *r, unsigned seat)
{
	unsigned n = 0;

	list_each (at, &r->sessions) {
		const struct session *s = list_of(at, struct session, link);

		n += s->is_reader && s->seat == seat;
	}
	return n < ROLE_REQUESTS_AT_ONCE;
}

void
door_caller(struct receive *r, unsigned seat, int fd)
{
	const struct door d = { .house = r, .kind = DOOR_READER, .seat = seat };
	const struct sockaddr_storage nobody = { 0 };

	if (fd < 0)
		return; /* it was lost on its way */
	if (has_descriptors(r, fd) && has_few_sessions(r, seat))
		session_begin(&d, fd, &nobody);
	else
		turn_away(&d, fd);
}

void
door_listener(void *owner, unsigned kind, unsigned listen, int fd)
{
	struct receive *r = owner;
	struct door *d = calloc(1, sizeof *d);

	must(d);
	*d = (struct door){ .house = r, .fd = fd, .kind = kind, .listen = listen };
	d->watch = loop_watch_open(r->role.loop, fd, door_ready, d);
	list_append(&r->doors, &d->link);
}

void
door_watch_all(struct receive *r, bool is_open)
{
	r->are_doors_open = is_open;
	list_each (at, &r->doors)
		loop_watch_set(list_of(at, struct door, link)->watch, is_open ? LOOP_READ : 0);
}
