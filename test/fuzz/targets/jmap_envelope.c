/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "role/reader/jmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any octets are a request or a problem with a name; of a request, each call has its references resolved against the calls before it, as if every method
 * echoed, or has an error of one of two names. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jmap_problem problem = { 0 };
	unsigned uses = 0;
	json_t *request = jmap_read((struct str){ (const char *)data, size }, &uses, &problem),
	       *responses, *call;
	size_t i;

	must(request || (problem.type && problem.detail));
	if (!request)
		return 0;
	responses = json_array();
	json_array_foreach (json_object_get(request, "methodCalls"), i, call) {
		json_t *error = NULL,
		       *resolved = jmap_resolve(json_array_get(call, 1), responses, &error),
		       *patched;
		struct str type = jmap_str(json_object_get(error, "type"));

		must(!resolved != !error);
		must(resolved || str_eq(type, S("invalidArguments")) ||
			str_eq(type, S("invalidResultReference")));
		if (resolved) {
			json_array_append_new(
				responses, json_pack("[O, O, O]", json_array_get(call, 0), resolved,
						   json_array_get(call, 2)));
			patched = jmap_patch(json_array_get(call, 1), resolved, &error);
			must(!patched != !error);
			json_decref(patched);
		}
		json_decref(resolved);
		json_decref(error);
	}
	json_decref(responses);
	json_decref(request);
	return 0;
}
