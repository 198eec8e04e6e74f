/* SPDX-License-Identifier: Apache-2.0 */
#include "io/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/must.h"

enum { VERSION = 1, SALT_SIZE = 16, MAC_SIZE = 32 };

static void
mac_of(struct str key, struct str text, unsigned char mac[MAC_SIZE])
{
	size_t n = 0;

	must(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key.p, key.n,
		     (const unsigned char *)text.p, text.n, mac, MAC_SIZE, &n) &&
		n == MAC_SIZE);
}

void
token_make(struct buf *to, struct str key, struct str login, int64_t now_ms)
{
	char salt[SALT_SIZE];
	unsigned char mac[MAC_SIZE];
	struct buf text = { .max = TOKEN_MAX };

	must(key.n == TOKEN_KEY_SIZE && login.n <= TOKEN_LOGIN_MAX);
	hash_random(salt, sizeof salt);
	codec_add_u8(&text, VERSION);
	codec_add_u64(&text, (uint64_t)now_ms);
	buf_add(&text, (struct str){ salt, sizeof salt });
	codec_add_str(&text, login);
	mac_of(key, buf_str(&text), mac);
	buf_add(to, buf_str(&text));
	buf_add(to, (struct str){ (const char *)mac, sizeof mac });
	buf_free(&text);
}

bool
token_verify(struct str key, struct str token, int64_t at_ms, int64_t age_max_ms, struct str *login)
{
	struct str in = token, name;
	char salt[SALT_SIZE];
	unsigned char mac[MAC_SIZE], right[MAC_SIZE];
	uint8_t version;
	uint64_t issued;

	if (key.n != TOKEN_KEY_SIZE || !codec_scan_u8(&in, &version) || version != VERSION ||
		!codec_scan_u64(&in, &issued) || !codec_scan_bytes(&in, salt, sizeof salt) ||
		!codec_scan_str(&in, &name) || !codec_scan_bytes(&in, mac, sizeof mac) || in.n ||
		token.n > TOKEN_MAX)
		return false;
	mac_of(key, str_part(token, 0, token.n - MAC_SIZE), right);
	if (CRYPTO_memcmp(mac, right, MAC_SIZE) != 0)
		return false;
	if ((int64_t)issued < at_ms - age_max_ms)
		return false;
	*login = name;
	return true;
}
