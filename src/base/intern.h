/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_INTERN_H
#define BASE_INTERN_H

#include "base/pool.h"
#include "base/refs.h"
#include "base/texts.h"

/*
 * Texts that many share, each kept once and counted. A text is named by 32 bits; two names are
 * equal exactly when their texts are. 0 is the empty text. Lives at one address from its first use on.
 */
struct intern {
	struct texts texts;
	struct pool entries;
	struct refs refs;
};

uint32_t intern_add(struct intern *i, struct str s);	    /* counts one more */
uint32_t intern_find(const struct intern *i, struct str s); /* counts nothing; 0: not there */
uint32_t intern_keep(struct intern *i, uint32_t name);	    /* counts one more; returns name */
void intern_drop(struct intern *i, uint32_t name);	    /* one less; the last one forgets it */
struct str intern_at(const struct intern *i, uint32_t name);
void intern_free(struct intern *i);

#endif
