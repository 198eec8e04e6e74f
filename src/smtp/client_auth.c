/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_core.h"

#include "base/codec.h"
#include "base/must.h"

/*
 * AUTH (RFC 4954): which of the ways to log in is taken, and the lines that carry it. What the ways say is in sasl.c;
 * that no secret goes in clear was seen to before (client_choose_tls).
 *
 *   client_log_in ─► [NEEDS_TOKEN] smtp_client_token ─► AWAIT_LOGIN  client_login_answered ×n ─► IDLE
 *                         ▲────────── client_login_refused, once ────┘
 */

enum { INITIAL_LINE_MAX = 510 }; /* RFC 4954 §4: else the response waits for a prompt */

static void
fail_login(struct smtp_client *c, const char *why)
{
	struct err e;

	err_set(&e, ERR_PERMANENT, ERR_LOGIN_REFUSED, "%s", why);
	client_fail(c, &e);
}

static void
become_ready(struct smtp_client *c)
{
	client_wipe(&c->token);
	sasl_wipe(&c->sasl);
	client_enter(c, IDLE);
	c->event = CLIENT_ON_READY;
}

/* ── The way ─────────────────────────────────────────────────────────────────────────────────── */

static unsigned
allowed_mechanisms(const struct smtp_client *c)
{
	const struct smtp_client_settings *set = c->settings;
	unsigned usual = set->has_token ? MECHANISMS_OF_TOKENS : MECHANISM_PLAIN | MECHANISM_LOGIN;
	unsigned allowed = set->mechanisms ? set->mechanisms : usual;

	return set->has_token ? allowed & MECHANISMS_OF_TOKENS
			      : allowed & ~(unsigned)MECHANISMS_OF_TOKENS;
}

/* The worthiest, 0 for none: lower bits are worth more. */
static unsigned
choose_mechanism(const struct smtp_client *c)
{
	unsigned usable = c->logins & allowed_mechanisms(c);

	if (c->binding_n == 0)
		usable &= ~(unsigned)MECHANISM_SCRAM_SHA_256_PLUS;
	if (c->settings->nonce.n == 0)
		usable &= ~(unsigned)MECHANISMS_SCRAM;
	return usable & -usable;
}

/* There may be a login that the person can use, where the settings allow it. */
static void
fail_without_mechanism(struct smtp_client *c)
{
	char room[150];
	struct buf offered = { .p = room, .capacity = sizeof room, .max = sizeof room };
	struct err e;

	for (unsigned m = 1; m && m <= MECHANISM_XOAUTH2; m <<= 1)
		if (c->logins & m) {
			buf_add(&offered, offered.n ? S(", ") : S("; it offers "));
			buf_add(&offered, sasl_name(m));
		}
	err_set(&e, ERR_PERMANENT, ERR_LOGIN_REFUSED,
		"the other host does not offer a login (AUTH) of a kind that may be used%.*s",
		STR_ARG(buf_str(&offered)));
	client_fail(c, &e);
}

/* 'y' in SCRAM's header: we could bind the login to the TLS session, and it is the peer that does not offer to. */
static bool
could_bind(const struct smtp_client *c)
{
	return c->binding_n && allowed_mechanisms(c) & MECHANISM_SCRAM_SHA_256_PLUS &&
	       !(c->logins & MECHANISM_SCRAM_SHA_256_PLUS);
}

/* ── The lines ───────────────────────────────────────────────────────────────────────────────── */

/* Says one that nobody else should read. Room is taken at once: a buffer that grows leaves copies behind. */
static void
say_secret(struct smtp_client *c, struct str before, struct str response)
{
	struct buf line = { .max = SMTP_AUTH_LINE_MAX, .memory = c->settings->memory };

	codec_add_base64(&line, response);
	if (line.overflow || !buf_room(&c->out, before.n + line.n + 2)) {
		c->out.refused = true; /* law 7 */
	} else {
		c->output_is_secret = true;
		say(c, before, buf_str(&line));
	}
	client_wipe(&line);
}

/* To a challenge, or (before is the command) to none. */
static void
respond(struct smtp_client *c, struct str challenge, struct str before)
{
	struct buf response = { .max = SASL_RESPONSE_MAX, .memory = c->settings->memory };
	struct err e;

	if (!sasl_respond(&c->sasl, challenge, &response, &e))
		client_fail(c, &e);
	else if (before.n && before.n + (response.n + 2) / 3 * 4 > INITIAL_LINE_MAX)
		c->sasl.responses = 0; /* it waits for a prompt, and is made then */
	else
		say_secret(c, before, buf_str(&response));
	client_wipe(&response);
}

static void
say_auth(struct smtp_client *c)
{
	struct str command[] = { S("AUTH "), sasl_name(c->sasl.mechanism) };
	char room[40];
	struct buf before = { .p = room, .capacity = sizeof room, .max = sizeof room };

	client_enter(c, AWAIT_LOGIN);
	buf_add(&before, command[0]);
	buf_add(&before, command[1]);
	buf_add_char(&before, ' ');
	if (sasl_speaks_first(c->sasl.mechanism))
		respond(c, S(""), buf_str(&before));
	if (c->state == AWAIT_LOGIN && c->sasl.responses == 0)
		client_say_parts(c, command, 2);
}

void
client_log_in(struct smtp_client *c)
{
	const struct smtp_client_settings *set = c->settings;
	unsigned mechanism = choose_mechanism(c);

	if (set->login.n == 0) {
		become_ready(c);
		return;
	}
	client_enter(c, AWAIT_LOGIN);
	if (!client_is_sayable(set->login) || !client_is_sayable(set->password)) {
		fail_login(c, "login or password holds a line end or NUL");
		return;
	}
	if (!mechanism) {
		fail_without_mechanism(c);
		return;
	}
	c->sasl = (struct sasl){
		.mechanism = mechanism,
		.login = set->login,
		.secret = set->password,
		.nonce = set->nonce,
		.host = set->host,
		.binding_kind = str_of(c->binding_kind),
		.binding = { c->binding, c->binding_n },
		.could_bind = could_bind(c),
	};
	if (mechanism & MECHANISMS_OF_TOKENS)
		client_enter(c, NEEDS_TOKEN);
	else
		say_auth(c);
}

/* 334, or the yes. Prompts come as base64; those that no mechanism looks at may be anything ("334 go ahead"). */
void
client_login_answered(struct smtp_client *c)
{
	struct buf challenge = { .max = SMTP_AUTH_LINE_MAX, .memory = c->settings->memory };
	bool is_read = codec_add_from_base64(&challenge, buf_str(&c->reply.text));

	if (c->reply.code / 100 == 2 && c->sasl.is_done)
		become_ready(c);
	else if (c->reply.code / 100 == 3 && c->reply.code != 334)
		client_fail_with_lie(c, "asks for the login with a reply that is no 334");
	else if (c->reply.code / 100 == 2)
		client_fail_with_lie(c, "lets us in before it has seen that it should");
	else if (challenge.refused)
		c->out.refused = true; /* law 7 */
	else if (!is_read && sasl_reads_challenges(&c->sasl))
		client_fail_with_lie(c, "asks for the login in what is no base64");
	else
		respond(c, buf_str(&challenge), S(""));
	buf_free(&challenge);
}

/* ── Tokens ──────────────────────────────────────────────────────────────────────────────────── */

void
smtp_client_token(struct smtp_client *c, struct str token)
{
	must(c->state == NEEDS_TOKEN && c->event == CLIENT_WANT_INPUT);
	client_wipe(&c->token);
	if (token.n)
		buf_add(&c->token, token);
	if (token.n == 0 && c->token_was_refused) {
		struct err refusal = c->error;

		client_fail(c, &refusal);
		say(c, S("QUIT"));
	} else if (token.n == 0) {
		fail_login(c, "there is no token for the login");
	} else if (c->token.overflow && !c->token.refused) {
		fail_login(c, "the token is too long");
	} else if (!client_is_sayable(token)) {
		fail_login(c, "the token holds a line end or NUL");
	} else {
		c->sasl.secret = buf_str(&c->token);
		c->sasl.responses = 0;
		say_auth(c);
	}
}

/* Tokens run out: of the first one that is not liked a fresh one is asked for. */
void
client_login_refused(struct smtp_client *c)
{
	bool is_about_token = c->sasl.mechanism & MECHANISMS_OF_TOKENS && c->reply.code == 535;

	if (!is_about_token || c->token_was_refused) {
		client_refuse_session(c);
		return;
	}
	client_err_from_reply(c, &c->error);
	c->token_was_refused = true;
	client_enter(c, NEEDS_TOKEN);
}

void
smtp_client_bind(struct smtp_client *c, struct str kind, struct str octets)
{
	must(kind.n < sizeof c->binding_kind && octets.n <= sizeof c->binding);
	memcpy(c->binding_kind, kind.p, kind.n);
	c->binding_kind[kind.n] = '\0';
	memcpy(c->binding, octets.p, octets.n);
	c->binding_n = octets.n;
}
