/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls_core.h"

#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>
#include <limits.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/codec.h"
#include "base/must.h"
#include "io/file.h"

/*
 * A server's terms. It has certificates, and for each set of them that a name can lead to a site: an SSL_CTX
 * with at most one ECDSA and one RSA chain, between which OpenSSL chooses by what the client can verify.
 *
 *   name ─ pair_of_name ─▶ the first ECDSA and the first RSA certificate that fit it ─ site_of_pair ─▶ site
 *
 * All sites are made when the certificates come, none in a handshake: a name that no certificate spells out
 * fits patterns only, and a pattern is a name that was looked up.
 */

enum {
	CERTIFICATES_OCTETS_MAX = 4 * 1024 * 1024,
	CERTIFICATES_MAX = 64,
	NAMES_OCTETS_MAX = CERTIFICATES_OCTETS_MAX +
			   CERTIFICATES_MAX * TLS_NAMES_MAX * (int)sizeof(struct str),
};

/* Forward secrecy and AEAD for TLS 1.2; TLS 1.3 has nothing else. */
static const char server_ciphers[] =
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/* Not const, since the macros that take them say so. */
static char groups[] = "X25519:P-256:P-384";
static char schemes[] =
	"ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:rsa_pss_rsae_sha256:"
	"rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_"
	"sha512";

struct certificate {
	X509 *leaf;
	STACK_OF(X509) * rest; /* of the chain */
	EVP_PKEY *key;
	bool is_rsa;
	struct str *names; /* of the leaf, in the terms' arena */
	size_t names_n;
};

struct site {
	int pair[2]; /* which certificates: ECDSA, RSA; -1: none */
	SSL_CTX *context;
};

struct server {
	struct tls terms; /* first: a struct tls is one of these */
	struct certificate certificates[CERTIFICATES_MAX];
	int certificates_n;
	struct site *sites;
	int sites_n;
	struct arena names;
	struct tls_tickets *tickets;
	struct tls_settings settings;
};

/* ── the library ── */

OSSL_LIB_CTX *
tls_library(void)
{
	static OSSL_LIB_CTX *library;

	if (library)
		return library;
	library = OSSL_LIB_CTX_new();
	must(library);
	must(OSSL_PROVIDER_load(library, "default") && tls_key_provide(library));
	must(ASYNC_init_thread(TLS_SIGNING_MAX, 0) == 1);
	return library;
}

/* ── names ── */

/* A pattern's "*" stands for one whole label, the first (RFC 6125 §6.4.3). A pattern fits itself. */
static bool
name_fits(struct str pattern, struct str name)
{
	struct str label, rest;

	if (str_eq_nocase(pattern, name))
		return true;
	if (!str_starts(pattern, S("*.")) || !str_cut(name, '.', &label, &rest) || label.n == 0)
		return false;
	return str_eq_nocase(str_from(pattern, 2), rest);
}

static int
site_of_pair(const struct server *t, const int pair[2])
{
	for (int i = 0; i < t->sites_n; i++)
		if (t->sites[i].pair[0] == pair[0] && t->sites[i].pair[1] == pair[1])
			return i;
	return -1;
}

/* False: no certificate fits. */
static bool
pair_of_name(const struct server *t, struct str name, int pair[2])
{
	pair[0] = pair[1] = -1;
	for (int i = 0; i < t->certificates_n; i++) {
		const struct certificate *c = &t->certificates[i];

		for (size_t k = 0; k < c->names_n && pair[c->is_rsa] < 0; k++)
			if (name_fits(c->names[k], name))
				pair[c->is_rsa] = i;
	}
	return pair[0] >= 0 || pair[1] >= 0;
}

/* Server name indication, RFC 6066 §3. A name that nobody here has is no reason to refuse: senders by MX
 * often have only an alias. */
static int
on_server_name(SSL *ssl, int *alert, void *terms)
{
	const struct server *t = terms;
	struct str name = str_of(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
	int pair[2], at;

	(void)alert;
	if (name.n == 0)
		return SSL_TLSEXT_ERR_NOACK;
	at = pair_of_name(t, name, pair) ? site_of_pair(t, pair) : 0;
	if (at > 0)
		SSL_set_SSL_CTX(ssl, t->sites[at].context);
	return SSL_TLSEXT_ERR_OK;
}

/* ALPN, RFC 7301: whoever wants to speak something else than SMTP is at the wrong door (ALPACA). */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
	unsigned in_n, void *terms)
{
	static const unsigned char smtp[] = "\4smtp";
	unsigned char *chosen;

	(void)ssl;
	(void)terms;
	if (SSL_select_next_proto(&chosen, out_n, smtp, sizeof smtp - 1, in, in_n) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int is_sealing)
{
	struct server *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	return tls_tickets_key(t->tickets, name, iv, cipher, mac, is_sealing);
}

/* ── contexts ── */

static SSL_CTX *
context_new_server(struct server *t)
{
	SSL_CTX *c = tls_context_new(tls_library(), TLS_server_method());

	must(c);
	SSL_CTX_set_options(c, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	must(SSL_CTX_set_cipher_list(c, server_ciphers) == 1 &&
		SSL_CTX_set1_groups_list(c, groups) == 1 &&
		SSL_CTX_set1_sigalgs_list(c, schemes) == 1);
	SSL_CTX_set_app_data(c, t);
	SSL_CTX_set_tlsext_servername_callback(c, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(c, t);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(c, on_ticket);
	if (t->settings.has_no_tickets)
		SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(c, t->settings.has_no_tickets ? 0 : 1);
	if (t->settings.is_smtp)
		SSL_CTX_set_alpn_select_cb(c, on_alpn, NULL);
	return c;
}

static bool
site_add_chain(SSL_CTX *context, const struct certificate *c)
{
	return SSL_CTX_use_certificate(context, c->leaf) == 1 &&
	       SSL_CTX_set1_chain(context, c->rest) == 1 &&
	       SSL_CTX_use_PrivateKey(context, c->key) == 1;
}

static bool
site_add(struct server *t, const int pair[2], struct err *e)
{
	struct site *s;

	if (site_of_pair(t, pair) >= 0)
		return true;
	t->sites = realloc(t->sites, ((size_t)t->sites_n + 1) * sizeof *t->sites);
	must(t->sites);
	s = &t->sites[t->sites_n++];
	*s = (struct site){ .pair = { pair[0], pair[1] }, .context = context_new_server(t) };
	t->terms.context = t->sites[0].context;
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0 && !site_add_chain(s->context, &t->certificates[pair[i]]))
			return tls_fail(e, ERR_LOCAL, "a certificate cannot be used");
	return true;
}

/* The first is for clients that ask for no name of ours. */
static bool
sites_make(struct server *t, struct err *e)
{
	const struct certificate *first = t->certificates;
	int pair[2] = { -1, -1 };

	if (first->names_n)
		pair_of_name(t, first->names[0], pair);
	else
		pair[first->is_rsa] = 0;
	if (!site_add(t, pair, e))
		return false;
	for (int i = 0; i < t->certificates_n; i++)
		for (size_t k = 0; k < t->certificates[i].names_n; k++) {
			pair_of_name(t, t->certificates[i].names[k], pair);
			if (!site_add(t, pair, e))
				return false;
		}
	return true;
}

/* ── certificates as vault hands them out ── */

static bool
certificate_read_names(struct server *t, struct certificate *c)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
	int n = sk_GENERAL_NAME_num(names);
	bool good = true;

	if (n > 0 && n <= TLS_NAMES_MAX)
		c->names = arena_take(&t->names, (size_t)n * sizeof *c->names);
	for (int i = 0; i < n && good && c->names; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		struct str text;

		if (g->type != GEN_DNS)
			continue;
		text = (struct str){ (const char *)ASN1_STRING_get0_data(g->d.dNSName),
			(size_t)ASN1_STRING_length(g->d.dNSName) };
		good = arena_dup(&t->names, text, &c->names[c->names_n]);
		c->names_n += good;
	}
	GENERAL_NAMES_free(names);
	return good && (n <= 0 || c->names);
}

static X509 *
certificate_scan_der(struct str *in)
{
	X509 *x = X509_new_ex(tls_library(), TLS_PROPERTIES);
	const unsigned char *p;
	struct str der;

	must(x);
	if (!codec_scan_str(in, &der) || der.n > LONG_MAX) {
		X509_free(x);
		return NULL;
	}
	p = (const unsigned char *)der.p;
	if (!d2i_X509(&x, &p, (long)der.n)) /* which frees x */
		return NULL;
	if (p == (const unsigned char *)der.p + der.n)
		return x;
	X509_free(x);
	return NULL;
}

/* What came so far is the terms' to free. */
static bool
certificate_scan(struct server *t, struct str *in)
{
	struct certificate *c = &t->certificates[t->certificates_n];
	uint64_t key;
	uint32_t count;

	if (t->certificates_n == CERTIFICATES_MAX || !codec_scan_u64(in, &key) ||
		!codec_scan_u32(in, &count) || count == 0 || count > TLS_CHAIN_MAX)
		return false;
	t->certificates_n++;
	c->rest = sk_X509_new_null();
	must(c->rest);
	for (uint32_t i = 0; i < count; i++) {
		X509 *x = certificate_scan_der(in);

		if (!x)
			return false;
		if (i == 0)
			c->leaf = x;
		else
			must(sk_X509_push(c->rest, x) > 0);
	}
	c->key = tls_key_make(c->leaf, key);
	c->is_rsa = c->key && EVP_PKEY_is_a(c->key, "RSA");
	return c->key && certificate_read_names(t, c);
}

/* ── terms ── */

static void
server_free(struct tls *terms)
{
	struct server *t = (struct server *)terms;

	for (int i = 1; i < t->sites_n; i++) /* the first one's context is the terms' */
		SSL_CTX_free(t->sites[i].context);
	for (int i = 0; i < t->certificates_n; i++) {
		X509_free(t->certificates[i].leaf);
		sk_X509_pop_free(t->certificates[i].rest, X509_free);
		EVP_PKEY_free(t->certificates[i].key);
	}
	free(t->sites);
	arena_free(&t->names);
	tls_tickets_close(&t->tickets);
}

struct tls *
tls_server_open(int fd, const struct tls_settings *settings, struct err *e)
{
	struct buf octets = { .max = CERTIFICATES_OCTETS_MAX };
	struct server *t = calloc(1, sizeof *t);
	struct tls *terms = &t->terms;
	struct str in;
	bool good;

	must(t && tls_begin(terms));
	terms->free_rest = server_free;
	t->names.max = NAMES_OCTETS_MAX;
	t->settings = *settings;
	t->tickets = tls_tickets_open();
	good = file_read_whole(fd, &octets);
	in = buf_str(&octets);
	while (good && in.n)
		good = certificate_scan(t, &in);
	if (!good || t->certificates_n == 0)
		tls_fail(e, ERR_LOCAL, "these are no certificates");
	else if (sites_make(t, e))
		goto done;
	tls_close(&terms);
done:
	buf_free(&octets);
	return terms;
}
