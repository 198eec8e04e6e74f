/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/certificate.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/log.h"
#include "base/must.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/tls.h"
#include "role/vault/secret.h"

enum {
	OCTETS_MAX = 4 * 1024 * 1024,
	PEM_MAX = 16 * 1024, /* of our own making */
	SIGNATURE_MAX = 1024,
	DAY_S = 24 * 3600,
	SELF_SIGNED_DAYS = 3650,
};

/* ── keys ── */

static uint64_t
key_number(const EVP_PKEY *pkey)
{
	unsigned char *der = NULL, digest[32];
	int n = i2d_PUBKEY(pkey, &der);

	must(n > 0 && EVP_Digest(der, (size_t)n, digest, NULL, EVP_sha256(), NULL) == 1);
	OPENSSL_free(der);
	return codec_get_u64(digest);
}

static enum sealing_key
key_type(const EVP_PKEY *pkey)
{
	if (EVP_PKEY_is_a(pkey, "RSA"))
		return SEALING_RSA;
	switch (EVP_PKEY_get_bits(pkey)) {
	case 256:
		return SEALING_P256;
	case 384:
		return SEALING_P384;
	}
	return SEALING_P521;
}

static void
ring_free(struct key_ring *r)
{
	for (size_t i = 0; i < r->n; i++)
		EVP_PKEY_free(r->keys[i].pkey); /* wipes it */
	r->n = 0;
}

static const struct private_key *
ring_get(const struct key_ring *r, uint64_t number)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->keys[i].number == number)
			return &r->keys[i];
	return NULL;
}

/* ── reading ── */

static bool
add_pair(struct key_ring *r, struct buf *octets, struct str certificate, struct str key,
	struct err *e)
{
	struct private_key *to = &r->keys[r->n];
	int64_t ends_s;

	if (!tls_check_pair(certificate, key, loop_wall_ms() / 1000, &ends_s, e))
		return false;
	to->pkey = tls_read_key(key, e);
	must(to->pkey);
	to->number = key_number(to->pkey);
	to->type = key_type(to->pkey);
	if (!tls_add_certificates(octets, to->number, certificate, e)) {
		EVP_PKEY_free(to->pkey);
		return false;
	}
	r->n++;
	return true;
}

static void
read_pairs(
	struct key_ring *r, struct buf *octets, const struct config *c, const struct files *files)
{
	for (size_t i = 0; i < c->tls.certificates_n; i++) {
		struct str at = c->tls.certificates[i],
			   key_at = c->tls.keys_n ? c->tls.keys[i] : at;
		struct str certificate, key;
		struct err e;

		if (!files_get(files, at, &certificate, &e) ||
			!files_get(files, key_at, &key, &e) ||
			!add_pair(r, octets, certificate, key, &e))
			log_event("certificate-unusable", "certificate=%s key=%s why=%s",
				log_quote(at), log_quote(key_at), log_quote(str_of(e.text)));
	}
}

/* ── our own certificate ── */

static void
self_signed_add_names(X509 *x, const char *hostname)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	X509_NAME *subject = X509_get_subject_name(x);

	must(names && name && text && ASN1_STRING_set(text, hostname, -1) == 1);
	GENERAL_NAME_set0_value(name, GEN_DNS, text);
	must(sk_GENERAL_NAME_push(names, name) == 1 &&
		X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1);
	GENERAL_NAMES_free(names);
	if (strlen(hostname) <= ub_common_name)
		must(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
			     (const unsigned char *)hostname, -1, -1, 0) == 1);
	must(X509_set_issuer_name(x, subject) == 1);
}

static X509 *
self_signed_new(EVP_PKEY *key, const char *hostname)
{
	X509 *x = X509_new();
	uint64_t serial;

	must(x && RAND_bytes((unsigned char *)&serial, sizeof serial) == 1);
	must(X509_set_version(x, X509_VERSION_3) == 1 &&
		ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1) == 1 &&
		X509_time_adj_ex(X509_getm_notBefore(x), -1, 0, NULL) &&
		X509_time_adj_ex(X509_getm_notAfter(x), SELF_SIGNED_DAYS, 0, NULL) &&
		X509_set_pubkey(x, key) == 1);
	self_signed_add_names(x, hostname);
	must(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

static void
self_signed_make(const char *hostname, struct buf *pem)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *out = BIO_new(BIO_s_secmem());
	X509 *x;
	char *text;
	long n;

	must(key && out);
	x = self_signed_new(key, hostname);
	must(PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1 &&
		PEM_write_bio_X509(out, x) == 1);
	n = BIO_get_mem_data(out, &text);
	buf_reset(pem);
	buf_add(pem, (struct str){ text, (size_t)n });
	must(!pem->overflow);
	X509_free(x);
	BIO_free(out);
	EVP_PKEY_free(key);
}

static bool
self_signed_is_good(struct str pem, const char *hostname)
{
	BIO *in = BIO_new_mem_buf(pem.n ? pem.p : "", (int)pem.n);
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
	struct err e;
	int64_t ends_s;
	bool good = x && X509_check_host(x, hostname, 0, 0, NULL) == 1 &&
		    tls_check_pair(pem, pem, loop_wall_ms() / 1000, &ends_s, &e);

	X509_free(x);
	BIO_free(in);
	ERR_clear_error();
	return good;
}

static bool
add_self_signed(struct key_ring *r, struct buf *octets, const struct config *c, struct err *e)
{
	struct buf pem = { .max = PEM_MAX };
	char hostname[256];
	bool good = secret_read(c->state, "self-signed.pem", &pem), is_new;

	snprintf(hostname, sizeof hostname, "%.*s", STR_ARG(c->hostname));
	is_new = !good || !self_signed_is_good(buf_str(&pem), hostname);
	if (is_new) {
		self_signed_make(hostname, &pem);
		if (!secret_keep(c->state, "self-signed.pem", buf_str(&pem),
			    e)) /* it serves, until vault ends */
			log_event("self-signed-not-kept", "why=%s", log_quote(str_of(e->text)));
	}
	log_event("self-signed", "hostname=%s made=%s file=%.*s/vault/self-signed.pem", hostname,
		is_new ? "now" : "earlier", STR_ARG(c->state));
	good = add_pair(r, octets, buf_str(&pem), buf_str(&pem), e);
	explicit_bzero(pem.p, pem.capacity);
	buf_free(&pem);
	return good;
}

bool
certificates_read(struct certificates *c, const struct config *config, const struct files *files,
	struct err *e)
{
	struct buf octets = { .max = OCTETS_MAX };
	struct key_ring fresh = { 0 };
	bool good;
	int fd = -1;

	read_pairs(&fresh, &octets, config, files);
	good = fresh.n > 0 || add_self_signed(&fresh, &octets, config, e);
	if (good)
		fd = file_sealed("certificates", buf_str(&octets));
	buf_free(&octets);
	if (good && fd < 0)
		good = err_set_errno(e, "no memory for the certificates");
	if (!good) {
		ring_free(&fresh);
		return false;
	}
	ring_free(&c->before);
	c->before = c->now;
	c->now = fresh;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = fd;
	return true;
}

/* ── signing ── */

bool
certificates_sign(const struct certificates *c, uint64_t key, uint16_t scheme, struct str content,
	struct buf *signature, struct err *e)
{
	const struct private_key *k = ring_get(&c->now, key);
	const struct sealing_scheme *how;
	size_t n = SIGNATURE_MAX;
	EVP_PKEY_CTX *padding;
	EVP_MD_CTX *digest;
	bool good;

	if (!k)
		k = ring_get(&c->before, key);
	if (!k)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "no such key");
	how = sealing_check(k->type, scheme, content);
	if (!how)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "no content of a TLS handshake");
	digest = EVP_MD_CTX_new();
	must(digest);
	good = EVP_DigestSignInit_ex(digest, &padding, how->digest, NULL, NULL, k->pkey, NULL) ==
		       1 &&
	       (!how->is_pss ||
		       (EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1 &&
			       EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) ==
				       1)) &&
	       EVP_DigestSign(digest, (unsigned char *)buf_room(signature, SIGNATURE_MAX), &n,
		       (const unsigned char *)content.p, content.n) == 1;
	EVP_MD_CTX_free(digest);
	ERR_clear_error();
	if (!good)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "OpenSSL cannot sign");
	buf_grew(signature, n);
	return true;
}
