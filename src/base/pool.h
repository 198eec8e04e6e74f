/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/str.h"

/*
 * Very many entries of one size, each named by 32 bits: half of what a pointer costs, and no
 * allocator's header. They lie in chunks, so an entry never moves while it lives. 0 names none.
 * Set `entry` (octets, at least 4) before the first use.
 */
struct pool {
	size_t entry;
	char **chunks;
	uint32_t chunks_n, used; /* all that was ever given out: names are 1 … used */
	uint32_t free;		 /* head of those that were given back */
	uint32_t live;
};

uint32_t pool_take(struct pool *p); /* zeroed */
void pool_give(struct pool *p, uint32_t name);
void *pool_at(const struct pool *p, uint32_t name); /* must be a name that was taken */
void pool_free(struct pool *p);

#endif
