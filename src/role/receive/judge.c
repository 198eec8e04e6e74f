/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "role/receive/gate.h"

/*
 * What is thought of a stranger when it names a recipient, and what of it is written down. In this order: a list
 * has it (554), its HELO (550), its name (550; 450 where its own zones fail), first contact (451).
 *
 * First contact: a network that has not written to us is asked to come again, and is known when it does; so is one
 * that brought a mail. Big senders come again from elsewhere: they are known too by the domain of their confirmed
 * name, for senders of that domain. Another sender's domain anybody can write into MAIL, and so could all customers
 * of one provider make each other known.
 */

enum {
	DAY_S = 24 * 3600,
	GOOD_S = 35 * DAY_S, /* a month's newsletter comes again in time */
	GREY_S = 2 * DAY_S,  /* who comes again later than this is new */
};

void
judge_hello(struct session *s)
{
	if (s->gate)
		inquiry_begin(s);
	if (s->gate && gate_config(s)->gate.hello != CONFIG_IGNORE)
		s->gate->hello_fault = manners_hello_fault(gate_config(s), s->smtp.hello, &s->at);
}

/* ── the verdict ── */

static bool
has_name(const struct session *s, struct err *e)
{
	const struct inquiry *q = &s->gate->reverse;

	if (gate_config(s)->gate.reverse != CONFIG_REFUSE || !q->was_answered ||
		q->result == ANSWER_YES)
		return true;
	if (q->result == ANSWER_NO)
		return err_set(e, ERR_PERMANENT, ERR_CLIENT_NAME,
			"your address %s has no name that leads back to it: set its reverse DNS",
			s->client);
	return err_set(e, ERR_TEMPORARY, ERR_CLIENT_NAME,
		"the DNS of your address %s does not answer: please try again later", s->client);
}

/* Empty: it has no confirmed name, or the sender is of another domain. */
static struct str
pool_key(const struct session *s, char to[512])
{
	struct str owner = manners_owner(str_of(s->gate->name));
	struct str sender = s->smtp.transaction.reverse_path.domain;
	int n;

	if (owner.n == 0 || !manners_is_within(sender, owner))
		return S("");
	n = snprintf(to, 512, "%.*s %.*s", STR_ARG(owner), STR_ARG(sender));
	for (int i = 0; i < n && i < 512; i++)
		to[i] = char_lower(to[i]);
	return str_of(to);
}

/* Both keys begin to wait at the first try, and whichever waited long enough makes both known. */
static bool
was_here(struct session *s, struct err *e)
{
	int64_t now = gate_now_s(), wait_s = (gate_config(s)->gate.greylist_wait_ms + 999) / 1000,
		left_s;
	char net[MANNERS_KEY], pool[512];
	struct str keys[2] = { manners_key(&s->at, MANNERS_SENDER, net), pool_key(s, pool) };
	struct crowd_memory m;
	int64_t since_s = now;

	if (!gate_config(s)->gate.greylist)
		return true;
	for (size_t i = 0; i < 2 && keys[i].n; i++)
		if (crowd_recall(s->house->crowd, CROWD_GOOD, keys[i], now, &m))
			return true;
	for (size_t i = 0; i < 2 && keys[i].n; i++)
		if (!crowd_recall(s->house->crowd, CROWD_GREY, keys[i], now, &m))
			gate_remember(s, CROWD_GREY, keys[i], GREY_S);
		else if (m.since_s < since_s)
			since_s = m.since_s;
	left_s = since_s + wait_s - now;
	if (left_s > 0)
		return err_set(e, ERR_TEMPORARY, ERR_MANNERS,
			"we do not know your host yet: please try again in %lld %s",
			(long long)(left_s > 90 ? (left_s + 59) / 60 : left_s),
			left_s > 90 ? "minutes" : "seconds");
	for (size_t i = 0; i < 2 && keys[i].n; i++)
		gate_remember(s, CROWD_GOOD, keys[i], GOOD_S);
	return true;
}

static bool
is_welcome(struct session *s, struct err *e)
{
	const struct gate *g = s->gate;

	if (g->listed[0])
		return err_set(e, ERR_PERMANENT, ERR_REFUSED, "your address %s is listed by %s",
			s->client, g->listed);
	if (g->hello_fault && gate_config(s)->gate.hello == CONFIG_REFUSE)
		return err_set(e, ERR_PERMANENT, ERR_MANNERS, "you call yourself %.*s, which is %s",
			STR_ARG(str_part(s->smtp.hello, 0, 100)), g->hello_fault);
	if (g->lacks_place)
		return err_set(e, ERR_TEMPORARY, ERR_MANNERS,
			"too many hosts are asked about already: please try again later");
	return has_name(s, e) && was_here(s, e);
}

static void
note(struct session *s)
{
	const struct gate *g = s->gate;
	bool has_no_name = g->reverse.was_answered && g->reverse.result == ANSWER_NO;

	if (!s->gate->was_noted && (g->hello_fault || has_no_name || g->listed[0]))
		log_event("manners", "client=%s hello=%s fault=%s name=%s listed=%s", s->client,
			log_quote(s->smtp.hello), log_quote(str_of(g->hello_fault)),
			has_no_name ? "none" : log_quote(str_of(g->name)),
			log_quote(str_of(g->listed)));
	s->gate->was_noted = true;
}

enum turn
judge_recipient(struct session *s, struct err *e)
{
	if (!s->gate || !gate_is_stranger(s))
		return NEXT;
	if (s->ask.state != ASK_NONE && s->ask.number != ASK_GATE)
		return NEXT; /* vault's answer about this recipient: judged before */
	if (s->ask.state == ASK_NONE) {
		inquiry_begin(s); /* what found no place before */
		if (s->gate->waiting)
			return gate_wait(s);
	}
	ask_clear(&s->ask);
	note(s);
	is_welcome(s, e);
	return NEXT;
}

bool
judge_unknown(struct session *s)
{
	uint32_t most = gate_config(s)->gate.unknown;

	if (!s->gate || !gate_is_stranger(s) || most == 0)
		return false;
	gate_count(s, CROWD_UNKNOWN, 1);
	return s->smtp.unknown_recipients >= most;
}

void
judge_kept(struct session *s)
{
	char key[MANNERS_KEY];

	if (s->gate && gate_is_stranger(s))
		gate_remember(s, CROWD_GOOD, manners_key(&s->at, MANNERS_SENDER, key), GOOD_S);
	s->useful_commands = s->smtp.commands;
}

/* ── what is written down ── */

const char *
judge_name(const struct session *s, char to[GATE_TEXT])
{
	const struct gate *g = s->gate;

	to[0] = 0;
	if (g && g->name[0])
		snprintf(to, GATE_TEXT, "%s ", g->name);
	else if (g && g->reverse.was_answered && g->reverse.result == ANSWER_NO)
		snprintf(to, GATE_TEXT, "unknown ");
	return to;
}

const char *
judge_remark(const struct session *s, char to[GATE_TEXT])
{
	to[0] = 0;
	if (s->gate && s->gate->hello_fault)
		snprintf(to, GATE_TEXT, " (says %s)", s->gate->hello_fault);
	return to;
}
