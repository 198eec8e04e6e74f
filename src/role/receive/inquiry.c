/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "role/receive/gate.h"

/*
 * Questions to resolve about strangers. They go out with the connection and are waited for at the first RCPT, or
 * not at all. Each is in the map of its number until it is answered, given up, or its session ends; the members
 * are the gates' own, so that nothing is allocated for one.
 *
 * An answer that does not come is none: whatever is wrong with our own resolver refuses nobody.
 */

enum {
	ANSWER_MS = 5000,      /* then it is not waited for */
	INQUIRIES_MOST = 4096, /* under way in this process; more are not asked */
};

static struct str
inquiry_key(const void *member)
{
	const struct inquiry *q = member;

	return (struct str){ (const char *)&q->number, sizeof q->number };
}

static void
ask(struct session *s, struct inquiry *q, enum question_kind kind, struct str name)
{
	struct receive *r = s->house;

	*q = (struct inquiry){ .session = s, .result = ANSWER_UNKNOWN };
	if (!r->resolve || r->role.config.resolver.is_off || r->inquiries.used >= INQUIRIES_MOST)
		return;
	r->inquiries.key_of = inquiry_key;
	q->number = ++r->asks;
	map_put(&r->inquiries, q);
	s->gate->waiting++;
	s->gate->asked_ms = loop_now_ms(r->role.loop);
	ipc_send_question(r->resolve, &(struct ipc_question){ .fd = -1,
					      .ask = q->number,
					      .kind = (uint8_t)kind,
					      .address = str_of(s->client),
					      .name = name });
}

void
inquiry_begin(struct session *s)
{
	const struct config *c = gate_config(s);

	if (!s->gate->name[0] && (c->gate.reverse != CONFIG_IGNORE || c->gate.greylist))
		ask(s, &s->gate->reverse, QUESTION_REVERSE, S(""));
	for (size_t i = 0; i < c->gate.dnsbl_n; i++)
		ask(s, &s->gate->lists[i], QUESTION_LISTED, c->gate.dnsbl[i]);
}

static void
drop(struct session *s, struct inquiry *q)
{
	if (!q->number)
		return;
	map_remove(&s->house->inquiries, inquiry_key(q));
	q->number = 0;
	s->gate->waiting--;
}

void
inquiry_drop_all(struct session *s)
{
	drop(s, &s->gate->reverse);
	for (size_t i = 0; i < CONFIG_ZONES_MAX; i++)
		drop(s, &s->gate->lists[i]);
}

void
inquiry_came(struct receive *r, const struct ipc_answer *m)
{
	struct inquiry *q =
		map_get(&r->inquiries, (struct str){ (const char *)&m->ask, sizeof m->ask });
	struct session *s;
	struct gate *g;

	if (!q)
		return; /* the session has ended meanwhile */
	s = q->session;
	g = s->gate;
	drop(s, q);
	q->was_answered = true;
	q->result = m->result <= ANSWER_UNKNOWN ? (enum answer_result)m->result : ANSWER_UNKNOWN;
	if (q->result == ANSWER_YES && q == &g->reverse)
		snprintf(g->name, sizeof g->name, "%.*s", STR_ARG(m->text));
	if (q->result == ANSWER_YES && q >= g->lists &&
		(size_t)(q - g->lists) < gate_config(s)->gate.dnsbl_n)
		snprintf(g->listed, sizeof g->listed, "%.*s%s%.*s",
			STR_ARG(gate_config(s)->gate.dnsbl[q - g->lists]), m->text.n ? ": " : "",
			STR_ARG(m->text));
	if (g->waiting == 0 && !g->pause)
		gate_wake(s);
}

void
inquiry_give_up(struct receive *r, int64_t before_ms)
{
	list_each_safe (at, &r->sessions) {
		struct session *s = list_of(at, struct session, link);
		struct gate *g = s->gate;

		if (!g || g->waiting == 0 || g->asked_ms > before_ms)
			continue;
		log_event("no-answer", "client=%s questions=%u", s->client, g->waiting);
		inquiry_drop_all(s);
		if (!g->pause)
			gate_wake(s);
	}
}

void
inquiry_tick(struct receive *r)
{
	if (r->inquiries.used)
		inquiry_give_up(r, loop_now_ms(r->role.loop) - ANSWER_MS);
}
