/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap.h"

#include "base/must.h"

/*
 * A request from its first octet to its answer: read (jmap_envelope.c), then call after call, then written. What a call got
 * wrong is its own error; the others are answered all the same (RFC 8620 §3.6.2).
 *
 *   jmap_begin ──read──▶ run ──a method waits──▶ (left) ──jmap_go_on──▶ run … ──no call is left──▶ finish
 *
 * Invariant: what stands at methodCalls[at] has its references resolved as soon as its method was called once, so that a method that
 * waited gets the same arguments again.
 */

static const struct method {
	const char *name;
	enum jmap_capability capability;
	jmap_method *run;
} methods[] = {
	{ "Core/echo", JMAP_CORE, jmap_core_echo },
	{ "Mailbox/get", JMAP_MAIL, jmap_mailbox_get },
	{ "Mailbox/changes", JMAP_MAIL, jmap_mailbox_changes },
	{ "Mailbox/query", JMAP_MAIL, jmap_mailbox_query },
	{ "Mailbox/queryChanges", JMAP_MAIL, jmap_mailbox_query_changes },
	{ "Mailbox/set", JMAP_MAIL, jmap_mailbox_set },
	{ "Thread/get", JMAP_MAIL, jmap_thread_get },
	{ "Thread/changes", JMAP_MAIL, jmap_thread_changes },
	{ "Email/get", JMAP_MAIL, jmap_email_get },
	{ "Email/changes", JMAP_MAIL, jmap_email_changes },
	{ "Email/query", JMAP_MAIL, jmap_email_query },
	{ "Email/queryChanges", JMAP_MAIL, jmap_email_query_changes },
	{ "Email/set", JMAP_MAIL, jmap_email_set },
	{ "Email/copy", JMAP_MAIL, jmap_email_copy },
	{ "Email/import", JMAP_MAIL, jmap_email_import },
	{ "Email/parse", JMAP_MAIL, jmap_email_parse },
	{ "SearchSnippet/get", JMAP_MAIL, jmap_search_snippet_get },
	{ "Identity/get", JMAP_SUBMISSION, jmap_identity_get },
	{ "Identity/changes", JMAP_SUBMISSION, jmap_identity_changes },
	{ "Identity/set", JMAP_SUBMISSION, jmap_identity_set },
	{ "EmailSubmission/get", JMAP_SUBMISSION, jmap_submission_get },
	{ "EmailSubmission/changes", JMAP_SUBMISSION, jmap_submission_changes },
	{ "EmailSubmission/query", JMAP_SUBMISSION, jmap_submission_query },
	{ "EmailSubmission/queryChanges", JMAP_SUBMISSION, jmap_submission_query_changes },
	{ "EmailSubmission/set", JMAP_SUBMISSION, jmap_submission_set },
	{ "Contact/suggest", JMAP_EXTRA, jmap_contact_suggest },
};

/* ── one call ── */

static json_t *
call_at(const struct jmap_request *r)
{
	return json_array_get(json_object_get(r->request, "methodCalls"), r->at);
}

/* One that a client did not say that it uses does not exist for it (RFC 8620 §3.3). */
static const struct method *
method_named(const struct jmap_request *r, const char *name)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (!strcmp(methods[i].name, name))
			return r->uses & methods[i].capability ? &methods[i] : NULL;
	return NULL;
}

static int
count_octets(const char *octets, size_t n, void *data)
{
	size_t *size = data;

	(void)octets;
	*size += n;
	return *size > JMAP_ANSWER_MAX ? -1 : 0;
}

/* Whether the call may have changed something. */
static bool
is_of_change(const char *name)
{
	struct str method = str_of(name);

	return str_ends_nocase(method, S("/set")) || str_ends_nocase(method, S("/import"));
}

static json_t *
too_long(const char *name, json_t *answer)
{
	bool has_changed = !jmap_is_error(answer) && is_of_change(name);

	json_decref(answer);
	return jmap_error(has_changed ? "serverPartialFail" : "requestTooLarge",
		"the answer would be longer than %d octets", JMAP_ANSWER_MAX);
}

/* Takes the answer. Whatever is too long to be sent is not kept either: of a call that has changed something the client hears that it has to ask anew what
 * there is (RFC 8620 §3.6.2). */
static void
add_response(struct jmap_request *r, const char *name, json_t *answer)
{
	size_t size = r->size;

	if (json_dump_callback(answer, count_octets, &size, JSON_COMPACT)) {
		answer = too_long(name, answer);
		size = r->size;
	}
	r->size = size;
	if (jmap_is_error(answer)) {
		jmap_unmark(answer);
		name = "error";
	}
	json_array_append_new(
		r->responses, json_pack("[s, o, O]", name, answer, json_array_get(call_at(r), 2)));
}

static void
wait_end(struct jmap_request *r)
{
	if (r->wait && r->wait_free)
		r->wait_free(r->wait);
	r->wait = NULL;
	r->wait_free = NULL;
}

static void
call_end(struct jmap_request *r, json_t *answer)
{
	json_t *also;
	size_t i;

	add_response(r, json_string_value(json_array_get(call_at(r), 0)), answer);
	json_array_foreach (r->also, i, also)
		add_response(r, json_string_value(json_array_get(also, 0)),
			json_incref(json_array_get(also, 1)));
	json_array_clear(r->also);
	wait_end(r);
	arena_free(&r->arena);
	r->at++;
}

/* What is not there for a moment only is neither empty nor unknown. */
static json_t *
unavailable(void)
{
	return jmap_error("serverUnavailable", "the mailbox's index is being mended: try again");
}

static enum jmap_step
call_run(struct jmap_request *r)
{
	json_t *call = call_at(r), *answer = NULL, *resolved;
	const struct method *method = method_named(r, json_string_value(json_array_get(call, 0)));

	if (!method)
		answer = jmap_error(
			"unknownMethod", "%s", "no such method, or `using` lacks its capability");
	else if (!r->wait && method->capability != JMAP_CORE && box_is_broken(r->box))
		answer = unavailable();
	else if ((resolved = jmap_resolve(json_array_get(call, 1), r->responses, &answer))) {
		json_array_set_new(call, 1, resolved);
		if (method->run(r, resolved, &answer) == JMAP_WAIT)
			return JMAP_WAIT;
		if (method->capability != JMAP_CORE && !is_of_change(method->name) &&
			box_is_broken(r->box)) {
			json_decref(answer);
			answer = unavailable();
		}
	}
	must(answer);
	call_end(r, answer);
	return JMAP_DONE;
}

void
jmap_also(struct jmap_request *r, const char *name, json_t *answer)
{
	json_array_append_new(r->also, json_pack("[s, o]", name, answer));
}

enum jmap_step
jmap_core_echo(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	(void)r;
	*answer = json_incref(arguments);
	return JMAP_DONE;
}

static void
forget(struct jmap_request **r)
{
	if (!*r)
		return;
	list_remove(&(*r)->link);
	reader_settle((*r)->reader);
	wait_end(*r);
	arena_free(&(*r)->arena);
	json_decref((*r)->request);
	json_decref((*r)->responses);
	json_decref((*r)->created);
	json_decref((*r)->also);
	memory_release(NULL, *r);
	*r = NULL;
}

/* ── the request ── */

static void
finish(struct jmap_request *r)
{
	char state[JMAP_SESSION_STATE], *text;
	json_t *o = json_object();

	jmap_session_state(r->reader, state);
	json_object_set(o, "methodResponses", r->responses);
	if (json_is_object(json_object_get(r->request, "createdIds")))
		json_object_set(o, "createdIds", r->created);
	json_object_set_new(o, "sessionState", json_string(state));
	text = json_dumps(o, JSON_COMPACT);
	must(text);
	reader_reply(r->reader, r->ask, 200, "application/json", (struct str){ 0 }, str_of(text));
	free(text);
	json_decref(o);
	forget(&r);
}

void
jmap_go_on(struct jmap_request *r)
{
	size_t calls = json_array_size(json_object_get(r->request, "methodCalls"));

	while (r->at < calls)
		if (call_run(r) == JMAP_WAIT)
			return;
	finish(r);
}

void
jmap_begin(struct reader *reader, uint64_t ask, struct str body)
{
	struct jmap_problem problem;
	struct jmap_request *r;
	unsigned uses;
	json_t *request = jmap_read(body, &uses, &problem), *created;

	if (!request) {
		reader_problem(reader, ask, 400, problem.type, problem.limit, problem.detail);
		return;
	}
	created = json_object_get(request, "createdIds");
	r = memory_take(NULL, sizeof *r);
	*r = (struct jmap_request){ .reader = reader,
		.box = reader->box,
		.kept = reader->kept,
		.ask = ask,
		.request = request,
		.responses = json_array(),
		.created = json_is_object(created) ? json_copy(created) : json_object(),
		.also = json_array(),
		.uses = uses,
		.arena = { .max = JMAP_ARENA_MAX } };
	list_append(&reader->requests, &r->link);
	jmap_go_on(r);
}
