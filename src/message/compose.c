/* SPDX-License-Identifier: Apache-2.0 */
#include "message/compose.h"

#include "message/message.h"

/*
 * The plan of a message: its tree, written top down, with a hole where the octets of each part belong. Each multipart has a boundary of
 * its own. They begin with "=_", which neither quoted-printable nor base64 can hold (RFC 2045 §6.7), and the rest nobody can guess, so
 * that no text holds one either.
 *
 * A delimiter begins with the line end before it (RFC 2046 §5.1.1); the first of a multipart so ends its header.
 */

enum { BOUNDARY_MAX = 40 };

enum multipart { MIXED, ALTERNATIVE, RELATED };

static const struct {
	struct str type, mark; /* mark: what makes its boundary its own */
} multiparts[] = {
	[MIXED] = { S("multipart/mixed"), S("_1") },
	[ALTERNATIVE] = { S("multipart/alternative"), S("_2") },
	[RELATED] = { S("multipart/related;\r\n type=\"text/html\""), S("_3") }, /* RFC 2387 §3.1 */
};

struct writer {
	struct compose_plan *plan;
	const struct compose *c;
};

static void
add_boundary(struct writer *w, enum multipart m)
{
	buf_add(&w->plan->octets, S("=_"));
	buf_add(&w->plan->octets, w->c->boundary);
	buf_add(&w->plan->octets, multiparts[m].mark);
}

static void
multipart_begin(struct writer *w, enum multipart m)
{
	buf_add(&w->plan->octets, S("Content-Type: "));
	buf_add(&w->plan->octets, multiparts[m].type);
	buf_add(&w->plan->octets, S(";\r\n boundary=\""));
	add_boundary(w, m);
	buf_add(&w->plan->octets, S("\"\r\n"));
}

static void
multipart_next(struct writer *w, enum multipart m)
{
	buf_add(&w->plan->octets, S("\r\n--"));
	add_boundary(w, m);
	buf_add(&w->plan->octets, S("\r\n"));
}

static void
multipart_end(struct writer *w, enum multipart m)
{
	buf_add(&w->plan->octets, S("\r\n--"));
	add_boundary(w, m);
	buf_add(&w->plan->octets, S("--\r\n"));
}

/* ── The tree ────────────────────────────────────────────────────────────────────────────────── */

/* A picture for HTML that is not there is an attachment. */
static bool
is_for_html(const struct compose *c, const struct compose_part *part)
{
	return part->is_inline && c->has_html;
}

static size_t
count_parts(const struct compose *c, bool for_html)
{
	size_t n = 0;

	for (size_t i = 0; i < c->parts_n; i++)
		n += is_for_html(c, &c->parts[i]) == for_html;
	return n;
}

static bool
add_parts(struct writer *w, enum multipart m, bool for_html, struct err *e)
{
	struct compose_plan *plan = w->plan;

	for (size_t i = 0; i < w->c->parts_n; i++) {
		const struct compose_part *part = &w->c->parts[i];

		if (is_for_html(w->c, part) != for_html)
			continue;
		multipart_next(w, m);
		if (!compose_add_part_header(&plan->octets, part, e))
			return false;
		plan->holes[plan->holes_n++] = (struct compose_hole){ .part = i,
			.at = plan->octets.n,
			.size = part->size,
			.is_plain = part->is_plain };
		plan->size += part->is_plain ? part->size : encode_base64_lines_size(part->size);
	}
	return true;
}

static bool
add_html(struct writer *w, struct err *e)
{
	if (count_parts(w->c, true) == 0) {
		encode_text(&w->plan->octets, S("html"), w->c->html);
		return true;
	}
	multipart_begin(w, RELATED);
	multipart_next(w, RELATED);
	encode_text(&w->plan->octets, S("html"), w->c->html);
	if (!add_parts(w, RELATED, true, e))
		return false;
	multipart_end(w, RELATED);
	return true;
}

static bool
add_forms(struct writer *w, struct err *e)
{
	if (!w->c->has_html) {
		encode_text(&w->plan->octets, S("plain"), w->c->text);
		return true;
	}
	if (!w->c->has_text)
		return add_html(w, e);
	multipart_begin(w, ALTERNATIVE);
	multipart_next(w, ALTERNATIVE);
	encode_text(&w->plan->octets, S("plain"), w->c->text);
	multipart_next(w, ALTERNATIVE);
	if (!add_html(w, e))
		return false;
	multipart_end(w, ALTERNATIVE);
	return true;
}

static bool
add_tree(struct writer *w, struct err *e)
{
	if (count_parts(w->c, false) == 0)
		return add_forms(w, e);
	multipart_begin(w, MIXED);
	if (w->c->has_text || w->c->has_html) {
		multipart_next(w, MIXED);
		if (!add_forms(w, e))
			return false;
	}
	if (!add_parts(w, MIXED, false, e))
		return false;
	multipart_end(w, MIXED);
	return true;
}

/* ── The plan ────────────────────────────────────────────────────────────────────────────────── */

static bool
boundary_is_good(struct str boundary)
{
	for (size_t i = 0; i < boundary.n; i++)
		if (!char_is_alpha(boundary.p[i]) && !char_is_digit(boundary.p[i]))
			return false;
	return boundary.n > 0 && boundary.n <= BOUNDARY_MAX;
}

static bool
is_text(const char *what, struct str text, struct err *e)
{
	if (str_find(text, '\0') < text.n || !str_is_utf8(text))
		return err_set(
			e, ERR_PERMANENT, ERR_OTHER, "the %s holds NUL, or is not UTF-8", what);
	return true;
}

static bool
is_possible(const struct compose *c, struct err *e)
{
	if (!is_text("text", c->text, e) || !is_text("HTML", c->html, e))
		return false;
	if (c->parts_n > COMPOSE_PARTS_MAX)
		return err_set(e, ERR_PERMANENT, ERR_TOO_BIG, "a mail has at most %d attachments",
			COMPOSE_PARTS_MAX);
	if ((c->parts_n || c->has_html) && !boundary_is_good(c->boundary))
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"a boundary is 1 to %d letters and digits", BOUNDARY_MAX);
	return true;
}

bool
compose_plan(struct compose_plan *plan, const struct compose *c, struct err *e)
{
	struct writer w = { plan, c };

	*plan = (struct compose_plan){ .octets = { .max = COMPOSE_SIZE_MAX,
					       .memory = plan->memory },
		.memory = plan->memory };
	if (!is_possible(c, e))
		return false;
	if (c->parts_n) {
		plan->holes = memory_take(plan->memory, c->parts_n * sizeof *plan->holes);
		if (!plan->holes)
			return err_set(e, ERR_PERMANENT, ERR_LOCAL, "no memory");
	}
	if (!compose_add_header(plan, c, e) || !add_tree(&w, e))
		goto bad;
	if (plan->octets.overflow) {
		err_set(e, ERR_PERMANENT, ERR_TOO_BIG,
			"fields and texts are larger than %d octets, or than the memory for them",
			COMPOSE_SIZE_MAX);
		goto bad;
	}
	plan->size += plan->octets.n;
	return true;
bad:
	compose_free(plan);
	return false;
}

void
compose_free(struct compose_plan *plan)
{
	buf_free(&plan->octets);
	memory_release(plan->memory, plan->holes);
	*plan = (struct compose_plan){ .memory = plan->memory };
}
