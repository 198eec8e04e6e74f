/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/hash.h"
#include "base/must.h"

/* Open addressing, linear probes, no tombstones: removal moves later members of the same run back.
 */
struct map_slot {
	void *member;
	uint32_t hash;
};

static uint32_t
map_hash(const struct map *m, struct str key)
{
	return (uint32_t)hash_sip(m->secret, key);
}

/* The slot of the member with this key, or the free slot where it would be. */
static size_t
map_find(const struct map *m, uint32_t hash, struct str key)
{
	size_t mask = m->capacity - 1, at = hash & mask;

	while (m->slots[at].member) {
		if (m->slots[at].hash == hash && str_eq(m->key_of(m->slots[at].member), key))
			return at;
		at = (at + 1) & mask;
	}
	return at;
}

static void
map_resize(struct map *m, size_t capacity)
{
	struct map_slot *old = m->slots;
	size_t old_capacity = m->capacity;

	m->slots = calloc(capacity, sizeof *m->slots);
	must(m->slots);
	m->capacity = capacity;
	for (size_t i = 0; i < old_capacity; i++) {
		size_t at;

		if (!old[i].member)
			continue;
		at = old[i].hash & (capacity - 1);
		while (m->slots[at].member)
			at = (at + 1) & (capacity - 1);
		m->slots[at] = old[i];
	}
	free(old);
}

void *
map_get(const struct map *m, struct str key)
{
	return m->capacity ? m->slots[map_find(m, map_hash(m, key), key)].member : NULL;
}

void
map_put(struct map *m, void *member)
{
	struct str key;
	uint32_t hash;
	size_t at;

	must(m->key_of);
	if (m->capacity == 0)
		hash_random(m->secret, sizeof m->secret);
	if (m->used + m->used / 3 + 1 >= m->capacity)
		map_resize(m, m->capacity ? m->capacity * 2 : 16);
	key = m->key_of(member);
	hash = map_hash(m, key);
	at = map_find(m, hash, key);
	must(!m->slots[at].member);
	m->slots[at] = (struct map_slot){ member, hash };
	m->used++;
}

void *
map_remove(struct map *m, struct str key)
{
	size_t mask = m->capacity - 1, hole, at;
	void *member;

	if (m->capacity == 0)
		return NULL;
	hole = map_find(m, map_hash(m, key), key);
	member = m->slots[hole].member;
	if (!member)
		return NULL;
	for (at = (hole + 1) & mask; m->slots[at].member; at = (at + 1) & mask) {
		size_t home = m->slots[at].hash & mask;

		/* The member may move into the hole unless its home lies behind the hole. */
		if (((at - home) & mask) >= ((at - hole) & mask)) {
			m->slots[hole] = m->slots[at];
			hole = at;
		}
	}
	m->slots[hole].member = NULL;
	m->used--;
	return member;
}

void *
map_next(const struct map *m, size_t *at)
{
	while (*at < m->capacity) {
		void *member = m->slots[(*at)++].member;

		if (member)
			return member;
	}
	return NULL;
}

void
map_free(struct map *m)
{
	free(m->slots);
	*m = (struct map){ .key_of = m->key_of };
}
