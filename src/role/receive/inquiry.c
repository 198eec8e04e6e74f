/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "role/receive/gate.h"

/*
 * Questions to resolve about strangers. They go out with EHLO, so that who only connects costs nothing, and are
 * waited for at the first RCPT, or not at all. Each is in the map of its number until it is answered, given up, or its session ends; the members
 * are the gates' own, so that nothing is allocated for one.
 *
 * A session asks the lists of its own terms, so that a reload while they answer gives no list another one's name.
 *
 * An answer that does not come is none: whatever is wrong with our own resolver refuses nobody. But a question that
 * found no place is not dropped, or a crowd could come in past the lists: it is asked at RCPT, and where there is no
 * place then either, the client must come again. One network has a small share of the places, names and lists have
 * theirs apart.
 */

enum {
	ANSWER_MS = 5000,  /* then it is not waited for */
	NAMES_MOST = 1024, /* questions under way in this process */
	LISTS_MOST = 3072,
	NETWORK_MOST = 128, /* of both, for one network, in all */
};

static struct str
inquiry_key(const void *member)
{
	const struct inquiry *q = member;

	return (struct str){ (const char *)&q->number, sizeof q->number };
}

/* The crowd counts them too, under keys that no connection has. */
static struct str
share_key(const struct session *s, char to[1 + MANNERS_KEY])
{
	to[0] = '?';
	return (struct str){ to, 1 + manners_key(&s->at, MANNERS_NETWORK, to + 1).n };
}

static bool
has_place(const struct session *s, const struct inquiry *q)
{
	const struct receive *r = s->house;
	bool is_name = q == &s->gate->reverse;
	unsigned lists = (unsigned)r->inquiries.used - r->names_asked;
	char key[1 + MANNERS_KEY];

	return (is_name ? r->names_asked < NAMES_MOST : lists < LISTS_MOST) &&
	       crowd_here(r->crowd, share_key(s, key)) < NETWORK_MOST;
}

static void
ask(struct session *s, struct inquiry *q, enum question_kind kind, struct str name)
{
	struct receive *r = s->house;
	char key[1 + MANNERS_KEY];

	if (q->was_asked || !has_place(s, q))
		return;
	*q = (struct inquiry){
		.session = s, .result = ANSWER_UNKNOWN, .was_asked = true, .number = ++r->asks
	};
	r->inquiries.key_of = inquiry_key;
	map_put(&r->inquiries, q);
	r->names_asked += q == &s->gate->reverse;
	crowd_enter(r->crowd, share_key(s, key));
	s->gate->waiting++;
	s->gate->asked_ms = loop_now_ms(r->role.loop);
	ipc_send_question(r->resolve, &(struct ipc_question){ .fd = -1,
					      .ask = q->number,
					      .kind = (uint8_t)kind,
					      .address = str_of(s->client),
					      .name = name });
}

static bool
wants_name(const struct session *s)
{
	const struct config *c = gate_config(s);

	return !s->gate->name[0] && (c->gate.reverse != CONFIG_IGNORE || c->gate.greylist);
}

void
inquiry_begin(struct session *s)
{
	const struct config *c = gate_config(s);
	const struct terms *t = s->terms;
	struct gate *g = s->gate;

	g->lacks_place = false;
	if (!s->house->resolve || c->resolver.is_off)
		return;
	if (wants_name(s))
		ask(s, &g->reverse, QUESTION_REVERSE, S(""));
	if (wants_name(s) && c->gate.reverse == CONFIG_REFUSE)
		g->lacks_place = !g->reverse.was_asked;
	for (size_t i = 0; i < t->zones_n; i++) {
		ask(s, &g->lists[i], QUESTION_LISTED, str_of(t->zones[i]));
		g->lacks_place |= !g->lists[i].was_asked;
	}
}

static void
drop(struct session *s, struct inquiry *q)
{
	struct receive *r = s->house;
	char key[1 + MANNERS_KEY];

	if (!q->number)
		return;
	map_remove(&r->inquiries, inquiry_key(q));
	r->names_asked -= q == &s->gate->reverse;
	crowd_leave(r->crowd, share_key(s, key));
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
	if (q->result == ANSWER_YES && q != &g->reverse)
		snprintf(g->listed, sizeof g->listed, "%s%s%.*s", s->terms->zones[q - g->lists],
			m->text.n ? ": " : "", STR_ARG(m->text));
	if (g->waiting == 0)
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
		gate_wake(s);
	}
}

void
inquiry_tick(struct receive *r)
{
	if (r->inquiries.used)
		inquiry_give_up(r, loop_now_ms(r->role.loop) - ANSWER_MS);
}
