/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_core.h"

#include "base/must.h"

/*
 * One mail: MAIL, the RCPTs, the message, and what its end is answered. The states, their order and
 * the laws are in client.c.
 */

enum { SMALL = 65536 }; /* octets of a message sent without knowing who is taken */

/* ── A transaction ───────────────────────────────────────────────────────────────────────────── */

/* The mail is settled; the session goes on. */
static void
finish(struct smtp_client *c)
{
	c->mail = NULL;
	client_enter(c, IDLE);
	c->event = CLIENT_ON_DONE;
}

/* A message that may go before it is known who takes it. */
static bool
goes_with_its_recipients(const struct smtp_client *c, const struct smtp_client_mail *mail)
{
	return client_is_pipelined(c) && !c->settings->is_lmtp &&
	       (!client_uses_chunking(c) || mail->size <= SMALL);
}

/* Says as much of a mail as may be said at once. */
static void
say_transaction(struct smtp_client *c, const struct smtp_client_mail *mail,
	struct smtp_client_said *said, bool begins_with_reset)
{
	*said = (struct smtp_client_said){
		.begins_at = client_place(c),
		.ends_at = UINT64_MAX,
		.has_begun = true,
		.begins_with_reset = begins_with_reset,
		.content_is_ahead = goes_with_its_recipients(c, mail),
	};
	if (begins_with_reset)
		say(c, S("RSET"));
	if (client_is_pipelined(c) || !begins_with_reset)
		client_say_mail(c, mail);
	if (client_is_pipelined(c))
		for (size_t i = 0; i < mail->recipients_n; i++)
			client_say_rcpt(c, mail, i);
	if (said->content_is_ahead)
		client_say_content(c, mail);
}

static void
begin_transaction(struct smtp_client *c)
{
	struct err e;

	if (client_mail_is_possible(c, c->mail, &e)) {
		client_enter(c, c->needs_reset ? AWAIT_RSET : AWAIT_MAIL);
		say_transaction(c, c->mail, &c->said, c->needs_reset);
	} else {
		client_settle(c, &e);
		finish(c);
	}
}

/* Nothing of its replies has been read. */
static void
make_current(struct smtp_client *c, struct smtp_client_mail *mail, struct smtp_client_said said)
{
	c->mail = mail;
	c->said = said;
	c->recipient_next = c->recipients_taken = 0;
	c->mail_is_refused = c->ahead_is_offered = false;
	c->may_be_delivered = said.has_begun && client_message_is_whole(&said);
}

static void
begin_mail(struct smtp_client *c, struct smtp_client_mail *mail)
{
	make_current(c, mail, (struct smtp_client_said){ .ends_at = UINT64_MAX });
	client_enter(c, IDLE);
	if (c->in.n)
		return; /* words nobody asked for: smtp_client_next() takes them as such */
	if (client_mail_needs_ascii(c, mail))
		c->ascii_is_asked = true;
	else
		begin_transaction(c);
}

/* The mail before it is whole in the output, and unanswered. */
static void
say_ahead(struct smtp_client *c)
{
	struct err e;

	if (!client_mail_needs_ascii(c, c->ahead) && client_mail_is_possible(c, c->ahead, &e))
		say_transaction(c, c->ahead, &c->said_ahead, client_uses_chunking(c));
}

bool
smtp_client_is_idle(const struct smtp_client *c)
{
	return c->state == IDLE && c->event == CLIENT_WANT_INPUT && !c->mail && !c->ahead;
}

void
smtp_client_mail(struct smtp_client *c, struct smtp_client_mail *mail)
{
	must(c->event == CLIENT_WANT_INPUT && !c->ahead);
	must(mail->recipients_n && mail->recipients_n <= SMTP_CLIENT_RECIPIENTS_MAX);
	must(c->mail ? c->ahead_is_offered : c->state == IDLE);
	if (c->mail) {
		c->ahead = mail;
		c->said_ahead = (struct smtp_client_said){ .ends_at = UINT64_MAX };
		say_ahead(c);
	} else {
		begin_mail(c, mail);
	}
}

void
client_take_up_ahead(struct smtp_client *c)
{
	struct smtp_client_mail *mail = c->ahead;

	c->ahead = NULL;
	if (!c->said_ahead.has_begun) {
		begin_mail(c, mail);
		return;
	}
	make_current(c, mail, c->said_ahead);
	client_enter(c, c->said.begins_with_reset ? AWAIT_RSET : AWAIT_MAIL);
}

void
smtp_client_ascii(struct smtp_client *c, uint64_t size)
{
	must(c->ascii_is_asked && c->mail);
	c->ascii_is_asked = false;
	if (size) {
		c->mail->size = size;
		c->mail->smtputf8 = false;
	}
	begin_transaction(c);
}

void
client_reset_taken(struct smtp_client *c)
{
	c->needs_reset = false;
	client_enter(c, AWAIT_MAIL);
	if (!client_is_pipelined(c))
		client_say_mail(c, c->mail);
}

/* RSET cannot be refused (RFC 5321 §4.1.1.5), and this mail is not what the peer objects to. */
void
client_reset_refused(struct smtp_client *c)
{
	client_fail_with_lie(c, "refuses RSET");
}

void
client_mail_taken(struct smtp_client *c)
{
	client_enter(c, AWAIT_RCPT);
	if (!client_is_pipelined(c))
		client_say_rcpt(c, c->mail, 0);
}

/* The replies to a group said ahead still come, and are counted off. */
void
client_mail_refused(struct smtp_client *c)
{
	struct err e;

	client_err_from_reply(c, &e);
	client_settle(c, &e);
	c->mail_is_refused = true;
	if (client_is_pipelined(c))
		client_enter(c, AWAIT_RCPT);
	else
		finish(c);
}

static void
all_rcpts_answered(struct smtp_client *c)
{
	if (c->said.content_is_ahead) {
		client_enter(c, client_uses_chunking(c) ? AWAIT_END : AWAIT_DATA);
	} else if (c->recipients_taken == 0 || c->mail_is_refused) {
		c->needs_reset = true;
		finish(c);
	} else {
		client_say_content(c, c->mail);
		client_enter(c, client_uses_chunking(c) ? AWAIT_END : AWAIT_DATA);
	}
}

static void
rcpt_answered(struct smtp_client *c)
{
	c->recipient_next++;
	if (c->recipient_next == c->mail->recipients_n)
		all_rcpts_answered(c);
	else if (!client_is_pipelined(c))
		client_say_rcpt(c, c->mail, c->recipient_next);
}

void
client_rcpt_taken(struct smtp_client *c)
{
	c->recipients_taken++;
	rcpt_answered(c);
}

void
client_rcpt_refused(struct smtp_client *c)
{
	struct err e;

	client_err_from_reply(c, &e);
	/* RFC 5321 §4.5.3.1.10: 552 is also how old hosts say "too many recipients". One that has an
	 * enhanced code says what it means, and X.5.3 means just that (RFC 3463 §3.6). */
	if (e.code == 552 &&
		(!e.enhanced.class || (e.enhanced.subject == 5 && e.enhanced.detail == 3)))
		e.class = ERR_TEMPORARY;
	client_settle_one(c, c->recipient_next, &e);
	rcpt_answered(c);
}

/* ── The message ─────────────────────────────────────────────────────────────────────────────── */

void
client_open_body(struct smtp_client *c)
{
	c->body_is_open = true;
	c->body_given = 0;
	memcpy(c->body_tail, "\r\n", 2);
}

/* 354. With nobody left to send to, the message ends before it began (RFC 2920 §3.1). But when
 * MAIL was refused and some RCPT was not, a dot might deliver an empty message. */
void
client_begin_body(struct smtp_client *c)
{
	if (c->recipients_taken && c->mail_is_refused) {
		client_fail_with_lie(c, "asks for a message that it refused");
		return;
	}
	if (c->recipients_taken) {
		client_open_body(c);
	} else {
		say(c, S("."));
		c->said.ends_at = client_place(c);
		c->ahead_is_offered = true; /* this one costs a round trip anyway */
	}
	client_enter(c, AWAIT_END);
}

void
client_data_refused(struct smtp_client *c)
{
	struct err e;

	client_err_from_reply(c, &e);
	client_settle(c, &e);
	c->needs_reset = true;
	finish(c);
}

/*
 * Adds a dot to each dot that begins a line (RFC 5321 §4.5.2). Looks for dots, which are rarer than
 * line ends, and for LF before them: a message should have no LF without CR, but where one slipped
 * through, "LF dot CRLF" must not look like the end to a careless reader.
 */
static void
add_stuffed(struct smtp_client *c, struct str piece)
{
	size_t done = 0, at = 0;
	const char *dot;

	while (at < piece.n && (dot = memchr(piece.p + at, '.', piece.n - at))) {
		at = (size_t)(dot - piece.p);
		if ((at ? piece.p[at - 1] : c->body_tail[1]) == '\n') {
			buf_add(&c->out, str_part(piece, done, at - done));
			buf_add_char(&c->out, '.');
			done = at;
		}
		at++;
	}
	buf_add(&c->out, str_from(piece, done));
}

static void
note_tail(struct smtp_client *c, struct str piece)
{
	if (piece.n >= 2) {
		memcpy(c->body_tail, piece.p + piece.n - 2, 2);
	} else if (piece.n == 1) {
		c->body_tail[0] = c->body_tail[1];
		c->body_tail[1] = piece.p[0];
	}
}

/* Law 7: an end that has no room is none. */
static void
end_body(struct smtp_client *c)
{
	if (!client_uses_chunking(c) && memcmp(c->body_tail, "\r\n", 2) != 0)
		buf_add(&c->out, S("\r\n"));
	if (!client_uses_chunking(c))
		buf_add(&c->out, S(".\r\n"));
	if (c->out.refused)
		return;
	c->body_is_open = false;
	if (c->ahead) {
		c->said_ahead.ends_at = client_place(c);
	} else {
		c->said.ends_at = client_place(c);
		c->may_be_delivered = true;
	}
	client_enter(c, (enum client_state)c->state);
}

void
smtp_client_body(struct smtp_client *c, struct str piece, bool last)
{
	const struct smtp_client_mail *mail = c->ahead ? c->ahead : c->mail;

	must(c->body_is_open && piece.n <= SMTP_CLIENT_PIECE_MAX);
	c->body_given += piece.n;
	must(c->body_given <= mail->size && (!last || c->body_given == mail->size));
	buf_drop(&c->out, c->out_sent);
	c->out_sent = 0;
	if (client_uses_chunking(c))
		buf_add(&c->out, piece);
	else
		add_stuffed(c, piece);
	note_tail(c, piece);
	if (last)
		end_body(c);
	must(!c->out.overflow || c->out.refused);
}

/* The end of the message is answered: once for all, or (RFC 2033 §4.2) for each recipient that was
 * taken, in their order. */
static void
end_answered(struct smtp_client *c, const struct err *e)
{
	size_t i = 0;

	if (!c->settings->is_lmtp) {
		client_settle(c, e);
		finish(c);
		return;
	}
	while (c->mail->outcomes[i].is_settled)
		i++;
	client_settle_one(c, i, e);
	if (--c->recipients_taken == 0)
		finish(c);
}

void
client_end_taken(struct smtp_client *c)
{
	struct err none;

	client_err_from_reply(c, &none);
	c->mail->final_words = buf_str(&c->words);
	end_answered(c, &none);
}

/* After a message ended by a dot the peer has forgotten the transaction (RFC 5321 §4.1.1.4); after
 * BDAT nobody knows (RFC 3030 §2). */
void
client_end_refused(struct smtp_client *c)
{
	struct err e;

	client_err_from_reply(c, &e);
	c->needs_reset = client_uses_chunking(c);
	c->may_be_delivered = c->settings->is_lmtp; /* there it was said of one recipient */
	end_answered(c, &e);
}
