/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_email.h"
#include "role/reader/jmap_set.h"
#include "role/reader/jmap_write.h"

/*
 * Email/set (RFC 8621 §4.6): mails are written (create), flagged and moved (update), and removed (destroy).
 *
 * 1. What `created` tells is on the disk (box_add).
 * 2. A mail says the same for ever: but for mailboxIds and keywords all of it is immutable. So a draft is saved as a new mail, and the old one destroyed by
 *    whoever has seen the new one kept. Two windows with one draft make two mails, and the second destroy says notFound.
 */

/* ── create ── */

static json_t *
create(struct jmap_set *s, const json_t *given, json_t **made)
{
	struct jmap_request *r = s->request;
	struct buf message = { .max = r->reader->role.config.limits.message };
	struct jmap_place place = { 0 };
	struct box_mail m = { 0 };
	json_t *error = NULL;

	if (!jmap_read_place(r, given, &place, &error) ||
		!jmap_compose(r->reader, given, &message, &error))
		goto out;
	if (place.received_ms == JMAP_NO_DATE)
		place.received_ms = loop_wall_ms();
	if (jmap_keep(r, &place, buf_str(&message), &m, &error))
		*made = jmap_made(&m);
out:
	buf_free(&message);
	return error;
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

static json_t *
update(struct jmap_set *s, struct str id, const json_t *patch)
{
	struct jmap_request *r = s->request;
	json_t *before, *after, *error = NULL;
	struct jmap_place place;
	struct box_mail m;

	if (jmap_set_destroys(s, id))
		return jmap_set_error("willDestroy", "this call destroys it");
	if (!find(r, id, &m, &error))
		return error;
	before = changeable(&m);
	after = jmap_patch(before, patch, &error);
	if (after && is_changeable_only(&m, patch, &error) &&
		jmap_read_place(r, after, &place, &error))
		put(r, &m, &place, &error);
	json_decref(before);
	json_decref(after);
	return error;
}

/* ── destroy ── */

static json_t *
destroy(struct jmap_set *s, struct str id)
{
	json_t *error = NULL;
	struct box_mail m;
	struct err e = { 0 };

	if (find(s->request, id, &m, &error) && !box_remove(s->request->box, &m, &e))
		error = jmap_set_error("serverFail", "%s", e.text);
	return error;
}

/* ── the call ── */

enum jmap_step
jmap_email_set(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const struct jmap_set_type mails = { .is_of_box = true,
		.state = jmap_mail_state,
		.create = create,
		.update = update,
		.destroy = destroy };

	return jmap_set(r, &mails, arguments, answer);
}
