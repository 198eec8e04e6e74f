/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_submission.h"

#include "base/must.h"

/* EmailSubmission/query: conditions and orders as tables, over all that is kept, which is never much. */

enum { FILTER_DEPTH_MAX = 16 }; /* operators within operators */

/* ── /query, §7.3 ── */

static bool
is_one_of(const json_t *list, const json_t *value)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_array_get(list, i), value))
			return true;
	return false;
}

static bool
fits_ids(const json_t *object, const char *property, const json_t *value)
{
	return is_one_of(value, json_object_get(object, property));
}

static bool
fits_text(const json_t *object, const char *property, const json_t *value)
{
	return json_equal(json_object_get(object, property), value);
}

static bool
fits_before(const json_t *object, const char *property, const json_t *value)
{
	int64_t ms;

	(void)property;
	return jmap_read_date(value, &ms) && jmap_submission_at_ms(object) < ms;
}

static bool
fits_after(const json_t *object, const char *property, const json_t *value)
{
	return !fits_before(object, property, value);
}

static bool
is_ids(const json_t *value)
{
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!json_is_string(json_array_get(value, i)))
			return false;
	return json_is_array(value);
}

static bool
is_text(const json_t *value)
{
	return json_is_string(value);
}

static bool
is_date(const json_t *value)
{
	int64_t ms;

	return jmap_read_date(value, &ms);
}

static const struct {
	const char *name;
	bool (*is)(const json_t *value);
	const char *property;
	bool (*fits)(const json_t *object, const char *property, const json_t *value);
} conditions[] = {
	{ "identityIds", is_ids, "identityId", fits_ids },
	{ "emailIds", is_ids, "emailId", fits_ids },
	{ "threadIds", is_ids, "threadId", fits_ids },
	{ "undoStatus", is_text, "undoStatus", fits_text },
	{ "before", is_date, "sendAt", fits_before },
	{ "after", is_date, "sendAt", fits_after },
};

enum { CONDITIONS = sizeof conditions / sizeof *conditions };

static size_t
condition_named(const char *name)
{
	size_t i = 0;

	while (i < CONDITIONS && strcmp(conditions[i].name, name) != 0)
		i++;
	return i;
}

static bool
is_operator(struct str word)
{
	return str_eq(word, S("AND")) || str_eq(word, S("OR")) || str_eq(word, S("NOT"));
}

static json_t *
check_condition(const char *name, const json_t *value)
{
	size_t i = condition_named(name);

	if (i == CONDITIONS)
		return jmap_error("unsupportedFilter", "%.100s: no such condition", name);
	if (!conditions[i].is(value))
		return jmap_error("invalidArguments", "filter: %s", name);
	return NULL;
}

/* Recursion, bounded by FILTER_DEPTH_MAX: both walk the same few levels of operators. NULL: right; else the error's answer. */
static json_t *
check_filter(const json_t *filter, unsigned depth)
{
	json_t *object = (json_t *)(uintptr_t)filter, *error = NULL;
	const json_t *sub = json_object_get(filter, "conditions");
	const json_t *word = json_object_get(filter, "operator");

	if (depth > FILTER_DEPTH_MAX)
		return jmap_error("unsupportedFilter", "operators within operators within …");
	if (!json_is_object(filter))
		return jmap_error("invalidArguments", "filter: no object");
	if (word) {
		if (!is_operator(jmap_str(word)) || !json_is_array(sub))
			return jmap_error(
				"invalidArguments", "filter: no operator over conditions");
		for (size_t i = 0; !error && i < json_array_size(sub); i++)
			error = check_filter(json_array_get(sub, i), depth + 1);
		return error;
	}
	for (void *at = json_object_iter(object); !error && at;
		at = json_object_iter_next(object, at))
		error = check_condition(json_object_iter_key(at), json_object_iter_value(at));
	return error;
}

static bool
filter_fits(const json_t *filter, const json_t *object)
{
	json_t *each = (json_t *)(uintptr_t)filter;
	const json_t *sub = json_object_get(filter, "conditions");
	struct str word = jmap_str(json_object_get(filter, "operator"));
	bool wants_all = str_eq(word, S("AND")), fits;

	if (word.n) { /* NOT: none of them, the contrary of OR */
		for (size_t i = 0; i < json_array_size(sub); i++) {
			fits = filter_fits(json_array_get(sub, i), object);
			if (fits != wants_all)
				return fits == str_eq(word, S("OR"));
		}
		return wants_all || str_eq(word, S("NOT"));
	}
	for (void *at = json_object_iter(each); at; at = json_object_iter_next(each, at)) {
		size_t i = condition_named(json_object_iter_key(at));

		if (!conditions[i].fits(object, conditions[i].property, json_object_iter_value(at)))
			return false;
	}
	return true;
}

/* ── its order: by one or more of three properties, the newest first where they are the same ── */

enum { SORTS_MAX = 3 };

struct order {
	const char *properties[SORTS_MAX];
	bool is_descending[SORTS_MAX];
	size_t n;
};

struct result {
	json_t *object;
	const struct order *order;
	size_t place; /* in the list, newest first */
};

static int
compare(const void *a, const void *b)
{
	const struct result *x = a, *y = b;
	const struct order *o = x->order;

	for (size_t i = 0; i < o->n; i++) {
		const char *p = json_string_value(json_object_get(x->object, o->properties[i]));
		const char *q = json_string_value(json_object_get(y->object, o->properties[i]));
		int difference = strcmp(p ? p : "", q ? q : "");

		if (difference)
			return o->is_descending[i] ? -difference : difference;
	}
	return (x->place > y->place) - (x->place < y->place);
}

static bool
read_order(const json_t *sort, struct order *o, json_t **error)
{
	static const struct {
		struct str name;
		const char *property;
	} orders[] = { { { "emailId", 7 }, "emailId" }, { { "threadId", 8 }, "threadId" },
		{ { "sentAt", 6 }, "sendAt" } };
	enum { ORDERS = sizeof orders / sizeof *orders };
	bool is_ascending;

	*o = (struct order){ 0 };
	if (sort && !json_is_null(sort) && !json_is_array(sort)) {
		*error = jmap_error("invalidArguments", "sort is not an array");
		return false;
	}
	for (size_t i = 0; i < json_array_size(sort); i++) {
		const json_t *comparator = json_array_get(sort, i);
		size_t which = 0;

		while (which < ORDERS && !str_eq(orders[which].name,
						 jmap_str(json_object_get(comparator, "property"))))
			which++;
		if (which == ORDERS || o->n == SORTS_MAX) {
			*error = jmap_error(
				"unsupportedSort", "sort by emailId, threadId or sentAt");
			return false;
		}
		if (!jmap_read_bool(comparator, "isAscending", true, &is_ascending, error))
			return false;
		o->properties[o->n] = orders[which].property;
		o->is_descending[o->n++] = !is_ascending;
	}
	return true;
}

/* A filter that is one condition tells of which mails; then only those are looked at. */
static size_t
gather(struct jmap_request *r, const json_t *filter, const struct order *order, struct result *to,
	size_t most)
{
	const json_t *mails = json_object_get(filter, "emailIds");
	char *text = mails ? json_dumps(mails, JSON_COMPACT) : NULL;
	struct str id, json;
	struct kept_walk walk;
	size_t found = 0;

	kept_walk_begin(r->kept, KEPT_SUBMISSION, str_of(text ? text : ""), &walk);
	for (size_t place = 0; found < most && kept_walk_next(&walk, &id, &json); place++) {
		json_t *object = jmap_kept_object(id, json);

		if (object)
			jmap_submission_show(object);
		if (object && (!json_is_object(filter) || filter_fits(filter, object)))
			to[found++] =
				(struct result){ .object = object, .order = order, .place = place };
		else
			json_decref(object);
	}
	kept_walk_end(&walk);
	free(text);
	if (found)
		qsort(to, found, sizeof *to, compare);
	return found;
}

/* Where the window begins; false: anchorNotFound. */
static bool
window_begin(const struct jmap_window *w, const struct result *results, size_t n, int64_t *begin)
{
	int64_t at = w->position < 0 ? (int64_t)n + w->position : w->position;

	if (w->anchor.p) {
		for (at = 0; at < (int64_t)n; at++)
			if (str_eq(jmap_str(json_object_get(results[at].object, "id")), w->anchor))
				break;
		if (at == (int64_t)n)
			return false;
		at += w->anchor_offset;
	}
	*begin = at < 0 ? 0 : at;
	return true;
}

static json_t *
query_answer(
	struct jmap_request *r, const struct jmap_window *w, const struct result *results, size_t n)
{
	json_t *ids = json_array(), *answer;
	int64_t begin;

	if (!window_begin(w, results, n, &begin)) {
		json_decref(ids);
		return jmap_error("anchorNotFound", "the anchor is not among the results");
	}
	for (size_t i = (size_t)begin; i < n && json_array_size(ids) < w->limit; i++)
		json_array_append(ids, json_object_get(results[i].object, "id"));
	answer = json_pack("{s:s, s:o, s:b, s:I, s:o}", "accountId", JMAP_ACCOUNT, "queryState",
		jmap_kept_state(r, KEPT_SUBMISSION), "canCalculateChanges", 0, "position",
		(json_int_t)begin, "ids", ids);
	if (w->wants_total)
		json_object_set_new(answer, "total", json_integer((json_int_t)n));
	return answer;
}

enum jmap_step
jmap_submission_query(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "filter", "sort", "position", "anchor", "anchorOffset",
		"limit", "calculateTotal", NULL };
	const json_t *filter = json_object_get(arguments, "filter");
	struct jmap_window window;
	struct order order;
	struct result *results;
	size_t n;

	*answer = jmap_check_arguments(arguments, names);
	if (*answer || !jmap_read_window(arguments, &window, answer) ||
		!read_order(json_object_get(arguments, "sort"), &order, answer))
		return JMAP_DONE;
	if (filter && !json_is_null(filter) && (*answer = check_filter(filter, 0)))
		return JMAP_DONE;
	results = arena_take(&r->arena, KEPT_OBJECTS_MAX * sizeof *results);
	must(results);
	n = gather(r, filter, &order, results, KEPT_OBJECTS_MAX);
	*answer = query_answer(r, &window, results, n);
	for (size_t i = 0; i < n; i++)
		json_decref(results[i].object);
	return JMAP_DONE;
}

/* Which results are there hangs on the clock too (undoStatus), which no state knows. */
enum jmap_step
jmap_submission_query_changes(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "filter", "sort", "sinceQueryState", "maxChanges",
		"upToId", "calculateTotal", NULL };

	(void)r;
	*answer = jmap_check_arguments(arguments, names);
	if (!*answer)
		*answer = jmap_error("cannotCalculateChanges", "ask EmailSubmission/query again");
	return JMAP_DONE;
}
