/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/codec.h"
#include "base/log.h"
#include "base/must.h"

/*
 * Who asks. Vault alone knows passwords and sessions; what it has said is believed for a minute, so that it is not asked for each request. Of a secret web keeps
 * a digest: by it the sessions are found, and no comparison tells how near a guess was.
 *
 *   (no session) ── session_ask ──> asked ── signed_in ──> good for a minute ──> asked again …
 *                                     └── refused: 401, at the next request asked again
 *
 * One question of a session is under way at a time; all its requests wait for the one answer. Whether a secret comes as a cookie or as a token, it is one
 * session, and ends as one.
 *
 * A guess is counted as a miss when vault is asked, and taken back when vault does not refuse: else many at once would all be asked before the first counted.
 */

enum {
	BELIEVED_MS = 60000,
	MISSES_MOST = 5, /* in a minute */
	ANSWER_MOST_MS = 15000,
	JSON_OUT_MAX = 4096,
};

struct str
session_key(const void *member)
{
	const struct session *s = member;

	return (struct str){ (const char *)s->key, sizeof s->key };
}

/* ── digests ── */

static void
digest(const char *purpose, struct str a, struct str b, unsigned char to[WEB_DIGEST])
{
	struct buf text = { .max = IPC_TEXT_MAX };

	buf_room(&text, a.n + b.n + 64); /* so that nothing of it is left behind when it grows */
	codec_add_str(&text, str_of(purpose));
	codec_add_str(&text, a);
	codec_add_str(&text, b);
	must(!text.overflow);
	SHA256((const unsigned char *)text.p, text.n, to);
	explicit_bzero(text.p, text.n);
	buf_free(&text);
}

/* Whoever knows the secret can compute it, and nobody else: so it outlives a restart of web, and takes no place. */
static void
make_csrf(struct str secret, char to[2 * WEB_DIGEST + 1])
{
	unsigned char octets[WEB_DIGEST];

	digest("csrf", secret, S(""), octets);
	codec_hex(to, octets, sizeof octets);
}

/* ── the table ── */

static void
session_free(struct web *w, struct session *s)
{
	map_remove(&w->sessions, session_key(s));
	w->sessions_n--;
	buf_free(&s->login);
	free(s);
}

/* One that no request is using goes. False: there is none. */
static bool
make_room(struct web *w)
{
	struct session *s;

	for (size_t at = 0; (s = map_next(&w->sessions, &at));)
		if (s->users == 0 && s->ask == 0) {
			session_free(w, s);
			return true;
		}
	return false;
}

static struct session *
session_known(struct web *w, const struct claim *c, unsigned char key[WEB_DIGEST])
{
	digest("session", buf_str(&c->login), buf_str(&c->secret), key);
	return map_get(&w->sessions, (struct str){ (const char *)key, WEB_DIGEST });
}

static struct session *
session_of(struct web *w, const struct claim *c)
{
	unsigned char key[WEB_DIGEST];
	struct session *s = session_known(w, c, key);

	if (s)
		return s;
	if (w->sessions_n >= WEB_SESSIONS_MAX && !make_room(w))
		return NULL;
	s = calloc(1, sizeof *s);
	must(s);
	memcpy(s->key, key, sizeof key);
	s->login.max = IPC_TEXT_MAX;
	map_put(&w->sessions, s);
	w->sessions_n++;
	if (c->how == SIGN_IN_AGAIN) /* not of a password */
		make_csrf(buf_str(&c->secret), s->csrf);
	return s;
}

void
session_leave(struct request *r)
{
	if (r->session)
		r->session->users--;
	r->session = NULL;
}

static bool
is_believed(const struct session *s, int64_t now_ms)
{
	return !s->is_over && s->result == CHECKED_OK && s->checked_ms &&
	       now_ms - s->checked_ms <= BELIEVED_MS;
}

/* ── may they? ── */

static enum turn
answer_later(struct request *r)
{
	return answer_problem(r, MHD_HTTP_SERVICE_UNAVAILABLE,
		"it cannot be checked at the moment who you are; please try again later");
}

static enum turn
answer_slow_down(struct request *r)
{
	static const char words[] = "{\"type\":\"about:blank\",\"status\":429,\"title\":\"Too Many "
				    "Requests\",\"detail\":\"too many logins have failed from this "
				    "address; please wait a minute\"}";
	struct MHD_Response *response = MHD_create_response_from_buffer(
		sizeof words - 1, (void *)(uintptr_t)words, MHD_RESPMEM_PERSISTENT);

	must(response);
	answer_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, S("application/problem+json"));
	answer_header(response, MHD_HTTP_HEADER_RETRY_AFTER, S("60"));
	return answer_send_take(r, MHD_HTTP_TOO_MANY_REQUESTS, response);
}

/* A password or a token to which vault did not say yes when it was asked last. */
static bool
is_guess(const struct request *r)
{
	return !r->is_by_cookie && !(r->session->checked_ms && r->session->result == CHECKED_OK);
}

void
session_check(struct request *r)
{
	struct web *w = r->web;
	struct session *s = r->session;
	struct claim c;

	if (!w->vault || s->ask)
		return;
	if (claim_read(r, &c)) {
		s->ask = ++w->asks;
		ipc_send_sign_in(w->vault, &(struct ipc_sign_in){ .fd = -1,
						   .ask = s->ask,
						   .how = c.how,
						   .login = buf_str(&c.login),
						   .secret = buf_str(&c.secret),
						   .client = str_of(r->guest->client) });
	}
	claim_free(&c);
}

enum turn
session_ask(struct request *r)
{
	r->was_asked = true;
	if (!r->web->vault)
		return answer_later(r);
	if (r->session->ask == 0 && is_guess(r))
		r->session->miss = claim_add_miss(r);
	session_check(r);
	request_wait(r, WAITS_FOR_SESSION);
	return WAIT;
}

/* Cross-site request forgery: a cookie comes along by itself, what our page puts into a header does not. */
static bool
has_csrf(const struct request *r)
{
	const char *said = claim_header(r, "X-Posthouse-CSRF");

	if (strcmp(r->route->method, "GET") == 0)
		return true;
	return said && strlen(said) == 2 * WEB_DIGEST &&
	       CRYPTO_memcmp(said, r->session->csrf, 2 * WEB_DIGEST) == 0;
}

static enum turn
answer_refused(struct request *r)
{
	return answer_problem(r, MHD_HTTP_UNAUTHORIZED,
		r->is_by_cookie ? "this session is over; please sign in again"
				: "the login or the password is wrong");
}

static enum turn
session_find(struct request *r)
{
	struct claim c;
	bool has = claim_read(r, &c);

	r->is_by_cookie = c.is_cookie;
	r->has_two_cookies = c.is_doubled;
	if (has)
		r->session = session_of(r->web, &c);
	claim_free(&c);
	if (!has)
		return answer_problem(r, MHD_HTTP_UNAUTHORIZED, "please sign in");
	if (!r->session)
		return answer_later(r);
	r->session->users++;
	if (r->is_by_cookie && claim_is_foreign(r))
		return answer_problem(
			r, MHD_HTTP_FORBIDDEN, "a page of another site may not ask for this");
	return NEXT;
}

enum turn
session_admit(struct request *r)
{
	int64_t now_ms = loop_now_ms(r->web->role.loop);

	if (!r->session && session_find(r) == DONE)
		return DONE;
	if (r->session->is_over)
		return answer_refused(r);
	if (!r->was_asked && !is_believed(r->session, now_ms)) {
		if (r->session->ask == 0 && is_guess(r) && claim_misses(r) >= MISSES_MOST)
			return answer_slow_down(r);
		return session_ask(r);
	}
	if (r->session->result == CHECKED_LATER)
		return answer_later(r);
	if (r->session->result == CHECKED_REFUSED)
		return answer_refused(r);
	if (r->is_by_cookie && !has_csrf(r))
		return answer_problem(
			r, MHD_HTTP_FORBIDDEN, "the header X-Posthouse-CSRF is missing or wrong");
	return NEXT;
}

/* ── what vault says ── */

static void
session_learn(struct web *w, struct session *s, enum checked_result result, struct str login)
{
	s->ask = 0;
	s->result = result;
	s->checked_ms = loop_now_ms(w->role.loop);
	if (result == CHECKED_REFUSED)
		event_end(w, buf_str(&s->login), s->key);
	else
		claim_take_back(w, &s->miss);
	s->miss = (struct miss){ 0 };
	if (result == CHECKED_OK) {
		buf_reset(&s->login);
		buf_add(&s->login, login);
	}
	list_each_safe (at, &w->requests) {
		struct request *r = list_of(at, struct request, link);

		if (r->session == s && r->wait == WAITS_FOR_SESSION)
			request_go_on(r);
	}
}

/* What becomes a cookie: base64url or hexadecimal. */
static bool
is_cookie_text(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!char_is_alpha(text.p[i]) && !char_is_digit(text.p[i]) && text.p[i] != '-' &&
			text.p[i] != '_')
			return false;
	return text.n > 0;
}

static void
begun(struct request *r, const struct ipc_signed_in *m)
{
	r->begun = (enum checked_result)m->result;
	buf_add(&r->login, m->login);
	buf_add(&r->secret, m->session);
	if (r->begun == CHECKED_OK &&
		(r->login.overflow || r->secret.overflow || !is_cookie_text(m->session)))
		r->begun = CHECKED_LATER;
	if (r->begun != CHECKED_REFUSED)
		claim_take_back(r->web, &r->miss);
	request_go_on(r);
}

void
session_signed_in(struct web *w, const struct ipc_signed_in *m)
{
	enum checked_result result =
		m->result > CHECKED_LATER ? CHECKED_LATER : (enum checked_result)m->result;
	struct session *s;

	list_each (at, &w->requests) {
		struct request *r = list_of(at, struct request, link);

		if (r->wait == WAITS_FOR_VAULT && r->ask == m->ask) {
			begun(r, m);
			return;
		}
	}
	for (size_t at = 0; (s = map_next(&w->sessions, &at));)
		if (s->ask == m->ask) {
			session_learn(w, s, result, m->login);
			return;
		}
}

void
session_lost_vault(struct web *w)
{
	struct session *s;

	for (size_t at = 0; (s = map_next(&w->sessions, &at));)
		if (s->ask)
			session_learn(w, s, CHECKED_LATER, S(""));
	list_each_safe (at, &w->requests) {
		struct request *r = list_of(at, struct request, link);

		if (r->wait == WAITS_FOR_VAULT) {
			r->begun = CHECKED_LATER;
			claim_take_back(w, &r->miss);
			request_go_on(r);
		}
	}
}

void
session_tick(struct web *w, int64_t now_ms)
{
	struct session *s, *gone = NULL;

	for (size_t at = 0; (s = map_next(&w->sessions, &at));)
		if (s->users == 0 && s->ask == 0 && now_ms - s->checked_ms > BELIEVED_MS)
			gone = s; /* one a tick: nothing may be removed on the way */
	if (gone)
		session_free(w, gone);
	list_each_safe (at, &w->requests) {
		struct request *r = list_of(at, struct request, link);

		if ((r->wait == WAITS_FOR_SESSION || r->wait == WAITS_FOR_VAULT) &&
			now_ms - r->wait_ms > ANSWER_MOST_MS) {
			r->is_late = !r->session;
			if (r->session) {
				r->session->miss = (struct miss){ 0 }; /* it stays counted */
				session_learn(w, r->session, CHECKED_LATER, S(""));
			} else {
				request_go_on(r);
			}
		}
	}
}

/* ── /session ── */

void
session_expire_cookie(const struct request *r, struct MHD_Response *response)
{
	struct buf cookie = { .max = 256 };

	buf_addf(&cookie, "%.*s=; Max-Age=0; HttpOnly; SameSite=Strict; Path=/%s",
		STR_ARG(claim_cookie_name(r)), r->guest->is_secure ? "; Secure" : "");
	answer_header(response, MHD_HTTP_HEADER_SET_COOKIE, buf_str(&cookie));
	buf_free(&cookie);
}

static enum turn
answer_session(struct request *r, struct str login, const char *csrf, struct str secret)
{
	struct buf text = { .max = JSON_OUT_MAX }, cookie = { .max = JSON_OUT_MAX };
	struct MHD_Response *response;

	buf_add(&text, S("{\"login\":"));
	codec_add_json(&text, login);
	buf_addf(&text, ",\"csrf\":\"%s\",\"accountId\":\"a\"}", csrf);
	response = MHD_create_response_from_buffer(text.n, text.p, MHD_RESPMEM_MUST_COPY);
	must(response);
	answer_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, S("application/json"));
	if (secret.n) {
		buf_addf(&cookie, "%.*s=%.*s; HttpOnly; SameSite=Strict; Path=/%s",
			STR_ARG(claim_cookie_name(r)), STR_ARG(secret),
			r->guest->is_secure ? "; Secure" : "");
		answer_header(response, MHD_HTTP_HEADER_SET_COOKIE, buf_str(&cookie));
		explicit_bzero(cookie.p, cookie.n);
	}
	buf_free(&cookie);
	buf_free(&text);
	return answer_send_take(r, MHD_HTTP_OK, response);
}

enum turn
session_show(struct request *r)
{
	return answer_session(
		r, buf_str(&r->session->login), r->is_by_cookie ? r->session->csrf : "", S(""));
}

/* {"login":…,"password":…}; false: it is something else. */
static bool
read_login(const struct request *r, json_t *json, struct str *login, struct str *password)
{
	const char *l = NULL, *p = NULL;
	size_t l_n = 0, p_n = 0;

	if (r->body.fd >= 0 ||
		json_unpack(json, "{s:s%,s:s%}", "login", &l, &l_n, "password", &p, &p_n) != 0)
		return false;
	*login = (struct str){ l, l_n };
	*password = (struct str){ p, p_n };
	return l_n > 0;
}

static enum turn
ask_to_begin(struct request *r)
{
	json_t *json = json_loadb(r->body.small.p ? r->body.small.p : "", r->body.small.n,
		JSON_REJECT_DUPLICATES, NULL);
	struct str login, password;
	enum turn turn;

	if (!json || !read_login(r, json, &login, &password)) {
		turn = answer_problem(
			r, MHD_HTTP_BAD_REQUEST, "this is not {\"login\":…,\"password\":…}");
	} else if (!r->web->vault) {
		turn = answer_later(r);
	} else {
		r->ask = ++r->web->asks;
		r->miss = claim_add_miss(r);
		ipc_send_sign_in(r->web->vault, &(struct ipc_sign_in){ .fd = -1,
							.ask = r->ask,
							.how = SIGN_IN_BEGIN,
							.login = login,
							.secret = password,
							.client = str_of(r->guest->client) });
		if (r->body.small.p)
			explicit_bzero(r->body.small.p, r->body.small.n);
		request_wait(r, WAITS_FOR_VAULT);
		turn = WAIT;
	}
	json_decref(json);
	return turn;
}

/* X-Posthouse: no form of another site can send it, and a script of another site only if it was allowed to. */
static enum turn
begin_first(struct request *r)
{
	const char *ours = claim_header(r, "X-Posthouse");

	if (!ours || strcmp(ours, "1") != 0)
		return answer_problem(r, MHD_HTTP_FORBIDDEN, "the header X-Posthouse is missing");
	if (claim_is_foreign(r))
		return answer_problem(
			r, MHD_HTTP_FORBIDDEN, "a page of another site may not ask for this");
	if (claim_misses(r) >= MISSES_MOST)
		return answer_slow_down(r);
	return ask_to_begin(r);
}

enum turn
session_begin(struct request *r)
{
	char csrf[2 * WEB_DIGEST + 1];

	if (r->ask == 0)
		return begin_first(r);
	if (r->is_late || r->begun == CHECKED_LATER)
		return answer_later(r);
	if (r->begun == CHECKED_REFUSED) {
		log_event("login-refused", "client=%s", r->guest->client);
		return answer_problem(
			r, MHD_HTTP_UNAUTHORIZED, "the login or the password is wrong");
	}
	make_csrf(buf_str(&r->secret), csrf);
	return answer_session(r, buf_str(&r->login), csrf, buf_str(&r->secret));
}

/* Vault need not be waited for: from now on we say no ourselves, and it hears of it before anything else of this session. Who signs in by password each time
 * has no session that could end. */
enum turn
session_end(struct request *r)
{
	struct MHD_Response *response;
	struct claim c;

	if (!r->web->vault)
		return answer_later(r);
	if (claim_read(r, &c) && c.how == SIGN_IN_AGAIN) {
		ipc_send_sign_in(r->web->vault, &(struct ipc_sign_in){ .fd = -1,
							.ask = ++r->web->asks,
							.how = SIGN_IN_END,
							.secret = buf_str(&c.secret),
							.client = str_of(r->guest->client) });
		r->session->is_over = true;
	}
	claim_free(&c);
	event_end(r->web, buf_str(&r->session->login), r->session->key);
	frame_forget(r->web, r->session->key);
	response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	session_expire_cookie(r, response);
	return answer_send_take(r, MHD_HTTP_NO_CONTENT, response);
}
