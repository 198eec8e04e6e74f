/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/must.h"
#include "base/str.h"

/*
 * Very many entries of one size, each named by 32 bits: half of what a pointer costs, and no
 * allocator's header. They lie in chunks, so an entry never moves while it lives. 0 names none.
 * Set `entry` (octets, at least 4) before the first use.
 */
enum { POOL_CHUNK_BITS = 12, POOL_CHUNK = 1 << POOL_CHUNK_BITS }; /* entries */

struct pool {
	size_t entry;
	char **chunks;
	uint32_t chunks_n, used; /* all that was ever given out: names are 1 … used */
	uint32_t free;		 /* head of those that were given back */
	uint32_t live;
};

uint32_t pool_take(struct pool *p); /* zeroed */
void pool_give(struct pool *p, uint32_t name);
void pool_free(struct pool *p);

/* Must be a name that was taken. Here, since whoever looks at a million entries calls it several times for each. */
static inline void *
pool_at(const struct pool *p, uint32_t name)
{
	must(name && name <= p->used);
	return p->chunks[(name - 1) >> POOL_CHUNK_BITS] +
	       ((name - 1) & (POOL_CHUNK - 1)) * p->entry;
}

#endif
