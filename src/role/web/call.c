/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/file.h"

/*
 * What goes to the readers, and what comes back. A reader has a seat: its number among those that master keeps. Whose it is, master says (`seated`). A login
 * that has no reader gets one when vault says yes to it: so a request that finds none asks vault, though the session is believed, and then waits for the seat.
 *
 *   call_ask ── no seat ──> session_ask ──> WAITS_FOR_SEAT ── seated ──> sent ──> WAITS_FOR_READER ── reply ──> NEXT
 *                                             └── 10 s: 503                        └── it died, 2 min: 503
 */

enum {
	SEAT_MOST_MS = 10000,
	REPLY_MOST_MS = 120000,
	KEEP_MS =
		10 *
		60000, /* so often one that has listeners is asked for something: a reader without calls leaves (reader.c) */
};

/* ── seats ── */

static void
seat_fail_calls(struct seat *seat)
{
	list_each_safe (at, &seat->web->requests) {
		struct request *r = list_of(at, struct request, link);

		if (r->wait == WAITS_FOR_READER &&
			str_eq(buf_str(&r->session->login), buf_str(&seat->login))) {
			r->is_late = true;
			request_go_on(r);
		}
	}
}

static void
seat_free(struct seat *seat)
{
	seat->web->seats[seat->index] = NULL;
	seat_fail_calls(seat);
	event_end(seat->web, buf_str(&seat->login), NULL);
	ipc_close(&seat->reader);
	buf_free(&seat->login);
	free(seat);
}

static struct request *
request_of(struct seat *seat, uint64_t ask)
{
	list_each (at, &seat->web->requests) {
		struct request *r = list_of(at, struct request, link);

		if (r->wait == WAITS_FOR_READER && r->ask == ask &&
			str_eq(buf_str(&r->session->login), buf_str(&seat->login)))
			return r;
	}
	return NULL; /* the client has gone */
}

static bool
is_memfd_of(int fd, uint64_t size)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 0 &&
	       (uint64_t)st.st_size >= size;
}

static void
take_reply(struct seat *seat, struct ipc_reply *m)
{
	struct request *r = request_of(seat, m->ask);
	bool has_memfd;

	if (r) {
		r->status = m->status >= 200 && m->status < 600 ? m->status : MHD_HTTP_BAD_GATEWAY;
		buf_add(&r->type, m->type);
		buf_add(&r->disposition, m->disposition);
		body_add(&r->reply, m->body);
		has_memfd = m->fd >= 0 && m->body.n == 0 && is_memfd_of(m->fd, m->size);
		if (has_memfd)
			r->no_room = request_hold(r, m->size);
		if (has_memfd && !r->no_room) {
			r->reply.fd = m->fd;
			r->reply.size = m->size;
			m->fd = -1;
		}
		request_go_on(r);
	}
	if (m->fd >= 0)
		close(m->fd);
}

static void
reader_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct seat *seat = owner;
	struct web *w = seat->web;

	(void)from;
	switch (m->kind) {
	case IPC_reply:
		take_reply(seat, &m->reply);
		break;
	case IPC_news:
		event_news(w, buf_str(&seat->login), m->news.states);
		break;
	default:
		role_lost_reader(&w->role, seat->index, m->broke_rules);
		seat_free(seat);
		break;
	}
}

void
call_peer(struct web *w, unsigned index, int fd)
{
	struct seat *seat;

	if (index >= ROLE_READERS_MAX) {
		close(fd);
		return;
	}
	if (w->seats[index])
		seat_free(w->seats[index]);
	seat = calloc(1, sizeof *seat);
	must(seat);
	*seat = (struct seat){ .web = w,
		.index = index,
		.login.max = IPC_TEXT_MAX,
		.called_ms = loop_now_ms(w->role.loop) };
	seat->reader = ipc_open(w->role.loop, fd, ROLE_WEB, ROLE_READER, reader_came, seat);
	w->seats[index] = seat;
}

void
call_seated(void *owner, unsigned index, struct str login)
{
	struct web *w = owner;
	struct seat *seat = index < ROLE_READERS_MAX ? w->seats[index] : NULL;

	if (!seat)
		return;
	buf_reset(&seat->login);
	buf_add(&seat->login, login);
	list_each_safe (at, &w->requests) {
		struct request *r = list_of(at, struct request, link);

		if (r->wait == WAITS_FOR_SEAT && str_eq(buf_str(&r->session->login), login))
			request_go_on(r);
	}
}

static struct seat *
seat_of(struct web *w, struct str login)
{
	for (size_t i = 0; i < ROLE_READERS_MAX; i++)
		if (w->seats[i] && w->seats[i]->login.n &&
			str_eq(buf_str(&w->seats[i]->login), login))
			return w->seats[i];
	return NULL;
}

/* ── calls ── */

/* Of the same login and kind, until the client has taken the answer. */
static unsigned
calls_under_way(const struct request *r)
{
	struct str login = buf_str(&r->session->login);
	unsigned n = 0;

	list_each (at, &r->web->requests) {
		const struct request *other = list_of(at, struct request, link);

		n += other->was_called && !other->is_endless &&
		     other->route->run == r->route->run &&
		     str_eq(buf_str(&other->session->login), login);
	}
	return n;
}

static enum turn
answer_too_many(struct request *r)
{
	return answer_jmap_problem(r, MHD_HTTP_TOO_MANY_REQUESTS, "limit",
		r->route->run == call_upload ? "maxConcurrentUpload" : "maxConcurrentRequests",
		"too many requests of yours are under way");
}

static void
add_base(const struct request *r, struct buf *to)
{
	const char *host = claim_host(r);

	buf_add(to, r->guest->is_secure ? S("https://") : S("http://"));
	buf_add(to, host ? str_of(host) : r->web->role.config.hostname);
}

static enum turn
send_call(struct request *r, struct seat *seat, enum call_what what, struct str path)
{
	struct buf base = { .max = 512 };
	struct str type = str_of(claim_header(r, MHD_HTTP_HEADER_CONTENT_TYPE));

	if (r->body.fd >= 0 && !file_seal(r->body.fd))
		return answer_problem(
			r, MHD_HTTP_SERVICE_UNAVAILABLE, "there is no room for this at the moment");
	r->ask = ++r->web->asks;
	seat->called_ms = loop_now_ms(r->web->role.loop);
	add_base(r, &base);
	ipc_send_call(seat->reader, &(struct ipc_call){ .fd = r->body.fd,
					    .ask = r->ask,
					    .what = (uint8_t)what,
					    .size = r->body.size,
					    .path = path,
					    .type = str_part(type, 0, 256),
					    .base = buf_str(&base),
					    .body = buf_str(&r->body.small) });
	buf_free(&base);
	r->was_called = true;
	request_wait(r, WAITS_FOR_READER);
	return WAIT;
}

enum turn
call_ask(struct request *r, enum call_what what, struct str path)
{
	struct str login = buf_str(&r->session->login);
	struct seat *seat = seat_of(r->web, login);

	if (r->status)
		return r->no_room ? answer_no_room(r, r->no_room) : NEXT;
	if (r->is_late)
		return answer_problem(r, MHD_HTTP_SERVICE_UNAVAILABLE,
			"your mailbox cannot be read at the moment; please try again");
	if (!seat && !r->was_asked)
		return session_ask(r);
	if (!seat) {
		request_wait(r, WAITS_FOR_SEAT);
		return WAIT;
	}
	if (calls_under_way(r) >= (r->route->run == call_upload ? (unsigned)ROLE_UPLOADS_AT_ONCE
								: (unsigned)ROLE_REQUESTS_AT_ONCE))
		return answer_too_many(r);
	return send_call(r, seat, what, path);
}

/* Whoever has the page open and does nothing is not to lose their reader. Nobody waits for what it answers. */
static void
keep_seat(struct seat *seat, int64_t now_ms)
{
	struct web *w = seat->web;

	if (now_ms - seat->called_ms < KEEP_MS || !event_is_heard(w, buf_str(&seat->login)))
		return;
	seat->called_ms = now_ms;
	ipc_send_call(seat->reader,
		&(struct ipc_call){ .fd = -1, .ask = ++w->asks, .what = CALL_STATES });
}

void
call_tick(struct web *w, int64_t now_ms)
{
	for (size_t i = 0; i < ROLE_READERS_MAX; i++)
		if (w->seats[i])
			keep_seat(w->seats[i], now_ms);
	list_each_safe (at, &w->requests) {
		struct request *r = list_of(at, struct request, link);
		int64_t waited_ms = now_ms - r->wait_ms;

		if ((r->wait == WAITS_FOR_SEAT && waited_ms > SEAT_MOST_MS) ||
			(r->wait == WAITS_FOR_READER && waited_ms > REPLY_MOST_MS)) {
			r->is_late = true;
			request_go_on(r);
		}
	}
}

/* ── the answers ── */

static struct MHD_Response *
response_of(struct request *r)
{
	struct MHD_Response *response = body_response(&r->reply);

	if (response && r->type.n)
		answer_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, buf_str(&r->type));
	return response;
}

static enum turn
pass_on(struct request *r, enum call_what what)
{
	enum turn turn = call_ask(r, what, S(""));
	struct MHD_Response *response;

	if (turn != NEXT)
		return turn;
	response = response_of(r);
	return response ? answer_send_take(r, r->status, response)
			: answer_no_room(r, MHD_HTTP_SERVICE_UNAVAILABLE);
}

enum turn
call_session(struct request *r)
{
	return pass_on(r, CALL_SESSION);
}

/* What a request is not said to be is not looked at (RFC 8620 §3.6.1). */
static bool
is_json(const struct request *r)
{
	struct str bare, parameters;

	str_cut(str_of(claim_header(r, MHD_HTTP_HEADER_CONTENT_TYPE)), ';', &bare, &parameters);
	return str_eq_nocase(str_trim(bare), S("application/json"));
}

enum turn
call_api(struct request *r)
{
	if (!is_json(r))
		return answer_jmap_problem(r, MHD_HTTP_BAD_REQUEST, "notJSON", NULL,
			"the Content-Type is not application/json");
	return pass_on(r, CALL_API);
}

enum turn
call_upload(struct request *r)
{
	return pass_on(r, CALL_UPLOAD);
}

/* What a browser shows by itself and can do no harm. */
static bool
may_be_shown(struct str type)
{
	static const char *const harmless[] = { "image/png", "image/jpeg", "image/gif",
		"image/webp", "image/avif", "text/plain" };
	struct str bare, parameters;

	str_cut(type, ';', &bare, &parameters);
	for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
		if (str_eq_nocase(str_trim(bare), str_of(harmless[i])))
			return true;
	return false;
}

/* A part of a mail is whatever a stranger sent. All else than the harmless is for the disk, whatever the reader says; and nothing of it runs. */
enum turn
call_download(struct request *r)
{
	enum turn turn = call_ask(r, CALL_DOWNLOAD,
		str_from((struct str){ r->target.p, r->target.n }, sizeof "/jmap/download/a/" - 1));
	struct str disposition = buf_str(&r->disposition);
	struct MHD_Response *response;

	if (turn != NEXT)
		return turn;
	response = response_of(r);
	if (!response)
		return answer_no_room(r, MHD_HTTP_SERVICE_UNAVAILABLE);
	if (r->status == MHD_HTTP_OK && !may_be_shown(buf_str(&r->type)) &&
		!str_starts_nocase(disposition, S("attachment")))
		disposition = S("attachment");
	if (disposition.n)
		answer_header(response, MHD_HTTP_HEADER_CONTENT_DISPOSITION, disposition);
	answer_header(response, "Content-Security-Policy",
		S("sandbox; default-src 'none'; frame-ancestors 'none'"));
	return answer_send_take(r, r->status, response);
}
