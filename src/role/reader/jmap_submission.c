/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_submission.h"

#include "base/must.h"
#include "role/reader/delivery.h"

/*
 * EmailSubmission (RFC 8621 §7): what was handed in, and what became of it. While a mail may still change, whoever asks for its
 * deliveryStatus has the queue asked first; what it said last is remembered, and when nothing can change any more it is asked no more.
 */

static const char *const properties[] = { "id", "identityId", "emailId", "threadId", "envelope",
	"sendAt", "undoStatus", "deliveryStatus", "dsnBlobIds", "mdnBlobIds", NULL };

enum {
	ASKED_MOST = 32,    /* submissions a call that the queue is asked about */
	ARRIVES_MS = 10000, /* a mail may be on its way from the log into the queue */
};

int64_t
jmap_submission_at_ms(const json_t *object)
{
	int64_t ms = 0;

	return jmap_read_date(json_object_get(object, "sendAt"), &ms) ? ms : 0;
}

void
jmap_submission_show(json_t *object)
{
	if (str_eq(jmap_str(json_object_get(object, "undoStatus")), S("pending")) &&
		jmap_submission_at_ms(object) <= loop_wall_ms())
		json_object_set_new(object, "undoStatus", json_string("final"));
}

/* ── /get, §7.1 ── */

/* A /get that asks the queue first. */
struct asking {
	struct jmap_request *request;
	json_t *ids; /* that it is asked about */
	size_t at;
	json_t *object;
	struct arena arena;
	struct delivery delivery;
	bool is_waiting, is_answered, is_whole;
};

static void
asking_free(void *wait)
{
	struct asking *a = wait;

	reader_forget(a->request->reader, a);
	json_decref(a->ids);
	json_decref(a->object);
	arena_free(&a->arena);
	free(a);
}

static void
told(void *owner, struct ipc_message *m)
{
	struct asking *a = owner;

	switch (m->kind) {
	case IPC_told:
		delivery_told(&a->delivery, &m->told);
		return;
	case IPC_item:
		delivery_item(&a->delivery, &m->item);
		return;
	case IPC_end:
		a->is_whole = !m->end.is_partial;
		break;
	default: /* it is gone */
		a->is_whole = false;
		break;
	}
	a->is_answered = true;
	if (a->is_waiting)
		jmap_go_on(a->request);
}

/* Does the queue know more than we? */
static bool
may_change(const json_t *object)
{
	return !json_is_true(json_object_get(object, "_isFinal")) &&
	       jmap_submission_at_ms(object) <= loop_wall_ms();
}

static void
ask(struct asking *a)
{
	a->is_answered = a->is_whole = false;
	a->arena.max = DELIVERY_ARENA_MAX;
	delivery_begin(&a->delivery, &a->arena, json_object_get(a->object, "deliveryStatus"));
	reader_order(a->request->reader,
		&(struct ipc_order){ .fd = -1,
			.verb = ORDER_WHY,
			.what = jmap_str(json_object_get(a->object, "_mail")) },
		told, a);
}

/* What it said, where that is news. */
static void
remember(struct asking *a)
{
	json_t *former = json_deep_copy(a->object), *error = NULL;
	struct str id = jmap_str(json_array_get(a->ids, a->at));
	bool is_old = jmap_submission_at_ms(a->object) + ARRIVES_MS < loop_wall_ms();

	if (delivery_end(&a->delivery, json_object_get(a->object, "deliveryStatus"),
		    is_old && a->is_whole))
		json_object_set_new(a->object, "_isFinal", json_true());
	if (delivery_is_dropped(&a->delivery) &&
		str_eq(jmap_str(json_object_get(a->object, "undoStatus")), S("pending"))) {
		json_object_set_new(a->object, "undoStatus", json_string("canceled"));
		json_object_set_new(a->object, "_isFinal", json_true());
	}
	jmap_submission_show(a->object);
	if (!json_equal(former, a->object))
		jmap_kept_save(a->request, KEPT_SUBMISSION, &id, a->object, &error);
	json_decref(error);
	json_decref(former);
	json_decref(a->object);
	a->object = NULL;
	arena_free(&a->arena);
}

static bool
wants_status(const json_t *arguments)
{
	const json_t *wanted = json_object_get(arguments, "properties");

	if (!json_is_array(wanted))
		return true;
	for (size_t i = 0; i < json_array_size(wanted); i++)
		if (str_eq(jmap_str(json_array_get(wanted, i)), S("deliveryStatus")))
			return true;
	return false;
}

/* Those that are asked for and may change. */
static json_t *
ids_to_ask(struct jmap_request *r, const json_t *arguments)
{
	const json_t *wanted = json_object_get(arguments, "ids");
	struct str *list = NULL;
	size_t n = json_is_array(wanted) ? json_array_size(wanted)
					 : kept_list(r->kept, KEPT_SUBMISSION, &r->arena, &list);
	json_t *ids = json_array();

	for (size_t i = 0; i < n && i < JMAP_OBJECTS_GET_MAX && json_array_size(ids) < ASKED_MOST;
		i++) {
		struct str id = list ? list[i] : jmap_id(r, json_array_get(wanted, i));
		json_t *object = jmap_kept_load(r, KEPT_SUBMISSION, id);

		if (object && may_change(object))
			json_array_append_new(ids, jmap_text(id));
		json_decref(object);
	}
	return ids;
}

static void
get_begin(struct jmap_request *r, const json_t *arguments)
{
	struct asking *a = calloc(1, sizeof *a);

	must(a);
	a->request = r;
	a->ids = wants_status(arguments) ? ids_to_ask(r, arguments) : json_array();
	r->wait = a;
	r->wait_free = asking_free;
}

/* False: the queue is being asked. */
static bool
ask_all(struct asking *a)
{
	for (; a->at < json_array_size(a->ids); a->at++) {
		if (!a->object) {
			a->object = jmap_kept_load(a->request, KEPT_SUBMISSION,
				jmap_str(json_array_get(a->ids, a->at)));
			if (!a->object)
				continue;
			ask(a);
		}
		if (!a->is_answered)
			return false;
		remember(a);
	}
	return true;
}

enum jmap_step
jmap_submission_get(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	struct asking *a;

	if (!r->wait) {
		*answer = jmap_kept_check_get(arguments, properties);
		if (*answer)
			return JMAP_DONE;
		get_begin(r, arguments);
	}
	a = r->wait;
	a->is_waiting = false;
	if (!ask_all(a)) {
		a->is_waiting = true;
		return JMAP_WAIT;
	}
	*answer = jmap_kept_get(r, KEPT_SUBMISSION, arguments, properties, jmap_submission_show);
	if (a->at)
		reader_news(r->reader);
	return JMAP_DONE;
}

enum jmap_step
jmap_submission_changes(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	*answer = jmap_kept_changes(r, KEPT_SUBMISSION, arguments);
	return JMAP_DONE;
}
