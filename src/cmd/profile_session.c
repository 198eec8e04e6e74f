/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/profile.h"

#include "client/way.h"
#include "cmd/ask.h"

/* A session as a profile says: its login fetched, its TLS as strict as the place allows, its dialogue shown. */

enum { STATION_PATIENCE_S = 60 }; /* it is of this machine, and its caller waits */

/* Each connection of a run logs in with what was fetched once; but tokens grow old. */
static const char *
give_token(void *context, bool again)
{
	const struct profile *p = context;
	struct err e = { 0 };

	if (!again || secret_fetch(p->fetched, p->token, &e))
		return p->fetched->text;
	fprintf(stderr, "posthouse: the token, fetched again: %s\n", e.text);
	return NULL;
}

static bool
log_in(struct profile *p, ph_session *s, struct err *e)
{
	struct secret secret = { 0 };
	bool ok;

	if (p->token) {
		ph_on_token(s, NULL, give_token, p);
		return secret_fetch(p->fetched, p->token, e);
	}
	ok = secret_fetch(&secret, p->password, e);
	if (ok)
		ph_login(s, NULL, secret.text);
	secret_wipe(&secret);
	return ok;
}

void
profile_wipe(struct profile *p)
{
	if (p->fetched)
		secret_wipe(p->fetched);
}

static bool
is_unix(const struct profile *p)
{
	return str_starts_nocase(str_of(p->via), S("unix:")) ||
	       str_starts_nocase(str_of(p->via), S("lmtp+unix:"));
}

static enum ph_tls
tls_of(const struct profile *p)
{
	enum ph_tls tls;
	struct err ignored;
	struct way way;

	if (p->tls && profile_tls_word(p->tls, &tls))
		return tls;
	if (p->sends_in_clear)
		return PH_TLS_ENCRYPT;
	return way_parse(&way, str_of(p->via), &ignored) && way_is_near(&way) ? PH_TLS_TRY
									      : PH_TLS_VERIFY;
}

ph_session *
profile_open(struct profile *p, struct err *e)
{
	ph_session *s = ph_session_new(p->via);
	bool ok = true;

	if (!s) {
		err_set(e, ERR_TEMPORARY, ERR_LOCAL, "no memory");
		return NULL;
	}
	if (!is_unix(p))
		ph_tls(s, tls_of(p));
	else if (str_starts_nocase(str_of(p->via), S("unix:")))
		ph_patience(s, STATION_PATIENCE_S);
	if (p->trust)
		ph_trust(s, p->trust);
	if (p->password || p->token)
		ok = log_in(p, s, e);
	if (ok && ph_session_error(s))
		ok = err_set(e, ERR_PERMANENT, ERR_OTHER, "%s", ph_session_error(s));
	if (!ok)
		ph_session_free(s);
	return ok ? s : NULL;
}

static void
show_line(void *context, char who, const char *line, size_t n)
{
	struct buf plain = { .max = 2 * n + 8 };

	(void)context;
	buf_addf(&plain, "%c%s ", who, who == '*' ? " " : ":");
	ask_add_plain(&plain, (struct str){ line, n });
	fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&plain)));
	buf_free(&plain);
}

void
profile_show_dialogue(ph_session *s)
{
	ph_trace(s, show_line, NULL);
}

/* It is the same for all: no recipient was named yet. */
static bool
failed_for_tls(const ph_mail *m)
{
	const struct ph_result *r = ph_result(m, 0);

	return r && r->status == PH_LATER && strcmp(r->stage, "tls") == 0;
}

enum ph_status
profile_send(const struct profile *p, ph_session *s, ph_mail *m)
{
	enum ph_status status = ph_send(s, m);

	if (!p->sends_in_clear || status == PH_INVALID || !failed_for_tls(m) ||
		str_starts_nocase(str_of(p->via), S("smtps:")))
		return status;
	ph_tls(s, PH_TLS_NEVER);
	return ph_send(s, m);
}
