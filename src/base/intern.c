/* SPDX-License-Identifier: Apache-2.0 */
#include "base/intern.h"

#include "base/must.h"

struct interned {
	uint32_t text, count;
};

static struct interned *
entry_of(const struct intern *i, uint32_t name)
{
	return pool_at(&i->entries, name);
}

static struct str
key_of(const void *of, uint32_t name)
{
	const struct intern *i = of;

	return texts_at(&i->texts, entry_of(i, name)->text);
}

uint32_t
intern_find(const struct intern *i, struct str s)
{
	return refs_get(&i->refs, str_part(s, 0, TEXTS_MAX));
}

uint32_t
intern_add(struct intern *i, struct str s)
{
	uint32_t name;

	if (s.n == 0)
		return 0;
	name = intern_find(i, s);
	if (!name) {
		i->entries.entry = sizeof(struct interned);
		i->refs.key_of = key_of;
		i->refs.of = i;
		name = pool_take(&i->entries);
		entry_of(i, name)->text = texts_add(&i->texts, s);
		refs_put(&i->refs, name);
	}
	return intern_keep(i, name);
}

uint32_t
intern_keep(struct intern *i, uint32_t name)
{
	if (name)
		entry_of(i, name)->count++;
	return name;
}

void
intern_drop(struct intern *i, uint32_t name)
{
	struct interned *e;

	if (!name)
		return;
	e = entry_of(i, name);
	must(e->count);
	if (--e->count)
		return;
	refs_remove(&i->refs, texts_at(&i->texts, e->text));
	texts_drop(&i->texts, e->text);
	pool_give(&i->entries, name);
}

struct str
intern_at(const struct intern *i, uint32_t name)
{
	return name ? key_of(i, name) : (struct str){ 0 };
}

void
intern_free(struct intern *i)
{
	texts_free(&i->texts);
	pool_free(&i->entries);
	refs_free(&i->refs);
}
