/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"

/*
 * What is tried when. fair.c says whose turn it is; recipients of one mail that stand at the head of that line make
 * an errand.
 *
 *                            errand_try              schedule_outcome, schedule_stored
 *   schedule_add ─▶ in line ─────────▶ under way ─┬─────────▶ delivered
 *                      ▲                          ├─────────▶ failed for good: bounce_begin
 *                      │ road_find, when due      │
 *                      └──────────────────── deferred (schedule_later)
 *
 * What the steps of an attempt say about the hosts is told to the destination's pace; what they say about a
 * recipient concerns that recipient alone.
 */

enum {
	RECIPIENTS_OCTETS = 24 * 1024, /* of an attempt, packed */
	TIMER_MOST_MS = 60000,	       /* the wall clock may be set meanwhile */
	LOCAL_RETRY_MS = 5000,	       /* something of ours failed, not the mail */
};

static struct str
errand_key(const void *member)
{
	const struct errand *e = member;

	return (struct str){ (const char *)&e->number, sizeof e->number };
}

void
schedule_begin(struct queue *q)
{
	q->attempts.key_of = errand_key;
	fair_begin(&q->outbound, q->role.config.limits.outbound);
	fair_begin(&q->inbound, UINT32_MAX);
	destination_start(q);
}

static struct fair *
fair_of(struct queue *q, const struct queue_destination *d)
{
	return d == q->mailboxes ? &q->inbound : &q->outbound;
}

static struct queue_destination *
destination_at(struct destination *d)
{
	return (struct queue_destination *)d; /* its first member */
}

/* ── lines ── */

void
schedule_add(struct queue *q, uint32_t r, struct queue_destination *d)
{
	struct recipient *p = recipient_of(q, r);
	struct line *l = fair_line(fair_of(q, d), mail_of(q, p->mail)->payer, &d->fair);

	if (!l->name)
		l->name = chain_name(q, &l->waiting);
	if (p->is_mailbox) {
		buf_reset(&q->packed);
		recipient_address(q, r, &q->packed);
		p->due = intern_add(&q->texts, buf_str(&q->packed));
	}
	recipient_set_state(q, r, RECIPIENT_IN_LINE);
	chain_append(q, &l->waiting, r);
	p->line = l->name;
	d->fair.waiting_n++;
	fair_ready(fair_of(q, d), l);
	if (p->wish == WISH_PROBE) {
		p->wish = WISH_NONE;
		destination_probe(q, d);
	}
}

static void
line_check_left(struct queue *q, struct line *l)
{
	struct queue_destination *d = destination_at(l->to);

	if (l->waiting.n)
		return;
	if (l->under_way == 0)
		pool_give(&q->chains, l->name);
	destination_used(q, d);
	fair_leave(fair_of(q, d), l);
}

/* The mailbox that vault named is asked for anew next time. */
static void
mailbox_forget(struct queue *q, uint32_t r)
{
	intern_drop(&q->texts, recipient_of(q, r)->due);
	recipient_of(q, r)->due = 0;
}

/* Out of the line; the line itself may be left empty. */
static void
line_take(struct queue *q, struct line *l, uint32_t r)
{
	chain_remove(q, &l->waiting, r);
	recipient_of(q, r)->line = 0;
	l->to->waiting_n--;
}

void
schedule_leave(struct queue *q, uint32_t r, struct line *l)
{
	line_take(q, l, r);
	if (destination_at(l->to) == q->mailboxes)
		mailbox_forget(q, r);
	line_check_left(q, l);
}

/* ── in vain ── */

void
recipient_note_expired(struct queue *q, uint32_t r, const struct err *why, struct str host)
{
	struct err last = *why; /* the words stay: they are why nothing helped */

	last.class = ERR_PERMANENT;
	if (last.kind != ERR_REMOTE)
		last.kind = ERR_EXPIRED;
	recipient_note(q, r, &last, host);
}

static void
give_up(struct queue *q, uint32_t mail, const uint32_t *recipients, uint32_t n)
{
	struct err e;
	struct str host;

	for (uint32_t i = 0; i < n; i++) {
		must(recipient_last(q, recipients[i], &e, &host));
		recipient_note_expired(q, recipients[i], &e, host);
	}
	bounce_begin(q, mail, recipients, n);
}

void
schedule_later(struct queue *q, const uint32_t *recipients, uint32_t n)
{
	const struct config *c = &q->role.config;
	uint32_t still[ERRAND_RECIPIENTS_MAX], still_n = 0;
	uint32_t mail = recipient_of(q, recipients[0])->mail;
	struct str mail_id = { (const char *)&mail_of(q, mail)->id, sizeof(struct mail_id) };
	int64_t now_ms = loop_wall_ms(), due_ms, expire_ms;

	must(n <= ERRAND_RECIPIENTS_MAX);
	for (uint32_t i = 0; i < n; i++) {
		struct recipient *p = recipient_of(q, recipients[i]);

		if (p->tries < UINT16_MAX && (p->wish != WISH_PROBE || p->tries == 0))
			p->tries++; /* one by hand makes no later pause longer */
		if (!recipient_wished(q, recipients[i]))
			still[still_n++] = recipients[i];
	}
	if (still_n == 0)
		return;
	if (mail_age_ms(q, mail, now_ms) >= c->queue.expire_ms) {
		give_up(q, mail, still, still_n);
		return;
	}
	/* Chance is the mail's own: those that fail in one moment are tried in one moment again, and given up together. */
	due_ms = now_ms + pace_delay_ms(c->queue.retry_first_ms, c->queue.retry_most_ms,
				  recipient_of(q, still[0])->tries,
				  hash_crc32c(recipient_of(q, still[0])->tries, mail_id));
	expire_ms = now_ms + c->queue.expire_ms - mail_age_ms(q, mail, now_ms);
	if (due_ms > expire_ms) /* the last try is then, and its end is told when it was promised */
		due_ms = expire_ms;
	for (uint32_t i = 0; i < still_n; i++)
		recipient_deferred(q, still[i], due_ms);
}

/* Something of ours failed: the recipients are as they were, a little later; but not for ever. A mail that may be why is tried as one that
 * failed elsewhere: later and later. Takes the errand. */
static void
errand_put_off_take(struct queue *q, struct errand *e, const struct err *why, bool is_suspect)
{
	uint32_t mail = e->mail;
	int64_t now_ms = loop_wall_ms();

	log_event("put-off", "why=%s", log_quote(str_of(why->text)));
	for (uint32_t i = 0; i < e->recipients_n; i++)
		recipient_note(q, e->recipients[i], why, (struct str){ 0 });
	if (is_suspect || mail_age_ms(q, mail, now_ms) >= q->role.config.queue.expire_ms) {
		schedule_later(q, e->recipients, e->recipients_n);
	} else {
		for (uint32_t i = 0; i < e->recipients_n; i++) {
			if (recipient_wished(q, e->recipients[i]))
				continue;
			recipient_set_state(q, e->recipients[i], RECIPIENT_DEFERRED);
			wheel_put(q, e->recipients[i], now_ms + LOCAL_RETRY_MS);
		}
	}
	free(e);
	mail_check_settled(q, mail);
}

/* The mail's record is damaged: no later try will read it. Its sender hears of it. */
static void
errand_lose_take(struct queue *q, struct errand *e, const struct err *why)
{
	uint32_t mail = e->mail;

	for (uint32_t i = 0; i < e->recipients_n; i++)
		recipient_note(q, e->recipients[i], why, (struct str){ 0 });
	bounce_begin(q, mail, e->recipients, e->recipients_n);
	free(e);
	mail_check_settled(q, mail);
}

/* ── trying ── */

/* What RCPT said of it, from the record. */
static struct str
original_of(struct queue *q, uint32_t r, struct str dsn)
{
	struct str orcpt = { 0 };
	uint8_t notify;
	uint32_t place = dsn.n ? recipient_root(q, r) : 0;

	for (uint32_t i = 0; i <= place; i++)
		if (!spool_scan_dsn(&dsn, &notify, &orcpt))
			return (struct str){ 0 };
	return orcpt;
}

static void
send_attempt(struct queue *q, struct errand *e, const struct spool_mail *m, int fd)
{
	struct buf recipients = { .max = IPC_TEXT_MAX };
	struct queue_destination *d = destination_at(e->to);

	for (uint32_t i = 0; i < e->recipients_n; i++) {
		buf_reset(&q->packed);
		recipient_address(q, e->recipients[i], &q->packed);
		codec_add_str(&recipients, buf_str(&q->packed));
		codec_add_u8(&recipients, recipient_of(q, e->recipients[i])->notify);
		codec_add_str(&recipients, original_of(q, e->recipients[i], m->envelope.dsn));
	}
	ipc_send_attempt(q->send, &(struct ipc_attempt){ .fd = fd,
					  .attempt = e->number,
					  .flags = mail_of(q, e->mail)->flags,
					  .route = d->route,
					  .hops = d->hops,
					  .reverse_path = mail_sender(q, e->mail),
					  .envid = m->envelope.envid,
					  .recipients = buf_str(&recipients),
					  .message = buf_str(&q->message) });
	buf_free(&recipients);
}

static void
send_delivery(struct queue *q, struct errand *e, int fd)
{
	const struct recipient *p = recipient_of(q, e->recipients[0]);
	const struct mail *mail = mail_of(q, e->mail);
	struct str user, domain;

	str_cut(intern_at(&q->texts, p->due), '@', &user, &domain);
	buf_reset(&q->packed);
	recipient_address(q, e->recipients[0], &q->packed);
	ipc_send_deliver(q->store, &(struct ipc_deliver){ .fd = fd,
					   .attempt = e->number,
					   .id = mail->id,
					   .arrived_ms = mail->arrived_ms,
					   .recipient = p->place,
					   .again = mail->is_old || p->tries > 0,
					   .mailbox = user,
					   .domain = domain,
					   .reverse_path = mail_sender(q, e->mail),
					   .delivered_to = buf_str(&q->packed),
					   .message = buf_str(&q->message) });
}

/* Octets of a recipient in an attempt, at most. */
static size_t
packed_size(const struct queue *q, uint32_t r)
{
	size_t n = recipient_local(q, r).n + recipient_domain(q, r).n + 16;

	return mail_of(q, recipient_of(q, r)->mail)->has_dsn ? n + 512 : n;
}

/* Those at the head of the line that are one mail's. */
static struct errand *
errand_new(struct queue *q, struct line *l)
{
	uint32_t most = destination_at(l->to) == q->mailboxes ? 1 : ERRAND_RECIPIENTS_MAX;
	struct errand *e = calloc(1, sizeof *e + most * sizeof e->recipients[0]);
	size_t octets = 0;
	uint32_t r;

	must(e);
	e->to = l->to;
	e->mail = recipient_of(q, l->waiting.first)->mail;
	while ((r = l->waiting.first) && e->recipients_n < most &&
		recipient_of(q, r)->mail == e->mail) {
		octets += packed_size(q, r);
		if (octets > RECIPIENTS_OCTETS && e->recipients_n)
			break;
		line_take(q, l, r);
		recipient_set_state(q, r, RECIPIENT_UNDER_WAY);
		e->recipients[e->recipients_n++] = r;
	}
	return e;
}

static void
errand_try(struct queue *q, struct fair *f, struct line *l)
{
	struct spool_mail m;
	struct errand *e;
	struct err why = { 0 };
	int fd;

	if (!copy_has_room(q, recipient_of(q, l->waiting.first)->mail)) {
		fair_starve(f, l);
		return;
	}
	e = errand_new(q, l);
	if (!copy_take(q, e->mail, &m, &fd, &why)) {
		if (destination_at(e->to) == q->mailboxes)
			mailbox_forget(q, e->recipients[0]);
		line_check_left(q, l);
		if (why.class == ERR_PERMANENT)
			errand_lose_take(q, e, &why);
		else
			errand_put_off_take(q, e, &why, false);
		return;
	}
	e->line = l;
	fair_started(f, l, loop_now_ms(q->role.loop));
	e->number = ++q->numbers;
	map_put(&q->attempts, e);
	list_append(&destination_at(e->to)->under_way, &e->link);
	if (f == &q->outbound)
		send_attempt(q, e, &m, fd);
	else
		send_delivery(q, e, fd);
	line_check_left(q, l);
}

static void
take_turns(struct queue *q, struct fair *f)
{
	struct line *l;

	while ((l = fair_next(f, loop_now_ms(q->role.loop), loop_wall_ms())))
		errand_try(q, f, l);
}

void
schedule_go(struct queue *q)
{
	int64_t in_ms = TIMER_MOST_MS, out_ms;

	if (q->is_draining || !q->keeper)
		return;
	fair_wake_due(&q->inbound, loop_now_ms(q->role.loop));
	fair_wake_due(&q->outbound, loop_now_ms(q->role.loop));
	if (q->store)
		take_turns(q, &q->inbound);
	if (q->send)
		take_turns(q, &q->outbound);
	in_ms = fair_next_ms(&q->inbound, loop_now_ms(q->role.loop), TIMER_MOST_MS);
	out_ms = fair_next_ms(&q->outbound, loop_now_ms(q->role.loop), TIMER_MOST_MS);
	loop_timer_set(q->timer, in_ms < out_ms ? in_ms : out_ms);
}

/* ── what came of it ── */

static struct errand *
errand_finish(struct queue *q, uint64_t number)
{
	struct errand *e =
		map_remove(&q->attempts, (struct str){ (const char *)&number, sizeof number });

	if (!e)
		return NULL; /* given up when its peer was lost */
	list_remove(&e->link);
	if (destination_at(e->to) == q->mailboxes)
		mailbox_forget(q, e->recipients[0]);
	copy_drop(q, e->mail);
	return e;
}

static void
errand_ended(struct queue *q, const struct errand *e)
{
	destination_used(q, destination_at(e->to));
	fair_ended(fair_of(q, destination_at(e->to)), e->line);
	line_check_left(q, e->line);
}

/* Of several hosts that were tried an earlier one may have told more, and its words are the outcome. */
static struct str
host_that_said(struct str steps, const struct err *words, struct str last)
{
	struct step s;

	while (step_scan(&steps, &s))
		if (err_is(&s.err) && s.err.code == words->code &&
			strcmp(s.err.text, words->text) == 0)
			return s.host.n ? s.host : s.address;
	return last;
}

/* One err a recipient, in the errand's order; the last host that was tried. Takes the errand. */
static void
errand_settle_take(struct queue *q, struct errand *e, const struct err *outcomes, struct str steps,
	struct str host)
{
	uint32_t done[ERRAND_RECIPIENTS_MAX], later[ERRAND_RECIPIENTS_MAX],
		failed[ERRAND_RECIPIENTS_MAX];
	uint32_t done_n = 0, later_n = 0, failed_n = 0, mail = e->mail;
	bool is_here = destination_at(e->to) == q->mailboxes;

	for (uint32_t i = 0; i < e->recipients_n; i++) {
		uint32_t r = e->recipients[i];

		if (!err_is(&outcomes[i])) {
			recipient_delivered(q, r, host, &outcomes[i]);
			done[done_n++] = r;
			continue;
		}
		recipient_note(q, r, &outcomes[i], host_that_said(steps, &outcomes[i], host));
		if (outcomes[i].class == ERR_PERMANENT)
			failed[failed_n++] = r;
		else
			later[later_n++] = r;
	}
	errand_ended(q, e);
	free(e);
	report_success(q, mail, done, done_n, is_here ? DSN_DELIVERED : DSN_RELAYED);
	if (later_n)
		schedule_later(q, later, later_n);
	if (failed_n)
		bounce_begin(q, mail, failed, failed_n);
	mail_check_settled(q, mail);
	schedule_go(q);
	queue_check_drained(q);
}

void
schedule_outcome(struct queue *q, struct ipc_outcome *m)
{
	struct errand *e = errand_finish(q, m->attempt);
	struct err outcomes[ERRAND_RECIPIENTS_MAX];
	struct str rest = m->outcomes, host;
	uint8_t stage, taken;

	if (!e)
		return;
	for (uint32_t i = 0; i < e->recipients_n; i++) {
		taken = 0;
		if (!codec_scan_u8(&rest, &stage) || !codec_scan_u8(&rest, &taken) ||
			!codec_scan_err(&rest, &outcomes[i]))
			err_set(&outcomes[i], ERR_TEMPORARY, ERR_LOCAL,
				"the attempt ended without a word");
		recipient_of(q, e->recipients[i])->is_reported = taken != 0;
	}
	destination_learn(q, destination_at(e->to), m->steps, &host);
	queue_note_attempt(q, e->mail, e->recipients, e->recipients_n, m->steps);
	errand_settle_take(q, e, outcomes, m->steps, host);
}

void
schedule_stored(struct queue *q, struct ipc_stored *m)
{
	struct errand *e = errand_finish(q, m->attempt);
	struct str rest = m->outcome;
	struct err outcome;

	if (!e)
		return;
	if (!codec_scan_err(&rest, &outcome))
		err_set(&outcome, ERR_TEMPORARY, ERR_LOCAL, "the delivery ended without a word");
	errand_settle_take(q, e, &outcome, S(""), S("mailbox"));
}

void
schedule_peer_lost(struct queue *q, bool is_store)
{
	struct queue_destination *d;
	struct err why;

	err_set(&why, ERR_TEMPORARY, ERR_LOCAL, "the %s process was restarted during the attempt",
		is_store ? "store" : "send");
	for (size_t at = 0; (d = destination_next(q, &at));) {
		if ((d == q->mailboxes) != is_store)
			continue;
		while (!list_is_empty(&d->under_way)) {
			struct errand *e = errand_finish(
				q, list_of(d->under_way.next, struct errand, link)->number);
			bool is_suspect = mail_of(q, e->mail)->is_old; /* not the first time */

			mail_of(q, e->mail)->is_old = true;
			errand_ended(q, e);
			errand_put_off_take(q, e, &why, is_suspect);
		}
	}
	schedule_go(q);
}

void
schedule_configured(struct queue *q)
{
	q->outbound.most = q->role.config.limits.outbound;
	destination_configured(q);
	road_configured(q);
	wheel_look_anew(q);
}

bool
schedule_is_idle(const struct queue *q)
{
	return q->attempts.used == 0;
}
