/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stream_core.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ip.h"
#include "base/must.h"
#include "io/loop.h"

/*
 *   in clear ── stream_secure_* ──▶ shaking ── STREAM_DONE ──▶ secure
 *                                     │  ▲                        │
 *              STREAM_WANT_SIGNATURE  ▼  │ stream_signed          │
 *                                   paused                        │
 *                                     └───────▶ broken ◀──────────┘
 */

/* Behind the handshake a peer may send messages of TLS itself (KeyUpdate, RFC 8446 §4.6.3; tickets; before TLS 1.3 a
 * wish to shake hands again), which are work for us and free for it: so many, and one more for each record's worth of
 * data. */
enum { CHATTER_MAX = 32 };

void
stream_open(struct stream *s, int fd)
{
	*s = (struct stream){ .fd = fd };
}

/* Runs the handshake as far as it goes. */
static int
shake(struct stream_tls *t)
{
	int n;

	ERR_clear_error();
	n = t->handshake(t);
	return n == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, n);
}

void
stream_close(struct stream *s)
{
	struct stream_tls *t = s->tls;

	if (t) {
		if (t->signing)
			shake(t); /* refused: the job ends */
		ERR_clear_error();
		if (t->state == SECURE)
			SSL_shutdown(t->ssl);
		ERR_clear_error();
		SSL_free(t->ssl);
		tls_close(&t->terms);
		free(t);
	}
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct stream){ .fd = -1 };
}

/* ── the handshake ── */

static int
handshake(struct stream_tls *t)
{
	return SSL_do_handshake(t->ssl);
}

bool
stream_secure(struct stream *s, struct tls *terms, struct err *e)
{
	struct stream_tls *t = calloc(1, sizeof *t);

	must(!s->tls);
	if (!t)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "no memory for TLS");
	ERR_clear_error();
	t->ssl = SSL_new(terms->context);
	if (!t->ssl || !tls_set_socket(terms, t->ssl, s->fd)) {
		SSL_free(t->ssl);
		free(t);
		return tls_fail(e, ERR_LOCAL, "TLS");
	}
	t->handshake = handshake;
	t->terms = tls_keep(terms);
	s->tls = t;
	return true;
}

/* Opportunistic TLS takes every key and cipher that hides the mail from a listener on the way; where the
 * certificate counts, weak ones do not. */
enum { SECURITY_ANY = 0, SECURITY_GOOD = 2 };

bool
stream_secure_client(
	struct stream *s, struct tls *terms, struct str name, bool must_verify, struct err *e)
{
	unsigned char octets[16];
	enum ip_family family;
	char host[256];
	bool good;
	SSL *ssl;

	if (!stream_secure(s, terms, e))
		return false;
	ssl = s->tls->ssl;
	SSL_set_connect_state(ssl);
	SSL_set_security_level(ssl, must_verify ? SECURITY_GOOD : SECURITY_ANY);
	SSL_set_verify(ssl, must_verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	snprintf(host, sizeof host, "%.*s", STR_ARG(name));
	s->tls->is_named = name.n && name.n < sizeof host;
	if (!s->tls->is_named)
		return !must_verify ||
		       err_set(e, ERR_PERMANENT, ERR_LOCAL, "TLS: no name to verify");
	if (ip_read(name, &family, octets)) {
		good = X509_VERIFY_PARAM_set1_ip(
			       SSL_get0_param(ssl), octets, family == IP_V4 ? 4 : 16) == 1;
	} else {
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		good = SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
	}
	return good || tls_fail(e, ERR_LOCAL, "TLS");
}

void
stream_only_version(struct stream *s, enum stream_version version)
{
	int number = version == STREAM_TLS_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;

	must(s->tls->state == SHAKING);
	must(SSL_set_min_proto_version(s->tls->ssl, number) == 1 &&
		SSL_set_max_proto_version(s->tls->ssl, number) == 1);
}

/* OpenSSL's reason, and which end gave it. */
static void
say_why(struct stream_tls *t, int error, int cause, struct err *e)
{
	long verdict = SSL_get_verify_result(t->ssl);
	int reason = ERR_GET_REASON(ERR_peek_error());

	t->met_no_tls = error == SSL_ERROR_SSL && reason == SSL_R_WRONG_VERSION_NUMBER;
	if (error == SSL_ERROR_SYSCALL && cause)
		err_set(e, ERR_TEMPORARY, ERR_CONNECTION_LOST,
			"the connection was lost in the TLS handshake: %s", strerror(cause));
	else if (error == SSL_ERROR_SYSCALL || error == SSL_ERROR_ZERO_RETURN)
		err_set(e, ERR_TEMPORARY, ERR_CONNECTION_LOST,
			"the connection was closed in the TLS handshake");
	else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		err_set(e, ERR_TEMPORARY, ERR_PROTOCOL,
			"TLS: the certificate is not good for this host: %s",
			X509_verify_cert_error_string(verdict));
	else
		tls_fail(e, ERR_PROTOCOL, "TLS");
	ERR_clear_error();
}

static void
count_chatter(int is_ours, int version, int type, const void *octets, size_t n, SSL *ssl, void *tls)
{
	struct stream_tls *t = tls;

	(void)version, (void)octets, (void)n, (void)ssl;
	t->chatter += !is_ours && type == SSL3_RT_HANDSHAKE;
}

static void
shaken(struct stream_tls *t)
{
	SSL_clear_mode(
		t->ssl, SSL_MODE_ASYNC); /* only handshakes pause, and each call would cost a job */
	SSL_clear_mode(t->ssl, SSL_MODE_AUTO_RETRY); /* else a flood of chatter never comes back */
	SSL_set_msg_callback(t->ssl, count_chatter);
	SSL_set_msg_callback_arg(t->ssl, t);
	t->state = SECURE;
}

enum stream_step
stream_shake(struct stream *s, struct err *e)
{
	struct stream_tls *t = s->tls;
	int error, cause;

	must(t);
	must(t->state == SHAKING);
	if (t->signing && !t->signing->is_signed)
		return STREAM_WANT_SIGNATURE;
	errno = 0;
	error = shake(t);
	cause = errno;
	switch (error) {
	case SSL_ERROR_NONE:
		shaken(t);
		return STREAM_DONE;
	case SSL_ERROR_WANT_READ:
		return STREAM_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return STREAM_WANT_WRITE;
	case SSL_ERROR_WANT_ASYNC:
		return STREAM_WANT_SIGNATURE;
	case SSL_ERROR_WANT_ASYNC_JOB:
		return STREAM_WANT_TIME;
	}
	say_why(t, error, cause, e);
	t->state = BROKEN;
	return STREAM_FAILED;
}

/* ── octets ── */

/* After a call of OpenSSL that did not succeed: what recv or send would have returned. */
static ssize_t
not_now(struct stream *s, int n, int cause)
{
	struct stream_tls *t = s->tls;

	switch (SSL_get_error(t->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		s->wants = LOOP_READ;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_WRITE:
		s->wants = LOOP_WRITE;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		errno = cause ? cause : ECONNRESET;
		break;
	default:
		errno = EPROTO;
	}
	cause = errno;
	ERR_clear_error();
	t->state = BROKEN;
	errno = cause;
	return -1;
}

static bool
chatters(const struct stream_tls *t)
{
	return t->chatter > CHATTER_MAX + t->octets / STREAM_RECORD;
}

static ssize_t
read_secure(struct stream *s, char *to, int room)
{
	struct stream_tls *t = s->tls;
	uint64_t before;
	int n;

	must(t->state != SHAKING);
	do { /* SSL_read comes back behind each message */
		before = t->chatter;
		ERR_clear_error();
		errno = 0;
		n = SSL_read(t->ssl, to, room);
	} while (n <= 0 && t->chatter != before && !chatters(t));
	if (n > 0) {
		t->octets += (uint64_t)n;
		return n;
	}
	if (!chatters(t))
		return not_now(s, n, errno);
	t->state = BROKEN;
	errno = EPROTO;
	return -1;
}

ssize_t
stream_read(struct stream *s, char *to, size_t room)
{
	ssize_t n;

	must(room >= STREAM_RECORD);
	if (s->tls)
		return read_secure(s, to, room > INT_MAX ? INT_MAX : (int)room);
	do
		n = recv(s->fd, to, room, 0);
	while (n < 0 && errno == EINTR);
	s->wants = LOOP_READ;
	return n;
}

ssize_t
stream_write(struct stream *s, struct str octets)
{
	ssize_t n;

	if (octets.n == 0)
		return 0;
	if (s->tls) {
		must(s->tls->state != SHAKING);
		ERR_clear_error();
		errno = 0;
		n = SSL_write(s->tls->ssl, octets.p, octets.n > INT_MAX ? INT_MAX : (int)octets.n);
		return n > 0 ? n : not_now(s, (int)n, errno);
	}
	do
		n = send(s->fd, octets.p, octets.n, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	s->wants = LOOP_WRITE;
	return n;
}

int
stream_wants(const struct stream *s)
{
	return s->wants;
}

/* ── facts ── */

bool
stream_met_no_tls(const struct stream *s)
{
	return s->tls && s->tls->met_no_tls;
}

bool
stream_is_secure(const struct stream *s)
{
	return s->tls && s->tls->state != SHAKING;
}

void
stream_facts(const struct stream *s, struct stream_facts *facts)
{
	const struct stream_tls *t = s->tls;
	long verdict;

	*facts = (struct stream_facts){ .unverified = "in clear" };
	if (!stream_is_secure(s))
		return;
	facts->version = SSL_get_version(t->ssl);
	facts->cipher = SSL_get_cipher_name(t->ssl);
	facts->bits = SSL_get_cipher_bits(t->ssl, NULL);
	facts->was_resumed = SSL_session_reused(t->ssl);
	if (SSL_is_server(t->ssl)) {
		facts->server_name = str_of(SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name));
		facts->unverified = "clients show no certificate";
		return;
	}
	verdict = SSL_get_verify_result(t->ssl);
	facts->is_verified = t->is_named && verdict == X509_V_OK;
	facts->unverified = facts->is_verified ? NULL
			    : t->is_named      ? X509_verify_cert_error_string(verdict)
					       : "no name to verify";
}

/* TLS 1.2 has an exporter that is safe only with extended master secrets, which not all have: there the certificate stands for the
 * session, by the hash that signed it, SHA-256 for the old ones (RFC 5929 §4.1). */
static size_t
bind_to_certificate(SSL *ssl, unsigned char octets[STREAM_BINDING_MAX])
{
	X509 *peer = SSL_get1_peer_certificate(ssl);
	const EVP_MD *hash = EVP_sha256();
	int nid = NID_undef;
	unsigned n = 0;

	if (peer && OBJ_find_sigid_algs(X509_get_signature_nid(peer), &nid, NULL) &&
		nid != NID_md5 && nid != NID_sha1 && EVP_get_digestbynid(nid))
		hash = EVP_get_digestbynid(nid);
	if (!peer || X509_digest(peer, hash, octets, &n) != 1)
		n = 0;
	X509_free(peer);
	return n;
}

size_t
stream_binding(const struct stream *s, const char **kind, unsigned char octets[STREAM_BINDING_MAX])
{
	static const char label[] = "EXPORTER-Channel-Binding";
	enum { EXPORTED = 32 };

	if (!stream_is_secure(s))
		return 0;
	if (SSL_version(s->tls->ssl) < TLS1_3_VERSION) {
		*kind = "tls-server-end-point";
		return bind_to_certificate(s->tls->ssl, octets);
	}
	*kind = "tls-exporter";
	return SSL_export_keying_material(s->tls->ssl, octets, EXPORTED, label, sizeof label - 1,
		       (const unsigned char *)"", 0, 1) == 1
		       ? EXPORTED
		       : 0;
}

void
stream_add_facts(struct buf *to, const struct stream *s)
{
	struct stream_facts f;

	stream_facts(s, &f);
	buf_addf(to, "%s, %s, %s%s", f.version, f.cipher,
		f.is_verified ? "verified" : "not verified: ", f.is_verified ? "" : f.unverified);
}
