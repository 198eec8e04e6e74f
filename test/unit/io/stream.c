/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "io/loop.h"
#include "io/stream.h"

/*
 * Both ends of a connection in one process, on a socket pair: a handshake is a few turns of two step functions.
 * The "vault" of these tests is sign() below.
 */

enum { PEM_MAX = 65536 };

struct identity {
	EVP_PKEY *key;
	struct buf pem;
};

static struct identity
identity_make(EVP_PKEY *key, const char *subject_name, const char *names)
{
	struct identity id = { .key = key, .pem = { .max = PEM_MAX } };
	X509 *x = X509_new();
	BIO *out = BIO_new(BIO_s_mem());
	X509_NAME *subject;
	X509_EXTENSION *extension;
	char *text;
	long n;

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	subject = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)subject_name, -1, -1, 0);
	X509_set_issuer_name(x, subject);
	X509_set_pubkey(x, key);
	extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	assert_non_null(extension);
	X509_add_ext(x, extension, -1);
	X509_EXTENSION_free(extension);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	PEM_write_bio_X509(out, x);
	n = BIO_get_mem_data(out, &text);
	buf_add(&id.pem, (struct str){ text, (size_t)n });
	BIO_free(out);
	X509_free(x);
	return id;
}

static struct identity one, two,
	old; /* ECDSA for one.example, *.wild.example; ECDSA two.example; RSA one.example */

/* Key numbers are the places here. */
static struct identity *const identities[] = { &one, &two, &old };

static int
certificates_fd(unsigned n, size_t cut)
{
	struct buf octets = { .max = 4 * PEM_MAX };
	int fd = memfd_create("certificates", MFD_CLOEXEC);
	struct err e;

	for (unsigned i = 0; i < n; i++)
		assert_true(tls_add_certificates(&octets, i, buf_str(&identities[i]->pem), &e));
	if (cut < octets.n)
		octets.n = cut;
	assert_int_equal(write(fd, octets.p, octets.n), (ssize_t)octets.n);
	buf_free(&octets);
	return fd;
}

static struct tls *
server_terms(unsigned n, struct tls_settings settings)
{
	int fd = certificates_fd(n, SIZE_MAX);
	struct err e;
	struct tls *t = tls_server_open(fd, &settings, &e);

	close(fd);
	assert_non_null(t);
	return t;
}

/* What vault does: scheme → digest, padding. */
static void
sign(struct stream *s)
{
	struct stream_to_sign what = stream_to_sign(s);
	EVP_PKEY *key = identities[what.key]->key;
	const char *digest = (what.scheme & 0xff00) == 0x0800
				     ? (what.scheme == 0x0804	       ? "SHA256"
					       : what.scheme == 0x0805 ? "SHA384"
								       : "SHA512")
				     : (what.scheme >> 8 == 4	       ? "SHA256"
					       : what.scheme >> 8 == 5 ? "SHA384"
								       : "SHA512");
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p;
	unsigned char signature[1024];
	size_t n = sizeof signature;

	assert_true(EVP_DigestSignInit_ex(c, &p, digest, NULL, NULL, key, NULL) == 1);
	if ((what.scheme & 0xff00) == 0x0800) {
		EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST);
	}
	assert_true(EVP_DigestSign(c, signature, &n, (const unsigned char *)what.content.p,
			    what.content.n) == 1);
	stream_signed(s, (struct str){ (const char *)signature, n });
	EVP_MD_CTX_free(c);
}

struct pair {
	struct stream server, client;
	struct err server_err, client_err;
	enum stream_step server_step, client_step;
	unsigned signatures;
	struct stream_to_sign signed_what; /* the newest; content is copied */
	char content[4096];
};

static void
pair_open(struct pair *p)
{
	int fd[2];

	*p = (struct pair){ .server_step = STREAM_WANT_READ, .client_step = STREAM_WANT_READ };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	stream_open(&p->server, fd[0]);
	stream_open(&p->client, fd[1]);
}

static void
pair_close(struct pair *p)
{
	stream_close(&p->client);
	stream_close(&p->server);
}

static bool
is_over(enum stream_step s)
{
	return s == STREAM_DONE || s == STREAM_FAILED;
}

static void
pair_turn(struct pair *p)
{
	if (!is_over(p->client_step))
		p->client_step = stream_shake(&p->client, &p->client_err);
	if (is_over(p->server_step))
		return;
	p->server_step = stream_shake(&p->server, &p->server_err);
	if (p->server_step == STREAM_WANT_SIGNATURE) {
		p->signatures++;
		p->signed_what = stream_to_sign(&p->server);
		assert_true(p->signed_what.content.n < sizeof p->content);
		memcpy(p->content, p->signed_what.content.p, p->signed_what.content.n);
		p->signed_what.content.p = p->content;
		sign(&p->server);
	}
}

static void
pair_shake(struct pair *p)
{
	for (int i = 0; i < 20 && !(is_over(p->server_step) && is_over(p->client_step)); i++) {
		pair_turn(p);
		if (p->client_step == STREAM_FAILED) /* its end is seen by the server */
			shutdown(p->client.fd, SHUT_WR);
		if (p->server_step == STREAM_FAILED)
			shutdown(p->server.fd, SHUT_WR);
	}
}

static void
pair_secure(
	struct pair *p, struct tls *server, struct tls *client, struct str name, bool must_verify)
{
	struct err e;

	pair_open(p);
	assert_true(stream_secure_server(&p->server, server, &e));
	assert_true(stream_secure_client(&p->client, client, name, must_verify, &e));
	pair_shake(p);
}

static void
assert_both_secure(const struct pair *p)
{
	if (p->client_step != STREAM_DONE)
		fail_msg("client: %s", p->client_err.text);
	if (p->server_step != STREAM_DONE)
		fail_msg("server: %s", p->server_err.text);
}

static struct tls *
client_terms(struct str trust)
{
	struct err e;
	struct tls *t = tls_client_open(trust, &e);

	assert_non_null(t);
	return t;
}

static void
octets_travel_both_ways(void **state)
{
	struct tls *server = server_terms(1, (struct tls_settings){ 0 }),
		   *client = client_terms((struct str){ 0 });
	char room[STREAM_RECORD];
	struct pair p;

	(void)state;
	pair_secure(&p, server, client, S("one.example"), false);
	assert_both_secure(&p);
	assert_int_equal(p.signatures, 1);
	assert_int_equal(p.signed_what.scheme, 0x0403);
	assert_true(
		str_find_str(p.signed_what.content, S("TLS 1.3, server CertificateVerify")) == 64);
	assert_int_equal(stream_write(&p.client, S("EHLO")), 4);
	assert_int_equal(stream_read(&p.server, room, sizeof room), 4);
	assert_memory_equal(room, "EHLO", 4);
	assert_int_equal(stream_read(&p.server, room, sizeof room), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(stream_wants(&p.server), LOOP_READ);
	assert_int_equal(stream_write(&p.server, S("250 ok")), 6);
	assert_int_equal(stream_read(&p.client, room, sizeof room), 6);
	stream_close(&p.client);
	assert_int_equal(stream_read(&p.server, room, sizeof room), 0);
	pair_close(&p);
	tls_close(&server);
	tls_close(&client);
}

/* ── who is who ── */

static struct str
all_trust(void)
{
	static struct buf trust = { .max = 4 * PEM_MAX };

	if (trust.n == 0)
		for (unsigned i = 0; i < 3; i++)
			buf_add(&trust, buf_str(&identities[i]->pem));
	return buf_str(&trust);
}

/* Whether a client that asked for this name found its certificate good, and what it says else. */
static const char *
verdict(struct tls *server, struct tls *client, struct str name)
{
	struct stream_facts facts;
	struct pair p;

	pair_secure(&p, server, client, name, false);
	assert_both_secure(&p);
	stream_facts(&p.client, &facts);
	assert_string_equal(facts.version, "TLSv1.3");
	assert_true(facts.bits >= 128);
	assert_true(facts.is_verified == (facts.unverified == NULL));
	pair_close(&p);
	return facts.unverified;
}

static void
the_name_chooses_the_certificate(void **state)
{
	struct tls *server = server_terms(3, (struct tls_settings){ 0 }),
		   *client = client_terms(all_trust());

	(void)state;
	assert_null(verdict(server, client, S("one.example")));
	assert_null(verdict(server, client, S("ONE.example")));
	assert_null(verdict(server, client, S("two.example")));
	assert_null(verdict(server, client, S("any.wild.example")));
	assert_string_equal(
		verdict(server, client, S("too.many.wild.example")), "hostname mismatch");
	assert_string_equal(verdict(server, client, S("wild.example")), "hostname mismatch");
	assert_string_equal(verdict(server, client, S("three.example")), "hostname mismatch");
	assert_null(verdict(server, client, S("192.0.2.1")));
	assert_string_equal(verdict(server, client, S("192.0.2.2")), "IP address mismatch");
	assert_string_equal(verdict(server, client, S("")), "no name to verify");
	tls_close(&server);
	tls_close(&client);
}

static void
who_must_verify_stops(void **state)
{
	struct tls *server = server_terms(1, (struct tls_settings){ 0 }),
		   *trusting = client_terms(all_trust()), *alone = client_terms(S(""));
	struct pair p;

	(void)state;
	pair_secure(&p, server, trusting, S("one.example"), true);
	assert_both_secure(&p);
	pair_close(&p);
	pair_secure(&p, server, trusting, S("three.example"), true);
	assert_int_equal(p.client_step, STREAM_FAILED);
	assert_string_equal(p.client_err.text,
		"TLS: the certificate is not good for this host: hostname mismatch");
	assert_int_equal(p.server_step, STREAM_FAILED);
	pair_close(&p);
	pair_secure(&p, server, alone, S("one.example"), true);
	assert_string_equal(p.client_err.text,
		"TLS: the certificate is not good for this host: self-signed certificate");
	pair_close(&p);
	assert_string_equal(verdict(server, alone, S("one.example")), "self-signed certificate");
	tls_close(&server);
	tls_close(&trusting);
	tls_close(&alone);
}

/* ── clients of other makes: OpenSSL's own functions on the client's end ── */

struct wish {
	const char *name, *schemes;
	const unsigned char *alpn;
	unsigned alpn_n;
	int version;
	SSL_SESSION *session;
};

struct other {
	SSL_CTX *context;
	SSL *ssl;
	struct pair pair;
	int step; /* of SSL_get_error */
};

static void
other_open(struct other *o, struct tls *server, const struct wish *w)
{
	struct err e;

	o->context = SSL_CTX_new(TLS_client_method());
	if (w->version)
		SSL_CTX_set_max_proto_version(o->context, w->version);
	if (w->schemes)
		assert_int_equal(
			SSL_CTX_set1_sigalgs_list(o->context, (char *)(uintptr_t)w->schemes), 1);
	o->ssl = SSL_new(o->context);
	if (w->alpn)
		assert_int_equal(SSL_set_alpn_protos(o->ssl, w->alpn, w->alpn_n), 0);
	if (w->name)
		SSL_set_tlsext_host_name(o->ssl, (char *)(uintptr_t)w->name);
	if (w->session)
		SSL_set_session(o->ssl, w->session);
	pair_open(&o->pair);
	assert_true(stream_secure_server(&o->pair.server, server, &e));
	SSL_set_fd(o->ssl, o->pair.client.fd);
	SSL_set_connect_state(o->ssl);
	o->pair.client_step = STREAM_DONE;
	o->step = SSL_ERROR_WANT_READ;
}

static void
other_shake(struct other *o)
{
	for (int i = 0; i < 20; i++) {
		int n = SSL_do_handshake(o->ssl);

		o->step = n == 1 ? SSL_ERROR_NONE : SSL_get_error(o->ssl, n);
		if (o->step == SSL_ERROR_SSL || o->step == SSL_ERROR_SYSCALL)
			shutdown(o->pair.client.fd, SHUT_WR);
		pair_turn(&o->pair);
	}
}

static void
other_close(struct other *o)
{
	SSL_free(o->ssl);
	SSL_CTX_free(o->context);
	pair_close(&o->pair);
}

static void
both_kinds_of_keys_sign_in_both_versions(void **state)
{
	static const struct {
		int version;
		const char *schemes;
		uint64_t key;
		uint16_t scheme;
	} cases[] = {
		{ TLS1_3_VERSION, NULL, 0, 0x0403 },
		{ TLS1_3_VERSION, "rsa_pss_rsae_sha256", 2, 0x0804 },
		{ TLS1_3_VERSION, "rsa_pss_rsae_sha512", 2, 0x0806 },
		{ TLS1_2_VERSION, NULL, 0, 0x0403 },
		{ TLS1_2_VERSION, "rsa_pss_rsae_sha384", 2, 0x0805 },
		{ TLS1_2_VERSION, "rsa_pkcs1_sha256", 2, 0x0401 },
	};
	struct tls *server = server_terms(3, (struct tls_settings){ 0 });

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct stream_facts facts;
		struct other o;

		other_open(&o, server,
			&(struct wish){ .name = "one.example",
				.version = cases[i].version,
				.schemes = cases[i].schemes });
		other_shake(&o);
		assert_int_equal(o.step, SSL_ERROR_NONE);
		assert_both_secure(&o.pair);
		assert_int_equal(o.pair.signed_what.key, cases[i].key);
		assert_int_equal(o.pair.signed_what.scheme, cases[i].scheme);
		assert_true(o.pair.signed_what.content.n >= 100); /* no digest */
		stream_facts(&o.pair.server, &facts);
		assert_string_equal(
			facts.version, cases[i].version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
		assert_str(facts.server_name, S("one.example"));
		other_close(&o);
	}
	tls_close(&server);
}

static void
only_smtp_is_spoken(void **state)
{
	static const struct {
		const char *alpn;
		unsigned n;
		bool good;
	} cases[] = { { "\4smtp", 5, true }, { "\2h2\4smtp", 8, true },
		{ "\2h2\10http/1.1", 12, false } };
	struct tls *server = server_terms(1, (struct tls_settings){ .is_smtp = true });

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const unsigned char *chosen;
		unsigned n;
		struct other o;

		other_open(&o, server,
			&(struct wish){ .alpn = (const unsigned char *)cases[i].alpn,
				.alpn_n = cases[i].n });
		other_shake(&o);
		assert_int_equal(o.step, cases[i].good ? SSL_ERROR_NONE : SSL_ERROR_SSL);
		assert_int_equal(o.pair.server_step, cases[i].good ? STREAM_DONE : STREAM_FAILED);
		SSL_get0_alpn_selected(o.ssl, &chosen, &n);
		if (cases[i].good)
			assert_str(((struct str){ (const char *)chosen, n }), S("smtp"));
		other_close(&o);
	}
	tls_close(&server);
}

static void
old_versions_are_refused(void **state)
{
	struct tls *server = server_terms(1, (struct tls_settings){ 0 });
	struct other o;

	(void)state;
	other_open(&o, server, &(struct wish){ .version = TLS1_1_VERSION });
	SSL_set_security_level(o.ssl, 0);
	other_shake(&o);
	assert_int_equal(o.pair.server_step, STREAM_FAILED);
	assert_string_equal(o.pair.server_err.text, "TLS: unsupported protocol");
	other_close(&o);
	tls_close(&server);
}

/* The session that a first connection leaves behind, or NULL. */
static SSL_SESSION *
session_of(struct tls *server, int version)
{
	SSL_SESSION *session;
	struct other o;
	char room[100];
	int n;

	other_open(&o, server, &(struct wish){ .name = "one.example", .version = version });
	other_shake(&o);
	assert_both_secure(&o.pair);
	n = SSL_read(o.ssl, room, sizeof room); /* what comes behind the handshake */
	assert_int_equal(SSL_get_error(o.ssl, n), SSL_ERROR_WANT_READ);
	session = SSL_get1_session(o.ssl);
	SSL_shutdown(o.ssl); /* else the session counts as broken */
	other_close(&o);
	if (SSL_SESSION_is_resumable(session))
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

static bool
is_resumed(struct tls *server, SSL_SESSION *session, int version)
{
	struct stream_facts facts;
	struct other o;

	other_open(&o, server,
		&(struct wish){ .name = "one.example", .version = version, .session = session });
	other_shake(&o);
	assert_both_secure(&o.pair);
	stream_facts(&o.pair.server, &facts);
	assert_int_equal(o.pair.signatures, facts.was_resumed ? 0 : 1);
	assert_true(facts.was_resumed == SSL_session_reused(o.ssl));
	SSL_shutdown(o.ssl);
	other_close(&o);
	return facts.was_resumed;
}

static void
tickets_resume_sessions(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct tls *server = server_terms(3, (struct tls_settings){ 0 }),
		   *other = server_terms(3, (struct tls_settings){ 0 }),
		   *without = server_terms(3, (struct tls_settings){ .has_no_tickets = true });

	(void)state;
	for (int i = 0; i < 2; i++) {
		SSL_SESSION *session = session_of(server, versions[i]);

		assert_non_null(session);
		assert_true(is_resumed(server, session, versions[i]));
		assert_false(is_resumed(other, session, versions[i])); /* another's keys */
		SSL_SESSION_free(session);
		assert_null(session_of(without, versions[i]));
	}
	tls_close(&server);
	tls_close(&other);
	tls_close(&without);
}

/* ── what goes wrong ── */

static void
no_signature_no_session(void **state)
{
	struct tls *server = server_terms(1, (struct tls_settings){ 0 }),
		   *client = client_terms(S(""));
	struct pair p;
	struct err e;

	(void)state;
	pair_open(&p);
	assert_true(stream_secure_server(&p.server, server, &e) &&
		    stream_secure_client(&p.client, client, S("one.example"), false, &e));
	assert_int_equal(stream_shake(&p.client, &e), STREAM_WANT_READ);
	assert_int_equal(stream_shake(&p.server, &e), STREAM_WANT_SIGNATURE);
	stream_signed(&p.server, S(""));
	assert_int_equal(stream_shake(&p.server, &e), STREAM_FAILED);
	assert_int_equal(stream_shake(&p.client, &e), STREAM_FAILED);
	pair_close(&p);
	tls_close(&server);
	tls_close(&client);
}

enum { SIGNING_MAX = 512 };

static enum stream_step
begin(struct pair *p, struct tls *server, struct tls *client)
{
	struct err e;

	pair_open(p);
	assert_true(stream_secure_server(&p->server, server, &e) &&
		    stream_secure_client(&p->client, client, S("one.example"), false, &e));
	assert_int_equal(stream_shake(&p->client, &e), STREAM_WANT_READ);
	return stream_shake(&p->server, &e);
}

static void
signatures_under_way_are_bounded(void **state)
{
	static struct pair pairs[SIGNING_MAX];
	struct tls *server = server_terms(1, (struct tls_settings){ 0 }),
		   *client = client_terms(S(""));
	struct pair late;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < SIGNING_MAX; i++)
			assert_int_equal(begin(&pairs[i], server, client), STREAM_WANT_SIGNATURE);
		assert_int_equal(begin(&late, server, client), STREAM_WANT_TIME);
		pair_close(&pairs[7]); /* in the middle: its place is free again */
		pair_shake(&late);
		assert_both_secure(&late);
		pair_close(&late);
		for (int i = 0; i < SIGNING_MAX; i++)
			pair_close(&pairs[i]);
	}
	tls_close(&server);
	tls_close(&client);
}

static void
what_is_no_tls_is_said_so(void **state)
{
	const char *too_long = OpenSSL_version_num() < 0x30200000 ? "TLS: packet length too long"
								  : "TLS: data length too long";
	const struct {
		struct str octets;
		const char *why;
	} cases[] = {
		{ S("EHLO client.example\r\n"), "TLS: wrong version number" },
		{ S("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "TLS: http request" },
		{ S("\x16\x03\x01\x48\x01"), too_long },
		{ S("\x16\x03\x01\x00\x04\x01\x00"),
			"the connection was closed in the TLS handshake" },
		{ S(""), "the connection was closed in the TLS handshake" },
	};
	struct tls *server = server_terms(1, (struct tls_settings){ 0 });

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct pair p;
		struct err e;

		pair_open(&p);
		assert_true(stream_secure_server(&p.server, server, &e));
		if (cases[i].octets.n)
			stream_write(&p.client, cases[i].octets);
		shutdown(p.client.fd, SHUT_WR);
		assert_int_equal(stream_shake(&p.server, &e), STREAM_FAILED);
		assert_string_equal(e.text, cases[i].why);
		pair_close(&p);
	}
	tls_close(&server);
}

/* What a client says first, in octets. */
static size_t
hello(struct tls *client, char *to, size_t room)
{
	struct pair p;
	struct err e;
	ssize_t n;

	pair_open(&p);
	assert_true(stream_secure_client(&p.client, client, S("one.example"), false, &e));
	stream_shake(&p.client, &e);
	n = recv(p.server.fd, to, room, 0);
	assert_true(n > 100);
	pair_close(&p);
	return (size_t)n;
}

static void
try_hello(struct tls *server, const char *octets, size_t n)
{
	struct pair p;
	struct err e;

	pair_open(&p);
	assert_true(stream_secure_server(&p.server, server, &e));
	stream_write(&p.client, (struct str){ octets, n });
	shutdown(p.client.fd, SHUT_WR);
	for (int i = 0; i < 5 && !is_over(p.server_step); i++) {
		p.server_step = stream_shake(&p.server, &p.server_err);
		if (p.server_step == STREAM_WANT_SIGNATURE)
			sign(&p.server);
	}
	assert_int_equal(p.server_step, STREAM_FAILED);
	assert_true(p.server_err.text[0]);
	pair_close(&p);
}

static void
no_cut_or_broken_hello_passes(void **state)
{
	struct tls *server = server_terms(3, (struct tls_settings){ .is_smtp = true }),
		   *client = client_terms(S(""));
	char octets[2048];
	size_t n = hello(client, octets, sizeof octets);

	(void)state;
	for (size_t cut = 0; cut <= n; cut++)
		try_hello(server, octets, cut);
	for (size_t i = 0; i < n; i++) {
		octets[i] = (char)(octets[i] ^ 0xff);
		try_hello(server, octets, n);
		octets[i] = (char)(octets[i] ^ 0xff);
	}
	tls_close(&server);
	tls_close(&client);
}

static void
no_cut_certificates_pass(void **state)
{
	const struct tls_settings settings = { 0 };
	struct buf one_pair = { .max = PEM_MAX };
	struct err e;
	size_t whole;

	(void)state;
	assert_true(tls_add_certificates(&one_pair, 0, buf_str(&one.pem), &e));
	whole = one_pair.n;
	buf_free(&one_pair);
	for (size_t cut = 0; cut <= whole + 20; cut++) {
		int fd = certificates_fd(2, cut);
		struct tls *t = tls_server_open(fd, &settings, &e);

		close(fd);
		assert_true((t != NULL) == (cut == whole));
		if (t)
			tls_close(&t);
	}
	assert_false(
		tls_add_certificates(&one_pair, 0, S("-----BEGIN CERTIFICATE-----\nAAAA"), &e));
	assert_string_equal(e.text, "no certificate in it (want PEM: -----BEGIN CERTIFICATE-----)");
	assert_null(tls_client_open(S("nothing"), &e));
}

static void
much_travels_in_parts(void **state)
{
	enum { MUCH = 1 << 20 };
	struct tls *server = server_terms(1, (struct tls_settings){ 0 }),
		   *client = client_terms(S(""));
	char *octets = malloc(MUCH), room[STREAM_RECORD];
	size_t sent = 0, came = 0;
	bool was_full = false;
	struct pair p;

	(void)state;
	assert_non_null(octets);
	for (size_t i = 0; i < MUCH; i++)
		octets[i] = (char)(i * 2654435761u >> 16);
	pair_secure(&p, server, client, S("one.example"), false);
	assert_both_secure(&p);
	while (came < MUCH) {
		ssize_t n = 1;

		for (; sent < MUCH && n > 0; sent += n > 0 ? (size_t)n : 0)
			n = stream_write(&p.server, (struct str){ octets + sent, MUCH - sent });
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			assert_int_equal(stream_wants(&p.server), LOOP_WRITE);
			was_full = true;
		}
		while ((n = stream_read(&p.client, room, sizeof room)) > 0) {
			assert_memory_equal(room, octets + came, (size_t)n);
			came += (size_t)n;
		}
		assert_int_equal(errno, EAGAIN);
	}
	assert_true(was_full);
	free(octets);
	pair_close(&p);
	tls_close(&server);
	tls_close(&client);
}

static void
terms_outlive_their_owner_in_streams(void **state)
{
	struct tls *server = server_terms(1, (struct tls_settings){ 0 }),
		   *client = client_terms(S(""));
	char room[STREAM_RECORD];
	struct pair p;
	struct err e;

	(void)state;
	pair_open(&p);
	assert_true(stream_secure_server(&p.server, server, &e) &&
		    stream_secure_client(&p.client, client, S("one.example"), false, &e));
	tls_close(&server);
	tls_close(&client);
	pair_shake(&p);
	assert_both_secure(&p);
	shutdown(p.client.fd, SHUT_WR); /* without close_notify */
	assert_int_equal(stream_read(&p.server, room, sizeof room), 0);
	pair_close(&p);
}

/* A client of our own making, since streams say nothing of themselves behind the handshake. */
static SSL *
foreign_client(struct pair *p, SSL_CTX *context, struct tls *server)
{
	SSL *ssl = SSL_new(context);
	struct err e;

	pair_open(p);
	p->client_step = STREAM_DONE;
	assert_true(stream_secure_server(&p->server, server, &e));
	assert_true(SSL_set_fd(ssl, p->client.fd) == 1);
	SSL_set_connect_state(ssl);
	for (int i = 0; i < 20 && p->server_step != STREAM_DONE; i++) {
		SSL_do_handshake(ssl);
		pair_turn(p);
	}
	assert_int_equal(p->server_step, STREAM_DONE);
	return ssl;
}

static void
say_key_updates(SSL *ssl, unsigned n)
{
	for (; n; n--) {
		assert_true(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
		assert_true(SSL_do_handshake(ssl) == 1);
	}
}

/* New keys are work for us and a few octets for the client (RFC 8446 §4.6.3). */
static void
who_only_changes_keys_is_closed(void **state)
{
	struct tls *server = server_terms(1, (struct tls_settings){ 0 });
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	static char octets[STREAM_RECORD], room[STREAM_RECORD];
	struct pair p;
	SSL *ssl = foreign_client(&p, context, server);

	(void)state;
	for (int i = 0; i < 10; i++) { /* as many as there is data for */
		say_key_updates(ssl, i == 0 ? 30 : 1);
		assert_int_equal(stream_read(&p.server, room, sizeof room), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(SSL_write(ssl, octets, sizeof octets), sizeof octets);
		assert_int_equal(stream_read(&p.server, room, sizeof room), sizeof octets);
	}
	say_key_updates(ssl, 3);
	assert_int_equal(SSL_write(ssl, "NOOP", 4), 4);
	assert_int_equal(
		stream_read(&p.server, room, sizeof room), 4); /* in one call behind them */
	say_key_updates(ssl, 40);
	assert_int_equal(SSL_write(ssl, "NOOP", 4), 4);
	assert_int_equal(stream_read(&p.server, room, sizeof room), -1);
	assert_int_equal(errno, EPROTO);
	SSL_free(ssl);
	SSL_CTX_free(context);
	pair_close(&p);
	tls_close(&server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(octets_travel_both_ways),
		cmocka_unit_test(the_name_chooses_the_certificate),
		cmocka_unit_test(who_must_verify_stops),
		cmocka_unit_test(both_kinds_of_keys_sign_in_both_versions),
		cmocka_unit_test(only_smtp_is_spoken),
		cmocka_unit_test(old_versions_are_refused),
		cmocka_unit_test(tickets_resume_sessions),
		cmocka_unit_test(no_signature_no_session),
		cmocka_unit_test(signatures_under_way_are_bounded),
		cmocka_unit_test(what_is_no_tls_is_said_so),
		cmocka_unit_test(no_cut_or_broken_hello_passes),
		cmocka_unit_test(no_cut_certificates_pass),
		cmocka_unit_test(much_travels_in_parts),
		cmocka_unit_test(terms_outlive_their_owner_in_streams),
		cmocka_unit_test(who_only_changes_keys_is_closed),
	};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	one = identity_make(
		EVP_EC_gen("P-256"), "one", "DNS:one.example,DNS:*.wild.example,IP:192.0.2.1");
	two = identity_make(EVP_EC_gen("P-384"), "two", "DNS:two.example");
	old = identity_make(EVP_RSA_gen(2048), "old", "DNS:one.example");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	for (unsigned i = 0; i < 3; i++) {
		EVP_PKEY_free(identities[i]->key);
		buf_free(&identities[i]->pem);
	}
	return failed;
}
