/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_TLS_CORE_H
#define IO_TLS_CORE_H

#include <openssl/ssl.h>

#include "io/tls.h"

/* What tls.c, tls_ticket.c, tls_key.c, tls_file.c and stream.c know of each other. Nobody else includes this. */

enum {
	TLS_CHAIN_MAX = 10,	  /* certificates behind each other */
	TLS_NAMES_MAX = 1024,	  /* of one certificate; CAs give 100 */
	TLS_SIGNATURE_MAX = 1024, /* octets: RSA of 8192 bits */
	TLS_SIGNING_MAX = 512,	  /* handshakes of this process that wait for a signature */
};

/* ── tls.c ── */

/* One library context for all of our TLS, apart from OpenSSL's own default: it has the provider of tls_key.c
 * and reads no configuration file. */
OSSL_LIB_CTX *tls_library(void);
#define TLS_PROPERTIES "?provider=default" /* where both providers know a name, not ours */

/* Certificates and sessions by terms. Counted: the owner's, and each stream's. */
struct tls *tls_keep(struct tls *t);
SSL_CTX *tls_context(const struct tls *t);

/* Fill e from OpenSSL's queue of errors, if it said something, and empty that. Returns false. */
bool tls_fail(struct err *e, enum err_kind kind, const char *what);

/* ── tls_ticket.c ── */

struct tls_tickets *tls_tickets_open(void);
void tls_tickets_close(struct tls_tickets **t);

/* OpenSSL asks which key to seal a ticket with, or to open this one: 0 none of ours (a full handshake), 1 this, 2 this,
 * and the client should get a new one, -1 it failed. */
int tls_tickets_key(struct tls_tickets *t, unsigned char *name, unsigned char *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing);

/* ── tls_key.c ── */

/* What a handshake wants signed, from when the job pauses until it goes on. */
struct tls_signing {
	bool is_signed; /* or refused: the job may go on */
	uint64_t key;
	uint16_t scheme;
	struct str content; /* lies on the paused job's stack */
	unsigned char signature[TLS_SIGNATURE_MAX];
	size_t signature_n; /* 0: refused */
};

bool tls_key_provide(OSSL_LIB_CTX *library); /* once */

/* The key of this certificate as far as it is public, to be used as if it were private. NULL: neither ECDSA
 * nor RSA. */
EVP_PKEY *tls_key_make(X509 *leaf, uint64_t key);

/* OpenSSL hands a provider no handle of the connection: whoever calls SSL_do_handshake says whose it is,
 * and NULL behind it. */
void tls_key_shaking(struct tls_signing **s);

#endif
