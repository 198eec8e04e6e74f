/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_submission.h"

#include "base/codec.h"

/*
 * Identities (RFC 8621 §6): as whom the login may write. Which addresses these are vault says, and they come with the mailbox; the person
 * chooses name, signature and where answers go. A mailbox that has none yet begins with one for each address; the first, the login's own,
 * stays.
 */

static const char *const properties[] = { "id", "name", "email", "replyTo", "bcc", "textSignature",
	"htmlSignature", "mayDelete", NULL };

enum { TEXT_MAX = 256 * 1024 }; /* octets of a signature */

static json_t *
identity_new(struct str email, bool may_delete)
{
	return json_pack("{s:s, s:o, s:n, s:n, s:s, s:s, s:b}", "name", "", "email",
		jmap_text(email), "replyTo", "bcc", "textSignature", "", "htmlSignature", "",
		"mayDelete", may_delete);
}

/* The first time that anybody asks. */
static void
identities_begin(struct jmap_request *r)
{
	struct str addresses = buf_str(&r->reader->addresses), address, *ids, own;
	json_t *object, *error = NULL;

	if (kept_list(r->kept, KEPT_IDENTITY, &r->arena, &ids))
		return;
	for (bool is_first = true; codec_scan_str(&addresses, &address); is_first = false) {
		own = (struct str){ 0 };
		object = identity_new(address, !is_first);
		jmap_kept_save(r, KEPT_IDENTITY, &own, object, &error);
		json_decref(object);
		json_decref(error);
		error = NULL;
	}
}

enum jmap_step
jmap_identity_get(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	identities_begin(r);
	*answer = jmap_kept_get(r, KEPT_IDENTITY, arguments, properties, NULL);
	return JMAP_DONE;
}

enum jmap_step
jmap_identity_changes(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	identities_begin(r);
	*answer = jmap_kept_changes(r, KEPT_IDENTITY, arguments);
	return JMAP_DONE;
}

/* ── what an identity may hold ── */

static bool
is_text(const json_t *j)
{
	return json_is_string(j) && json_string_length(j) <= TEXT_MAX;
}

static bool
is_line(const json_t *j)
{
	struct str s = jmap_str(j);

	return is_text(j) && str_find(s, '\n') == s.n && str_find(s, '\r') == s.n;
}

/* null, or an array of EmailAddress (RFC 8621 §4.1.2.3). */
static bool
is_addresses(const json_t *j)
{
	if (json_is_null(j))
		return true;
	for (size_t i = 0; i < json_array_size(j); i++) {
		const json_t *name = json_object_get(json_array_get(j, i), "name");

		if (!is_line(json_object_get(json_array_get(j, i), "email")) ||
			(name && !json_is_null(name) && !is_line(name)))
			return false;
	}
	return json_is_array(j);
}

static const struct {
	const char *name;
	bool (*fits)(const json_t *value);
	bool is_fixed; /* once it is made */
} rules[] = {
	{ "name", is_line, false },
	{ "email", is_line, true },
	{ "replyTo", is_addresses, false },
	{ "bcc", is_addresses, false },
	{ "textSignature", is_text, false },
	{ "htmlSignature", is_text, false },
};

/* Every property of `given` is one of the rules and fits; `former` is the object that it changes, or NULL. */
static json_t *
check(const json_t *given, const json_t *former)
{
	json_t *object = (json_t *)(uintptr_t)given;

	for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
		const char *name = json_object_iter_key(at);
		const json_t *value = json_object_iter_value(at);
		size_t i = 0;

		if (former && json_equal(value, json_object_get(former, name)))
			continue;
		while (i < sizeof rules / sizeof *rules && strcmp(rules[i].name, name) != 0)
			i++;
		if (i == sizeof rules / sizeof *rules || (former && rules[i].is_fixed))
			return jmap_wrong_property(name, "cannot be set");
		if (!rules[i].fits(value))
			return jmap_wrong_property(name, "does not fit");
	}
	return NULL;
}

/* ── /set, §6.3 ── */

static json_t *
create(struct jmap_request *r, const json_t *given, json_t **made)
{
	struct str email = jmap_str(json_object_get(given, "email")), id = { 0 };
	json_t *error = check(given, NULL), *object;

	if (error)
		return error;
	if (!email.n)
		return jmap_wrong_property("email", "is missing");
	if (!jmap_may_write_as(r, email))
		return jmap_set_error("forbiddenFrom", "this login may not write as %.*s",
			STR_ARG(str_part(email, 0, 200)));
	object = identity_new(email, true);
	json_object_update(object, (json_t *)(uintptr_t)given);
	if (jmap_kept_save(r, KEPT_IDENTITY, &id, object, &error)) {
		*made = json_copy(object);
		json_object_set_new(*made, "id", jmap_text(id));
		for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
			if (json_object_get(given, rules[i].name))
				json_object_del(*made, rules[i].name);
	}
	json_decref(object);
	return error;
}

static json_t *
update(struct jmap_request *r, struct str id, const json_t *patch)
{
	json_t *object = jmap_kept_load(r, KEPT_IDENTITY, id), *patched, *error = NULL;

	if (!object)
		return jmap_set_error("notFound", "there is no such identity");
	patched = jmap_patch(object, patch, &error);
	if (patched) {
		/* What a null takes away has its default again. */
		json_t *whole = identity_new(jmap_str(json_object_get(object, "email")), true);

		json_object_set(whole, "id", json_object_get(object, "id"));
		json_object_set(whole, "mayDelete", json_object_get(object, "mayDelete"));
		json_object_update(whole, patched);
		error = check(whole, object);
		if (!error)
			jmap_kept_save(r, KEPT_IDENTITY, &id, whole, &error);
		json_decref(whole);
	}
	json_decref(patched);
	json_decref(object);
	return error;
}

static json_t *
destroy(struct jmap_request *r, struct str id)
{
	json_t *object = jmap_kept_load(r, KEPT_IDENTITY, id);
	bool may = json_is_true(json_object_get(object, "mayDelete")), exists = object != NULL;
	struct err e = { 0 };

	json_decref(object);
	if (!exists)
		return jmap_set_error("notFound", "there is no such identity");
	if (!may)
		return jmap_set_error("forbidden", "the login's own identity stays");
	return kept_remove(r->kept, KEPT_IDENTITY, id, &e)
		       ? NULL
		       : jmap_set_error("serverFail", "%s", e.text);
}

static void
set_all(struct jmap_request *r, const json_t *arguments, json_t *answer)
{
	json_t *creates = json_object_get(arguments, "create"),
	       *updates = json_object_get(arguments, "update"), *error, *made;
	const json_t *destroys = json_object_get(arguments, "destroy");
	struct str id;

	for (void *at = json_object_iter(creates); at; at = json_object_iter_next(creates, at)) {
		made = NULL;
		error = create(r, json_object_iter_value(at), &made);
		if (made)
			json_object_set(
				r->created, json_object_iter_key(at), json_object_get(made, "id"));
		jmap_set_result(answer, error ? "notCreated" : "created", json_object_iter_key(at),
			error ? error : made);
	}
	for (void *at = json_object_iter(updates); at; at = json_object_iter_next(updates, at)) {
		json_t *key = json_string(json_object_iter_key(at));

		id = jmap_id(r, key);
		error = update(r, id, json_object_iter_value(at));
		jmap_set_result(answer, error ? "notUpdated" : "updated",
			error ? json_object_iter_key(at) : id.p, error ? error : json_null());
		json_decref(key);
	}
	for (size_t i = 0; i < json_array_size(destroys); i++) {
		const json_t *said = json_array_get(destroys, i);

		id = jmap_id(r, said);
		error = destroy(r, id);
		if (error)
			jmap_set_result(answer, "notDestroyed", json_string_value(said), error);
		else
			jmap_set_destroyed(answer, id);
	}
}

enum jmap_step
jmap_identity_set(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "ifInState", "create", "update", "destroy", NULL };

	identities_begin(r);
	*answer = jmap_kept_check_set(r, KEPT_IDENTITY, arguments, names);
	if (*answer)
		return JMAP_DONE;
	*answer = jmap_kept_set_answer(r, KEPT_IDENTITY);
	set_all(r, arguments, *answer);
	json_object_set_new(*answer, "newState", jmap_kept_state(r, KEPT_IDENTITY));
	reader_news(r->reader);
	return JMAP_DONE;
}
