/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

#include "base/must.h"

/*
 * A letter is made at once and then only read. The tree, the names and all other small things lie in one arena; header fields and
 * bodies are slices of the caller's octets, decoded when somebody asks. Where the parts lie is found by letter_wall.c, which is also
 * where a bomb ends; nothing here depends on more than what it counted.
 *
 * All of it is our own code, and none of GLib's or GMime's: a wall is only one if it sees the same parts as what is behind it, and at that point it
 * has parsed the message; and a library hands every charset's name that a stranger wrote to iconv, of which we allow a few (letter_charset.c).
 */

enum { ARENA_MAX = 48 * 1024 * 1024, LANGUAGES_MAX = 16 };

static void *
take(struct letter *l, size_t n)
{
	void *p = arena_take(&l->arena, n);

	must(p); /* the limits of letter.h bound the sum */
	return p;
}

static struct str
keep(struct letter *l, const struct buf *text)
{
	struct str copy;

	must(arena_dup(&l->arena, buf_str(text), &copy));
	return copy;
}

const struct letter_field *
letter_field(const struct letter_part *p, struct str name)
{
	for (size_t i = p->fields_n; i > 0; i--)
		if (str_eq_nocase(p->fields[i - 1].name, name))
			return &p->fields[i - 1];
	return NULL;
}

/* What is looked at of a field's value. */
static struct str
value_of(const struct letter_part *p, struct str name)
{
	const struct letter_field *f = letter_field(p, name);

	return f ? str_part(f->raw, 0, LETTER_FIELD_MAX) : S("");
}

static void
read_fields(struct letter *l, struct letter_part *p, const struct letter_place *place)
{
	struct str header = place->header;

	p->fields = take(l, place->fields_n * sizeof *p->fields + 1);
	while (p->fields_n < place->fields_n && letter_next_field(&header, &p->fields[p->fields_n]))
		p->fields_n++;
}

/* filename of the disposition, else name of the type (RFC 2183 §2.3). */
static void
read_name(struct letter *l, struct letter_part *p, struct str disposition, struct str type)
{
	struct buf raw = { .max = LETTER_FIELD_MAX * 4 }, clean = { .max = LETTER_FIELD_MAX * 4 };

	if (letter_param(disposition, S("filename"), &raw) || letter_param(type, S("name"), &raw)) {
		letter_clean_name(buf_str(&raw), &clean);
		p->name = keep(l, &clean);
	}
	buf_free(&raw);
	buf_free(&clean);
}

static void
read_languages(struct letter *l, struct letter_part *p)
{
	struct str rest = value_of(p, S("Content-Language")), tag;

	if (rest.n)
		p->languages = take(l, LANGUAGES_MAX * sizeof *p->languages);
	while (rest.n && p->languages_n < LANGUAGES_MAX) {
		letter_skip_cfws(&rest, NULL);
		for (tag = str_part(rest, 0, 0);
			tag.n < rest.n &&
			(char_is_alpha(rest.p[tag.n]) || char_is_digit(rest.p[tag.n]) ||
				rest.p[tag.n] == '-');)
			tag.n++;
		rest = str_from(rest, tag.n ? tag.n : 1);
		if (tag.n)
			p->languages[p->languages_n++] = tag;
	}
}

static struct str
default_type(const struct letter_part *p)
{
	return p->parent && str_eq(p->parent->type, S("multipart/digest")) ? S("message/rfc822")
									   : S("text/plain");
}

static void
read_type(struct letter *l, struct letter_part *p, struct letter_piece *piece, struct str raw,
	bool is_multipart)
{
	struct buf text = { .max = LETTER_FIELD_MAX * 4 };

	letter_value(raw, true, &text);
	p->type = keep(l, &text);
	if (p->type.n == 0)
		p->type = default_type(p);
	if (!is_multipart && str_starts(p->type, S("multipart/")))
		p->type = S("text/plain"); /* it has no parts */
	if (str_starts(p->type, S("text/"))) {
		buf_reset(&text);
		piece->is_charset_declared = letter_param(raw, S("charset"), &text) && text.n;
		for (size_t i = 0; i < text.n; i++)
			text.p[i] = char_lower(text.p[i]);
		p->charset = piece->is_charset_declared ? keep(l, &text) : S("us-ascii");
	}
	buf_free(&text);
}

static void
read_ids(struct letter *l, struct letter_part *p)
{
	struct str *ids;

	p->location = str_trim(value_of(p, S("Content-Location")));
	if (letter_field_ids(value_of(p, S("Content-ID")), &l->arena, &ids))
		p->cid = ids[0];
}

static struct letter_part *
read_part(struct letter *l, const struct letter_place *place, const struct letter_part *parent)
{
	struct letter_part *p = take(l, sizeof *p);
	struct letter_piece *piece = take(l, sizeof *piece);
	struct buf text = { .max = LETTER_FIELD_MAX * 4 };
	struct str type, disposition;

	p->parent = parent;
	p->mime = piece;
	piece->body = place->body;
	read_fields(l, p, place);
	type = value_of(p, S("Content-Type"));
	disposition = value_of(p, S("Content-Disposition"));
	letter_value(disposition, false, &text);
	p->disposition = keep(l, &text);
	read_type(l, p, piece, type, place->is_multipart);
	read_name(l, p, disposition, type);
	read_ids(l, p);
	read_languages(l, p);
	if (!place->is_multipart) {
		piece->encoding = letter_encoding_of(value_of(p, S("Content-Transfer-Encoding")));
		p->size = letter_decoded_size(piece->encoding, piece->body);
	}
	buf_free(&text);
	return p;
}

/* Too much of something: one part, with as much of the header as was read. */
static void
read_source(struct letter *l, const struct letter_place *place)
{
	struct letter_part *p = take(l, sizeof *p);
	struct letter_piece *piece = take(l, sizeof *piece);

	l->is_source = true;
	piece->body = l->octets;
	p->mime = piece;
	read_fields(l, p, place);
	p->type = S("text/plain");
	p->charset = S("us-ascii");
	p->size = l->octets.n;
	p->id = S("1");
	l->parts[0] = p;
}

static void
read_tree(struct letter *l, const struct letter_place *places)
{
	struct letter_part **parts = take(l, l->parts_n * sizeof *parts);
	unsigned leaves = 0;

	for (size_t i = 0; i < l->parts_n; i++) {
		struct letter_part *parent = i ? parts[places[i].parent] : NULL;
		struct buf id = { .max = 16 };

		l->parts[i] = parts[i] = read_part(l, &places[i], parent);
		if (parent)
			parent->sub[parent->sub_n++] = parts[i];
		if (places[i].is_multipart) {
			parts[i]->sub = take(l, places[i].sub_n * sizeof *parts[i]->sub);
			continue;
		}
		buf_addf(&id, "%u", ++leaves);
		parts[i]->id = keep(l, &id);
		buf_free(&id);
	}
}

struct letter *
letter_open(struct str octets)
{
	struct letter *l = memory_take(NULL, sizeof *l);
	struct letter_place *places;
	bool is_within;

	l->octets = octets;
	l->arena.max = ARENA_MAX;
	is_within = letter_wall(octets, &l->arena, &places, &l->parts_n);
	l->parts = take(l, l->parts_n * sizeof *l->parts);
	if (is_within)
		read_tree(l, places);
	else
		read_source(l, &places[0]);
	return l;
}

void
letter_free(struct letter **l)
{
	if (!*l)
		return;
	arena_free(&(*l)->arena);
	memory_release(NULL, *l);
	*l = NULL;
}

const struct letter_part *
letter_root(const struct letter *l)
{
	return l->parts[0];
}

bool
letter_is_source(const struct letter *l)
{
	return l->is_source;
}

const struct letter_part *
letter_part(const struct letter *l, struct str id)
{
	for (size_t i = 0; id.n && i < l->parts_n; i++)
		if (str_eq(l->parts[i]->id, id))
			return l->parts[i];
	return NULL;
}
