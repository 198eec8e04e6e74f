/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROUTE_HOP_H
#define ROUTE_HOP_H

#include "base/buf.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/str.h"

/* One place to hand mail to, and what came of trying it, as they travel between processes. */

enum hop_family {
	HOP_UNIX = 1,
	HOP_IPV4 = 4,
	HOP_IPV6 = 6,
};

enum hop_protocol {
	HOP_SMTP,
	HOP_LMTP,
	HOP_SMTPS, /* TLS from the first octet (RFC 8314) */
};

struct hop {
	struct str
		host; /* its name as the DNS or the file has it, lower case A-labels; a literal as
			    "[192.0.2.1]"; unix: the path */
	enum hop_family family;
	enum hop_protocol protocol;
	unsigned char address[16]; /* network order; IPv4: the first four, the others zero */
	uint16_t port;
	uint16_t preference; /* of its MX; 0 without one */
	bool is_secure;	     /* every answer on the way to it was validated (DNSSEC) */
};

enum { HOP_HOST_MAX = 255 };

void hop_add(struct buf *to, const struct hop *h); /* packed */
bool hop_scan(struct str *in, struct hop *h);	   /* the text points into `in`; false also for
						      values that no hop has */
/* For people: "192.0.2.1:25", "[2001:db8::1]:25", "unix:/run/lmtp". */
void hop_add_text(struct buf *to, const struct hop *h);

/* Family and address from text: "192.0.2.1", "2001:db8::1" (RFC 4291 §2.2); nothing else of h
 * changes. False: it is neither, and h is as it was. */
bool hop_set_address(struct hop *h, struct str text);
/* The same for an address literal (RFC 5321 §4.1.3): "[192.0.2.1]", "[IPv6:2001:db8::1]". */
bool hop_set_literal(struct hop *h, struct str literal);
/* The address alone, without brackets and port: "192.0.2.1"; IPv6 in the form of RFC 5952. */
void hop_add_address(struct buf *to, enum hop_family family, const unsigned char *address);

/* A hop that was tried: what `why` shows. err: class none when it took the mail (at least one
 * recipient). */
struct step {
	struct str host, address; /* as hop.host; as hop_add_text */
	uint8_t stage;		  /* enum smtp_stage */
	uint32_t took_ms;
	struct str
		tls; /* for people: "TLSv1.3, TLS_AES_256_GCM_SHA384, verified"; empty: in clear */
	struct err err; /* code and words of the peer also when all went well */
};

void step_add(struct buf *to, const struct step *s);
bool step_scan(struct str *in, struct step *s);

#endif
