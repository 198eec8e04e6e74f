/* SPDX-License-Identifier: Apache-2.0 */
#include "role/send/send.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/must.h"
#include "spool/spool.h"

/*
 * One delivery in the order in which it happens:
 *
 *   attempt_begin     a warm link to the hop, or a new one
 *   link_ask_secret   the route's login, from vault, when the file names one
 *   link_connect      TCP
 *   link_run          greet and hand over: smtp/client.h's events, one arm each
 *   attempt_settle    the outcome of every recipient goes to the queue
 *   link_stay_warm    the link waits for the next mail
 *
 * A link that was warm may be dead without our knowing: when it breaks, or the peer says 421, before
 * it has answered a word about the mail, the attempt begins again on a new link, once. Behind the
 * peer's first answer to the mail a break is the attempt's outcome.
 */

enum {
	CONNECT_MS = 30000,
	WARM_MS = 30000, /* how long a link waits for another mail */
	MAILS_A_LINK = 1000,
	READ_SIZE = 16384,
};

static void link_run(struct link *l);
static void link_connect(struct link *l);

/* ── the attempt ── */

static void
attempt_free(struct attempt **attempt)
{
	struct attempt *a = *attempt;

	*attempt = NULL;
	if (!a)
		return;
	if (a->mapped)
		munmap(a->mapped, a->message.n);
	free(a->memory);
	free(a);
}

static void
attempt_settle(struct attempt **attempt, const char *host)
{
	struct attempt *a = *attempt;
	struct send *s = a->house;
	struct buf outcomes = { .max = IPC_TEXT_MAX };

	for (size_t i = 0; i < a->mail.recipients_n; i++) {
		must(a->outcomes[i].is_settled);
		codec_add_u8(&outcomes, (uint8_t)a->outcomes[i].stage);
		codec_add_err(&outcomes, &a->outcomes[i].err);
	}
	ipc_send_outcome(s->queue, &(struct ipc_outcome){ .fd = -1,
					   .attempt = a->number,
					   .host = str_of(host),
					   .outcomes = buf_str(&outcomes) });
	buf_free(&outcomes);
	attempt_free(attempt);
	s->attempts_n--;
	if (s->is_draining && s->attempts_n == 0)
		role_exit(&s->role, 0);
}

/* Every recipient gets the same: the peer was never spoken to. */
static void
attempt_fail(struct attempt **a, const struct err *e, const char *host)
{
	for (size_t i = 0; i < (*a)->mail.recipients_n; i++)
		(*a)->outcomes[i] = (struct smtp_outcome){
			.err = *e, .stage = STAGE_CONNECT, .is_settled = true
		};
	attempt_settle(a, host);
}

static bool
map_message(struct attempt *a, int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) != 0 || st.st_size <= 0)
		return false;
	a->mapped = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (a->mapped == MAP_FAILED) {
		a->mapped = NULL;
		return false;
	}
	a->message = (struct str){ a->mapped, (size_t)st.st_size };
	return true;
}

/* SMTPUTF8 is needed only where an address or a header field is not ASCII, whatever the sender
 * declared. */
static bool
needs_smtputf8(const struct attempt *a)
{
	if (!str_is_ascii(a->reverse_path) ||
		!str_is_ascii(str_part(a->message, 0, str_find_str(a->message, S("\r\n\r\n")))))
		return true;
	for (size_t i = 0; i < a->mail.recipients_n; i++)
		if (!str_is_ascii(a->recipients[i]))
			return true;
	return false;
}

static struct attempt *
attempt_new(struct send *s, struct ipc_attempt *m)
{
	struct attempt *a = calloc(1, sizeof *a);
	struct buf memory = { .max = IPC_PACKET_MAX };
	struct str rest;

	must(a);
	*a = (struct attempt){ .house = s, .number = m->attempt };
	buf_add(&memory, m->route);
	buf_add(&memory, m->reverse_path);
	buf_add(&memory, m->recipients);
	buf_add(&memory, m->message);
	must(!memory.overflow);
	rest = buf_str(&memory);
	a->memory = memory.p;
	a->route = str_part(rest, 0, m->route.n);
	a->reverse_path = str_part(str_from(rest, m->route.n), 0, m->reverse_path.n);
	rest = str_from(rest, m->route.n + m->reverse_path.n);
	a->message = str_from(rest, m->recipients.n);
	rest = str_part(rest, 0, m->recipients.n);
	while (a->mail.recipients_n < SMTP_CLIENT_RECIPIENTS_MAX &&
		codec_scan_str(&rest, &a->recipients[a->mail.recipients_n]))
		a->mail.recipients_n++;
	if (m->fd >= 0 && !map_message(a, m->fd))
		a->message = (struct str){ 0 };
	a->mail = (struct smtp_client_mail){ .reverse_path = a->reverse_path,
		.recipients = a->recipients,
		.outcomes = a->outcomes,
		.recipients_n = a->mail.recipients_n,
		.size = a->message.n,
		.smtputf8 = (m->flags & SPOOL_SMTPUTF8) && needs_smtputf8(a),
		.has_8bit = m->flags & SPOOL_8BIT,
		.needs_chunking = m->flags & SPOOL_NEEDS_CHUNKING };
	return a;
}

static const struct config_route *
route_named(const struct config *c, struct str pattern)
{
	for (size_t i = 0; i < c->routes_n; i++)
		if (str_eq(c->routes[i].pattern, pattern))
			return &c->routes[i];
	return NULL;
}

static struct link *
link_warm(struct send *s, struct str route)
{
	list_each (at, &s->links) {
		struct link *l = list_of(at, struct link, node);

		if (!l->attempt && !l->is_over && str_eq(buf_str(&l->route), route))
			return l;
	}
	return NULL;
}

/* ── the link ── */

static void
link_free(struct link **link)
{
	struct link *l = *link;

	*link = NULL;
	list_remove(&l->node);
	loop_watch_close(&l->watch);
	loop_timer_close(&l->patience);
	if (l->fd >= 0)
		close(l->fd);
	smtp_client_free(&l->client);
	buf_free(&l->login);
	if (l->password.p)
		explicit_bzero(l->password.p, l->password.n);
	buf_free(&l->password);
	buf_free(&l->hostname);
	buf_free(&l->route);
	free(l);
}

/* The link cannot go on before the client core has begun: the attempt fails, the link goes. */
static void
link_fail(struct link **l, const struct err *e)
{
	if ((*l)->attempt)
		attempt_fail(&(*l)->attempt, e, (*l)->hop_text);
	link_free(l);
}

static void
link_break(struct link *l, enum err_kind kind, const char *words)
{
	struct err e;

	err_set(&e, ERR_TEMPORARY, kind, "%s", words);
	if (l->is_connecting || !l->watch) {
		link_fail(&l, &e);
		return;
	}
	if (!l->attempt) { /* warm: nobody minds */
		link_free(&l);
		return;
	}
	smtp_client_lost(&l->client, &e);
	link_run(l);
}

static void
link_out_of_patience(void *owner)
{
	struct link *l = owner;

	if (!l->attempt && !l->is_over && l->client.state &&
		!l->is_connecting) { /* warm long enough: a polite end */
		l->is_over = true;
		smtp_client_quit(&l->client);
		link_run(l);
		return;
	}
	link_break(l, ERR_TIMEOUT,
		l->is_connecting ? "no answer to our connection in 30 s"
				 : "no answer in the time that RFC 5321 grants");
}

static struct link *
link_new(struct send *s, const struct config_route *route)
{
	struct link *l = calloc(1, sizeof *l);

	must(l);
	*l = (struct link){ .house = s,
		.fd = -1,
		.hop = route->via,
		.login.max = 1024,
		.password.max = 1024,
		.hostname.max = 256,
		.route.max = 512 };
	snprintf(l->hop_text, sizeof l->hop_text, "%.*s", STR_ARG(route->via_text));
	buf_add(&l->hostname, s->role.config.hostname);
	buf_add(&l->route, route->pattern);
	l->patience = loop_timer_open(s->role.loop, link_out_of_patience, l);
	list_append(&s->links, &l->node);
	return l;
}

static void
link_ask_secret(struct link *l)
{
	l->ask = ++l->house->asks;
	loop_timer_set(l->patience, CONNECT_MS);
	if (l->house->vault)
		ipc_send_secret(l->house->vault,
			&(struct ipc_secret){
				.fd = -1, .ask = l->ask, .route = buf_str(&l->route) });
	else
		link_break(l, ERR_LOGIN_LATER, "the login for this route cannot be read now");
}

/* ── the steps ── */

void
attempt_begin(struct send *s, struct ipc_attempt *m)
{
	struct attempt *a = attempt_new(s, m);
	const struct config_route *route = route_named(&s->role.config, a->route);
	struct link *l;
	struct err e;

	if (m->fd >= 0)
		close(m->fd);
	s->attempts_n++;
	if (!route || a->message.n == 0) {
		err_set(&e, ERR_TEMPORARY, ERR_LOCAL,
			route ? "the mail's copy cannot be read"
			      : "the route was taken out of the configuration");
		attempt_fail(&a, &e, "");
		return;
	}
	l = link_warm(s, a->route);
	if (l) {
		l->attempt = a;
		smtp_client_mail(&l->client, &a->mail);
		link_run(l);
		return;
	}
	l = link_new(s, route);
	l->attempt = a;
	if (route->login_file.n)
		link_ask_secret(l);
	else
		link_connect(l);
}

void
link_secret_came(struct send *s, struct ipc_secret_is *m)
{
	list_each_safe (at, &s->links) {
		struct link *l = list_of(at, struct link, node);

		if (!l->ask || l->ask != m->ask)
			continue;
		l->ask = 0;
		buf_add(&l->login, m->login);
		buf_add(&l->password, m->password);
		if (m->found)
			link_connect(l);
		else
			link_break(l, ERR_LOGIN_LATER,
				"the login for this route cannot be read: see its file in the "
				"configuration");
		return;
	}
}

void
link_secrets_failed(struct send *s)
{
	list_each_safe (at, &s->links) {
		struct link *l = list_of(at, struct link, node);

		if (l->ask)
			link_break(
				l, ERR_LOGIN_LATER, "the login for this route cannot be read now");
	}
}

static void
link_connected(struct link *l)
{
	int cause = 0;
	socklen_t n = sizeof cause;
	struct err e;

	getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &cause, &n);
	if (cause) {
		err_set(&e, ERR_TEMPORARY, ERR_CONNECT, "cannot connect to %s: %s", l->hop_text,
			strerror(cause));
		e.cause = cause;
		link_fail(&l, &e);
		return;
	}
	l->is_connecting = false;
	l->settings = (struct smtp_client_settings){ .hostname = buf_str(&l->hostname),
		.login = buf_str(&l->login),
		.password = buf_str(&l->password) };
	smtp_client_begin(&l->client, &l->settings);
	l->progress = UINT64_MAX; /* the greeting has its own time */
	link_run(l);
}

static void
link_ready(void *owner, int events)
{
	static char octets[READ_SIZE];
	struct link *l = owner;
	ssize_t n;

	if (l->is_connecting) {
		link_connected(l);
		return;
	}
	if (events & LOOP_READ) {
		n = recv(l->fd, octets, sizeof octets, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			link_break(l, ERR_CONNECTION_LOST,
				n == 0 ? "the other host closed the connection" : strerror(errno));
			return;
		}
		if (!l->attempt &&
			!l->is_over) { /* a warm peer speaks only to say that it leaves */
			link_free(&l);
			return;
		}
		smtp_client_feed(&l->client, (struct str){ octets, (size_t)n });
	}
	link_run(l);
}

static void
link_connect(struct link *l)
{
	socklen_t n = l->hop.ss_family == AF_INET ? sizeof(struct sockaddr_in)
						  : sizeof(struct sockaddr_in6);
	int on = 1;
	struct err e;

	l->fd = socket(l->hop.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0 ||
		(connect(l->fd, (struct sockaddr *)&l->hop, n) != 0 && errno != EINPROGRESS)) {
		err_set_errno(&e, "cannot connect to %s", l->hop_text);
		e.kind = ERR_CONNECT;
		link_fail(&l, &e);
		return;
	}
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	l->is_connecting = true;
	l->watch = loop_watch_open(l->house->role.loop, l->fd, link_ready, l);
	loop_watch_set(l->watch, LOOP_WRITE);
	loop_timer_set(l->patience, CONNECT_MS);
}

/* How a send went: everything is out, the socket is full, or the peer is gone. */
enum flushed { FLUSHED, FULL, GONE };

static enum flushed
link_flush(struct link *l)
{
	struct str out = smtp_client_output(&l->client);

	while (out.n) {
		ssize_t n = send(l->fd, out.p, out.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? FULL : GONE;
		smtp_client_sent(&l->client, (size_t)n);
		out = smtp_client_output(&l->client);
	}
	return FLUSHED;
}

static void
link_give_body(struct link *l)
{
	struct attempt *a = l->attempt;
	struct str piece = str_part(a->message, a->given, SMTP_CLIENT_PIECE_MAX);

	a->given += piece.n;
	smtp_client_body(&l->client, piece, a->given == a->message.n);
}

/* Output goes out, and the loop waits for what may come. False: the peer is gone, which the client
 * core now knows. */
static bool
link_wait(struct link *l)
{
	enum flushed f = link_flush(l);
	struct err e;

	if (f == GONE) {
		err_set(&e, ERR_TEMPORARY, ERR_CONNECTION_LOST,
			"the other host closed the connection");
		smtp_client_lost(&l->client, &e);
		return false;
	}
	loop_watch_set(l->watch, LOOP_READ | (f == FULL ? LOOP_WRITE : 0));
	if (l->client.progress != l->progress) { /* octets of half a reply buy no time */
		l->progress = l->client.progress;
		loop_timer_set(l->patience, smtp_client_patience_ms(&l->client));
	}
	return true;
}

static void
link_stay_warm(struct link *l)
{
	if (l->house->is_draining || l->mails >= MAILS_A_LINK) {
		l->is_over = true;
		smtp_client_quit(&l->client);
		return;
	}
	loop_watch_set(l->watch, LOOP_READ);
	loop_timer_set(l->patience, WARM_MS);
}

/* A session that broke before the peer heard of the mail, in greeting, hello or login, has settled nobody:
 * its fate is everybody's. */
static void
attempt_settle_rest(struct attempt *a, const struct smtp_client *c)
{
	for (size_t i = 0; i < a->mail.recipients_n; i++)
		if (!a->outcomes[i].is_settled)
			a->outcomes[i] = (struct smtp_outcome){ c->error, c->stage, true };
}

/* The session failed. A warm link that was dead all along costs the mail nothing: the attempt
 * begins again on a new one. */
static void
link_failed(struct link *l)
{
	struct attempt *a = l->attempt;
	const struct config_route *route = a ? route_named(&l->house->role.config, a->route) : NULL;
	struct link *next;

	if (!a || !route || l->mails == 0 || a->was_reopened || l->client.stage != STAGE_MAIL ||
		(l->client.error.kind != ERR_CONNECTION_LOST && l->client.error.code != 421)) {
		if (a) {
			attempt_settle_rest(a, &l->client);
			attempt_settle(&l->attempt, l->hop_text);
		}
		link_free(&l);
		return;
	}
	memset(a->outcomes, 0, sizeof a->outcomes);
	a->was_reopened = true;
	a->given = 0;
	next = link_new(l->house, route);
	next->attempt = a;
	l->attempt = NULL;
	link_free(&l);
	if (route->login_file.n)
		link_ask_secret(next);
	else
		link_connect(next);
}

static void
link_run(struct link *l)
{
	for (;;)
		switch (smtp_client_next(&l->client)) {
		case CLIENT_WANT_INPUT:
			if (link_wait(l))
				return;
			break;
		case CLIENT_WANT_OUTPUT: /* all of it out: the core goes on at once */
			if (link_wait(l) && smtp_client_output(&l->client).n)
				return;
			break;
		case CLIENT_ON_READY:
			if (!l->attempt) {
				link_stay_warm(l);
				return;
			}
			smtp_client_mail(&l->client, &l->attempt->mail);
			break;
		case CLIENT_WANT_BODY:
			link_give_body(l);
			break;
		case CLIENT_ON_DONE:
			l->mails++;
			attempt_settle(&l->attempt, l->hop_text);
			link_stay_warm(l);
			if (!l->is_over)
				return;
			break;
		case CLIENT_ON_FAILED:
			link_failed(l);
			return;
		case CLIENT_WANT_CLOSE:
			link_flush(l);
			link_free(&l);
			return;
		}
}

void
link_close_idle(struct send *s)
{
	list_each_safe (at, &s->links) {
		struct link *l = list_of(at, struct link, node);

		if (l->attempt || l->is_over || l->is_connecting)
			continue;
		l->is_over = true;
		smtp_client_quit(&l->client);
		link_run(l);
	}
}
