/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stream_core.h"

#include <openssl/err.h>

#include "base/must.h"

/*
 * A server's side of the handshake, which pauses where vault is to sign (STREAM_WANT_SIGNATURE). A paused handshake holds one of the
 * process's TLS_SIGNING_MAX jobs, which goes back to OpenSSL only by being run to its end: stream_close does that too.
 */

static int
handshake(struct stream_tls *t)
{
	int n;

	tls_key_shaking(&t->signing);
	n = SSL_do_handshake(t->ssl);
	tls_key_shaking(NULL);
	return n;
}

bool
stream_secure_server(struct stream *s, struct tls *terms, struct err *e)
{
	if (!stream_secure(s, terms, e))
		return false;
	s->tls->handshake = handshake;
	SSL_set_accept_state(s->tls->ssl);
	SSL_set_mode(s->tls->ssl, SSL_MODE_ASYNC);
	return true;
}

struct stream_to_sign
stream_to_sign(const struct stream *s)
{
	const struct tls_signing *t = s->tls->signing;

	must(t);
	return (struct stream_to_sign){ .key = t->key, .scheme = t->scheme, .content = t->content };
}

void
stream_signed(struct stream *s, struct str signature)
{
	struct tls_signing *t = s->tls->signing;

	must(t);
	must(!t->is_signed);
	t->is_signed = true;
	t->signature_n = signature.n <= sizeof t->signature ? signature.n : 0;
	if (t->signature_n)
		memcpy(t->signature, signature.p, t->signature_n);
}
