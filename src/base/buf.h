/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/memory.h"
#include "base/str.h"

/*
 * Growing octets with a hard cap. Set `max` (octets) before the first use: struct buf b = { .max =
 * 4096 }. An append that would pass the cap changes nothing and sets `overflow`, which stays set
 * until buf_reset: build first, check once. The struct owns p; buf_free gives it back and leaves an
 * empty buf with the same cap.
 */
struct buf {
	char *p;
	size_t n, capacity, max;
	bool overflow;
	bool refused;		     /* memory said no; set with overflow, until buf_free */
	const struct memory *memory; /* NULL: the C library's; outlives the buf */
};

void buf_add(struct buf *b, struct str s);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t value); /* decimal */
/* What a stranger wrote, for a line of ours: control characters become '?'; so does what is not ASCII, unless utf8 and all of it is UTF-8. */
void buf_add_clean(struct buf *b, struct str s, bool utf8);
/* As text within HTML or XML, in an attribute too. */
void buf_add_markup(struct buf *b, struct str s);
void buf_set(struct buf *b, struct str s); /* that, and nothing else */
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for n more octets at the returned place (NULL and overflow when over the cap); buf_grew
 * tells how many came. */
char *buf_room(struct buf *b, size_t n);
void buf_grew(struct buf *b, size_t n);

void buf_drop(struct buf *b, size_t n); /* the first n octets go */
void buf_reset(struct buf *b);		/* empty, memory kept */
void buf_free(struct buf *b);		/* empty, memory given back; NULL inside is fine */

static inline struct str
buf_str(const struct buf *b)
{
	return (struct str){ b->p, b->n };
}

#endif
