/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "role/reader/jmap.h"

/* What /get, /changes, /query and /queryChanges (RFC 8620 §5) of all types share. */

/* ── /get, §5.1 ── */

static bool
is_known(const json_t *name, const char *const *known)
{
	for (; *known; known++)
		if (str_eq(jmap_str(name), str_of(*known)))
			return true;
	return false;
}

json_t *
jmap_check_properties(const json_t *properties, const char *const *known)
{
	const json_t *name;
	size_t i;

	if (!properties || json_is_null(properties))
		return NULL;
	if (!json_is_array(properties))
		return jmap_error("invalidArguments", "properties is not an array");
	json_array_foreach (properties, i, name)
		if (!json_is_string(name) || !is_known(name, known))
			return jmap_error("invalidArguments", "properties: %.100s",
				json_is_string(name) ? json_string_value(name) : "not a string");
	return NULL;
}

static bool
is_wanted(const json_t *properties, const char *key)
{
	const json_t *name;
	size_t i;

	json_array_foreach (properties, i, name)
		if (str_eq(jmap_str(name), str_of(key)))
			return true;
	return !strcmp(key, "id");
}

void
jmap_keep_properties(json_t *object, const json_t *properties)
{
	const char *key;
	json_t *value;
	void *next;

	if (!json_is_array(properties))
		return;
	json_object_foreach_safe (object, next, key, value) {
		if (!is_wanted(properties, key))
			json_object_del(object, key);
	}
}

json_t *
jmap_get_answer(const char *state, json_t *list, json_t *not_found)
{
	return json_pack("{s:s, s:s, s:o, s:o}", "accountId", JMAP_ACCOUNT, "state", state, "list",
		list, "notFound", not_found);
}

json_t *
jmap_texts(const struct str *texts, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, jmap_text(texts[i]));
	return array;
}

/* ── /changes, §5.2 ── */

bool
jmap_box_changes(struct jmap_request *r, enum box_kind kind, const json_t *arguments,
	struct box_changes *c, json_t **answer)
{
	static const char *const names[] = { "sinceState", "maxChanges", NULL };
	const json_t *since = json_object_get(arguments, "sinceState"),
		     *most = json_object_get(arguments, "maxChanges");

	*answer = jmap_check_arguments(arguments, names);
	if (*answer)
		return false;
	if (!json_is_string(since))
		*answer = jmap_error("invalidArguments", "sinceState is missing");
	else if (most && !json_is_null(most) && json_integer_value(most) <= 0)
		*answer = jmap_error("invalidArguments", "maxChanges is not a number above 0");
	else if (!box_changes(r->box, kind, jmap_str(since), (size_t)json_integer_value(most),
			 &r->arena, c))
		*answer = jmap_error("cannotCalculateChanges", "the state is not known (any more)");
	if (*answer)
		return false;
	*answer = json_pack("{s:s, s:O, s:s, s:b, s:o, s:o, s:o}", "accountId", JMAP_ACCOUNT,
		"oldState", since, "newState", c->state, "hasMoreChanges", c->has_more, "created",
		jmap_texts(c->created, c->created_n), "updated",
		jmap_texts(c->updated, c->updated_n), "destroyed",
		jmap_texts(c->destroyed, c->destroyed_n));
	return true;
}

/* ── /query, §5.5 ── */

bool
jmap_read_bool(const json_t *arguments, const char *name, bool otherwise, bool *is, json_t **error)
{
	const json_t *j = json_object_get(arguments, name);

	*is = j && !json_is_null(j) ? json_is_true(j) : otherwise;
	if (!j || json_is_null(j) || json_is_boolean(j))
		return true;
	*error = jmap_error("invalidArguments", "%s is neither true nor false", name);
	return false;
}

static bool
read_number(const json_t *arguments, const char *name, int64_t otherwise, int64_t *number,
	json_t **error)
{
	static const int64_t int_max = (1LL << 53) - 1; /* RFC 8620 §1.3 */
	const json_t *j = json_object_get(arguments, name);

	*number = j && !json_is_null(j) ? json_integer_value(j) : otherwise;
	if (!j || json_is_null(j) ||
		(json_is_integer(j) && *number <= int_max && *number >= -int_max))
		return true;
	*error = jmap_error("invalidArguments", "%s is not a number", name);
	return false;
}

bool
jmap_read_window(const json_t *arguments, struct jmap_window *w, json_t **error)
{
	const json_t *anchor = json_object_get(arguments, "anchor");
	int64_t limit;

	*w = (struct jmap_window){ 0 };
	if (!read_number(arguments, "position", 0, &w->position, error) ||
		!read_number(arguments, "anchorOffset", 0, &w->anchor_offset, error) ||
		!read_number(arguments, "limit", -1, &limit, error) ||
		!jmap_read_bool(arguments, "calculateTotal", false, &w->wants_total, error))
		return false;
	if (anchor && !json_is_null(anchor)) {
		w->anchor = jmap_str(anchor);
		if (!json_is_string(anchor))
			*error = jmap_error("invalidArguments", "anchor is not an id");
	}
	if (limit < 0 && json_is_integer(json_object_get(arguments, "limit")))
		*error = jmap_error("invalidArguments", "limit is less than 0");
	w->limit = limit < 0 ? SIZE_MAX : (size_t)limit;
	return !*error;
}

/* ── /queryChanges, §5.6 ── */

static struct str
text_key(const void *member)
{
	return *(const struct str *)member;
}

/* [{id, index}] of those of `now` that have changed. */
static json_t *
added(const struct box_changes *c, const struct str *now, size_t n)
{
	struct map changed = { .key_of = text_key };
	json_t *array = json_array();

	for (size_t i = 0; i < c->created_n; i++)
		if (!map_get(&changed, c->created[i]))
			map_put(&changed, &c->created[i]);
	for (size_t i = 0; i < c->updated_n; i++)
		if (!map_get(&changed, c->updated[i]))
			map_put(&changed, &c->updated[i]);
	for (size_t i = 0; i < n; i++)
		if (map_get(&changed, now[i]))
			json_array_append_new(
				array, json_pack("{s:o, s:I}", "id", jmap_text(now[i]), "index",
					       (json_int_t)i));
	map_free(&changed);
	return array;
}

json_t *
jmap_query_changes_answer(struct jmap_request *r, enum box_kind kind, const json_t *arguments,
	const struct str *now, size_t n)
{
	const json_t *since = json_object_get(arguments, "sinceQueryState");
	json_t *error = NULL, *answer, *removed, *in;
	struct box_changes c = { 0 };
	int64_t most;
	bool wants_total;

	if (!read_number(arguments, "maxChanges", INT64_MAX >> 11, &most, &error) ||
		!jmap_read_bool(arguments, "calculateTotal", false, &wants_total, &error))
		return error;
	if (!json_is_string(since) || most <= 0)
		return jmap_error("invalidArguments", "sinceQueryState or maxChanges is wrong");
	if (!box_changes(r->box, kind, jmap_str(since), 0, &r->arena, &c) || c.has_more)
		return jmap_error("cannotCalculateChanges", "the state is not known (any more)");
	removed = jmap_texts(c.destroyed, c.destroyed_n);
	for (size_t i = 0; i < c.updated_n; i++)
		json_array_append_new(removed, jmap_text(c.updated[i]));
	in = added(&c, now, n);
	if (json_array_size(removed) + json_array_size(in) > (size_t)most) {
		json_decref(removed);
		json_decref(in);
		return jmap_error("tooManyChanges", "more than maxChanges");
	}
	answer = json_pack("{s:s, s:O, s:s, s:o, s:o}", "accountId", JMAP_ACCOUNT, "oldQueryState",
		since, "newQueryState", c.state, "removed", removed, "added", in);
	if (wants_total)
		json_object_set_new(answer, "total", json_integer((json_int_t)n));
	return answer;
}
