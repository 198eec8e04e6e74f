/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

/*
 * Members by key. The key lies inside the member, where key_of finds it, and must not change while
 * the member is in the map. Hashing is keyed with random bits, so strangers cannot choose colliding
 * names. Set key_of before the first use.
 */
struct map {
	struct map_slot *slots;
	size_t used, capacity;
	struct str (*key_of)(const void *member);
	uint64_t secret[2];
};

void *map_get(const struct map *m, struct str key); /* NULL when it is not there */
void map_put(struct map *m, void *member);	    /* must not be there yet */
void *map_remove(struct map *m, struct str key);    /* the member, or NULL */
void map_free(struct map *m);			    /* the table, not the members */

/* All members, in no order: for (size_t i = 0; (x = map_next(m, &i)); ). Nothing may be put or
 * removed meanwhile. */
void *map_next(const struct map *m, size_t *at);

#endif
