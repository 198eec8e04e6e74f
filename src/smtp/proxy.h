/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_PROXY_H
#define SMTP_PROXY_H

#include "base/str.h"

/*
 * The header that a proxy puts in front of a connection to say whose it is: PROXY protocol, versions
 * 1 (a line) and 2 (binary), as HAProxy's specification has it. Read only where the file names the
 * peer as a proxy: nothing in it can be checked.
 *
 * The driver looks at what has come (recv with MSG_PEEK) until the answer is no longer PROXY_MORE,
 * then takes exactly the header's octets off the connection; what lies behind it is the client's own,
 * be it SMTP or TLS.
 */

enum { PROXY_HEADER_MAX = 16 + 536 }; /* octets; a longer header is PROXY_BAD */

enum proxy_result {
	PROXY_MORE, /* so far it may become a header */
	PROXY_OK,   /* *in stands behind the header, *p is filled */
	PROXY_BAD,  /* it is none, and never will be */
};

enum proxy_family {
	PROXY_OWN, /* LOCAL, UNKNOWN, UNIX or not TCP: no client is named; the connection's own
		      addresses count (a proxy that asks whether we live) */
	PROXY_IPV4,
	PROXY_IPV6,
};

struct proxy_end {
	unsigned char address[16]; /* network order; IPv4: the first four, the others zero */
	uint16_t port;
};

struct proxy {
	enum proxy_family family;
	struct proxy_end source, destination; /* the client; the address that it connected to */
};

/* Reads the header at the head of `in`, which is all that came so far; `in` advances with PROXY_OK
 * alone. TLVs of version 2 are passed over. */
enum proxy_result proxy_scan(struct str *in, struct proxy *p);

#endif
