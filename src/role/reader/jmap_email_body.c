/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_email.h"

/*
 * Body parts, RFC 8621 §4.1.4: their tree, the three lists, and texts. How deep a tree and how many parts there are is letter.h's limit; how many octets of
 * texts one call may give is the caller's, for a thousand mails of fifty megabytes are in one Email/get.
 */

/* ── what is wished ── */

static const char *const properties[] = { "partId", "blobId", "size", "headers", "name", "type",
	"charset", "disposition", "cid", "language", "location", "subParts", NULL };
static const char *const usual[] = { "partId", "blobId", "size", "name", "type", "charset",
	"disposition", "cid", "language", "location", NULL };

static bool
is_property(struct str name)
{
	struct header_wish wish;

	for (size_t i = 0; properties[i]; i++)
		if (str_eq(name, str_of(properties[i])))
			return true;
	return header_scan_wish(name, &wish);
}

bool
body_read_wish(const json_t *arguments, struct body_wish *wish, json_t **error)
{
	const json_t *most = json_object_get(arguments, "maxBodyValueBytes"), *name;
	size_t i;

	*wish = (struct body_wish){ .properties = json_object_get(arguments, "bodyProperties"),
		.value_max = SIZE_MAX };
	if (!jmap_read_bool(arguments, "fetchTextBodyValues", false, &wish->text_values, error) ||
		!jmap_read_bool(
			arguments, "fetchHTMLBodyValues", false, &wish->html_values, error) ||
		!jmap_read_bool(arguments, "fetchAllBodyValues", false, &wish->all_values, error))
		return false;
	if (json_is_null(wish->properties))
		wish->properties = NULL;
	if (wish->properties && !json_is_array(wish->properties))
		*error = jmap_error("invalidArguments", "bodyProperties is not an array");
	json_array_foreach (*error ? NULL : wish->properties, i, name) {
		if (json_is_string(name) && is_property(jmap_str(name)))
			continue;
		*error = jmap_error("invalidArguments", "bodyProperties: %.100s",
			json_is_string(name) ? json_string_value(name) : "not a string");
		break;
	}
	if (most && !json_is_null(most) && (!json_is_integer(most) || json_integer_value(most) < 0))
		*error = jmap_error("invalidArguments", "maxBodyValueBytes is not a number");
	if (json_integer_value(most) > 0)
		wish->value_max = (size_t)json_integer_value(most);
	return !*error;
}

/* ── a part ── */

static bool
is_text(const struct letter_part *p)
{
	return str_starts(p->type, S("text/"));
}

/* A multipart has no octets of its own to fetch. */
static json_t *
blob_id(const struct body *b, const struct letter_part *p)
{
	struct buf id = { .max = b->blob.n + p->id.n + 1 };
	json_t *j;

	if (!p->id.n)
		return json_null();
	buf_add(&id, b->blob);
	buf_add_char(&id, '-');
	buf_add(&id, p->id);
	j = jmap_text(buf_str(&id));
	buf_free(&id);
	return j;
}

static json_t *
property(const struct body *b, const struct letter_part *p, struct str name)
{
	struct header_wish wish;

	if (str_eq(name, S("partId")))
		return jmap_text_or_null(p->id);
	if (str_eq(name, S("blobId")))
		return blob_id(b, p);
	if (str_eq(name, S("size")))
		return json_integer((json_int_t)p->size);
	if (str_eq(name, S("headers")))
		return header_list(p);
	if (str_eq(name, S("name")))
		return jmap_text_or_null(p->name);
	if (str_eq(name, S("type")))
		return jmap_text(p->type);
	if (str_eq(name, S("charset")))
		return is_text(p) ? jmap_text_or_null(p->charset) : json_null();
	if (str_eq(name, S("disposition")))
		return jmap_text_or_null(p->disposition);
	if (str_eq(name, S("cid")))
		return jmap_text_or_null(p->cid);
	if (str_eq(name, S("language")))
		return p->languages_n ? jmap_texts(p->languages, p->languages_n) : json_null();
	if (str_eq(name, S("location")))
		return jmap_text_or_null(p->location);
	if (header_scan_wish(name, &wish))
		return header_value(p, &wish, b->arena);
	return json_null(); /* subParts: body_structure puts them in their place */
}

static json_t *
part(const struct body *b, const struct letter_part *p)
{
	const json_t *name;
	json_t *o = json_object();
	size_t i;

	for (i = 0; !b->wish->properties && usual[i]; i++)
		json_object_set_new(o, usual[i], property(b, p, str_of(usual[i])));
	json_array_foreach (b->wish->properties, i, name)
		json_object_set_new(o, json_string_value(name), property(b, p, jmap_str(name)));
	return o;
}

json_t *
body_parts(const struct body *b, const struct letter_part *const *parts, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, part(b, parts[i]));
	return list;
}

/* A branch of the tree, at most LETTER_DEPTH_MAX deep. subParts are there whether they were wished for or not: without them it is no structure. */
static json_t *
branch(const struct body *b, const struct letter_part *p)
{
	json_t *o = part(b, p), *sub;

	if (p->id.n)
		return o;
	sub = json_array();
	for (size_t i = 0; i < p->sub_n; i++)
		json_array_append_new(sub, branch(b, p->sub[i]));
	json_object_set_new(o, "subParts", sub);
	return o;
}

json_t *
body_structure(const struct body *b)
{
	return branch(b, letter_root(b->letter));
}

/* ── values ── */

static void
add_value(const struct body *b, const struct letter_part *p, json_t *values)
{
	size_t most = b->wish->value_max < *b->left ? b->wish->value_max : *b->left;
	struct buf text = { .max = *b->left };
	struct letter_text_facts facts = { 0 };

	if (!is_text(p) || json_object_getn(values, p->id.p, p->id.n))
		return;
	letter_text(b->letter, p, most, &text, &facts);
	json_object_setn_new(values, p->id.p, p->id.n,
		json_pack("{s:o, s:b, s:b}", "value", jmap_text(buf_str(&text)),
			"isEncodingProblem", facts.has_encoding_problem, "isTruncated",
			facts.is_truncated));
	*b->left = facts.is_truncated && most == *b->left ? 0 : *b->left - text.n;
	buf_free(&text);
}

static void
add_values(const struct body *b, const struct letter_part *const *parts, size_t n, json_t *values)
{
	for (size_t i = 0; i < n; i++)
		add_value(b, parts[i], values);
}

json_t *
body_values(const struct body *b)
{
	const struct letter_view *view = letter_view(b->letter);
	json_t *values = json_object();

	if (b->wish->text_values || b->wish->all_values)
		add_values(b, view->text, view->text_n, values);
	if (b->wish->html_values || b->wish->all_values)
		add_values(b, view->html, view->html_n, values);
	if (b->wish->all_values)
		add_values(b, view->attachments, view->attachments_n, values);
	return values;
}
