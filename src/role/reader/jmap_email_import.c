/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"
#include "role/reader/jmap_set.h"
#include "role/reader/jmap_write.h"
#include "role/reader/letter.h"

/*
 * Email/import (RFC 8621 §4.8): a message that stands in a blob becomes a mail, octet for octet. Email/copy (§4.7) is between accounts, and a
 * session has one: it is there to say so.
 */

/* The moment of the newest Received: behind its last ';' (RFC 5321 §4.4). Without one: now. */
static int64_t
received(struct str message)
{
	struct str value = header_get(message, S("Received")), date = value, before;
	int64_t unix_s;
	int offset_minutes;

	while (str_cut(date, ';', &before, &value))
		date = value;
	return date.n && letter_field_date(date, &unix_s, &offset_minutes) ? unix_s * 1000
									   : loop_wall_ms();
}

static bool
is_message(struct str octets, json_t **error)
{
	struct header_facts facts;

	header_look(octets, &facts);
	if (octets.n == 0 || !facts.begins_with_field)
		*error = jmap_set_error("invalidEmail", "it does not begin with a header field");
	return !*error;
}

static json_t *
import_one(struct jmap_request *r, const json_t *import, json_t **error)
{
	static const char *const may[] = { "blobId", "mailboxIds", "keywords", "receivedAt", NULL };
	const json_t *id = json_object_get(import, "blobId");
	struct jmap_place place;
	struct blob blob = { 0 };
	struct box_mail m = { 0 };

	if (!json_is_object(import)) {
		*error = jmap_set_error("invalidProperties", "an EmailImport is an object");
		return NULL;
	}
	if (!jmap_refuse_others(error, import, may, "") ||
		!jmap_read_place(r, import, &place, error))
		return NULL;
	if (!json_is_string(id) || !blob_open(r->reader, jmap_str(id), &blob)) {
		jmap_refuse(error, "blobId", "no such blob");
		return NULL;
	}
	if (place.received_ms == JMAP_NO_DATE)
		place.received_ms = received(blob.octets);
	if (blob.octets.n > r->reader->role.config.limits.message)
		*error = jmap_set_error("tooLarge", "a message has at most %llu octets",
			(unsigned long long)r->reader->role.config.limits.message);
	else if (is_message(blob.octets, error))
		jmap_keep(r, &place, blob.octets, &m, error);
	blob_close(&blob);
	return *error ? NULL : jmap_made(&m);
}

enum jmap_step
jmap_email_import(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "ifInState", "emails", NULL };
	static const char *const lists[] = { "created", "notCreated", NULL };
	json_t *emails = json_object_get(arguments, "emails"), *import;
	const char *key;
	size_t n;

	*answer = jmap_check_arguments(arguments, names);
	if (!*answer && !json_is_object(emails))
		*answer = jmap_error("invalidArguments", "emails is no object");
	if (!*answer && json_object_size(emails) > JMAP_OBJECTS_SET_MAX)
		*answer = jmap_error(
			"requestTooLarge", "more than %d mails in one call", JMAP_OBJECTS_SET_MAX);
	if (!*answer)
		*answer = jmap_set_check_state(arguments, jmap_mail_state(r));
	if (*answer)
		return JMAP_DONE;
	*answer = jmap_set_answer(jmap_mail_state(r), lists);
	box_begin(r->box);
	json_object_keylen_foreach (emails, key, n, import) {
		json_t *error = NULL, *made = import_one(r, import, &error);

		jmap_set_created(r, *answer, (struct str){ key, n }, made, error);
	}
	box_end(r->box);
	jmap_set_end(r, *answer, jmap_mail_state(r));
	return JMAP_DONE;
}

enum jmap_step
jmap_email_copy(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "fromAccountId", "ifFromInState", "ifInState",
		"create", "onSuccessDestroyOriginal", "destroyFromIfInState", NULL };
	struct str from = jmap_str(json_object_get(arguments, "fromAccountId"));

	(void)r;
	*answer = jmap_check_arguments(arguments, names);
	if (*answer)
		return JMAP_DONE;
	if (from.n == 0 || !json_is_object(json_object_get(arguments, "create")))
		*answer = jmap_error("invalidArguments", "fromAccountId or create is missing");
	else if (str_eq(from, S(JMAP_ACCOUNT)))
		*answer = jmap_error("invalidArguments",
			"from an account to itself nothing is copied: Email/import takes its blob");
	else
		*answer = jmap_error("fromAccountNotFound", "this session has one account");
	return JMAP_DONE;
}
