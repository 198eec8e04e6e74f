/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/filter.h"
#include "role/receive/gate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

/*
 * The doors: from a connection to a session, with what is known of the client by its address, or by the word of a proxy.
 */

enum {
	ACCEPTS_A_TURN = 64,
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
};

static bool
is_loopback(const struct sockaddr *a)
{
	const struct config_networks loopback = { (struct config_network[]){
							  { AF_INET, { 127 }, 8 },
							  { AF_INET6, { [15] = 1 }, 128 } },
		2 };

	return config_networks_have(&loopback, a);
}

void
session_know_client(struct session *s, const struct sockaddr_storage *peer)
{
	const struct config *c = &s->house->role.config;
	const struct sockaddr *a = (const struct sockaddr *)peer;
	struct ucred who = { 0 };
	socklen_t n = sizeof who;

	if (s->is_local) {
		getsockopt(s->stream.fd, SOL_SOCKET, SO_PEERCRED, &who, &n);
		snprintf(s->client, sizeof s->client, "uid %u", (unsigned)who.uid);
		return;
	}
	manners_read_address(a, &s->at);
	inet_ntop(s->at.family, s->at.address, s->client, sizeof s->client);
	s->client_port = ntohs(((const struct sockaddr_in *)(const void *)peer)
				       ->sin_port); /* IPv6: the same place */
	s->is_trusted = config_networks_have(&c->trusted, a);
	s->is_refused = config_networks_have(&c->refuse, a);
	s->is_loopback = is_loopback(a);
}

/* What the file says of the door; NULL: nothing, it is our own. */
static const struct config_listen *
door_options(const struct door *d)
{
	return d->kind == DOOR_SUBMIT ? NULL : &d->house->role.config.listens[d->listen];
}

static bool
offers_auth(const struct session *s)
{
	if (s->smtp.is_secure)
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
	if (s->is_submission || s->is_local || s->is_trusted)
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

	manners_make_socket(&s->at, &client);
	s->may_speak_for = !s->is_local && config_networks_have(&c->listens[s->listen].xclient,
						   (const struct sockaddr *)&client);
	session_know_rights(s);
	gate_enter(s);
	if (s->smtp.begins_with_tls && s->unwelcome) { /* no words would be understood */
		log_event("turned-away", "client=%s why=%s", s->client,
			log_quote(str_of(s->unwelcome)));
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
session_begin(struct door *d, int fd, const struct sockaddr_storage *peer)
{
	const struct config_listen *options = door_options(d);
	struct session *s = calloc(1, sizeof *s);
	int on = 1;

	must(s);
	*s = (struct session){ .house = d->house,
		.terms = d->house->terms,
		.is_submission = d->kind == CONFIG_SUBMISSION || d->kind == CONFIG_SUBMISSIONS,
		.is_local = d->kind == DOOR_SUBMIT,
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
	session_know_client(s, peer);
	if (!s->is_local)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
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

/* No room for a session: the client is told so at once, not left hanging. */
static void
turn_away(int fd)
{
	struct str words = S("421 4.3.2 too many connections, please try again later\r\n");

	if (send(fd, words.p, words.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
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

		if (fd >= d->house->fd_most) {
			turn_away(fd);
		} else if (fd >= 0) {
			session_begin(d, fd, &peer);
		} else {
			if (errno !=
				EAGAIN) { /* the machine is out of descriptors or memory: look again at the next tick */
				d->house->are_doors_open = false;
				loop_watch_set(d->watch, 0);
			}
			return;
		}
	}
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
