/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_set.h"

/*
 * Mailbox/set, RFC 8621 §2.5, RFC 8620 §5.3: make, then rename and move, then destroy. What can be chosen of a mailbox is its name and its
 * parent; the other properties may be sent as they are and no other way.
 */

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
made_of(struct jmap_request *r, struct str id)
{
	struct box_folder f;
	json_t *o;

	if (!box_folder(r->box, id, &r->arena, &f))
		return json_pack("{s:o}", "id", jmap_text(id));
	o = jmap_mailbox_object(&f);
	json_object_del(o, "name");
	json_object_del(o, "parentId");
	return o;
}

static json_t *
create(struct jmap_set *s, const json_t *given, json_t **made)
{
	json_t *standard = json_pack(
		       "{s:n, s:i, s:b}", "role", "sortOrder", BOX_ROLES, "isSubscribed", 1),
	       *error = check_fixed(given, standard);
	struct jmap_request *r = s->request;
	struct str parent, id;
	struct err e = { 0 };

	json_decref(standard);
	if (error)
		return error;
	if (!read_parent(r, json_object_get(given, "parentId"), &parent))
		return jmap_wrong_property("parentId", "no such mailbox");
	if (!box_folder_make(
		    r->box, parent, jmap_str(json_object_get(given, "name")), &r->arena, &id, &e))
		return error_of(&e);
	*made = made_of(r, id);
	return NULL;
}

/* ── update ── */

static json_t *
update(struct jmap_set *s, struct str id, const json_t *patch)
{
	struct jmap_request *r = s->request;
	json_t *is, *wanted, *error = NULL;
	struct box_folder f;
	struct str parent;
	struct err e = { 0 };

	if (!box_folder(r->box, id, &r->arena, &f))
		return jmap_set_error("notFound", "no such mailbox");
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
destroy(struct jmap_set *s, struct str id)
{
	struct jmap_request *r = s->request;
	bool removes_mails = json_is_true(json_object_get(s->arguments, "onDestroyRemoveEmails"));
	struct box_folder f;
	struct err e = { 0 };

	if (!box_folder(r->box, id, &r->arena, &f))
		return jmap_set_error("notFound", "no such mailbox");
	if (has_child(r, id))
		return jmap_set_error("mailboxHasChild", "mailboxes are in it");
	if (box_folder_remove(r->box, id, removes_mails, &e))
		return NULL;
	if (e.kind == ERR_MAILBOX_BUSY)
		return jmap_set_error("mailboxHasEmail", "%s", e.text);
	return error_of(&e);
}

/* ── the call ── */

static json_t *
state(struct jmap_request *r)
{
	char text[BOX_STATE];

	box_state(r->box, BOX_FOLDERS, text);
	return json_string(text);
}

enum jmap_step
jmap_mailbox_set(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "onDestroyRemoveEmails", NULL };
	static const struct jmap_set_type folders = { .names = names,
		.inside = "parentId",
		.state = state,
		.create = create,
		.update = update,
		.destroy = destroy };
	bool removes_mails; /* destroy reads it again */

	if (!jmap_read_bool(arguments, "onDestroyRemoveEmails", false, &removes_mails, answer))
		return JMAP_DONE;
	return jmap_set(r, &folders, arguments, answer);
}
