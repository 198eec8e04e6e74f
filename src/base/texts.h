/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TEXTS_H
#define BASE_TEXTS_H

#include "base/str.h"

/*
 * Very many short texts, each named by 32 bits and costing its own octets, one more, and at most
 * three of padding. They do not move. 0 is the empty text. What was given back serves for texts of
 * the same padded size.
 */
enum { TEXTS_MAX = 4096 }; /* octets of one; longer ones are cut */

struct texts {
	char **chunks;
	uint32_t chunks_n;
	uint32_t used;			  /* octets / 4 of the last chunk */
	uint32_t free[TEXTS_MAX / 4 + 2]; /* by size / 4 */
};

uint32_t texts_add(struct texts *t, struct str s);
struct str texts_at(const struct texts *t, uint32_t name);
void texts_drop(struct texts *t, uint32_t name);
void texts_free(struct texts *t);

#endif
