/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

/*
 * TLS of a session: the handshake, and what its certificate is good for. Who may be anybody gets no password; what fails, the core
 * knows (smtp_client_lost).
 */

enum { SHAKE_PATIENCE_MS = 120000 };

/* Was there everything but a proof of the name, and a password that waited for that? */
static void
note_unproven(struct ph_session *s)
{
	struct stream_facts facts;

	stream_facts(&s->stream, &facts);
	s->wants_clear = s->set->way.user[0] && stream_is_secure(&s->stream) && !facts.is_verified;
}

/* A host that may be anybody gets no password, unless its owner said so (PH_TLS_ENCRYPT) or it is this machine. */
static bool
may_log_in(const struct ph_session *s, struct err *e)
{
	struct stream_facts facts;

	stream_facts(&s->stream, &facts);
	if (s->set->tls != PH_TLS_TRY || !s->set->way.user[0] || s->is_local || facts.is_verified)
		return true;
	return err_set(e, ERR_TEMPORARY, ERR_TLS,
		"the certificate is not good for this host, and no password goes to it: %s",
		facts.unverified);
}

static bool
note_secure(struct ph_session *s, struct err *e)
{
	unsigned char octets[STREAM_BINDING_MAX];
	const char *kind;
	size_t n = stream_binding(&s->stream, &kind, octets);
	struct stream_facts facts;

	buf_reset(&s->facts);
	stream_add_facts(&s->facts, &s->stream);
	buf_add_char(&s->facts, '\0');
	trace_happened(&s->trace, "%s", s->facts.p ? s->facts.p : "TLS");
	if (!may_log_in(s, e))
		return false;
	if (n)
		smtp_client_bind(
			&s->core->smtp, str_of(kind), (struct str){ (const char *)octets, n });
	stream_facts(&s->stream, &facts);
	ph_core_secured(s->core, facts.is_verified);
	return true;
}

static bool
begin_tls(struct ph_session *s, struct err *e)
{
	return settings_open_terms(s->set, e) &&
	       stream_secure_client(&s->stream, s->set->terms, str_of(s->set->way.host),
		       s->set->tls == PH_TLS_VERIFY, e);
}

bool
session_shake(struct ph_session *s)
{
	struct err e = { 0 };
	enum stream_step step = stream_shake(&s->stream, &e);

	if (step == STREAM_WANT_READ || step == STREAM_WANT_WRITE) {
		s->want = step == STREAM_WANT_READ ? PH_READ : PH_WRITE;
		if (session_now_ms() < s->deadline_ms)
			return false;
		err_set(&e, ERR_TEMPORARY, ERR_TIMEOUT,
			"the other host took too long to agree on TLS");
	}
	if (step == STREAM_FAILED && s->set->way.is_smtps && stream_met_no_tls(&s->stream))
		err_set(&e, ERR_TEMPORARY, ERR_TLS,
			"no TLS at this port: smtps:// is for 465; for 25 and 587 write smtp://");
	s->state = SESSION_TALKING;
	if (step != STREAM_DONE || !note_secure(s, &e)) {
		note_unproven(s);
		smtp_client_lost(&s->core->smtp, &e);
	}
	return true;
}

bool
session_secure(struct ph_session *s)
{
	struct err e = { 0 };

	if (!begin_tls(s, &e)) {
		smtp_client_lost(&s->core->smtp, &e);
		return true;
	}
	s->state = SESSION_SHAKING;
	session_wait(s, PH_READ, SHAKE_PATIENCE_MS);
	return session_shake(s);
}
