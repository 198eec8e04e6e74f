/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap.h"

/*
 * A request before anything is done: is it JSON, is it small enough, is it a Request object (RFC 8620 §3.3); and the references
 * of a call to what earlier calls have answered (§3.7).
 *
 * JSON of 10 MiB can be ten million values of a hundred octets each. So an octet is looked at twice: `measure` counts values and
 * depth before jansson makes any.
 */

static const char problem_not_json[] = "urn:ietf:params:jmap:error:notJSON";
static const char problem_not_request[] = "urn:ietf:params:jmap:error:notRequest";
static const char problem_limit[] = "urn:ietf:params:jmap:error:limit";
static const char problem_unknown[] = "urn:ietf:params:jmap:error:unknownCapability";

static const struct {
	struct str name;
	unsigned bit;
} capabilities[] = {
	{ { "urn:ietf:params:jmap:core", 25 }, JMAP_CORE },
	{ { "urn:ietf:params:jmap:mail", 25 }, JMAP_MAIL },
	{ { "urn:ietf:params:jmap:submission", 31 }, JMAP_SUBMISSION },
	{ { JMAP_OURS, sizeof JMAP_OURS - 1 }, JMAP_EXTRA },
};

unsigned
jmap_capability(struct str name)
{
	for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++)
		if (str_eq(name, capabilities[i].name))
			return capabilities[i].bit;
	return 0;
}

static bool
complain(struct jmap_problem *problem, const char *type, const char *limit, const char *detail)
{
	*problem = (struct jmap_problem){ type, limit, detail };
	return false;
}

/* How deep it is, and an upper bound of its values: one, and one more for each comma, colon, and opening. */
static void
measure(struct str body, size_t *deepest, size_t *values)
{
	size_t depth = 0;
	bool is_quoted = false;

	*deepest = 0;
	*values = 1;
	for (size_t i = 0; i < body.n; i++) {
		char c = body.p[i];

		if (is_quoted && c == '\\')
			i++;
		else if (c == '"')
			is_quoted = !is_quoted;
		else if (is_quoted)
			continue;
		else if (c == '{' || c == '[') {
			if (++depth > *deepest)
				*deepest = depth;
			++*values;
		} else if (c == '}' || c == ']')
			depth -= depth > 0;
		else if (c == ',' || c == ':')
			++*values;
	}
}

static bool
check_size(struct str body, struct jmap_problem *problem)
{
	size_t deepest, values;

	if (body.n > JMAP_REQUEST_MAX)
		return complain(
			problem, problem_limit, "maxSizeRequest", "the request is too long");
	measure(body, &deepest, &values);
	if (deepest > JMAP_DEPTH_MAX)
		return complain(problem, problem_not_json, NULL, "the JSON is nested too deep");
	if (values > JMAP_VALUES_MAX)
		return complain(problem, problem_limit, "maxSizeRequest",
			"the request has too many values");
	return true;
}

static bool
check_using(const json_t *using, unsigned *uses, struct jmap_problem *problem)
{
	const json_t *name;
	size_t i;

	*uses = 0;
	if (!json_is_array(using))
		return complain(problem, problem_not_request, NULL, "using is not an array");
	json_array_foreach (using, i, name) {
		unsigned bit = jmap_capability(jmap_str(name));

		if (!json_is_string(name))
			return complain(
				problem, problem_not_request, NULL, "using has what is no string");
		if (!bit)
			return complain(problem, problem_unknown, NULL,
				"using has a capability that is not supported");
		*uses |= bit;
	}
	return true;
}

static bool
check_calls(const json_t *calls, struct jmap_problem *problem)
{
	const json_t *call;
	size_t i;

	if (!json_is_array(calls))
		return complain(problem, problem_not_request, NULL, "methodCalls is not an array");
	if (json_array_size(calls) > JMAP_CALLS_MAX)
		return complain(
			problem, problem_limit, "maxCallsInRequest", "too many method calls");
	json_array_foreach (calls, i, call)
		if (json_array_size(call) != 3 || !json_is_string(json_array_get(call, 0)) ||
			!json_is_object(json_array_get(call, 1)) ||
			!json_is_string(json_array_get(call, 2)))
			return complain(problem, problem_not_request, NULL,
				"a method call is not [name, arguments, call id]");
	return true;
}

static bool
check_created(json_t *created, struct jmap_problem *problem)
{
	const char *key;
	json_t *id;

	if (!created || json_is_null(created))
		return true;
	json_object_foreach (created, key, id) {
		if (!json_is_string(id))
			return complain(
				problem, problem_not_request, NULL, "createdIds has what is no id");
	}
	return json_is_object(created) ||
	       complain(problem, problem_not_request, NULL, "createdIds is not an object");
}

json_t *
jmap_read(struct str body, unsigned *uses, struct jmap_problem *problem)
{
	json_t *request;

	if (!check_size(body, problem))
		return NULL;
	request = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
	if (!request) {
		complain(
			problem, problem_not_json, NULL, "the body is not JSON as RFC 7493 has it");
		return NULL;
	}
	if (json_is_object(request)
			? check_using(json_object_get(request, "using"), uses, problem) &&
				  check_calls(json_object_get(request, "methodCalls"), problem) &&
				  check_created(json_object_get(request, "createdIds"), problem)
			: complain(problem, problem_not_request, NULL,
				  "the request is not an object"))
		return request;
	json_decref(request);
	return NULL;
}

/* ── references ── */

/* "12" of an array, without leading zeros (RFC 6901 §4). */
static json_t *
member(json_t *of, struct str token)
{
	uint64_t at;

	if (json_is_object(of))
		return json_object_getn(of, token.p ? token.p : "", token.n);
	if (json_is_array(of) && (token.n == 1 || !str_starts(token, S("0"))) &&
		scan_u64(&token, &at) && !token.n)
		return json_array_get(of, at);
	return NULL;
}

/* Each of `at` goes one step on; "*" puts the members of arrays in their place. NULL: one has no such place. `at` is given up. */
static json_t *
step(json_t *at, struct str token, bool is_star)
{
	json_t *next = json_array(), *one, *into;
	size_t i;

	json_array_foreach (at, i, one) {
		bool fits = is_star ? json_is_array(one) && !json_array_extend(next, one)
				    : (into = member(one, token)) && !json_array_append(next, into);

		if (!fits ||
			json_array_size(next) >
				JMAP_VALUES_MAX) { /* answers that answers were made of may grow */
			json_decref(next);
			next = NULL;
			break;
		}
	}
	json_decref(at);
	return next;
}

/* What a path with stars has found is an array, and arrays in it are flattened, once (RFC 8620 §3.7). */
static json_t *
flatten(json_t *found)
{
	json_t *flat = json_array(), *one;
	size_t i;

	json_array_foreach (found, i, one) {
		if (!json_is_array(one))
			json_array_append(flat, one);
		else if (json_array_size(flat) + json_array_size(one) <= JMAP_VALUES_MAX)
			json_array_extend(flat, one);
		else
			break;
	}
	if (i < json_array_size(found)) {
		json_decref(flat);
		flat = NULL;
	}
	return flat;
}

/* The value at a JSON Pointer that may have stars; new, or NULL. */
static json_t *
find(json_t *in, struct str pointer)
{
	struct buf token = { .max = pointer.n + 1 };
	json_t *at = json_array(), *found;
	bool has_star = false, is_last = !pointer.n;

	json_array_append(at, in);
	if (!is_last && !scan_char(&pointer, '/'))
		goto nowhere;
	for (size_t depth = 0; !is_last; depth++) {
		bool is_star = json_is_array(json_array_get(at, 0)) &&
			       (str_eq(pointer, S("*")) || str_starts(pointer, S("*/")));

		is_last = str_find(pointer, '/') == pointer.n;
		if (depth == JMAP_DEPTH_MAX || !jmap_scan_token(&pointer, &token))
			goto nowhere;
		at = step(at, buf_str(&token), is_star);
		if (!at)
			goto nowhere;
		has_star = has_star || is_star;
	}
	found = has_star ? flatten(at) : json_incref(json_array_get(at, 0));
	json_decref(at);
	buf_free(&token);
	return found;
nowhere:
	json_decref(at);
	buf_free(&token);
	return NULL;
}

/* The arguments of the first response to that call; NULL: it has none, or under another name (an error). */
static json_t *
response_of(const json_t *responses, const json_t *call, const json_t *name)
{
	json_t *response;
	size_t i;

	json_array_foreach (responses, i, response)
		if (json_equal(json_array_get(response, 2), call))
			return json_equal(json_array_get(response, 0), name)
				       ? json_array_get(response, 1)
				       : NULL;
	return NULL;
}

static json_t *
refer(json_t *reference, const json_t *responses)
{
	const json_t *call = json_object_get(reference, "resultOf"),
		     *name = json_object_get(reference, "name"),
		     *path = json_object_get(reference, "path");
	json_t *arguments;

	if (!json_is_string(call) || !json_is_string(name) || !json_is_string(path))
		return NULL;
	arguments = response_of(responses, call, name);
	return arguments ? find(arguments, jmap_str(path)) : NULL;
}

json_t *
jmap_resolve(const json_t *arguments, const json_t *responses, json_t **error)
{
	json_t *resolved = json_object(), *value, *found;
	const char *key;
	size_t n;

	json_object_keylen_foreach ((json_t *)(uintptr_t)arguments, key, n, value) {
		if (!n || *key != '#') {
			json_object_setn(resolved, key, n, value);
			continue;
		}
		if (json_object_getn(arguments, key + 1, n - 1))
			*error = jmap_error(
				"invalidArguments", "both %.100s and %.100s", key + 1, key);
		else if (!(found = refer(value, responses)))
			*error = jmap_error("invalidResultReference", "%.100s leads nowhere", key);
		else {
			json_object_setn_new(resolved, key + 1, n - 1, found);
			continue;
		}
		json_decref(resolved);
		return NULL;
	}
	return resolved;
}
