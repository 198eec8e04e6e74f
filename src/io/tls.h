/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "base/buf.h"
#include "base/err.h"

/*
 * The terms on which TLS is spoken (OpenSSL 3, TLS 1.2 and 1.3 only). A server's terms hold
 * certificates and no private key: what is to be signed is returned to the driver (STREAM_WANT_SIGNATURE in
 * stream.h), who asks vault. Terms live as long as a stream that was secured under them: a reload makes new
 * ones and drops no session.
 */
struct tls;

struct tls_settings {
	bool has_no_tickets; /* sessions are not resumed */
	bool is_smtp; /* ALPN: "smtp" or nothing; a client that offers only other words is refused */
};

/*
 * A server's terms from a sealed memfd of certificates, as vault makes it. The octets, repeated for each
 * certificate: number of its key u64 · chain in DER, the leaf first, packed as codec texts with their count
 * u32 before them. Which one a client gets is decided by the names in the leaf (SNI, RFC 6066 §3; the first
 * that fits, else the first) and by what the client can verify (ECDSA and RSA side by side). fd stays the caller's.
 */
struct tls *tls_server_open(int fd, const struct tls_settings *settings, struct err *e);

/* A client's terms: trust is the PEM text of the authorities (empty: verification always fails, and says
 * so; encryption alone works). */
struct tls *tls_client_open(struct str trust, struct err *e);

/* The same from a PEM file; NULL: the system's. */
struct tls *tls_client_open_file(const char *path, struct err *e);

void tls_close(struct tls **t); /* streams under them go on */

/* What is handed out as certificates: appends one, see above. False: no certificate is in this PEM text. */
bool tls_add_certificates(struct buf *to, uint64_t key, struct str pem, struct err *e);

/* A private key from PEM text, OpenSSL's EVP_PKEY: vault's alone, and the checker's. NULL: e says why. */
struct evp_pkey_st *tls_read_key(struct str pem, struct err *e);

/* What people want to know of a certificate. */
struct tls_facts {
	const char *kind;	  /* of its key: "ECDSA", "RSA" */
	int64_t begins_s, ends_s; /* good from, until: seconds since 1970 */
	bool is_for_host;	  /* it proves the name that was asked for */
	char names[256];	  /* of hosts, commas between: those that fit */
	char issuer[256];	  /* RFC 4514: "CN=Authority,O=…"; strangers' words */
};

/* Do these files belong together, and can this house sign with the key? What the time makes of the certificate is
 * for the caller to judge: one that has expired is still better than none. */
bool tls_check_pair(struct str certificates, struct str key, const char *hostname,
	struct tls_facts *facts, struct err *e);

#endif
