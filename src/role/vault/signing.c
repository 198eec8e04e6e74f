/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/signing.h"

/*
 * The two contents that a server of ours signs:
 *
 *   TLS 1.3, CertificateVerify (RFC 8446 §4.4.3)
 *     64 × 0x20 · "TLS 1.3, server CertificateVerify" · 0x00 · transcript hash, 32 or 48 octets
 *   TLS 1.2, ServerKeyExchange (RFC 8422 §5.4)
 *     client random, 32 · server random, 32 · 0x03 named curve · curve, 2 · length, 1 · point
 *
 * They cannot be taken for each other: behind 64 octets, one has 'T', the other 0x03.
 */

enum { RANDOMS = 64 };

static const struct row {
	uint16_t scheme;
	struct signing_scheme how;
	enum signing_key key; /* of ECDSA: in TLS 1.3 the curve belongs to the scheme */
} rows[] = {
	{ 0x0403, { "SHA256", false }, SIGNING_P256 },
	{ 0x0503, { "SHA384", false }, SIGNING_P384 },
	{ 0x0603, { "SHA512", false }, SIGNING_P521 },
	{ 0x0804, { "SHA256", true }, SIGNING_RSA },
	{ 0x0805, { "SHA384", true }, SIGNING_RSA },
	{ 0x0806, { "SHA512", true }, SIGNING_RSA },
	{ 0x0401, { "SHA256", false }, SIGNING_RSA }, /* PKCS #1: TLS 1.2 only */
	{ 0x0501, { "SHA384", false }, SIGNING_RSA },
	{ 0x0601, { "SHA512", false }, SIGNING_RSA },
};

/* Supported groups, RFC 8446 §4.2.7, with the length of their points. */
static const struct curve {
	uint16_t group;
	uint8_t point;
	bool is_uncompressed; /* begins with 0x04 */
} curves[] = {
	{ 0x001d, 32, false }, /* X25519 */
	{ 0x0017, 65, true },  /* secp256r1 */
	{ 0x0018, 97, true },  /* secp384r1 */
};

static bool
is_certificate_verify(struct str content)
{
	const struct str words = S("TLS 1.3, server CertificateVerify\0");

	for (size_t i = 0; i < RANDOMS; i++)
		if (i >= content.n || content.p[i] != ' ')
			return false;
	content = str_from(content, RANDOMS);
	return str_starts(content, words) &&
	       (content.n == words.n + 32 || content.n == words.n + 48);
}

static bool
is_key_exchange(struct str content)
{
	const unsigned char *p;

	if (content.n < RANDOMS + 4)
		return false;
	content = str_from(content, RANDOMS);
	p = (const unsigned char *)content.p;
	for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
		if (p[0] == 3 && (p[1] << 8 | p[2]) == curves[i].group && p[3] == curves[i].point)
			return content.n == 4u + curves[i].point &&
			       (!curves[i].is_uncompressed || p[4] == 4);
	return false;
}

static bool
is_allowed(const struct row *row, enum signing_key key, struct str content)
{
	bool is_rsa = row->key == SIGNING_RSA;

	if (is_rsa != (key == SIGNING_RSA))
		return false;
	if (is_certificate_verify(content))
		return is_rsa ? row->how.is_pss : row->key == key;
	return is_key_exchange(
		content); /* with any ECDSA digest: TLS 1.2 does not bind it to a curve */
}

const struct signing_scheme *
signing_check(enum signing_key key, uint16_t scheme, struct str content)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (rows[i].scheme == scheme)
			return is_allowed(&rows[i], key, content) ? &rows[i].how : NULL;
	return NULL;
}
