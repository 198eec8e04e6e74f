/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/str.h"

/* CRC-32C (Castagnoli, as in RFC 3720 §B.4) of s, going on from `crc` (0 to begin). */
uint32_t hash_crc32c(uint32_t crc, struct str s);

/* SipHash-2-4 of s under a secret of 128 bits: for tables whose keys strangers choose. */
uint64_t hash_sip(const uint64_t secret[2], struct str s);

/* n octets nobody can guess, from the kernel. */
void hash_random(void *to, size_t n);

#endif
