/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include "base/must.h"

/*
 * The HTML of a mail, which the page has cleaned, comes back from a URL of its own: only so does it get a policy of its own, in the header, where nothing in the
 * mail can change it. Without an origin, without scripts, forms and fonts; what is remote only if the person has asked for it. It lives for a minute, until
 * the frame has it; whoever is not of the same session does not get it.
 */

enum {
	LIVES_MS = 60000,
	A_SESSION_MOST = 32,
	FRAMES_MOST = 512, /* in all: each may be a descriptor */
	ID = 32,	   /* hexadecimal digits */
};

#define FRAMES_SIZE_MAX (256ull * 1024 * 1024)

static const char closed_policy[] = "sandbox allow-popups allow-popups-to-escape-sandbox; "
				    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
				    "font-src 'none'; form-action 'none'; base-uri 'none'; "
				    "frame-ancestors 'self'";
static const char remote_policy[] =
	"sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src "
	"'unsafe-inline'; img-src data: https: http:; "
	"font-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'";

struct frame {
	struct list link; /* in web->frames */
	char id[MAIL_ID_TEXT];
	unsigned char key[WEB_DIGEST]; /* the session's */
	struct body body;
	bool has_remote;
	int64_t until_ms;
};

static void
frame_free(struct web *w, struct frame *f)
{
	list_remove(&f->link);
	w->frames_size -= f->body.size;
	body_free(&f->body);
	free(f);
}

void
frame_tick(struct web *w, int64_t now_ms)
{
	list_each_safe (at, &w->frames) {
		struct frame *f = list_of(at, struct frame, link);

		if (now_ms > f->until_ms)
			frame_free(w, f);
	}
}

void
frame_forget(struct web *w, const unsigned char *key)
{
	list_each_safe (at, &w->frames) {
		struct frame *f = list_of(at, struct frame, link);

		if (memcmp(f->key, key, sizeof f->key) == 0)
			frame_free(w, f);
	}
}

/* The oldest make room for the new: first those of the same session. */
static void
make_room(struct web *w, const struct session *s, uint64_t size)
{
	unsigned n = 0, own = 0;

	list_each (at, &w->frames) {
		own += memcmp(list_of(at, struct frame, link)->key, s->key, sizeof s->key) == 0;
		n++;
	}
	list_each_safe (at, &w->frames) {
		struct frame *f = list_of(at, struct frame, link);
		bool is_own = memcmp(f->key, s->key, sizeof s->key) == 0;

		if (!(is_own && own >= A_SESSION_MOST) && n < FRAMES_MOST &&
			w->frames_size + size <= FRAMES_SIZE_MAX)
			continue;
		own -= is_own;
		n--;
		frame_free(w, f);
	}
}

enum turn
frame_keep(struct request *r)
{
	struct web *w = r->web;
	struct str type = str_of(claim_header(r, MHD_HTTP_HEADER_CONTENT_TYPE));
	struct buf url = { .max = 128 }, remote = { .max = 16 };
	struct frame *f;

	if (!str_starts_nocase(type, S("text/html")))
		return answer_problem(
			r, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "only text/html is shown in a frame");
	make_room(w, r->session, r->body.size);
	f = calloc(1, sizeof *f);
	must(f);
	mail_id_text(mail_id_random(), f->id); /* 128 bits that nobody can guess */
	memcpy(f->key, r->session->key, sizeof f->key);
	f->has_remote =
		query_get(r->query, S("remote"), &remote) && str_eq(buf_str(&remote), S("1"));
	f->until_ms = loop_now_ms(w->role.loop) + LIVES_MS;
	request_release_body(r);
	f->body = r->body;
	body_open(&r->body);
	w->frames_size += f->body.size;
	list_append(&w->frames, &f->link);
	buf_addf(&url, "{\"url\":\"/frame/%s\"}", f->id);
	answer_json(r, MHD_HTTP_CREATED, buf_str(&url));
	buf_free(&url);
	buf_free(&remote);
	return DONE;
}

static const struct frame *
frame_find(const struct request *r)
{
	struct str id = str_from(r->path, sizeof "/frame/" - 1);

	list_each (at, &r->web->frames) {
		const struct frame *f = list_of(at, struct frame, link);

		if (str_eq(id, str_of(f->id)) &&
			memcmp(f->key, r->session->key, sizeof f->key) == 0)
			return f;
	}
	return NULL;
}

enum turn
frame_show(struct request *r)
{
	const struct frame *f = frame_find(r);
	struct MHD_Response *response = f ? body_response(&f->body) : NULL;
	unsigned no_room;

	if (!response)
		return answer_problem(r, MHD_HTTP_NOT_FOUND,
			"this was shown a while ago; please open the mail again");
	no_room = request_hold(r, f->body.size);
	if (no_room) {
		MHD_destroy_response(response);
		return answer_no_room(r, no_room);
	}
	answer_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, S("text/html; charset=utf-8"));
	answer_header(response, "Content-Security-Policy",
		f->has_remote ? str_of(remote_policy) : str_of(closed_policy));
	answer_header(response, "X-DNS-Prefetch-Control", S("off")); /* links are not looked up */
	return answer_send_take(r, MHD_HTTP_OK, response);
}
