/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/receive.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

/*
 * TLS of a session. The certificates are vault's to give, and its alone is the key: what a handshake
 * wants signed goes there, and the session waits for it as for any other answer.
 */

enum {
	SHAKE_AGAIN_MS =
		100, /* until handshakes that found too many others are tried again, if nobody calls */
	LEAVE_MOST = 1024 * 1024, /* octets behind a handshake that failed */
};

void
secure_came(struct receive *r, const struct ipc_certificates *m)
{
	const struct tls_settings settings = { .has_no_tickets = m->has_no_tickets,
		.is_smtp = true };
	struct err e;
	struct tls *fresh = tls_server_open(m->fd, &settings, &e);

	close(m->fd);
	if (!fresh) {
		log_event("no-certificates", "why=%s", log_quote(str_of(e.text)));
		return;
	}
	tls_close(&r->tls);
	r->tls = fresh;
}

/*
 * What it said besides is thrown away until it closes too: closing before would be a reset, which takes back what was
 * said to it last, be it the alert or our 220. As part of the handshake it has that one's time.
 */
enum turn
secure_leave(struct session *s)
{
	char octets[16384];
	ssize_t n = 0;

	if (!s->is_leaving)
		shutdown(s->stream.fd, SHUT_WR);
	s->is_leaving = true;
	while (s->left < LEAVE_MOST && (n = recv(s->stream.fd, octets, sizeof octets, 0)) > 0)
		s->left += (size_t)n;
	if (s->left >= LEAVE_MOST || n == 0 || errno != EAGAIN)
		return DONE;
	loop_watch_set(s->watch, LOOP_READ);
	return WAIT;
}

static enum turn
shake_failed(struct session *s, const struct err *e)
{
	static const char *const doors[] = { [CONFIG_SMTP] = "smtp",
		[CONFIG_SUBMISSION] = "submission",
		[CONFIG_SUBMISSIONS] = "submissions" };
	const struct config *c = &s->house->role.config;
	struct stream_facts f;

	stream_facts(&s->stream, &f);
	log_event("tls-failed", "client=%s door=%s name=%s why=%s", s->client,
		s->is_local ? "submit" : doors[c->listens[s->listen].door],
		log_quote(f.server_name), log_quote(str_of(e->text)));
	return secure_leave(s);
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

/* In the order in which they came, until one finds it crowded again: so will those behind it. */
static void
shake_again(void *owner)
{
	struct receive *r = owner;

	r->is_crowded = false;
	loop_timer_set(r->shake_timer, SHAKE_AGAIN_MS);
	list_each_safe (at, &r->late_shakes) {
		session_run(list_of(at, struct session, late_shake));
		if (r->is_crowded)
			break;
	}
	if (list_is_empty(&r->late_shakes))
		loop_timer_close(&r->shake_timer);
}

void
secure_call_next(struct receive *r)
{
	if (r->shake_timer)
		loop_timer_set(r->shake_timer, 0);
}

/* Who waits already keeps its place. */
static enum turn
wait_for_others(struct session *s)
{
	struct receive *r = s->house;

	if (!r->shake_timer) {
		r->shake_timer = loop_timer_open(r->role.loop, shake_again, r);
		loop_timer_set(r->shake_timer, SHAKE_AGAIN_MS);
	}
	if (!list_is_linked(&s->late_shake))
		list_append(&r->late_shakes, &s->late_shake);
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

static enum turn
shake(struct session *s)
{
	enum stream_step step;
	struct err e;

	if (s->ask.state == ASK_ANSWERED || (s->ask.state == ASK_FAILED && s->house->vault))
		stream_signed(&s->stream, buf_str(&s->ask.text)); /* empty: it failed */
	ask_clear(&s->ask);
	step = stream_shake(&s->stream, &e);
	if (step != STREAM_WANT_TIME && step != STREAM_WANT_SIGNATURE)
		list_remove(&s->late_shake);
	switch (step) {
	case STREAM_DONE:
		return shaken(s);
	case STREAM_WANT_READ:
		return wait_for(s, LOOP_READ);
	case STREAM_WANT_WRITE:
		return wait_for(s, LOOP_WRITE);
	case STREAM_WANT_SIGNATURE:
		if (!s->house->vault)
			return wait_for_others(s); /* for the next one */
		list_remove(&s->late_shake);
		return ask_signature(s);
	case STREAM_WANT_TIME:
		s->house->is_crowded = true;
		return wait_for_others(s);
	case STREAM_FAILED:
		break;
	}
	return shake_failed(s, &e);
}

enum turn
secure_session(struct session *s)
{
	bool had_asked = s->ask.state != ASK_NONE;
	enum turn step;
	struct err e;

	if (!s->is_shaking) {
		step = session_flush(s);
		if (step != NEXT)
			return step;
		s->is_shaking = true;
		if (!s->house->tls || !stream_secure_server(&s->stream, s->house->tls, &e))
			return secure_leave(s);
	}
	step = shake(s);
	if (had_asked)
		secure_call_next(s->house);
	return step;
}
