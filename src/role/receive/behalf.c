/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/socket.h>

#include "base/log.h"
#include "role/receive/gate.h"
#include "smtp/proxy.h"

/*
 * On whose behalf a connection speaks: a proxy's header in front of everything, or XCLIENT from a host that has
 * talked to the client before us. Both only from networks that the file names, and both give the session another
 * address, from which all its rights are computed anew: that a proxy is trusted says nothing of its clients, and a
 * login that XCLIENT names is not ours (vault's proof is needed to send).
 */

static void
set_low_water(struct session *s, int octets)
{
	setsockopt(s->stream.fd, SOL_SOCKET, SO_RCVLOWAT, &octets, sizeof octets);
}

static void
take_header(struct session *s, const struct proxy *p, size_t octets)
{
	char header[PROXY_HEADER_MAX];
	struct config_network client = { .family = p->family == PROXY_IPV4 ? AF_INET : AF_INET6,
		.prefix = p->family == PROXY_IPV4 ? 32 : 128 };

	if (recv(s->stream.fd, header, octets, 0) != (ssize_t)octets)
		log_event("proxy", "client=%s errno=%d", s->client,
			errno); /* they were there a moment ago */
	set_low_water(s, 1);
	s->awaits_proxy = false;
	if (p->family == PROXY_OWN)
		return;
	memcpy(client.address, p->source.address, sizeof client.address);
	session_know_client(s, &client, p->source.port);
}

/* The octets stay with the kernel until the header is whole, since what lies behind it may be TLS. Woken each time
 * there are more than were seen; woken with no more, it has closed. */
enum turn
behalf_proxy(struct session *s)
{
	char head[PROXY_HEADER_MAX];
	ssize_t n = recv(s->stream.fd, head, sizeof head, MSG_PEEK);
	struct str in = { head, n > 0 ? (size_t)n : 0 };
	struct proxy p;

	if (n < 0 && errno == EAGAIN)
		return WAIT;
	if (in.n <= s->proxy_seen)
		return DONE;
	switch (proxy_scan(&in, &p)) {
	case PROXY_MORE:
		s->proxy_seen = in.n;
		set_low_water(s, (int)in.n + 1);
		return WAIT;
	case PROXY_OK:
		take_header(s, &p, (size_t)n - in.n);
		return NEXT;
	case PROXY_BAD:
		break;
	}
	log_event("no-proxy-header", "client=%s octets=%s", s->client,
		log_quote(str_part((struct str){ head, (size_t)n }, 0, 40)));
	return DONE;
}

/* A proxy that is not set up to say a header waits for our greeting as we wait for it: each of its connections ends like
 * this, and one line a minute is enough. */
void
behalf_log_missing(const struct session *s)
{
	enum { AGAIN_MS = 60000 };
	struct receive *r = s->house;
	int64_t now_ms = loop_now_ms(r->role.loop);

	if (r->proxy_missed_ms && now_ms - r->proxy_missed_ms < AGAIN_MS)
		return;
	r->proxy_missed_ms = now_ms ? now_ms : 1;
	log_event("no-proxy-header", "client=%s octets=%zu do=%s", s->client, s->proxy_seen,
		log_quote(S(
			"the proxy must send it (haproxy: send-proxy-v2), or take its address out "
			"of listen.proxy")));
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
