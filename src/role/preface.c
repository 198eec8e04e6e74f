/* SPDX-License-Identifier: Apache-2.0 */
#include "role/preface.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/log.h"

static void
set_low_water(int fd, int octets)
{
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &octets, sizeof octets);
}

static void
take_header(struct preface *p, int fd, const char *peer, const struct proxy *said, size_t octets)
{
	char header[PROXY_HEADER_MAX];

	if (recv(fd, header, octets, 0) != (ssize_t)octets)
		log_event("proxy", "client=%s errno=%d", peer,
			errno); /* they were there a moment ago */
	set_low_water(fd, 1);
	p->names_client = said->family != PROXY_OWN;
	p->client =
		(struct config_network){ .family = said->family == PROXY_IPV4 ? AF_INET : AF_INET6,
			.prefix = said->family == PROXY_IPV4 ? 32 : 128 };
	memcpy(p->client.address, said->source.address, sizeof p->client.address);
	p->port = said->source.port;
}

/* Woken each time there are more octets than were seen; woken with no more, it has closed. */
enum proxy_result
preface_read(struct preface *p, int fd, const char *peer)
{
	char head[PROXY_HEADER_MAX];
	ssize_t n = recv(fd, head, sizeof head, MSG_PEEK);
	struct str in = { head, n > 0 ? (size_t)n : 0 };
	struct proxy said;

	if (n < 0 && errno == EAGAIN)
		return PROXY_MORE;
	if (in.n <= p->seen)
		return PROXY_BAD;
	switch (proxy_scan(&in, &said)) {
	case PROXY_MORE:
		p->seen = in.n;
		set_low_water(fd, (int)in.n + 1);
		return PROXY_MORE;
	case PROXY_OK:
		take_header(p, fd, peer, &said, (size_t)n - in.n);
		return PROXY_OK;
	case PROXY_BAD:
		break;
	}
	log_event("no-proxy-header", "client=%s octets=%s", peer,
		log_quote(str_part((struct str){ head, (size_t)n }, 0, 40)));
	return PROXY_BAD;
}

/* A proxy that is not set up to say a header waits for our greeting as we wait for it: each of its connections ends like
 * this, and one line a minute is enough. */
void
preface_log_missing(const struct preface *p, const char *peer, int64_t now_ms, int64_t *told_ms)
{
	enum { AGAIN_MS = 60000 };

	if (*told_ms && now_ms - *told_ms < AGAIN_MS)
		return;
	*told_ms = now_ms ? now_ms : 1;
	log_event("no-proxy-header", "client=%s octets=%zu do=%s", peer, p->seen,
		log_quote(S(
			"the proxy must send it (haproxy: send-proxy-v2), or take its address out "
			"of listen.proxy")));
}
