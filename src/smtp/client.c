/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_core.h"

#include "base/must.h"

/*
 * How a mail is handed over (RFC 5321 §3, §4.1). Each state is a reply that is awaited; its row in
 * the table `steps` says which first digit means yes, and who acts on a yes and on a no (functions
 * with the prefix client_: greeting and TLS in client_hello.c, the login in client_auth.c, the rest in client_mail.c and client_end.c):
 *
 *   [SECURING]        smtp_client_secured            TLS from the first octet: CLIENT_WANT_TLS
 *        ▼
 *   AWAIT_GREETING    say_ehlo
 *        ▼
 *   AWAIT_EHLO ◄───┐  note_offers, choose_tls; on 5yz retry_as_helo ─► AWAIT_HELO  choose_tls
 *        ▼         │
 *   [AWAIT_STARTTLS│  begin_tls, tls_refused
 *    SECURING] ────┘  smtp_client_secured            CLIENT_WANT_TLS
 *        ▼  log_in
 *   [NEEDS_TOKEN      smtp_client_token              CLIENT_WANT_TOKEN
 *    AWAIT_LOGIN ×n]  login_answered, login_refused
 *        ▼
 *   IDLE ◄───────────────────────────────────────────┐  CLIENT_ON_READY, CLIENT_ON_DONE
 *        ▼  smtp_client_mail [CLIENT_WANT_ASCII]     │
 *        ▼  say_transaction                          │
 *   [AWAIT_RSET]      reset_taken                    │
 *   AWAIT_MAIL        mail_taken, mail_refused ──────┤
 *   AWAIT_RCPT ×n     rcpt_taken, rcpt_refused       │
 *        ▼  all_rcpts_answered ──────────────────────┤
 *   [AWAIT_DATA]      begin_body, data_refused ──────┤  BDAT asks nobody
 *        ▼                                           │
 *   AWAIT_END         end_taken, end_refused ─finish─┘  LMTP: one for each recipient taken
 *                     [CLIENT_WANT_AHEAD]  then IDLE ─take_up_ahead─► AWAIT_RSET or AWAIT_MAIL
 *
 *   IDLE ─smtp_client_quit─► AWAIT_QUIT ─client_close_session─► OVER  CLIENT_WANT_CLOSE
 *   any state ─fail─► OVER  CLIENT_ON_FAILED
 *
 * Round trips are what a mail costs, so what the peer allows to be said at once is said at once.
 * With PIPELINING (RFC 2920) MAIL, the RCPTs and DATA leave together; with CHUNKING too (RFC 3030
 * §4.2) a message of at most SMALL octets follows them without waiting for anything. A larger one
 * waits for the answers to the RCPTs, for if all are refused it would have travelled for nothing.
 * Replies come in the order of the commands, so `state` alone says what the next one answers, no
 * matter how much was said ahead.
 *
 * MAIL ahead (RFC 2920 §3.1: the end of a message may be followed by more commands): where the driver wants it, the next
 * mail's MAIL, RCPTs and DATA, or the whole of it in a small BDAT, leave behind the message whose answer is still to come. So a
 * mail costs no round trip but DATA's, and with BDAT none. Only one mail goes ahead. `state` is that of `mail` until it is done;
 * only then `ahead` becomes `mail` and its replies are read, which are as if it had been said then. Behind a BDAT it
 * begins with RSET, for if that BDAT is refused, or nobody was there to take it, nobody knows whether a transaction is still
 * open (RFC 3030 §2). What cannot be said ahead (impossible, or in need of another header) waits for its turn.
 *
 * LMTP (RFC 2033) differs in three places: LHLO, which cannot fall back to HELO; the message goes
 * only when all RCPTs are answered, since how many replies its end has depends on them; and those
 * replies, of which each settles one recipient.
 *
 * Laws, whatever the peer says:
 *  1. A recipient is delivered only by a 2yz to its RCPT and a 2yz to the end of the message (with
 *     LMTP: the one that is its own), the latter read when every octet of the message has left (answers_early). Silence, a lost
 *     connection, a lie: temporary. The mail may then arrive twice, but never not at all
 *     (RFC 5321 §4.5.4.1, RFC 1047).
 *     A mail that went ahead is nobody's fault when the session breaks: its recipients are temporary, whatever ended the
 *     session, and certainly not delivered unless the whole of it had left (may_be_delivered of each outcome).
 *  2. A no is believed at any time, a yes only after the question; either ends the session when it
 *     comes too early. So a peer that talks ahead, or somebody between us and it who injects
 *     replies, cannot make a mail vanish.
 *  3. Only `say` writes commands, and no CR, LF or NUL passes it: an address cannot become a
 *     command.
 *  4. The end of the message is sent only when the driver gave all of it; a session that broke in
 *     the middle of the body is not used again.
 *  5. 421 ends the session wherever it comes (RFC 5321 §3.8).
 *  6. Nothing that was heard in clear is believed behind the handshake: neither offers nor replies
 *     that somebody put behind the 220 (RFC 3207 §4.2, §6). A password is said in clear only where the
 *     settings allow it. A login that lets the server prove itself is not over before it did (sasl.c).
 *  7. Where memory is refused nothing leaves any more, for what is in the output may have holes; the session fails with the next
 *     smtp_client_next().
 *
 * A transaction that was given up half-way owes the peer an RSET. It is said with the next mail's
 * MAIL, so that it costs no round trip of its own.
 */

enum {
	INPUT_MAX = 262144,	 /* octets fed at once */
	IDLE_MEMORY_MAX = 32768, /* of each buffer between two mails */
	REPLY_TEXT_MAX = 16384,	 /* octets of one reply */
	OUTPUT_LITTLE = 16384,	 /* pending octets below which more of the body is asked for */
	OUTPUT_MAX = 524288, /* pending octets ever: little, a piece with its dots, two groups */
	MINUTE = 60000,	     /* ms */
};

/* What each state awaits, how long (RFC 5321 §4.5.3.2), and what follows. yes: first digit, 0 when
 * nothing the peer may say is one; or_yes: another. */
static const struct step {
	enum smtp_stage stage;
	int64_t patience_ms;
	int yes, or_yes;
	void (*on_yes)(struct smtp_client *c), (*on_no)(struct smtp_client *c);
} steps[] = {
	[AWAIT_GREETING] = { STAGE_GREETING, 5 * MINUTE, 2, 0, client_say_ehlo,
		client_refuse_session },
	[AWAIT_EHLO] = { STAGE_HELLO, 5 * MINUTE, 2, 0, client_note_offers, client_retry_as_helo },
	[AWAIT_HELO] = { STAGE_HELLO, 5 * MINUTE, 2, 0, client_choose_tls, client_refuse_session },
	[AWAIT_STARTTLS] = { STAGE_TLS, 2 * MINUTE, 2, 0, client_begin_tls, client_tls_refused },
	[SECURING] = { STAGE_TLS, 2 * MINUTE, 0, 0, NULL, NULL },
	[NEEDS_TOKEN] = { STAGE_AUTH, 5 * MINUTE, 0, 0, NULL, client_refuse_session },
	[AWAIT_LOGIN] = { STAGE_AUTH, 5 * MINUTE, 2, 3, client_login_answered,
		client_login_refused },
	[IDLE] = { STAGE_MAIL, 5 * MINUTE, 0, 0, NULL, client_refuse_session },
	[AWAIT_RSET] = { STAGE_MAIL, 5 * MINUTE, 2, 0, client_reset_taken, client_reset_refused },
	[AWAIT_MAIL] = { STAGE_MAIL, 5 * MINUTE, 2, 0, client_mail_taken, client_mail_refused },
	[AWAIT_RCPT] = { STAGE_RCPT, 5 * MINUTE, 2, 0, client_rcpt_taken, client_rcpt_refused },
	[AWAIT_DATA] = { STAGE_DATA, 2 * MINUTE, 3, 0, client_begin_body, client_data_refused },
	[AWAIT_END] = { STAGE_END, 10 * MINUTE, 2, 0, client_end_taken, client_end_refused },
	[AWAIT_QUIT] = { STAGE_QUIT, MINUTE / 6, 2, 0, client_close_session, client_close_session },
	[OVER] = { STAGE_QUIT, 0, 0, 0, NULL, NULL },
};

enum { BLOCK_PATIENCE_MS = 3 * MINUTE }; /* RFC 5321 §4.5.3.2.5: for a piece of the body to go */

const char *
smtp_stage_name(enum smtp_stage stage)
{
	static const char *const names[] = {
		[STAGE_CONNECT] = "connect",
		[STAGE_GREETING] = "greeting",
		[STAGE_HELLO] = "hello",
		[STAGE_TLS] = "tls",
		[STAGE_AUTH] = "auth",
		[STAGE_MAIL] = "mail",
		[STAGE_RCPT] = "rcpt",
		[STAGE_DATA] = "data",
		[STAGE_BODY] = "body",
		[STAGE_END] = "end",
		[STAGE_QUIT] = "quit",
	};

	return names[stage];
}

/* ── Input, and the one loop ─────────────────────────────────────────────────────────────────── */

void
smtp_client_begin(struct smtp_client *c, const struct smtp_client_settings *settings)
{
	const struct memory *memory = settings->memory;

	*c = (struct smtp_client){
		.settings = settings,
		.input = { .max = INPUT_MAX, .memory = memory },
		.out = { .max = OUTPUT_MAX, .memory = memory },
		.words = { .max = REPLY_TEXT_MAX + 32, .memory = memory },
		.reply.text = { .max = REPLY_TEXT_MAX, .memory = memory },
		.token = { .max = SASL_RESPONSE_MAX, .memory = memory },
	};
	client_enter(c, settings->tls == CLIENT_TLS_FIRST ? SECURING : AWAIT_GREETING);
}

void
smtp_client_free(struct smtp_client *c)
{
	client_wipe(&c->out);
	client_wipe(&c->token);
	sasl_wipe(&c->sasl);
	buf_free(&c->input);
	buf_free(&c->words);
	buf_free(&c->reply.text);
}

void
smtp_client_feed(struct smtp_client *c, struct str bytes)
{
	must(c->state != SECURING);
	buf_drop(&c->input, c->input.n - c->in.n);
	buf_add(&c->input, bytes);
	c->in = buf_str(&c->input);
}

static size_t
output_pending(const struct smtp_client *c)
{
	return c->out.n - c->out_sent;
}

bool
client_is_pipelined(const struct smtp_client *c)
{
	return c->offers & OFFERS_PIPELINING;
}

bool
client_uses_chunking(const struct smtp_client *c)
{
	return c->offers & OFFERS_CHUNKING;
}

void
client_enter(struct smtp_client *c, enum client_state state)
{
	c->state = (int)state;
	c->stage = state == AWAIT_END && c->body_is_open && !c->ahead ? STAGE_BODY
								      : steps[state].stage;
}

uint64_t
client_place(const struct smtp_client *c)
{
	return c->left + output_pending(c);
}

bool
client_message_is_whole(const struct smtp_client_said *said)
{
	return said->ends_at != UINT64_MAX;
}

bool
client_message_has_left(const struct smtp_client *c, const struct smtp_client_said *said)
{
	return client_message_is_whole(said) && c->left >= said->ends_at;
}

bool
smtp_client_is_in_message(const struct smtp_client *c)
{
	return c->state == AWAIT_END && !client_uses_chunking(c) &&
	       !client_message_has_left(c, &c->said);
}

static bool
lacks_memory(const struct smtp_client *c)
{
	return c->input.refused || c->out.refused || c->words.refused || c->reply.text.refused ||
	       c->token.refused;
}

/* Is the question that this reply would answer still on its way? MAIL and RCPT of a group may be
 * answered while the rest of the group is leaving. */
static bool
answers_early(const struct smtp_client *c)
{
	bool in_group = c->state == AWAIT_RSET || c->state == AWAIT_MAIL || c->state == AWAIT_RCPT;

	if (in_group && client_is_pipelined(c))
		return c->left <= c->said.begins_at;
	if (c->state == AWAIT_END)
		return !client_message_has_left(c, &c->said);
	return output_pending(c);
}

static void
take_reply(struct smtp_client *c)
{
	const struct step *step = &steps[c->state];
	int digit = c->reply.code / 100;
	bool is_no = digit == 4 || digit == 5, is_early = answers_early(c);
	bool is_for_one = c->settings->is_lmtp && c->state == AWAIT_END;

	c->progress++;
	if (c->reply.code == 421 || (is_no && is_early && !is_for_one))
		client_fail_with_reply(c);
	else if (is_early)
		client_fail_with_lie(c, "answers before it was asked");
	else if (is_no)
		step->on_no(c);
	else if (digit != step->yes && digit != step->or_yes)
		client_fail_with_lie(c, "gives a reply that means nothing here");
	else
		step->on_yes(c);
}

static void
shrink(struct buf *b)
{
	if (b->n == 0 && b->capacity > IDLE_MEMORY_MAX)
		buf_free(b);
}

/* Law 7. */
static void
fail_without_memory(struct smtp_client *c)
{
	struct err e;

	err_set(&e, ERR_TEMPORARY, ERR_LOCAL, "no memory for the dialogue with the other host");
	client_fail(c, &e);
}

/* Takes what the peer said until something is to be told to the driver. */
static void
take_replies(struct smtp_client *c)
{
	while (c->event == CLIENT_WANT_INPUT && c->state != OVER) {
		int whole = reply_read(&c->reply, &c->in);

		if (lacks_memory(c))
			fail_without_memory(c);
		else if (whole == 0)
			break;
		else if (whole < 0)
			client_fail_with_lie(c, "says what is no reply");
		else
			take_reply(c);
		reply_reader_reset(&c->reply);
	}
	if (c->in.n == 0) {
		c->in = S("");
		buf_reset(&c->input);
		shrink(&c->input);
	}
}

/* May the next mail be said behind this one's message? */
static bool
offers_ahead(const struct smtp_client *c)
{
	return c->settings->goes_ahead && client_is_pipelined(c) && !c->settings->is_lmtp &&
	       c->mail && !c->ahead && !c->ahead_is_offered && client_message_is_whole(&c->said);
}

/* What the driver is asked for where no reply has brought an event. */
static enum smtp_client_event
wanted(struct smtp_client *c)
{
	if (c->state == SECURING)
		return CLIENT_WANT_TLS;
	if (c->state == NEEDS_TOKEN)
		return CLIENT_WANT_TOKEN;
	if (c->ascii_is_asked)
		return CLIENT_WANT_ASCII;
	if (c->body_is_open)
		return output_pending(c) > OUTPUT_LITTLE ? CLIENT_WANT_OUTPUT : CLIENT_WANT_BODY;
	if (offers_ahead(c)) {
		c->ahead_is_offered = true;
		return CLIENT_WANT_AHEAD;
	}
	return CLIENT_WANT_INPUT;
}

enum smtp_client_event
smtp_client_next(struct smtp_client *c)
{
	enum smtp_client_event event;

	if (c->state == IDLE && c->event == CLIENT_WANT_INPUT && !c->mail && c->ahead)
		client_take_up_ahead(c);
	if (c->input.overflow && !c->input.refused && c->state != OVER)
		client_fail_with_lie(c, "talks without end");
	take_replies(c);
	event = c->event;
	if (c->state != OVER)
		c->event = CLIENT_WANT_INPUT;
	return event == CLIENT_WANT_INPUT ? wanted(c) : event;
}

int64_t
smtp_client_patience_ms(const struct smtp_client *c)
{
	if (c->stage == STAGE_BODY || (c->state == AWAIT_END && output_pending(c)))
		return BLOCK_PATIENCE_MS;
	return steps[c->state].patience_ms;
}

/* ── Output ──────────────────────────────────────────────────────────────────────────────────── */

struct str
smtp_client_output(const struct smtp_client *c)
{
	return lacks_memory(c) ? S("") : str_from(buf_str(&c->out), c->out_sent);
}

void
client_drop_output(struct smtp_client *c)
{
	if (c->output_is_secret)
		explicit_bzero(c->out.p, c->out.n);
	c->output_is_secret = false;
	c->out_sent = 0;
	buf_reset(&c->out);
	if (!c->body_is_open)
		shrink(&c->out);
}

void
smtp_client_sent(struct smtp_client *c, size_t n)
{
	must(n <= output_pending(c));
	c->out_sent += n;
	c->left += n;
	c->progress += n != 0;
	if (output_pending(c) == 0)
		client_drop_output(c);
}

void
client_wipe(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->capacity);
	buf_free(b);
}

bool
client_is_sayable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
			return false;
	return true;
}

/* Law 3. Addresses were checked before any word of their transaction was said (mail_is_possible);
 * what can still be refused here are the settings. */
bool
client_say_parts(struct smtp_client *c, const struct str *parts, size_t n)
{
	struct err e;
	size_t begin = c->out.n;

	for (size_t i = 0; i < n; i++) {
		if (!client_is_sayable(parts[i])) {
			c->out.n = begin;
			err_set(&e, ERR_PERMANENT, ERR_OTHER,
				"line end or NUL in what would be said at %s",
				smtp_stage_name(c->stage));
			client_fail(c, &e);
			return false;
		}
		buf_add(&c->out, parts[i]);
	}
	buf_add(&c->out, S("\r\n"));
	must(!c->out.overflow || c->out.refused);
	return true;
}
