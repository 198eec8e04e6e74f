/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include "base/log.h"
#include "base/must.h"

/*
 * libmicrohttpd inside our loop: it has an epoll descriptor, which we watch, and a timeout, which is our timer; neither threads nor a listener. A turn of it
 * is a few times MHD_run.
 *
 * The life of a request, of which libmicrohttpd calls each line:
 *
 *   on_target     the request line is there: a struct request begins
 *   on_request    1. the header is there: which route, how long a body, who asks; once more after vault had to say so
 *                 2. once for each piece of the body
 *                 3. request_run, until it is answered: again after each wait, for which the connection is suspended
 *   on_completed  the answer has gone, or the client
 *
 * A suspended connection does not notice that its client has gone: every wait has an end of its own (session.c, call.c, event.c).
 */

enum {
	STEPS = 16,		       /* of libmicrohttpd in a turn; then others have theirs */
	CONNECTION_MEMORY = 32 * 1024, /* octets: of a header above all */
	SILENT_MOST_S = 75,	       /* without an octet in either direction */
	HEAD_MOST_MS = 20000,	       /* from the request line to the end of the header */
	FLOW_MOST_MS = 60000,	       /* of a body or an answer, and a second more for each … */
	FLOW_A_SECOND = 32 * 1024,     /* … octets */
	BODY_MOST_MS = 20 * 60000,     /* however long it is */
};

/* ── the loop ── */

/* A step of a request may leave the next one to another MHD_run: the loop would come back to it only a millisecond later. */
static void
http_turn(void *owner)
{
	struct web *w = owner;
	MHD_UNSIGNED_LONG_LONG in_ms = 0;
	bool is_timed = true;

	for (unsigned i = 0; i < STEPS && is_timed && in_ms == 0; i++) {
		MHD_run(w->http);
		is_timed = MHD_get_timeout(w->http, &in_ms) == MHD_YES;
	}
	loop_timer_set(w->http_timer, is_timed ? (int64_t)in_ms : -1);
}

static void
http_ready(void *owner, int events)
{
	(void)events;
	http_turn(owner);
}

void
http_soon(struct web *w)
{
	loop_timer_set(w->http_timer, 0);
}

/* ── waiting ── */

void
request_wait(struct request *r, enum request_wait what)
{
	r->wait = what;
	r->wait_ms = loop_now_ms(r->web->role.loop);
	if (r->is_suspended)
		return;
	r->is_suspended = true;
	MHD_suspend_connection(r->connection);
}

void
request_go_on(struct request *r)
{
	r->wait = WAITS_NOT;
	if (!r->is_suspended)
		return;
	r->is_suspended = false;
	MHD_resume_connection(r->connection);
	http_soon(r->web);
}

/* ── room ── */

static bool
is_same_login(const struct request *a, const struct request *b)
{
	return a->session && b->session &&
	       str_eq(buf_str(&a->session->login), buf_str(&b->session->login));
}

/* The request takes that many octets in all, or is to take them: 0, or the status that says why not. What stays in memory takes no place from others. */
static unsigned
request_reserve(struct request *r, uint64_t size)
{
	struct web *w = r->web;
	uint64_t own = 0;

	if (size <= ROLE_BODY_INLINE_MAX || size <= r->reserved)
		return 0;
	list_each (at, &w->requests) {
		const struct request *other = list_of(at, struct request, link);

		own += other != r && is_same_login(other, r) ? other->reserved : 0;
	}
	if (own + size > WEB_BODIES_A_LOGIN_MAX)
		return MHD_HTTP_TOO_MANY_REQUESTS;
	if (w->bodies_size - r->reserved + size > WEB_BODIES_MAX)
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	w->bodies_size += size - r->reserved;
	r->reserved = size;
	return 0;
}

void
request_release_body(struct request *r)
{
	r->web->bodies_size -= r->reserved;
	r->reserved = 0;
}

/* One answer a login may always have, however long it is. */
unsigned
request_hold(struct request *r, uint64_t size)
{
	struct web *w = r->web;
	uint64_t own = 0;

	list_each (at, &w->requests) {
		const struct request *other = list_of(at, struct request, link);

		own += other != r && is_same_login(other, r) ? other->held : 0;
	}
	if (own && own + size > WEB_REPLIES_A_LOGIN_MAX)
		return MHD_HTTP_TOO_MANY_REQUESTS;
	if (w->replies_size - r->held + size > WEB_REPLIES_MAX)
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	w->replies_size += size - r->held;
	r->held = size;
	return 0;
}

/* ── a request ── */

/* Before the body: nobody unknown fills our memory. */
static enum turn
request_admit(struct request *r)
{
	return r->route->is_for_all ? NEXT : session_admit(r);
}

static enum turn
answer_too_big(struct request *r)
{
	static const char words[] = "the body is longer than is taken here";

	if (!r->route->size_limit)
		return answer_problem(r, MHD_HTTP_CONTENT_TOO_LARGE, words);
	return answer_jmap_problem(
		r, MHD_HTTP_CONTENT_TOO_LARGE, "limit", r->route->size_limit, words);
}

static void
request_run(struct request *r)
{
	enum turn turn;

	if (r->is_answered)
		return;
	if (r->is_too_big) {
		answer_too_big(r);
		return;
	}
	if (r->no_room) {
		answer_no_room(r, r->no_room);
		return;
	}
	turn = request_admit(r);
	if (turn == NEXT)
		turn = r->route->run(r);
	must(turn != NEXT && (turn == WAIT) == r->is_suspended);
}

static void
no_such_route(struct request *r, const struct buf *allow)
{
	struct MHD_Response *response;

	if (allow->n == 0) {
		answer_problem(r, MHD_HTTP_NOT_FOUND, "there is nothing of this name");
		return;
	}
	response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	answer_header(response, MHD_HTTP_HEADER_ALLOW, buf_str(allow));
	answer_send_take(r, MHD_HTTP_METHOD_NOT_ALLOWED, response);
}

struct framing {
	unsigned lengths, codings;
	bool is_other; /* than chunked */
};

static enum MHD_Result
look_at_framing(void *owner, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct framing *f = owner;

	(void)kind;
	if (str_eq_nocase(str_of(name), S(MHD_HTTP_HEADER_CONTENT_LENGTH)))
		f->lengths++;
	if (str_eq_nocase(str_of(name), S(MHD_HTTP_HEADER_TRANSFER_ENCODING))) {
		f->codings++;
		f->is_other |= !str_eq_nocase(str_of(value), S("chunked"));
	}
	return MHD_YES;
}

/* RFC 9112 §6.1, §6.3: where a proxy in front could see another end of the body than we do, and take what follows for somebody else's request. */
static bool
has_odd_framing(const struct request *r)
{
	struct framing f = { 0 };

	MHD_get_connection_values(r->connection, MHD_HEADER_KIND, look_at_framing, &f);
	return f.lengths + f.codings > 1 || f.is_other;
}

/* The header is there. What is answered here, is answered before the body comes; libmicrohttpd closes the connection then. */
static void
request_read_head(struct request *r, const char *method)
{
	const char *length = claim_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
	struct buf allow = { .max = 64 };
	struct str text = str_of(length);

	r->route = route_find(method, r->path, &allow);
	r->must_close = has_odd_framing(r);
	if (r->must_close)
		answer_problem(r, MHD_HTTP_BAD_REQUEST,
			"Content-Length and Transfer-Encoding contradict each other");
	else if (r->target.overflow)
		answer_problem(r, MHD_HTTP_URI_TOO_LONG, "the target is longer than is taken here");
	else if (!r->route)
		no_such_route(r, &allow);
	else if (length && (!scan_u64(&text, &r->announced) || text.n))
		answer_problem(r, MHD_HTTP_BAD_REQUEST, "Content-Length is not a number");
	else if (r->announced > r->route->body_max)
		answer_too_big(r);
	buf_free(&allow);
}

static void
request_head(struct request *r, const char *method)
{
	if (!r->route)
		request_read_head(r, method);
	r->has_head = r->is_answered || request_admit(r) != WAIT;
	if (r->is_answered || !r->has_head)
		return;
	r->no_room = request_reserve(r, r->announced);
	if (r->no_room)
		answer_no_room(r, r->no_room);
}

/* In the middle of a body libmicrohttpd takes no answer: what nobody wants any more is thrown away, up to as much again as the route takes. False: it is enough. */
static bool
request_take(struct request *r, struct str octets)
{
	if (r->body.size + octets.n > r->route->body_max)
		r->is_too_big = true;
	if (!r->is_too_big && !r->no_room)
		r->no_room = request_reserve(r, r->body.size + octets.n);
	if (!r->is_too_big && !r->no_room) {
		if (!body_add(&r->body, octets))
			r->no_room = MHD_HTTP_SERVICE_UNAVAILABLE;
		return true;
	}
	request_release_body(r);
	body_free(&r->body);
	r->thrown += octets.n;
	return r->thrown <= r->route->body_max;
}

static enum MHD_Result
on_request(void *owner, struct MHD_Connection *connection, const char *url, const char *method,
	const char *version, const char *octets, size_t *octets_n, void **request)
{
	struct request *r = *request;

	(void)owner;
	(void)url;
	(void)version;
	if (!r->has_head) {
		r->connection = connection;
		request_head(r, method);
		return MHD_YES;
	}
	if (*octets_n == 0) {
		r->has_body = true;
		request_run(r);
		return MHD_YES;
	}
	if (!request_take(r, (struct str){ octets, *octets_n }))
		return MHD_NO;
	*octets_n = 0;
	return MHD_YES;
}

static void *
on_target(void *owner, const char *target, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct request *r = calloc(1, sizeof *r);

	must(r && info && info->socket_context);
	r->web = owner;
	r->guest = info->socket_context;
	r->guest->request = r;
	r->since_ms = loop_now_ms(r->web->role.loop);
	r->target.max = WEB_TARGET_MAX;
	r->login.max = r->type.max = r->disposition.max = 1024;
	r->secret.max = 4096;
	body_open(&r->body);
	body_open(&r->reply);
	buf_add(&r->target, str_of(target));
	str_cut(buf_str(&r->target), '?', &r->path, &r->query);
	list_append(&r->web->requests, &r->link);
	return r;
}

static void
on_completed(void *owner, struct MHD_Connection *connection, void **request,
	enum MHD_RequestTerminationCode why)
{
	struct web *w = owner;
	struct request *r = *request;

	(void)connection;
	(void)why;
	if (!r)
		return;
	*request = NULL;
	request_release_body(r);
	w->replies_size -= r->held;
	r->guest->request = NULL;
	r->guest->idle_ms = loop_now_ms(w->role.loop);
	list_remove(&r->guest->link);
	list_append(&w->guests, &r->guest->link);
	session_leave(r);
	list_remove(&r->link);
	body_free(&r->body);
	body_free(&r->reply);
	buf_free(&r->target);
	buf_free(&r->login);
	if (r->secret.p)
		explicit_bzero(r->secret.p, r->secret.n);
	buf_free(&r->secret);
	buf_free(&r->type);
	buf_free(&r->disposition);
	free(r);
	if (w->is_draining)
		loop_timer_set(w->tick, 0);
}

/* ── connections ── */

/* One thread does all. From 0.9.77 on libmicrohttpd wants to be told, or a connection that is added begins only later. */
#if MHD_VERSION >= 0x00097707
#define HTTP_ONE_THREAD MHD_USE_NO_THREAD_SAFETY
#else
#define HTTP_ONE_THREAD 0
#endif

static void
on_connection(void *owner, struct MHD_Connection *connection, void **context,
	enum MHD_ConnectionNotificationCode what)
{
	struct web *w = owner;
	struct guest *g;

	(void)connection;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		must(w->arriving);
		*context = w->arriving;
		w->arriving->is_in_http = true;
		return;
	}
	g = *context;
	g->is_in_http = false;
	if (!g->tunnel)
		g->fd = -1; /* it is closed by libmicrohttpd */
	guest_settle(g);
}

/* Where libmicrohttpd has no room it closes the descriptor, and the guest is not in it. */
void
guest_enter_http(struct guest *g, int fd)
{
	struct web *w = g->web;

	w->arriving = g;
	if (MHD_add_connection(w->http, fd, (const struct sockaddr *)&g->at, g->at_n) != MHD_YES)
		log_event("no-connection", "client=%s", g->client);
	w->arriving = NULL;
	http_soon(w);
}

/* Percent signs stay: what a path means, its route knows. */
static size_t
leave_encoded(void *owner, struct MHD_Connection *connection, char *text)
{
	(void)owner;
	(void)connection;
	return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void
on_error(void *owner, const char *format, va_list arguments)
{
	char line[512];

	(void)owner;
	vsnprintf(line, sizeof line, format, arguments);
	log_event("http", "why=%s", log_quote(str_trim(str_of(line))));
}

void
http_open(struct web *w)
{
	const union MHD_DaemonInfo *info;

	w->http = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
					   MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
					   HTTP_ONE_THREAD,
		0, NULL, NULL, on_request, w, MHD_OPTION_EXTERNAL_LOGGER, on_error, w,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, w, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, w, MHD_OPTION_NOTIFY_CONNECTION, on_connection, w,
		MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, w, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)(WEB_GUESTS_MAX + WEB_GUESTS_FROM_ONE), MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)SILENT_MOST_S, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	must(w->http);
	info = MHD_get_daemon_info(w->http, MHD_DAEMON_INFO_EPOLL_FD);
	must(info);
	w->http_timer = loop_timer_open(w->role.loop, http_turn, w);
	w->http_watch = loop_watch_open(w->role.loop, info->epoll_fd, http_ready, w);
	loop_watch_set(w->http_watch, LOOP_READ);
}

static int64_t
flow_most_ms(uint64_t size)
{
	return FLOW_MOST_MS + (int64_t)(size / FLOW_A_SECOND) * 1000;
}

/* Who trickles its header or its body, or takes its answer by drops, holds a place that others need. */
static bool
is_slow(const struct request *r, int64_t now_ms)
{
	int64_t age_ms = now_ms - r->since_ms;

	if (r->is_answered)
		return !r->is_endless && now_ms - r->answered_ms > flow_most_ms(r->held);
	if (r->has_body || r->is_suspended)
		return false;
	if (!r->has_head)
		return age_ms > HEAD_MOST_MS;
	return age_ms > BODY_MOST_MS || age_ms > flow_most_ms(r->body.size + r->thrown);
}

void
http_tick(struct web *w, int64_t now_ms)
{
	list_each_safe (at, &w->requests) {
		struct request *r = list_of(at, struct request, link);

		if (is_slow(r, now_ms))
			guest_end(r->guest);
	}
}
