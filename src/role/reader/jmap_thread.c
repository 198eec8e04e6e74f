/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap.h"

/* RFC 8621 §3: a thread is an id and the ids of its mails, oldest first. */

static const char *const properties[] = { "id", "emailIds", NULL };

enum jmap_step
jmap_thread_get(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "ids", "properties", NULL };
	const json_t *wanted = json_object_get(arguments, "properties");
	json_t *list, *not_found, *id;
	char state[BOX_STATE];
	bool all;
	size_t i;

	if ((*answer = jmap_check_arguments(arguments, names)) ||
		(*answer = jmap_check_properties(wanted, properties)) ||
		!jmap_ids(arguments, "ids", JMAP_OBJECTS_GET_MAX, &all, answer))
		return JMAP_DONE;
	if (all) {
		*answer = jmap_error("requestTooLarge", "all threads are too many: name their ids");
		return JMAP_DONE;
	}
	list = json_array();
	not_found = json_array();
	json_array_foreach (json_object_get(arguments, "ids"), i, id) {
		struct str *mails;
		size_t n = box_thread(r->box, jmap_str(id), &r->arena, &mails);
		json_t *thread;

		if (!n) {
			json_array_append(not_found, id);
			continue;
		}
		thread = json_pack("{s:O, s:o}", "id", id, "emailIds", jmap_texts(mails, n));
		jmap_keep_properties(thread, wanted);
		json_array_append_new(list, thread);
	}
	box_state(r->box, BOX_THREADS, state);
	*answer = jmap_get_answer(state, list, not_found);
	return JMAP_DONE;
}

enum jmap_step
jmap_thread_changes(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	struct box_changes c = { 0 };

	(void)jmap_box_changes(r, BOX_THREADS, arguments, &c, answer);
	return JMAP_DONE;
}
