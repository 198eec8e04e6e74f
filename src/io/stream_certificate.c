/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stream_core.h"

/* Apart from stream.c, which libposthouse has, since it reads certificates by tls_file.c, which that has not. */

bool
stream_certificate(const struct stream *s, struct tls_facts *facts)
{
	X509 *leaf = stream_is_secure(s) ? SSL_get0_peer_certificate(s->tls->ssl) : NULL;

	if (!leaf)
		return false;
	tls_read_facts(leaf, facts);
	return true;
}
