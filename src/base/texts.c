/* SPDX-License-Identifier: Apache-2.0 */
#include "base/texts.h"

#include "base/codec.h"
#include "base/must.h"

/*
 * A text's name is 1 + its place in units of four octets. At that place: its length in one octet,
 * or LONG and the length in two, then the text. A free place holds the name of the next free one of
 * its size.
 */
enum {
	UNIT = 4,
	CHUNK_BITS = 16,
	CHUNK = 1 << CHUNK_BITS, /* units */
	LONG = 255,
};

static char *
place_of(const struct texts *t, uint32_t name)
{
	uint32_t unit = name - 1;

	must(name && unit >> CHUNK_BITS < t->chunks_n);
	return t->chunks[unit >> CHUNK_BITS] + (size_t)(unit & (CHUNK - 1)) * UNIT;
}

static size_t
head_of(size_t n)
{
	return n < LONG ? 1 : 3;
}

static uint32_t
units_of(size_t n)
{
	return (uint32_t)((head_of(n) + n + UNIT - 1) / UNIT);
}

static uint32_t
take(struct texts *t, uint32_t units)
{
	uint32_t name = t->free[units];

	if (name) {
		t->free[units] = codec_get_u32(place_of(t, name));
		return name;
	}
	if (t->chunks_n == 0 || t->used + units > CHUNK) {
		must(t->chunks_n < UINT32_MAX >> CHUNK_BITS);
		t->chunks = realloc(t->chunks, (t->chunks_n + 1) * sizeof *t->chunks);
		must(t->chunks);
		t->chunks[t->chunks_n] = malloc((size_t)CHUNK * UNIT);
		must(t->chunks[t->chunks_n]);
		t->chunks_n++;
		t->used = 0;
	}
	name = 1 + ((t->chunks_n - 1) << CHUNK_BITS) + t->used;
	t->used += units;
	return name;
}

uint32_t
texts_add(struct texts *t, struct str s)
{
	uint32_t name;
	char *p;

	if (s.n == 0)
		return 0;
	s = str_part(s, 0, TEXTS_MAX);
	name = take(t, units_of(s.n));
	p = place_of(t, name);
	if (s.n < LONG) {
		*p++ = (char)s.n;
	} else {
		*p++ = (char)LONG;
		codec_put_u16(p, (uint16_t)s.n);
		p += 2;
	}
	memcpy(p, s.p, s.n);
	return name;
}

struct str
texts_at(const struct texts *t, uint32_t name)
{
	const char *p;
	size_t n;

	if (name == 0)
		return (struct str){ 0 };
	p = place_of(t, name);
	n = (unsigned char)*p;
	if (n == LONG)
		n = codec_get_u16(p + 1);
	return (struct str){ p + head_of(n), n };
}

void
texts_drop(struct texts *t, uint32_t name)
{
	uint32_t units;

	if (name == 0)
		return;
	units = units_of(texts_at(t, name).n);
	codec_put_u32(place_of(t, name), t->free[units]);
	t->free[units] = name;
}

void
texts_free(struct texts *t)
{
	for (uint32_t i = 0; i < t->chunks_n; i++)
		free(t->chunks[i]);
	free(t->chunks);
	*t = (struct texts){ 0 };
}
