/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_PREFACE_H
#define ROLE_PREFACE_H

#include "config/config.h"
#include "smtp/proxy.h"

/*
 * What a proxy says in front of a connection (smtp/proxy.h), taken off its socket. The octets stay with the kernel until the header is whole, since what
 * lies behind it may be TLS.
 */

enum { PREFACE_MOST_MS = 5000 }; /* a proxy says it at once */

struct preface {
	size_t seen;		      /* octets of a header that is not whole */
	bool names_client;	      /* else the proxy speaks for itself */
	struct config_network client; /* its address */
	uint16_t port;
};

/* PROXY_MORE: again when the socket is readable. PROXY_OK: the header is off it. PROXY_BAD: it is to be closed; the log has been told. `peer` is the
 * proxy's address. Zero-initialise *p. */
enum proxy_result preface_read(struct preface *p, int fd, const char *peer);

/* It was waited for in vain. *told_ms is when the log was last told so, 0: never. */
void preface_log_missing(
	const struct preface *p, const char *peer, int64_t now_ms, int64_t *told_ms);

#endif
