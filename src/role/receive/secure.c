/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/receive.h"

#include <unistd.h>

#include "base/log.h"

/*
 * TLS of a session. The certificates are vault's to give, and its alone is the key: what a handshake
 * wants signed goes there, and the session waits for it as for any other answer.
 */

enum { SHAKE_AGAIN_MS = 5 }; /* until handshakes that found too many others are tried again */

void
secure_came(struct receive *r, int fd)
{
	const struct tls_settings settings = { .has_no_tickets = r->role.config.tls.has_no_tickets,
		.is_smtp = true };
	struct err e;
	struct tls *fresh = tls_server_open(fd, &settings, &e);

	close(fd);
	if (!fresh) {
		log_event("no-certificates", "why=%s", log_quote(str_of(e.text)));
		return;
	}
	tls_close(&r->tls);
	r->tls = fresh;
}

static enum turn
shake_failed(struct session *s, const struct err *e)
{
	log_event("tls-failed", "client=%s why=%s", s->client, log_quote(str_of(e->text)));
	return DONE;
}

static enum turn
shaken(struct session *s)
{
	s->is_shaking = false;
	smtp_server_secured(&s->smtp);
	session_forget_login(s);
	session_know_rights(s);
	return NEXT;
}

/* One turn each for all that wait; who finds it crowded again, waits again, in the same order. */
static void
shake_again(void *owner)
{
	struct receive *r = owner;
	struct list waiting;

	list_init(&waiting);
	list_move_all(&waiting, &r->late_shakes);
	list_each_safe (at, &waiting) {
		struct session *s = list_of(at, struct session, late_shake);

		list_remove(&s->late_shake);
		session_run(s);
	}
}

static enum turn
wait_for_others(struct session *s)
{
	struct receive *r = s->house;

	if (!r->shake_timer)
		r->shake_timer = loop_timer_open(r->role.loop, shake_again, r);
	list_append(&r->late_shakes, &s->late_shake);
	loop_timer_set(r->shake_timer, SHAKE_AGAIN_MS);
	loop_watch_set(s->watch, 0);
	return WAIT;
}

static enum turn
wait_for(struct session *s, int events)
{
	s->is_blocked = true;
	loop_watch_set(s->watch, events);
	return WAIT;
}

enum turn
session_secure(struct session *s)
{
	enum turn step;
	struct err e;

	list_remove(&s->late_shake); /* whoever called */
	if (!s->is_shaking) {
		step = session_flush(s);
		if (step != NEXT)
			return step;
		if (!s->house->tls || !stream_secure_server(&s->stream, s->house->tls, &e))
			return DONE;
		s->is_shaking = true;
	}
	if (s->ask.state == ASK_ANSWERED || (s->ask.state == ASK_FAILED && s->house->vault))
		stream_signed(&s->stream, buf_str(&s->ask.text)); /* empty: it failed */
	ask_clear(&s->ask);
	switch (stream_shake(&s->stream, &e)) {
	case STREAM_DONE:
		return shaken(s);
	case STREAM_WANT_READ:
		return wait_for(s, LOOP_READ);
	case STREAM_WANT_WRITE:
		return wait_for(s, LOOP_WRITE);
	case STREAM_WANT_SIGNATURE:
		return s->house->vault ? ask_signature(s)
				       : wait_for_others(s); /* for the next vault */
	case STREAM_WANT_TIME:
		return wait_for_others(s);
	case STREAM_FAILED:
		break;
	}
	return shake_failed(s, &e);
}
