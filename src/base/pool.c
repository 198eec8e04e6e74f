/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

uint32_t
pool_take(struct pool *p)
{
	uint32_t name = p->free;

	must(p->entry >= sizeof p->free);
	p->live++;
	if (name) { /* the first octets of a free entry name the next free one */
		memcpy(&p->free, pool_at(p, name), sizeof p->free);
		memset(pool_at(p, name), 0, sizeof p->free);
		return name;
	}
	must(p->used < UINT32_MAX);
	if (p->used == p->chunks_n * (size_t)POOL_CHUNK) {
		p->chunks = realloc(p->chunks, (p->chunks_n + 1) * sizeof *p->chunks);
		must(p->chunks);
		p->chunks[p->chunks_n] = calloc(POOL_CHUNK, p->entry);
		must(p->chunks[p->chunks_n]);
		p->chunks_n++;
	}
	return ++p->used;
}

void
pool_give(struct pool *p, uint32_t name)
{
	char *entry = pool_at(p, name);

	must(p->live);
	p->live--;
	memset(entry, 0, p->entry);
	memcpy(entry, &p->free, sizeof p->free);
	p->free = name;
}

void
pool_free(struct pool *p)
{
	for (uint32_t i = 0; i < p->chunks_n; i++)
		free(p->chunks[i]);
	free(p->chunks);
	*p = (struct pool){ .entry = p->entry };
}
