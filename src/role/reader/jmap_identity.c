/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_submission.h"

#include "base/codec.h"
#include "role/reader/jmap_set.h"

/*
 * Identities (RFC 8621 §6): as whom the login may write. Which addresses these are vault says, and they come with the mailbox; the person
 * chooses name, signature and where answers go.
 *
 * Each address gets an identity of its own, once: when a method is called and the mailbox has an address that never had one. The first, the
 * login's own, stays, and keeps the list of those that had one, so that what the person has destroyed does not come back.
 */

static const char *const properties[] = { "id", "name", "email", "replyTo", "bcc", "textSignature",
	"htmlSignature", "mayDelete", NULL };

enum { TEXT_MAX = 256 * 1024 }; /* octets of a signature */

static const char had_one[] =
	"_hadOne"; /* of the login's own identity: addresses that have or had one */

static json_t *
identity_new(struct str email, bool may_delete)
{
	return json_pack("{s:s, s:o, s:n, s:n, s:s, s:s, s:b}", "name", "", "email",
		jmap_text(email), "replyTo", "bcc", "textSignature", "", "htmlSignature", "",
		"mayDelete", may_delete);
}

static bool
has_address(const json_t *list, struct str address)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (str_eq_nocase(jmap_str(json_array_get(list, i)), address))
			return true;
	return false;
}

static void
add_address(json_t *list, struct str address)
{
	if (address.n && !has_address(list, address))
		json_array_append_new(list, jmap_text(address));
}

/* The login's own identity, new, or NULL. `had` becomes the addresses that have or had one. */
static json_t *
find_own(struct jmap_request *r, json_t *had)
{
	json_t *own = NULL, *object, *address;
	struct kept_walk walk;
	struct str id, json;
	size_t i;

	kept_walk_begin(r->kept, KEPT_IDENTITY, (struct str){ 0 }, &walk);
	while (kept_walk_next(&walk, &id, &json)) {
		object = jmap_kept_object(id, json);
		add_address(had, jmap_str(json_object_get(object, "email")));
		json_array_foreach (json_object_get(object, had_one), i, address)
			add_address(had, jmap_str(address));
		if (!own && json_is_false(json_object_get(object, "mayDelete")))
			own = json_incref(object);
		json_decref(object);
	}
	kept_walk_end(&walk);
	return own;
}

/* Under its id; without one it is new, and gets it. */
static bool
save(struct jmap_request *r, json_t *object)
{
	struct str id = jmap_str(json_object_get(object, "id"));
	json_t *error = NULL;
	bool good = jmap_kept_save(r, KEPT_IDENTITY, &id, object, &error);

	if (good)
		json_object_set_new(object, "id", jmap_text(id));
	json_decref(error);
	return good;
}

/* In this order: what a kill interrupts is done by the next call, and nothing twice. */
static void
identities_begin(struct jmap_request *r)
{
	struct str addresses = buf_str(&r->reader->addresses), address;
	json_t *had = json_array(), *own = find_own(r, had), *object;
	bool good = true;

	while (good && codec_scan_str(&addresses, &address)) {
		if (own && has_address(had, address))
			continue;
		object = identity_new(address, own != NULL);
		good = save(r, object);
		add_address(had, address);
		if (!own && good)
			own = json_incref(object);
		json_decref(object);
	}
	if (good && own && json_array_size(had) > json_array_size(json_object_get(own, had_one))) {
		json_object_set(own, had_one, had);
		save(r, own);
		reader_news(r->reader);
	}
	json_decref(had);
	json_decref(own);
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
create(struct jmap_set *s, const json_t *given, json_t **made)
{
	struct jmap_request *r = s->request;
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
update(struct jmap_set *s, struct str id, const json_t *patch)
{
	struct jmap_request *r = s->request;
	json_t *object = jmap_kept_load(r, KEPT_IDENTITY, id), *patched, *error = NULL;

	if (!object)
		return jmap_set_error("notFound", "there is no such identity");
	patched = jmap_patch(object, patch, &error);
	if (patched) {
		/* What a null takes away has its default again. */
		json_t *whole = identity_new(jmap_str(json_object_get(object, "email")), true);

		json_object_set(whole, "id", json_object_get(object, "id"));
		json_object_set(whole, "mayDelete", json_object_get(object, "mayDelete"));
		if (json_object_get(object, had_one))
			json_object_set(patched, had_one, json_object_get(object, had_one));
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
destroy(struct jmap_set *s, struct str id)
{
	struct jmap_request *r = s->request;
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

static json_t *
state(struct jmap_request *r)
{
	return jmap_kept_state(r, KEPT_IDENTITY);
}

enum jmap_step
jmap_identity_set(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const struct jmap_set_type identities = {
		.state = state, .create = create, .update = update, .destroy = destroy
	};

	identities_begin(r);
	return jmap_set(r, &identities, arguments, answer);
}
