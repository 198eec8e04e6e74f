/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "role/reader/letter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_LIMIT = 100000 };

static bool
is_within(struct str part, struct str whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void
look_at_text(struct letter *l, const struct letter_part *p, size_t max)
{
	struct buf to = { .max = 4 * TEXT_LIMIT };
	struct letter_text_facts facts;

	letter_text(l, p, max, &to, &facts);
	must(!to.overflow && to.n <= max && str_is_utf8(buf_str(&to)));
	must(str_find(buf_str(&to), '\r') == to.n);
	buf_free(&to);
}

static void
look_at_fields(const struct letter_part *p, struct str message)
{
	for (size_t i = 0; i < p->fields_n; i++) {
		struct arena arena = { .max = 16 << 20 };
		struct buf text = { .max = 1 << 20 };
		struct letter_address *addresses;
		struct str raw = p->fields[i].raw, *list;
		int64_t unix_s;
		int offset;

		must(p->fields[i].name.n > 0 && is_within(raw, message));
		letter_field_text(raw, &text);
		must(str_is_utf8(buf_str(&text)) && str_find(buf_str(&text), '\n') == text.n);
		for (size_t k = letter_field_addresses(raw, &arena, &addresses); k > 0; k--)
			must(str_is_utf8(addresses[k - 1].name) &&
				str_is_utf8(addresses[k - 1].email));
		letter_field_ids(raw, &arena, &list);
		letter_field_urls(raw, &arena, &list);
		if (letter_field_date(raw, &unix_s, &offset))
			must(offset > -24 * 60 && offset < 24 * 60);
		arena_free(&arena);
		buf_free(&text);
	}
}

static void
look_at_part(struct letter *l, const struct letter_part *p, struct str message)
{
	struct buf octets = { .max = 1 << 20 };

	look_at_fields(p, message);
	must(str_is_utf8(p->name) && str_find(p->name, '/') == p->name.n &&
		str_find(p->name, '\\') == p->name.n);
	for (size_t i = 0; i < p->sub_n; i++)
		must(p->sub[i]->parent == p);
	if (p->id.n == 0)
		return;
	must(letter_part(l, p->id) == p);
	must(letter_octets(l, p, &octets) && octets.n == p->size);
	buf_free(&octets);
	if (str_starts(p->type, S("text/"))) {
		look_at_text(l, p, TEXT_LIMIT);
		look_at_text(l, p, 7);
	}
}

static void
walk(struct letter *l, struct str message)
{
	char id[16];
	unsigned n = 1;

	look_at_fields(letter_root(l), message);
	for (const struct letter_part *p;; n++) {
		int length = snprintf(id, sizeof id, "%u", n);

		p = letter_part(l, (struct str){ id, (size_t)length });
		if (!p)
			break;
		look_at_part(l, p, message);
	}
	must(n <= LETTER_PARTS_MAX + 1);
}

/* Any octets are a letter, whose parts lie in it, whose texts and names are UTF-8, and whose sizes are as was said. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str message = { (const char *)data, size };
	struct buf to = { .max = 8 << 20 };
	struct letter *l = letter_open(message);
	const struct letter_view *view = letter_view(l);

	walk(l, message);
	for (size_t i = 0; i < view->attachments_n; i++)
		must(view->attachments[i]->id.n > 0);
	letter_summary(l, &to);
	must(!to.overflow && str_is_utf8(buf_str(&to)));
	buf_reset(&to);
	letter_words(l, 1000, &to);
	must(to.n <= 1000 && str_is_utf8(buf_str(&to)));
	buf_reset(&to);
	letter_preview(l, &to);
	must(to.n <= LETTER_PREVIEW_MAX && str_is_utf8(buf_str(&to)));
	buf_free(&to);
	letter_free(&l);
	return 0;
}
