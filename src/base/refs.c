/* SPDX-License-Identifier: Apache-2.0 */
#include "base/refs.h"

#include "base/hash.h"
#include "base/must.h"

/* Open addressing as in map.c, without the hashes: they are made again when the table grows, which
 * is rare, and when an entry leaves, whose neighbours are few. */

static size_t
home_of(const struct refs *r, struct str key)
{
	return (size_t)hash_sip(r->secret, key) & (r->capacity - 1);
}

/* The slot of the entry with this key, or the free slot where it would be. */
static size_t
find(const struct refs *r, struct str key)
{
	size_t at = home_of(r, key);

	while (r->slots[at] && !str_eq(r->key_of(r->of, r->slots[at]), key))
		at = (at + 1) & (r->capacity - 1);
	return at;
}

static void
resize(struct refs *r, size_t capacity)
{
	uint32_t *old = r->slots;
	size_t old_capacity = r->capacity, at;

	r->slots = calloc(capacity, sizeof *r->slots);
	must(r->slots);
	r->capacity = capacity;
	for (size_t i = 0; i < old_capacity; i++) {
		if (!old[i])
			continue;
		at = home_of(r, r->key_of(r->of, old[i]));
		while (r->slots[at])
			at = (at + 1) & (capacity - 1);
		r->slots[at] = old[i];
	}
	free(old);
}

uint32_t
refs_get(const struct refs *r, struct str key)
{
	return r->capacity ? r->slots[find(r, key)] : 0;
}

void
refs_put(struct refs *r, uint32_t name)
{
	size_t at;

	must(r->key_of && name);
	if (r->capacity == 0)
		hash_random(r->secret, sizeof r->secret);
	if (r->used + r->used / 3 + 1 >= r->capacity)
		resize(r, r->capacity ? r->capacity * 2 : 16);
	at = find(r, r->key_of(r->of, name));
	must(!r->slots[at]);
	r->slots[at] = name;
	r->used++;
}

uint32_t
refs_remove(struct refs *r, struct str key)
{
	size_t mask = r->capacity - 1, hole, at, home;
	uint32_t name;

	if (r->capacity == 0)
		return 0;
	hole = find(r, key);
	name = r->slots[hole];
	if (!name)
		return 0;
	for (at = (hole + 1) & mask; r->slots[at]; at = (at + 1) & mask) {
		home = home_of(r, r->key_of(r->of, r->slots[at]));
		/* The entry may move into the hole unless its home lies behind the hole. */
		if (((at - home) & mask) >= ((at - hole) & mask)) {
			r->slots[hole] = r->slots[at];
			hole = at;
		}
	}
	r->slots[hole] = 0;
	r->used--;
	return name;
}

void
refs_free(struct refs *r)
{
	free(r->slots);
	*r = (struct refs){ .key_of = r->key_of, .of = r->of };
}
