/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/app_password.h"

#include <openssl/evp.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/must.h"

enum { GROUP = 5, OCTETS = 32 };

#define LETTERS "abcdefghijklmnopqrstuvwxyz234567"

void
app_password_make(char password[APP_PASSWORD_SIZE], char digest[APP_PASSWORD_DIGEST])
{
	unsigned char chance[APP_PASSWORD_SIZE];

	hash_random(chance, sizeof chance);
	for (size_t i = 0; i < APP_PASSWORD_SIZE - 1; i++)
		password[i] = i % (GROUP + 1) == GROUP ? '-' : LETTERS[chance[i] & 31];
	password[APP_PASSWORD_SIZE - 1] = 0;
	must(app_password_digest(str_of(password), digest));
}

bool
app_password_digest(struct str password, char digest[APP_PASSWORD_DIGEST])
{
	unsigned char octets[OCTETS];

	if (password.n != APP_PASSWORD_SIZE - 1)
		return false;
	for (size_t i = 0; i < password.n; i++)
		if (i % (GROUP + 1) == GROUP ? password.p[i] != '-'
					     : str_find(S(LETTERS), password.p[i]) == 32)
			return false;
	must(EVP_Digest(password.p, password.n, octets, NULL, EVP_sha256(), NULL) == 1);
	codec_hex(digest, octets, sizeof octets);
	return true;
}
