/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls_core.h"

#include <openssl/async.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/must.h"

/*
 * Private keys that are elsewhere: a provider for OpenSSL whose keys hold the public part and a number, and
 * whose signatures come from outside. It knows what a TLS server needs and no more.
 *
 *   SSL_do_handshake, in a job ──▶ signer_sign: content, scheme and number to *shaking
 *                                      │ ASYNC_pause_job
 *   SSL_ERROR_WANT_ASYNC ◀─────────────┘
 *   … vault answers …
 *   SSL_do_handshake ──▶ signer_sign goes on, with the signature
 *
 * The content is what TLS signs, whole (DIGEST_SIGN in one call): the text of CertificateVerify in TLS 1.3
 * (RFC 8446 §4.4.3), randoms and ECDHE parameters in TLS 1.2 (RFC 8422 §5.4). So vault sees what it signs. A
 * digest is never asked for: there is no function for it.
 *
 * A key object wraps the same public key of OpenSSL's own provider, which answers all questions about it. It
 * cannot be exported: else OpenSSL would take it over there, and miss the private part.
 */

#define KEY_NUMBER "posthouse-key" /* parameter of our own, beside those of the public key */

/* ── keys ── */

struct public_key {
	const char *type; /* "EC", "RSA" */
	uint64_t number;
	EVP_PKEY *pkey;
};

static void *
key_new(const char *type)
{
	struct public_key *k = calloc(1, sizeof *k);

	must(k);
	k->type = type;
	return k;
}

static void *
key_new_ec(void *provider)
{
	(void)provider;
	return key_new("EC");
}

static void *
key_new_rsa(void *provider)
{
	(void)provider;
	return key_new("RSA");
}

static void
key_free(void *key)
{
	struct public_key *k = key;

	EVP_PKEY_free(k->pkey);
	free(k);
}

static int
key_has(const void *key, int selection)
{
	(void)key;
	(void)selection; /* the private part too: it can sign */
	return 1;
}

static int
key_match(const void *a, const void *b, int selection)
{
	(void)selection;
	return EVP_PKEY_eq(((const struct public_key *)a)->pkey,
		       ((const struct public_key *)b)->pkey) == 1;
}

static int
key_import(void *key, int selection, const OSSL_PARAM *from)
{
	struct public_key *k = key;
	const OSSL_PARAM *number = OSSL_PARAM_locate_const(from, KEY_NUMBER);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(tls_library(), k->type, "provider=default");
	int good = c && EVP_PKEY_fromdata_init(c) == 1 &&
		   EVP_PKEY_fromdata(
			   c, &k->pkey, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)from) == 1 &&
		   (!number || OSSL_PARAM_get_uint64(number, &k->number));

	(void)selection;
	EVP_PKEY_CTX_free(c);
	return good;
}

static const OSSL_PARAM *
key_import_types(int selection)
{
	static const OSSL_PARAM types[] = { { KEY_NUMBER, OSSL_PARAM_UNSIGNED_INTEGER, NULL, 8, 0 },
		OSSL_PARAM_END };

	(void)selection;
	return types;
}

static int
key_get_params(void *key, OSSL_PARAM *params)
{
	return EVP_PKEY_get_params(((struct public_key *)key)->pkey, params);
}

static const OSSL_PARAM *
key_gettable_params(void *provider)
{
	static const OSSL_PARAM some[] = { { OSSL_PKEY_PARAM_BITS, OSSL_PARAM_INTEGER, NULL, 4, 0 },
		{ OSSL_PKEY_PARAM_SECURITY_BITS, OSSL_PARAM_INTEGER, NULL, 4, 0 },
		{ OSSL_PKEY_PARAM_MAX_SIZE, OSSL_PARAM_INTEGER, NULL, 4, 0 },
		{ OSSL_PKEY_PARAM_GROUP_NAME, OSSL_PARAM_UTF8_STRING, NULL, 0, 0 },
		OSSL_PARAM_END };

	(void)provider;
	return some;
}

/* Names that the other provider has not, so that OpenSSL finds ours at its first try. */
static const char *
key_signer_name(int operation)
{
	(void)operation;
	return "POSTHOUSE-VAULT";
}

/* ── signatures ── */

struct signer {
	const struct public_key *key;
	uint8_t hash; /* as in RFC 5246 §7.4.1.4.1: 4, 5, 6 for SHA-256, -384, -512 */
	bool is_pss;
};

static struct tls_signing **shaking;

void
tls_key_shaking(struct tls_signing **s)
{
	shaking = s;
}

static void *
signer_new(void *provider, const char *properties)
{
	struct signer *s = calloc(1, sizeof *s);

	(void)provider;
	(void)properties;
	must(s);
	return s;
}

static void
signer_free(void *signer)
{
	free(signer);
}

static int
signer_set_params(void *signer, const OSSL_PARAM *params)
{
	struct signer *s = signer;
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	int padding;

	if (!p)
		return 1; /* the salt is as long as the digest: TLS knows no other */
	if (p->data_type == OSSL_PARAM_UTF8_STRING)
		s->is_pss = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
	else if (OSSL_PARAM_get_int(p, &padding))
		s->is_pss = padding == RSA_PKCS1_PSS_PADDING;
	return 1;
}

static const OSSL_PARAM *
signer_settable_params(void *signer, void *provider)
{
	static const OSSL_PARAM some[] = { { OSSL_SIGNATURE_PARAM_PAD_MODE, OSSL_PARAM_UTF8_STRING,
						   NULL, 0, 0 },
		{ OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_PARAM_UTF8_STRING, NULL, 0, 0 },
		OSSL_PARAM_END };

	(void)signer;
	(void)provider;
	return some;
}

static int
signer_init(void *signer, const char *digest, void *key, const OSSL_PARAM *params)
{
	struct signer *s = signer;

	s->key = key;
	s->hash = 0;
	s->is_pss = false;
	if (OPENSSL_strcasecmp(digest, "SHA2-256") == 0 ||
		OPENSSL_strcasecmp(digest, "SHA256") == 0)
		s->hash = 4;
	if (OPENSSL_strcasecmp(digest, "SHA2-384") == 0 ||
		OPENSSL_strcasecmp(digest, "SHA384") == 0)
		s->hash = 5;
	if (OPENSSL_strcasecmp(digest, "SHA2-512") == 0 ||
		OPENSSL_strcasecmp(digest, "SHA512") == 0)
		s->hash = 6;
	return s->hash && (!params || signer_set_params(signer, params));
}

/* SignatureScheme, RFC 8446 §4.2.3. */
static uint16_t
signer_scheme(const struct signer *s)
{
	unsigned hash = s->hash;

	if (strcmp(s->key->type, "EC") == 0)
		return (uint16_t)(hash << 8 | 3);
	return (uint16_t)(s->is_pss ? 0x0800 | hash : hash << 8 | 1);
}

static int
signer_sign(void *signer, unsigned char *signature, size_t *n, size_t room,
	const unsigned char *content, size_t content_n)
{
	const struct signer *s = signer;
	struct tls_signing *to;

	if (!signature) {
		*n = (size_t)EVP_PKEY_get_size(s->key->pkey);
		return 1;
	}
	if (!shaking || !ASYNC_get_current_job())
		return 0;
	must(!*shaking);
	to = *shaking = calloc(1, sizeof *to);
	must(to);
	*to = (struct tls_signing){ .key = s->key->number,
		.scheme = signer_scheme(s),
		.content = { (const char *)content, content_n } };
	ASYNC_pause_job();
	*n = to->signature_n;
	if (*n && *n <= room)
		memcpy(signature, to->signature, *n);
	free(to);
	*shaking = NULL;
	return *n && *n <= room;
}

/* ── the provider ── */

/* OpenSSL keeps functions of all shapes in one type. */
#define FUNCTION(f) ((void (*)(void))(f))

#define KEY_FUNCTIONS(name, new)                                                       \
	static const OSSL_DISPATCH name[] = {                                          \
		{ OSSL_FUNC_KEYMGMT_NEW, FUNCTION(new) },                              \
		{ OSSL_FUNC_KEYMGMT_FREE, FUNCTION(key_free) },                        \
		{ OSSL_FUNC_KEYMGMT_HAS, FUNCTION(key_has) },                          \
		{ OSSL_FUNC_KEYMGMT_MATCH, FUNCTION(key_match) },                      \
		{ OSSL_FUNC_KEYMGMT_IMPORT, FUNCTION(key_import) },                    \
		{ OSSL_FUNC_KEYMGMT_IMPORT_TYPES, FUNCTION(key_import_types) },        \
		{ OSSL_FUNC_KEYMGMT_GET_PARAMS, FUNCTION(key_get_params) },            \
		{ OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, FUNCTION(key_gettable_params) },  \
		{ OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, FUNCTION(key_signer_name) }, \
		{ 0, NULL },                                                           \
	}

KEY_FUNCTIONS(ec_functions, key_new_ec);
KEY_FUNCTIONS(rsa_functions, key_new_rsa);

static const OSSL_DISPATCH signer_functions[] = {
	{ OSSL_FUNC_SIGNATURE_NEWCTX, FUNCTION(signer_new) },
	{ OSSL_FUNC_SIGNATURE_FREECTX, FUNCTION(signer_free) },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, FUNCTION(signer_init) },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN, FUNCTION(signer_sign) },
	{ OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, FUNCTION(signer_set_params) },
	{ OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, FUNCTION(signer_settable_params) },
	{ 0, NULL },
};

/* All names of each, so that OpenSSL takes them for the same as the other provider's. */
static const OSSL_ALGORITHM keys[] = {
	{ "EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=posthouse", ec_functions, NULL },
	{ "RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=posthouse", rsa_functions, NULL },
	{ NULL, NULL, NULL, NULL },
};
static const OSSL_ALGORITHM signers[] = {
	{ "POSTHOUSE-VAULT", "provider=posthouse", signer_functions, NULL },
	{ NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM *
provider_query(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	return operation == OSSL_OP_KEYMGMT	? keys
	       : operation == OSSL_OP_SIGNATURE ? signers
						: NULL;
}

static int
provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
	void **provider)
{
	static const OSSL_DISPATCH functions[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, FUNCTION(provider_query) },
		{ 0, NULL },
	};

	(void)handle;
	(void)in;
	*out = functions;
	*provider = NULL;
	return 1;
}

bool
tls_key_provide(OSSL_LIB_CTX *library)
{
	return OSSL_PROVIDER_add_builtin(library, "posthouse", provider_init) == 1 &&
	       OSSL_PROVIDER_load(library, "posthouse") != NULL;
}

EVP_PKEY *
tls_key_make(X509 *leaf, uint64_t key)
{
	EVP_PKEY *public = X509_get0_pubkey(leaf), *made = NULL;
	const char *type = EVP_PKEY_is_a(public, "EC")	  ? "EC"
			   : EVP_PKEY_is_a(public, "RSA") ? "RSA"
							  : NULL;
	OSSL_PARAM number[] = { OSSL_PARAM_construct_uint64(KEY_NUMBER, &key),
		OSSL_PARAM_construct_end() },
		   *params = NULL, *all = NULL;
	EVP_PKEY_CTX *c = NULL;

	if (type && EVP_PKEY_todata(public, EVP_PKEY_PUBLIC_KEY, &params) == 1)
		all = OSSL_PARAM_merge(params, number);
	if (all)
		c = EVP_PKEY_CTX_new_from_name(tls_library(), type, "provider=posthouse");
	if (c && EVP_PKEY_fromdata_init(c) == 1)
		EVP_PKEY_fromdata(c, &made, EVP_PKEY_PUBLIC_KEY, all);
	EVP_PKEY_CTX_free(c);
	OSSL_PARAM_free(all);
	OSSL_PARAM_free(params);
	return made;
}
