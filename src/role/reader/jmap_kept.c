/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_kept.h"

#include "base/must.h"

json_t *
jmap_kept_object(struct str id, struct str json)
{
	json_t *object = json_loadb(json.p ? json.p : "", json.n, 0, NULL);

	if (object)
		json_object_set_new(object, "id", jmap_text(id));
	return object;
}

json_t *
jmap_kept_load(struct jmap_request *r, enum kept_kind kind, struct str id)
{
	struct str json;

	return kept_get(r->kept, kind, id, &r->arena, &json) ? jmap_kept_object(id, json) : NULL;
}

bool
jmap_kept_save(struct jmap_request *r, enum kept_kind kind, struct str *id, const json_t *object,
	json_t **error)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)object);
	struct err e = { 0 };
	char *text;
	bool good;

	json_object_del(copy, "id");
	text = json_dumps(copy, JSON_COMPACT);
	must(text);
	good = kept_put(r->kept, kind, id, str_of(text), &r->arena, &e);
	if (!good)
		*error = jmap_set_error("serverFail", "%s", e.text);
	free(text);
	json_decref(copy);
	return good;
}

json_t *
jmap_kept_state(struct jmap_request *r, enum kept_kind kind)
{
	char state[KEPT_STATE];

	kept_state(r->kept, kind, state);
	return json_string(state);
}

void
jmap_kept_hide(json_t *object)
{
	for (void *at = json_object_iter(object), *next; at; at = next) {
		const char *name = json_object_iter_key(at);

		next = json_object_iter_next(object, at);
		if (name[0] == '_')
			json_object_del(object, name);
	}
}

/* ── /get, RFC 8620 §5.1 ── */

json_t *
jmap_kept_check_get(json_t *arguments, const char *const *known)
{
	static const char *const names[] = { "ids", "properties", NULL };
	json_t *error = jmap_check_arguments(arguments, names);
	bool all;

	if (!error)
		error = jmap_check_properties(json_object_get(arguments, "properties"), known);
	if (!error)
		jmap_ids(arguments, "ids", JMAP_OBJECTS_GET_MAX, &all, &error);
	return error;
}

json_t *
jmap_kept_get(struct jmap_request *r, enum kept_kind kind, json_t *arguments,
	const char *const *known, void (*show)(json_t *object))
{
	const json_t *properties = json_object_get(arguments, "properties");
	json_t *error = jmap_kept_check_get(arguments, known), *list, *missing, *wanted;
	char state[KEPT_STATE];
	struct str *ids;
	size_t n;

	if (error)
		return error;
	if (!json_is_array(json_object_get(arguments, "ids"))) {
		n = kept_list(r->kept, kind, &r->arena, &ids);
		if (n > JMAP_OBJECTS_GET_MAX)
			return jmap_error("requestTooLarge", "there are more than %d: ask for ids",
				JMAP_OBJECTS_GET_MAX);
		wanted = jmap_texts(ids, n);
	} else {
		wanted = json_incref(json_object_get(arguments, "ids"));
	}
	list = json_array();
	missing = json_array();
	for (size_t i = 0; i < json_array_size(wanted); i++) {
		struct str id = jmap_id(r, json_array_get(wanted, i));
		json_t *object = jmap_kept_load(r, kind, id);

		if (!object) {
			json_array_append(missing, json_array_get(wanted, i));
			continue;
		}
		if (show)
			show(object);
		jmap_kept_hide(object);
		jmap_keep_properties(object, properties);
		json_array_append_new(list, object);
	}
	json_decref(wanted);
	kept_state(r->kept, kind, state);
	return jmap_get_answer(state, list, missing);
}

/* ── /changes, §5.2 ── */

json_t *
jmap_kept_changes(struct jmap_request *r, enum kept_kind kind, const json_t *arguments)
{
	static const char *const names[] = { "sinceState", "maxChanges", NULL };
	const json_t *since = json_object_get(arguments, "sinceState"),
		     *most = json_object_get(arguments, "maxChanges");
	json_t *error = jmap_check_arguments(arguments, names);
	struct kept_changes c;

	if (error)
		return error;
	if (!json_is_string(since))
		return jmap_error("invalidArguments", "sinceState is missing");
	if (most && !json_is_null(most) && json_integer_value(most) <= 0)
		return jmap_error("invalidArguments", "maxChanges is not a number above 0");
	if (!kept_changes(r->kept, kind, jmap_str(since), (size_t)json_integer_value(most),
		    &r->arena, &c))
		return jmap_error("cannotCalculateChanges", "the state is not known (any more)");
	return json_pack("{s:s, s:O, s:s, s:b, s:o, s:o, s:o}", "accountId", JMAP_ACCOUNT,
		"oldState", since, "newState", c.state, "hasMoreChanges", c.has_more, "created",
		jmap_texts(c.created, c.created_n), "updated", jmap_texts(c.updated, c.updated_n),
		"destroyed", jmap_texts(c.destroyed, c.destroyed_n));
}
