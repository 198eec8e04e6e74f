/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_core.h"

#include <inttypes.h>

#include "base/must.h"
#include "message/message.h"

/*
 * One mail: MAIL, the RCPTs, the message, and what its end is answered. The states, their order and
 * the laws are in client.c.
 *
 * What a host does not offer is not said. For four of the extensions that leaves the mail with a
 * choice, made before a word of it is said (begin_transaction, mail_is_possible):
 *
 *   SMTPUTF8    addresses in ASCII: the driver is asked for the message with an ASCII header; else it comes back (RFC 6531 §3.1)
 *   8BITMIME    as it is, which keeps signatures whole; or, if the settings say so, it comes back (RFC 6152 §3)
 *   CHUNKING    what only BDAT can carry comes back
 *   DSN         the requests are not passed on; who handed the mail to us hears `relayed` from us (RFC 3461 §5.2.2)
 */

enum {
	SMALL = 65536,	      /* octets of a message sent without knowing who is taken */
	PATH_MAX_SAID = 1000, /* octets of a path; RFC 5321 §4.5.3.1.3 says 256 */
};

/* ── A transaction ───────────────────────────────────────────────────────────────────────────── */

static bool
is_path_sayable(struct str path)
{
	return path.n <= PATH_MAX_SAID && client_is_sayable(path);
}

/* RFC 5321 §4.1.2 esmtp-value, UTF-8 added by RFC 6533: what is no parameter cannot begin another one. */
static bool
is_value_sayable(struct str value, size_t most)
{
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] <= ' ' || value.p[i] == 0x7f)
			return false;
	return value.n <= most;
}

static bool
texts_are_sayable(const struct smtp_client_mail *mail)
{
	if (!is_path_sayable(mail->reverse_path) ||
		!is_value_sayable(mail->envid, DSN_ENVELOPE_ID_MAX))
		return false;
	for (size_t i = 0; i < mail->recipients_n; i++)
		if (!is_path_sayable(mail->recipients[i]) ||
			(mail->dsn && !is_value_sayable(mail->dsn[i].orcpt, DSN_ORIGINAL_MAX)))
			return false;
	return true;
}

static bool
addresses_are_ascii(const struct smtp_client_mail *mail)
{
	bool are_ascii = str_is_ascii(mail->reverse_path);

	for (size_t i = 0; i < mail->recipients_n; i++)
		are_ascii = are_ascii && str_is_ascii(mail->recipients[i]);
	return are_ascii;
}

/* Everything that can be known to fail before a word is said. */
static bool
mail_is_possible(const struct smtp_client *c, struct err *e)
{
	const struct smtp_client_mail *mail = c->mail;

	if (!texts_are_sayable(mail))
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"an address is too long, or holds a line end or NUL; nothing was sent");
	if (c->size_max && mail->size > c->size_max)
		return err_set(e, ERR_PERMANENT, ERR_TOO_BIG,
			"the message has %" PRIu64 " octets; the next host takes at most %" PRIu64,
			mail->size, c->size_max);
	if (mail->smtputf8 && !(c->offers & OFFERS_SMTPUTF8))
		return err_set(e, ERR_PERMANENT, ERR_NEEDS_SMTPUTF8,
			"an address or header is not ASCII, and the next host does not offer "
			"SMTPUTF8");
	if (mail->has_8bit && c->settings->bounces_8bit && !(c->offers & OFFERS_8BITMIME))
		return err_set(
			e, ERR_PERMANENT, ERR_NEEDS_8BITMIME, "the next host takes no 8-bit mail");
	if (mail->needs_chunking && !c->uses_chunking)
		return err_set(e, ERR_PERMANENT, ERR_NEEDS_CHUNKING,
			"the message holds NUL or lines over 998 octets, and the next host does "
			"not offer CHUNKING");
	return true;
}

/* The mail is settled; the session goes on. */
static void
finish(struct smtp_client *c)
{
	c->mail = NULL;
	client_enter(c, IDLE);
	c->event = CLIENT_ON_DONE;
}

static void
say_mail(struct smtp_client *c)
{
	const struct smtp_client_mail *mail = c->mail;
	bool dsn = c->offers & OFFERS_DSN;
	char size[32] = "";

	if (c->offers & OFFERS_SIZE)
		snprintf(size, sizeof size, " SIZE=%" PRIu64, mail->size);
	say(c, S("MAIL FROM:<"), mail->reverse_path, S(">"), str_of(size),
		mail->has_8bit && c->offers & OFFERS_8BITMIME ? S(" BODY=8BITMIME") : S(""),
		mail->smtputf8 ? S(" SMTPUTF8") : S(""),
		!dsn || !mail->ret ? S("")
		: mail->ret == 'F' ? S(" RET=FULL")
				   : S(" RET=HDRS"),
		dsn && mail->envid.n ? S(" ENVID=") : S(""), dsn ? mail->envid : S(""));
}

/* "SUCCESS,FAILURE" (RFC 3461 §4.1). */
static struct str
notify_words(struct buf *to, uint8_t notify)
{
	static const struct {
		enum dsn_notify bit;
		struct str word;
	} words[] = {
		{ DSN_NOTIFY_NEVER, S("NEVER") },
		{ DSN_NOTIFY_SUCCESS, S("SUCCESS") },
		{ DSN_NOTIFY_FAILURE, S("FAILURE") },
		{ DSN_NOTIFY_DELAY, S("DELAY") },
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (notify & words[i].bit) {
			buf_add(to, to->n ? S(",") : S(" NOTIFY="));
			buf_add(to, words[i].word);
		}
	return buf_str(to);
}

static void
say_rcpt(struct smtp_client *c, size_t i)
{
	const struct smtp_client_mail *mail = c->mail;
	struct smtp_client_dsn dsn = { 0 };
	struct buf notify = { .max = 64 };

	if (mail->dsn && c->offers & OFFERS_DSN)
		dsn = mail->dsn[i];
	if (!mail->smtputf8 && !str_is_ascii(dsn.orcpt))
		dsn.orcpt = S(""); /* RFC 6533 §3: such a one needs SMTPUTF8 */
	say(c, S("RCPT TO:<"), mail->recipients[i], S(">"), notify_words(&notify, dsn.notify),
		dsn.orcpt.n ? S(" ORCPT=") : S(""), dsn.orcpt);
	buf_free(&notify);
}

/* DATA; or BDAT with the whole message as its one chunk, for which nobody has to be asked. */
static void
say_content(struct smtp_client *c)
{
	char size[32];

	if (!c->uses_chunking) {
		say(c, S("DATA"));
		return;
	}
	snprintf(size, sizeof size, "%" PRIu64, c->mail->size);
	say(c, S("BDAT "), str_of(size), S(" LAST"));
	c->body_is_open = true;
}

/* Says as much as may be said at once, and awaits its first reply. */
static void
say_transaction(struct smtp_client *c)
{
	client_enter(c, c->needs_reset ? AWAIT_RSET : AWAIT_MAIL);
	if (c->needs_reset)
		say(c, S("RSET"));
	if (client_is_pipelined(c) || !c->needs_reset)
		say_mail(c);
	if (client_is_pipelined(c))
		for (size_t i = 0; i < c->mail->recipients_n; i++)
			say_rcpt(c, i);
	if (c->content_is_ahead)
		say_content(c);
}

static void
begin_transaction(struct smtp_client *c)
{
	struct err e;

	c->content_is_ahead = client_is_pipelined(c) && !c->settings->is_lmtp &&
			      (!c->uses_chunking || c->mail->size <= SMALL);
	if (mail_is_possible(c, &e)) {
		say_transaction(c);
	} else {
		client_settle(c, &e);
		finish(c);
	}
}

void
smtp_client_mail(struct smtp_client *c, struct smtp_client_mail *mail)
{
	must(c->state == IDLE && c->event == CLIENT_WANT_INPUT);
	must(mail->recipients_n && mail->recipients_n <= SMTP_CLIENT_RECIPIENTS_MAX);
	c->mail = mail;
	c->recipient_next = c->recipients_taken = 0;
	c->mail_is_refused = c->may_be_delivered = false;
	c->uses_chunking = c->offers & OFFERS_CHUNKING;
	c->body_given = 0;
	memcpy(c->body_tail, "\r\n", 2);
	client_enter(c, IDLE);
	if (c->in.n)
		return; /* words nobody asked for: smtp_client_next() takes them as such */
	c->mail_has_left = false;
	if (mail->smtputf8 && !(c->offers & OFFERS_SMTPUTF8) && addresses_are_ascii(mail))
		c->ascii_is_asked = true;
	else
		begin_transaction(c);
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
		say_mail(c);
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
		say_rcpt(c, 0);
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
	if (c->content_is_ahead) {
		client_enter(c, c->uses_chunking ? AWAIT_END : AWAIT_DATA);
	} else if (c->recipients_taken == 0 || c->mail_is_refused) {
		c->needs_reset = true;
		finish(c);
	} else {
		say_content(c);
		client_enter(c, c->uses_chunking ? AWAIT_END : AWAIT_DATA);
	}
}

static void
rcpt_answered(struct smtp_client *c)
{
	c->recipient_next++;
	if (c->recipient_next == c->mail->recipients_n)
		all_rcpts_answered(c);
	else if (!client_is_pipelined(c))
		say_rcpt(c, c->recipient_next);
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

/* 354. With nobody left to send to, the message ends before it began (RFC 2920 §3.1). But when
 * MAIL was refused and some RCPT was not, a dot might deliver an empty message. */
void
client_begin_body(struct smtp_client *c)
{
	if (c->recipients_taken && c->mail_is_refused) {
		client_fail_with_lie(c, "asks for a message that it refused");
		return;
	}
	if (c->recipients_taken)
		c->body_is_open = true;
	else
		say(c, S("."));
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

void
smtp_client_body(struct smtp_client *c, struct str piece, bool last)
{
	must(c->body_is_open && piece.n <= SMTP_CLIENT_PIECE_MAX);
	c->body_given += piece.n;
	must(c->body_given <= c->mail->size && (!last || c->body_given == c->mail->size));
	buf_drop(&c->out, c->out_sent);
	c->out_sent = 0;
	if (c->uses_chunking)
		buf_add(&c->out, piece);
	else
		add_stuffed(c, piece);
	note_tail(c, piece);
	if (last) {
		c->body_is_open = false;
		c->may_be_delivered = true;
		if (!c->uses_chunking && memcmp(c->body_tail, "\r\n", 2) != 0)
			buf_add(&c->out, S("\r\n"));
		if (!c->uses_chunking)
			buf_add(&c->out, S(".\r\n"));
		client_enter(c, (enum client_state)c->state);
	}
	must(!c->out.overflow);
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
	c->needs_reset = c->uses_chunking;
	c->may_be_delivered = c->settings->is_lmtp; /* there it was said of one recipient */
	end_answered(c, &e);
}
