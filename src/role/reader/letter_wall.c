/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

/*
 * Where the parts of a message lie (RFC 2046 §5.1), found in one pass over its octets. This is the wall: it counts while it goes, and
 * what passes a limit is not a tree at all, but one text.
 *
 *   header ──empty line──▶ body ──delimiter of an open multipart──▶ header of its next part
 *      │                    │
 *      └── no field: body   └── closing delimiter: body (an epilogue) of what is around it ──▶ … ──▶ end of the message
 *
 * 1. Nothing is looked at twice: the next delimiter is sought from the end of the last one on, among all multiparts that are open,
 *    so a part ends where its own or any outer multipart says so. A multipart that was never closed ends with what is around it.
 * 2. The only work that is more than linear is comparing a line that begins with "--" with the boundaries of all open multiparts: it is
 *    counted (WORK_MAX). Lines that begin otherwise are not looked at, only skipped by memmem.
 * 3. A multipart of which no part was found (no boundary, or one that does not occur) is a leaf: somebody wants to read what is there.
 * 4. A message inside (message/rfc822) is a leaf: it is opened as a letter of its own where somebody asks for it. So nothing nests but multiparts.
 */

enum { WORK_MAX = 1000 * 1000 };

struct wall {
	struct str octets;
	size_t at; /* at the beginning of a line */
	struct open {
		struct str boundary;
		size_t part;
	} open[LETTER_DEPTH_MAX];
	size_t depth;
	struct letter_place *parts;
	size_t n, room;
	size_t header_octets, work;
	struct arena *arena;
};

/* What a delimiter is of: open[level - 1]; level 0: none was found, and the place is the end. */
struct delimiter {
	size_t level, begins, ends;
	bool is_close;
};

static struct str
line_at(struct str octets, size_t at)
{
	struct str rest = str_from(octets, at);
	size_t n = str_find(rest, '\n');

	return str_part(rest, 0, n + (n < rest.n));
}

static struct str
without_line_end(struct str line)
{
	if (line.n && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static bool
is_field(struct str line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 127 && line.p[n] != ':')
		n++;
	if (n == 0)
		return false;
	while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'))
		n++; /* blanks before the colon: RFC 5322 §4.5 */
	return n < line.n && line.p[n] == ':';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool
letter_next_field(struct str *header, struct letter_field *field)
{
	struct str line = line_at(*header, 0);
	size_t n = line.n, colon = str_find(line, ':');

	if (!is_field(line))
		return false;
	field->name = str_trim(str_part(line, 0, colon));
	while (n < header->n && is_blank(header->p[n]))
		n += line_at(*header, n).n;
	field->raw = without_line_end(str_part(*header, colon + 1, n - colon - 1));
	*header = str_from(*header, n);
	return true;
}

static bool
is_blank_or_none(struct str rest)
{
	return rest.n == 0 || is_blank(rest.p[0]);
}

/* Is the line that begins at `at` a delimiter of something open? The innermost counts. What else stands on it does not matter (RFC 2046
 * §5.1.1), but it must be set apart: one boundary may begin like another. */
static bool
is_delimiter(struct wall *w, size_t at, struct delimiter *d)
{
	struct str line = str_trim(without_line_end(line_at(w->octets, at)));

	if (!scan_word_nocase(&line, S("--")))
		return false;
	for (size_t level = w->depth; level > 0; level--) {
		struct str boundary = w->open[level - 1].boundary;

		struct str behind = str_from(line, boundary.n);
		bool is_close = str_starts(behind, S("--"));

		w->work++;
		if (!str_starts(line, boundary) ||
			!is_blank_or_none(str_from(behind, is_close ? 2 : 0)))
			continue;
		*d = (struct delimiter){ .level = level,
			.begins = at,
			.ends = at + line_at(w->octets, at).n,
			.is_close = is_close };
		return true;
	}
	return false;
}

static struct delimiter
find_delimiter(struct wall *w)
{
	struct delimiter d;
	size_t at = w->at;

	while (w->depth > 0 && w->work <= WORK_MAX && at < w->octets.n) {
		const char *found;

		if (is_delimiter(w, at, &d))
			return d;
		found = memmem(w->octets.p + at, w->octets.n - at, "\n--", 3);
		if (!found)
			break;
		at = (size_t)(found - w->octets.p) + 1;
	}
	return (struct delimiter){ .begins = w->octets.n, .ends = w->octets.n };
}

/* From `at` on. False: a limit. */
static bool
read_header(struct wall *w, struct letter_place *part)
{
	size_t begin = w->at;
	struct delimiter d;
	struct str line;

	for (bool is_over = false; !is_over && w->at < w->octets.n; w->at += line.n) {
		line = line_at(w->octets, w->at);
		part->header = str_part(w->octets, begin, w->at - begin);
		if (without_line_end(line).n == 0) {
			is_over = true;
			continue;
		}
		if (is_blank(line.p[0]) ? part->fields_n == 0 : !is_field(line))
			return true; /* the body begins without an empty line */
		if (line.p[0] == '-' && is_delimiter(w, w->at, &d))
			return true;
		w->header_octets += line.n;
		if (w->header_octets > LETTER_HEADER_MAX)
			return false;
		if (!is_blank(line.p[0]) && ++part->fields_n > LETTER_FIELDS_MAX) {
			part->fields_n--;
			return false;
		}
		part->header = str_part(w->octets, begin, w->at + line.n - begin);
	}
	return true;
}

/* Opens it, if it has a boundary. False: too deep. */
static bool
open_multipart(struct wall *w, struct letter_place *part)
{
	struct buf text = { .max = LETTER_FIELD_MAX };
	struct str header = part->header, type = S(""), boundary;
	struct letter_field f;
	bool is_ok = true;

	while (letter_next_field(&header, &f))
		if (str_eq_nocase(f.name, S("Content-Type")))
			type = f.raw;
	letter_value(type, true, &text);
	if (!str_starts(buf_str(&text), S("multipart/")))
		goto out;
	buf_reset(&text);
	letter_param(type, S("boundary"), &text);
	boundary = str_trim(buf_str(&text));
	if (boundary.n == 0)
		goto out;
	if (w->depth == LETTER_DEPTH_MAX || !arena_dup(w->arena, boundary, &boundary)) {
		is_ok = false;
		goto out;
	}
	part->is_multipart = true;
	w->open[w->depth++] = (struct open){ boundary, (size_t)(part - w->parts) };
out:
	buf_free(&text);
	return is_ok;
}

/* The line end before a delimiter is the delimiter's: RFC 2046 §5.1.1. */
static struct str
body_between(const struct wall *w, size_t from, const struct delimiter *d)
{
	struct str body = str_part(w->octets, from, d->begins > from ? d->begins - from : 0);

	return d->level ? without_line_end(body) : body;
}

/* Past epilogues, to the delimiter behind which a part begins. One that is the last line of all has none behind it. */
static struct delimiter
leave(struct wall *w, struct delimiter d)
{
	for (;;) {
		w->depth = d.level;
		w->at = d.ends;
		if (d.level == 0 || (!d.is_close && d.ends < w->octets.n))
			return d;
		w->depth--;
		d = find_delimiter(w);
	}
}

/* The limit is seldom reached, and most messages have one part. NULL: too many. */
static struct letter_place *
next_part(struct wall *w)
{
	struct letter_place *more;

	if (w->n == w->room) {
		if (w->n == LETTER_PARTS_MAX)
			return NULL;
		w->room = w->room * 4 + 4 < LETTER_PARTS_MAX ? w->room * 4 + 4 : LETTER_PARTS_MAX;
		more = arena_take(w->arena, w->room * sizeof *more);
		if (!more)
			return NULL;
		if (w->n)
			memcpy(more, w->parts, w->n * sizeof *more);
		w->parts = more;
	}
	return &w->parts[w->n++];
}

static bool
read_parts(struct wall *w)
{
	struct letter_place *part;
	struct delimiter d;
	size_t parent = 0, from;

	while ((part = next_part(w))) {
		part->parent = parent;
		if (!read_header(w, part) || !open_multipart(w, part))
			return false;
		from = w->at;
		d = find_delimiter(w);
		part->body = body_between(w, from, &d);
		if (part->is_multipart && (d.level < w->depth || d.is_close))
			part->is_multipart = false; /* it has no part */
		d = leave(w, d);
		if (d.level == 0)
			return w->work <= WORK_MAX;
		parent = w->open[d.level - 1].part;
		w->parts[parent].sub_n++;
	}
	return false;
}

bool
letter_wall(struct str octets, struct arena *arena, struct letter_place **list, size_t *n)
{
	struct wall w = { .octets = octets, .arena = arena };
	bool is_within;

	if (str_starts(octets, S("From ")))
		w.at = line_at(octets, 0).n; /* of an mbox */
	is_within = read_parts(&w);
	*list = w.parts;
	*n = is_within ? w.n : 1;
	return is_within;
}
