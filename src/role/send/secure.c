/* SPDX-License-Identifier: Apache-2.0 */
#include "role/send/send.h"

#include "base/ip.h"
#include "base/log.h"

/*
 * TLS of a link. What a route demands decides what becomes of a hop whose TLS is missing or fails:
 *
 *   tls =      not offered          offered and fails              certificate is not good
 *   try        in clear             in clear, on a new connection  does not matter
 *   require    the next hop's turn  the next hop's turn            does not matter
 *   verify     the next hop's turn  the next hop's turn            the next hop's turn
 *   never      in clear             not asked for                  not asked for
 *
 * smtps:// is TLS before the first word, so there `try` and `never` are no less than `require`. On a UNIX
 * socket there is no TLS. A login demands TLS, or its password would be anybody's who listens: but for
 * `never`, with which the operator has decided otherwise, and for a host that is this machine.
 *
 * That without a demand an unverified, and even a failed, handshake is better than no mail is the
 * reasoning of RFC 7435. The name that is verified is the host's as the file or the MX has it, not what the
 * DNS made of it later (RFC 9525 §6.1).
 */

/* The one path that this role may open (role/profile.c). When it cannot be read we go on with those whom
 * we trusted before; at first, with nobody. */
void
secure_configure(struct send *s)
{
	const struct str *named = &s->role.config.tls.trust;
	char path[4096];
	struct tls *fresh;
	struct err e;

	snprintf(path, sizeof path, "%.*s", STR_ARG(*named));
	fresh = tls_client_open_file(named->n ? path : NULL, &e);
	if (!fresh) {
		log_event(s->tls ? "trust-unchanged" : "no-trust", "why=%s",
			log_quote(str_of(e.text)));
		if (!s->tls) {
			fresh = tls_client_open(S(""), &e);
			s->trusts_nobody = true;
		}
	} else {
		s->trusts_nobody = false;
	}
	if (!fresh)
		return;
	tls_close(&s->tls);
	s->tls = fresh;
}

static bool
is_this_machine(const struct hop *h)
{
	return h->family == HOP_UNIX ||
	       ip_is_loopback(h->family == HOP_IPV4 ? IP_V4 : IP_V6, h->address);
}

void
secure_choose(const struct link *l, struct smtp_client_settings *settings)
{
	const struct road_hop *at = l->attempt->at;
	enum config_tls demand = attempt_demand(l->attempt);
	bool fails =
		health_tls_fails(&l->house->health, at->text, loop_now_ms(l->house->role.loop));

	settings->shows_password = demand == CONFIG_TLS_NEVER || is_this_machine(&at->hop);
	settings->tls = CLIENT_TLS_TRY;
	if (at->hop.protocol == HOP_SMTPS)
		settings->tls = CLIENT_TLS_FIRST;
	else if (at->hop.family == HOP_UNIX || demand == CONFIG_TLS_NEVER ||
		 (demand == CONFIG_TLS_TRY && fails && !smtp_client_needs_tls(settings)))
		settings->tls = CLIENT_TLS_NEVER;
	else if (demand != CONFIG_TLS_TRY)
		settings->tls = CLIENT_TLS_REQUIRE;
}

/* The name that the host has to prove: of a literal, the address itself. */
static void
add_name(struct buf *to, const struct hop *h)
{
	if (str_starts(h->host, S("[")))
		hop_add_address(to, h->family, h->address);
	else
		buf_add(to, h->host);
}

static bool
begin(struct link *l, struct err *e)
{
	const struct hop *h = &l->attempt->at->hop;
	struct buf name = { .max = HOP_HOST_MAX + 1 };
	bool must_verify = attempt_demand(l->attempt) == CONFIG_TLS_VERIFY, ok = false;

	add_name(&name, h);
	if (!l->house->tls)
		err_set(e, ERR_TEMPORARY, ERR_LOCAL, "TLS: this station has none");
	else
		ok = stream_secure_client(
			&l->stream, l->house->tls, buf_str(&name), must_verify, e);
	buf_free(&name);
	return ok;
}

enum stream_step
secure_shake(struct link *l, struct err *e)
{
	enum stream_step step = STREAM_FAILED;
	struct err cause;

	if (l->phase == LINK_SECURING || begin(l, &cause))
		step = stream_shake(&l->stream, &cause);
	if (step == STREAM_DONE)
		stream_add_facts(&l->tls, &l->stream);
	if (step == STREAM_FAILED && l->attempt->at->hop.protocol == HOP_SMTPS &&
		stream_met_no_tls(&l->stream))
		err_set(e, ERR_TEMPORARY, ERR_TLS,
			"no TLS at this port: smtps:// is for 465; for 25 and 587 write smtp:// "
			"with "
			"tls = \"require\"");
	else if (step == STREAM_FAILED && l->house->trusts_nobody &&
		 attempt_demand(l->attempt) == CONFIG_TLS_VERIFY)
		err_set(e, ERR_TEMPORARY, ERR_TLS,
			"no authorities are known: tls.trust could not be read");
	else if (step == STREAM_FAILED)
		err_set(e, ERR_TEMPORARY, ERR_TLS, "%s", cause.text);
	return step;
}

bool
secure_may_go_clear(const struct link *l)
{
	return smtp_client_may_go_clear(&l->client) && !l->attempt->is_orphan;
}
