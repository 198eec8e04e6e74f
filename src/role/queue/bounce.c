/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/log.h"
#include "base/must.h"
#include "message/message.h"
#include "smtp/reply.h"

/*
 * Telling the sender. A bounce is a mail of our own with the null sender, kept in the log like any
 * other; only when it is kept does the failure become the recipients' fate. A crash in between
 * makes a second bounce, never none. Mail from the null sender, and our own, is never answered (RFC
 * 5321 §4.5.5, §6.1): its failure is a line in the log and a fate.
 */

enum {
	HEADER_MOST = 64 * 1024, /* octets of the header that go back */
	AGAIN_MS = 5000,	 /* the disk did not take the bounce */
};

struct bounce {
	struct list link; /* in queue.bounces while it waits to be tried again */
	struct queue *queue;
	struct mail *mail;
	uint32_t recipients_n;
	uint32_t recipients[];
};

/* The header of the mail, up to the empty line: octets, cut, not parsed. */
static struct str
original_header(struct queue *q, const struct mail *mail)
{
	struct spool_mail m;
	struct err e;

	buf_reset(&q->message);
	if (!keeper_read(q->keeper, mail->segment, mail->at, &q->scratch, &m, &e))
		return (struct str){ 0 };
	buf_add(&q->message, m.prefix);
	buf_add(&q->message, str_part(m.message, 0, HEADER_MOST));
	return str_part(
		buf_str(&q->message), 0, str_find_str(buf_str(&q->message), S("\r\n\r\n")) + 2);
}

static void
compose(struct queue *q, const struct bounce *b, struct mail_id id, struct buf *to)
{
	struct dsn_recipient *recipients = calloc(b->recipients_n, sizeof *recipients);
	char id_text[MAIL_ID_TEXT], original[MAIL_ID_TEXT], message_id[400];
	struct str hostname = q->role.config.hostname;

	must(recipients);
	for (uint32_t i = 0; i < b->recipients_n; i++) {
		const struct recipient *r = &b->mail->recipients[b->recipients[i]];

		recipients[i] = (struct dsn_recipient){ .address = r->address,
			.why = r->last,
			.status = reply_from_err(r->last).enhanced,
			.host = r->host };
	}
	snprintf(message_id, sizeof message_id, "%s@%.*s", mail_id_text(id, id_text),
		STR_ARG(hostname));
	dsn_compose(to, &(struct dsn){ .hostname = hostname,
				.to = b->mail->reverse_path,
				.message_id = str_of(message_id),
				.original_id = str_of(mail_id_text(b->mail->id, original)),
				.unix_seconds = loop_wall_ms() / 1000,
				.arrived_unix_seconds = b->mail->arrived_ms / 1000,
				.recipients = recipients,
				.recipients_n = b->recipients_n,
				.original_header = original_header(q, b->mail) });
	free(recipients);
}

static void
bounce_write(struct queue *q, struct bounce *b)
{
	struct buf message = { .max = 4 * 1024 * 1024 }, recipient = { .max = 1024 };
	struct draft *d = draft_new(q->writer);
	struct mail_id id = mail_id_random();
	struct err e = { 0 };

	compose(q, b, id, &message);
	codec_add_str(&recipient, b->mail->reverse_path);
	queue_make_own_segment(q);
	if (draft_append(d, buf_str(&message), &e)) {
		draft_commit_take(&d,
			&(struct spool_envelope){ .id = id,
				.arrived_ms = loop_wall_ms(),
				.flags = SPOOL_OWN | (b->mail->flags & SPOOL_SMTPUTF8),
				.client = S("queue"),
				.recipients = buf_str(&recipient),
				.recipients_n = 1 },
			(struct str){ 0 }, b);
	} else {
		draft_discard(&d);
		list_append(&q->bounces, &b->link);
		loop_timer_set(q->bounce_timer, AGAIN_MS);
	}
	buf_free(&message);
	buf_free(&recipient);
}

void
bounce_begin(struct queue *q, struct mail *mail, const uint32_t *recipients, uint32_t n)
{
	struct bounce *b;

	for (uint32_t i = 0; i < n; i++)
		mail->recipients[recipients[i]].state = RECIPIENT_BOUNCING;
	if (mail->reverse_path.n == 0 || (mail->flags & SPOOL_OWN)) {
		for (uint32_t i = 0; i < n; i++)
			recipient_failed(q, mail, recipients[i]);
		return; /* the caller looks whether the mail is settled */
	}
	b = calloc(1, sizeof *b + n * sizeof b->recipients[0]);
	must(b);
	*b = (struct bounce){ .queue = q, .mail = mail, .recipients_n = n };
	memcpy(b->recipients, recipients, n * sizeof b->recipients[0]);
	q->bounces_n++;
	bounce_write(q, b);
}

void
bounce_settled(void *owner, void *bounce, const struct err *e)
{
	struct queue *q = owner;
	struct bounce *b = bounce;

	if (e) {
		log_event("bounce-put-off", "why=%s", log_quote(str_of(e->text)));
		list_append(&q->bounces, &b->link);
		loop_timer_set(q->bounce_timer, AGAIN_MS);
		return;
	}
	for (uint32_t i = 0; i < b->recipients_n; i++)
		recipient_failed(q, b->mail, b->recipients[i]);
	mail_check_settled(q, b->mail);
	free(b);
	q->bounces_n--;
	queue_check_drained(q);
}

void
bounce_again(void *owner)
{
	struct queue *q = owner;
	struct list again;

	list_init(&again);
	list_move_all(&again, &q->bounces);
	list_each_safe (at, &again) {
		struct bounce *b = list_of(at, struct bounce, link);

		list_remove(&b->link);
		bounce_write(q, b);
	}
}
