/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/log.h"
#include "base/must.h"
#include "io/token.h"

/*
 * A mail is in the index from the moment its record is read until every recipient has a final fate:
 *
 *   NEW ──road_find──▶ WAITING ──recipient_delivered──▶ DELIVERED
 *    │ ▲                │ │
 *    │ └──── when due ──┘ └──bounce_begin──▶ BOUNCING ──recipient_failed──▶ FAILED
 *    │                                          ▲
 *    ├──no road leads there: bounce_begin───────┘
 *    └──recipient_expanded──▶ EXPANDED, and its children are NEW
 *
 * Each arrow into a final state, and each deferral, is a fate in the log. Final states never change.
 */

enum {
	TOKEN_AGE_MAX_MS = 24 * 3600 * 1000, /* from the login to the mail: the longest session */
	RECIPIENTS_MOST = 100000,	     /* of a mail, members of aliases included */
};

static struct str
owned(struct str s)
{
	char *p = malloc(s.n + 1);

	must(p);
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return (struct str){ p, s.n };
}

static void
disown(struct str *s)
{
	free((char *)(uintptr_t)s->p);
	*s = (struct str){ 0 };
}

static void
mail_free(struct mail **mail)
{
	struct mail *m = *mail;

	*mail = NULL;
	for (uint32_t i = 0; i < m->recipients_n; i++) {
		disown(&m->recipients[i].address);
		disown(&m->recipients[i].mailbox);
		disown(&m->recipients[i].host);
		free(m->recipients[i].last);
	}
	free(m->recipients);
	disown(&m->reverse_path);
	free(m);
}

static uint32_t
recipient_add(struct mail *mail, struct str address, bool is_child)
{
	uint32_t n = mail->recipients_n;

	if ((n & (n - 1)) == 0) { /* full: the room is always the next power of two */
		mail->recipients = realloc(
			mail->recipients, (n ? 2 * (size_t)n : 1) * sizeof *mail->recipients);
		must(mail->recipients);
	}
	mail->recipients[n] = (struct recipient){ .address = owned(address), .is_child = is_child };
	mail->recipients_n++;
	mail->open_n++;
	return n;
}

static void
recipient_close(struct mail *mail, uint32_t i, enum recipient_state state)
{
	must(i < mail->recipients_n && mail->recipients[i].state < RECIPIENT_FAILED);
	mail->recipients[i].state = state;
	mail->open_n--;
}

void
recipient_note(struct recipient *r, const struct err *why, struct str host)
{
	if (!r->last)
		r->last = malloc(sizeof *r->last);
	must(r->last);
	*r->last = *why;
	if (!str_eq(r->host, host)) {
		disown(&r->host);
		r->host = owned(host);
	}
}

static void
fate_add(struct queue *q, const struct mail *mail, uint32_t i, enum fate_kind kind, int64_t due_ms,
	struct str children)
{
	const struct recipient *r = &mail->recipients[i];

	keeper_add_fate(q->keeper, &(struct fate){ .kind = kind,
					   .id = mail->id,
					   .recipient = i,
					   .at_ms = loop_wall_ms(),
					   .due_ms = due_ms,
					   .tries = r->tries,
					   .why = r->last ? *r->last : (struct err){ 0 },
					   .host = r->host,
					   .children = children });
}

/* ── coming into the index ── */

/* A mail leaves this house only with vault's word for its login, or the receiver's that it came from a trusted network or our own socket: a
 * receiver that was taken over cannot invent a login, but such a network it can. */
static bool
may_relay(struct queue *q, const struct spool_envelope *e)
{
	struct str login;

	if (e->flags & (SPOOL_TRUSTED | SPOOL_OWN))
		return true;
	return token_verify(
		       buf_str(&q->token_key), e->token, e->arrived_ms, TOKEN_AGE_MAX_MS, &login) &&
	       str_eq(login, e->login);
}

/* The members of an alias as its fate names them: the place of the first, then 'M' or 'A' and the
 * address, each. */
static void
children_add(struct mail *mail, struct str children)
{
	struct str target;
	uint32_t first;

	if (!codec_scan_u32(&children, &first) || first > RECIPIENTS_MOST)
		return;
	while (mail->recipients_n <
		first) /* other aliases' members, whose fate comes later in the log's order */
		recipient_add(mail, (struct str){ 0 }, true);
	for (uint32_t i = first; codec_scan_str(&children, &target) && i < RECIPIENTS_MOST; i++) {
		if (i == mail->recipients_n)
			recipient_add(mail, (struct str){ 0 }, true);
		disown(&mail->recipients[i].address);
		mail->recipients[i].address = owned(str_from(target, 1));
		if (target.n && target.p[0] == 'M')
			mail->recipients[i].mailbox = owned(str_from(target, 1));
	}
}

/* What the log said of this mail before this start: first who its recipients are, then what became
 * of them. */
static void
apply_history(struct queue *q, struct mail *mail)
{
	struct fate f;
	size_t at = 0;

	while (keeper_next_fate(q->keeper, mail->id, &at, &f))
		if (f.kind == FATE_EXPANDED)
			children_add(mail, f.children);
	for (at = 0; keeper_next_fate(q->keeper, mail->id, &at, &f);) {
		mail->is_old = true;
		if (f.recipient >= mail->recipients_n ||
			mail->recipients[f.recipient].state >= RECIPIENT_FAILED)
			continue;
		mail->recipients[f.recipient].tries = f.tries;
		switch (f.kind) {
		case FATE_DELIVERED:
			recipient_close(mail, f.recipient, RECIPIENT_DELIVERED);
			break;
		case FATE_FAILED:
			recipient_close(mail, f.recipient, RECIPIENT_FAILED);
			break;
		case FATE_EXPANDED:
			recipient_close(mail, f.recipient, RECIPIENT_EXPANDED);
			break;
		case FATE_DEFERRED:
			mail->recipients[f.recipient].due_ms = f.due_ms;
			recipient_note(&mail->recipients[f.recipient], &f.why, f.host);
			break;
		case FATE_HELD:
			break;
		}
	}
}

void
mail_index(struct queue *q, const struct spool_mail *m, uint64_t segment, uint64_t at)
{
	struct str packed = m->envelope.recipients, address;
	struct mail *mail;

	if (keeper_is_settled(q->keeper, m->envelope.id) ||
		map_get(&q->mails,
			(struct str){ (const char *)&m->envelope.id, sizeof m->envelope.id }))
		return;
	mail = calloc(1, sizeof *mail);
	must(mail);
	*mail = (struct mail){ .id = m->envelope.id,
		.segment = segment,
		.at = at,
		.big = m->big,
		.size = m->prefix.n + (m->big ? m->big_size : m->message.n),
		.arrived_ms = m->envelope.arrived_ms,
		.flags = m->envelope.flags,
		.may_relay = may_relay(q, &m->envelope),
		.is_old = !q->history_is_forgotten,
		.reverse_path = owned(m->envelope.reverse_path) };
	while (codec_scan_str(&packed, &address))
		recipient_add(mail, address, false);
	apply_history(q, mail);
	map_put(&q->mails, mail);
	keeper_pin(q->keeper, segment);
	if (mail->big)
		queue_big_is_named(q, mail->big);
	for (uint32_t i = 0; i < mail->recipients_n; i++)
		if (mail->recipients[i].state == RECIPIENT_NEW &&
			mail->recipients[i].due_ms > loop_wall_ms())
			schedule_wait(q, mail, &i, 1, mail->recipients[i].due_ms);
		else if (mail->recipients[i].state == RECIPIENT_NEW)
			road_find(q, mail, i);
	mail_check_settled(q, mail);
}

/* ── leaving it ── */

void
mail_check_settled(struct queue *q, struct mail *mail)
{
	char id[MAIL_ID_TEXT];

	if (mail->open_n)
		return;
	log_event("settled", "id=%s", mail_id_text(mail->id, id));
	keeper_release(q->keeper, mail->segment, mail->id, mail->big);
	map_remove(&q->mails, (struct str){ (const char *)&mail->id, sizeof mail->id });
	mail_free(&mail);
}

void
recipient_delivered(
	struct queue *q, struct mail *mail, uint32_t i, struct str host, const struct err *words)
{
	struct recipient *r = &mail->recipients[i];
	char id[MAIL_ID_TEXT];

	recipient_note(r, words, host);
	log_event("delivered", "id=%s to=%s host=%s code=%u", mail_id_text(mail->id, id),
		log_quote(r->address), log_quote(host), words->code);
	fate_add(q, mail, i, FATE_DELIVERED, 0, (struct str){ 0 });
	recipient_close(mail, i, RECIPIENT_DELIVERED);
}

void
recipient_failed(struct queue *q, struct mail *mail, uint32_t i)
{
	struct recipient *r = &mail->recipients[i];
	char id[MAIL_ID_TEXT];

	log_event("failed", "id=%s to=%s host=%s why=%s", mail_id_text(mail->id, id),
		log_quote(r->address), log_quote(r->host), log_quote(str_of(r->last->text)));
	fate_add(q, mail, i, FATE_FAILED, 0, (struct str){ 0 });
	recipient_close(mail, i, RECIPIENT_FAILED);
}

void
recipient_deferred(struct queue *q, struct mail *mail, uint32_t i, int64_t due_ms)
{
	struct recipient *r = &mail->recipients[i];
	char id[MAIL_ID_TEXT];

	r->due_ms = due_ms;
	log_event("deferred", "id=%s to=%s host=%s tries=%u next_s=%lld why=%s",
		mail_id_text(mail->id, id), log_quote(r->address), log_quote(r->host), r->tries,
		(long long)((due_ms - loop_wall_ms()) / 1000), log_quote(str_of(r->last->text)));
	fate_add(q, mail, i, FATE_DEFERRED, due_ms, (struct str){ 0 });
}

/* The alias is done with: `targets` are what it stands for, as the message `expanded` has them.
 * They are recipients of their own from now on, and the same ones after a crash. */
bool
recipient_expanded(struct queue *q, struct mail *mail, uint32_t i, struct str targets)
{
	struct buf children = { .max = IPC_PACKET_MAX };
	uint32_t first = mail->recipients_n, n = 0;

	for (struct str rest = targets, target; codec_scan_str(&rest, &target);)
		n++;
	if (n > RECIPIENTS_MOST - first)
		return false;
	codec_add_u32(&children, first);
	buf_add(&children, targets);
	fate_add(q, mail, i, FATE_EXPANDED, 0, buf_str(&children));
	recipient_close(mail, i, RECIPIENT_EXPANDED);
	children_add(mail, buf_str(&children));
	buf_free(&children);
	for (uint32_t child = first; child < mail->recipients_n; child++)
		road_find(q, mail, child);
	return true;
}
