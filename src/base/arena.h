/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/memory.h"
#include "base/str.h"

/*
 * Memory for one lifetime (a transaction, an attempt): parts are never freed alone. `max` (octets)
 * caps the sum and is set before the first use; beyond it arena_take returns NULL, which the caller
 * turns into an ordinary error.
 */
struct arena {
	struct arena_chunk *chunks;
	size_t used, max;
	const struct memory *memory; /* NULL: the C library's; outlives the arena */
};

void *arena_take(struct arena *a, size_t n); /* zeroed, aligned for any type; NULL over the cap */
bool arena_dup(struct arena *a, struct str s, struct str *copy);
char *arena_text(struct arena *a, struct str s); /* a copy that ends in NUL; NULL over the cap */
void arena_free(struct arena *a); /* all of it; the arena is empty and usable again */

#endif
