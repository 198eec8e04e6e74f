/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_submission.h"

#include "base/log.h"
#include "base/must.h"
#include "role/reader/delivery.h"
#include "role/reader/jmap_set.h"

/*
 * EmailSubmission/set (RFC 8621 §7.5): one thing after another, each of which may have to wait.
 *
 *   CREATING   kept as unknown ──▶ submit_begin ──receive answers──▶ kept with the queue's id, or removed and a SetError
 *   UPDATING   undoStatus "canceled": an order to the queue ──it answers──▶ kept; or it has nothing to call back any more ──why?──▶ kept, if that is because
 *              it was called back before and the yes was lost on its way; else cannotUnsend
 *   DESTROYING only what we remember of it
 *   OVER       onSuccess…: an Email/set of the mails of those that went well
 *
 * The method is called again when an answer has come; its place is kept in request->wait. An answer that comes before the method has left
 * (is_waiting is false) calls nobody: the step looks for it itself.
 *
 * 1. Nothing is handed in that is not kept already. So a mail that receive has taken is never told as not sent (its writer would send it again), and one
 *    of which this process did not live to hear is shown, as unknown, and not silently gone.
 */

enum phase { CREATING, UPDATING, DESTROYING, OVER };
enum turn { NEXT, WAIT };

struct setting {
	struct jmap_request *request;
	json_t *arguments, *answer;
	json_t *mails; /* submission's id, or "#" and creation id, → Email's id, of all that went well */
	enum phase phase;
	void *at;     /* in create or update */
	size_t place; /* in destroy */
	bool is_waiting;
	/* CREATING */
	struct sending sending;
	struct submit *submit;
	struct str kept; /* its id; in the request's arena */
	/* UPDATING */
	uint8_t verb;	 /* of the order to the queue; 0: none yet */
	json_t *updated; /* the submission that it is about */
	struct delivery delivery;
	struct arena arena; /* the delivery's */
	bool is_answered, is_called_back, is_silent;
};

static void
order_end(struct setting *s)
{
	json_decref(s->updated);
	s->updated = NULL;
	arena_free(&s->arena);
	s->verb = 0;
}

static void
setting_free(void *wait)
{
	struct setting *s = wait;

	reader_forget(s->request->reader, s);
	submit_free(&s->submit);
	sending_end(&s->sending);
	order_end(s);
	json_decref(s->arguments);
	json_decref(s->answer);
	json_decref(s->mails);
	free(s);
}

static void
go_on(struct setting *s)
{
	if (s->is_waiting)
		jmap_go_on(s->request);
}

static void
note_success(struct setting *s, const char *key, const json_t *mail)
{
	json_object_set(s->mails, key, (json_t *)(uintptr_t)mail);
}

/* ── create ── */

static void
submitted(void *owner)
{
	go_on(owner);
}

/* Before it is handed in: what is to be read of it if no other word is ever heard. */
static bool
keep_before(struct setting *s, json_t **error)
{
	json_t *object = sending_object(&s->sending, NULL);
	bool good;

	s->kept = (struct str){ 0 };
	good = jmap_kept_save(s->request, KEPT_SUBMISSION, &s->kept, object, error);
	json_decref(object);
	return good;
}

/* It is sent, and can only be told as sent, whatever becomes of what we keep. */
static void
keep_outcome(struct setting *s, const json_t *object)
{
	json_t *error = NULL;

	if (!jmap_kept_save(s->request, KEPT_SUBMISSION, &s->kept, object, &error))
		log_event("submission-not-kept", "login=%s id=%.*s why=%s",
			log_quote(buf_str(&s->request->reader->login)), STR_ARG(s->kept),
			log_quote(jmap_str(json_object_get(error, "description"))));
	json_decref(error);
}

static void
forget_refused(struct setting *s)
{
	struct err e = { 0 };

	if (!kept_remove(s->request->kept, KEPT_SUBMISSION, s->kept, &e))
		log_event("submission-not-kept", "login=%s id=%.*s why=%s",
			log_quote(buf_str(&s->request->reader->login)), STR_ARG(s->kept),
			log_quote(str_of(e.text)));
}

/* What its creator does not know yet is told. */
static json_t *
made_of(struct setting *s, const char *creation, const json_t *given)
{
	json_t *object = sending_object(&s->sending, s->submit);
	char reference[300];

	keep_outcome(s, object);
	json_object_set_new(object, "id", jmap_text(s->kept));
	snprintf(reference, sizeof reference, "#%s", creation);
	note_success(s, reference, json_object_get(object, "emailId"));
	jmap_kept_hide(object);
	json_object_del(object, "identityId");
	json_object_del(object, "emailId");
	if (json_is_object(json_object_get(given, "envelope")))
		json_object_del(object, "envelope");
	return object;
}

static enum turn
create(struct setting *s, const char *creation, const json_t *given)
{
	json_t *error = jmap_set_wrong_creation(given), *made = NULL;

	if (!error && !s->submit && sending_begin(s->request, given, &s->sending, &error) &&
		keep_before(s, &error))
		s->submit = submit_begin(s->request->reader, &s->sending.order, submitted, s);
	if (s->submit && !s->submit->is_done)
		return WAIT;
	if (s->submit && (s->submit->is_kept || s->submit->is_unsure)) {
		made = made_of(s, creation, given);
	} else if (s->submit) {
		error = sending_refused(&s->sending, s->submit);
		forget_refused(s);
	}
	jmap_set_created(s->request, s->answer, str_of(creation), made, error);
	submit_free(&s->submit);
	sending_end(&s->sending);
	return NEXT;
}

/* ── update: nothing can be changed but that it be not sent ── */

static void
answered(void *owner, struct ipc_message *m)
{
	struct setting *s = owner;

	if (m->kind == IPC_told && s->verb == ORDER_WHY)
		delivery_told(&s->delivery, &m->told);
	if (m->kind == IPC_item && s->verb == ORDER_WHY)
		delivery_item(&s->delivery, &m->item);
	if (m->kind != IPC_end && m->kind != IPC_CLOSED)
		return;
	s->is_answered = true;
	s->is_silent = m->kind == IPC_CLOSED;
	s->is_called_back =
		m->kind == IPC_end &&
		(s->verb == ORDER_DROP ? m->end.recipients > 0 : delivery_is_dropped(&s->delivery));
	go_on(s);
}

static void
order(struct setting *s, uint8_t verb)
{
	s->verb = verb;
	s->is_answered = false;
	if (verb == ORDER_WHY) {
		s->arena.max = DELIVERY_ARENA_MAX;
		delivery_begin(
			&s->delivery, &s->arena, json_object_get(s->updated, "deliveryStatus"));
	}
	reader_order(s->request->reader,
		&(struct ipc_order){ .fd = -1,
			.verb = verb,
			.what = jmap_str(json_object_get(s->updated, "_mail")) },
		answered, s);
}

static json_t *
check_patch(const json_t *patch, const json_t *object)
{
	json_t *each = (json_t *)(uintptr_t)patch;

	for (void *at = json_object_iter(each); at; at = json_object_iter_next(each, at)) {
		const char *name = json_object_iter_key(at);
		const json_t *value = json_object_iter_value(at);

		if (!json_equal(value, json_object_get(object, name)) &&
			(strcmp(name, "undoStatus") != 0 ||
				!str_eq(jmap_str(value), S("canceled"))))
			return jmap_wrong_property(
				name, "nothing but undoStatus can be changed, to \"canceled\"");
	}
	return NULL;
}

/* The queue has answered. */
static json_t *
called_back(struct setting *s, struct str id, json_t *object)
{
	json_t *error = NULL;

	if (s->is_silent)
		return jmap_set_error("serverUnavailable", "the queue does not answer: try again");
	if (!s->is_called_back)
		return jmap_set_error("cannotUnsend", "it is on its way");
	json_object_set_new(object, "undoStatus", json_string("canceled"));
	json_object_set_new(object, "_isFinal", json_true());
	jmap_kept_save(s->request, KEPT_SUBMISSION, &id, object, &error);
	return error;
}

/* *error stays NULL where there is nothing to be done, or it was done. */
static enum turn
update_object(struct setting *s, struct str id, json_t *object, const json_t *patch, json_t **error)
{
	bool wants_cancel = str_eq(jmap_str(json_object_get(patch, "undoStatus")), S("canceled"));

	if (!s->verb) {
		jmap_submission_show(object);
		*error = check_patch(patch, object);
		if (*error || !wants_cancel ||
			str_eq(jmap_str(json_object_get(object, "undoStatus")), S("canceled")))
			return NEXT;
		if (!str_eq(jmap_str(json_object_get(object, "undoStatus")), S("pending"))) {
			*error = jmap_set_error("cannotUnsend", "it is on its way");
			return NEXT;
		}
		s->updated = json_incref(object);
		order(s, ORDER_DROP);
	}
	if (s->verb == ORDER_DROP && s->is_answered && !s->is_silent && !s->is_called_back)
		order(s, ORDER_WHY);
	if (!s->is_answered)
		return WAIT;
	*error = called_back(s, id, object);
	order_end(s);
	return NEXT;
}

static enum turn
update(struct setting *s, const char *key, const json_t *patch)
{
	json_t *name = json_string(key), *object, *error = jmap_set_wrong_patch(patch);
	struct str id = jmap_id(s->request, name);
	enum turn turn = NEXT;

	object = jmap_kept_load(s->request, KEPT_SUBMISSION, id);
	if (object && !error)
		turn = update_object(s, id, object, patch, &error);
	else if (!error)
		error = jmap_set_error("notFound", "there is no such submission");
	if (turn == NEXT) {
		order_end(
			s); /* also of one that another request destroyed while the queue was asked */
		if (!error)
			note_success(s, key, json_object_get(object, "emailId"));
		jmap_set_updated(s->answer, id, str_of(key), error);
	}
	json_decref(object);
	json_decref(name);
	return turn;
}

/* ── destroy: what was sent stays sent ── */

static void
destroy(struct setting *s, const json_t *key)
{
	struct jmap_request *r = s->request;
	struct str id = jmap_id(r, key);
	json_t *object = jmap_kept_load(r, KEPT_SUBMISSION, id), *error = NULL;
	struct err e = { 0 };

	if (!object)
		error = jmap_set_error("notFound", "there is no such submission");
	else if (!kept_remove(r->kept, KEPT_SUBMISSION, id, &e))
		error = jmap_set_error("serverFail", "%s", e.text);
	else
		note_success(s, json_string_value(key), json_object_get(object, "emailId"));
	jmap_set_destroyed(s->answer, id, jmap_str(key), error);
	json_decref(object);
}

/* ── onSuccessUpdateEmail, onSuccessDestroyEmail ── */

static void
email_set(struct setting *s)
{
	json_t *patches = json_object_get(s->arguments, "onSuccessUpdateEmail"),
	       *updates = json_object(), *arguments, *answer = NULL;
	const json_t *ids = json_object_get(s->arguments, "onSuccessDestroyEmail");
	json_t *destroys = json_array();

	for (void *at = json_object_iter(patches); at; at = json_object_iter_next(patches, at)) {
		const json_t *mail = json_object_get(s->mails, json_object_iter_key(at));

		if (mail)
			json_object_set(
				updates, json_string_value(mail), json_object_iter_value(at));
	}
	for (size_t i = 0; i < json_array_size(ids); i++) {
		json_t *mail = json_object_get(s->mails, json_string_value(json_array_get(ids, i)));

		if (mail)
			json_array_append(destroys, mail);
	}
	if (json_object_size(updates) || json_array_size(destroys)) {
		arguments = json_pack("{s:s, s:O, s:O}", "accountId", JMAP_ACCOUNT, "update",
			updates, "destroy", destroys);
		must(jmap_email_set(s->request, arguments, &answer) == JMAP_DONE);
		jmap_also(s->request, "Email/set", answer);
		json_decref(arguments);
	}
	json_decref(updates);
	json_decref(destroys);
}

/* ── the whole ── */

static json_t *
state(struct jmap_request *r)
{
	return jmap_kept_state(r, KEPT_SUBMISSION);
}

static const char *const names[] = { "onSuccessUpdateEmail", "onSuccessDestroyEmail", NULL };
static const struct jmap_set_type submissions = { .names = names, .state = state };

/* Which mails the patches are for is known at the end only; that they are patches, at once. */
static json_t *
check(struct jmap_request *r, json_t *arguments)
{
	json_t *patches = json_object_get(arguments, "onSuccessUpdateEmail");
	json_t *error = jmap_set_check(r, &submissions, arguments);
	bool none, fits = !patches || json_is_null(patches) || json_is_object(patches);

	if (error ||
		!jmap_ids(arguments, "onSuccessDestroyEmail", JMAP_OBJECTS_SET_MAX, &none, &error))
		return error;
	for (void *at = json_object_iter(patches); at; at = json_object_iter_next(patches, at))
		fits &= json_is_object(json_object_iter_value(at));
	return fits ? NULL
		    : jmap_error("invalidArguments", "onSuccessUpdateEmail has what is no patch");
}

static void
begin(struct jmap_request *r, json_t *arguments)
{
	struct setting *s = calloc(1, sizeof *s);

	must(s);
	s->request = r;
	s->arguments = json_incref(arguments);
	s->mails = json_object();
	s->answer = jmap_set_answer(state(r), jmap_set_lists);
	s->at = json_object_iter(json_object_get(arguments, "create"));
	r->wait = s;
	r->wait_free = setting_free;
}

static enum turn
set_next(struct setting *s)
{
	json_t *creates = json_object_get(s->arguments, "create"),
	       *updates = json_object_get(s->arguments, "update");
	const json_t *destroys = json_object_get(s->arguments, "destroy");
	enum turn turn = NEXT;

	switch (s->phase) {
	case CREATING:
		if (!s->at) {
			s->phase = UPDATING;
			s->at = json_object_iter(updates);
			return NEXT;
		}
		turn = create(s, json_object_iter_key(s->at), json_object_iter_value(s->at));
		if (turn == NEXT)
			s->at = json_object_iter_next(creates, s->at);
		return turn;
	case UPDATING:
		if (!s->at) {
			s->phase = DESTROYING;
			return NEXT;
		}
		turn = update(s, json_object_iter_key(s->at), json_object_iter_value(s->at));
		if (turn == NEXT)
			s->at = json_object_iter_next(updates, s->at);
		return turn;
	case DESTROYING:
		if (s->place == json_array_size(destroys))
			s->phase = OVER;
		else
			destroy(s, json_array_get(destroys, s->place++));
		return NEXT;
	case OVER:
		break;
	}
	return NEXT;
}

enum jmap_step
jmap_submission_set(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	struct setting *s;

	if (!r->wait) {
		*answer = check(r, arguments);
		if (*answer)
			return JMAP_DONE;
		begin(r, arguments);
	}
	s = r->wait;
	s->is_waiting = false;
	while (s->phase != OVER)
		if (set_next(s) == WAIT) {
			s->is_waiting = true;
			return JMAP_WAIT;
		}
	jmap_set_end(r, s->answer, state(r));
	email_set(s);
	*answer = json_incref(s->answer);
	return JMAP_DONE;
}
