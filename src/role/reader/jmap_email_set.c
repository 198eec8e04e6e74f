/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_email.h"
#include "role/reader/jmap_write.h"

/*
 * Email/set (RFC 8621 §4.6): mails are written (create), flagged and moved (update), and removed (destroy), in this order (RFC 8620 §5.3).
 *
 * 1. What `created` tells is on the disk (box_add).
 * 2. Nothing is done at all where the arguments are no Email/set, or ifInState is another state.
 * 3. A mail says the same for ever: but for mailboxIds and keywords all of it is immutable. So a draft is saved as a new mail, and the old one destroyed by
 *    whoever has seen the new one kept. Two windows with one draft make two mails, and the second destroy says notFound.
 */

struct set {
	struct jmap_request *r;
	json_t *create, *update, *destroy;
	json_t *created, *updated, *destroyed;
	json_t *not_created, *not_updated, *not_destroyed;
};

/* ── create ── */

static json_t *
create_one(struct jmap_request *r, const json_t *email, json_t **error)
{
	struct buf message = { .max = r->reader->role.config.limits.message };
	struct jmap_place place = { 0 };
	struct box_mail m = { 0 };

	if (!json_is_object(email)) {
		*error = jmap_set_error("invalidProperties", "an Email is an object");
		return NULL;
	}
	if (!jmap_read_place(r, email, &place, error) ||
		!jmap_compose(r->reader, email, &message, error))
		goto out;
	if (place.received_ms == JMAP_NO_DATE)
		place.received_ms = loop_wall_ms();
	jmap_keep(r, &place, buf_str(&message), &m, error);
out:
	buf_free(&message);
	return *error ? NULL : jmap_made(&m);
}

static void
create(struct set *s)
{
	const char *key;
	json_t *email;
	size_t n;

	json_object_keylen_foreach (s->create, key, n, email) {
		json_t *error = NULL, *made = create_one(s->r, email, &error);

		if (!made) {
			json_object_setn_new(s->not_created, key, n, error);
			continue;
		}
		json_object_setn(s->r->created, key, n, json_object_get(made, "id"));
		json_object_setn_new(s->created, key, n, made);
	}
}

/* ── update ── */

static bool
find(struct jmap_request *r, struct str id, struct box_mail *m, json_t **error)
{
	if (!box_mail(r->box, id, &r->arena, m))
		*error = jmap_set_error("notFound", "no such mail");
	return !*error;
}

/* What of a mail can be changed, as a patch sees it. */
static json_t *
changeable(const struct box_mail *m)
{
	json_t *object = json_object(), *folders = json_object();

	json_object_setn_new(folders, m->folder.p, m->folder.n, json_true());
	json_object_set_new(object, "mailboxIds", folders);
	json_object_set_new(object, "keywords", email_keywords(m->flags));
	return object;
}

/* What cannot be changed may be sent all the same, as it is (RFC 8620 §5.3). */
static bool
is_changeable_only(const struct box_mail *m, const json_t *patch, json_t **error)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)patch, key, value) {
		struct str name = str_part(str_of(key), 0, str_find(str_of(key), '/'));
		json_t *is;
		bool is_same;

		if (str_eq(name, S("mailboxIds")) || str_eq(name, S("keywords")))
			continue; /* jmap_read_place looks at them */
		is = email_property(m, key);
		is_same = json_equal(is, value);
		json_decref(is);
		if (!is_same)
			return jmap_refuse(
				error, key, "cannot be changed: a mail says the same for ever");
	}
	return true;
}

static void
put(struct jmap_request *r, const struct box_mail *m, const struct jmap_place *place,
	json_t **error)
{
	struct err e = { 0 };

	if (box_place(r->box, m, place->folder, place->flags, &e))
		return;
	*error = jmap_set_error(
		e.kind == ERR_MAILBOX_UNKNOWN ? "notFound" : "serverFail", "%s", e.text);
}

static void
update_one(struct jmap_request *r, struct str id, const json_t *patch, json_t **error)
{
	json_t *before, *after;
	struct jmap_place place;
	struct box_mail m;

	if (!json_is_object(patch)) {
		*error = jmap_set_error("invalidPatch", "a patch is an object");
		return;
	}
	if (!find(r, id, &m, error))
		return;
	before = changeable(&m);
	after = jmap_patch(before, patch, error);
	if (after && is_changeable_only(&m, patch, error) &&
		jmap_read_place(r, after, &place, error))
		put(r, &m, &place, error);
	json_decref(before);
	json_decref(after);
}

static bool
is_to_be_destroyed(const struct set *s, struct str id)
{
	json_t *one;
	size_t i;

	json_array_foreach (s->destroy, i, one)
		if (str_eq(jmap_id(s->r, one), id))
			return true;
	return false;
}

static void
update(struct set *s)
{
	const char *key;
	json_t *patch;
	size_t n;

	json_object_keylen_foreach (s->update, key, n, patch) {
		json_t *said = jmap_text((struct str){ key, n }), *error = NULL;
		struct str id = jmap_id(s->r, said);

		if (is_to_be_destroyed(s, id))
			error = jmap_set_error("willDestroy", "this call destroys it");
		else
			update_one(s->r, id, patch, &error);
		if (error)
			json_object_setn_new(s->not_updated, key, n, error);
		else
			json_object_setn_new(s->updated, id.p, id.n, json_null());
		json_decref(said);
	}
}

/* ── destroy ── */

static void
destroy(struct set *s)
{
	json_t *said;
	size_t i;

	json_array_foreach (s->destroy, i, said) {
		struct str id = jmap_id(s->r, said);
		json_t *error = NULL;
		struct box_mail m;
		struct err e = { 0 };

		if (find(s->r, id, &m, &error) && !box_remove(s->r->box, &m, &e))
			error = jmap_set_error("serverFail", "%s", e.text);
		if (error)
			json_object_setn_new(
				s->not_destroyed, jmap_str(said).p, jmap_str(said).n, error);
		else
			json_array_append_new(s->destroyed, jmap_text(id));
	}
}

/* ── the call ── */

static bool
read_map(json_t *arguments, const char *name, json_t **map, json_t **error)
{
	json_t *given = json_object_get(arguments, name);

	if (given && !json_is_null(given) && !json_is_object(given)) {
		*error = jmap_error("invalidArguments", "%s is no object", name);
		return false;
	}
	*map = json_is_object(given) ? given : NULL;
	return true;
}

static bool
read_arguments(struct set *s, json_t *arguments, json_t **error)
{
	static const char *const names[] = { "ifInState", "create", "update", "destroy", NULL };
	bool has_none;

	*error = jmap_check_arguments(arguments, names);
	if (*error || !read_map(arguments, "create", &s->create, error) ||
		!read_map(arguments, "update", &s->update, error) ||
		!jmap_ids(arguments, "destroy", JMAP_OBJECTS_SET_MAX, &has_none, error))
		return false;
	s->destroy = json_object_get(arguments, "destroy");
	if (json_object_size(s->create) + json_object_size(s->update) +
			json_array_size(s->destroy) >
		JMAP_OBJECTS_SET_MAX)
		*error = jmap_error("requestTooLarge", "more than %d changes in one call",
			JMAP_OBJECTS_SET_MAX);
	else
		*error = jmap_check_state(s->r, arguments);
	return !*error;
}

enum jmap_step
jmap_email_set(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	struct set s = { .r = r };

	if (!read_arguments(&s, arguments, answer))
		return JMAP_DONE;
	s.created = json_object(), s.updated = json_object(), s.destroyed = json_array();
	s.not_created = json_object(), s.not_updated = json_object(),
	s.not_destroyed = json_object();
	*answer = json_pack("{s:s,s:o}", "accountId", JMAP_ACCOUNT, "oldState", jmap_mail_state(r));
	box_begin(r->box);
	create(&s);
	update(&s);
	destroy(&s);
	box_end(r->box);
	json_object_set_new(*answer, "newState", jmap_mail_state(r));
	jmap_tell(*answer, "created", s.created);
	jmap_tell(*answer, "updated", s.updated);
	jmap_tell(*answer, "destroyed", s.destroyed);
	jmap_tell(*answer, "notCreated", s.not_created);
	jmap_tell(*answer, "notUpdated", s.not_updated);
	jmap_tell(*answer, "notDestroyed", s.not_destroyed);
	reader_news(r->reader);
	return JMAP_DONE;
}
