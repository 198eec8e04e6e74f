/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_email.h"

/*
 * Email/get, Email/changes and Email/parse, RFC 8621 §4.2, §4.3, §4.9.
 *
 * A property comes from one of three places, the cheapest that has it: the index's row, the summary that lies in it as JSON, the
 * message. A list of mails asks for nothing of the third kind, and then no file is opened: this is what makes lists fast.
 */

enum source { OF_ROW = 1, OF_SUMMARY = 2, OF_MESSAGE = 4 };

static const struct {
	const char *name;
	enum source source;
} properties[] = {
	{ "id", OF_ROW },
	{ "blobId", OF_ROW },
	{ "threadId", OF_ROW },
	{ "mailboxIds", OF_ROW },
	{ "keywords", OF_ROW },
	{ "size", OF_ROW },
	{ "receivedAt", OF_ROW },
	{ "hasAttachment", OF_ROW },
	{ "messageId", OF_SUMMARY },
	{ "inReplyTo", OF_SUMMARY },
	{ "references", OF_SUMMARY },
	{ "sender", OF_SUMMARY },
	{ "from", OF_SUMMARY },
	{ "to", OF_SUMMARY },
	{ "cc", OF_SUMMARY },
	{ "bcc", OF_SUMMARY },
	{ "replyTo", OF_SUMMARY },
	{ "subject", OF_SUMMARY },
	{ "sentAt", OF_SUMMARY },
	{ "preview", OF_SUMMARY },
	{ "bodyValues", OF_MESSAGE },
	{ "textBody", OF_MESSAGE },
	{ "htmlBody", OF_MESSAGE },
	{ "attachments", OF_MESSAGE },
	/* those from here on have to be asked for */
	{ "bodyStructure", OF_MESSAGE },
	{ "headers", OF_MESSAGE },
};
enum {
	PROPERTIES = sizeof properties / sizeof *properties,
	USUAL = PROPERTIES - 2,
	PARSE_FROM = 7 /* what only the row has comes before */
};

struct get {
	struct jmap_request *request;
	json_t *wanted; /* names */
	unsigned sources;
	struct body_wish body;
	size_t left; /* octets of values, of the whole call; 0: too many */
	json_t *list, *not_found;
};

/* ── what is wanted ── */

/* OF_MESSAGE for any header:…; 0: no property of an Email. */
static unsigned
source_of(struct str name)
{
	struct header_wish wish;

	for (size_t i = 0; i < PROPERTIES; i++)
		if (str_eq(name, str_of(properties[i].name)))
			return properties[i].source;
	return header_scan_wish(name, &wish) ? OF_MESSAGE : 0;
}

static bool
read_wanted(struct get *g, const json_t *asked, size_t first, json_t **error)
{
	const json_t *name;
	size_t i;

	g->wanted = json_array();
	if (asked && !json_is_null(asked) && !json_is_array(asked))
		*error = jmap_error("invalidArguments", "properties is not an array");
	for (i = first; !json_is_array(asked) && i < USUAL; i++) {
		json_array_append_new(g->wanted, json_string(properties[i].name));
		g->sources |= properties[i].source;
	}
	json_array_foreach (asked, i, name) {
		unsigned source = json_is_string(name) ? source_of(jmap_str(name)) : 0;

		g->sources |= source;
		json_array_append(g->wanted, (json_t *)(uintptr_t)name);
		if (source)
			continue;
		*error = jmap_error("invalidArguments", "properties: %.100s",
			json_is_string(name) ? json_string_value(name) : "not a string");
		break;
	}
	return !*error;
}

static bool
begin(struct get *g, struct jmap_request *r, const json_t *arguments, size_t first, json_t **error)
{
	*g = (struct get){ .request = r, .left = JMAP_ANSWER_MAX };
	return read_wanted(g, json_object_get(arguments, "properties"), first, error) &&
	       body_read_wish(arguments, &g->body, error);
}

/* ── of the row ── */

static json_t *
row_property(const struct box_mail *m, struct str name)
{
	if (str_eq(name, S("id")) || str_eq(name, S("blobId")))
		return jmap_text(m->id);
	if (str_eq(name, S("threadId")))
		return jmap_text(m->thread);
	if (str_eq(name, S("mailboxIds"))) {
		json_t *ids = json_object();

		json_object_setn_new(ids, m->folder.p, m->folder.n, json_true());
		return ids;
	}
	if (str_eq(name, S("keywords")))
		return email_keywords(m->flags);
	if (str_eq(name, S("size")))
		return json_integer((json_int_t)m->size);
	if (str_eq(name, S("receivedAt")))
		return jmap_date(m->received_ms);
	return json_boolean(m->has_attachment);
}

json_t *
email_property(const struct box_mail *m, const char *name)
{
	json_t *summary, *value;

	switch (source_of(str_of(name))) {
	case OF_ROW:
		return row_property(m, str_of(name));
	case OF_SUMMARY:
		summary = json_loadb(m->summary.p ? m->summary.p : "", m->summary.n, 0, NULL);
		value = json_object_get(summary, name);
		value = value ? json_incref(value) : json_null();
		json_decref(summary);
		return value;
	default:
		return NULL;
	}
}

/* ── of the message ── */

static json_t *
message_property(const struct body *b, struct str name)
{
	const struct letter_view *view = letter_view(b->letter);
	struct header_wish wish;

	if (str_eq(name, S("bodyValues")))
		return body_values(b);
	if (str_eq(name, S("textBody")))
		return body_parts(b, view->text, view->text_n);
	if (str_eq(name, S("htmlBody")))
		return body_parts(b, view->html, view->html_n);
	if (str_eq(name, S("attachments")))
		return body_parts(b, view->attachments, view->attachments_n);
	if (str_eq(name, S("bodyStructure")))
		return body_structure(b);
	if (str_eq(name, S("headers")))
		return header_list(letter_root(b->letter));
	if (header_scan_wish(name, &wish))
		return header_value(letter_root(b->letter), &wish, b->arena);
	return json_null();
}

/* What a message without a row says itself of what a row or a summary would have. */
static json_t *
parsed_property(const struct body *b, struct str octets, struct str name)
{
	struct buf preview = { .max = 4 * LETTER_PREVIEW_MAX };
	struct header_wish wish;
	json_t *j;

	if (header_named_wish(name, &wish))
		return header_value(letter_root(b->letter), &wish, b->arena);
	if (str_eq(name, S("blobId")))
		return jmap_text(b->blob);
	if (str_eq(name, S("size")))
		return json_integer((json_int_t)octets.n);
	if (str_eq(name, S("hasAttachment")))
		return json_boolean(letter_view(b->letter)->has_attachment);
	if (!str_eq(name, S("preview")))
		return message_property(b, name);
	letter_preview(b->letter, &preview);
	j = jmap_text(buf_str(&preview));
	buf_free(&preview);
	return j;
}

/* ── get ── */

static void
add_properties(struct get *g, const struct box_mail *m, const struct body *b, json_t *email)
{
	json_t *summary = NULL, *name, *value;
	size_t i;

	if (g->sources & OF_SUMMARY)
		summary = json_loadb(m->summary.p ? m->summary.p : "", m->summary.n, 0, NULL);
	json_array_foreach (g->wanted, i, name) {
		switch (source_of(jmap_str(name))) {
		case OF_ROW:
			value = row_property(m, jmap_str(name));
			break;
		case OF_SUMMARY:
			value = json_object_get(summary, json_string_value(name));
			value = value ? json_incref(value) : json_null();
			break;
		default:
			value = message_property(b, jmap_str(name));
		}
		json_object_set_new(email, json_string_value(name), value);
	}
	json_decref(summary);
}

/* False: the mail is not there, or its file has gone since. */
static bool
get_one(struct get *g, struct str id)
{
	struct jmap_request *r = g->request;
	struct box_mail m;
	struct str octets = { 0 };
	struct body b = { .wish = &g->body, .arena = &r->arena, .left = &g->left };
	json_t *email;

	if (!box_mail(r->box, id, &r->arena, &m))
		return false;
	if (g->sources & OF_MESSAGE) {
		if (!box_read(r->box, &m, &octets))
			return false;
		b.letter = letter_open(octets);
		b.blob = m.id;
	}
	email = json_pack("{s:o}", "id", jmap_text(m.id));
	add_properties(g, &m, &b, email);
	json_array_append_new(g->list, email);
	letter_free(&b.letter);
	if (octets.p)
		box_read_free(&octets);
	return true;
}

/* ids null: all there are, where these are not too many (RFC 8620 §5.1). */
static bool
all_ids(struct get *g, json_t *arguments, json_t **error)
{
	struct box_query q = { .limit = JMAP_OBJECTS_GET_MAX + 1 };
	struct box_found found = { 0 };
	struct err e = { 0 };

	if (!box_query(g->request->box, &q, &g->request->arena, &found, &e))
		*error = jmap_error("serverFail", "%s", e.text);
	else if (found.n > JMAP_OBJECTS_GET_MAX)
		*error = jmap_error("requestTooLarge", "all mails are too many: name their ids");
	else
		json_object_set_new(arguments, "ids", jmap_texts(found.ids, found.n));
	return !*error;
}

enum jmap_step
jmap_email_get(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "ids", "properties", "bodyProperties",
		"fetchTextBodyValues", "fetchHTMLBodyValues", "fetchAllBodyValues",
		"maxBodyValueBytes", NULL };
	struct get g = { 0 };
	char state[BOX_STATE];
	bool all;
	json_t *id;
	size_t i;

	if ((*answer = jmap_check_arguments(arguments, names)) ||
		!begin(&g, r, arguments, 0, answer) ||
		!jmap_ids(arguments, "ids", JMAP_OBJECTS_GET_MAX, &all, answer) ||
		(all && !all_ids(&g, arguments, answer)))
		goto out;
	g.list = json_array();
	g.not_found = json_array();
	json_array_foreach (json_object_get(arguments, "ids"), i, id) {
		if (!get_one(&g, jmap_id(r, id)))
			json_array_append(g.not_found, id);
		if (!g.left)
			break;
	}
	box_state(r->box, BOX_MAILS, state);
	*answer = jmap_get_answer(state, g.list, g.not_found);
	if (!g.left) {
		json_decref(*answer);
		*answer = jmap_error(
			"requestTooLarge", "the texts of these mails are too long for one answer");
	}
out:
	json_decref(g.wanted);
	return JMAP_DONE;
}

enum jmap_step
jmap_email_changes(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	struct box_changes c = { 0 };

	(void)jmap_box_changes(r, BOX_MAILS, arguments, &c, answer);
	return JMAP_DONE;
}

/* ── parse, RFC 8621 §4.9 ── */

static json_t *
parse_one(struct get *g, struct str id, struct str octets)
{
	struct body b = {
		.wish = &g->body, .arena = &g->request->arena, .left = &g->left, .blob = id
	};
	json_t *email = json_object(), *name;
	size_t i;

	b.letter = letter_open(octets);
	json_array_foreach (g->wanted, i, name)
		json_object_set_new(email, json_string_value(name),
			parsed_property(&b, octets, jmap_str(name)));
	letter_free(&b.letter);
	return email;
}

enum jmap_step
jmap_email_parse(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "blobIds", "properties", "bodyProperties",
		"fetchTextBodyValues", "fetchHTMLBodyValues", "fetchAllBodyValues",
		"maxBodyValueBytes", NULL };
	json_t *parsed, *not_found, *id;
	struct get g = { 0 };
	struct blob blob;
	bool all;
	size_t i;

	if ((*answer = jmap_check_arguments(arguments, names)) ||
		!begin(&g, r, arguments, PARSE_FROM, answer) ||
		!jmap_ids(arguments, "blobIds", JMAP_OBJECTS_GET_MAX, &all, answer))
		goto out;
	if (all) {
		*answer = jmap_error("invalidArguments", "blobIds is missing");
		goto out;
	}
	parsed = json_object();
	not_found = json_array();
	json_array_foreach (json_object_get(arguments, "blobIds"), i, id) {
		if (!g.left)
			break;
		if (!blob_open(r->reader, jmap_id(r, id), &blob)) {
			json_array_append(not_found, id);
			continue;
		}
		json_object_set_new(
			parsed, json_string_value(id), parse_one(&g, jmap_str(id), blob.octets));
		blob_close(&blob);
	}
	/* Any octets are a message to somebody: nothing is notParsable. */
	*answer = json_pack("{s:s, s:o, s:[], s:o}", "accountId", JMAP_ACCOUNT, "parsed", parsed,
		"notParsable", "notFound", not_found);
	if (!g.left) {
		json_decref(*answer);
		*answer = jmap_error("requestTooLarge",
			"the texts of these messages are too long for one answer");
	}
out:
	json_decref(g.wanted);
	return JMAP_DONE;
}
