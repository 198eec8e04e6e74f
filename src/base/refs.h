/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_REFS_H
#define BASE_REFS_H

#include "base/str.h"

/*
 * Entries of a pool by key: as map.h, but four octets a slot. The key lies in (or behind) the entry, where
 * key_of finds it in `of`, and must not change while the entry is in the table. Hashing is keyed
 * with random bits. Set key_of and `of` before the first use.
 */
struct refs {
	uint32_t *slots;
	size_t used, capacity;
	struct str (*key_of)(const void *of, uint32_t name);
	const void *of;
	uint64_t secret[2];
};

uint32_t refs_get(const struct refs *r, struct str key); /* 0: not there */
void refs_put(struct refs *r, uint32_t name);		 /* its key must not be there yet */
uint32_t refs_remove(struct refs *r, struct str key);	 /* 0: was not there */
void refs_free(struct refs *r);				 /* the table, not the entries */

#endif
