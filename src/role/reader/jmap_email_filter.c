/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_email.h"

/*
 * FilterOperator and FilterCondition, RFC 8620 §5.5 and RFC 8621 §4.4.1, made into the box's terms: an operator is a term over its conditions, a
 * condition with several properties is all of them.
 */

enum {
	DEPTH_MAX = 30, /* of operators: what the box can do */
	TERMS_MAX = 1000,
	TEXT_MAX = 4096, /* octets that are looked for */
};

enum value { V_ID, V_IDS, V_DATE, V_SIZE, V_KEYWORD, V_BOOL, V_TEXT, V_HEADER };

static const struct condition {
	const char *name;
	enum value value;
	enum box_term_kind kind;
} conditions[] = {
	{ "inMailbox", V_ID, BOX_IN_FOLDER },
	{ "inMailboxOtherThan", V_IDS, BOX_IN_NO_FOLDER_OF },
	{ "before", V_DATE, BOX_BEFORE },
	{ "after", V_DATE, BOX_AFTER },
	{ "minSize", V_SIZE, BOX_LARGER },
	{ "maxSize", V_SIZE, BOX_SMALLER },
	{ "allInThreadHaveKeyword", V_KEYWORD, BOX_THREAD_ALL },
	{ "someInThreadHaveKeyword", V_KEYWORD, BOX_THREAD_SOME },
	{ "noneInThreadHaveKeyword", V_KEYWORD, BOX_THREAD_NONE },
	{ "hasKeyword", V_KEYWORD, BOX_HAS_FLAG },
	{ "notKeyword", V_KEYWORD, BOX_HAS_NOT_FLAG },
	{ "hasAttachment", V_BOOL, BOX_HAS_ATTACHMENT },
	{ "text", V_TEXT, BOX_TEXT },
	{ "from", V_TEXT, BOX_FROM },
	{ "to", V_TEXT, BOX_TO },
	{ "cc", V_TEXT, BOX_CC },
	{ "bcc", V_TEXT, BOX_BCC },
	{ "subject", V_TEXT, BOX_SUBJECT },
	{ "body", V_TEXT, BOX_BODY },
	{ "header", V_HEADER, BOX_HEADER },
};

struct filter {
	struct jmap_request *request;
	size_t terms; /* so far */
	bool is_fixed;
	json_t **error;
};

static const struct {
	struct str name;
	unsigned flag;
} keywords[] = {
	{ { "$seen", 5 }, BOX_SEEN },
	{ { "$answered", 9 }, BOX_ANSWERED },
	{ { "$flagged", 8 }, BOX_FLAGGED },
	{ { "$draft", 6 }, BOX_DRAFT },
	{ { "$forwarded", 10 }, BOX_FORWARDED },
};

unsigned
email_keyword(struct str keyword)
{
	for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
		if (str_eq_nocase(keyword, keywords[i].name))
			return keywords[i].flag;
	return 0;
}

json_t *
email_keywords(unsigned flags)
{
	json_t *o = json_object();

	for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
		if (flags & keywords[i].flag)
			json_object_setn_new(
				o, keywords[i].name.p, keywords[i].name.n, json_true());
	return o;
}

/* ── conditions ── */

static bool
fail(struct filter *f, json_t *error)
{
	if (*f->error)
		json_decref(error);
	else
		*f->error = error;
	return false;
}

static json_t *
too_many(void)
{
	return jmap_error("unsupportedFilter", "more than %d conditions", TERMS_MAX);
}

static struct box_term *
terms(struct filter *f, size_t n)
{
	struct box_term *t = NULL;

	f->terms += n;
	if (f->terms <= TERMS_MAX)
		t = arena_take(&f->request->arena, (n + 1) * sizeof *t);
	if (!t)
		fail(f, too_many());
	return t;
}

/* A mail has no keyword but those that a file's name can have: any other is had by none. */
static void
no_such_keyword(struct box_term *t)
{
	*t = (struct box_term){
		.kind = t->kind == BOX_HAS_NOT_FLAG || t->kind == BOX_THREAD_NONE
				? BOX_AND
				: BOX_OR /* of nothing */
	};
}

static bool
read_ids(struct filter *f, const json_t *value, struct box_term *t)
{
	struct str *ids =
		arena_take(&f->request->arena, (json_array_size(value) + 1) * sizeof *ids);
	const json_t *id;
	size_t i;

	f->terms += json_array_size(value);
	if (f->terms > TERMS_MAX)
		return fail(f, too_many());
	if (!ids || !json_is_array(value))
		return false;
	json_array_foreach (value, i, id) {
		if (!json_is_string(id))
			return false;
		ids[i] = jmap_id(f->request, id);
	}
	t->texts = ids;
	t->texts_n = i;
	return true;
}

/* ["List-Id"] or ["List-Id", "part of its value"] */
static bool
read_header(const json_t *value, struct box_term *t)
{
	size_t n = json_array_size(value);

	t->text = jmap_str(json_array_get(value, 0));
	t->other = jmap_str(json_array_get(value, 1));
	return (n == 1 || (n == 2 && t->other.p)) && t->text.n;
}

static bool
read_value(struct filter *f, const struct condition *c, const json_t *value, struct box_term *t)
{
	switch (c->value) {
	case V_ID:
		t->text = jmap_id(f->request, value);
		return json_is_string(value);
	case V_IDS:
		return read_ids(f, value, t);
	case V_DATE:
		return jmap_read_date(value, &t->number);
	case V_SIZE:
		t->number = json_integer_value(value);
		return json_is_integer(value) && t->number >= 0;
	case V_KEYWORD:
		t->number = email_keyword(jmap_str(value));
		if (!t->number)
			no_such_keyword(t);
		return json_is_string(value);
	case V_BOOL:
		t->number = json_is_true(value);
		return json_is_boolean(value);
	case V_TEXT:
		t->text = jmap_str(value);
		return json_is_string(value);
	case V_HEADER:
		return read_header(value, t);
	}
	return false;
}

static const struct condition *
condition_named(const char *name)
{
	for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
		if (!strcmp(name, conditions[i].name))
			return &conditions[i];
	return NULL;
}

static bool
read_condition(struct filter *f, const json_t *json, struct box_term *t)
{
	struct box_term *sub = terms(f, json_object_size(json));
	const char *name;
	json_t *value;
	size_t n = 0;

	if (!sub)
		return false;
	json_object_foreach ((json_t *)(uintptr_t)json, name, value) {
		const struct condition *c = condition_named(name);

		if (!c)
			return fail(f, jmap_error("unsupportedFilter", "%.100s", name));
		sub[n].kind = c->kind;
		if (json_string_length(value) > TEXT_MAX)
			return fail(f, jmap_error("unsupportedFilter", "%.100s is too long", name));
		if (!read_value(f, c, value, &sub[n++]))
			return fail(f, jmap_error("invalidArguments",
					       "filter: %.100s is of a wrong type", name));
		if (c->kind == BOX_THREAD_ALL || c->kind == BOX_THREAD_SOME ||
			c->kind == BOX_THREAD_NONE)
			f->is_fixed = false;
	}
	*t = n == 1 ? sub[0] : (struct box_term){ .kind = BOX_AND, .sub = sub, .sub_n = n };
	return true;
}

/* ── operators ── */

static bool
operator_kind(struct str name, enum box_term_kind *kind)
{
	bool is_or = str_eq(name, S("OR")), is_not = str_eq(name, S("NOT"));

	*kind = is_or ? BOX_OR : is_not ? BOX_NOT : BOX_AND;
	return is_or || is_not || str_eq(name, S("AND"));
}

/* At most DEPTH_MAX deep. */
static bool
read_term(struct filter *f, const json_t *json, unsigned depth, struct box_term *t)
{
	const json_t *joint = json_object_get(json, "operator"),
		     *list = json_object_get(json, "conditions"), *one;
	struct box_term *sub;
	size_t i;

	if (!json_is_object(json) || depth > DEPTH_MAX)
		return fail(f, depth > DEPTH_MAX
				       ? jmap_error("unsupportedFilter", "it is too deep")
				       : jmap_error("invalidArguments", "filter is not an object"));
	if (!joint)
		return read_condition(f, json, t);
	if (!operator_kind(jmap_str(joint), &t->kind) || !json_is_array(list) ||
		json_object_size(json) != 2)
		return fail(f, jmap_error("invalidArguments", "filter: operator or conditions"));
	sub = terms(f, json_array_size(list));
	if (!sub)
		return false;
	json_array_foreach (list, i, one) {
		if (!read_term(f, one, depth + 1, &sub[i]))
			return false;
	}
	t->sub = sub;
	t->sub_n = i;
	return true;
}

bool
email_read_filter(struct jmap_request *r, const json_t *json, const struct box_term **filter,
	bool *is_fixed, json_t **error)
{
	struct filter f = { .request = r, .is_fixed = true, .error = error };
	struct box_term *root;

	*filter = NULL;
	*is_fixed = true;
	if (!json || json_is_null(json))
		return true;
	root = terms(&f, 1);
	if (!root || !read_term(&f, json, 0, root))
		return false;
	*filter = root;
	*is_fixed = f.is_fixed;
	return true;
}
