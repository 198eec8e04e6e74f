/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_email.h"
#include "role/reader/jmap_write.h"

/*
 * Where a mail is to lie. A mail is one file of a Maildir, and so in exactly one mailbox (RFC 8621 §1.3.1: maxMailboxesPerEmail is 1);
 * its keywords are the flags of the file's name, and there are no others.
 */

bool
jmap_refuse(json_t **error, const char *property, const char *words, ...)
{
	char line[400];
	va_list list;

	va_start(list, words);
	vsnprintf(line, sizeof line, words, list);
	va_end(list);
	*error = jmap_wrong_property(property, line);
	return false;
}

bool
jmap_refuse_others(json_t **error, const json_t *object, const char *const *may, const char *at)
{
	char way[JMAP_NAME_MAX];
	const char *key;
	json_t *value;
	size_t i;

	json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
		for (i = 0; may[i] && strcmp(may[i], key) != 0; i++)
			;
		if (may[i] || json_is_null(value))
			continue;
		snprintf(way, sizeof way, "%s%s%s", at, *at ? "/" : "", key);
		return jmap_refuse(error, way, "is not for its writer to say");
	}
	return true;
}

/* ── where it lies ── */

static bool
read_folder(struct jmap_request *r, const json_t *ids, struct str *folder, json_t **error)
{
	json_t *value = NULL, *id;
	struct box_folder found;
	struct str name = { 0 };
	const char *key;
	size_t n;

	if (!json_is_object(ids) || json_object_size(ids) == 0)
		return jmap_refuse(error, "mailboxIds", "a mail is in a mailbox");
	if (json_object_size(ids) > 1) {
		*error = jmap_set_error("tooManyMailboxes", "a mail is in one mailbox here");
		return false;
	}
	json_object_keylen_foreach ((json_t *)(uintptr_t)ids, key, n, value)
		name = (struct str){ key, n };
	if (!json_is_true(value))
		return jmap_refuse(error, "mailboxIds", "the value of an id is true");
	id = jmap_text(name);
	if (!arena_dup(&r->arena, jmap_id(r, id), folder) ||
		!box_folder(r->box, *folder, &r->arena, &found))
		jmap_refuse(error, "mailboxIds", "no such mailbox");
	json_decref(id);
	return !*error;
}

static bool
read_keywords(const json_t *list, unsigned *flags, json_t **error)
{
	const char *key;
	json_t *value;
	size_t n;

	*flags = 0;
	if (!list || json_is_null(list))
		return true;
	if (!json_is_object(list))
		return jmap_refuse(error, "keywords", "is no object");
	json_object_keylen_foreach ((json_t *)(uintptr_t)list, key, n, value) {
		unsigned flag = email_keyword((struct str){ key, n });

		if (!flag)
			return jmap_refuse(error, "keywords", "no file's name can keep %.*s",
				(int)(n < JMAP_NAME_MAX ? n : JMAP_NAME_MAX), key);
		if (!json_is_true(value))
			return jmap_refuse(error, "keywords", "the value of a keyword is true");
		*flags |= flag;
	}
	return true;
}

bool
jmap_read_place(
	struct jmap_request *r, const json_t *object, struct jmap_place *place, json_t **error)
{
	const json_t *received = json_object_get(object, "receivedAt");

	place->received_ms = JMAP_NO_DATE;
	if (received && !json_is_null(received) && !jmap_read_date(received, &place->received_ms))
		return jmap_refuse(error, "receivedAt", "is no UTCDate");
	return read_folder(r, json_object_get(object, "mailboxIds"), &place->folder, error) &&
	       read_keywords(json_object_get(object, "keywords"), &place->flags, error);
}

json_t *
jmap_made(const struct box_mail *m)
{
	return json_pack("{s:o,s:o,s:o,s:I}", "id", jmap_text(m->id), "blobId", jmap_text(m->id),
		"threadId", jmap_text(m->thread), "size", (json_int_t)m->size);
}

bool
jmap_keep(struct jmap_request *r, const struct jmap_place *place, struct str octets,
	struct box_mail *m, json_t **error)
{
	struct err e = { 0 };

	if (!box_add(r->box, place->folder, octets, place->flags, place->received_ms, &r->arena, m,
		    &e))
		*error = jmap_set_error(
			e.kind == ERR_NO_SPACE ? "overQuota" : "serverFail", "%s", e.text);
	return !*error;
}

json_t *
jmap_mail_state(struct jmap_request *r)
{
	char state[BOX_STATE];

	box_state(r->box, BOX_MAILS, state);
	return json_string(state);
}
