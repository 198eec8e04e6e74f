/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"

#include <stdlib.h>

#include "base/must.h"

static void
heap_set(struct heap *h, size_t i, struct heap_link *link)
{
	h->links[i] = link;
	link->place = i + 1;
}

static void
heap_up(struct heap *h, size_t i, struct heap_link *link)
{
	while (i > 0 && h->links[(i - 1) / 2]->due > link->due) {
		heap_set(h, i, h->links[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(h, i, link);
}

static void
heap_down(struct heap *h, size_t i, struct heap_link *link)
{
	for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
		if (child + 1 < h->n && h->links[child + 1]->due < h->links[child]->due)
			child++;
		if (h->links[child]->due >= link->due)
			break;
		heap_set(h, i, h->links[child]);
	}
	heap_set(h, i, link);
}

void
heap_put(struct heap *h, struct heap_link *link)
{
	must(link->place == 0);
	if (h->n == h->capacity) {
		h->capacity = h->capacity ? h->capacity * 2 : 64;
		h->links = realloc(h->links, h->capacity * sizeof *h->links);
		must(h->links);
	}
	heap_up(h, h->n++, link);
}

void
heap_remove(struct heap *h, struct heap_link *link)
{
	struct heap_link *last;
	size_t i = link->place - 1;

	if (link->place == 0)
		return;
	must(i < h->n && h->links[i] == link);
	link->place = 0;
	last = h->links[--h->n];
	if (last == link)
		return;
	if (i > 0 && h->links[(i - 1) / 2]->due > last->due)
		heap_up(h, i, last);
	else
		heap_down(h, i, last);
}

struct heap_link *
heap_top(const struct heap *h)
{
	return h->n ? h->links[0] : NULL;
}

void
heap_free(struct heap *h)
{
	free(h->links);
	*h = (struct heap){ 0 };
}
