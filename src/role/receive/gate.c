/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/gate.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/must.h"

/*
 * Manners at the gate. Who is trusted, logged in, or this machine itself, is spared all of it; people at submission
 * doors keep to the limits alone.
 *
 *   connection        behalf.c: whose it is
 *   gate_enter        limits by address and network
 *   gate_greet        the pause; who speaks before the greeting is turned away
 *   judge_hello       what it calls itself is looked at; the questions of inquiry.c go out, all at once
 *   judge_recipient   at each RCPT: waits for the answers, then one verdict (judge.c), so that a refusal is logged with
 *                     the mail that it concerned, and who logs in first is never judged
 *
 * Patience is for requests, not for octets: a command must be whole within it, a message must keep a least pace.
 * The fuller the house, the less of it strangers have, and those who have brought mail before come in to the last.
 */

enum {
	EARLY_MOST = 65536,  /* octets before the greeting that are thrown away */
	SHAKE_MS = 30000,    /* a TLS handshake */
	MESSAGE_MS = 600000, /* a message may take so long, and a second more for each … */
	SLOWEST = 1024,	     /* … octets (RFC 5321 §4.5.3.2.5 has minutes a block) */
	HOUR_S = 3600,
	DAY_S = 24 * HOUR_S,
};

/* ── whom it concerns ── */

const struct config *
gate_config(const struct session *s)
{
	return &s->house->role.config;
}

bool
gate_is_stranger(const struct session *s)
{
	return !s->is_local && !s->is_spared && !s->smtp.is_logged_in;
}

int64_t
gate_now_s(void)
{
	return loop_wall_ms() / 1000;
}

static enum manners_stress
stress(const struct session *s)
{
	return manners_stress(s->house->sessions_n, gate_config(s)->limits.connections);
}

void
gate_remember(struct session *s, enum crowd_kind kind, struct str key, uint32_t for_s)
{
	uint32_t now = (uint32_t)gate_now_s();

	crowd_remember(s->house->crowd, kind, key,
		&(struct crowd_memory){ .since_s = now, .until_s = now + for_s });
}

/* So often this hour. */
uint32_t
gate_count(const struct session *s, enum crowd_kind kind, uint32_t more)
{
	char key[MANNERS_KEY];

	return crowd_count(s->house->crowd, kind, manners_key(&s->at, MANNERS_CLIENT, key), HOUR_S,
		gate_now_s(), more);
}

/* ── limits ── */

static bool
is_good(const struct session *s)
{
	char key[MANNERS_KEY];
	struct crowd_memory m;

	return crowd_recall(s->house->crowd, CROWD_GOOD, manners_key(&s->at, MANNERS_SENDER, key),
		gate_now_s(), &m);
}

static bool
is_crowded(const struct session *s, enum manners_scope scope, uint32_t most)
{
	char key[MANNERS_KEY];

	return most && crowd_here(s->house->crowd, manners_key(&s->at, scope, key)) >= most;
}

static const char *
why_unwelcome(const struct session *s)
{
	const struct config *c = gate_config(s);

	if (is_crowded(s, MANNERS_CLIENT, c->gate.connections))
		return "too many connections from your address at once, please try again later";
	if (is_crowded(s, MANNERS_NETWORK, c->gate.network))
		return "too many connections from your network at once, please try again later";
	if (s->is_submission)
		return NULL;
	if (gate_count(s, CROWD_FAULT, 0) >= MANNERS_FAULTS_HOURLY)
		return "too many of your sessions went wrong, please try again in an hour";
	if (c->gate.unknown && gate_count(s, CROWD_UNKNOWN, 0) >=
				       c->gate.unknown * (uint64_t)MANNERS_UNKNOWN_HOURLY)
		return "too many recipients that nobody here is, please try again in an hour";
	if (stress(s) == STRESS_FULL && !is_good(s))
		return "we are nearly full, please try again later";
	return NULL;
}

static void
count_connection(struct session *s, void (*deed)(struct crowd *c, struct str key))
{
	char key[MANNERS_KEY];

	deed(s->house->crowd, manners_key(&s->at, MANNERS_CLIENT, key));
	deed(s->house->crowd, manners_key(&s->at, MANNERS_NETWORK, key));
}

/* ── waiting ── */

enum turn
gate_wait(struct session *s)
{
	must(s->ask.state == ASK_NONE);
	s->ask.state = ASK_WAITING;
	s->ask.number = ASK_GATE;
	return WAIT;
}

bool
gate_hurry(struct session *s)
{
	if (s->ask.state != ASK_WAITING || s->ask.number != ASK_GATE)
		return false;
	s->ask.state = ASK_ANSWERED;
	return true;
}

/* The session goes on, where it waits for the gate. */
void
gate_wake(struct session *s)
{
	if (gate_hurry(s))
		session_run(s);
}

/* ── coming and going ── */

/* The session ends for what its client did. */
static void
note_fault(struct session *s)
{
	if (!s->gate || s->gate->has_fault)
		return;
	s->gate->has_fault = true;
	gate_count(s, CROWD_FAULT, 1);
}

void
gate_enter(struct session *s, struct str name)
{
	s->unwelcome = NULL;
	s->is_spared = s->is_local || manners_spare(gate_config(s), &s->at);
	if (s->is_spared)
		return;
	s->unwelcome = why_unwelcome(s);
	count_connection(s, crowd_enter);
	s->is_counted = true;
	if (s->is_submission || s->unwelcome || s->is_refused)
		return;
	s->gate = calloc(1, sizeof *s->gate);
	must(s->gate);
	if (domain_is_valid(name, false))
		snprintf(s->gate->name, sizeof s->gate->name, "%.*s", STR_ARG(name));
}

void
gate_leave(struct session *s)
{
	struct gate *g = s->gate;

	if (s->is_counted)
		count_connection(s, crowd_leave);
	s->is_counted = false;
	if (!g)
		return;
	if (s->smtp.bad_commands > SMTP_BAD_COMMANDS_MAX)
		note_fault(s);
	inquiry_drop_all(s);
	loop_timer_close(&g->pause);
	free(g);
	s->gate = NULL;
}

/* ── before the greeting ── */

static void
pause_is_over(void *owner)
{
	struct session *s = owner;

	loop_timer_close(&s->gate->pause);
	gate_wake(s);
}

static bool
must_wait(const struct session *s)
{
	char key[MANNERS_KEY];
	struct crowd_memory m;

	return gate_config(s)->gate.pause_ms > 0 &&
	       !crowd_recall(s->house->crowd, CROWD_WAITED,
		       manners_key(&s->at, MANNERS_CLIENT, key), gate_now_s(), &m);
}

/* Throws away what it said, so that closing the connection does not take our words back. */
static bool
has_spoken(struct session *s, bool *has_gone)
{
	char octets[4096];
	ssize_t n = recv(s->stream.fd, octets, sizeof octets, MSG_PEEK | MSG_DONTWAIT);

	*has_gone = n == 0 || (n < 0 && errno != EAGAIN);
	if (n <= 0)
		return false;
	for (size_t left = EARLY_MOST; left && n > 0; left -= sizeof octets)
		n = recv(s->stream.fd, octets, sizeof octets, MSG_DONTWAIT);
	return true;
}

enum turn
gate_greet(struct session *s, struct err *e)
{
	char key[MANNERS_KEY];
	bool has_gone;

	if (!s->gate)
		return NEXT;
	if (s->ask.state == ASK_NONE && must_wait(s)) {
		s->gate->pause = loop_timer_open(s->house->role.loop, pause_is_over, s);
		loop_timer_set(s->gate->pause, gate_config(s)->gate.pause_ms);
		return gate_wait(s);
	}
	if (has_spoken(s, &has_gone)) {
		note_fault(s);
		err_set(e, ERR_PERMANENT, ERR_REFUSED, "you spoke before our greeting");
		s->is_over = true;
		return NEXT;
	}
	if (has_gone)
		return DONE;
	if (s->ask.state == ASK_ANSWERED)
		gate_remember(s, CROWD_WAITED, manners_key(&s->at, MANNERS_CLIENT, key), DAY_S);
	return NEXT;
}

/* ── patience ── */

bool
gate_has_enough(struct session *s, struct err *e)
{
	unsigned errors_most = manners_errors_most(stress(s));
	bool has_lines = s->smtp.commands - s->useful_commands > MANNERS_LINES_MOST;
	bool has_errors = errors_most && s->smtp.bad_commands > errors_most;

	if (!gate_is_stranger(s) || (!has_lines && !has_errors))
		return false;
	note_fault(s);
	err_set(e, ERR_TEMPORARY, ERR_TOO_MANY_ERRORS,
		has_lines ? "too many commands and no mail" : "too many errors");
	return true;
}

/* A line that was worked off, or a handshake, begins the next request; octets alone do not. Those of a message do,
 * as long as it keeps its pace. */
void
gate_heard(struct session *s)
{
	unsigned progress = s->smtp.commands + s->smtp.is_secure;
	int64_t now_ms = loop_now_ms(s->house->role.loop);

	if (progress != s->progress || s->draft)
		s->heard_ms = now_ms;
	s->progress = progress;
	if (s->draft && !s->message_ms)
		s->message_ms = now_ms;
}

const char *
gate_late(const struct session *s, int64_t now_ms)
{
	int64_t patience_ms = gate_config(s)->limits.idle_ms, silent_ms = now_ms - s->heard_ms;
	int64_t message_ms = MESSAGE_MS + (int64_t)(s->smtp.transaction.size / SLOWEST) * 1000;

	if (gate_is_stranger(s))
		patience_ms = manners_patience_ms(stress(s), patience_ms);
	if (s->is_shaking && patience_ms > SHAKE_MS)
		patience_ms = SHAKE_MS;
	if (s->awaits_proxy && patience_ms > PREFACE_MOST_MS)
		patience_ms = PREFACE_MOST_MS;
	if (silent_ms > patience_ms)
		return "idle too long";
	if (s->draft && s->message_ms && now_ms - s->message_ms > message_ms)
		return "this message takes too long";
	return NULL;
}
