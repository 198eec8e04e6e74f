/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"
#include "role/reader/jmap_write.h"
#include "role/reader/letter.h"
#include "smtp/data.h"

/*
 * The body of a mail that is written in JMAP: a text, the same as HTML, and files; each part is a value of bodyValues, or a blob. The writer gives them in
 * textBody, htmlBody and attachments, or as the tree bodyStructure. From either come the same three things, and the composer makes of
 * them the one tree that every reader understands (compose.h):
 *
 *   bodyStructure is walked in order: the first text/plain and the first text/html that do not call themselves attachments are the text and the HTML, all other
 *   leaves are attachments. Multiparts may be mixed, alternative and related; others mean something that we cannot promise.
 *   A part with a Content-ID that is inline, or says nothing of it, belongs to the HTML, if there is one.
 *
 * Content-Language and Content-Location of a part are not written: what shows mail goes by neither.
 */

/* One EmailBodyPart on its way. `at` is the way to it, "attachments/3", for words about it. */
struct leaf {
	struct composing *w;
	const json_t *part;
	char at[64];
};

static const struct str body_properties[] = { S("bodyStructure"), S("bodyValues"), S("textBody"),
	S("htmlBody"), S("attachments") };

bool
composing_is_of_body(struct str property)
{
	for (size_t i = 0; i < sizeof body_properties / sizeof *body_properties; i++)
		if (str_eq(property, body_properties[i]))
			return true;
	return false;
}

/* ── properties of a part ── */

static bool
refuse(struct leaf *l, const char *property, const char *words)
{
	char at[128];

	snprintf(at, sizeof at, "%s%s%s", l->at, *property ? "/" : "", property);
	return jmap_refuse(l->w->error, at, "%s", words);
}

/* A string or null, that can stand in a line. */
static bool
read_string(struct leaf *l, const char *property, struct str *text)
{
	const json_t *j = json_object_get(l->part, property);

	*text = jmap_str(j);
	if (j && !json_is_null(j) && !json_is_string(j))
		return refuse(l, property, "is no string");
	return encode_is_clean(*text) || refuse(l, property, "holds a line end or NUL");
}

/* type/subtype, without parameters: RFC 6838 §4.2. */
static bool
is_type(struct str type)
{
	struct str name[2];

	str_cut(type, '/', &name[0], &name[1]);
	for (size_t i = 0; i < 2; i++) {
		if (name[i].n == 0 || name[i].n > 127)
			return false;
		for (size_t k = 0; k < name[i].n; k++)
			if (!char_is_alpha(name[i].p[k]) && !char_is_digit(name[i].p[k]) &&
				!(name[i].p[k] && strchr("!#$&-^_.+", name[i].p[k])))
				return false;
	}
	return true;
}

static bool
is_charset(struct str s) /* RFC 2978 §2.3 */
{
	for (size_t i = 0; i < s.n; i++)
		if (!char_is_alpha(s.p[i]) && !char_is_digit(s.p[i]) &&
			!(s.p[i] && strchr("!#$%&'+-^_`{}~.:", s.p[i])))
			return false;
	return s.n > 0 && s.n <= 40;
}

static bool
check_properties(struct leaf *l)
{
	static const char *const may[] = { "partId", "blobId", "size", "name", "type", "charset",
		"disposition", "cid", "language", "location", "subParts", NULL };
	if (!json_is_object(l->part))
		return refuse(l, "", "is no EmailBodyPart");
	return jmap_refuse_others(l->w->error, l->part, may, l->at);
}

/* ── where its octets are ── */

/* The value of bodyValues that partId names: RFC 8621 §4.6. */
static bool
read_value(struct leaf *l, struct str *text)
{
	const json_t *id = json_object_get(l->part, "partId"),
		     *charset = json_object_get(l->part, "charset");
	const json_t *value = json_object_getn(
		json_object_get(l->w->email, "bodyValues"), jmap_str(id).p, jmap_str(id).n);
	const json_t *octets = json_object_get(value, "value");

	if (charset && !json_is_null(charset))
		return refuse(l, "charset", "a value of bodyValues has none");
	if (!json_is_string(octets))
		return refuse(l, "partId", "is not in bodyValues");
	if (json_is_true(json_object_get(value, "isTruncated")) ||
		json_is_true(json_object_get(value, "isEncodingProblem")))
		return jmap_refuse(l->w->error, "bodyValues", "one of them is not whole");
	*text = jmap_str(octets);
	return true;
}

/* False with no error: there is no such blob, which is told when all are looked for. */
static bool
read_blob(struct leaf *l, struct str id, struct composing_source *source)
{
	struct composing *w = l->w;

	if (!blob_open(w->reader, id, &source->blob)) {
		json_array_append_new(w->missing, jmap_text(id));
		return false;
	}
	source->octets = source->blob.octets;
	w->blobs_size += source->octets.n;
	if (w->blobs_size > w->size_max)
		*w->error = jmap_set_error(
			"tooLarge", "attachments have at most %zu octets", w->size_max);
	return !*w->error;
}

static bool
open_source(struct leaf *l, struct composing_source *source)
{
	const json_t *part = json_object_get(l->part, "partId"),
		     *blob = json_object_get(l->part, "blobId");
	bool has_part = part && !json_is_null(part), has_blob = blob && !json_is_null(blob);

	if (has_part == has_blob)
		return refuse(l, "", "a part has either a partId or a blobId");
	if (has_part)
		return json_is_string(part) ? read_value(l, &source->octets)
					    : refuse(l, "partId", "is no string");
	return json_is_string(blob) ? read_blob(l, jmap_str(blob), source)
				    : refuse(l, "blobId", "is no string");
}

static void
close_source(struct composing_source *source)
{
	blob_close(&source->blob);
	buf_free(&source->mended);
}

/* ── the text and the HTML ── */

static bool
add_text(struct leaf *l, struct str type)
{
	struct compose *c = &l->w->c;
	bool is_html = str_eq_nocase(type, S("text/html"));
	struct composing_source *source = is_html ? &l->w->html : &l->w->text;

	if (!open_source(l, source))
		return !*l->w->error;
	if (str_find(source->octets, '\0') < source->octets.n || !str_is_utf8(source->octets))
		return refuse(l, "", "the text holds NUL, or is not UTF-8");
	*(is_html ? &c->has_html : &c->has_text) = true;
	*(is_html ? &c->html : &c->text) = source->octets;
	return true;
}

/* ── attachments ── */

static void
mend(struct composing_source *source)
{
	struct data data;
	struct str rest = source->octets, piece;

	source->mended.max = 2 * rest.n + 2;
	data_begin(&data, false, true);
	while (data_next(&data, &rest, &piece) == DATA_PIECE)
		buf_add(&source->mended, piece);
	if (data_finish(&data, &piece))
		buf_add(&source->mended, piece);
	source->octets = buf_str(&source->mended);
}

/* May this message go inside another as it is (RFC 2046 §5.2.1)? Files of a Maildir may have LF alone for line ends: that can be mended. */
static bool
is_plain_message(struct composing_source *source)
{
	struct data facts;
	struct str rest = source->octets, piece;

	data_begin(&facts, false, false);
	while (data_next(&facts, &rest, &piece) == DATA_PIECE)
		;
	data_finish(&facts, &piece);
	if (facts.has_8bit || facts.has_nul || facts.has_long_line)
		return false;
	if (facts.has_bare_line_end)
		mend(source);
	return true;
}

/* Behind the type stands what a text is written in. */
static bool
read_type(struct leaf *l, const struct composing_source *source, struct str *type)
{
	struct str charset, whole;
	struct buf text = { .max = 400 };

	if (!read_string(l, "type", type) || !read_string(l, "charset", &charset))
		return false;
	if (type->n && !is_type(*type))
		return refuse(l, "type", "is no media type");
	if (charset.n && !is_charset(charset))
		return refuse(l, "charset", "is no charset");
	if (type->n == 0)
		*type = source->blob.type;
	if (json_is_string(json_object_get(l->part, "partId"))) {
		charset = S("utf-8");
		if (type->n == 0)
			*type = S("text/plain");
	}
	if (charset.n == 0 || !str_starts_nocase(*type, S("text/")))
		return true;
	buf_add(&text, *type);
	buf_add(&text, S("; charset="));
	buf_add(&text, charset);
	if (arena_dup(&l->w->arena, buf_str(&text), &whole))
		*type = whole;
	buf_free(&text);
	return true;
}

static bool
add_attachment(struct leaf *l)
{
	struct composing *w = l->w;
	struct compose_part *part = &w->parts[w->c.parts_n];
	struct composing_source *source = &w->sources[w->c.parts_n];
	struct str disposition;

	if (!read_string(l, "name", &part->name) || !read_string(l, "cid", &part->id) ||
		!read_string(l, "disposition", &disposition) || !open_source(l, source))
		return !*w->error;
	w->c.parts_n++;
	if (part->id.n && !compose_is_id(part->id))
		return refuse(l, "cid", "is no Content-ID");
	if (!read_type(l, source, &part->type))
		return false;
	part->is_inline = part->id.n && (str_eq_nocase(disposition, S("inline")) ||
						(disposition.n == 0 && w->c.has_html));
	part->is_plain =
		str_starts_nocase(part->type, S("message/rfc822")) && is_plain_message(source);
	part->size = source->octets.n;
	return true;
}

/* ── textBody, htmlBody, attachments ── */

static bool
read_one_text(struct composing *w, const char *property, struct str type)
{
	const json_t *list = json_object_get(w->email, property), *given;
	struct leaf l = { .w = w };

	if (!list || json_is_null(list) || (json_is_array(list) && json_array_size(list) == 0))
		return true;
	if (!json_is_array(list) || json_array_size(list) != 1)
		return jmap_refuse(w->error, property, "has one part");
	snprintf(l.at, sizeof l.at, "%s/0", property);
	l.part = json_array_get(list, 0);
	given = json_object_get(l.part, "type");
	if (given && !json_is_null(given) && !str_eq_nocase(jmap_str(given), type))
		return refuse(&l, "type", "is another than that of this list");
	return check_properties(&l) && add_text(&l, type);
}

static bool
read_attachments(struct composing *w)
{
	const json_t *list = json_object_get(w->email, "attachments");
	struct leaf l = { .w = w };

	if (list && !json_is_null(list) && !json_is_array(list))
		return jmap_refuse(w->error, "attachments", "is no array");
	for (size_t i = 0; i < json_array_size(list); i++) {
		snprintf(l.at, sizeof l.at, "attachments/%zu", i);
		l.part = json_array_get(list, i);
		if (!check_properties(&l) || !add_attachment(&l))
			return false;
	}
	return true;
}

/* ── bodyStructure ── */

static bool
add_leaf(struct leaf *l)
{
	struct str type, disposition;
	bool is_file;

	if (!read_string(l, "type", &type) || !read_string(l, "disposition", &disposition))
		return false;
	if (type.n == 0 && json_is_string(json_object_get(l->part, "partId")))
		type = S("text/plain");
	is_file = str_eq_nocase(disposition, S("attachment"));
	if ((!is_file && str_eq_nocase(type, S("text/plain")) && !l->w->c.has_text) ||
		(!is_file && str_eq_nocase(type, S("text/html")) && !l->w->c.has_html))
		return add_text(l, type);
	return add_attachment(l);
}

static bool
is_multipart(struct leaf *l, const json_t **sub)
{
	struct str type = jmap_str(json_object_get(l->part, "type"));

	*sub = json_object_get(l->part, "subParts");
	if (!str_starts_nocase(type, S("multipart/"))) {
		if (*sub && !json_is_null(*sub) && json_array_size(*sub) > 0)
			refuse(l, "subParts", "a multipart alone has them");
		return false;
	}
	if (!str_eq_nocase(type, S("multipart/mixed")) &&
		!str_eq_nocase(type, S("multipart/alternative")) &&
		!str_eq_nocase(type, S("multipart/related")))
		refuse(l, "type", "of multiparts there are mixed, alternative and related");
	else if (json_array_size(*sub) == 0)
		refuse(l, "subParts", "a multipart has some");
	return !*l->w->error;
}

/* In the order of the tree, with a stack of our own. */
static bool
read_structure(struct composing *w)
{
	struct {
		const json_t *list;
		size_t at;
	} stack[JMAP_DEPTH_MAX + 1];
	struct leaf l = {
		.w = w, .at = "bodyStructure", .part = json_object_get(w->email, "bodyStructure")
	};
	const json_t *sub;
	size_t depth = 0;

	for (;;) {
		if (!check_properties(&l))
			return false;
		if (is_multipart(&l, &sub)) {
			if (depth == sizeof stack / sizeof *stack)
				return refuse(&l, "", "is too deep");
			stack[depth].list = sub;
			stack[depth++].at = 0;
		} else if (*w->error || !add_leaf(&l))
			return false;
		while (depth && stack[depth - 1].at == json_array_size(stack[depth - 1].list))
			depth--;
		if (!depth)
			return true;
		l.part = json_array_get(stack[depth - 1].list, stack[depth - 1].at++);
	}
}

/* ── the whole ── */

/* An upper bound of the parts of a tree of JSON: its arrays' elements. */
static bool
count_parts(struct composing *w, bool has_structure)
{
	const json_t *stack[4 * COMPOSE_PARTS_MAX];
	size_t n = 0, parts = 0;

	if (!has_structure) {
		parts = json_array_size(json_object_get(w->email, "attachments"));
	} else
		stack[n++] = json_object_get(w->email, "bodyStructure");
	while (n && parts <= COMPOSE_PARTS_MAX) {
		const json_t *sub = json_object_get(stack[--n], "subParts");
		size_t sub_n = json_array_size(sub);

		parts++;
		if (sub_n > sizeof stack / sizeof *stack - n)
			parts = SIZE_MAX;
		for (size_t i = 0; i < sub_n && parts <= COMPOSE_PARTS_MAX; i++)
			stack[n++] = json_array_get(sub, i);
	}
	w->parts_max = parts;
	return parts <= COMPOSE_PARTS_MAX ||
	       jmap_refuse(w->error, has_structure ? "bodyStructure" : "attachments",
		       "a mail has at most %d parts", COMPOSE_PARTS_MAX);
}

static bool
read_parts(struct composing *w, bool has_structure)
{
	static const char *const lists[] = { "textBody", "htmlBody", "attachments" };
	const json_t *values = json_object_get(w->email, "bodyValues");

	if (values && !json_is_null(values) && !json_is_object(values))
		return jmap_refuse(w->error, "bodyValues", "is no object");
	for (size_t i = 0; has_structure && i < sizeof lists / sizeof *lists; i++)
		if (json_object_get(w->email, lists[i]) &&
			!json_is_null(json_object_get(w->email, lists[i])))
			return jmap_refuse(w->error, lists[i], "bodyStructure says the whole body");
	if (has_structure)
		return read_structure(w);
	return read_one_text(w, "textBody", S("text/plain")) &&
	       read_one_text(w, "htmlBody", S("text/html")) && read_attachments(w);
}

bool
composing_read_body(struct composing *w)
{
	const json_t *structure = json_object_get(w->email, "bodyStructure");
	bool has_structure = structure && !json_is_null(structure);

	if (!count_parts(w, has_structure))
		return false;
	w->parts = memory_take(NULL, (w->parts_max + 1) * sizeof *w->parts);
	w->sources = memory_take(NULL, (w->parts_max + 1) * sizeof *w->sources);
	w->missing = json_array();
	w->c.parts = w->parts;
	if (!read_parts(w, has_structure))
		return false;
	if (json_array_size(w->missing) == 0)
		return true;
	*w->error = jmap_set_error("blobNotFound", "not all of the blobs are there");
	json_object_set(*w->error, "notFound", w->missing);
	return false;
}

void
composing_close_body(struct composing *w)
{
	close_source(&w->text);
	close_source(&w->html);
	for (size_t i = 0; i < w->parts_max && w->sources; i++)
		close_source(&w->sources[i]);
	memory_release(NULL, w->parts);
	memory_release(NULL, w->sources);
	json_decref(w->missing);
}
