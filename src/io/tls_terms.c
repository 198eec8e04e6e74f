/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls_core.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

/* What terms of either side have in common. */

bool
tls_fail(struct err *e, enum err_kind kind, const char *what)
{
	unsigned long first = ERR_get_error();
	const char *reason = first ? ERR_reason_error_string(first) : NULL;

	ERR_clear_error();
	return err_set(
		e, ERR_TEMPORARY, kind, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

SSL_CTX *
tls_context_new(OSSL_LIB_CTX *library, const SSL_METHOD *method)
{
	SSL_CTX *c = SSL_CTX_new_ex(library, TLS_PROPERTIES, method);

	if (!c || SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(c);
		return NULL;
	}
	SSL_CTX_set_options(
		c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	return c;
}

/* ── the socket below ── */

/* OpenSSL's own writes with write(2), which raises SIGPIPE where the other end is gone. A library has no business with signals. */

static int
socket_done(BIO *b, ssize_t n, int retry)
{
	BIO_clear_retry_flags(b);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_flags(b, retry | BIO_FLAGS_SHOULD_RETRY);
	return (int)n;
}

static int
socket_write(BIO *b, const char *octets, int n)
{
	errno = 0;
	return socket_done(b, send((int)(intptr_t)BIO_get_data(b), octets, (size_t)n, MSG_NOSIGNAL),
		BIO_FLAGS_WRITE);
}

static int
socket_read(BIO *b, char *to, int room)
{
	ssize_t n;

	errno = 0;
	n = recv((int)(intptr_t)BIO_get_data(b), to, (size_t)room, 0);
	if (n == 0)
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
	return socket_done(b, n, BIO_FLAGS_READ);
}

static long
socket_control(BIO *b, int what, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	if (what == BIO_CTRL_EOF)
		return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
	return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *
socket_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket without SIGPIPE");

	if (m && BIO_meth_set_write(m, socket_write) == 1 &&
		BIO_meth_set_read(m, socket_read) == 1 && BIO_meth_set_ctrl(m, socket_control) == 1)
		return m;
	BIO_meth_free(m);
	return NULL;
}

bool
tls_set_socket(const struct tls *t, SSL *ssl, int fd)
{
	BIO *b = BIO_new(t->socket);

	if (!b)
		return false;
	BIO_set_data(b, (void *)(intptr_t)fd);
	BIO_set_init(b, 1);
	SSL_set_bio(ssl, b, b);
	return true;
}

/* ── terms ── */

bool
tls_begin(struct tls *t)
{
	ERR_clear_error();
	t->users = 1;
	t->socket = socket_method();
	return t->socket != NULL;
}

struct tls *
tls_keep(struct tls *t)
{
	t->users++;
	return t;
}

void
tls_close(struct tls **terms)
{
	struct tls *t = *terms;

	*terms = NULL;
	if (!t || --t->users)
		return;
	if (t->free_rest)
		t->free_rest(t);
	SSL_CTX_free(t->context);
	BIO_meth_free(t->socket);
	OSSL_LIB_CTX_free(t->library);
	free(t);
}
