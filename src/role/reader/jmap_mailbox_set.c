/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap.h"

/*
 * Mailbox/set, RFC 8621 §2.5, RFC 8620 §5.3: make, then rename and move, then destroy. What can be chosen of a mailbox is its name and its
 * parent; the other properties may be sent as they are and no other way.
 */

struct set {
	struct jmap_request *request;
	json_t *created, *updated, *destroyed, *not_created, *not_updated, *not_destroyed;
	bool removes_mails;
};

static json_t *
error_of(const struct err *e)
{
	if (e->kind == ERR_MAILBOX_NAME)
		return jmap_wrong_property("name", e->text);
	if (e->kind == ERR_MAILBOX_UNKNOWN)
		return jmap_set_error("notFound", "%s", e->text);
	if (e->kind == ERR_REFUSED || e->kind == ERR_MAILBOX_BUSY)
		return jmap_set_error("forbidden", "%s", e->text);
	if (e->kind == ERR_NO_SPACE)
		return jmap_set_error("overQuota", "%s", e->text);
	return jmap_set_error("serverFail", "%s", e->text);
}

/* What `wanted` has besides name and parentId must be what `is` has. NULL: so it is. */
static json_t *
check_fixed(const json_t *wanted, const json_t *is)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)wanted, key, value)
		if (strcmp(key, "name") != 0 && strcmp(key, "parentId") != 0 &&
			!json_equal(value, json_object_get(is, key)))
			return jmap_wrong_property(key, "this property cannot be set");
	if (!json_is_string(json_object_get(wanted, "name")))
		return jmap_wrong_property("name", "a mailbox has a name");
	return NULL;
}

/* parentId, null for the top; false: it names no mailbox. */
static bool
read_parent(struct jmap_request *r, const json_t *parent, struct str *id)
{
	struct box_folder f;

	*id = (struct str){ 0 };
	if (!parent || json_is_null(parent))
		return true;
	*id = jmap_id(r, parent);
	return json_is_string(parent) && box_folder(r->box, *id, &r->arena, &f);
}

/* ── create ── */

/* Its answer: what the client did not say itself. */
static json_t *
made(struct set *s, struct str id)
{
	struct box_folder f;
	json_t *o;

	if (!box_folder(s->request->box, id, &s->request->arena, &f))
		return json_pack("{s:o}", "id", jmap_text(id));
	o = jmap_mailbox_object(&f);
	json_object_del(o, "name");
	json_object_del(o, "parentId");
	return o;
}

static void
create(struct set *s, const char *creation, const json_t *wanted)
{
	json_t *standard = json_pack(
		       "{s:n, s:i, s:b}", "role", "sortOrder", BOX_ROLES, "isSubscribed", 1),
	       *error, *o;
	struct jmap_request *r = s->request;
	struct str parent, id;
	struct err e = { 0 };

	error = json_is_object(wanted) ? check_fixed(wanted, standard)
				       : jmap_wrong_property("name", "not an object");
	json_decref(standard);
	if (!error && !read_parent(r, json_object_get(wanted, "parentId"), &parent))
		error = jmap_wrong_property("parentId", "no such mailbox");
	if (!error && !box_folder_make(r->box, parent, jmap_str(json_object_get(wanted, "name")),
			      &r->arena, &id, &e))
		error = error_of(&e);
	if (error) {
		json_object_set_new(s->not_created, creation, error);
		return;
	}
	o = made(s, id);
	json_object_set(r->created, creation, json_object_get(o, "id"));
	json_object_set_new(s->created, creation, o);
}

/* One that another of this call is to be in comes after that one (RFC 8620 §5.3). */
static bool
must_wait(const struct set *s, const json_t *creations, const json_t *wanted)
{
	struct str parent = jmap_str(json_object_get(wanted, "parentId"));

	return scan_char(&parent, '#') && json_object_getn(creations, parent.p, parent.n) &&
	       !json_object_getn(s->created, parent.p, parent.n) &&
	       !json_object_getn(s->not_created, parent.p, parent.n);
}

static void
create_all(struct set *s, json_t *creations)
{
	bool has_more = true, went_on = true, waits;
	const char *key;
	json_t *wanted;

	while (has_more) {
		waits = went_on; /* none was made in the last turn: they wait for one another, and are made to fail */
		has_more = went_on = false;
		json_object_foreach (creations, key, wanted) {
			if (json_object_get(s->created, key) ||
				json_object_get(s->not_created, key))
				continue;
			if (waits && must_wait(s, creations, wanted)) {
				has_more = true;
				continue;
			}
			create(s, key, wanted);
			went_on = true;
		}
	}
}

/* ── update ── */

static json_t *
update(struct set *s, struct str id, const json_t *patch)
{
	struct jmap_request *r = s->request;
	json_t *is, *wanted, *error = NULL;
	struct box_folder f;
	struct str parent;
	struct err e = { 0 };

	if (!box_folder(r->box, id, &r->arena, &f))
		return jmap_set_error("notFound", "no such mailbox");
	if (!json_is_object(patch))
		return jmap_set_error("invalidPatch", "not an object");
	is = jmap_mailbox_object(&f);
	wanted = jmap_patch(is, patch, &error);
	if (wanted && !(error = check_fixed(wanted, is))) {
		struct str name = jmap_str(json_object_get(wanted, "name"));

		if (!read_parent(r, json_object_get(wanted, "parentId"), &parent))
			error = jmap_wrong_property("parentId", "no such mailbox");
		else if ((!str_eq(name, f.name) || !str_eq(parent, f.parent)) &&
			 !box_folder_rename(r->box, id, parent, name, &e))
			error = error_of(&e);
	}
	json_decref(is);
	json_decref(wanted);
	return error;
}

static void
update_all(struct set *s, json_t *updates)
{
	const char *key;
	json_t *patch;

	json_object_foreach (updates, key, patch) {
		json_t *said = json_string(key), *error;
		struct str id = jmap_id(s->request, said);

		error = update(s, id, patch);
		if (error)
			json_object_set_new(s->not_updated, key, error);
		else
			json_object_setn_new(s->updated, id.p, id.n, json_null());
		json_decref(said);
	}
}

/* ── destroy ── */

static bool
has_child(struct jmap_request *r, struct str id)
{
	struct box_folder *folders;
	size_t n = box_folders(r->box, &r->arena, &folders);

	for (size_t i = 0; i < n; i++)
		if (str_eq(folders[i].parent, id))
			return true;
	return false;
}

static json_t *
destroy(struct set *s, struct str id)
{
	struct jmap_request *r = s->request;
	struct box_folder f;
	struct err e = { 0 };

	if (!box_folder(r->box, id, &r->arena, &f))
		return jmap_set_error("notFound", "no such mailbox");
	if (has_child(r, id))
		return jmap_set_error("mailboxHasChild", "mailboxes are in it");
	if (box_folder_remove(r->box, id, s->removes_mails, &e))
		return NULL;
	if (e.kind == ERR_MAILBOX_BUSY)
		return jmap_set_error("mailboxHasEmail", "%s", e.text);
	return error_of(&e);
}

static void
destroy_all(struct set *s, const json_t *ids)
{
	json_t *said;
	size_t i;

	json_array_foreach (ids, i, said) {
		struct str id = jmap_id(s->request, said);
		json_t *error = destroy(s, id);

		if (error)
			json_object_set_new(s->not_destroyed, json_string_value(said), error);
		else
			json_array_append_new(s->destroyed, jmap_text(id));
	}
}

/* ── all of it ── */

static bool
is_map(const json_t *j)
{
	return !j || json_is_null(j) || json_is_object(j);
}

static json_t *
check(struct set *s, json_t *arguments, const char *state)
{
	static const char *const names[] = { "ifInState", "create", "update", "destroy",
		"onDestroyRemoveEmails", NULL };
	const json_t *creations = json_object_get(arguments, "create"),
		     *updates = json_object_get(arguments, "update");
	json_t *error = jmap_check_arguments(arguments, names);
	bool none;

	if (error || !jmap_ids(arguments, "destroy", JMAP_OBJECTS_SET_MAX, &none, &error) ||
		!jmap_read_bool(
			arguments, "onDestroyRemoveEmails", false, &s->removes_mails, &error))
		return error;
	if (!is_map(creations) || !is_map(updates))
		return jmap_error("invalidArguments", "create and update are objects");
	if (json_object_size(creations) + json_object_size(updates) +
			json_array_size(json_object_get(arguments, "destroy")) >
		JMAP_OBJECTS_SET_MAX)
		return jmap_error("requestTooLarge", "more than %d objects", JMAP_OBJECTS_SET_MAX);
	return jmap_check_if_in_state(arguments, state);
}

/* RFC 8620 §5.3: null where there is none. */
static json_t *
or_null(json_t *j)
{
	if (json_object_size(j) || json_array_size(j))
		return j;
	json_decref(j);
	return json_null();
}

enum jmap_step
jmap_mailbox_set(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	struct set s = { .request = r };
	char before[BOX_STATE], after[BOX_STATE];

	box_state(r->box, BOX_FOLDERS, before);
	if ((*answer = check(&s, arguments, before)))
		return JMAP_DONE;
	s.created = json_object();
	s.updated = json_object();
	s.destroyed = json_array();
	s.not_created = json_object();
	s.not_updated = json_object();
	s.not_destroyed = json_object();
	create_all(&s, json_object_get(arguments, "create"));
	update_all(&s, json_object_get(arguments, "update"));
	destroy_all(&s, json_object_get(arguments, "destroy"));
	box_state(r->box, BOX_FOLDERS, after);
	*answer = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "accountId",
		JMAP_ACCOUNT, "oldState", before, "newState", after, "created", or_null(s.created),
		"updated", or_null(s.updated), "destroyed", or_null(s.destroyed), "notCreated",
		or_null(s.not_created), "notUpdated", or_null(s.not_updated), "notDestroyed",
		or_null(s.not_destroyed));
	reader_news(r->reader);
	return JMAP_DONE;
}
