/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>

#include "base/must.h"

enum { CHUNK_SIZE = 1024 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	alignas(max_align_t) char data[];
};

void *
arena_take(struct arena *a, size_t n)
{
	struct arena_chunk *c = a->chunks;
	void *p;

	must(a->max > 0);
	if (n > a->max - a->used)
		return NULL;
	n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (!c || c->size - c->used < n) {
		size_t size = n > CHUNK_SIZE ? n : CHUNK_SIZE;

		c = memory_resize(a->memory, NULL, sizeof *c + size);
		if (!c)
			return NULL;
		*c = (struct arena_chunk){ .next = a->chunks, .size = size };
		a->chunks = c;
	}
	p = memset(c->data + c->used, 0, n);
	c->used += n;
	a->used = n > a->max - a->used ? a->max : a->used + n;
	return p;
}

bool
arena_dup(struct arena *a, struct str s, struct str *copy)
{
	char *p = arena_take(a, s.n);

	if (!p)
		return false;
	if (s.n)
		memcpy(p, s.p, s.n);
	*copy = (struct str){ p, s.n };
	return true;
}

char *
arena_text(struct arena *a, struct str s)
{
	char *p = arena_take(a, s.n + 1);

	return p && s.n ? memcpy(p, s.p, s.n) : p;
}

void
arena_free(struct arena *a)
{
	struct arena_chunk *next;

	for (struct arena_chunk *c = a->chunks; c; c = next) {
		next = c->next;
		memory_release(a->memory, c);
	}
	*a = (struct arena){ .max = a->max, .memory = a->memory };
}
