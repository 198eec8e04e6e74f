/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include "base/codec.h"
#include "base/must.h"

/* What every answer has, unless its own says otherwise: nothing here is for caches, for other sites, or to be run. */
static const struct {
	const char *name, *value;
} common[] = {
	{ MHD_HTTP_HEADER_CACHE_CONTROL, "no-store" },
	{ "Content-Security-Policy",
		"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), "
				"interest-cohort=()" },
};

enum { HEADER_MAX = 8192, PROBLEM_MAX = 4096 };

/* A value is a line: what strangers wrote cannot begin another. */
void
answer_header(struct MHD_Response *response, const char *name, struct str value)
{
	struct buf line = { .max = HEADER_MAX };

	buf_add_clean(&line, value, true);
	buf_add_char(&line, '\0');
	if (!line.overflow)
		MHD_add_response_header(response, name, line.p);
	buf_free(&line);
}

/* RFC 9110 §11.6.1. To a browser only what makes it ask for no password by itself: the page does that. */
static void
add_challenge(const struct request *r, struct MHD_Response *response)
{
	answer_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, S("Bearer realm=\"posthouse\""));
	if (!claim_header(r, "Sec-Fetch-Site"))
		answer_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
			S("Basic realm=\"posthouse\", charset=\"UTF-8\""));
}

enum turn
answer_send_take(struct request *r, unsigned status, struct MHD_Response *response)
{
	must(response);
	for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
		if (!MHD_get_response_header(response, common[i].name))
			answer_header(response, common[i].name, str_of(common[i].value));
	if (r->guest->is_secure)
		answer_header(response, "Strict-Transport-Security", S("max-age=31536000"));
	if (r->web->is_draining || r->must_close)
		answer_header(response, MHD_HTTP_HEADER_CONNECTION, S("close"));
	if (status == MHD_HTTP_UNAUTHORIZED)
		add_challenge(r, response);
	if (r->has_two_cookies)
		session_expire_cookie(r, response);
	r->is_answered = true;
	r->answered_ms = loop_now_ms(r->web->role.loop);
	MHD_queue_response(r->connection, status, response); /* no: the client is just going */
	MHD_destroy_response(response);
	return DONE;
}

static enum turn
answer_text(struct request *r, unsigned status, const char *type, struct str text)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		text.n, (void *)(uintptr_t)text.p, MHD_RESPMEM_MUST_COPY);

	must(response);
	answer_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, str_of(type));
	return answer_send_take(r, status, response);
}

enum turn
answer_json(struct request *r, unsigned status, struct str json)
{
	return answer_text(r, status, "application/json", json);
}

static enum turn
answer_problem_of(
	struct request *r, unsigned status, struct str type, const char *limit, const char *detail)
{
	struct buf text = { .max = PROBLEM_MAX };

	buf_add(&text, S("{\"type\":"));
	codec_add_json(&text, type);
	if (limit) {
		buf_add(&text, S(",\"limit\":"));
		codec_add_json(&text, str_of(limit));
	}
	buf_addf(&text, ",\"status\":%u,\"title\":", status);
	codec_add_json(&text, str_of(MHD_get_reason_phrase_for(status)));
	buf_add(&text, S(",\"detail\":"));
	codec_add_json(&text, str_of(detail));
	buf_add_char(&text, '}');
	answer_text(r, status, "application/problem+json", buf_str(&text));
	buf_free(&text);
	return DONE;
}

enum turn
answer_problem(struct request *r, unsigned status, const char *detail)
{
	return answer_problem_of(r, status, S("about:blank"), NULL, detail);
}

enum turn
answer_jmap_problem(
	struct request *r, unsigned status, const char *type, const char *limit, const char *detail)
{
	struct buf name = { .max = 128 };

	buf_add(&name, S("urn:ietf:params:jmap:error:"));
	buf_add(&name, str_of(type));
	answer_problem_of(r, status, buf_str(&name), limit, detail);
	buf_free(&name);
	return DONE;
}

enum turn
answer_no_room(struct request *r, unsigned status)
{
	return answer_problem(r, status,
		status == MHD_HTTP_TOO_MANY_REQUESTS ? "too much of yours is under way"
						     : "there is no room for this at the moment");
}
