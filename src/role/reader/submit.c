/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/submit.h"

#include <errno.h>

#include "base/must.h"

/*
 * One door (DESIGN, law 5): mail written in the browser comes to receive like any other submission, by SMTP with a login. The
 * connection is one end of a socket pair that master made; the password is the token that vault gave for this mailbox.
 *
 *   submit_begin ──▶ reader_speak ──connection──▶ talk: smtp/client.h's events, one arm each ──▶ finish: done
 *
 * The id that the queue knows the mail by is the last word of receive's yes.
 */

enum { DEADLINE_MS = 60000 };

static void
finish(struct submit *s, const struct err *e)
{
	s->is_done = true;
	if (e && !err_is(&s->err))
		s->err = *e;
	loop_timer_set(s->deadline, -1);
	loop_watch_close(&s->watch);
	stream_close(&s->stream);
	s->done(s->owner);
}

/* "kept as 0123…" */
static void
read_id(struct submit *s)
{
	struct str words = s->mail.final_words;

	while (words.n && (words.p[words.n - 1] == ' ' || words.p[words.n - 1] == '\n'))
		words.n--;
	if (words.n >= MAIL_ID_TEXT - 1)
		mail_id_parse(str_from(words, words.n - (MAIL_ID_TEXT - 1)), &s->id);
}

/* Every recipient has its outcome. */
static void
settled(struct submit *s)
{
	for (size_t i = 0; i < s->mail.recipients_n; i++)
		s->is_kept |= !err_is(&s->outcomes[i].err);
	if (s->is_kept)
		read_id(s);
}

/* Without an answer to the final dot nobody may say that it was not sent: that is how mail comes twice. */
static void
lost(struct submit *s)
{
	for (size_t i = 0; i < s->mail.recipients_n; i++)
		s->is_unsure |= s->outcomes[i].may_be_delivered;
}

static bool
flush(struct submit *s)
{
	struct str out = smtp_client_output(&s->client);
	ssize_t n;

	for (; out.n; out = smtp_client_output(&s->client)) {
		n = stream_write(&s->stream, out);
		if (n < 0)
			return errno == EAGAIN;
		smtp_client_sent(&s->client, (size_t)n);
	}
	return true;
}

static void
lose(struct submit *s, enum err_kind kind, const char *words)
{
	struct err e;

	err_set(&e, ERR_TEMPORARY, kind, "%s", words);
	smtp_client_lost(&s->client, &e);
}

/* Output goes out, and the loop waits for what may come. False: the other end is gone, which the core now knows. */
static bool
wait(struct submit *s)
{
	if (!flush(s)) {
		lose(s, ERR_CONNECTION_LOST, "the station's receiver went away");
		return false;
	}
	loop_watch_set(s->watch, LOOP_READ | (smtp_client_output(&s->client).n ? LOOP_WRITE : 0));
	return true;
}

static void
give_body(struct submit *s)
{
	static char room[OUTGOING_ROOM];
	size_t n = outgoing_read(&s->outgoing, room);

	s->given += n;
	smtp_client_body(&s->client, (struct str){ room, n }, s->given == s->outgoing.size);
}

static void
talk(struct submit *s)
{
	for (;;)
		switch (smtp_client_next(&s->client)) {
		case CLIENT_WANT_INPUT:
			if (wait(s))
				return;
			break;
		case CLIENT_WANT_OUTPUT:
			if (wait(s) && smtp_client_output(&s->client).n)
				return;
			break;
		case CLIENT_ON_READY:
			smtp_client_mail(&s->client, &s->mail);
			break;
		case CLIENT_WANT_BODY:
			give_body(s);
			break;
		case CLIENT_WANT_ASCII:
			smtp_client_ascii(&s->client, 0);
			break;
		case CLIENT_ON_DONE:
			settled(s);
			smtp_client_quit(&s->client);
			flush(s); /* its QUIT; the answer is not waited for */
			finish(s, NULL);
			return;
		case CLIENT_ON_FAILED:
			lost(s);
			finish(s, &s->client.error);
			return;
		case CLIENT_WANT_TLS: /* not by these settings */
		case CLIENT_WANT_TOKEN:
		case CLIENT_WANT_AHEAD:
		case CLIENT_WANT_CLOSE:
			must(false);
		}
}

static void
ready(void *owner, int events)
{
	static char octets[STREAM_RECORD];
	struct submit *s = owner;
	ssize_t n;

	if (events & LOOP_READ) {
		n = stream_read(&s->stream, octets, sizeof octets);
		if (n > 0)
			smtp_client_feed(&s->client, (struct str){ octets, (size_t)n });
		else if (n == 0 || errno != EAGAIN)
			lose(s, ERR_CONNECTION_LOST, "the station's receiver went away");
	}
	talk(s);
}

static void
too_late(void *owner)
{
	struct submit *s = owner;
	struct err e;

	if (!s->watch) { /* no connection came */
		reader_forget(s->reader, s);
		err_set(&e, ERR_TEMPORARY, ERR_TIMEOUT, "the station's receiver does not answer");
		finish(s, &e);
		return;
	}
	lose(s, ERR_TIMEOUT, "the station's receiver does not answer");
	talk(s);
}

static void
connected(void *owner, int fd)
{
	struct submit *s = owner;
	struct err e;

	if (fd < 0) {
		err_set(&e, ERR_TEMPORARY, ERR_CONNECT, "the station's receiver is not there now");
		finish(s, &e);
		return;
	}
	stream_open(&s->stream, fd);
	s->watch = loop_watch_open(s->reader->role.loop, fd, ready, s);
	s->settings = (struct smtp_client_settings){ .hostname = buf_str(&s->hostname),
		.login = buf_str(&s->login),
		.password = buf_str(&s->token),
		.mechanisms = MECHANISM_PLAIN,
		.tls = CLIENT_TLS_NEVER,
		.shows_password = true };
	smtp_client_begin(&s->client, &s->settings);
	talk(s);
}

static void
copy(struct buf *to, struct str text)
{
	to->max = text.n;
	buf_add(to, text);
}

struct submit *
submit_begin(struct reader *r, const struct submit_order *o, void (*done)(void *owner), void *owner)
{
	struct submit *s = calloc(1, sizeof *s);

	must(s && o->recipients_n <= SUBMIT_RECIPIENTS_MAX);
	s->reader = r;
	s->done = done;
	s->owner = owner;
	s->stream.fd = -1;
	copy(&s->login, buf_str(&r->login));
	copy(&s->token, buf_str(&r->token));
	copy(&s->hostname, r->role.config.hostname);
	outgoing_begin(&s->outgoing, o->message);
	s->mail = (struct smtp_client_mail){ .reverse_path = o->reverse_path,
		.recipients = o->recipients,
		.outcomes = s->outcomes,
		.dsn = o->dsn,
		.recipients_n = o->recipients_n,
		.size = s->outgoing.size,
		.ret = o->ret,
		.envid = o->envid,
		.smtputf8 = o->smtputf8 || s->outgoing.header_is_8bit,
		.has_8bit = s->outgoing.is_8bit,
		.needs_chunking = s->outgoing.needs_chunking,
		.hold_s = o->hold_s };
	s->deadline = loop_timer_open(r->role.loop, too_late, s);
	loop_timer_set(s->deadline, DEADLINE_MS);
	reader_speak(r, connected, s);
	return s;
}

void
submit_free(struct submit **s)
{
	if (!*s)
		return;
	reader_forget((*s)->reader, *s);
	loop_watch_close(&(*s)->watch);
	loop_timer_close(&(*s)->deadline);
	stream_close(&(*s)->stream);
	smtp_client_free(&(*s)->client);
	outgoing_free(&(*s)->outgoing);
	buf_free(&(*s)->login);
	if ((*s)->token.p)
		explicit_bzero((*s)->token.p, (*s)->token.n);
	buf_free(&(*s)->token);
	buf_free(&(*s)->hostname);
	free(*s);
	*s = NULL;
}
