/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <stdlib.h>

#include "smtp/sasl.h"

/* What a session is told before it is used. The first thing that is wrong sticks. */

static bool fail(struct ph_session *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static bool
fail(struct ph_session *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_fail(&s->own.error, format, args);
	va_end(args);
	return false;
}

/* A copy that ends in NUL. */
static bool
keep(struct ph_session *s, const char *what, const char *text, struct str *copy)
{
	struct str in = str_of(text);
	char *p;

	if (str_find(in, '\n') < in.n || str_find(in, '\r') < in.n)
		return fail(s, "%s: has a line end in it", what);
	p = arena_take(&s->arena, in.n + 1);
	if (!p)
		return fail(s, "no memory for the session");
	if (in.n)
		memcpy(p, in.p, in.n);
	*copy = (struct str){ p, in.n };
	return true;
}

static bool
keep_secret(struct ph_session *s, const char *what, const char *text, struct str *copy)
{
	text_wipe(copy);
	return keep(s, what, text, copy);
}

/* ── the login ── */

static bool
keep_user(struct ph_session *s, const char *user)
{
	struct str copy = S("");

	if (user) {
		if (!keep(s, "user", user, &copy))
			return false;
		if (copy.n >= sizeof s->own.way.user)
			return fail(s, "user: too long");
		memcpy(s->own.way.user, copy.p, copy.n + 1);
		way_set_default_port(&s->own.way);
	}
	return s->own.way.user[0] || fail(s, "a password without a user");
}

void
ph_login(ph_session *s, const char *user, const char *password)
{
	if (!keep_user(s, user))
		return;
	if (str_of(password).n == 0)
		fail(s, "a login without a password");
	keep_secret(s, "password", password, &s->own.password);
}

static const char *
give_token(void *session, bool again)
{
	const struct ph_session *s = session;

	return again ? NULL : s->own.token.p;
}

void
ph_on_token(ph_session *s, const char *user, const char *(*hook)(void *context, bool again),
	void *context)
{
	if (!keep_user(s, user))
		return;
	if (!hook)
		fail(s, "token: no function to ask");
	s->own.on_token = hook;
	s->own.token_context = context;
}

void
ph_token(ph_session *s, const char *user, const char *token)
{
	if (str_of(token).n == 0)
		fail(s, "a login without a token");
	if (keep_secret(s, "token", token, &s->own.token))
		ph_on_token(s, user, give_token, s);
}

void
ph_mechanisms(ph_session *s, const char *names)
{
	struct str rest = str_of(names), name;

	s->own.mechanisms = 0;
	while (rest.n) {
		unsigned bit;

		str_cut(rest, ' ', &name, &rest);
		bit = sasl_named(name);
		if (name.n && !bit)
			fail(s, "not a way to log in: %.*s", STR_ARG(name));
		s->own.mechanisms |= bit;
	}
}

/* ── TLS ── */

void
ph_tls(ph_session *s, enum ph_tls tls)
{
	if (tls < PH_TLS_VERIFY || tls > PH_TLS_NEVER)
		fail(s, "tls: there is no way %d", (int)tls);
	else
		s->own.tls = tls;
}

void
ph_trust(ph_session *s, const char *pem_file)
{
	struct err e;

	tls_close(&s->own.terms);
	s->own.terms = tls_client_open_file(pem_file, &e);
	if (!s->own.terms)
		fail(s, "%s", e.text);
}

/* The system's authorities, where nobody named others: SSL_CERT_FILE's, as all programs with OpenSSL have it. A machine without any
 * can still encrypt. */
bool
settings_open_terms(struct settings *set, struct err *e)
{
	if (!set->terms)
		set->terms = tls_client_open_file(secure_getenv("SSL_CERT_FILE"), e);
	if (!set->terms && set->tls != PH_TLS_VERIFY)
		set->terms = tls_client_open(S(""), e);
	return set->terms != NULL;
}

/* ── the rest ── */

void
ph_hostname(ph_session *s, const char *name)
{
	struct str copy = S("");

	if (!keep(s, "hostname", name, &copy))
		return;
	if (copy.n >= sizeof s->own.hostname || !domain_is_valid(copy, false))
		fail(s, "not a hostname: %s", copy.p);
	else
		memcpy(s->own.hostname, copy.p, copy.n + 1);
}

void
ph_patience(ph_session *s, int seconds)
{
	enum { DAY = 86400 };

	if (seconds <= 0 || seconds > DAY)
		fail(s, "patience: 1 to %d seconds", DAY);
	else
		s->own.patience_ms = seconds * 1000;
}

void
ph_trace(ph_session *s, void (*hook)(void *context, char who, const char *line, size_t n),
	void *context)
{
	s->own.on_trace = hook;
	s->own.trace_context = context;
}
