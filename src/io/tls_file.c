/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls_core.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/codec.h"
#include "base/must.h"

/* Certificates and keys as people keep them: PEM files. */

static BIO *
reader(struct str pem)
{
	BIO *b = BIO_new_mem_buf(pem.n ? pem.p : "", pem.n < INT_MAX ? (int)pem.n : INT_MAX);

	must(b);
	ERR_clear_error();
	return b;
}

/* Nobody is there who could type a key's password. */
static int
no_password(char *to, int room, int is_writing, void *was_asked)
{
	(void)to;
	(void)room;
	(void)is_writing;
	*(bool *)was_asked = true;
	return -1;
}

EVP_PKEY *
tls_read_key(struct str pem, struct err *e)
{
	BIO *in = reader(pem);
	bool was_asked = false;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, no_password, &was_asked);

	BIO_free(in);
	ERR_clear_error();
	if (!key)
		err_set(e, ERR_PERMANENT, ERR_LOCAL,
			was_asked
				? "the private key is locked with a password; write it without one"
				: "no private key in it (want PEM: -----BEGIN PRIVATE KEY-----)");
	return key;
}

bool
tls_add_certificates(struct buf *to, uint64_t key, struct str pem, struct err *e)
{
	struct buf chain = { .max = to->max };
	BIO *in = reader(pem);
	uint32_t count = 0;
	X509 *x;

	for (; (x = PEM_read_bio_X509(in, NULL, NULL, NULL)); count++) {
		unsigned char *der = NULL;
		int n = i2d_X509(x, &der);

		must(n > 0);
		codec_add_str(&chain, (struct str){ (const char *)der, (size_t)n });
		OPENSSL_free(der);
		X509_free(x);
	}
	BIO_free(in);
	ERR_clear_error(); /* the end of the text is one of OpenSSL's errors */
	if (count && count <= TLS_CHAIN_MAX) {
		codec_add_u64(to, key);
		codec_add_u32(to, count);
		buf_add(to, buf_str(&chain));
	}
	buf_free(&chain);
	if (count == 0)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"no certificate in it (want PEM: -----BEGIN CERTIFICATE-----)");
	return count <= TLS_CHAIN_MAX ||
	       err_set(e, ERR_PERMANENT, ERR_LOCAL, "more than %d certificates in one chain",
		       TLS_CHAIN_MAX);
}

/* What this house can sign with, see role/vault/signing.h. */
static bool
is_usable(const EVP_PKEY *key)
{
	char curve[64] = "";

	if (EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_get_bits(key) >= 2048 &&
		       EVP_PKEY_get_size(key) <= TLS_SIGNATURE_MAX;
	return EVP_PKEY_is_a(key, "EC") &&
	       EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) == 1 &&
	       (strcmp(curve, "prime256v1") == 0 || strcmp(curve, "secp384r1") == 0 ||
		       strcmp(curve, "secp521r1") == 0);
}

/* No octet of a stranger's certificate but those of host names. */
static bool
is_host_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!char_is_alpha(name.p[i]) && !char_is_digit(name.p[i]) &&
			str_find(S("*.-_"), name.p[i]) == 4)
			return false;
	return name.n > 0;
}

static void
read_names(const X509 *leaf, char *to, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	size_t n = 0;

	to[0] = 0;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		struct str text;

		if (name->type != GEN_DNS)
			continue;
		text = (struct str){ (const char *)ASN1_STRING_get0_data(name->d.dNSName),
			(size_t)ASN1_STRING_length(name->d.dNSName) };
		if (!is_host_name(text) || n + 1 + text.n >= size)
			continue;
		n += (size_t)snprintf(to + n, size - n, "%s%.*s", n ? "," : "", STR_ARG(text));
	}
	GENERAL_NAMES_free(names);
}

static int
count_names(const X509 *leaf)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	int n = sk_GENERAL_NAME_num(names);

	GENERAL_NAMES_free(names);
	return n;
}

static int64_t
seconds_of(const ASN1_TIME *at)
{
	struct tm tm;

	return ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void
read_issuer(const X509 *leaf, char *to, size_t size)
{
	BIO *text = BIO_new(BIO_s_mem());
	int n;

	must(text);
	X509_NAME_print_ex(text, X509_get_issuer_name(leaf), 0,
		XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
	n = BIO_read(text, to, (int)size - 1);
	to[n > 0 ? n : 0] = '\0';
	BIO_free(text);
}

void
tls_read_facts(X509 *leaf, struct tls_facts *facts)
{
	const EVP_PKEY *key = X509_get0_pubkey(leaf);
	const char *kind = key ? EVP_PKEY_get0_type_name(key) : NULL;

	*facts = (struct tls_facts){ .kind = !kind		       ? "unknown"
					     : strcmp(kind, "EC") == 0 ? "ECDSA"
								       : kind,
		.begins_s = seconds_of(X509_get0_notBefore(leaf)),
		.ends_s = seconds_of(X509_get0_notAfter(leaf)) };
	read_names(leaf, facts->names, sizeof facts->names);
	read_issuer(leaf, facts->issuer, sizeof facts->issuer);
}

static bool
check_leaf(X509 *leaf, EVP_PKEY *key, const char *hostname, struct tls_facts *facts, struct err *e)
{
	if (!is_usable(key))
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"this key is none of ECDSA P-256, P-384, P-521 and RSA from 2048 bits on");
	if (count_names(leaf) > TLS_NAMES_MAX)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "more than %d names in one certificate",
			TLS_NAMES_MAX);
	if (X509_check_private_key(leaf, key) != 1)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"certificate and key do not belong together (renewed one without the "
			"other?)");
	tls_read_facts(leaf, facts);
	facts->is_for_host = X509_check_host(leaf, hostname, 0, 0, NULL) == 1;
	return true;
}

bool
tls_check_pair(struct str certificates, struct str key_pem, const char *hostname,
	struct tls_facts *facts, struct err *e)
{
	EVP_PKEY *key = tls_read_key(key_pem, e);
	BIO *in = reader(certificates);
	X509 *leaf = PEM_read_bio_X509(in, NULL, NULL, NULL);
	bool good = false;

	if (key && !leaf)
		err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"no certificate in it (want PEM: -----BEGIN CERTIFICATE-----)");
	else if (key)
		good = check_leaf(leaf, key, hostname, facts, e);
	X509_free(leaf);
	BIO_free(in);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return good;
}
