/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/command.h"

/*
 * The open question of a session is answered, yes or no: what is said then, and the state that follows. The states'
 * drawing is in server.c, whose arrows "settle" are here.
 */

/* What a yes says, when the driver has no other words. The questions that begin something say more
 * than words: settle_connect, settle_hello, settle_xclient. */
static const struct reply yes[] = {
	[SMTP_ON_STARTTLS] = { 220, { 2, 0, 0 }, S("go on with TLS") },
	[SMTP_ON_AUTH] = { 235, { 2, 7, 0 }, S("you are logged in") },
	[SMTP_ON_MAIL] = { 250, { 2, 1, 0 }, S("sender taken") },
	[SMTP_ON_RCPT] = { 250, { 2, 1, 5 }, S("recipient taken") },
	[SMTP_ON_DATA] = { 354, { 0 }, S("send the message, end it with <CRLF>.<CRLF>") },
	[SMTP_ON_END] = { 250, { 2, 0, 0 }, S("kept") },
	[SMTP_ON_VRFY] = { 252, { 2, 0, 0 }, S("not checked; send the mail, and we will try") },
	[SMTP_ON_EXPN] = { 250, { 2, 0, 0 }, S("done") },
};

/* Greetings carry no enhanced code (RFC 2034 §4). */
static void
settle_connect(struct smtp_server *s, const struct err *e)
{
	struct str hostname = s->settings->hostname;
	char words[512];

	if (e && e->class == ERR_TEMPORARY) {
		smtp_server_stop(s, e);
		return;
	}
	if (e) {
		snprintf(words, sizeof words, "%.*s %.*s", STR_ARG(hostname),
			STR_ARG(reply_from_err(e).text));
		smtp_server_say(s, (struct reply){ 554, { 0 }, str_of(words) });
	} else {
		snprintf(words, sizeof words, "%.*s ESMTP Posthouse", STR_ARG(hostname));
		smtp_server_say(s, (struct reply){ 220, { 0 }, str_of(words) });
	}
	s->state = e ? SERVER_REFUSED : SERVER_COMMAND;
}

/* A refused greeting leaves all as it was (RFC 5321 §4.1.4). */
static void
settle_hello(struct smtp_server *s, const struct err *e, struct reply r)
{
	if (e) {
		s->hello = buf_str(&s->hello_copy);
		s->is_extended = s->was_extended;
		smtp_server_say(s, r);
		return;
	}
	smtp_server_reset_transaction(s);
	buf_reset(&s->hello_copy);
	buf_add(&s->hello_copy, s->hello);
	s->hello = buf_str(&s->hello_copy);
	command_say_hello(s);
}

/* RFC 3207 §4: 454 for whatever keeps us from it now. A 421 that waits for this answer takes its
 * place: behind the 220 nobody could read it. */
static void
settle_starttls(struct smtp_server *s, const struct err *e, struct reply r)
{
	if (!e && s->farewell.n)
		return;
	if (r.code / 100 == 4 && r.code != 421)
		r = (struct reply){ 454, { 4, 7, 0 }, r.text };
	smtp_server_say(s, r);
	if (!e)
		s->state = SERVER_TLS;
}

/* The greeting of the session that begins is the reply. */
static void
settle_xclient(struct smtp_server *s, const struct err *e, struct reply r)
{
	if (e) {
		smtp_server_say(s, r);
		return;
	}
	smtp_server_begin_anew(s);
	s->state = SERVER_CONNECT;
}

/* May a message begin? Behind DATA the reply is due now; a chunk is under way already and has its
 * reply at its end. */
static void
settle_data(struct smtp_server *s, const struct err *e, struct reply r)
{
	if (s->has_chunks) {
		if (e)
			smtp_server_fail_body(s, e);
		return;
	}
	smtp_server_say(s, r);
	if (e)
		return;
	data_begin(&s->data, true, s->repairs_line_ends);
	s->state = SERVER_DATA;
}

/* The open question is answered: e is NULL for yes, r is what is said. */
static void
settle(struct smtp_server *s, const struct err *e, struct reply r)
{
	struct smtp_transaction *t = &s->transaction;
	enum smtp_event event = s->pending;

	must(event != SMTP_WANT_INPUT);
	s->pending = SMTP_WANT_INPUT;
	switch (event) {
	case SMTP_ON_CONNECT:
		settle_connect(s, e);
		break;
	case SMTP_ON_HELLO:
		settle_hello(s, e, r);
		break;
	case SMTP_ON_STARTTLS:
		settle_starttls(s, e, r);
		break;
	case SMTP_ON_XCLIENT:
		settle_xclient(s, e, r);
		break;
	case SMTP_ON_AUTH:
		s->is_logged_in = !e;
		smtp_server_say(s, r);
		smtp_server_end_auth(s);
		break;
	case SMTP_ON_MAIL:
		t->is_open = !e;
		smtp_server_say(s, r);
		if (e)
			smtp_server_reset_transaction(s);
		break;
	case SMTP_ON_RCPT:
		t->recipients_accepted += !e;
		s->unknown_recipients += e && e->kind == ERR_MAILBOX_UNKNOWN;
		smtp_server_say(s, r);
		break;
	case SMTP_ON_DATA:
		settle_data(s, e, r);
		break;
	case SMTP_ON_END:
		t->is_open = e != NULL; /* END's yes is the one end that needs no ON_RESET */
		smtp_server_say(s, r);
		smtp_server_reset_transaction(s);
		break;
	case SMTP_ON_VRFY:
	case SMTP_ON_EXPN:
		smtp_server_say(s, r);
		break;
	case SMTP_WANT_INPUT:
	case SMTP_WANT_FLUSH:
	case SMTP_WANT_TLS:
	case SMTP_ON_BODY:
	case SMTP_ON_RESET:
	case SMTP_WANT_CLOSE:
		break; /* none of them asks */
	}
	arena_free(&s->scratch);
	s->recipient = (struct address){ 0 };
	s->notify = 0;
	s->original_recipient = (struct str){ 0 };
	s->argument = (struct str){ 0 };
	s->xclient = NULL;
	s->argument_is_utf8 = false;
	if (s->farewell.n && s->state != SERVER_CLOSED) {
		buf_add(&s->out, buf_str(&s->farewell));
		smtp_server_close(s);
	}
}

void
smtp_server_answer(struct smtp_server *s, const struct err *e)
{
	if (e && err_is(e))
		settle(s, e, reply_from_err(e));
	else
		settle(s, NULL, yes[s->pending]);
}

void
smtp_server_accept(struct smtp_server *s, int code, struct str text)
{
	must(code >= 200 && code < 400 && yes[s->pending].code);
	settle(s, NULL, (struct reply){ code, yes[s->pending].enhanced, text });
}
