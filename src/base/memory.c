/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

void *
memory_resize(const struct memory *m, void *p, size_t n)
{
	if (m)
		return m->resize(m->context, p, n);
	if (n == 0) {
		free(p);
		return NULL;
	}
	p = realloc(p, n);
	must(p);
	return p;
}

void *
memory_take(const struct memory *m, size_t n)
{
	void *p = memory_resize(m, NULL, n);

	return p ? memset(p, 0, n) : NULL;
}

void
memory_release(const struct memory *m, void *p)
{
	if (p)
		memory_resize(m, p, 0);
}
