/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls_core.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <time.h>

#include "base/must.h"

/*
 * Sessions are resumed by tickets (RFC 5077, RFC 8446 §4.6.1), without a cache. Their keys belong to the terms of one
 * server and are in memory only. A new one is made when the newest is FRESH_S old; each opens tickets until it is
 * OLD_S old, so that what was overheard can be read for no longer than that by who steals them.
 */

enum { FRESH_S = 12 * 3600, OLD_S = 24 * 3600, NAME = 16 };

struct key {
	unsigned char name[NAME], cipher[32], mac[32];
	time_t made; /* 0: not yet */
};

struct tls_tickets {
	struct key keys[2]; /* the newest first */
};

struct tls_tickets *
tls_tickets_open(void)
{
	struct tls_tickets *t = calloc(1, sizeof *t);

	must(t);
	return t;
}

void
tls_tickets_close(struct tls_tickets **t)
{
	if (*t)
		OPENSSL_cleanse(*t, sizeof **t);
	free(*t);
	*t = NULL;
}

static void
renew(struct key keys[2], time_t now)
{
	if (keys[0].made && now - keys[0].made < FRESH_S)
		return;
	keys[1] = keys[0];
	must(RAND_bytes(keys[0].name, NAME) == 1 && RAND_bytes(keys[0].cipher, 32) == 1 &&
		RAND_bytes(keys[0].mac, 32) == 1);
	keys[0].made = now;
}

static bool
use(const struct key *k, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, unsigned char *iv,
	int is_sealing)
{
	OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
					(void *)(uintptr_t)k->mac, sizeof k->mac),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
		OSSL_PARAM_construct_end() };
	EVP_CIPHER *aes = EVP_CIPHER_fetch(tls_library(), "AES-256-CBC", TLS_PROPERTIES);
	bool good = aes && EVP_MAC_CTX_set_params(mac, params) == 1 &&
		    EVP_CipherInit_ex(cipher, aes, NULL, k->cipher, iv, is_sealing) == 1;

	EVP_CIPHER_free(aes);
	return good;
}

int
tls_tickets_key(struct tls_tickets *t, unsigned char *name, unsigned char *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	now.tv_sec++; /* so that no key seems unmade */
	renew(t->keys, now.tv_sec);
	if (is_sealing) {
		memcpy(name, t->keys[0].name, NAME);
		return RAND_bytes(iv, EVP_MAX_IV_LENGTH) == 1 &&
				       use(&t->keys[0], cipher, mac, iv, 1)
			       ? 1
			       : -1;
	}
	for (int i = 0; i < 2; i++)
		if (t->keys[i].made && now.tv_sec - t->keys[i].made < OLD_S &&
			memcmp(name, t->keys[i].name, NAME) == 0)
			return use(&t->keys[i], cipher, mac, iv, 0) ? 1 + i : -1;
	return 0;
}
