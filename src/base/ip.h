/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/str.h"

/* Addresses of the Internet from text, where a folder may not know what a socket is. */

/* "192.0.2.1" at the head of in: four decimal numbers of at most three digits. */
bool ip_scan4(struct str *in, unsigned char octets[4]);

/* All of text is an address as in RFC 4291 §2.2: "2001:db8::1", "::ffff:192.0.2.1". */
bool ip_read6(struct str text, unsigned char to[16]);

#endif
