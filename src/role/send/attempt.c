/* SPDX-License-Identifier: Apache-2.0 */
#include "role/send/attempt.h"

#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

/*
 * One delivery in the order in which it happens:
 *
 *   attempt_begin       what the queue asked for (attempt_asked.c)
 *   attempt_go_on ◀────┐ the next hop: a warm link to it, or a new one (link.c)
 *   attempt_hop_failed ┤ it cannot be reached or does not want to talk
 *   attempt_settle ────┘ every recipient has its outcome: the hop has decided, or puts all of them
 *                        off and another one may take them
 *   attempt_report       a hop has decided, or none is left: the outcome of every recipient goes to
 *                        the queue, with a step for each hop that was tried
 *
 * RFC 5321 §5.1 has the hops tried in order "until a delivery attempt succeeds". What decides sooner
 * (another_hop_may_help):
 *
 *  1. A yes or a 5yz, to one recipient or to all, behind the login. A no is for good: asking other
 *     hosts of the same domain until one says yes is what spammers do.
 *  2. The end of the message, once it was said: what was answered to it, or that nothing was. The
 *     host may have the message, and must not get it from two sides (RFC 1047).
 *  3. A second hop that puts recipients off at RCPT: the first may have been full or in trouble,
 *     two of one mind (greylisting, a mailbox over its quota) speak for the domain.
 *  4. The deadline: an hour, and time for the size. Any hop may be as slow as RFC 5321 §4.5.3.2 lets
 *     it be at each word, but not at all of them, or a few of them would hold our connections for
 *     ever.
 *
 * When no hop was asked to take the mail, the attempt has failed for good only if every one of them
 * said so.
 *
 * A login of ours that is wrong, or that is wanted and not given, is never for good: the fault is in
 * the file, not in the mail, which waits until it is mended (blame_login).
 *
 * The road is the queue's order. When the queue that gave it is gone (link_queue_lost), the next one
 * gives it anew, and numbers its attempts anew: those that are before the end of the message are
 * dropped, the others end without a word to anybody.
 *
 * The order is the road's, with those that failed lately behind the others (health.c), and of hosts
 * that are equal another one first each time. Of the addresses of the host whose turn it is, one with a
 * warm link is taken.
 *
 * A link that was warm may be dead without our knowing: when it breaks, or the peer says 421, before
 * it has answered a word about the mail, the attempt opens a new one to the same hop, once.
 */

static void attempt_go_on(struct attempt *a);

void
attempt_begin(struct send *s, struct ipc_attempt *m)
{
	struct attempt *a = attempt_new(s, m);
	struct err e = { 0 };

	if (m->fd >= 0)
		close(m->fd);
	s->attempts_n++;
	if (a->message.n == 0)
		err_set(&e, ERR_TEMPORARY, ERR_LOCAL, "the mail's copy cannot be read");
	else if (a->hops_n == 0 || a->asked.recipients_n == 0)
		err_set(&e, ERR_TEMPORARY, ERR_LOCAL, "the attempt has no host or no recipient");
	if (err_is(&e) || !attempt_has_its_route(a, &e))
		attempt_fail(a, &e);
	else
		attempt_go_on(a);
}

/* ── Which hop is next ───────────────────────────────────────────────────────────────────────── */

static struct road_hop *
next_hop(const struct attempt *a)
{
	const struct send *s = a->house;
	int64_t now_ms = loop_now_ms(s->role.loop);
	enum health_standing best_standing = HEALTH_DEAD, standing;
	struct road_hop *best = NULL;

	for (size_t i = 0; i < a->hops_n; i++) {
		struct road_hop *h = &a->hops[i];

		if (h->was_tried)
			continue;
		standing = health_look(&s->health, h->text, h->hop.family, now_ms);
		if (!best || standing < best_standing) {
			best = h;
			best_standing = standing;
		}
	}
	return best;
}

bool
attempt_has_other_hop(const struct attempt *a)
{
	for (size_t i = 0; i < a->hops_n; i++)
		if (!a->hops[i].was_tried)
			return true;
	return false;
}

void
attempt_note_tls(struct attempt *a, struct str tls)
{
	a->tls = attempt_dup(a, tls);
}

int64_t
attempt_left_ms(const struct attempt *a)
{
	int64_t left_ms = a->deadline_ms - loop_now_ms(a->house->role.loop);

	return left_ms > 0 ? left_ms : 0;
}

static void
attempt_take_hop(struct attempt *a, struct road_hop *h)
{
	a->at = h;
	a->tls = S("");
	h->was_tried = true;
	a->step_began_ms = loop_now_ms(a->house->role.loop);
	attempt_rewind(a);
}

/* False: that hop's host has no warm link. */
static bool
attempt_use_warm(struct attempt *a, const struct hop *turn)
{
	for (size_t i = 0; !a->was_reopened && i < a->hops_n; i++) {
		struct road_hop *h = &a->hops[i];
		struct link *l = NULL;

		if (!h->was_tried && h->hop.preference == turn->preference &&
			str_eq(h->hop.host, turn->host))
			l = link_warm(a->house, h->key);
		if (!l)
			continue;
		attempt_take_hop(a, h);
		link_hand_over(l, a);
		return true;
	}
	return false;
}

/* ── What came of it ─────────────────────────────────────────────────────────────────────────── */

static void
note_step(struct attempt *a, const struct err *e, enum smtp_stage stage)
{
	int64_t took_ms = loop_now_ms(a->house->role.loop) - a->step_began_ms;

	step_add(&a->steps, &(struct step){ .host = a->at->hop.host,
				    .address = a->at->text,
				    .stage = (uint8_t)stage,
				    .took_ms = (uint32_t)took_ms,
				    .tls = a->tls,
				    .err = *e });
}

static void
note_failure(struct attempt *a, const struct err *e, enum smtp_stage stage)
{
	note_step(a, e, stage);
	if (a->why.class == ERR_TEMPORARY)
		return;
	a->why = *e;
	a->why_stage = stage;
}

/* Of hosts that the file does not name nobody here has a login: their 530 is theirs to explain. */
static bool
is_about_login(const struct attempt *a, const struct err *e, enum smtp_stage stage)
{
	const struct config_route *route = attempt_route(a);

	if (e->class != ERR_PERMANENT)
		return false;
	return stage == STAGE_AUTH || (e->code == 530 && stage >= STAGE_MAIL && route &&
					      route->via.text.n); /* RFC 4954 §6 */
}

/* The head's last law: e becomes our own fault, with the host's words behind ours. */
static bool
blame_login(const struct attempt *a, struct err *e, enum smtp_stage stage)
{
	char said[sizeof e->text + 16] = "";

	if (!is_about_login(a, e, stage))
		return false;
	if (e->code)
		snprintf(said, sizeof said, "%u ", e->code);
	snprintf(said + strlen(said), sizeof said - strlen(said), "%.120s", e->text);
	if (stage == STAGE_AUTH)
		err_set(e, ERR_TEMPORARY, ERR_LOGIN_REFUSED,
			"this station's login is not taken: %s", said);
	else
		err_set(e, ERR_TEMPORARY, ERR_LOGIN_NEEDED,
			"this station must log in, or encrypt, first: %s", said);
	return true;
}

static void
log_blame(const struct attempt *a, const struct err *e)
{
	const struct config_route *route = attempt_route(a);

	log_event("login-refused", "host=%s route=%s file=%s why=%s", log_quote(a->at->hop.host),
		log_quote(a->route), log_quote(route ? route->login_file : S("")),
		log_quote(str_of(e->text)));
}

void
attempt_drop(struct attempt *a)
{
	struct send *s = a->house;

	attempt_free(&a);
	s->attempts_n--;
	if (s->is_draining && s->attempts_n == 0)
		role_exit(&s->role, 0);
}

static void
attempt_report(struct attempt *a)
{
	struct buf outcomes = { .max = IPC_TEXT_MAX };

	for (size_t i = 0; i < a->asked.recipients_n; i++) {
		must(a->outcomes[i].is_settled);
		codec_add_u8(&outcomes, (uint8_t)a->outcomes[i].stage);
		codec_add_u8(&outcomes, a->outcomes[i].dsn_taken);
		codec_add_err(&outcomes, &a->outcomes[i].err);
	}
	if (!a->is_orphan) /* or another queue would take it for the outcome of its own */
		ipc_send_outcome(a->house->queue, &(struct ipc_outcome){ .fd = -1,
							  .attempt = a->number,
							  .steps = buf_str(&a->steps),
							  .outcomes = buf_str(&outcomes) });
	buf_free(&outcomes);
	attempt_drop(a);
}

/* Every recipient gets the same: no hop was told of the mail. */
static void
report_for_all(struct attempt *a, const struct err *e, enum smtp_stage stage)
{
	for (size_t i = 0; i < a->asked.recipients_n; i++)
		a->outcomes[i] =
			(struct smtp_outcome){ .err = *e, .stage = stage, .is_settled = true };
	attempt_report(a);
}

void
attempt_fail(struct attempt *a, const struct err *e)
{
	report_for_all(a, e, STAGE_CONNECT);
}

/* 421 is about the host, not about the recipient (RFC 5321 §3.8). */
static bool
is_deferred_at_rcpt(const struct attempt *a)
{
	for (size_t i = 0; i < a->asked.recipients_n; i++)
		if (a->outcomes[i].stage == STAGE_RCPT && a->outcomes[i].err.kind == ERR_REMOTE &&
			a->outcomes[i].err.code != 421)
			return true;
	return false;
}

/* The laws at the head. */
static bool
another_hop_may_help(const struct attempt *a, bool may_be_delivered)
{
	if (may_be_delivered || a->is_orphan || !attempt_has_other_hop(a) || !attempt_left_ms(a))
		return false;
	for (size_t i = 0; i < a->asked.recipients_n; i++)
		if (a->outcomes[i].err.class != ERR_TEMPORARY || a->outcomes[i].stage == STAGE_END)
			return false;
	return !a->was_deferred || !is_deferred_at_rcpt(a);
}

static void
keep_what_was_said(struct attempt *a)
{
	size_t n = a->asked.recipients_n * sizeof a->outcomes[0];

	if (a->said)
		return;
	a->said = attempt_take(a, n);
	memcpy(a->said, a->outcomes, n);
}

/* The hop's step is what it said of the first recipient that it took, or else of the first. */
void
attempt_settle(struct attempt *a, bool may_be_delivered)
{
	const struct smtp_outcome *telling = &a->outcomes[0];
	const struct err *blamed = NULL;

	for (size_t i = 0; i < a->asked.recipients_n; i++)
		if (blame_login(a, &a->outcomes[i].err, a->outcomes[i].stage))
			blamed = &a->outcomes[i].err;
	if (blamed)
		log_blame(a, blamed);
	for (size_t i = 0; i < a->asked.recipients_n && err_is(&telling->err); i++)
		if (!err_is(&a->outcomes[i].err))
			telling = &a->outcomes[i];
	if (!another_hop_may_help(a, may_be_delivered)) {
		note_step(a, &telling->err, telling->stage);
		attempt_report(a);
		return;
	}
	a->was_deferred |= is_deferred_at_rcpt(a);
	keep_what_was_said(a);
	note_failure(a, &telling->err, telling->stage);
	attempt_go_on(a);
}

/* No hop is left: what one of them said of the recipients tells more than why another was not
 * reached. */
static void
attempt_give_up(struct attempt *a)
{
	if (!a->said) {
		report_for_all(a, &a->why, a->why_stage);
		return;
	}
	memcpy(a->outcomes, a->said, a->asked.recipients_n * sizeof a->outcomes[0]);
	attempt_report(a);
}

/* Tries hop after hop, until one takes longer than this call or none is left. */
static void
attempt_go_on(struct attempt *a)
{
	struct road_hop *h;
	struct err e;

	while (attempt_left_ms(a) && (h = next_hop(a))) {
		if (attempt_use_warm(a, &h->hop))
			return;
		attempt_take_hop(a, h);
		if (link_open(a, &e))
			return;
		note_failure(a, &e, STAGE_CONNECT);
	}
	attempt_give_up(a);
}

void
attempt_hop_failed(struct attempt *a, const struct err *e, enum smtp_stage stage)
{
	struct err blamed = *e;

	if (blame_login(a, &blamed, stage))
		log_blame(a, &blamed);
	note_failure(a, &blamed, stage);
	attempt_go_on(a);
}

/* A new connection to the same hop. */
static void
attempt_open_again(struct attempt *a)
{
	struct err e;

	a->tls = S("");
	attempt_rewind(a);
	if (link_open(a, &e))
		return;
	note_failure(a, &e, STAGE_CONNECT);
	attempt_go_on(a);
}

void
attempt_reopen(struct attempt *a)
{
	a->was_reopened = true;
	attempt_open_again(a);
}

void
attempt_go_clear(struct attempt *a, const struct err *e, enum smtp_stage stage)
{
	note_step(a, e, stage);
	a->step_began_ms = loop_now_ms(a->house->role.loop);
	attempt_open_again(a);
}
