/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_core.h"

#include "base/codec.h"
#include "base/must.h"

/*
 * The beginning of a session: greeting, EHLO or its forms, what the peer offers, STARTTLS, AUTH. The states
 * and their order are drawn in client.c.
 */

enum { AUTH_INITIAL_LINE_MAX = 510 }; /* RFC 4954 §4: else the response waits for a prompt */

static void log_in(struct smtp_client *c);

/* ── Hello ───────────────────────────────────────────────────────────────────────────────────── */

void
client_say_ehlo(struct smtp_client *c)
{
	client_enter(c, AWAIT_EHLO);
	say(c, c->settings->is_lmtp ? S("LHLO ") : S("EHLO "), c->settings->hostname);
}

/* RFC 5321 §3.2: a host that does not know EHLO says 5yz and gets HELO; LHLO has no older form (RFC 2033 §4.1). */
void
client_retry_as_helo(struct smtp_client *c)
{
	if (c->reply.code / 100 == 4 || c->settings->is_lmtp) {
		client_refuse_session(c);
		return;
	}
	client_enter(c, AWAIT_HELO);
	say(c, S("HELO "), c->settings->hostname);
}

static void
note_mechanisms(struct smtp_client *c, struct str list)
{
	struct str word;

	while (list.n) {
		str_cut(list, ' ', &word, &list);
		if (str_eq_nocase(word, S("PLAIN")))
			c->offers |= OFFERS_AUTH_PLAIN;
		else if (str_eq_nocase(word, S("LOGIN")))
			c->offers |= OFFERS_AUTH_LOGIN;
	}
}

static void
note_offer(struct smtp_client *c, struct str line)
{
	static const struct {
		struct str keyword;
		unsigned bit;
	} known[] = {
		{ S("PIPELINING"), OFFERS_PIPELINING },
		{ S("SIZE"), OFFERS_SIZE },
		{ S("8BITMIME"), OFFERS_8BITMIME },
		{ S("SMTPUTF8"), OFFERS_SMTPUTF8 },
		{ S("CHUNKING"), OFFERS_CHUNKING },
		{ S("DSN"), OFFERS_DSN },
		{ S("STARTTLS"), OFFERS_STARTTLS },
	};
	struct str keyword, rest;

	if (str_starts_nocase(line, S("AUTH="))) /* the form before RFC 2554 */
		note_mechanisms(c, str_from(line, 5));
	str_cut(str_trim(line), ' ', &keyword, &rest);
	if (str_eq_nocase(keyword, S("AUTH")))
		note_mechanisms(c, rest);
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (str_eq_nocase(keyword, known[i].keyword))
			c->offers |= known[i].bit;
	if (str_eq_nocase(keyword, S("SIZE")) && !scan_u64(&rest, &c->size_max))
		c->size_max = 0;
}

void
client_note_offers(struct smtp_client *c)
{
	struct str line, rest = buf_str(&c->reply.text);

	str_cut(rest, '\n', &line, &rest); /* the first line only greets */
	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		note_offer(c, line);
	}
	client_choose_tls(c);
}

/* ── TLS ─────────────────────────────────────────────────────────────────────────────────────── */

bool
smtp_client_needs_tls(const struct smtp_client_settings *settings)
{
	return settings->tls >= CLIENT_TLS_REQUIRE ||
	       (settings->login.n && !settings->shows_password);
}

bool
smtp_client_may_go_clear(const struct smtp_client *c)
{
	bool is_about_tls = c->stage == STAGE_TLS || (c->is_secure && c->stage == STAGE_HELLO &&
							     c->error.kind != ERR_REMOTE);

	return is_about_tls && !smtp_client_needs_tls(c->settings);
}

/* The session cannot go on in clear. The peer is in step with us, and may have its QUIT. */
static void
fail_without_tls(struct smtp_client *c, const char *why)
{
	struct err e;

	err_set(&e, ERR_TEMPORARY, ERR_TLS, "%s; %s", why,
		c->settings->tls >= CLIENT_TLS_REQUIRE ? "mail there is to be encrypted"
						       : "the password does not go in clear");
	client_enter(c, AWAIT_STARTTLS);
	client_fail(c, &e);
	say(c, S("QUIT"));
}

void
client_choose_tls(struct smtp_client *c)
{
	bool is_wanted = c->settings->tls != CLIENT_TLS_NEVER && !c->is_secure;

	if (is_wanted && c->offers & OFFERS_STARTTLS) {
		client_enter(c, AWAIT_STARTTLS);
		say(c, S("STARTTLS"));
	} else if (!c->is_secure && smtp_client_needs_tls(c->settings)) {
		fail_without_tls(c, "the other host does not offer STARTTLS");
	} else {
		log_in(c);
	}
}

/* Law 6. */
void
client_begin_tls(struct smtp_client *c)
{
	c->in = S("");
	c->offers = 0;
	c->size_max = 0;
	client_enter(c, SECURING);
	c->event = CLIENT_WANT_TLS;
}

/* Whatever the reply says, STARTTLS was offered: this is a fault of the host, not of the mail. */
void
client_tls_refused(struct smtp_client *c)
{
	struct err said, e;

	client_err_from_reply(c, &said);
	err_set(&e, ERR_TEMPORARY, ERR_TLS, "STARTTLS was offered, and answered %d %.100s",
		said.code, said.text);
	client_fail(c, &e);
	say(c, S("QUIT"));
}

void
smtp_client_secured(struct smtp_client *c)
{
	must(c->state == SECURING && c->event == CLIENT_WANT_INPUT);
	c->is_secure = true;
	c->progress++;
	if (c->settings->tls == CLIENT_TLS_FIRST)
		client_enter(c, AWAIT_GREETING);
	else
		client_say_ehlo(c);
}

/* ── AUTH ────────────────────────────────────────────────────────────────────────────────────── */

/* Base64 of [NUL login NUL] password, whose room is taken at once: a buffer that grows leaves
 * copies behind. */
static void
add_secret(struct buf *to, struct str login, struct str secret)
{
	struct buf plain = { .max = SMTP_AUTH_LINE_MAX };

	buf_room(&plain, login.n + secret.n + 2);
	if (login.n) { /* RFC 4616 §2, without an authorization identity */
		buf_add_char(&plain, '\0');
		buf_add(&plain, login);
		buf_add_char(&plain, '\0');
	}
	buf_add(&plain, secret);
	buf_room(to, plain.n / 3 * 4 + 4);
	codec_add_base64(to, buf_str(&plain));
	must(!plain.overflow && !to->overflow);
	explicit_bzero(plain.p, plain.n);
	buf_free(&plain);
}

static void
say_secret(struct smtp_client *c, struct str before, struct str login, struct str secret)
{
	struct buf line = { .max = SMTP_AUTH_LINE_MAX };

	add_secret(&line, login, secret);
	c->output_is_secret = true;
	say(c, before, buf_str(&line));
	explicit_bzero(line.p, line.n);
	buf_free(&line);
}

/* RFC 4954 §4: PLAIN in one line where that is short enough, else after a prompt; LOGIN (no RFC,
 * but all there is in places) after two. */
static void
log_in(struct smtp_client *c)
{
	struct str login = c->settings->login, password = c->settings->password;
	size_t response_n = (login.n + password.n + 4) / 3 * 4;
	struct err e;

	if (login.n == 0) {
		client_become_ready(c);
	} else if (response_n > SMTP_AUTH_LINE_MAX / 2 || !client_is_sayable(login) ||
		   !client_is_sayable(password)) {
		err_set(&e, ERR_PERMANENT, ERR_LOGIN_REFUSED,
			"login or password is too long, or holds a line end or NUL");
		client_fail(c, &e);
	} else if (c->offers & OFFERS_AUTH_PLAIN &&
		   response_n + sizeof "AUTH PLAIN" <= AUTH_INITIAL_LINE_MAX) {
		client_enter(c, AWAIT_LOGIN);
		say_secret(c, S("AUTH PLAIN "), login, password);
	} else if (c->offers & (OFFERS_AUTH_PLAIN | OFFERS_AUTH_LOGIN)) {
		bool plain = c->offers & OFFERS_AUTH_PLAIN;

		client_enter(c, AWAIT_PROMPT);
		c->prompts_left = plain ? 1 : 2;
		say(c, plain ? S("AUTH PLAIN") : S("AUTH LOGIN"));
	} else {
		err_set(&e, ERR_PERMANENT, ERR_LOGIN_REFUSED,
			"the other host does not offer a login (AUTH PLAIN or LOGIN)");
		client_fail(c, &e);
	}
}

void
client_give_secret(struct smtp_client *c)
{
	struct str login = c->settings->login, password = c->settings->password;

	c->prompts_left--;
	client_enter(c, c->prompts_left ? AWAIT_PROMPT : AWAIT_LOGIN);
	if (c->offers & OFFERS_AUTH_PLAIN)
		say_secret(c, S(""), login, password);
	else
		say_secret(c, S(""), S(""), c->prompts_left ? login : password);
}

void
client_become_ready(struct smtp_client *c)
{
	client_enter(c, IDLE);
	c->event = CLIENT_ON_READY;
}

void
smtp_client_bind(struct smtp_client *c, struct str kind, struct str octets)
{
	(void)c, (void)kind, (void)octets;
}

void
smtp_client_token(struct smtp_client *c, struct str token)
{
	(void)c, (void)token;
}
