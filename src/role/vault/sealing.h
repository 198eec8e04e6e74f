/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_SEALING_H
#define ROLE_VAULT_SEALING_H

#include "base/str.h"

/*
 * What a TLS key may be used for. Whoever has taken over a receiver can ask for signatures; this is the whole of
 * what he gets: signatures of handshakes as a server. Not of a digest, which could stand for anything, nor of a
 * client's CertificateVerify, a certificate, a DKIM header.
 */

enum sealing_key { SEALING_P256, SEALING_P384, SEALING_P521, SEALING_RSA };

/* How a scheme of RFC 8446 §4.2.3 signs. */
struct sealing_scheme {
	const char *digest; /* OpenSSL's name */
	bool is_pss;
};

/* NULL: not for this key, or the content is no handshake's in which it is allowed. Pure. */
const struct sealing_scheme *sealing_check(
	enum sealing_key key, uint16_t scheme, struct str content);

#endif
