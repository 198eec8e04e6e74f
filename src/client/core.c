/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

/* The dialogue of libposthouse: smtp/client with a mail's recipients in groups and its message from mail.c. */

static const struct memory *
memory_of(const struct ph_core *c)
{
	return (const void *)c->memory;
}

ph_core *
ph_core_new(const char *hostname, unsigned flags, const struct ph_memory *memory)
{
	struct ph_core *c = memory_take((const void *)memory, sizeof *c);

	if (!c)
		return NULL;
	c->memory = memory;
	c->arena = (struct arena){ .max = 65536, .memory = memory_of(c) };
	c->reader = memory_take(memory_of(c), sizeof *c->reader);
	c->settings.tls = flags & PH_CORE_TLS_FIRST  ? CLIENT_TLS_FIRST
			  : flags & PH_CORE_STARTTLS ? CLIENT_TLS_REQUIRE
						     : CLIENT_TLS_NEVER;
	c->settings.is_lmtp = flags & PH_CORE_LMTP;
	c->settings.shows_password = flags & PH_CORE_CLEAR_LOGIN;
	if (!c->reader || !arena_dup(&c->arena, str_of(hostname), &c->settings.hostname)) {
		ph_core_free(c);
		return NULL;
	}
	return c;
}

void
ph_core_free(ph_core *c)
{
	if (!c)
		return;
	if (c->has_begun)
		smtp_client_free(&c->smtp);
	memory_release(memory_of(c), c->reader);
	arena_free(&c->arena);
	memory_release(memory_of(c), c);
}

void
ph_core_login(ph_core *c, const char *user, const char *password)
{
	arena_dup(&c->arena, str_of(user), &c->settings.login);
	arena_dup(&c->arena, str_of(password), &c->settings.password);
}

void
core_begin(struct ph_core *c)
{
	if (c->has_begun)
		smtp_client_free(&c->smtp);
	c->has_begun = true;
	smtp_client_begin(&c->smtp, &c->settings);
}

/* The next recipients, as many as one transaction takes. False: all of them are settled. */
static bool
next_part(struct ph_core *c)
{
	struct ph_mail *m = c->mail;
	size_t n = m->recipients_n - c->end;

	if (n == 0)
		return false;
	if (n > SMTP_CLIENT_RECIPIENTS_MAX)
		n = SMTP_CLIENT_RECIPIENTS_MAX;
	c->begin = c->end;
	c->end += n;
	c->given = 0;
	if (!m->is_finished)
		compose_begin(c->reader, &m->plan);
	c->part = (struct smtp_client_mail){
		.reverse_path = m->return_path,
		.recipients = m->wire + c->begin,
		.outcomes = m->outcomes + c->begin,
		.recipients_n = n,
		.size = m->size,
		.smtputf8 = m->needs_utf8,
		.has_8bit = m->has_8bit,
		.needs_chunking = m->needs_chunking,
	};
	smtp_client_mail(&c->smtp, &c->part);
	return true;
}

void
ph_core_mail(ph_core *c, ph_mail *m)
{
	c->mail = m;
	c->begin = c->end = 0;
	mail_begin_results(m);
	next_part(c);
}

static void
give_body(struct ph_core *c)
{
	struct ph_mail *m = c->mail;
	struct str piece;

	if (m->is_finished) {
		piece = str_part(buf_str(&m->finished_octets), c->given, SMTP_CLIENT_PIECE_MAX);
		c->given += piece.n;
		smtp_client_body(&c->smtp, piece, c->given == m->size);
	} else if (compose_next(c->reader, &piece) == COMPOSE_PIECE) {
		c->given += piece.n;
		smtp_client_body(&c->smtp, piece, c->given == m->size);
	}
}

static void
note(struct ph_core *c)
{
	if (c->mail)
		mail_note_outcomes(
			c->mail, c->begin, c->end, c->part.final_words, c->smtp.may_be_delivered);
}

enum ph_event
ph_core_next(ph_core *c)
{
	if (!c->has_begun)
		core_begin(c);
	for (;;)
		switch (smtp_client_next(&c->smtp)) {
		case CLIENT_WANT_INPUT:
			return PH_WANT_INPUT;
		case CLIENT_WANT_OUTPUT:
			return PH_WANT_OUTPUT;
		case CLIENT_WANT_TLS:
			return PH_WANT_TLS;
		case CLIENT_ON_READY:
			return PH_READY;
		case CLIENT_WANT_ASCII:
			smtp_client_ascii(&c->smtp, 0);
			break;
		case CLIENT_WANT_TOKEN:
		case CLIENT_WANT_AHEAD:
			break;
		case CLIENT_WANT_BODY:
			give_body(c);
			break;
		case CLIENT_ON_DONE:
			note(c);
			if (!next_part(c)) {
				c->mail = NULL;
				return PH_DONE;
			}
			break;
		case CLIENT_ON_FAILED:
			note(c);
			if (c->mail)
				mail_settle_rest(c->mail, &c->smtp.error, c->smtp.stage);
			c->mail = NULL;
			snprintf(c->error, sizeof c->error, "%s", c->smtp.error.text);
			return PH_FAILED;
		case CLIENT_WANT_CLOSE:
			return PH_CLOSE;
		}
}

void
ph_core_feed(ph_core *c, const char *octets, size_t n)
{
	smtp_client_feed(&c->smtp, (struct str){ octets, n });
}

const char *
ph_core_output(const ph_core *c, size_t *n)
{
	struct str output = smtp_client_output(&c->smtp);

	*n = output.n;
	return output.p;
}

void
ph_core_sent(ph_core *c, size_t n)
{
	smtp_client_sent(&c->smtp, n);
}

void
ph_core_secured(ph_core *c)
{
	smtp_client_secured(&c->smtp);
}

void
ph_core_lost(ph_core *c, const char *why)
{
	struct err e;

	err_set(&e, ERR_TEMPORARY, ERR_CONNECTION_LOST, "%s", why);
	smtp_client_lost(&c->smtp, &e);
}

void
ph_core_quit(ph_core *c)
{
	smtp_client_quit(&c->smtp);
}

const char *
ph_core_error(const ph_core *c)
{
	return c->error;
}
