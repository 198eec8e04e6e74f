/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/certificate.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <time.h>
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
	SOON_DAYS = 14,
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

static enum signing_key
key_type(const EVP_PKEY *pkey)
{
	if (EVP_PKEY_is_a(pkey, "RSA"))
		return SIGNING_RSA;
	switch (EVP_PKEY_get_bits(pkey)) {
	case 256:
		return SIGNING_P256;
	case 384:
		return SIGNING_P384;
	}
	return SIGNING_P521;
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
add_pair(struct key_ring *r, struct buf *octets, const char *hostname, struct str certificate,
	struct str key, struct err *e)
{
	struct private_key *to = &r->keys[r->n];

	*to = (struct private_key){ 0 };
	if (!tls_check_pair(certificate, key, hostname, &to->facts, e))
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

static const char *
day_of(int64_t at_s, char text[16])
{
	time_t at = (time_t)at_s;
	struct tm tm;

	text[0] = 0;
	if (gmtime_r(&at, &tm))
		strftime(text, 16, "%Y-%m-%d", &tm);
	return text;
}

static void
take_name(struct key_ring *r, struct str file, bool is_self_signed)
{
	struct private_key *k = &r->keys[r->n - 1];
	char day[16];

	snprintf(k->file, sizeof k->file, "%.*s", STR_ARG(file));
	k->is_self_signed = is_self_signed;
	log_event("certificate", "names=%s key=%s until=%s file=%s",
		log_quote(str_of(k->facts.names)), k->facts.kind, day_of(k->facts.ends_s, day),
		log_quote(file));
}

static struct str
key_path(const struct config *c, size_t i)
{
	return c->tls.keys_n ? c->tls.keys[i] : c->tls.certificates[i];
}

static bool
get_pair(const struct config *c, size_t i, const struct files *files, struct str *certificate,
	struct str *key, struct err *e)
{
	return files_get(files, c->tls.certificates[i], certificate, e) &&
	       files_get(files, key_path(c, i), key, e);
}

bool
certificates_fit(const struct config *c, const struct files *files)
{
	struct str certificate, key;
	struct tls_facts facts;
	char hostname[256];
	struct err e;

	snprintf(hostname, sizeof hostname, "%.*s", STR_ARG(c->hostname));
	for (size_t i = 0; i < c->tls.certificates_n; i++)
		if (!get_pair(c, i, files, &certificate, &key, &e) ||
			!tls_check_pair(certificate, key, hostname, &facts, &e))
			return false;
	return true;
}

static void
read_pairs(
	struct key_ring *r, struct buf *octets, const struct config *c, const struct files *files)
{
	char hostname[256];

	snprintf(hostname, sizeof hostname, "%.*s", STR_ARG(c->hostname));
	for (size_t i = 0; i < c->tls.certificates_n; i++) {
		struct str at = c->tls.certificates[i], key_at = key_path(c, i), certificate, key;
		struct err e;

		if (get_pair(c, i, files, &certificate, &key, &e) &&
			add_pair(r, octets, hostname, certificate, key, &e))
			take_name(r, at, false);
		else
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
	int64_t now_s = loop_wall_ms() / 1000;
	struct tls_facts facts;
	struct err e;

	return tls_check_pair(pem, pem, hostname, &facts, &e) && facts.is_for_host &&
	       facts.begins_s <= now_s && facts.ends_s > now_s;
}

static bool
add_self_signed(struct key_ring *r, struct buf *octets, const struct config *c, struct err *e)
{
	struct buf pem = { .max = PEM_MAX };
	char hostname[256], file[256];
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
	snprintf(file, sizeof file, "%.*s/vault/self-signed.pem", STR_ARG(c->state));
	good = add_pair(r, octets, hostname, buf_str(&pem), buf_str(&pem), e);
	if (good)
		take_name(r, str_of(file), true);
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

/* ── for people ── */

void
certificates_describe(const struct certificates *c, struct buf *lines)
{
	for (size_t i = 0; i < c->now.n; i++) {
		const struct private_key *k = &c->now.keys[i];

		buf_addf(lines, "%s\t%s\t%lld\t%s\n", k->facts.names,
			k->is_self_signed ? "self-signed" : k->facts.kind,
			(long long)k->facts.ends_s, k->file);
	}
}

void
certificates_warn(const struct certificates *c, int64_t now_s)
{
	for (size_t i = 0; i < c->now.n; i++) {
		const struct private_key *k = &c->now.keys[i];
		int64_t left_s = k->facts.ends_s - now_s;
		char day[16];

		if (k->facts.begins_s > now_s)
			log_event("certificate-not-yet", "names=%s from=%s file=%s",
				log_quote(str_of(k->facts.names)), day_of(k->facts.begins_s, day),
				log_quote(str_of(k->file)));
		else if (left_s <= 0)
			log_event("certificate-expired", "names=%s on=%s file=%s",
				log_quote(str_of(k->facts.names)), day_of(k->facts.ends_s, day),
				log_quote(str_of(k->file)));
		else if (left_s < SOON_DAYS * DAY_S)
			log_event("certificate-expires", "names=%s on=%s days=%lld file=%s",
				log_quote(str_of(k->facts.names)), day_of(k->facts.ends_s, day),
				(long long)(left_s / DAY_S), log_quote(str_of(k->file)));
	}
}

/* ── signing ── */

bool
certificates_sign(const struct certificates *c, uint64_t key, uint16_t scheme, struct str content,
	struct buf *signature, struct err *e)
{
	const struct private_key *k = ring_get(&c->now, key);
	const struct signing_scheme *how;
	size_t n = SIGNATURE_MAX;
	EVP_PKEY_CTX *padding;
	EVP_MD_CTX *digest;
	bool good;

	if (!k)
		k = ring_get(&c->before, key);
	if (!k)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "no such key");
	how = signing_check(k->type, scheme, content);
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
