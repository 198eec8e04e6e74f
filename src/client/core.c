/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include "base/codec.h"
#include "base/hash.h"

/*
 * The dialogue of libposthouse: smtp/client, with a mail's recipients in parts of as many as one transaction takes, and its message
 * from body.c. Where the server allows it, the commands of the next part, or of the next mail, leave behind the dot of this one:
 *
 *   parts[now]   under way; CLIENT_ON_DONE is about it
 *   the other    ahead (has_ahead): under way as soon as that came
 */

enum { CORE_MEMORY_MAX = 65536, NONCE_OCTETS = 18 };

struct ph_core *
core_new(struct str hostname, unsigned flags, const struct memory *memory)
{
	struct ph_core *c = memory_take(memory, sizeof *c);

	if (!c)
		return NULL;
	c->memory = *memory;
	c->arena = (struct arena){ .max = CORE_MEMORY_MAX, .memory = &c->memory };
	c->body = memory_take(&c->memory, sizeof *c->body);
	c->settings.tls = flags & PH_CORE_TLS_FIRST  ? CLIENT_TLS_FIRST
			  : flags & PH_CORE_STARTTLS ? CLIENT_TLS_REQUIRE
						     : CLIENT_TLS_NEVER;
	c->settings.is_lmtp = flags & PH_CORE_LMTP;
	c->settings.shows_password = flags & PH_CORE_CLEAR_LOGIN;
	c->settings.mechanisms = ~0U;
	c->settings.goes_ahead = true;
	c->settings.memory = &c->memory;
	if (!c->body || !arena_dup(&c->arena, hostname, &c->settings.hostname)) {
		ph_core_free(c);
		return NULL;
	}
	return c;
}

ph_core *
ph_core_new(const char *hostname, unsigned flags, const struct ph_memory *given)
{
	struct memory memory = client_memory(given);

	return core_new(str_of(hostname), flags, &memory);
}

/* What is under way is not any more. */
static void
drop_mail(struct ph_core *c)
{
	if (c->mail)
		c->mail->core = NULL;
	c->mail = NULL;
}

void
ph_core_free(ph_core *c)
{
	struct memory memory;

	if (!c)
		return;
	memory = c->memory;
	drop_mail(c);
	if (c->has_begun)
		smtp_client_free(&c->smtp);
	text_wipe(&c->password);
	text_wipe(&c->token);
	if (c->body)
		body_end(c->body);
	memory_release(&memory, c->body);
	arena_free(&c->arena);
	memory_release(&memory, c);
}

static void
keep_login(struct ph_core *c, const char *user, const char *secret, struct str *copy)
{
	struct str in = str_of(secret);
	char *p = arena_take(&c->arena, in.n + 1); /* a token's hook gives it with its NUL */

	text_wipe(copy);
	if (p && in.n)
		memcpy(p, in.p, in.n);
	*copy = (struct str){ p, p ? in.n : 0 };
	if (!p || !arena_dup(&c->arena, str_of(user), &c->settings.login))
		snprintf(c->error, sizeof c->error, "no memory for the login");
}

void
ph_core_login(ph_core *c, const char *user, const char *password)
{
	if (c->has_begun)
		return;
	keep_login(c, user, password, &c->password);
	c->settings.password = c->password;
}

static const char *
own_token(void *core, bool again)
{
	const struct ph_core *c = core;

	return again ? NULL : c->token.p;
}

void
ph_core_token(ph_core *c, const char *user, const char *token)
{
	if (c->has_begun)
		return;
	keep_login(c, user, token, &c->token);
	c->settings.has_token = true;
	c->on_token = own_token;
	c->token_context = c;
}

/* The nonce of SCRAM (RFC 5802 §5.1). */
static void
choose_nonce(struct ph_core *c)
{
	char octets[NONCE_OCTETS];
	struct buf text = { .p = c->nonce, .capacity = sizeof c->nonce, .max = sizeof c->nonce };

	hash_random(octets, sizeof octets);
	codec_add_base64(&text, (struct str){ octets, sizeof octets });
	c->settings.nonce = buf_str(&text);
}

static void
make_begun(struct ph_core *c)
{
	if (c->has_begun)
		return;
	c->has_begun = true;
	choose_nonce(c);
	smtp_client_begin(&c->smtp, &c->settings);
	if (c->error[0])
		ph_core_lost(c, c->error);
}

/* ── parts ── */

static void
begin_part(struct ph_core *c, struct part *p, struct ph_mail *m, size_t begin)
{
	size_t n = m->recipients_n - begin;

	if (n > SMTP_CLIENT_RECIPIENTS_MAX)
		n = SMTP_CLIENT_RECIPIENTS_MAX;
	p->mail = m;
	p->begin = begin;
	p->end = begin + n;
	p->smtp = (struct smtp_client_mail){
		.reverse_path = m->return_path,
		.recipients = m->wire + begin,
		.outcomes = m->outcomes + begin,
		.dsn = m->notify ? m->dsn + begin : NULL,
		.recipients_n = n,
		.size = m->size,
		.ret = m->ret,
		.envid = m->envelope_id,
		/* a finished message that needs it for its header alone goes as it is where nobody offers it */
		.smtputf8 = m->needs_utf8 || (!m->is_finished && m->plan.needs_smtputf8) ||
			    (m->has_utf8_header && c->smtp.offers & OFFERS_SMTPUTF8),
		.has_8bit = m->has_8bit,
		.needs_chunking = m->needs_chunking,
		.requires_tls = m->requires_tls,
		.hold_s = m->hold_s,
	};
	smtp_client_mail(&c->smtp, &p->smtp);
}

bool
core_mail(struct ph_core *c, struct ph_mail *m)
{
	if (!c->has_begun || !smtp_client_is_idle(&c->smtp) || c->mail)
		return false;
	c->mail = m;
	if (c->next == m)
		c->next = NULL;
	result_begin(m);
	begin_part(c, &c->parts[c->now], m, 0);
	body_begin(c->body, m);
	return true;
}

bool
ph_core_mail(ph_core *c, ph_mail *m)
{
	if (!mail_is_free(m) || !mail_prepare(m))
		return false;
	if (!core_mail(c, m)) {
		text_copy(m->remark, sizeof m->remark, "the core is not ready for a mail");
		return false;
	}
	m->core = c;
	return true;
}

/* The whole message of parts[now] has been written. */
static void
go_ahead(struct ph_core *c)
{
	const struct part *p = &c->parts[c->now];
	struct part *other = &c->parts[!c->now];

	if (p->end < p->mail->recipients_n) {
		begin_part(c, other, p->mail, p->end);
	} else if (c->next) {
		result_begin(c->next);
		begin_part(c, other, c->next, 0);
	} else {
		return;
	}
	c->has_ahead = true;
	body_begin(c->body, other->mail);
}

static void
note(const struct part *p)
{
	result_note(p->mail, p->begin, p->end, p->smtp.final_words);
}

/* parts[now] has its outcomes. False: so has the whole mail. */
static bool
go_on(struct ph_core *c)
{
	const struct part *done = &c->parts[c->now];
	struct ph_mail *m = done->mail;

	note(done);
	if (c->has_ahead) {
		c->has_ahead = false;
		c->now = !c->now;
		if (c->parts[c->now].mail == m)
			return true;
		drop_mail(c);
		c->mail = c->next;
		c->next = NULL;
		return false;
	}
	if (done->end < m->recipients_n) {
		begin_part(c, &c->parts[c->now], m, done->end);
		body_begin(c->body, m);
		return true;
	}
	drop_mail(c);
	return false;
}

/* The session is over. A mail that was ahead is as if it had never been given, unless all of it may have got there. */
static void
give_up(struct ph_core *c)
{
	const struct part *other = &c->parts[!c->now];

	if (c->mail)
		note(&c->parts[c->now]);
	if (c->has_ahead &&
		(other->mail == c->mail || other->mail->outcomes[other->begin].may_be_delivered)) {
		note(other);
		result_settle_rest(other->mail, &c->smtp.error, c->smtp.stage);
	}
	if (c->mail)
		result_settle_rest(c->mail, &c->smtp.error, c->smtp.stage);
	drop_mail(c);
	c->has_ahead = false;
	if (!c->error[0])
		text_copy(c->error, sizeof c->error, c->smtp.error.text);
}

bool
core_forget(struct ph_core *c, const struct ph_mail *m)
{
	bool is_ahead = c->has_ahead && c->parts[!c->now].mail == m;

	if (c->next == m)
		c->next = NULL;
	if (c->mail != m && !is_ahead)
		return false;
	ph_core_lost(c, "a mail was freed while it was being sent");
	if (is_ahead)
		c->has_ahead = false;
	if (c->mail == m)
		drop_mail(c);
	give_up(c);
	return true;
}

static void
give_body(struct ph_core *c)
{
	uint64_t size = c->body->mail->size;
	struct str piece = S("");
	struct err e;
	enum body_step step = body_next(c->body, &piece, &e);

	if (step != BODY_FAILED && c->body->given <= size &&
		(step == BODY_PIECE || c->body->given == size)) {
		smtp_client_body(&c->smtp, piece, c->body->given == size);
		return;
	}
	if (step != BODY_FAILED)
		err_set(&e, ERR_TEMPORARY, ERR_LOCAL, "the message changed while it was read");
	smtp_client_lost(&c->smtp, &e);
}

static void
give_token(struct ph_core *c)
{
	const char *token =
		c->on_token ? c->on_token(c->token_context, c->smtp.token_was_refused) : NULL;

	smtp_client_token(&c->smtp, str_of(token));
}

enum ph_event
ph_core_next(ph_core *c)
{
	make_begun(c);
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
			smtp_client_ascii(&c->smtp,
				0); /* only addresses are not ASCII here, and they cannot be */
			break;
		case CLIENT_WANT_TOKEN:
			give_token(c);
			break;
		case CLIENT_WANT_AHEAD:
			go_ahead(c);
			break;
		case CLIENT_WANT_BODY:
			give_body(c);
			break;
		case CLIENT_ON_DONE:
			if (!go_on(c))
				return PH_DONE;
			break;
		case CLIENT_ON_FAILED:
			give_up(c);
			return PH_FAILED;
		case CLIENT_WANT_CLOSE:
			return PH_CLOSE;
		}
}

void
ph_core_feed(ph_core *c, const char *octets, size_t n)
{
	make_begun(c);
	if (smtp_client_awaits_tls(&c->smtp))
		ph_core_lost(c, "octets came in clear where TLS was awaited");
	else
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
	if (n > smtp_client_output(&c->smtp).n)
		ph_core_lost(c, "more output is said to be gone than there was");
	else if (n)
		smtp_client_sent(&c->smtp, n);
}

void
ph_core_secured(ph_core *c, bool is_verified)
{
	make_begun(c);
	if (smtp_client_awaits_tls(&c->smtp))
		smtp_client_secured(&c->smtp, is_verified);
	else
		ph_core_lost(c, "TLS began where none was awaited");
}

void
ph_core_lost(ph_core *c, const char *why)
{
	struct err e;

	make_begun(c);
	err_set(&e, ERR_TEMPORARY, ERR_CONNECTION_LOST, "%s", why ? why : "the connection broke");
	smtp_client_lost(&c->smtp, &e);
}

void
ph_core_quit(ph_core *c)
{
	make_begun(c);
	if (smtp_client_is_idle(&c->smtp))
		smtp_client_quit(&c->smtp);
	else
		ph_core_lost(c, "ended before it was ready");
}

int
ph_core_patience(const ph_core *c)
{
	return c->has_begun ? (int)(smtp_client_patience_ms(&c->smtp) / 1000) : 0;
}

const char *
ph_core_error(const ph_core *c)
{
	return c->error;
}
