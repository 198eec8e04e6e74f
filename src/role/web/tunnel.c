/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

/*
 * TLS of a connection, by the same stream as SMTP's: what it carries goes through a pair of sockets to libmicrohttpd, which so needs no TLS of its own, and no key.
 * What a handshake wants signed goes to vault.
 *
 *   client ══ TLS ══ stream ── up ──> inner ══ socketpair ══ libmicrohttpd
 *                        <── down ──
 *
 *   shaking ── STREAM_DONE ──> pumping ── the client ends: the pair is shut for writing; libmicrohttpd ends: what is left goes out, and all is closed
 *
 * Each direction holds at most what one reading brought, and reads only when that has gone.
 */

enum {
	SHAKE_MOST_MS = 15000,
	FLUSH_MOST_MS = 30000,
	SHAKE_AGAIN_MS = 50, /* for who found too many handshakes under way, or no vault */
	ROUNDS = 8,	     /* of each direction, then others have their turn */
};

struct flow { /* what was read and did not go out */
	struct buf rest;
	bool is_over; /* no more comes */
};

struct tunnel {
	struct guest *guest;
	struct stream stream;
	struct loop_watch *outer_watch, *inner_watch;
	int inner; /* our end of the pair; -1: still shaking */
	struct flow up, down;
	bool waits_for_turn;
	uint64_t ask; /* a signature; 0: none is under way */
	int64_t since_ms;
};

static void tunnel_run(struct tunnel *t);

/* ── handshake ── */

static void
shake_again(void *owner)
{
	struct web *w = owner;

	list_each_safe (at, &w->guests) {
		struct guest *g = list_of(at, struct guest, link);

		if (g->tunnel && g->tunnel->waits_for_turn) {
			g->tunnel->waits_for_turn = false;
			tunnel_run(g->tunnel);
		}
	}
}

static bool
wait_for_turn(struct tunnel *t)
{
	struct web *w = t->guest->web;

	t->waits_for_turn = true;
	loop_watch_set(t->outer_watch, 0);
	if (!w->shake_again)
		w->shake_again = loop_timer_open(w->role.loop, shake_again, w);
	loop_timer_set(w->shake_again, SHAKE_AGAIN_MS);
	return true;
}

static bool
ask_signature(struct tunnel *t)
{
	struct web *w = t->guest->web;
	struct stream_to_sign what = stream_to_sign(&t->stream);

	if (!w->vault)
		return wait_for_turn(t);
	loop_watch_set(t->outer_watch, 0);
	if (t->ask)
		return true;
	t->ask = ++w->asks;
	ipc_send_sign(w->vault, &(struct ipc_sign){ .fd = -1,
					.ask = t->ask,
					.key = what.key,
					.scheme = what.scheme,
					.content = what.content });
	return true;
}

/* False: the tunnel cannot be. */
static bool
shake(struct tunnel *t)
{
	struct err e = { 0 };

	switch (stream_shake(&t->stream, &e)) {
	case STREAM_DONE:
		return true;
	case STREAM_WANT_READ:
		loop_watch_set(t->outer_watch, LOOP_READ);
		return true;
	case STREAM_WANT_WRITE:
		loop_watch_set(t->outer_watch, LOOP_WRITE);
		return true;
	case STREAM_WANT_SIGNATURE:
		return ask_signature(t);
	case STREAM_WANT_TIME:
		return wait_for_turn(t);
	case STREAM_FAILED:
		log_event("tls-failed", "client=%s door=web why=%s", t->guest->client,
			log_quote(str_of(e.text)));
		return false;
	}
	return false;
}

/* ── pumping ── */

static void
tunnel_ready(void *owner, int events)
{
	(void)events;
	tunnel_run(owner);
}

static bool
enter_http(struct tunnel *t)
{
	struct web *w = t->guest->web;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		log_event("no-connection", "client=%s errno=%d", t->guest->client, errno);
		return false;
	}
	t->inner = pair[0];
	t->inner_watch = loop_watch_open(w->role.loop, t->inner, tunnel_ready, t);
	t->guest->is_secure = true;
	guest_enter_http(t->guest, pair[1]);
	return t->guest->is_in_http;
}

static ssize_t
read_some(struct tunnel *t, bool is_up, char *to, size_t room)
{
	return is_up ? stream_read(&t->stream, to, room) : recv(t->inner, to, room, 0);
}

static ssize_t
write_some(struct tunnel *t, bool is_up, struct str octets)
{
	return is_up ? send(t->inner, octets.p, octets.n, MSG_NOSIGNAL)
		     : stream_write(&t->stream, octets);
}

/* What has gone out of the rest, or is kept for later. False: nobody takes it any more. */
static bool
push(struct tunnel *t, bool is_up, struct str octets)
{
	struct flow *f = is_up ? &t->up : &t->down;

	while (octets.n) {
		ssize_t n = write_some(t, is_up, octets);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			break;
		octets = str_from(octets, (size_t)n);
	}
	if (f->rest.n)
		buf_drop(&f->rest, f->rest.n - octets.n);
	else
		buf_add(&f->rest, octets);
	if (f->rest.n == 0)
		buf_free(&f->rest);
	return !f->rest.overflow;
}

static bool
pump(struct tunnel *t, bool is_up)
{
	static char scratch[STREAM_RECORD];
	struct flow *f = is_up ? &t->up : &t->down;

	if (f->rest.n && !push(t, is_up, buf_str(&f->rest)))
		return false;
	for (int i = 0; i < ROUNDS && f->rest.n == 0 && !f->is_over; i++) {
		ssize_t n = read_some(t, is_up, scratch, sizeof scratch);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			f->is_over = true;
			if (is_up)
				shutdown(t->inner, SHUT_WR);
			break;
		}
		if (!push(t, is_up, (struct str){ scratch, (size_t)n }))
			return false;
	}
	explicit_bzero(scratch, sizeof scratch);
	return true;
}

static void
watch_both(struct tunnel *t)
{
	int outer = 0, inner = 0;

	if (t->up.rest.n)
		inner |= LOOP_WRITE;
	else if (!t->up.is_over)
		outer |= LOOP_READ;
	if (t->down.rest.n)
		outer |= stream_wants(&t->stream);
	else if (!t->down.is_over)
		inner |= LOOP_READ;
	loop_watch_set(t->outer_watch, outer);
	loop_watch_set(t->inner_watch, inner);
}

/* False: it is over. libmicrohttpd's end is the end of it; the client's alone is not: it may still wait for an answer. */
static bool
pump_both(struct tunnel *t)
{
	if (!pump(t, true) || !pump(t, false) || (t->down.is_over && t->down.rest.n == 0))
		return false;
	watch_both(t);
	return true;
}

static void
tunnel_run(struct tunnel *t)
{
	struct guest *g = t->guest;
	bool goes_on = true;

	if (t->inner < 0) {
		goes_on = shake(t);
		if (goes_on && stream_is_secure(&t->stream))
			goes_on = enter_http(t);
	}
	if (goes_on && t->inner >= 0)
		goes_on = pump_both(t);
	if (!goes_on) {
		tunnel_close(g);
		guest_settle(g);
	}
}

/* ── for others ── */

void
tunnel_open(struct guest *g)
{
	struct tunnel *t = calloc(1, sizeof *t);
	struct err e;

	must(t);
	*t = (struct tunnel){ .guest = g,
		.inner = -1,
		.up.rest.max = STREAM_RECORD,
		.down.rest.max = STREAM_RECORD,
		.since_ms = loop_now_ms(g->web->role.loop) };
	g->tunnel = t;
	stream_open(&t->stream, g->fd);
	t->outer_watch = loop_watch_open(g->web->role.loop, g->fd, tunnel_ready, t);
	if (stream_secure_server(&t->stream, g->web->tls, &e))
		loop_watch_set(t->outer_watch, LOOP_READ);
	else
		tunnel_close(g);
}

void
tunnel_close(struct guest *g)
{
	struct tunnel *t = g->tunnel;

	g->tunnel = NULL;
	g->fd = -1;
	loop_watch_close(&t->outer_watch);
	if (t->inner_watch)
		loop_watch_close(&t->inner_watch);
	if (t->inner >= 0)
		close(t->inner);
	stream_close(&t->stream);
	buf_free(&t->up.rest);
	buf_free(&t->down.rest);
	free(t);
}

bool
tunnel_is_late(const struct guest *g, int64_t now_ms)
{
	const struct tunnel *t = g->tunnel;

	return t->inner < 0 ? now_ms - t->since_ms > SHAKE_MOST_MS
			    : now_ms - g->idle_ms > FLUSH_MOST_MS;
}

void
tunnel_certificates(struct web *w, const struct ipc_certificates *m)
{
	const struct tls_settings settings = { .has_no_tickets = m->has_no_tickets };
	struct err e;
	struct tls *fresh = tls_server_open(m->fd, &settings, &e);

	close(m->fd);
	if (!fresh) {
		log_event("no-certificates", "why=%s", log_quote(str_of(e.text)));
		return;
	}
	tls_close(&w->tls);
	w->tls = fresh;
}

void
tunnel_signature(struct web *w, const struct ipc_signature *m)
{
	list_each (at, &w->guests) {
		struct tunnel *t = list_of(at, struct guest, link)->tunnel;

		if (t && t->ask && t->ask == m->ask) {
			t->ask = 0;
			stream_signed(&t->stream, m->signature);
			tunnel_run(t);
			return;
		}
	}
}

/* Who waits for a signature asks the next one. */
void
tunnel_lost_vault(struct web *w)
{
	list_each_safe (at, &w->guests) {
		struct tunnel *t = list_of(at, struct guest, link)->tunnel;

		if (t && t->ask) {
			t->ask = 0;
			wait_for_turn(t);
		}
	}
}
