/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls_core.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/must.h"
#include "io/file.h"

/* Certificates and keys as people keep them: PEM files. */

enum { TRUST_MAX = 16 << 20 }; /* octets */

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

/* What this house can sign with, see role/vault/sealing.h. */
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

static bool
check_leaf(X509 *leaf, EVP_PKEY *key, int64_t now_s, int64_t *ends_s, struct err *e)
{
	time_t now = (time_t)now_s;
	int days = 0, seconds = 0;

	if (!is_usable(key))
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"this key is none of ECDSA P-256, P-384, P-521 and RSA from 2048 bits on");
	if (X509_check_private_key(leaf, key) != 1)
		return err_set(
			e, ERR_PERMANENT, ERR_LOCAL, "certificate and key do not belong together");
	if (X509_cmp_time(X509_get0_notBefore(leaf), &now) > 0)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "the certificate is not valid yet");
	if (X509_cmp_time(X509_get0_notAfter(leaf), &now) <= 0)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "the certificate has expired");
	ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(leaf));
	*ends_s = now_s + (int64_t)days * 86400 + seconds;
	return true;
}

bool
tls_check_pair(
	struct str certificates, struct str key_pem, int64_t now_s, int64_t *ends_s, struct err *e)
{
	EVP_PKEY *key = tls_read_key(key_pem, e);
	BIO *in = reader(certificates);
	X509 *leaf = PEM_read_bio_X509(in, NULL, NULL, NULL);
	bool good = false;

	if (key && !leaf)
		err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"no certificate in it (want PEM: -----BEGIN CERTIFICATE-----)");
	else if (key)
		good = check_leaf(leaf, key, now_s, ends_s, e);
	X509_free(leaf);
	BIO_free(in);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return good;
}

struct tls *
tls_client_open_file(const char *path, struct err *e)
{
	struct buf trust = { .max = TRUST_MAX };
	struct tls *terms = NULL;
	int fd;

	if (!path)
		path = "/etc/ssl/certs/ca-certificates.crt";
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !file_read_all(fd, &trust))
		err_set_errno(e, "%s", path);
	else if (trust.overflow)
		err_set(e, ERR_PERMANENT, ERR_LOCAL, "%s is too large", path);
	else
		terms = tls_client_open(buf_str(&trust), e);
	if (fd >= 0)
		close(fd);
	buf_free(&trust);
	return terms;
}
