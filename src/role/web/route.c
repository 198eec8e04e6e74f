/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

/* clang-format off */
static const struct route routes[] = {
	/* method   path                                         for all  body             does */
	{ "GET",    "/session",                                  false,   0,               session_show },
	{ "POST",   "/session",                                  true,    4096,            session_begin },
	{ "DELETE", "/session",                                  false,   0,               session_end },
	{ "GET",    "/.well-known/jmap",                         false,   0,               call_session },
	{ "POST",   "/jmap/api",                                 false,   WEB_API_MAX,     call_api },
	{ "POST",   "/jmap/upload/a",                            false,   WEB_UPLOAD_MAX,  call_upload },
	{ "POST",   "/jmap/upload/a/",                           false,   WEB_UPLOAD_MAX,  call_upload },
	{ "GET",    "/jmap/download/a/*",                        false,   0,               call_download },
	{ "GET",    "/jmap/events",                              false,   0,               event_listen },
	{ "POST",   "/frame",                                    false,   WEB_FRAME_MAX,   frame_keep },
	{ "GET",    "/frame/*",                                  false,   0,               frame_show },
	{ "GET",    "/mail/config-v1.1.xml",                     true,    0,               autoconfig_show },
	{ "GET",    "/.well-known/autoconfig/mail/config-v1.1.xml", true, 0,               autoconfig_show },
};
/* clang-format on */

static const struct route page = { "GET", "", true, 0, page_show };

static bool
is_of(const struct route *route, struct str path)
{
	struct str pattern = str_of(route->path);

	if (pattern.p[pattern.n - 1] != '*')
		return str_eq(path, pattern);
	return str_starts(path, str_part(pattern, 0, pattern.n - 1));
}

/* Whoever may GET something may ask for its header alone (RFC 9110 §9.1). */
static bool
is_method(const struct route *route, const char *method)
{
	return strcmp(route->method, method) == 0 ||
	       (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static void
allow_method(struct buf *allow, const char *method)
{
	if (allow->n)
		buf_add(allow, S(", "));
	buf_add(allow, str_of(method));
	if (strcmp(method, "GET") == 0)
		buf_add(allow, S(", HEAD"));
}

const struct route *
route_find(const char *method, struct str path, struct buf *allow)
{
	for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
		if (!is_of(&routes[i], path))
			continue;
		if (is_method(&routes[i], method))
			return &routes[i];
		allow_method(allow, routes[i].method);
	}
	if (!page_has(path))
		return NULL;
	if (is_method(&page, method))
		return &page;
	allow_method(allow, page.method);
	return NULL;
}
