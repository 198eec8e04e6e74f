/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/control.h"

#include "base/log.h"
#include "base/must.h"

/* What happens to a mail is noted in the history as it happens. A queue that cannot keep one works on without. */

enum { FLUSH_MS = 20, RECIPIENTS_MAX = 65536, ADDRESS_HEAD = 4 };

struct story {
	struct history *history;
	struct loop_timer *timer;
	struct buf recipients, address, how;
	/* A deed on many recipients of one mail is one event, lest it push everything else out of the history. */
	struct buf done_to; /* packed addresses; empty: no deed is being gathered */
	enum history_kind deed;
	struct mail_id mail;
	bool is_timer_set;
};

static void
deed_flush(struct story *s)
{
	if (s->done_to.n)
		history_add(s->history, &(struct history_event){ .kind = s->deed,
						.id = s->mail,
						.at_ms = loop_wall_ms(),
						.recipients = buf_str(&s->done_to) });
	buf_reset(&s->done_to);
}

static void
story_flush(void *owner)
{
	struct story *s = owner;

	s->is_timer_set = false;
	deed_flush(s);
	history_flush(s->history);
}

static struct story *
story_of(struct queue *q)
{
	struct err e = { 0 };

	if (q->story)
		return q->story;
	q->story = calloc(1, sizeof *q->story);
	must(q->story);
	q->story->recipients.max = q->story->done_to.max = RECIPIENTS_MAX;
	q->story->address.max = q->story->how.max = HISTORY_TEXT_MAX;
	q->story->timer = loop_timer_open(q->role.loop, story_flush, q->story);
	q->story->history = history_open(q->role.config.spool, HISTORY_FILE_SIZE, &e);
	if (err_is(&e))
		log_event("no-history", "why=%s", log_quote(str_of(e.text)));
	return q->story;
}

void
story_end(struct queue *q)
{
	struct story *s = q->story;

	q->story = NULL;
	if (!s)
		return;
	deed_flush(s);
	history_close(&s->history);
	loop_timer_close(&s->timer);
	buf_free(&s->recipients);
	buf_free(&s->done_to);
	buf_free(&s->address);
	buf_free(&s->how);
	free(s);
}

struct history *
story_history(struct queue *q)
{
	deed_flush(story_of(q));
	return q->story->history;
}

static void
timer_begin(struct story *s)
{
	if (!s->is_timer_set)
		loop_timer_set(s->timer, FLUSH_MS);
	s->is_timer_set = true;
}

static void
story_add(struct queue *q, const struct history_event *e)
{
	struct story *s = story_of(q);

	deed_flush(s);
	history_add(s->history, e);
	timer_begin(s);
}

/* The addresses of these recipients, packed; as many as fit. */
static struct str
story_recipients(struct queue *q, const uint32_t *recipients, uint32_t n)
{
	struct story *s = story_of(q);

	buf_reset(&s->recipients);
	for (uint32_t i = 0; i < n; i++) {
		buf_reset(&s->address);
		recipient_address(q, recipients[i], &s->address);
		codec_add_str(&s->recipients, buf_str(&s->address));
	}
	return buf_str(&s->recipients);
}

void
queue_note_arrived(struct queue *q, uint32_t mail, const struct spool_mail *m)
{
	struct story *s = story_of(q);

	buf_reset(&s->how);
	if (m->envelope.flags & SPOOL_OWN)
		buf_add(&s->how, S("this station itself"));
	else
		buf_add(&s->how, m->envelope.client);
	if (m->envelope.login.n) {
		buf_add(&s->how, s->how.n ? S(", ") : S(""));
		buf_add(&s->how, S("logged in as "));
		buf_add(&s->how, m->envelope.login);
	}
	story_add(q, &(struct history_event){ .kind = HISTORY_ARRIVED,
			     .id = m->envelope.id,
			     .at_ms = m->envelope.arrived_ms,
			     .number = mail_of(q, mail)->size,
			     .who = m->envelope.reverse_path,
			     .how = buf_str(&s->how),
			     .recipients = m->envelope.recipients });
}

void
queue_note_attempt(
	struct queue *q, uint32_t mail, const uint32_t *recipients, uint32_t n, struct str steps)
{
	story_add(q, &(struct history_event){ .kind = HISTORY_ATTEMPT,
			     .id = mail_of(q, mail)->id,
			     .at_ms = loop_wall_ms(),
			     .recipients = story_recipients(q, recipients, n),
			     .steps = steps });
}

/* What an alias stands for, in s->how. */
static void
story_members(struct story *s, struct str children)
{
	enum { TOLD_MOST = 50 };
	unsigned left = TOLD_MOST;
	struct str member;
	uint32_t first;

	buf_reset(&s->how);
	if (!codec_scan_u32(&children, &first))
		return;
	for (; left && codec_scan_str(&children, &member); left--)
		buf_addf(&s->how, "%s<%.*s>", s->how.n ? ", " : "",
			STR_ARG(str_from(member, 1))); /* behind its 'M' or 'A' */
	if (children.n)
		buf_add(&s->how, S(", …"));
}

static void
story_add_recipient(
	struct queue *q, uint32_t r, enum history_kind kind, int64_t due_ms, struct str children)
{
	const struct recipient *recipient = recipient_of(q, r);
	struct err last = { 0 };
	struct str host = { 0 };
	char words[sizeof last.text + 32];
	int n = 0;

	story_members(story_of(q), children);
	recipient_last(q, r, &last, &host);
	if (last.code)
		n = snprintf(words, sizeof words, "%u ", last.code);
	if (last.enhanced.class)
		n += snprintf(words + n, sizeof words - (size_t)n, "%u.%u.%u ", last.enhanced.class,
			last.enhanced.subject, last.enhanced.detail);
	snprintf(words + n, sizeof words - (size_t)n, "%s", last.text);
	story_add(q, &(struct history_event){ .kind = kind,
			     .id = mail_of(q, recipient->mail)->id,
			     .at_ms = loop_wall_ms(),
			     .due_ms = due_ms,
			     .number = recipient->tries,
			     .who = host,
			     .how = buf_str(&q->story->how),
			     .words = str_of(words),
			     .recipients = story_recipients(q, &r, 1) });
}

void
queue_note_fate(
	struct queue *q, uint32_t r, enum fate_kind kind, int64_t due_ms, struct str children)
{
	switch (kind) {
	case FATE_DELIVERED:
		story_add_recipient(q, r, HISTORY_DELIVERED, 0, children);
		return;
	case FATE_DEFERRED: /* until now: an operator's deed, which was noted as what it was */
		if (due_ms > loop_wall_ms())
			story_add_recipient(q, r, HISTORY_DEFERRED, due_ms, children);
		return;
	case FATE_FAILED:
		story_add_recipient(q, r, HISTORY_FAILED, 0, children);
		return;
	case FATE_EXPANDED:
		story_add_recipient(q, r, HISTORY_EXPANDED, 0, children);
		return;
	case FATE_HELD: /* likewise */
		return;
	}
}

void
story_add_deed(struct queue *q, uint32_t r, enum history_kind kind)
{
	struct story *s = story_of(q);
	struct mail_id id = mail_of(q, recipient_of(q, r)->mail)->id;

	buf_reset(&s->address);
	recipient_address(q, r, &s->address);
	if (s->deed != kind || !mail_id_eq(s->mail, id) ||
		s->done_to.n + s->address.n > HISTORY_TEXT_MAX - ADDRESS_HEAD)
		deed_flush(s);
	s->deed = kind;
	s->mail = id;
	codec_add_str(&s->done_to, buf_str(&s->address));
	timer_begin(s);
}

void
queue_note_bounced(struct queue *q, uint32_t mail, const uint32_t *recipients, uint32_t n,
	enum dsn_kind kind, struct mail_id bounce)
{
	char id[MAIL_ID_TEXT];

	story_add(q, &(struct history_event){ .kind = HISTORY_BOUNCED,
			     .id = mail_of(q, mail)->id,
			     .at_ms = loop_wall_ms(),
			     .number = kind,
			     .how = str_of(mail_id_text(bounce, id)),
			     .recipients = story_recipients(q, recipients, n) });
}

void
queue_note_settled(struct queue *q, uint32_t mail)
{
	story_add(q, &(struct history_event){ .kind = HISTORY_SETTLED,
			     .id = mail_of(q, mail)->id,
			     .at_ms = loop_wall_ms() });
}
