/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_email.h"

/* Email/query and Email/queryChanges, RFC 8621 §4.4, §4.5: arguments made into a box_query, and what it found. */

enum {
	FOUND_MAX = 50 * 1000
}; /* ids of one answer, 4 MB: the list shows a few dozen, and nobody reads on to this one */

static const struct order {
	const char *property;
	enum box_order by;
	bool has_keyword;
} orders[] = {
	{ "receivedAt", BY_RECEIVED, false },
	{ "sentAt", BY_SENT, false },
	{ "size", BY_SIZE, false },
	{ "from", BY_FROM, false },
	{ "to", BY_TO, false },
	{ "subject", BY_SUBJECT, false },
	{ "hasKeyword", BY_FLAG, true },
	{ "allInThreadHaveKeyword", BY_THREAD_ALL, true },
	{ "someInThreadHaveKeyword", BY_THREAD_SOME, true },
};

static const struct order *
order_named(struct str name)
{
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
		if (str_eq(name, str_of(orders[i].property)))
			return &orders[i];
	return NULL;
}

static bool
is_collation(const json_t *j)
{
	return !j || json_is_null(j) || str_eq(jmap_str(j), S("i;ascii-casemap")) ||
	       str_eq(jmap_str(j), S("i;unicode-casemap"));
}

/* One comparator (RFC 8620 §5.5); by a keyword that no mail has all are alike, and it falls away. */
static bool
read_comparator(struct box_query *q, const json_t *json, json_t **error)
{
	struct str property = jmap_str(json_object_get(json, "property"));
	const struct order *order = order_named(property);
	struct box_sort *sort = &q->sort[q->sort_n];
	bool is_ascending;

	if (!property.p || !jmap_read_bool(json, "isAscending", true, &is_ascending, error)) {
		if (!*error)
			*error = jmap_error("invalidArguments", "sort has no property");
		return false;
	}
	if (!order || !is_collation(json_object_get(json, "collation"))) {
		*error = jmap_error("unsupportedSort", "by %.*s",
			(int)(property.n < 100 ? property.n : 100), property.p);
		return false;
	}
	*sort = (struct box_sort){ .by = order->by, .is_descending = !is_ascending };
	if (order->has_keyword) {
		if (!json_is_string(json_object_get(json, "keyword"))) {
			*error = jmap_error("invalidArguments", "sort: keyword is missing");
			return false;
		}
		sort->flag = email_keyword(jmap_str(json_object_get(json, "keyword")));
		if (!sort->flag)
			return true;
	}
	q->sort_n++;
	return true;
}

static bool
read_sort(struct box_query *q, const json_t *sort, bool *is_fixed, json_t **error)
{
	const json_t *one;
	size_t i;

	if (sort && !json_is_null(sort) && !json_is_array(sort))
		*error = jmap_error("invalidArguments", "sort is not an array");
	else if (json_array_size(sort) > sizeof q->sort / sizeof *q->sort)
		*error = jmap_error("unsupportedSort", "too many comparators");
	if (*error)
		return false;
	json_array_foreach (sort, i, one) {
		if (!read_comparator(q, one, error))
			return false;
	}
	for (i = 0; i < q->sort_n; i++)
		if (q->sort[i].by == BY_THREAD_ALL || q->sort[i].by == BY_THREAD_SOME)
			*is_fixed = false;
	return true;
}

/* *is_fixed: whether a mail is found, and where, hangs on its own properties alone, so that changes can be told. */
static bool
read_query(struct jmap_request *r, const json_t *arguments, struct box_query *q, bool *is_fixed,
	json_t **error)
{
	if (!email_read_filter(
		    r, json_object_get(arguments, "filter"), &q->filter, is_fixed, error) ||
		!read_sort(q, json_object_get(arguments, "sort"), is_fixed, error) ||
		!jmap_read_bool(arguments, "collapseThreads", false, &q->collapses_threads, error))
		return false;
	*is_fixed = *is_fixed && !q->collapses_threads;
	return true;
}

enum jmap_step
jmap_email_query(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "filter", "sort", "position", "anchor", "anchorOffset",
		"limit", "calculateTotal", "collapseThreads", NULL };
	struct box_query q = { 0 };
	struct box_found found = { 0 };
	struct jmap_window w;
	struct err e = { 0 };
	char state[BOX_STATE];
	bool is_fixed;

	if ((*answer = jmap_check_arguments(arguments, names)) ||
		!read_query(r, arguments, &q, &is_fixed, answer) ||
		!jmap_read_window(arguments, &w, answer))
		return JMAP_DONE;
	q.position = w.position;
	q.anchor = w.anchor;
	q.anchor_offset = w.anchor_offset;
	q.wants_total = w.wants_total;
	q.limit = w.limit < FOUND_MAX ? w.limit : FOUND_MAX;
	box_state(r->box, BOX_MAILS, state);
	if (!box_query(r->box, &q, &r->arena, &found, &e))
		*answer = jmap_error("serverFail", "%s", e.text);
	else if (found.has_no_anchor)
		*answer = jmap_error("anchorNotFound", "the anchor is not among the results");
	if (*answer)
		return JMAP_DONE;
	*answer = json_pack("{s:s, s:s, s:b, s:I, s:o}", "accountId", JMAP_ACCOUNT, "queryState",
		state, "canCalculateChanges", is_fixed, "position", (json_int_t)found.position,
		"ids", jmap_texts(found.ids, found.n));
	if (q.wants_total)
		json_object_set_new(*answer, "total", json_integer((json_int_t)found.total));
	if (w.limit > FOUND_MAX)
		json_object_set_new(*answer, "limit", json_integer(FOUND_MAX));
	return JMAP_DONE;
}

enum jmap_step
jmap_email_query_changes(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "filter", "sort", "sinceQueryState", "maxChanges",
		"upToId", "calculateTotal", "collapseThreads", NULL };
	struct box_query q = { .limit = FOUND_MAX, .wants_total = true };
	struct box_found found = { 0 };
	struct err e = { 0 };
	bool is_fixed;

	if ((*answer = jmap_check_arguments(arguments, names)) ||
		!read_query(r, arguments, &q, &is_fixed, answer))
		return JMAP_DONE;
	if (!is_fixed)
		*answer = jmap_error("cannotCalculateChanges", "not where threads matter");
	else if (!box_query(r->box, &q, &r->arena, &found, &e))
		*answer = jmap_error("serverFail", "%s", e.text);
	else if (found.total > found.n)
		*answer = jmap_error("cannotCalculateChanges", "too many results");
	else
		*answer = jmap_query_changes_answer(r, BOX_MAILS, arguments, found.ids, found.n);
	return JMAP_DONE;
}
