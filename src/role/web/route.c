/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

/* clang-format off */
static const struct route routes[] = {
	/* method   path                                         for all  body              does, the limit's name */
	{ "GET",    "/session",                                  false,   0,                session_show, NULL },
	{ "POST",   "/session",                                  true,    4096,             session_begin, NULL },
	{ "DELETE", "/session",                                  false,   0,                session_end, NULL },
	{ "GET",    "/.well-known/jmap",                         false,   0,                call_session, NULL },
	{ "POST",   "/jmap/api",                                 false,   ROLE_REQUEST_MAX, call_api, "maxSizeRequest" },
	{ "POST",   "/jmap/upload/a",                            false,   ROLE_UPLOAD_MAX,  call_upload, "maxSizeUpload" },
	{ "POST",   "/jmap/upload/a/",                           false,   ROLE_UPLOAD_MAX,  call_upload, "maxSizeUpload" },
	{ "GET",    "/jmap/download/a/*",                        false,   0,                call_download, NULL },
	{ "GET",    "/jmap/events",                              false,   0,                event_listen, NULL },
	{ "POST",   "/frame",                                    false,   WEB_FRAME_MAX,    frame_keep, NULL },
	{ "GET",    "/frame/*",                                  false,   0,                frame_show, NULL },
	{ "GET",    "/mail/config-v1.1.xml",                     true,    0,                autoconfig_show, NULL },
	{ "GET",    "/.well-known/autoconfig/mail/config-v1.1.xml", true, 0,                autoconfig_show, NULL },
};
/* clang-format on */

static const struct route page = { "GET", "", true, 0, page_show, NULL };

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
