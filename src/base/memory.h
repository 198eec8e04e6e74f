/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

/*
 * Where memory comes from. NULL is the C library, and there a refusal aborts: no input can cause it, for everything has a
 * cap. A user of libposthouse may bring an own one, which may refuse (NULL); buffers and arenas then answer as if their cap were
 * reached. resize: as realloc; n = 0 gives p back and returns NULL.
 */
struct memory {
	void *(*resize)(void *context, void *p, size_t n);
	void *context;
};

void *memory_resize(const struct memory *m, void *p, size_t n);
void *memory_take(const struct memory *m, size_t n);  /* zeroed */
void memory_release(const struct memory *m, void *p); /* NULL is fine */

#endif
