/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap.h"

/*
 * Whom somebody may mean, while he types an address: our own method, since RFC 8621 has none (docs/webmail.md).
 *
 *   ["Contact/suggest", {"accountId":"a", "text":"wei", "limit":10}, "0"] → {"accountId":"a", "list":[{"name":"Wei","email":"wei@example.org"}]}
 */

enum { LIMIT_USUAL = 10, LIMIT_MAX = 100, TEXT_MAX = 200 };

enum jmap_step
jmap_contact_suggest(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "text", "limit", NULL };
	const json_t *text = json_object_get(arguments, "text"),
		     *limit = json_object_get(arguments, "limit");
	json_int_t most = limit && !json_is_null(limit) ? json_integer_value(limit) : LIMIT_USUAL;
	struct box_contact *contacts = NULL;
	json_t *list;
	size_t n;

	*answer = jmap_check_arguments(arguments, names);
	if (*answer)
		return JMAP_DONE;
	if (!json_is_string(text) || json_string_length(text) > TEXT_MAX || most < 1) {
		*answer = jmap_error("invalidArguments",
			"text is a string of at most %d octets, limit a number from 1", TEXT_MAX);
		return JMAP_DONE;
	}
	n = box_contacts(r->box, jmap_str(text), most < LIMIT_MAX ? (size_t)most : LIMIT_MAX,
		&r->arena, &contacts);
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			list, json_pack("{s:o,s:o}", "name", jmap_text(contacts[i].name), "email",
				      jmap_text(contacts[i].email)));
	*answer = json_pack("{s:s,s:o}", "accountId", JMAP_ACCOUNT, "list", list);
	return JMAP_DONE;
}
