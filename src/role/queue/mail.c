/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/log.h"
#include "base/must.h"
#include "io/token.h"

/*
 * A mail is in the index from the moment its record is read until every recipient has a final fate:
 *
 *   NEW ──road_find──▶ IN_LINE ──▶ UNDER_WAY ──recipient_delivered──▶ DELIVERED
 *    │ ▲  (ASKED)         │            │
 *    │ └──when due── DEFERRED ◀────────┤
 *    │                                 └──bounce_begin──▶ BOUNCING ──recipient_failed──▶ FAILED
 *    ├──no road leads there, or it waited too long: bounce_begin──┘
 *    └──recipient_expanded──▶ EXPANDED, and its children are NEW
 *
 *   hand.c: any that waits ──▶ HELD ──▶ NEW
 *
 * Each arrow into a final state, and each one into DEFERRED and HELD, is a fate in the log. Final states
 * never change.
 */

enum {
	TOKEN_AGE_MAX_MS = 24 * 3600 * 1000, /* from the login to the mail: the longest session */
	RECIPIENTS_MOST = 100000,	     /* of a mail, members of aliases included */
};

/* A fate in the log that says so: the sender was warned. In `children`, which such a fate has no use for. */
#define WARNED S("W")

static void
recipient_close(struct queue *q, uint32_t r, enum recipient_state state)
{
	must(recipient_of(q, r)->state < RECIPIENT_FAILED);
	recipient_set_state(q, r, state);
	mail_of(q, recipient_of(q, r)->mail)->open_n--;
	q->open_n--;
}

static const char *
address_quoted(struct queue *q, uint32_t r)
{
	buf_reset(&q->packed);
	recipient_address(q, r, &q->packed);
	return log_quote(buf_str(&q->packed));
}

static void
fate_add(struct queue *q, uint32_t r, enum fate_kind kind, int64_t due_ms, struct str children)
{
	const struct recipient *p = recipient_of(q, r);
	struct fate f = { .kind = kind,
		.id = mail_of(q, p->mail)->id,
		.recipient = p->place,
		.at_ms = loop_wall_ms(),
		.due_ms = due_ms,
		.tries = p->tries,
		.children = children };

	recipient_last(q, r, &f.why, &f.host);
	q->newest_fate = keeper_add_fate(q->keeper, &f);
	queue_note_fate(q, r, kind, due_ms, children);
}

void
recipient_log(struct queue *q, uint32_t r, enum fate_kind kind, int64_t due_ms)
{
	fate_add(q, r, kind, due_ms,
		mail_of(q, recipient_of(q, r)->mail)->is_warned ? WARNED : (struct str){ 0 });
}

/* ── coming into the index ── */

/* Vault's word for its login: a receiver that was taken over cannot invent one. */
static bool
has_login(struct queue *q, const struct spool_envelope *e)
{
	struct str login;

	return e->login.n &&
	       token_verify(
		       buf_str(&q->token_key), e->token, e->arrived_ms, TOKEN_AGE_MAX_MS, &login) &&
	       str_eq(login, e->login);
}

/* A mail leaves this house only with a login, or the receiver's word that it came from a trusted network or our own socket: such a
 * network can be invented. */
static bool
may_relay(struct queue *q, const struct spool_envelope *e)
{
	return (e->flags & (SPOOL_TRUSTED | SPOOL_OWN)) || has_login(q, e);
}

/* ── members of aliases ── */

/* Of a mail whose sender wants reports (RFC 3461 §5.2.7): who came out of what. In mail_more.families. */
struct family {
	uint32_t alias, first, n; /* places in the envelope; members follow one another */
};

static void
family_add(struct queue *q, uint32_t mail, const struct family *f)
{
	if (mail_of(q, mail)->has_dsn)
		buf_add(&mail_more(q, mail)->families, (struct str){ (const char *)f, sizeof *f });
}

/* Of the member in that place. */
static bool
family_of(struct queue *q, uint32_t mail, uint32_t place, struct family *f)
{
	struct str rest = { 0 };

	if (mail_of(q, mail)->has_more)
		rest = buf_str(&mail_more(q, mail)->families);
	for (; rest.n; rest = str_from(rest, sizeof *f)) {
		memcpy(f, rest.p, sizeof *f);
		if (f->alias < f->first && place >= f->first && place - f->first < f->n)
			return true;
	}
	return false;
}

uint32_t
recipient_root(struct queue *q, uint32_t r)
{
	uint32_t place = recipient_of(q, r)->place;
	struct family f;

	while (family_of(q, recipient_of(q, r)->mail, place, &f))
		place = f.alias;
	return place;
}

/* Of several members no success is told: that of the alias was, when it was expanded. */
static uint32_t
member_notify(uint32_t alias_notify, uint32_t members_n)
{
	if (members_n < 2 || !(alias_notify & DSN_NOTIFY_SUCCESS))
		return alias_notify & 15;
	alias_notify &= DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY;
	return alias_notify ? alias_notify : DSN_NOTIFY_NEVER;
}

/* Found again: what their aliases wanted, which stand before them. */
static void
members_inherit(struct queue *q, uint32_t mail, const struct buf *places)
{
	struct family f;

	for (uint32_t r = 0; (r = recipient_next(q, mail, r));)
		if (family_of(q, mail, recipient_of(q, r)->place, &f))
			recipient_of(q, r)->notify =
				member_notify(recipient_of(q,
						      codec_get_u32(places->p + f.alias * sizeof r))
						      ->notify,
					f.n) &
				15;
}

/* The members of an alias as its fate names them: the place of the first, then 'M' or 'A' and the
 * address, each. `places` has the names of all recipients by place. */
static void
children_add(struct queue *q, uint32_t mail, struct buf *places, const struct fate *alias)
{
	struct str children = alias->children, target;
	uint32_t first, r, i;

	if (!codec_scan_u32(&children, &first) || first > RECIPIENTS_MOST)
		return;
	for (i = first; codec_scan_str(&children, &target) && i < RECIPIENTS_MOST; i++) {
		/* other aliases' members, whose fate comes later in the log's order, have no address yet */
		while (mail_of(q, mail)->recipients_n <= i)
			codec_add_u32(
				places, index_add_recipient(q, mail, (struct str){ 0 }, true));
		r = codec_get_u32(places->p + i * sizeof r);
		recipient_set_address(q, r, str_from(target, 1));
		recipient_of(q, r)->is_mailbox = target.n && target.p[0] == 'M';
	}
	family_add(q, mail,
		&(struct family){ .alias = alias->recipient, .first = first, .n = i - first });
}

/* When it is tried again. The wall clock may have been set back since that was logged: nobody waits longer than
 * the longest pause for that, but for a moment that its sender named. */
static int64_t
again_ms(struct queue *q, uint32_t mail, const struct fate *f)
{
	int64_t most_ms = loop_wall_ms() + q->role.config.queue.retry_most_ms * 6 / 5;

	if (mail_hold_ms(q, mail) > most_ms)
		most_ms = mail_hold_ms(q, mail);
	return f->kind == FATE_DEFERRED && f->due_ms > most_ms ? most_ms : f->due_ms;
}

static void
apply_fate(struct queue *q, uint32_t r, const struct fate *f)
{
	struct recipient *p = recipient_of(q, r);

	if (p->state ==
		RECIPIENT_DEFERRED) { /* what its sender said is past: the operator, or a fate, said more */
		wheel_remove(q, r);
		recipient_set_state(q, r, RECIPIENT_NEW);
	} else if (p->state == RECIPIENT_HELD) { /* so is the quarantine */
		recipient_set_state(q, r, RECIPIENT_NEW);
	}
	p->tries = (uint16_t)(f->tries < UINT16_MAX ? f->tries : UINT16_MAX);
	switch (f->kind) {
	case FATE_DELIVERED:
		recipient_close(q, r, RECIPIENT_DELIVERED);
		break;
	case FATE_FAILED:
		recipient_close(q, r, RECIPIENT_FAILED);
		break;
	case FATE_EXPANDED:
		recipient_close(q, r, RECIPIENT_EXPANDED);
		break;
	case FATE_DEFERRED:
	case FATE_HELD:
		if (err_is(&f->why))
			recipient_note(q, r, &f->why, f->host);
		mail_of(q, p->mail)->is_warned |= str_eq(f->children, WARNED);
		if (f->kind == FATE_HELD) {
			recipient_set_state(q, r, RECIPIENT_HELD);
			p->is_dropped = f->due_ms != 0;
		}
		if (f->due_ms && (f->kind == FATE_HELD || f->due_ms > loop_wall_ms())) {
			if (f->kind == FATE_DEFERRED)
				recipient_set_state(q, r, RECIPIENT_DEFERRED);
			wheel_put(q, r, again_ms(q, p->mail, f));
		}
		break;
	}
}

/* What the log said of this mail before this start: first who its recipients are, then what became
 * of them. */
static void
apply_history(struct queue *q, uint32_t mail, struct buf *places)
{
	struct mail_id id = mail_of(q, mail)->id;
	struct fate f;
	size_t at = 0;

	while (keeper_next_fate(q->keeper, id, &at, &f))
		if (f.kind == FATE_EXPANDED)
			children_add(q, mail, places, &f);
	members_inherit(q, mail, places);
	for (at = 0; keeper_next_fate(q->keeper, id, &at, &f);) {
		mail_of(q, mail)->is_old = true;
		if (f.recipient < mail_of(q, mail)->recipients_n)
			apply_fate(
				q, codec_get_u32(places->p + f.recipient * sizeof(uint32_t)), &f);
	}
}

static uint32_t
envelope_index(struct queue *q, const struct spool_mail *m, uint64_t segment, uint64_t at)
{
	const struct spool_envelope *e = &m->envelope;
	uint32_t mail;

	must(segment <= UINT32_MAX && at / SPOOL_ALIGN <= UINT32_MAX);
	mail = index_add_mail(q,
		&(struct mail){ .id = e->id,
			.arrived_ms = (uint64_t)e->arrived_ms & ((1ULL << 44) - 1),
			.size = (m->prefix.n + (m->big ? m->big_size : m->message.n)) &
				((1ULL << 40) - 1),
			.flags = e->flags & UINT16_MAX,
			.may_relay = may_relay(q, e),
			.has_login = has_login(q, e),
			.is_old = !q->history_is_forgotten,
			.has_dsn = e->envid.n || e->dsn.n,
			.segment = (uint32_t)segment,
			.at = (uint32_t)(at / SPOOL_ALIGN),
			.sender = intern_add(&q->texts, e->reverse_path),
			.payer = intern_add(&q->texts, e->login.n ? e->login : e->reverse_path) });
	if (m->big)
		mail_more(q, mail)->big = m->big;
	if (e->hold_until_ms > e->arrived_ms)
		mail_more(q, mail)->hold_until_ms = e->hold_until_ms;
	return mail;
}

static void
recipients_index(struct queue *q, uint32_t mail, const struct spool_envelope *e, struct buf *places)
{
	struct str packed = e->recipients, dsn = e->dsn, address, orcpt;
	uint8_t notify;
	uint32_t r;

	while (codec_scan_str(&packed, &address)) {
		r = index_add_recipient(q, mail, address, false);
		codec_add_u32(places, r);
		if (spool_scan_dsn(&dsn, &notify, &orcpt))
			recipient_of(q, r)->notify = (uint32_t)notify & 15;
		if (e->flags & SPOOL_QUARANTINED) {
			recipient_set_state(q, r, RECIPIENT_HELD);
		} else if (e->hold_until_ms > loop_wall_ms()) {
			recipient_set_state(q, r, RECIPIENT_DEFERRED);
			wheel_put(q, r, e->hold_until_ms);
		}
	}
}

/* Everybody whom nothing holds sets out. */
static void
mail_set_out(struct queue *q, uint32_t mail)
{
	for (uint32_t r = 0; (r = recipient_next(q, mail, r));)
		if (recipient_of(q, r)->state == RECIPIENT_NEW && recipient_of(q, r)->line == 0)
			road_find(q, r);
}

void
mail_index(struct queue *q, const struct spool_mail *m, uint64_t segment, uint64_t at)
{
	struct buf places = { .max = SIZE_MAX }; /* the envelope has its own limit */
	uint32_t mail;

	if (keeper_is_settled(q->keeper, m->envelope.id) || index_find(q, m->envelope.id))
		return;
	mail = envelope_index(q, m, segment, at);
	recipients_index(q, mail, &m->envelope, &places);
	apply_history(q, mail, &places);
	buf_free(&places);
	keeper_pin(q->keeper, segment);
	if (m->big)
		queue_big_is_named(q, m->big);
	queue_totals_now(q)->kept += mail_of(q, mail)->open_n;
	if (!mail_of(q, mail)->is_old)
		queue_note_arrived(q, mail, m);
	queue_check_full(q);
	mail_set_out(q, mail);
	mail_check_settled(q, mail);
}

int64_t
mail_hold_ms(struct queue *q, uint32_t mail)
{
	return mail_of(q, mail)->has_more ? mail_more(q, mail)->hold_until_ms : 0;
}

int64_t
mail_age_ms(struct queue *q, uint32_t mail, int64_t wall_ms)
{
	int64_t begin_ms = (int64_t)mail_of(q, mail)->arrived_ms;
	int64_t hold_ms = mail_hold_ms(q, mail);

	return wall_ms - (hold_ms > begin_ms ? hold_ms : begin_ms);
}

int64_t
mail_expires_ms(struct queue *q, uint32_t mail)
{
	return q->role.config.queue.expire_ms - mail_age_ms(q, mail, 0);
}

/* ── leaving it ── */

void
mail_check_settled(struct queue *q, uint32_t mail)
{
	const struct mail *m = mail_of(q, mail);
	char id[MAIL_ID_TEXT];

	if (m->open_n)
		return;
	log_event("settled", "id=%s", mail_id_text(m->id, id));
	queue_note_settled(q, mail);
	keeper_release(q->keeper, m->segment, m->id, m->has_more ? mail_more(q, mail)->big : 0);
	index_drop_mail(q, mail);
	queue_check_full(q);
}

void
recipient_delivered(struct queue *q, uint32_t r, struct str host, const struct err *words)
{
	char id[MAIL_ID_TEXT];

	recipient_note(q, r, words, host);
	log_event("delivered", "id=%s to=%s host=%s code=%u",
		mail_id_text(mail_of(q, recipient_of(q, r)->mail)->id, id), address_quoted(q, r),
		log_quote(host), words->code);
	fate_add(q, r, FATE_DELIVERED, 0, (struct str){ 0 });
	recipient_close(q, r, RECIPIENT_DELIVERED);
	queue_totals_now(q)->delivered++;
}

void
recipient_failed(struct queue *q, uint32_t r)
{
	struct err why = { 0 };
	struct str host;
	char id[MAIL_ID_TEXT];

	recipient_last(q, r, &why, &host);
	log_event("failed", "id=%s to=%s host=%s why=%s",
		mail_id_text(mail_of(q, recipient_of(q, r)->mail)->id, id), address_quoted(q, r),
		log_quote(host), log_quote(str_of(why.text)));
	fate_add(q, r, FATE_FAILED, 0, (struct str){ 0 });
	recipient_close(q, r, RECIPIENT_FAILED);
	queue_totals_now(q)->failed++;
}

void
recipient_deferred(struct queue *q, uint32_t r, int64_t due_ms)
{
	struct err why = { 0 };
	struct str host;
	char id[MAIL_ID_TEXT];

	recipient_last(q, r, &why, &host);
	log_event("deferred", "id=%s to=%s host=%s tries=%u next_s=%lld why=%s",
		mail_id_text(mail_of(q, recipient_of(q, r)->mail)->id, id), address_quoted(q, r),
		log_quote(host), recipient_of(q, r)->tries,
		(long long)((due_ms - loop_wall_ms()) / 1000), log_quote(str_of(why.text)));
	recipient_log(q, r, FATE_DEFERRED, due_ms);
	recipient_set_state(q, r, RECIPIENT_DEFERRED);
	wheel_put(q, r, due_ms);
	queue_totals_now(q)->deferred++;
}

void
recipient_refuse(
	struct queue *q, uint32_t r, enum err_class class, enum err_kind kind, const char *words)
{
	struct err e;

	err_set(&e, class, kind, "%s", words);
	recipient_note(q, r, &e, (struct str){ 0 });
	if (class == ERR_PERMANENT)
		bounce_begin(q, recipient_of(q, r)->mail, &r, 1);
	else
		schedule_later(q, &r, 1);
}

/* The alias is done with: `targets` are what it stands for, as the message `expanded` has them.
 * They are recipients of their own from now on, and the same ones after a crash. */
bool
recipient_expanded(struct queue *q, uint32_t r, struct str targets)
{
	struct buf children = { .max = IPC_PACKET_MAX };
	uint32_t mail = recipient_of(q, r)->mail, first = mail_of(q, mail)->recipients_n, n = 0;

	for (struct str rest = targets, target; codec_scan_str(&rest, &target);)
		n++;
	if (n > RECIPIENTS_MOST - first)
		return false;
	codec_add_u32(&children, first);
	buf_add(&children, targets);
	fate_add(q, r, FATE_EXPANDED, 0, buf_str(&children));
	recipient_close(q, r, RECIPIENT_EXPANDED);
	buf_free(&children);
	family_add(q, mail,
		&(struct family){ .alias = recipient_of(q, r)->place, .first = first, .n = n });
	if (n > 1)
		report_success(q, mail, &r, 1, DSN_EXPANDED);
	for (struct str target; codec_scan_str(&targets, &target);) {
		uint32_t child = index_add_recipient(q, mail, str_from(target, 1), true);

		recipient_of(q, child)->is_mailbox = target.n && target.p[0] == 'M';
		recipient_of(q, child)->notify = member_notify(recipient_of(q, r)->notify, n) & 15;
	}
	mail_set_out(q, mail);
	return true;
}
