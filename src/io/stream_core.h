/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_STREAM_CORE_H
#define IO_STREAM_CORE_H

#include "io/stream.h"
#include "io/tls_core.h"

/* What stream.c and stream_server.c know of each other: a client maps nothing of a server's keys. */

enum tls_state { SHAKING, SECURE, BROKEN };

struct stream_tls {
	SSL *ssl;
	struct tls *terms;
	int (*handshake)(struct stream_tls *t); /* SSL_do_handshake, as this side does it */
	struct tls_signing *signing;		/* of a server, while it is paused */
	enum tls_state state;
	bool is_named; /* a client that knows whom it wants to speak with */
	bool met_no_tls;
	uint64_t chatter, octets; /* messages of TLS since the handshake, octets of data read */
};

bool stream_secure(struct stream *s, struct tls *terms, struct err *e);

#endif
