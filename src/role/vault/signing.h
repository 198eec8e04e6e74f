/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_SIGNING_H
#define ROLE_VAULT_SIGNING_H

#include "base/str.h"

/*
 * What a TLS key may be used for. Whoever has taken over a receiver can ask for signatures; this is the whole of
 * what he gets: signatures of handshakes as a server. Not of a digest, which could stand for anything, nor of a
 * client's CertificateVerify, a certificate, a DKIM header.
 */

enum signing_key { SIGNING_P256, SIGNING_P384, SIGNING_P521, SIGNING_RSA };

/* How a scheme of RFC 8446 §4.2.3 signs. */
struct signing_scheme {
	const char *digest; /* OpenSSL's name */
	bool is_pss;
};

/* NULL: not for this key, or the content is no handshake's in which it is allowed. Pure. */
const struct signing_scheme *signing_check(
	enum signing_key key, uint16_t scheme, struct str content);

#endif
