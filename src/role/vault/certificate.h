/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_CERTIFICATE_H
#define ROLE_VAULT_CERTIFICATE_H

#include <openssl/evp.h>

#include "config/config.h"
#include "io/tls.h"
#include "role/vault/files.h"
#include "role/vault/signing.h"

/*
 * The doors' certificates, which everybody may see, and their private keys, which nobody else gets. A key's number
 * is made of its public part: it stays the same over a reload, and for the next vault.
 */

struct private_key {
	uint64_t number;
	enum signing_key type;
	EVP_PKEY *pkey;
	struct tls_facts facts; /* of its certificate */
	char file[256];
	bool is_self_signed; /* by us */
};

struct key_ring {
	struct private_key keys[CONFIG_CERTIFICATES_MAX];
	size_t n;
};

struct certificates {
	struct key_ring now,
		before; /* handshakes may still be under way with those before a reload */
	int fd;		/* for receive: sealed, as io/tls.h has it; -1: none */
};

/* Is every pair that the configuration names one that serves? While a renewal is under way one may not be. */
bool certificates_fit(const struct config *config, const struct files *files);

/* Reads all pairs that the configuration names; what is wrong with one is said in the log. Where none is good,
 * STATE/vault/self-signed.pem serves, which is made when there is none for this hostname. False: not even that. */
bool certificates_read(struct certificates *c, const struct config *config,
	const struct files *files, struct err *e);

/* Lines for people, as role/master/status.h has them. */
void certificates_describe(const struct certificates *c, struct buf *lines);

/* A line in the log for each that has expired or soon will. */
void certificates_warn(const struct certificates *c, int64_t now_s);

/* The signature, if the content is a handshake's of this key and scheme; else nothing, and e says why. */
bool certificates_sign(const struct certificates *c, uint64_t key, uint16_t scheme,
	struct str content, struct buf *signature, struct err *e);

#endif
