/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_core.h"

#include "base/must.h"

/*
 * The beginning of a session: greeting, EHLO or its forms, what the peer offers, STARTTLS. The states and their order
 * are drawn in client.c.
 */

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
		c->logins |= sasl_named(word);
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
		{ S("BINARYMIME"), OFFERS_BINARYMIME },
		{ S("REQUIRETLS"), OFFERS_REQUIRETLS },
		{ S("FUTURERELEASE"), OFFERS_FUTURERELEASE },
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
	if (str_eq_nocase(keyword, S("FUTURERELEASE")) && !scan_u64(&rest, &c->hold_most_s))
		c->hold_most_s = 0;
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
		c->lacks_tls = true;
		fail_without_tls(c, "the other host does not offer STARTTLS");
	} else {
		client_log_in(c);
	}
}

/* Law 6. */
void
client_begin_tls(struct smtp_client *c)
{
	c->in = S("");
	c->offers = c->logins = 0;
	c->size_max = c->hold_most_s = 0;
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

bool
smtp_client_awaits_tls(const struct smtp_client *c)
{
	return c->state == SECURING;
}

void
smtp_client_secured(struct smtp_client *c, bool is_verified)
{
	must(c->state == SECURING && c->event == CLIENT_WANT_INPUT);
	c->is_secure = true;
	c->is_verified = is_verified;
	c->progress++;
	if (c->settings->tls == CLIENT_TLS_FIRST)
		client_enter(c, AWAIT_GREETING);
	else
		client_say_ehlo(c);
}
