/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "role/receive/gate.h"

/*
 * On whose behalf a connection speaks: a proxy's header in front of everything, or XCLIENT from a host that has
 * talked to the client before us. Both only from networks that the file names, and both give the session another
 * address, from which all its rights are computed anew: that a proxy is trusted says nothing of its clients, and a
 * login that XCLIENT names is not ours (vault's proof is needed to send).
 */

enum turn
behalf_proxy(struct session *s)
{
	switch (preface_read(&s->preface, s->stream.fd, s->client)) {
	case PROXY_MORE:
		return WAIT;
	case PROXY_OK:
		s->awaits_proxy = false;
		if (s->preface.names_client)
			session_know_client(s, &s->preface.client, s->preface.port);
		return NEXT;
	case PROXY_BAD:
		break;
	}
	return DONE;
}

void
behalf_log_missing(const struct session *s)
{
	preface_log_missing(&s->preface, s->client, loop_now_ms(s->house->role.loop),
		&s->house->proxy_missed_ms);
}

/* The gate begins anew with the client that was named; without an address it is the proxy itself. Whether that client
 * may come in is said by the greeting that follows: a no here would leave half of either. */
bool
behalf_xclient(struct session *s, struct err *e)
{
	const struct smtp_xclient *x = s->smtp.xclient;
	struct config_network client = s->at;
	struct str port = x->port;
	uint64_t number = 0; /* not said */

	if (x->address.n && !manners_parse_address(x->address, &client))
		return err_set(e, ERR_PERMANENT, ERR_REFUSED, "this is no address");
	log_event("xclient", "host=%s client=%s name=%s protocol=%s hello=%s login=%s", s->client,
		log_quote(x->address), log_quote(x->name), log_quote(x->protocol),
		log_quote(x->hello), log_quote(x->login));
	gate_leave(s);
	scan_u64(&port, &number);
	session_know_client(s, &client, (uint16_t)number);
	session_forget_login(s);
	session_know_rights(s);
	gate_enter(s, x->name);
	return true;
}
