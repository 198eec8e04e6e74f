/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_TLS_CORE_H
#define IO_TLS_CORE_H

#include <openssl/ssl.h>

#include "io/tls.h"

/* What tls*.c and stream*.c know of each other. Nobody else includes this. libposthouse has of these stream.c, tls_client.c and
 * tls_terms.c, which therefore need none of the others, keep nothing in globals, and do not stop where memory is refused. */

enum {
	TLS_CHAIN_MAX = 10,	  /* certificates behind each other */
	TLS_NAMES_MAX = 1024,	  /* of one certificate; CAs give 100 */
	TLS_SIGNATURE_MAX = 1024, /* octets: RSA of 8192 bits */
	TLS_SIGNING_MAX = 512,	  /* handshakes of this process that wait for a signature */
};

/* ── tls_terms.c ── */

/* Counted: the owner's, and each stream's. */
struct tls {
	unsigned users;
	OSSL_LIB_CTX *library; /* a client's own; a server has tls_library() */
	SSL_CTX *context;      /* of new streams */
	BIO_METHOD *socket;
	void (*free_rest)(struct tls *t); /* NULL: there is none */
};

bool tls_begin(struct tls *t);						   /* zeroed terms */
SSL_CTX *tls_context_new(OSSL_LIB_CTX *library, const SSL_METHOD *method); /* NULL: see tls_fail */
struct tls *tls_keep(struct tls *t);
bool tls_set_socket(const struct tls *t, SSL *ssl, int fd);

/* Fill e from OpenSSL's queue of errors, if it said something, and empty that. Returns false. */
bool tls_fail(struct err *e, enum err_kind kind, const char *what);

#define TLS_PROPERTIES "?provider=default" /* where both providers know a name, not ours */

/* ── tls.c ── */

/* One library context for all of a server's TLS, apart from OpenSSL's own default: it has the provider of tls_key.c
 * and reads no configuration file. */
OSSL_LIB_CTX *tls_library(void);

/* ── tls_file.c ── */

void tls_read_facts(X509 *leaf, struct tls_facts *facts); /* all but is_for_host */

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
