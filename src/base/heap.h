/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

/*
 * What is due first: a binary heap of links that lie inside members, least `due` on top. A link
 * that is in no heap has place 0. `due` is the caller's unit and must not change while the link is
 * in the heap.
 */
struct heap_link {
	int64_t due;
	size_t place; /* 1 + index in the heap, 0: in none */
};

struct heap {
	struct heap_link **links;
	size_t n, capacity;
};

void heap_put(struct heap *h, struct heap_link *link);
void heap_remove(struct heap *h, struct heap_link *link); /* a link in no heap is left alone */
struct heap_link *heap_top(const struct heap *h);	  /* NULL when empty */
void heap_free(struct heap *h);

#endif
