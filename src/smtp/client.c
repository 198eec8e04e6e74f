/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_core.h"

#include "base/must.h"

/*
 * How a mail is handed over (RFC 5321 §3, §4.1). Each state is a reply that is awaited; its row in
 * the table `steps` says which first digit means yes, and who acts on a yes and on a no (functions
 * with the prefix client_, greeting and login in client_hello.c, the rest in client_mail.c):
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
 *   [AWAIT_PROMPT ×n  give_secret
 *    AWAIT_LOGIN]     become_ready
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
 *
 *   IDLE ─smtp_client_quit─► AWAIT_QUIT ─close_session─► OVER  CLIENT_WANT_CLOSE
 *   any state ─fail─► OVER  CLIENT_ON_FAILED
 *
 * Round trips are what a mail costs, so what the peer allows to be said at once is said at once.
 * With PIPELINING (RFC 2920) MAIL, the RCPTs and DATA leave together; with CHUNKING too (RFC 3030
 * §4.2) a message of at most SMALL octets follows them without waiting for anything. A larger one
 * waits for the answers to the RCPTs, for if all are refused it would have travelled for nothing.
 * Replies come in the order of the commands, so `state` alone says what the next one answers, no
 * matter how much was said ahead.
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
 *     settings allow it.
 *
 * A transaction that was given up half-way owes the peer an RSET. It is said with the next mail's
 * MAIL, so that it costs no round trip of its own.
 */

enum {
	INPUT_MAX = 262144,	 /* octets fed at once */
	IDLE_MEMORY_MAX = 32768, /* of each buffer between two mails */
	REPLY_TEXT_MAX = 16384,	 /* octets of one reply */
	OUTPUT_LITTLE = 16384,	 /* pending octets below which more of the body is asked for */
	OUTPUT_MAX = 327680,	 /* pending octets ever: little, a group, a piece with its dots */
	MINUTE = 60000,		 /* ms */
};

static void close_session(struct smtp_client *c);

/* What each state awaits, how long (RFC 5321 §4.5.3.2), and what follows. yes: first digit, 0 when
 * nothing the peer may say is one. */
static const struct step {
	enum smtp_stage stage;
	int64_t patience_ms;
	int yes;
	void (*on_yes)(struct smtp_client *c), (*on_no)(struct smtp_client *c);
} steps[] = {
	[AWAIT_GREETING] = { STAGE_GREETING, 5 * MINUTE, 2, client_say_ehlo,
		client_refuse_session },
	[AWAIT_EHLO] = { STAGE_HELLO, 5 * MINUTE, 2, client_note_offers, client_retry_as_helo },
	[AWAIT_HELO] = { STAGE_HELLO, 5 * MINUTE, 2, client_choose_tls, client_refuse_session },
	[AWAIT_STARTTLS] = { STAGE_TLS, 2 * MINUTE, 2, client_begin_tls, client_tls_refused },
	[SECURING] = { STAGE_TLS, 2 * MINUTE, 0, NULL, NULL },
	[AWAIT_PROMPT] = { STAGE_AUTH, 5 * MINUTE, 3, client_give_secret, client_refuse_session },
	[AWAIT_LOGIN] = { STAGE_AUTH, 5 * MINUTE, 2, client_become_ready, client_refuse_session },
	[IDLE] = { STAGE_MAIL, 5 * MINUTE, 0, NULL, client_refuse_session },
	[AWAIT_RSET] = { STAGE_MAIL, 5 * MINUTE, 2, client_reset_taken, client_reset_refused },
	[AWAIT_MAIL] = { STAGE_MAIL, 5 * MINUTE, 2, client_mail_taken, client_mail_refused },
	[AWAIT_RCPT] = { STAGE_RCPT, 5 * MINUTE, 2, client_rcpt_taken, client_rcpt_refused },
	[AWAIT_DATA] = { STAGE_DATA, 2 * MINUTE, 3, client_begin_body, client_data_refused },
	[AWAIT_END] = { STAGE_END, 10 * MINUTE, 2, client_end_taken, client_end_refused },
	[AWAIT_QUIT] = { STAGE_QUIT, MINUTE / 6, 2, close_session, close_session },
	[OVER] = { STAGE_QUIT, 0, 0, NULL, NULL },
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
	*c = (struct smtp_client){
		.settings = settings,
		.input.max = INPUT_MAX,
		.out.max = OUTPUT_MAX,
		.words.max = REPLY_TEXT_MAX + 32,
		.reply.text.max = REPLY_TEXT_MAX,
	};
	client_enter(c, settings->tls == CLIENT_TLS_FIRST ? SECURING : AWAIT_GREETING);
}

void
smtp_client_free(struct smtp_client *c)
{
	buf_free(&c->input);
	buf_free(&c->out);
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

void
client_enter(struct smtp_client *c, enum client_state state)
{
	c->state = (int)state;
	c->stage = state == AWAIT_END && c->body_is_open ? STAGE_BODY : steps[state].stage;
}

/* Is the question that this reply would answer still on its way? MAIL and RCPT of a group may be
 * answered while the rest of the group is leaving. */
static bool
answers_early(const struct smtp_client *c)
{
	bool in_group = c->state == AWAIT_RSET || c->state == AWAIT_MAIL || c->state == AWAIT_RCPT;

	if (in_group && client_is_pipelined(c))
		return !c->mail_has_left;
	return output_pending(c) || (c->state == AWAIT_END && c->body_is_open);
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
	else if (digit != step->yes)
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

enum smtp_client_event
smtp_client_next(struct smtp_client *c)
{
	enum smtp_client_event event;

	if (c->input.overflow && c->state != OVER)
		client_fail_with_lie(c, "talks without end");
	while (c->event == CLIENT_WANT_INPUT && c->state != OVER) {
		int whole = reply_read(&c->reply, &c->in);

		if (whole == 0)
			break;
		if (whole < 0)
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
	event = c->event;
	if (c->state != OVER)
		c->event = CLIENT_WANT_INPUT;
	if (event == CLIENT_WANT_INPUT && c->state == SECURING)
		return CLIENT_WANT_TLS;
	if (event == CLIENT_WANT_INPUT && c->ascii_is_asked)
		return CLIENT_WANT_ASCII;
	if (event == CLIENT_WANT_INPUT && c->body_is_open)
		return output_pending(c) > OUTPUT_LITTLE ? CLIENT_WANT_OUTPUT : CLIENT_WANT_BODY;
	return event;
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
	return str_from(buf_str(&c->out), c->out_sent);
}

void
smtp_client_sent(struct smtp_client *c, size_t n)
{
	must(n <= output_pending(c));
	c->out_sent += n;
	c->progress += n != 0;
	c->mail_has_left = c->mail_has_left || n;
	if (output_pending(c))
		return;
	if (c->output_is_secret)
		explicit_bzero(c->out.p, c->out.n);
	c->output_is_secret = false;
	c->out_sent = 0;
	buf_reset(&c->out);
	if (!c->body_is_open)
		shrink(&c->out);
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
	must(!c->out.overflow);
	return true;
}

/* ── How things end ──────────────────────────────────────────────────────────────────────────── */

void
client_settle_one(struct smtp_client *c, size_t i, const struct err *e)
{
	struct smtp_outcome *outcome = &c->mail->outcomes[i];

	if (!outcome->is_settled)
		*outcome = (struct smtp_outcome){ *e, c->stage, true,
			.dsn_taken = !err_is(e) && c->offers & OFFERS_DSN };
}

void
client_settle(struct smtp_client *c, const struct err *e)
{
	for (size_t i = 0; c->mail && i < c->mail->recipients_n; i++)
		client_settle_one(c, i, e);
}

static void
close_session(struct smtp_client *c)
{
	smtp_client_sent(c, output_pending(c));
	client_enter(c, OVER);
	c->event = CLIENT_WANT_CLOSE;
}

/* What was still to be said is not said any more: half a message must not be followed by anything.
 * After QUIT nothing can go wrong. */
void
client_fail(struct smtp_client *c, const struct err *e)
{
	if (c->state == AWAIT_QUIT) {
		close_session(c);
		return;
	}
	c->error = *e;
	client_settle(c, e);
	c->mail = NULL;
	c->body_is_open = c->ascii_is_asked = false;
	smtp_client_sent(c, output_pending(c));
	c->state = OVER; /* not client_enter: `stage` goes on telling where it happened */
	c->event = CLIENT_ON_FAILED;
}

/* The lines of a reply as one, its enhanced code (which each line repeats) only at its beginning.
 */
static struct str
join_words(struct smtp_client *c, size_t *enhanced_n)
{
	struct str line, rest = buf_str(&c->reply.text), enhanced = S("");

	if (c->reply.enhanced.class)
		enhanced = str_part(rest, 0, str_find(rest, ' '));
	*enhanced_n = enhanced.n;
	buf_reset(&c->words);
	str_cut(rest, '\n', &line, &rest);
	buf_add(&c->words, line);
	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		if (enhanced.n && str_starts(line, enhanced))
			line = str_from(line, enhanced.n);
		buf_add_char(&c->words, ' ');
		buf_add(&c->words, str_trim(line));
	}
	return buf_str(&c->words);
}

/* The reply just read as an err: a yes has class ERR_NONE. */
void
client_err_from_reply(struct smtp_client *c, struct err *e)
{
	static const enum err_class classes[] = {
		[2] = ERR_NONE, [3] = ERR_NONE, [4] = ERR_TEMPORARY, [5] = ERR_PERMANENT
	};
	size_t enhanced_n;
	struct str words = join_words(c, &enhanced_n);

	words = str_trim(str_from(words, enhanced_n));
	err_set(e, classes[c->reply.code / 100], ERR_REMOTE, "%.*s", STR_ARG(words));
	e->code = (uint16_t)c->reply.code;
	e->enhanced = c->reply.enhanced;
}

void
client_fail_with_reply(struct smtp_client *c)
{
	struct err e;

	client_err_from_reply(c, &e);
	c->may_be_delivered = false;
	client_fail(c, &e);
}

void
client_fail_with_lie(struct smtp_client *c, const char *what)
{
	struct str words = str_part(buf_str(&c->reply.text), 0, 80);
	struct err e;

	if (c->reply.code)
		err_set(&e, ERR_TEMPORARY, ERR_PROTOCOL,
			"the other host does not keep to SMTP: at %s it %s: %d %.*s",
			smtp_stage_name(c->stage), what, c->reply.code, STR_ARG(words));
	else
		err_set(&e, ERR_TEMPORARY, ERR_PROTOCOL,
			"the other host does not keep to SMTP: at %s it %s",
			smtp_stage_name(c->stage), what);
	client_fail(c, &e);
}

/* The peer does not want this session, and is in step with us: it may have its QUIT (RFC 5321
 * §3.1). */
void
client_refuse_session(struct smtp_client *c)
{
	client_fail_with_reply(c);
	say(c, S("QUIT"));
}

void
smtp_client_lost(struct smtp_client *c, const struct err *e)
{
	struct err noted = *e;

	must(err_is(e));
	if (c->state == OVER)
		return;
	if (c->state == AWAIT_END && !c->body_is_open && !output_pending(c)) {
		err_set(&noted, e->class, e->kind,
			"%.120s; the whole message was sent, only the answer is missing", e->text);
		noted.cause = e->cause;
	}
	client_fail(c, &noted);
}

void
smtp_client_quit(struct smtp_client *c)
{
	must(c->state == IDLE);
	if (say(c, S("QUIT")))
		client_enter(c, AWAIT_QUIT);
}
