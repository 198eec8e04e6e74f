/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/buf.h"
#include "base/str.h"

/* Addresses of the Internet as octets in network order: the one reader and the one printer of their text. What they are to a socket
 * (AF_INET, sockaddr) is the caller's affair: the pure folders know of none. */

enum ip_family { IP_V4 = 4, IP_V6 = 6 };

enum { IP_TEXT = 46 }; /* room for any address as text, and a NUL */

/* All of text: "192.0.2.1", four decimal numbers without zeros in front (which some read as octal), into the first four octets; or
 * "2001:db8::1", "::ffff:192.0.2.1" (RFC 4291 §2.2). Octets that are not used become zero. False: it is neither, and nothing changes. */
bool ip_read(struct str text, enum ip_family *family, unsigned char octets[16]);

/* IPv6 in the form of RFC 5952. */
void ip_add(struct buf *to, enum ip_family family, const unsigned char *octets);

/* 127.0.0.0/8 (RFC 1122 §3.2.1.3), ::1 (RFC 4291 §2.5.3), and the former mapped into IPv6: only this machine speaks from there. */
bool ip_is_loopback(enum ip_family family, const unsigned char *octets);

/* ::ffff:0:0/96: an IPv4 address, the last four octets, as an IPv6 socket shows it (RFC 4291 §2.5.5.2). */
bool ip_is_mapped(const unsigned char octets[16]);

#endif
