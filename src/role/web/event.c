/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include <jansson.h>

#include "base/codec.h"
#include "base/must.h"

/*
 * EventSource (RFC 8620 §7.3): an answer without an end, to which the reader's news are added. It begins with the states of now, so that nothing that happened
 * between two connections is missed. When the reader ends, so do its listeners: each comes again by itself, and that has the mailbox opened again.
 *
 * A listener that has nothing to say is suspended, and would never notice that its client has gone: only what it says now and then finds out (ping).
 */

enum {
	LISTENERS_MOST = 20, /* of a login */
	OUT_MAX = 256 * 1024,
	PING_S = 30,
	PING_LEAST_S = 5,
	PING_MOST_S = 300,
	CHECK_MS = 180000, /* of the session */
};

struct listener {
	struct list link;
	struct web *web;
	struct MHD_Connection *connection;
	unsigned char key[WEB_DIGEST];
	struct buf login;
	struct buf types; /* comma between; empty: all */
	struct buf out;
	bool closes_after, wants_ping; /* else a comment tells that we are there */
	bool is_suspended, is_over;
	int64_t ping_ms, due_ms;
};

static void
listener_wake(struct listener *l)
{
	if (!l->is_suspended)
		return;
	l->is_suspended = false;
	MHD_resume_connection(l->connection);
	http_soon(l->web);
}

static void
listener_end(struct listener *l)
{
	l->is_over = true;
	listener_wake(l);
}

/* A client that takes nothing does not make us gather for ever. */
static void
listener_say(struct listener *l, struct str octets)
{
	buf_add(&l->out, octets);
	if (l->out.overflow)
		l->is_over = true;
	l->due_ms = loop_now_ms(l->web->role.loop) + l->ping_ms;
	listener_wake(l);
}

static ssize_t
listener_read(void *owner, uint64_t at, char *to, size_t room)
{
	struct listener *l = owner;
	size_t n = l->out.n < room ? l->out.n : room;

	(void)at;
	if (n) {
		memcpy(to, l->out.p, n);
		buf_drop(&l->out, n);
		return (ssize_t)n;
	}
	if (l->is_over)
		return MHD_CONTENT_READER_END_OF_STREAM;
	buf_free(&l->out);
	l->is_suspended = true;
	MHD_suspend_connection(l->connection);
	return 0;
}

static void
listener_free(void *owner)
{
	struct listener *l = owner;

	list_remove(&l->link);
	buf_free(&l->login);
	buf_free(&l->types);
	buf_free(&l->out);
	free(l);
}

/* ── what is said ── */

static bool
has_type(struct str types, const char *type)
{
	struct str one;

	while (types.n) {
		str_cut(types, ',', &one, &types);
		if (str_eq(str_trim(one), str_of(type)))
			return true;
	}
	return false;
}

static void
drop_unwanted(const struct listener *l, json_t *states)
{
	const char *type;
	json_t *state;
	void *next;

	json_object_foreach_safe (states, next, type, state)
		if (!json_is_string(state) || (l->types.n && !has_type(buf_str(&l->types), type)))
			json_object_del(states, type);
}

/* RFC 8620 §7.1. The states are the reader's words: what is no object of texts is nothing. */
static void
say_states(struct listener *l, struct str text)
{
	json_t *states = json_loadb(text.p ? text.p : "", text.n, 0, NULL);
	struct buf line = { .max = OUT_MAX / 2 };
	char *wanted = NULL;

	if (json_is_object(states)) {
		drop_unwanted(l, states);
		wanted = json_object_size(states) ? json_dumps(states, JSON_COMPACT) : NULL;
	}
	if (wanted) {
		buf_add(&line,
			S("event: state\ndata: {\"@type\":\"StateChange\",\"changed\":{\"a\":"));
		buf_add(&line, str_of(wanted));
		buf_add(&line, S("}}\n\n"));
		l->is_over |= l->closes_after;
		if (!line.overflow)
			listener_say(l, buf_str(&line));
	}
	free(wanted);
	buf_free(&line);
	json_decref(states);
}

void
event_news(struct web *w, struct str login, struct str states)
{
	list_each_safe (at, &w->listeners) {
		struct listener *l = list_of(at, struct listener, link);

		if (!l->is_over && str_eq(buf_str(&l->login), login))
			say_states(l, states);
	}
}

/* What was true when the listener came need not stay so. Vault's no ends it (session.c). */
static void
check_sessions(struct web *w, int64_t now_ms)
{
	list_each (at, &w->requests) {
		struct request *r = list_of(at, struct request, link);

		if (r->is_endless && now_ms - r->session->checked_ms > CHECK_MS)
			session_check(r);
	}
}

void
event_tick(struct web *w, int64_t now_ms)
{
	check_sessions(w, now_ms);
	list_each_safe (at, &w->listeners) {
		struct listener *l = list_of(at, struct listener, link);
		char line[64];

		if (l->is_over || now_ms < l->due_ms)
			continue;
		snprintf(line, sizeof line,
			l->wants_ping ? "event: ping\ndata: {\"interval\":%u}\n\n" : ": %u\n\n",
			(unsigned)(l->ping_ms / 1000));
		listener_say(l, str_of(line));
	}
}

void
event_end(struct web *w, struct str login, const unsigned char *key)
{
	list_each_safe (at, &w->listeners) {
		struct listener *l = list_of(at, struct listener, link);

		if (str_eq(buf_str(&l->login), login) &&
			(!key || memcmp(l->key, key, sizeof l->key) == 0))
			listener_end(l);
	}
}

bool
event_is_heard(struct web *w, struct str login)
{
	list_each (at, &w->listeners) {
		const struct listener *l = list_of(at, struct listener, link);

		if (!l->is_over && str_eq(buf_str(&l->login), login))
			return true;
	}
	return false;
}

void
event_end_all(struct web *w)
{
	list_each_safe (at, &w->listeners)
		listener_end(list_of(at, struct listener, link));
}

/* ── a listener begins ── */

static void
read_wishes(struct listener *l, struct str query)
{
	struct buf value = { .max = 1024 };
	struct str text;
	uint64_t ping_s = 0;

	if (query_get(query, S("types"), &value) && !str_eq(buf_str(&value), S("*")))
		buf_add(&l->types, buf_str(&value));
	buf_reset(&value);
	l->closes_after =
		query_get(query, S("closeafter"), &value) && str_eq(buf_str(&value), S("state"));
	buf_reset(&value);
	text = query_get(query, S("ping"), &value) ? buf_str(&value) : S("");
	l->wants_ping = scan_u64(&text, &ping_s) && ping_s > 0;
	if (!l->wants_ping)
		ping_s = PING_S;
	if (ping_s < PING_LEAST_S)
		ping_s = PING_LEAST_S;
	if (ping_s > PING_MOST_S)
		ping_s = PING_MOST_S;
	l->ping_ms = (int64_t)ping_s * 1000;
	buf_free(&value);
}

static struct listener *
listener_open(struct request *r)
{
	struct listener *l = calloc(1, sizeof *l);

	must(l);
	*l = (struct listener){ .web = r->web,
		.connection = r->connection,
		.login.max = IPC_TEXT_MAX,
		.types.max = 1024,
		.out.max = OUT_MAX };
	memcpy(l->key, r->session->key, sizeof l->key);
	buf_add(&l->login, buf_str(&r->session->login));
	read_wishes(l, r->query);
	l->due_ms = loop_now_ms(r->web->role.loop) + l->ping_ms;
	buf_add(&l->out, S("retry: 2000\n\n"));
	list_append(&r->web->listeners, &l->link);
	return l;
}

static unsigned
listeners_of(struct web *w, struct str login)
{
	unsigned n = 0;

	list_each (at, &w->listeners)
		n += str_eq(buf_str(&list_of(at, struct listener, link)->login), login);
	return n;
}

enum turn
event_listen(struct request *r)
{
	enum turn turn = call_ask(r, CALL_STATES, S(""));
	struct MHD_Response *response;
	struct listener *l;

	if (turn != NEXT)
		return turn;
	if (r->status != MHD_HTTP_OK)
		return answer_problem(r, r->status, "your mailbox cannot be read at the moment");
	if (listeners_of(r->web, buf_str(&r->session->login)) >= LISTENERS_MOST)
		return answer_problem(r, MHD_HTTP_TOO_MANY_REQUESTS,
			"too many windows and programs listen to this mailbox");
	l = listener_open(r);
	if (!l->closes_after) /* that one waits for a change */
		say_states(l, buf_str(&r->reply.small));
	if (r->web->is_draining)
		l->is_over = true;
	response = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, 4096, listener_read, l, listener_free);
	must(response);
	answer_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, S("text/event-stream"));
	answer_header(response, "X-Accel-Buffering",
		S("no")); /* a proxy in front passes each on at once */
	r->is_endless = true;
	return answer_send_take(r, MHD_HTTP_OK, response);
}
