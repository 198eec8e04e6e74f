/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_SASL_H
#define SMTP_SASL_H

#include "base/buf.h"
#include "base/err.h"

/*
 * The client's half of a login (RFC 4422) as a value: a challenge in, a response out. Both are plain octets; base64
 * and lines are smtp/client's affair.
 */

/* Ways to log in, by falling worth. A set of them is an unsigned. */
enum {
	MECHANISM_SCRAM_SHA_256_PLUS = 1, /* RFC 7677 */
	MECHANISM_SCRAM_SHA_256 = 2,
	MECHANISM_CRAM_MD5 = 4, /* RFC 2195 */
	MECHANISM_PLAIN = 8,	/* RFC 4616 */
	MECHANISM_LOGIN = 16,
	MECHANISM_OAUTHBEARER = 32, /* RFC 7628: with a token */
	MECHANISM_XOAUTH2 = 64,
	MECHANISMS_SCRAM = MECHANISM_SCRAM_SHA_256_PLUS | MECHANISM_SCRAM_SHA_256,
	MECHANISMS_OF_TOKENS = MECHANISM_OAUTHBEARER | MECHANISM_XOAUTH2,
};

enum { SASL_RESPONSE_MAX = 9210 }; /* octets; in base64 an AUTH line, RFC 4954 §4 */

struct str sasl_name(unsigned mechanism);   /* "SCRAM-SHA-256" */
unsigned sasl_named(struct str name);	    /* in either case; 0: not known here */
bool sasl_speaks_first(unsigned mechanism); /* the first response needs no challenge */

/* Set what is needed, then call sasl_respond for each challenge. Texts must outlive it. */
struct sasl {
	unsigned mechanism; /* one of them */
	struct str login;
	struct str secret;		  /* password or token */
	struct str nonce;		  /* SCRAM: printable, no comma */
	struct str binding_kind, binding; /* SCRAM-…-PLUS: "tls-exporter" and its octets */
	bool could_bind; /* SCRAM without PLUS: for want of the server's offer alone */
	struct str host; /* OAUTHBEARER; may be empty */

	/* its own */
	unsigned responses;	     /* given so far */
	bool is_done;		     /* the server may say yes now */
	unsigned char signature[32]; /* SCRAM: what proves that the server knows the password too */
};

/*
 * The answer to a challenge (to the first of a mechanism that speaks first: to none; what the challenge says is then not
 * looked at), added to `response`, which has max SASL_RESPONSE_MAX and is the caller's to wipe. False: the server lies, or memory
 * is refused; the login must not go on.
 */
bool sasl_respond(struct sasl *s, struct str challenge, struct buf *response, struct err *e);

bool sasl_reads_challenges(const struct sasl *s); /* the next one; else it may say anything */

void sasl_wipe(struct sasl *s); /* zero again */

#endif
