/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "message/message.h"
#include "role/reader/jmap.h"

/*
 * What many methods do with their arguments: the account, ids, dates, patches; and the two kinds of error.
 */

enum { ID_MAX = 255 }; /* RFC 8620 §1.2; one more for the "#" of a creation id */

/* ── errors ── */

static const char mark[] =
	""; /* no error of an RFC has a property of this name; jmap.c takes it off */

/* What stands there in an error, and nowhere else: it is known by where it lies, so that nobody can write one (Core/echo). */
static json_t *
mark_value(void)
{
	static json_t *one;

	if (!one)
		one = json_string(mark);
	must(one);
	return one;
}

static json_t *error_object(const char *type, const char *words, va_list list)
	__attribute__((format(printf, 2, 0)));

static json_t *
error_object(const char *type, const char *words, va_list list)
{
	struct buf text = { .max = 1024 };
	char line[512];
	json_t *o = json_object();

	vsnprintf(line, sizeof line, words, list);
	buf_add_clean(&text, str_of(line), true);
	json_object_set_new(o, "type", json_string(type));
	if (text.n)
		json_object_set_new(o, "description", jmap_text(buf_str(&text)));
	buf_free(&text);
	return o;
}

json_t *
jmap_error(const char *type, const char *words, ...)
{
	json_t *o;
	va_list list;

	va_start(list, words);
	o = error_object(type, words, list);
	va_end(list);
	json_object_set(o, mark, mark_value());
	return o;
}

json_t *
jmap_set_error(const char *type, const char *words, ...)
{
	json_t *o;
	va_list list;

	va_start(list, words);
	o = error_object(type, words, list);
	va_end(list);
	return o;
}

bool
jmap_is_error(const json_t *answer)
{
	return json_object_get(answer, mark) == mark_value();
}

void
jmap_unmark(json_t *answer)
{
	json_object_del(answer, mark);
}

/* ── arguments ── */

static bool
is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

json_t *
jmap_check_arguments(const json_t *arguments, const char *const *names)
{
	const json_t *account = json_object_get(arguments, "accountId");
	const char *key;
	json_t *value;

	if (!json_is_string(account))
		return jmap_error("invalidArguments", "accountId is missing");
	if (!str_eq(jmap_str(account), S(JMAP_ACCOUNT)))
		return jmap_error("accountNotFound", "no such account");
	json_object_foreach ((json_t *)(uintptr_t)arguments, key, value)
		if (strcmp(key, "accountId") != 0 && !is_one_of(key, names))
			return jmap_error("invalidArguments", "unknown argument: %s", key);
	return NULL;
}

bool
jmap_ids(json_t *arguments, const char *name, size_t most, bool *all, json_t **error)
{
	json_t *ids = json_object_get(arguments, name), *once, *seen, *id;
	size_t i;

	*all = !ids || json_is_null(ids);
	if (*all)
		return true;
	if (!json_is_array(ids)) {
		*error = jmap_error("invalidArguments", "%s is not an array", name);
		return false;
	}
	if (json_array_size(ids) > most) {
		*error = jmap_error("requestTooLarge", "more than %zu in %s", most, name);
		return false;
	}
	once = json_array();
	seen = json_object();
	json_array_foreach (ids, i, id) {
		if (!json_is_string(id) || !json_string_length(id) ||
			json_string_length(id) > ID_MAX + 1)
			break;
		if (json_object_get(seen, json_string_value(id)))
			continue;
		json_object_set_new(seen, json_string_value(id), json_true());
		json_array_append(once, id);
	}
	json_decref(seen);
	if (i < json_array_size(ids)) {
		json_decref(once);
		*error = jmap_error("invalidArguments", "%s has what is no id", name);
		return false;
	}
	json_object_set_new(arguments, name, once);
	return true;
}

struct str
jmap_id(struct jmap_request *r, const json_t *id)
{
	struct str text = jmap_str(id);
	const json_t *made;

	if (!str_starts(text, S("#")))
		return text;
	made = json_object_getn(r->created, text.p + 1, text.n - 1);
	return made ? jmap_str(made) : text;
}

/* ── values ── */

struct str
jmap_str(const json_t *j)
{
	return (struct str){ json_string_value(j), json_string_length(j) };
}

/* Octets of the character that s begins with; 0: it begins with none. */
static size_t
character(struct str s)
{
	for (size_t n = 1; n <= 4 && n <= s.n; n++)
		if (str_is_utf8(str_part(s, 0, n)))
			return n;
	return 0;
}

json_t *
jmap_text(struct str s)
{
	struct buf mended = { .max = 3 * s.n + 1 };
	json_t *j;

	if (!s.n)
		return json_string("");
	if (str_is_utf8(s) && str_find(s, '\0') == s.n && (j = json_stringn(s.p, s.n)))
		return j;
	for (size_t n; s.n; s = str_from(s, n ? n : 1)) {
		n = character(s);
		if (s.p[0]) /* RFC 8621 §4.1.2.1 */
			buf_add(&mended, n ? str_part(s, 0, n) : S("\xef\xbf\xbd"));
	}
	j = json_stringn(mended.p, mended.n);
	buf_free(&mended);
	must(j);
	return j;
}

json_t *
jmap_text_or_null(struct str s)
{
	return s.n ? jmap_text(s) : json_null();
}

json_t *
jmap_date(int64_t ms)
{
	struct buf text = { .max = 64 };
	json_t *j;

	date_add_rfc3339(&text, ms >= 0 ? ms / 1000 : -((999 - ms) / 1000));
	j = jmap_text(buf_str(&text));
	buf_free(&text);
	return j;
}

/* "+08:00" at the end, which date_scan_rfc3339 does not read, as seconds; "Z" is none. */
static bool
cut_offset(struct str *text, int64_t *seconds)
{
	struct str offset = str_from(*text, text->n >= 6 ? text->n - 6 : text->n);
	bool is_west = str_starts(offset, S("-"));
	uint64_t hours, minutes;

	*seconds = 0;
	if (!scan_char(&offset, '+') && !scan_char(&offset, '-'))
		return str_ends_nocase(*text, S("Z"));
	text->n -= 6;
	if (str_ends_nocase(*text, S("Z")) || !scan_u64(&offset, &hours) ||
		!scan_char(&offset, ':') || !scan_u64(&offset, &minutes) || hours > 23 ||
		minutes > 59)
		return false;
	*seconds = (int64_t)(hours * 3600 + minutes * 60) * (is_west ? -1 : 1);
	return true;
}

bool
jmap_read_date(const json_t *j, int64_t *ms)
{
	struct str text = jmap_str(j), rest;
	struct buf utc = { .max = 64 };
	int64_t unix_s, offset_s;
	bool fits = cut_offset(&text, &offset_s);

	buf_add(&utc, text);
	if (!str_ends_nocase(text, S("Z")))
		buf_add_char(&utc, 'Z');
	rest = buf_str(&utc);
	fits = fits && !utc.overflow && date_scan_rfc3339(&rest, &unix_s) && !rest.n;
	if (fits)
		*ms = (unix_s - offset_s) * 1000;
	buf_free(&utc);
	return fits;
}

/* ── patches ── */

/* One step of a JSON Pointer (RFC 6901 §3, §4): up to the next '/', with ~1 and ~0 made / and ~. */
bool
jmap_scan_token(struct str *pointer, struct buf *token)
{
	struct str raw;

	buf_reset(token);
	if (!str_cut(*pointer, '/', &raw, pointer))
		*pointer = (struct str){ 0 };
	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (c == '~') {
			if (++i == raw.n || (raw.p[i] != '0' && raw.p[i] != '1'))
				return false;
			c = raw.p[i] == '0' ? '~' : '/';
		}
		buf_add_char(token, c);
	}
	return !token->overflow;
}

/* Another path of the patch is a part of this one: the order would matter, and there is none (RFC 8620 §5.3). */
static bool
has_prefix(const json_t *patch, struct str path)
{
	for (size_t i = 0, depth = 0; i < path.n; i++)
		if (path.p[i] == '/' &&
			(++depth > JMAP_DEPTH_MAX || json_object_getn(patch, path.p, i)))
			return true;
	return false;
}

static bool
patch_one(json_t *object, struct str path, json_t *value)
{
	struct buf token = { .max = path.n + 1 };
	bool is_last, fits = false;

	do {
		is_last = str_find(path, '/') == path.n;
		if (!jmap_scan_token(&path, &token) || !json_is_object(object))
			goto out;
		if (!is_last)
			object = json_object_getn(object, token.p ? token.p : "", token.n);
	} while (!is_last);
	if (json_is_null(value))
		json_object_deln(object, token.p ? token.p : "", token.n);
	else
		json_object_setn_new(
			object, token.p ? token.p : "", token.n, json_deep_copy(value));
	fits = true;
out:
	buf_free(&token);
	return fits;
}

json_t *
jmap_patch(const json_t *object, const json_t *patch, json_t **error)
{
	json_t *patched = json_deep_copy(object), *value;
	const char *key;
	size_t n;

	json_object_keylen_foreach ((json_t *)(uintptr_t)patch, key, n, value) {
		struct str path = { key, n };

		if (!has_prefix(patch, path) && patch_one(patched, path, value))
			continue;
		*error = jmap_set_error(
			"invalidPatch", "%.*s: no such place", (int)(n < 200 ? n : 200), key);
		json_decref(patched);
		return NULL;
	}
	return patched;
}

json_t *
jmap_wrong_property(const char *property, const char *words)
{
	json_t *error =
		jmap_set_error("invalidProperties", "%.*s: %s", JMAP_NAME_MAX, property, words);

	json_object_set_new(error, "properties", json_pack("[o]", jmap_text(str_of(property))));
	return error;
}
