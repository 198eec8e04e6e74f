/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_set.h"

/*
 * The order of RFC 8620 §5.3: all that is created, then all that is updated, then all that is destroyed. An object that is refused
 * has its SetError and keeps no other from its change; a call whose arguments are wrong, or that comes in another state than it thinks, does nothing at all.
 */

const char *const jmap_set_lists[] = { "created", "updated", "destroyed", "notCreated",
	"notUpdated", "notDestroyed", NULL };

/* ── arguments ── */

static json_t *
check_names(json_t *arguments, const char *const *own)
{
	const char *names[16] = { "ifInState", "create", "update", "destroy" };
	size_t n = 4;

	for (; own && *own && n + 1 < sizeof names / sizeof *names; own++)
		names[n++] = *own;
	return jmap_check_arguments(arguments, names);
}

static json_t *
check_map(const json_t *arguments, const char *name)
{
	const json_t *map = json_object_get(arguments, name);

	return !map || json_is_null(map) || json_is_object(map)
		       ? NULL
		       : jmap_error("invalidArguments", "%s is no object", name);
}

json_t *
jmap_set_check_state(const json_t *arguments, json_t *state)
{
	const json_t *wanted = json_object_get(arguments, "ifInState");
	json_t *error = NULL;

	if (wanted && !json_is_null(wanted) && !json_is_string(wanted))
		error = jmap_error("invalidArguments", "ifInState is no string");
	else if (json_is_string(wanted) && !json_equal(wanted, state))
		error = jmap_error("stateMismatch", "the state is %s", json_string_value(state));
	json_decref(state);
	return error;
}

json_t *
jmap_set_check(struct jmap_request *r, const struct jmap_set_type *type, json_t *arguments)
{
	json_t *error;
	bool has_none;

	if ((error = check_names(arguments, type->names)) ||
		(error = check_map(arguments, "create")) ||
		(error = check_map(arguments, "update")) ||
		!jmap_ids(arguments, "destroy", JMAP_OBJECTS_SET_MAX, &has_none, &error))
		return error;
	if (json_object_size(json_object_get(arguments, "create")) +
			json_object_size(json_object_get(arguments, "update")) +
			json_array_size(json_object_get(arguments, "destroy")) >
		JMAP_OBJECTS_SET_MAX)
		return jmap_error("requestTooLarge", "more than %d objects in one call",
			JMAP_OBJECTS_SET_MAX);
	return jmap_set_check_state(arguments, type->state(r));
}

json_t *
jmap_set_wrong_creation(const json_t *given)
{
	return json_is_object(given)
		       ? NULL
		       : jmap_set_error("invalidProperties", "only of an object one is made");
}

json_t *
jmap_set_wrong_patch(const json_t *given)
{
	return json_is_object(given) ? NULL
				     : jmap_set_error("invalidPatch", "a patch is an object");
}

/* ── the answer ── */

json_t *
jmap_set_answer(json_t *state, const char *const *lists)
{
	json_t *answer = json_pack("{s:s, s:o}", "accountId", JMAP_ACCOUNT, "oldState", state);

	for (; *lists; lists++)
		json_object_set_new(answer, *lists, json_null());
	return answer;
}

/* The list of this name, no more null. */
static json_t *
list_of_answer(json_t *answer, const char *name, json_t *(*make)(void))
{
	json_t *list = json_object_get(answer, name);

	if (json_is_null(list)) {
		list = make();
		json_object_set_new(answer, name, list);
	}
	return list;
}

static void
tell(json_t *answer, const char *name, struct str key, json_t *value)
{
	json_object_setn_new(list_of_answer(answer, name, json_object), key.p, key.n, value);
}

void
jmap_set_created(
	struct jmap_request *r, json_t *answer, struct str creation, json_t *made, json_t *error)
{
	if (error) {
		tell(answer, "notCreated", creation, error);
		return;
	}
	json_object_setn(r->created, creation.p, creation.n, json_object_get(made, "id"));
	tell(answer, "created", creation, made);
}

void
jmap_set_updated(json_t *answer, struct str id, struct str said, json_t *error)
{
	if (error)
		tell(answer, "notUpdated", said, error);
	else
		tell(answer, "updated", id, json_null());
}

void
jmap_set_destroyed(json_t *answer, struct str id, struct str said, json_t *error)
{
	if (error)
		tell(answer, "notDestroyed", said, error);
	else
		json_array_append_new(
			list_of_answer(answer, "destroyed", json_array), jmap_text(id));
}

void
jmap_set_end(struct jmap_request *r, json_t *answer, json_t *state)
{
	json_object_set_new(answer, "newState", state);
	reader_news(r->reader);
}

/* ── create ── */

static bool
is_done(const struct jmap_set *s, struct str creation)
{
	return json_object_getn(json_object_get(s->answer, "created"), creation.p, creation.n) ||
	       json_object_getn(json_object_get(s->answer, "notCreated"), creation.p, creation.n);
}

/* Is it to be in another of this call that is not there yet? */
static bool
must_wait(const struct jmap_set *s, const json_t *creations, const json_t *given)
{
	struct str outer = { 0 };

	if (s->type->inside)
		outer = jmap_str(json_object_get(given, s->type->inside));
	return scan_char(&outer, '#') && json_object_getn(creations, outer.p, outer.n) &&
	       !is_done(s, outer);
}

static void
create(struct jmap_set *s, struct str creation, const json_t *given)
{
	json_t *made = NULL, *error = jmap_set_wrong_creation(given);

	if (!error)
		error = s->type->create(s, given, &made);
	jmap_set_created(s->request, s->answer, creation, made, error);
}

static void
create_all(struct jmap_set *s)
{
	json_t *creations = json_object_get(s->arguments, "create"), *given;
	bool has_more = true, went_on = true, waits;
	const char *key;
	size_t n;

	while (has_more) {
		waits = went_on; /* none was made in the last turn: they wait for one another, and are made to fail */
		has_more = went_on = false;
		json_object_keylen_foreach (creations, key, n, given) {
			struct str creation = { key, n };

			if (is_done(s, creation))
				continue;
			if (waits && must_wait(s, creations, given)) {
				has_more = true;
				continue;
			}
			create(s, creation, given);
			went_on = true;
		}
	}
}

/* ── update ── */

static void
update_all(struct jmap_set *s)
{
	const char *key;
	json_t *patch;
	size_t n;

	json_object_keylen_foreach (json_object_get(s->arguments, "update"), key, n, patch) {
		struct str text = { key, n }, id;
		json_t *said = jmap_text(text), *error = jmap_set_wrong_patch(patch);

		id = jmap_id(s->request, said);
		if (!error)
			error = s->type->update(s, id, patch);
		jmap_set_updated(s->answer, id, text, error);
		json_decref(said);
	}
}

/* ── destroy ── */

static void
destroy_all(struct jmap_set *s)
{
	json_t *said;
	size_t i;

	json_array_foreach (json_object_get(s->arguments, "destroy"), i, said) {
		struct str id = jmap_id(s->request, said);

		jmap_set_destroyed(s->answer, id, jmap_str(said), s->type->destroy(s, id));
	}
}

bool
jmap_set_destroys(const struct jmap_set *s, struct str id)
{
	json_t *one;
	size_t i;

	json_array_foreach (json_object_get(s->arguments, "destroy"), i, one)
		if (str_eq(jmap_id(s->request, one), id))
			return true;
	return false;
}

/* ── the call ── */

enum jmap_step
jmap_set(struct jmap_request *r, const struct jmap_set_type *type, json_t *arguments,
	json_t **answer)
{
	struct jmap_set s = { .request = r, .type = type, .arguments = arguments };

	if ((*answer = jmap_set_check(r, type, arguments)))
		return JMAP_DONE;
	*answer = s.answer = jmap_set_answer(type->state(r), jmap_set_lists);
	if (type->is_of_box)
		box_begin(r->box);
	create_all(&s);
	update_all(&s);
	destroy_all(&s);
	if (type->is_of_box)
		box_end(r->box);
	jmap_set_end(r, s.answer, type->state(r));
	return JMAP_DONE;
}
