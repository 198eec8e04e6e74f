/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap.h"

/*
 * Mailboxes, RFC 8621 §2: get, changes, query. They are few (hundreds at most), so that a query looks at all of them, and their order is made here. What
 * may be done to one hangs on its role alone: those that have one stay.
 */

enum { DEPTH_MAX = 64, SORTS_MAX = 4 };

static const char *const properties[] = { "id", "name", "parentId", "role", "sortOrder",
	"totalEmails", "unreadEmails", "totalThreads", "unreadThreads", "myRights", "isSubscribed",
	NULL };

static const char *const roles[BOX_ROLES] = { [BOX_INBOX] = "inbox",
	[BOX_DRAFTS] = "drafts",
	[BOX_SENT] = "sent",
	[BOX_TRASH] = "trash",
	[BOX_JUNK] = "junk",
	[BOX_ARCHIVE] = "archive" };

/* ── get, §2.1 ── */

/* Those with a role in the order of enum box_role, the others behind them. */
static int
sort_order(const struct box_folder *f)
{
	return f->role ? (int)f->role : BOX_ROLES;
}

static json_t *
rights(const struct box_folder *f)
{
	bool is_free = f->role == BOX_NO_ROLE;

	return json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "mayReadItems", 1,
		"mayAddItems", 1, "mayRemoveItems", 1, "maySetSeen", 1, "maySetKeywords", 1,
		"mayCreateChild", 1, "mayRename", is_free, "mayDelete", is_free, "maySubmit", 1);
}

json_t *
jmap_mailbox_object(const struct box_folder *f)
{
	json_t *parent = f->parent.n ? jmap_text(f->parent) : json_null(),
	       *role = f->role ? json_string(roles[f->role]) : json_null();

	return json_pack("{s:o, s:o, s:o, s:o, s:i, s:I, s:I, s:I, s:I, s:o, s:b}", "id",
		jmap_text(f->id), "name", jmap_text(f->name), "parentId", parent, "role", role,
		"sortOrder", sort_order(f), "totalEmails", (json_int_t)f->total, "unreadEmails",
		(json_int_t)f->unread, "totalThreads", (json_int_t)f->threads, "unreadThreads",
		(json_int_t)f->unread_threads, "myRights", rights(f), "isSubscribed", 1);
}

static void
add_object(json_t *list, const struct box_folder *f, const json_t *wanted)
{
	json_t *o = jmap_mailbox_object(f);

	jmap_keep_properties(o, wanted);
	json_array_append_new(list, o);
}

static const struct box_folder *
folder_of_id(const struct box_folder *folders, size_t n, struct str id)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(folders[i].id, id))
			return &folders[i];
	return NULL;
}

enum jmap_step
jmap_mailbox_get(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "ids", "properties", NULL };
	const json_t *wanted = json_object_get(arguments, "properties");
	json_t *list, *not_found, *id;
	struct box_folder *folders;
	char state[BOX_STATE];
	size_t n, i;
	bool all;

	if ((*answer = jmap_check_arguments(arguments, names)) ||
		(*answer = jmap_check_properties(wanted, properties)) ||
		!jmap_ids(arguments, "ids", JMAP_OBJECTS_GET_MAX, &all, answer))
		return JMAP_DONE;
	n = box_folders(r->box, &r->arena, &folders);
	list = json_array();
	not_found = json_array();
	for (i = 0; all && i < n; i++)
		add_object(list, &folders[i], wanted);
	json_array_foreach (all ? NULL : json_object_get(arguments, "ids"), i, id) {
		const struct box_folder *f = folder_of_id(folders, n, jmap_id(r, id));

		if (f)
			add_object(list, f, wanted);
		else
			json_array_append(not_found, id);
	}
	box_state(r->box, BOX_FOLDERS, state);
	*answer = jmap_get_answer(state, list, not_found);
	return JMAP_DONE;
}

/* ── changes, §2.2 ── */

enum jmap_step
jmap_mailbox_changes(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	struct box_changes c = { 0 };

	if (jmap_box_changes(r, BOX_FOLDERS, arguments, &c, answer))
		json_object_set_new(*answer, "updatedProperties",
			c.only_counts ? json_pack("[s, s, s, s]", "totalEmails", "unreadEmails",
						"totalThreads", "unreadThreads")
				      : json_null());
	return JMAP_DONE;
}

/* ── query, §2.3 ── */

struct query {
	struct jmap_request *request;
	const json_t *filter; /* NULL: all */
	struct {
		enum { SORT_ORDER, SORT_NAME } by;
		bool is_descending;
	} sort[SORTS_MAX];
	size_t sort_n;
	bool as_tree, filters_tree;
	struct box_folder *folders, **found;
	size_t n, found_n;
};

static json_t *
check_condition(const json_t *filter)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)filter, key, value) {
		bool is_flag = !strcmp(key, "hasAnyRole") || !strcmp(key, "isSubscribed"),
		     is_text = !strcmp(key, "parentId") || !strcmp(key, "name") ||
			       !strcmp(key, "role");

		if (!is_flag && !is_text)
			return jmap_error("unsupportedFilter", "%.100s", key);
		if (is_flag ? !json_is_boolean(value)
			    : !json_is_string(value) &&
					!(json_is_null(value) && strcmp(key, "name") != 0))
			return jmap_error(
				"invalidArguments", "filter: %.100s is of a wrong type", key);
	}
	return NULL;
}

/* As deep as DEPTH_MAX; so are the others that go down the tree after it. */
static json_t *
check_filter(const json_t *filter, unsigned depth)
{
	const json_t *joint = json_object_get(filter, "operator"), *sub;
	json_t *error = NULL;
	size_t i;

	if (!json_is_object(filter) || depth > DEPTH_MAX)
		return jmap_error("invalidArguments", "filter is not an object, or too deep");
	if (!joint)
		return check_condition(filter);
	if (!str_eq(jmap_str(joint), S("AND")) && !str_eq(jmap_str(joint), S("OR")) &&
		!str_eq(jmap_str(joint), S("NOT")))
		return jmap_error("invalidArguments", "filter: operator");
	if (!json_is_array(json_object_get(filter, "conditions")))
		return jmap_error("invalidArguments", "filter: conditions");
	json_array_foreach (json_object_get(filter, "conditions"), i, sub)
		if ((error = check_filter(sub, depth + 1)))
			break;
	return error;
}

static bool
fits_condition(struct jmap_request *r, const json_t *filter, const struct box_folder *f)
{
	const json_t *parent = json_object_get(filter, "parentId"),
		     *name = json_object_get(filter, "name"),
		     *role = json_object_get(filter, "role"),
		     *any = json_object_get(filter, "hasAnyRole"),
		     *subscribed = json_object_get(filter, "isSubscribed");

	return (!parent || str_eq(jmap_id(r, parent), f->parent)) &&
	       (!name || str_has_nocase(f->name, jmap_str(name))) &&
	       (!role || str_eq(jmap_str(role), str_of(roles[f->role]))) &&
	       (!any || json_is_true(any) == (f->role != BOX_NO_ROLE)) &&
	       (!subscribed || json_is_true(subscribed));
}

/* A filter that check_filter has found right. */
static bool
fits(struct jmap_request *r, const json_t *filter, const struct box_folder *f)
{
	struct str joint = jmap_str(json_object_get(filter, "operator"));
	const json_t *sub;
	size_t i;

	if (!joint.n)
		return fits_condition(r, filter, f);
	json_array_foreach (json_object_get(filter, "conditions"), i, sub) {
		if (fits(r, sub, f) != str_eq(joint, S("AND")))
			return str_eq(joint, S("OR"));
	}
	return !str_eq(joint, S("OR"));
}

static bool
read_sort(struct query *q, const json_t *sort, json_t **error)
{
	const json_t *one;
	size_t i;

	if (sort && !json_is_null(sort) && !json_is_array(sort))
		*error = jmap_error("invalidArguments", "sort is not an array");
	if (json_array_size(sort) > SORTS_MAX)
		*error = jmap_error("unsupportedSort", "more than %d comparators", SORTS_MAX);
	json_array_foreach (*error ? NULL : sort, i, one) {
		struct str property = jmap_str(json_object_get(one, "property"));
		bool is_name = str_eq(property, S("name")), is_ascending;

		if (!property.p)
			*error = jmap_error("invalidArguments", "sort has no property");
		else if (!is_name && !str_eq(property, S("sortOrder")))
			*error = jmap_error("unsupportedSort", "by %.*s",
				(int)(property.n < 100 ? property.n : 100), property.p);
		if (*error || !jmap_read_bool(one, "isAscending", true, &is_ascending, error))
			break;
		q->sort[q->sort_n].by = is_name ? SORT_NAME : SORT_ORDER;
		q->sort[q->sort_n++].is_descending = !is_ascending;
	}
	return !*error;
}

static bool
read_query(struct query *q, const json_t *arguments, json_t **error)
{
	q->filter = json_object_get(arguments, "filter");
	if (json_is_null(q->filter))
		q->filter = NULL;
	if (q->filter && (*error = check_filter(q->filter, 0)))
		return false;
	return read_sort(q, json_object_get(arguments, "sort"), error) &&
	       jmap_read_bool(arguments, "sortAsTree", false, &q->as_tree, error) &&
	       jmap_read_bool(arguments, "filterAsTree", false, &q->filters_tree, error);
}

static int
compare_names(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		int difference =
			(unsigned char)char_lower(a.p[i]) - (unsigned char)char_lower(b.p[i]);

		if (difference)
			return difference;
	}
	return (a.n > b.n) - (a.n < b.n);
}

static int
compare_flat(const struct query *q, const struct box_folder *a, const struct box_folder *b)
{
	for (size_t i = 0; i < q->sort_n; i++) {
		int difference = q->sort[i].by == SORT_NAME ? compare_names(a->name, b->name)
							    : sort_order(a) - sort_order(b);

		if (difference)
			return q->sort[i].is_descending ? -difference : difference;
	}
	return (a->number > b->number) - (a->number < b->number);
}

/* From the top down to f: how many folders, the first DEPTH_MAX of them in `path`, its own last. */
static size_t
path_of(const struct query *q, const struct box_folder *f, const struct box_folder *path[DEPTH_MAX])
{
	size_t n = 0;

	for (; f && n < DEPTH_MAX;
		f = f->parent.n ? folder_of_id(q->folders, q->n, f->parent) : NULL)
		path[n++] = f;
	for (size_t i = 0; i < n / 2; i++) {
		const struct box_folder *swap = path[i];

		path[i] = path[n - 1 - i];
		path[n - 1 - i] = swap;
	}
	return n;
}

/* As a tree, two are in the order of the first ancestors in which they differ, and a parent is before what is in it. */
static int
compare(const void *one, const void *other, void *query)
{
	const struct query *q = query;
	const struct box_folder *a = *(struct box_folder *const *)one,
				*b = *(struct box_folder *const *)other, *path_a[DEPTH_MAX],
				*path_b[DEPTH_MAX];
	size_t n_a, n_b;

	if (!q->as_tree)
		return compare_flat(q, a, b);
	n_a = path_of(q, a, path_a);
	n_b = path_of(q, b, path_b);
	for (size_t i = 0; i < n_a && i < n_b; i++)
		if (path_a[i] != path_b[i])
			return compare_flat(q, path_a[i], path_b[i]);
	return (n_a > n_b) - (n_a < n_b);
}

static bool
is_found(const struct query *q, const struct box_folder *f)
{
	const struct box_folder *path[DEPTH_MAX];
	size_t n;

	if (!q->filter)
		return true;
	if (!q->filters_tree)
		return fits(q->request, q->filter, f);
	n = path_of(q, f, path);
	for (size_t i = 0; i < n; i++)
		if (!fits(q->request, q->filter, path[i]))
			return false;
	return true;
}

static bool
find(struct query *q)
{
	struct jmap_request *r = q->request;

	q->n = box_folders(r->box, &r->arena, &q->folders);
	q->found = arena_take(&r->arena, (q->n + 1) * sizeof *q->found);
	if (!q->found)
		return false;
	for (size_t i = 0; i < q->n; i++)
		if (is_found(q, &q->folders[i]))
			q->found[q->found_n++] = &q->folders[i];
	qsort_r(q->found, q->found_n, sizeof *q->found, compare, q);
	return true;
}

/* The first of the results that the window begins with; false: its anchor is not there. */
static bool
window_begin(const struct query *q, const struct jmap_window *w, size_t *begin)
{
	int64_t n = (int64_t)q->found_n, at = w->position < 0 ? n + w->position : w->position;

	if (w->anchor.p) {
		for (at = 0; at < n && !str_eq(q->found[at]->id, w->anchor); at++)
			;
		if (at == n)
			return false;
		at += w->anchor_offset;
	}
	*begin = (size_t)(at < 0 ? 0 : at > n ? n : at);
	return true;
}

static json_t *
query_answer(const struct query *q, const struct jmap_window *w)
{
	size_t begin;
	char state[BOX_STATE];
	json_t *ids, *answer;

	if (!window_begin(q, w, &begin))
		return jmap_error("anchorNotFound", "the anchor is not among the results");
	ids = json_array();
	for (size_t i = begin; i < q->found_n && i - begin < w->limit; i++)
		json_array_append_new(ids, jmap_text(q->found[i]->id));
	box_state(q->request->box, BOX_FOLDERS, state);
	answer = json_pack("{s:s, s:s, s:b, s:I, s:o}", "accountId", JMAP_ACCOUNT, "queryState",
		state, "canCalculateChanges", !q->as_tree && !q->filters_tree, "position",
		(json_int_t)begin, "ids", ids);
	if (w->wants_total)
		json_object_set_new(answer, "total", json_integer((json_int_t)q->found_n));
	return answer;
}

enum jmap_step
jmap_mailbox_query(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "filter", "sort", "position", "anchor", "anchorOffset",
		"limit", "calculateTotal", "sortAsTree", "filterAsTree", NULL };
	struct query q = { .request = r };
	struct jmap_window w;

	if ((*answer = jmap_check_arguments(arguments, names)) ||
		!read_query(&q, arguments, answer) || !jmap_read_window(arguments, &w, answer))
		return JMAP_DONE;
	*answer = find(&q) ? query_answer(&q, &w) : jmap_error("serverFail", "too many mailboxes");
	return JMAP_DONE;
}

enum jmap_step
jmap_mailbox_query_changes(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "filter", "sort", "sinceQueryState", "maxChanges",
		"upToId", "calculateTotal", "sortAsTree", "filterAsTree", NULL };
	struct query q = { .request = r };
	struct str *ids;

	if ((*answer = jmap_check_arguments(arguments, names)) ||
		!read_query(&q, arguments, answer))
		return JMAP_DONE;
	if (q.as_tree || q.filters_tree) { /* a parent's change moves what is in it */
		*answer = jmap_error("cannotCalculateChanges", "not for a tree");
		return JMAP_DONE;
	}
	ids = find(&q) ? arena_take(&r->arena, (q.found_n + 1) * sizeof *ids) : NULL;
	for (size_t i = 0; ids && i < q.found_n; i++)
		ids[i] = q.found[i]->id;
	*answer = ids ? jmap_query_changes_answer(r, BOX_FOLDERS, arguments, ids, q.found_n)
		      : jmap_error("serverFail", "too many mailboxes");
	return JMAP_DONE;
}
