/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_submission.h"

#include "base/must.h"
#include "role/reader/delivery.h"

/* From the creation of an EmailSubmission to an order for receive, and from its answer to what is kept. RFC 8621 §7.5 names the errors. */

enum { REPLY_MAX = 1000 };

static const char unsure[] =
	"451 4.4.2 it was handed in and no answer came: it may have been sent, or not";

/* Whoever writes may not write in another's name: every address in every From is one of the login's. */
static bool
check_from(struct jmap_request *r, const struct letter_part *root, json_t **error)
{
	struct letter_address *list;
	size_t n, all = 0;

	for (size_t f = 0; f < root->fields_n; f++) {
		if (!str_eq_nocase(root->fields[f].name, S("From")))
			continue;
		n = letter_field_addresses(root->fields[f].raw, &r->arena, &list);
		for (size_t i = 0; i < n; i++)
			if (!jmap_may_write_as(r, list[i].email)) {
				*error = jmap_set_error("forbiddenFrom",
					"this login may not write as %.*s",
					STR_ARG(str_part(list[i].email, 0, 200)));
				return false;
			}
		all += n;
	}
	if (all)
		return true;
	*error = jmap_set_error("invalidEmail", "the mail says nothing of who wrote it");
	json_object_set_new(*error, "properties", json_pack("[s]", "from"));
	return false;
}

static bool
check_size(const struct jmap_request *r, struct str message, json_t **error)
{
	uint64_t most = r->reader->role.config.limits.message;

	if (!most || message.n <= most)
		return true;
	*error = jmap_set_error(
		"tooLarge", "mail here has at most %llu octets", (unsigned long long)most);
	json_object_set_new(*error, "maxSize", json_integer((json_int_t)most));
	return false;
}

static bool
read_message(struct jmap_request *r, const json_t *given, struct sending *s, json_t **error)
{
	const json_t *envelope = json_object_get(given, "envelope");
	struct buf header = { 0 }; /* as it will leave */
	struct letter *l;
	bool good;

	outgoing_header(s->order.message, &header);
	l = letter_open(buf_str(&header));
	good = check_from(r, letter_root(l), error);
	if (good)
		s->envelope = json_is_object(envelope)
				      ? json_deep_copy(envelope)
				      : envelope_of_header(letter_root(l), r,
						jmap_str(json_object_get(s->identity, "email")));
	letter_free(&l);
	buf_free(&header);
	return good && envelope_read(r, s->envelope, s, error);
}

static bool
check_properties(const json_t *given, json_t **error)
{
	json_t *object = (json_t *)(uintptr_t)given;
	const json_t *envelope = json_object_get(given, "envelope");

	for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
		const char *name = json_object_iter_key(at);

		if (strcmp(name, "identityId") != 0 && strcmp(name, "emailId") != 0 &&
			strcmp(name, "envelope") != 0) {
			*error = jmap_wrong_property(name, "cannot be set");
			return false;
		}
	}
	if (!envelope || json_is_null(envelope) || json_is_object(envelope))
		return true;
	*error = jmap_wrong_property("envelope", "is no envelope");
	return false;
}

bool
sending_begin(struct jmap_request *r, const json_t *given, struct sending *s, json_t **error)
{
	*s = (struct sending){ 0 };
	if (!check_properties(given, error))
		return false;
	s->identity =
		jmap_kept_load(r, KEPT_IDENTITY, jmap_id(r, json_object_get(given, "identityId")));
	if (!s->identity)
		*error = jmap_wrong_property("identityId", "there is no such identity");
	else if (!box_mail(r->box, jmap_id(r, json_object_get(given, "emailId")), &r->arena,
			 &s->mail) ||
		 !box_read(r->box, &s->mail, &s->order.message))
		*error = jmap_wrong_property("emailId", "there is no such mail");
	else if (s->order.message.n >= BOX_OCTETS_MAX) /* not the whole of it, perhaps */
		*error = jmap_set_error(
			"tooLarge", "no more than %d octets can be sent from here", BOX_OCTETS_MAX);
	else if (check_size(r, s->order.message, error) && read_message(r, given, s, error)) {
		s->send_at_ms = loop_wall_ms() + (int64_t)s->order.hold_s * 1000;
		return true;
	}
	sending_end(s);
	return false;
}

void
sending_end(struct sending *s)
{
	if (s->order.message.p)
		box_read_free(&s->order.message);
	json_decref(s->identity);
	json_decref(s->envelope);
	*s = (struct sending){ 0 };
}

/* ── receive has answered ── */

static json_t *
recipient_status(const struct submit *done, size_t i)
{
	const struct smtp_outcome *outcome = done ? &done->outcomes[i] : NULL;
	char kept[MAIL_ID_TEXT + 20], id[MAIL_ID_TEXT];
	struct buf reply = { .max = REPLY_MAX };
	json_t *entry;

	if (!outcome || outcome->may_be_delivered)
		return delivery_entry(str_of(unsure), "unknown");
	if (err_is(&outcome->err)) {
		delivery_add_reply(&reply, &outcome->err);
		entry = delivery_entry(buf_str(&reply), "no");
		buf_free(&reply);
		return entry;
	}
	snprintf(kept, sizeof kept, "250 2.0.0 kept as %s", mail_id_text(done->id, id));
	return delivery_entry(str_of(kept), "queued");
}

/* What each recipient was answered: those that were taken wait now. */
static json_t *
delivery_status(const struct sending *s, const struct submit *done)
{
	const json_t *to = json_object_get(s->envelope, "rcptTo");
	json_t *status = json_object();

	for (size_t i = 0; i < s->order.recipients_n; i++)
		json_object_set_new(status,
			json_string_value(json_object_get(json_array_get(to, i), "email")),
			recipient_status(done, i));
	return status;
}

json_t *
sending_object(const struct sending *s, const struct submit *done)
{
	bool is_known = done && done->is_kept; /* by an id that the queue can be asked for */
	char id[MAIL_ID_TEXT];

	return json_pack("{s:O, s:o, s:o, s:O, s:o, s:s, s:o, s:[], s:[], s:s*, s:b}", "identityId",
		json_object_get(s->identity, "id"), "emailId", jmap_text(s->mail.id), "threadId",
		jmap_text(s->mail.thread), "envelope", s->envelope, "sendAt",
		jmap_date(s->send_at_ms), "undoStatus",
		is_known && s->order.hold_s ? "pending" : "final", "deliveryStatus",
		delivery_status(s, done), "dsnBlobIds", "mdnBlobIds", "_mail",
		is_known ? mail_id_text(done->id, id) : NULL, "_isFinal", !is_known);
}

/* All were refused, each for itself. */
static json_t *
all_refused(const struct sending *s, const struct submit *done)
{
	const json_t *to = json_object_get(s->envelope, "rcptTo");
	json_t *invalid = json_array(), *error;

	for (size_t i = 0; i < s->order.recipients_n; i++)
		json_array_append(invalid, json_object_get(json_array_get(to, i), "email"));
	error = jmap_set_error("invalidRecipients", "%s", done->outcomes[0].err.text);
	json_object_set_new(error, "invalidRecipients", invalid);
	return error;
}

json_t *
sending_refused(const struct sending *s, const struct submit *done)
{
	const struct smtp_outcome *first = &done->outcomes[0];
	const struct err *why = err_is(&done->err) ? &done->err : &first->err;

	if (why->class == ERR_TEMPORARY)
		return jmap_set_error("serverUnavailable", "%s", why->text);
	if (err_is(&done->err))
		return jmap_set_error("serverFail", "%s", why->text);
	if (why->code == 552 || why->kind == ERR_TOO_BIG)
		return jmap_set_error("tooLarge", "%s", why->text);
	switch (first->stage) {
	case STAGE_RCPT:
		return all_refused(s, done);
	case STAGE_MAIL:
		return jmap_set_error("forbiddenMailFrom", "%s", why->text);
	default:
		return jmap_set_error("forbiddenToSend", "%s", why->text);
	}
}
