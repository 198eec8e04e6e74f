/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/receive.h"

#include "base/must.h"

/*
 * The one pattern of waiting: an arm asks and returns WAIT; the answer is stored in session.ask and
 * session_run is called again, which meets the same event, and the same arm, now with ask.state
 * set. ask_clear ends it.
 */

enum { ASK_MOST_MS = 10000 };

static enum turn
ask_begin(struct session *s)
{
	must(s->ask.state == ASK_NONE);
	s->ask.number = ++s->house->asks;
	s->ask.since_ms = loop_now_ms(s->house->role.loop);
	s->ask.state = ASK_WAITING;
	if (s->house->vault)
		return WAIT;
	s->ask.state = ASK_FAILED;
	return NEXT;
}

enum turn
ask_lookup(struct session *s, uint8_t why, struct address a)
{
	enum turn step = ask_begin(s);

	ipc_send_lookup(s->house->vault, &(struct ipc_lookup){ .fd = -1,
						 .ask = s->ask.number,
						 .why = why,
						 .local = a.local,
						 .domain = a.domain,
						 .login = buf_str(&s->login) });
	return step;
}

enum turn
ask_check(struct session *s)
{
	enum turn step = ask_begin(s);

	ipc_send_check(s->house->vault, &(struct ipc_check){ .fd = -1,
						.ask = s->ask.number,
						.is_reader = s->is_reader,
						.login = s->smtp.auth.login,
						.password = s->smtp.auth.password,
						.client = str_of(s->client) });
	return step;
}

enum turn
ask_signature(struct session *s)
{
	struct stream_to_sign what = stream_to_sign(&s->stream);
	enum turn step = ask_begin(s);

	ipc_send_sign(s->house->vault, &(struct ipc_sign){ .fd = -1,
					       .ask = s->ask.number,
					       .key = what.key,
					       .scheme = what.scheme,
					       .content = what.content });
	return step;
}

void
ask_clear(struct ask *a)
{
	buf_free(&a->text);
	buf_free(&a->token);
	*a = (struct ask){ .text.max = IPC_TEXT_MAX, .token.max = 4096 };
}

static struct session *
ask_session(struct receive *r, uint64_t number)
{
	/* Backwards: who asks was heard of a moment ago. */
	for (struct list *at = r->sessions.prev; at != &r->sessions; at = at->prev) {
		struct session *s = list_of(at, struct session, link);

		if (s->ask.state == ASK_WAITING && s->ask.number == number)
			return s;
	}
	return NULL; /* the session has ended meanwhile */
}

static void
ask_answer(struct receive *r, uint64_t number, uint8_t kind, struct str text, struct str token)
{
	struct session *s = ask_session(r, number);

	if (!s)
		return;
	s->ask.kind = kind;
	buf_add(&s->ask.text, text);
	buf_add(&s->ask.token, token);
	s->ask.state = ASK_ANSWERED;
	session_run(s);
}

void
ask_came(struct receive *r, struct ipc_message *m)
{
	if (m->kind == IPC_found)
		ask_answer(r, m->found.ask, m->found.kind, m->found.text, (struct str){ 0 });
	else if (m->kind == IPC_signature)
		ask_answer(r, m->signature.ask, 0, m->signature.signature, (struct str){ 0 });
	else
		ask_answer(
			r, m->checked.ask, m->checked.result, m->checked.login, m->checked.token);
}

static void
ask_fail(struct session *s)
{
	if (s->ask.state != ASK_WAITING || s->ask.number == 0 || s->ask.number == ASK_GATE)
		return;
	s->ask.state = ASK_FAILED;
	session_run(s);
}

void
ask_fail_all(struct receive *r)
{
	list_each_safe (at, &r->sessions)
		ask_fail(list_of(at, struct session, link));
}

void
ask_tick(struct session *s, int64_t now_ms)
{
	if (s->ask.number && now_ms - s->ask.since_ms > ASK_MOST_MS)
		ask_fail(s);
}
