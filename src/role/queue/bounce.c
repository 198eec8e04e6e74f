/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "message/message.h"
#include "smtp/reply.h"

/*
 * Telling the sender (RFC 3461, RFC 3464): that a recipient failed, that one is late, or that all went
 * well where that was asked for. A report is a mail of our own with the null sender, kept in the log
 * like any other.
 *
 *   failed     only when its report is kept does the failure become the recipients' fate: a crash in
 *              between makes a second report, never none; the disk is asked again until it takes it
 *   delayed, delivered, relayed, expanded
 *              news of what stands in the log already: a crash, or a disk that is full, costs the news
 *
 * Recipients of one mail that fail a moment apart, on whatever ways, are told of together: a report of
 * failures is open to others for GATHER_MS. With REPORT_MOST it is full, and another one begins.
 *
 * Mail from the null sender, and our own, is never answered (RFC 5321 §4.5.5, §6.1).
 */

enum {
	REPORT_MOST = 50,	 /* recipients of a report */
	HEADER_MOST = 64 * 1024, /* octets of the header that go back */
	WHOLE_MOST = 192 * 1024, /* octets of a message that goes back whole (RET=FULL) */
	GATHER_MS = 200,
	SLICE = 200,	 /* reports written a turn of the loop */
	AGAIN_MS = 5000, /* the disk did not take the report */
};

/* How much is told. A report must fit into a record, since what the house writes itself has no big
 * files: the first of these that does is it. The last one always does: its longest recipient takes less
 * than 5 KiB. */
static const struct extent {
	bool is_whole; /* where RET=FULL asks for it */
	size_t header_most;
	bool has_originals; /* ORCPT= */
	size_t words_most;  /* octets, of what was said of a recipient */
} extents[] = {
	{ true, HEADER_MOST, true, SIZE_MAX },
	{ false, HEADER_MOST, true, SIZE_MAX },
	{ false, 4096, false, 64 },
};

struct bounce {
	struct list link; /* in queue.reports_begun, or in queue.bounces: to be written again */
	struct queue *queue;
	enum dsn_kind kind;
	uint32_t mail; /* failed: it cannot go while these are open; the key of queue.reports */
	uint32_t recipients_n;
	uint32_t recipients[REPORT_MOST];
};

/* ── what is read from the mail's record ── */

/* What goes back with a report; texts in queue.message and the arena. */
struct original {
	struct str header, whole, envelope_id;
	struct str *orcpts; /* by place in the envelope */
	uint32_t orcpts_n;
};

/* The beginning of a message that lies in a big file: for eyes, so its CRC is not asked. */
static void
add_big_head(struct queue *q, uint64_t big, struct buf *to)
{
	struct err e;
	int fd = keeper_open_big(q->keeper, big, &e);
	char *room = buf_room(to, HEADER_MOST);
	ssize_t n = fd >= 0 && room ? read(fd, room, HEADER_MOST) : -1;

	if (n > 0)
		buf_grew(to, (size_t)n);
	if (fd >= 0)
		close(fd);
}

static void
read_orcpts(struct original *o, const struct spool_envelope *v, struct arena *arena)
{
	struct str rest = v->dsn, orcpt;
	uint8_t notify;

	if (v->dsn.n == 0)
		return;
	o->orcpts = arena_take(arena, v->recipients_n * sizeof *o->orcpts);
	must(o->orcpts);
	while (o->orcpts_n < v->recipients_n && spool_scan_dsn(&rest, &notify, &orcpt))
		must(arena_dup(arena, orcpt, &o->orcpts[o->orcpts_n++]));
}

/* A record that cannot be read costs the report its original. */
static void
original_read(struct queue *q, const struct bounce *b, const struct extent *extent,
	struct arena *arena, struct original *o)
{
	struct spool_mail m;
	struct err e;

	*o = (struct original){ 0 };
	buf_reset(&q->message);
	if (!mail_read(q, b->mail, &m, &e))
		return;
	must(arena_dup(arena, m.envelope.envid, &o->envelope_id));
	if (extent->has_originals)
		read_orcpts(o, &m.envelope, arena);
	buf_add(&q->message, m.prefix);
	if (m.big)
		add_big_head(q, m.big, &q->message);
	else
		buf_add(&q->message, m.message);
	o->header = str_part(
		buf_str(&q->message), 0, str_find_str(buf_str(&q->message), S("\r\n\r\n")) + 2);
	if (o->header.n > extent->header_most)
		o->header = str_part(o->header, 0, extent->header_most);
	if (extent->is_whole && b->kind == DSN_FAILED && !m.big && q->message.n <= WHOLE_MOST &&
		(m.envelope.flags & (SPOOL_RET_FULL | SPOOL_NEEDS_CHUNKING)) == SPOOL_RET_FULL)
		o->whole = buf_str(&q->message);
}

/* ── composing ── */

/* One row of the report; its texts lie in `arena`, its error in `why`. */
static struct dsn_recipient
row_of(struct queue *q, const struct bounce *b, uint32_t r, const struct original *o,
	struct arena *arena, struct err *why)
{
	uint32_t place = recipient_root(q, r);
	struct str host = { 0 }, address;
	bool has_last = recipient_last(q, r, why, &host), is_bad = b->kind <= DSN_DELAYED;

	if (is_bad && !has_last)
		err_set(why, ERR_TEMPORARY, ERR_OTHER, "it was not tried yet");
	buf_reset(&q->packed);
	recipient_address(q, r, &q->packed);
	must(arena_dup(arena, buf_str(&q->packed), &address) && arena_dup(arena, host, &host));
	return (struct dsn_recipient){ .address = address,
		.original = place < o->orcpts_n ? o->orcpts[place] : (struct str){ 0 },
		.action = b->kind,
		.why = is_bad ? why : NULL,
		.status = is_bad ? reply_from_err(why).enhanced : (struct enhanced){ 0 },
		.host = is_bad || b->kind == DSN_RELAYED ? host : (struct str){ 0 },
		.retry_until_s = b->kind == DSN_DELAYED ? mail_expires_ms(q, b->mail) / 1000 : 0 };
}

/* The beginning of it, up to the end of a character. */
static void
cut_words(struct err *why, size_t most)
{
	if (strlen(why->text) <= most)
		return;
	while (most && ((unsigned char)why->text[most] & 0xc0) == 0x80)
		most--;
	why->text[most] = 0;
}

static void
compose(struct queue *q, const struct bounce *b, struct mail_id id, const struct extent *extent,
	struct buf *to)
{
	struct dsn_recipient rows[REPORT_MOST];
	struct err whys[REPORT_MOST] = { 0 };
	const struct mail *mail = mail_of(q, b->mail);
	char id_text[MAIL_ID_TEXT], original_id[MAIL_ID_TEXT], message_id[400];
	struct arena arena = { .max = SIZE_MAX };
	const struct config *c = &q->role.config;
	struct original o;

	original_read(q, b, extent, &arena, &o);
	for (uint32_t i = 0; i < b->recipients_n; i++) {
		rows[i] = row_of(q, b, b->recipients[i], &o, &arena, &whys[i]);
		cut_words(&whys[i], extent->words_most);
	}
	snprintf(message_id, sizeof message_id, "%s@%.*s", mail_id_text(id, id_text),
		STR_ARG(c->hostname));
	dsn_compose(to,
		&(struct dsn){ .kind = b->kind,
			.language = c->queue.language == CONFIG_CHINESE ? DSN_CHINESE : DSN_ENGLISH,
			.hostname = c->hostname,
			.to = mail_sender(q, b->mail),
			.message_id = str_of(message_id),
			.original_id = str_of(mail_id_text(mail->id, original_id)),
			.envelope_id = o.envelope_id,
			.unix_seconds = loop_wall_ms() / 1000,
			.arrived_unix_seconds = (int64_t)(mail->arrived_ms / 1000),
			.recipients = rows,
			.recipients_n = b->recipients_n,
			.original_header = o.header,
			.original_whole = o.whole });
	arena_free(&arena);
}

/* ── keeping it ── */

static uint32_t
report_flags(struct queue *q, uint32_t mail, struct str message)
{
	return SPOOL_OWN | (mail_of(q, mail)->flags & SPOOL_SMTPUTF8) |
	       (str_is_ascii(message) ? 0 : SPOOL_8BIT);
}

static void
bounce_write(struct queue *q, struct bounce *b)
{
	struct buf message = { .max = SPOOL_INLINE_MAX }, recipient = { .max = 1024 };
	struct draft *d = draft_new(q->writer);
	struct mail_id id = mail_id_random();
	struct err e = { 0 };
	size_t i = 0;

	compose(q, b, id, &extents[i], &message);
	while (message.overflow && ++i < sizeof extents / sizeof extents[0]) {
		buf_reset(&message);
		compose(q, b, id, &extents[i], &message);
	}
	must(!message.overflow);
	codec_add_str(&recipient, mail_sender(q, b->mail));
	queue_make_own_segment(q);
	if (draft_append(d, buf_str(&message), &e)) {
		queue_note_bounced(q, b->mail, b->recipients, b->recipients_n, b->kind, id);
		draft_commit_take(&d,
			&(struct spool_envelope){ .id = id,
				.arrived_ms = loop_wall_ms(),
				.flags = report_flags(q, b->mail, buf_str(&message)),
				.client = S("queue"),
				.recipients = buf_str(&recipient),
				.recipients_n = 1 },
			(struct str){ 0 }, b);
	} else {
		draft_discard(&d);
		bounce_settled(q, b, &e);
	}
	buf_free(&message);
	buf_free(&recipient);
}

static void
bounce_done(struct bounce *b)
{
	b->queue->bounces_n--;
	queue_check_drained(b->queue);
	free(b);
}

void
bounce_settled(void *owner, void *bounce, const struct err *e)
{
	struct queue *q = owner;
	struct bounce *b = bounce;

	if (e && b->kind == DSN_FAILED) {
		log_event("bounce-put-off", "why=%s", log_quote(str_of(e->text)));
		list_append(&q->bounces, &b->link);
		loop_timer_set(q->bounce_timer, AGAIN_MS);
		return;
	}
	if (e)
		log_event("report-lost", "why=%s", log_quote(str_of(e->text)));
	if (b->kind == DSN_FAILED) {
		for (uint32_t i = 0; i < b->recipients_n; i++)
			recipient_failed(q, b->recipients[i]);
		mail_check_settled(q, b->mail);
	}
	bounce_done(b);
}

static void
bounces_again(void *owner)
{
	struct queue *q = owner;
	struct list now;

	list_init(&now);
	list_move_all(&now, &q->bounces);
	list_each_safe (at, &now) {
		struct bounce *b = list_of(at, struct bounce, link);

		list_remove(&b->link);
		bounce_write(q, b);
	}
}

/* ── who hears of what ── */

static bool
has_sender(const struct queue *q, uint32_t mail)
{
	const struct mail *m = mail_of(q, mail);

	return m->sender && !(m->flags & SPOOL_OWN);
}

/* RFC 3461 §4.1: who says nothing hears of failures and delays; who says something, of that. */
static bool
is_wanted(const struct queue *q, uint32_t r, enum dsn_kind kind)
{
	unsigned said = recipient_of(q, r)->notify;

	switch (kind) {
	case DSN_FAILED:
		return said == 0 || (said & DSN_NOTIFY_FAILURE);
	case DSN_DELAYED:
		return said == 0 || (said & DSN_NOTIFY_DELAY);
	case DSN_RELAYED:
	case DSN_DELIVERED:
	case DSN_EXPANDED:
		return said & DSN_NOTIFY_SUCCESS;
	}
	return false;
}

static struct bounce *
bounce_new(struct queue *q, uint32_t mail, enum dsn_kind kind)
{
	struct bounce *b = calloc(1, sizeof *b);

	must(b);
	*b = (struct bounce){ .queue = q, .mail = mail, .kind = kind };
	q->bounces_n++;
	return b;
}

static struct str
bounce_key(const void *member)
{
	const struct bounce *b = member;

	return (struct str){ (const char *)&b->mail, sizeof b->mail };
}

/* The report of failures of that mail that has room for one more, made when there is none. */
static struct bounce *
bounce_open(struct queue *q, uint32_t mail)
{
	struct str key = { (const char *)&mail, sizeof mail };
	struct bounce *b = map_get(&q->reports, key);

	if (b && b->recipients_n < REPORT_MOST)
		return b;
	if (b)
		map_remove(&q->reports, key); /* it is full */
	b = bounce_new(q, mail, DSN_FAILED);
	if (list_is_empty(&q->reports_begun))
		loop_timer_set(q->report_timer, GATHER_MS);
	list_append(&q->reports_begun, &b->link);
	map_put(&q->reports, b);
	return b;
}

/* Whoever was to come has come. */
static void
bounces_close(void *owner)
{
	struct queue *q = owner;

	for (unsigned n = SLICE; n && !list_is_empty(&q->reports_begun); n--) {
		struct bounce *b = list_of(q->reports_begun.next, struct bounce, link);

		list_remove(&b->link);
		if (map_get(&q->reports, bounce_key(b)) == b)
			map_remove(&q->reports, bounce_key(b));
		bounce_write(q, b);
	}
	if (!list_is_empty(&q->reports_begun))
		loop_timer_set(q->report_timer, 1);
}

/* The caller looks whether the mail is settled. */
void
bounce_begin(struct queue *q, uint32_t mail, const uint32_t *recipients, uint32_t n)
{
	struct bounce *b;

	for (uint32_t i = 0; i < n; i++) {
		recipient_set_state(q, recipients[i], RECIPIENT_BOUNCING);
		if (!has_sender(q, mail) || !is_wanted(q, recipients[i], DSN_FAILED)) {
			recipient_failed(q, recipients[i]);
			continue;
		}
		b = bounce_open(q, mail);
		b->recipients[b->recipients_n++] = recipients[i];
	}
}

/* News of one more recipient: *b is made when there is none, and sent when it is full. */
static void
report_add(struct queue *q, struct bounce **b, uint32_t r, enum dsn_kind kind)
{
	if (!*b)
		*b = bounce_new(q, recipient_of(q, r)->mail, kind);
	(*b)->recipients[(*b)->recipients_n++] = r;
	if ((*b)->recipients_n < REPORT_MOST)
		return;
	bounce_write(q, *b);
	*b = NULL;
}

void
mail_late(struct queue *q, uint32_t mail)
{
	struct bounce *b = NULL;
	char id[MAIL_ID_TEXT];

	log_event("late", "id=%s", mail_id_text(mail_of(q, mail)->id, id));
	for (uint32_t r = 0; (r = recipient_next(q, mail, r));)
		if (has_sender(q, mail) && recipient_is_late(q, r) && is_wanted(q, r, DSN_DELAYED))
			report_add(q, &b, r, DSN_DELAYED);
	if (b)
		bounce_write(q, b);
}

void
report_success(
	struct queue *q, uint32_t mail, const uint32_t *recipients, uint32_t n, enum dsn_kind kind)
{
	struct bounce *b = NULL;

	if (!mail_of(q, mail)->has_dsn || !has_sender(q, mail))
		return;
	for (uint32_t i = 0; i < n; i++)
		if (is_wanted(q, recipients[i], kind) &&
			!recipient_of(q, recipients[i])->is_reported)
			report_add(q, &b, recipients[i], kind);
	if (b)
		bounce_write(q, b);
}

/* ── beginning ── */

void
bounce_start(struct queue *q)
{
	list_init(&q->reports_begun);
	list_init(&q->bounces);
	q->reports.key_of = bounce_key;
	q->report_timer = loop_timer_open(q->role.loop, bounces_close, q);
	q->bounce_timer = loop_timer_open(q->role.loop, bounces_again, q);
}
