/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client.h"

#include <inttypes.h>

#include "base/codec.h"
#include "base/must.h"

/*
 * How a mail is handed over (RFC 5321 §3, §4.1). Each state is a reply that is awaited; its row in
 * the table `steps` says which first digit means yes, and who acts on a yes and on a no:
 *
 *   AWAIT_GREETING    say_ehlo
 *        ▼
 *   AWAIT_EHLO        note_offers, log_in; on 5yz retry_as_helo ─► AWAIT_HELO  log_in
 *        ▼
 *   [AWAIT_PROMPT ×n  give_secret
 *    AWAIT_LOGIN]     become_ready
 *        ▼
 *   IDLE ◄───────────────────────────────────────────┐  CLIENT_ON_READY, CLIENT_ON_DONE
 *        ▼  smtp_client_mail, say_transaction        │
 *   [AWAIT_RSET]      reset_taken                    │
 *   AWAIT_MAIL        mail_taken, mail_refused ──────┤
 *   AWAIT_RCPT ×n     rcpt_taken, rcpt_refused       │
 *        ▼  all_rcpts_answered ──────────────────────┤
 *   [AWAIT_DATA]      begin_body, data_refused ──────┤  BDAT asks nobody
 *        ▼                                           │
 *   AWAIT_END         end_taken, end_refused ─finish─┘
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
 * Laws, whatever the peer says:
 *  1. A recipient is delivered only by a 2yz to its RCPT and a 2yz to the end of the message, the
 *     latter read when every octet of the message has left (answers_early). Silence, a lost
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
 *
 * A transaction that was given up half-way owes the peer an RSET. It is said with the next mail's
 * MAIL, so that it costs no round trip of its own.
 */

enum {
	SMALL = 65536,		 /* octets of a message sent without knowing who is taken */
	OUTPUT_LITTLE = 16384,	 /* pending octets below which more of the body is asked for */
	OUTPUT_MAX = 262144,	 /* pending octets ever: little, a group, a piece with its dots */
	INPUT_MAX = 262144,	 /* octets fed at once */
	IDLE_MEMORY_MAX = 32768, /* of each buffer between two mails */
	REPLY_TEXT_MAX = 16384,	 /* octets of one reply */
	PATH_MAX_SAID = 1000,	 /* octets of a path; RFC 5321 §4.5.3.1.3 says 256 */
	AUTH_INITIAL_LINE_MAX = 510, /* RFC 4954 §4: else the response waits for a prompt */
	MINUTE = 60000,		     /* ms */
};

enum state {
	AWAIT_GREETING,
	AWAIT_EHLO,
	AWAIT_HELO,
	AWAIT_PROMPT,
	AWAIT_LOGIN,
	IDLE,
	AWAIT_RSET,
	AWAIT_MAIL,
	AWAIT_RCPT,
	AWAIT_DATA,
	AWAIT_END,
	AWAIT_QUIT,
	OVER,
};

static void say_ehlo(struct smtp_client *c);
static void note_offers(struct smtp_client *c);
static void retry_as_helo(struct smtp_client *c);
static void log_in(struct smtp_client *c);
static void give_secret(struct smtp_client *c);
static void become_ready(struct smtp_client *c);
static void refuse_session(struct smtp_client *c);
static void reset_taken(struct smtp_client *c);
static void reset_refused(struct smtp_client *c);
static void mail_taken(struct smtp_client *c);
static void mail_refused(struct smtp_client *c);
static void rcpt_taken(struct smtp_client *c);
static void rcpt_refused(struct smtp_client *c);
static void begin_body(struct smtp_client *c);
static void data_refused(struct smtp_client *c);
static void end_taken(struct smtp_client *c);
static void end_refused(struct smtp_client *c);
static void close_session(struct smtp_client *c);

/* What each state awaits, how long (RFC 5321 §4.5.3.2), and what follows. yes: first digit, 0 when
 * nothing the peer may say is one. */
static const struct step {
	enum smtp_stage stage;
	int64_t patience_ms;
	int yes;
	void (*on_yes)(struct smtp_client *c), (*on_no)(struct smtp_client *c);
} steps[] = {
	[AWAIT_GREETING] = { STAGE_GREETING, 5 * MINUTE, 2, say_ehlo, refuse_session },
	[AWAIT_EHLO] = { STAGE_HELLO, 5 * MINUTE, 2, note_offers, retry_as_helo },
	[AWAIT_HELO] = { STAGE_HELLO, 5 * MINUTE, 2, log_in, refuse_session },
	[AWAIT_PROMPT] = { STAGE_AUTH, 5 * MINUTE, 3, give_secret, refuse_session },
	[AWAIT_LOGIN] = { STAGE_AUTH, 5 * MINUTE, 2, become_ready, refuse_session },
	[IDLE] = { STAGE_MAIL, 5 * MINUTE, 0, NULL, refuse_session },
	[AWAIT_RSET] = { STAGE_MAIL, 5 * MINUTE, 2, reset_taken, reset_refused },
	[AWAIT_MAIL] = { STAGE_MAIL, 5 * MINUTE, 2, mail_taken, mail_refused },
	[AWAIT_RCPT] = { STAGE_RCPT, 5 * MINUTE, 2, rcpt_taken, rcpt_refused },
	[AWAIT_DATA] = { STAGE_DATA, 2 * MINUTE, 3, begin_body, data_refused },
	[AWAIT_END] = { STAGE_END, 10 * MINUTE, 2, end_taken, end_refused },
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
		.state = AWAIT_GREETING,
		.stage = STAGE_GREETING,
		.input.max = INPUT_MAX,
		.out.max = OUTPUT_MAX,
		.words.max = REPLY_TEXT_MAX + 32,
		.reply.text.max = REPLY_TEXT_MAX,
	};
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
	buf_drop(&c->input, c->input.n - c->in.n);
	buf_add(&c->input, bytes);
	c->in = buf_str(&c->input);
}

static size_t
output_pending(const struct smtp_client *c)
{
	return c->out.n - c->out_sent;
}

static bool
is_pipelined(const struct smtp_client *c)
{
	return c->offers & OFFERS_PIPELINING;
}

static void
enter(struct smtp_client *c, enum state state)
{
	c->state = (int)state;
	c->stage = state == AWAIT_END && c->body_is_open ? STAGE_BODY : steps[state].stage;
}

static void fail_with_lie(struct smtp_client *c, const char *what);
static void fail_with_reply(struct smtp_client *c);

/* Is the question that this reply would answer still on its way? MAIL and RCPT of a group may be
 * answered while the rest of the group is leaving. */
static bool
answers_early(const struct smtp_client *c)
{
	bool in_group = c->state == AWAIT_RSET || c->state == AWAIT_MAIL || c->state == AWAIT_RCPT;

	if (in_group && is_pipelined(c))
		return !c->mail_has_left;
	return output_pending(c) || (c->state == AWAIT_END && c->body_is_open);
}

static void
take_reply(struct smtp_client *c)
{
	const struct step *step = &steps[c->state];
	int digit = c->reply.code / 100;
	bool is_no = digit == 4 || digit == 5;

	c->progress++;
	if (c->reply.code == 421 || (is_no && answers_early(c)))
		fail_with_reply(c);
	else if (is_no)
		step->on_no(c);
	else if (digit != step->yes)
		fail_with_lie(c, "gives a reply that means nothing here");
	else if (answers_early(c))
		fail_with_lie(c, "answers before it was asked");
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
		fail_with_lie(c, "talks without end");
	while (c->event == CLIENT_WANT_INPUT && c->state != OVER) {
		int whole = reply_read(&c->reply, &c->in);

		if (whole == 0)
			break;
		if (whole < 0)
			fail_with_lie(c, "says what is no reply");
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

static bool
is_sayable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
			return false;
	return true;
}

static void fail(struct smtp_client *c, const struct err *e);

/* Law 3. Addresses were checked before any word of their transaction was said (mail_is_possible);
 * what can still be refused here are the settings. */
static bool
say_parts(struct smtp_client *c, const struct str *parts, size_t n)
{
	struct err e;
	size_t begin = c->out.n;

	for (size_t i = 0; i < n; i++) {
		if (!is_sayable(parts[i])) {
			c->out.n = begin;
			err_set(&e, ERR_PERMANENT, ERR_OTHER,
				"line end or NUL in what would be said at %s",
				smtp_stage_name(c->stage));
			fail(c, &e);
			return false;
		}
		buf_add(&c->out, parts[i]);
	}
	buf_add(&c->out, S("\r\n"));
	must(!c->out.overflow);
	return true;
}

#define say(c, ...)                                       \
	say_parts(c, (const struct str[]){ __VA_ARGS__ }, \
		sizeof((const struct str[]){ __VA_ARGS__ }) / sizeof(struct str))

/* ── How things end ──────────────────────────────────────────────────────────────────────────── */

static void
settle_one(struct smtp_client *c, size_t i, const struct err *e)
{
	struct smtp_outcome *outcome = &c->mail->outcomes[i];

	if (!outcome->is_settled)
		*outcome = (struct smtp_outcome){ *e, c->stage, true };
}

static void
settle(struct smtp_client *c, const struct err *e)
{
	for (size_t i = 0; c->mail && i < c->mail->recipients_n; i++)
		settle_one(c, i, e);
}

static void
close_session(struct smtp_client *c)
{
	smtp_client_sent(c, output_pending(c));
	enter(c, OVER);
	c->event = CLIENT_WANT_CLOSE;
}

/* What was still to be said is not said any more: half a message must not be followed by anything.
 * After QUIT nothing can go wrong. */
static void
fail(struct smtp_client *c, const struct err *e)
{
	if (c->state == AWAIT_QUIT) {
		close_session(c);
		return;
	}
	c->error = *e;
	settle(c, e);
	c->mail = NULL;
	c->body_is_open = false;
	smtp_client_sent(c, output_pending(c));
	c->state = OVER; /* not enter(): `stage` goes on telling where it happened */
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

/* The reply just read, which is a no, as an err. */
static void
err_from_reply(struct smtp_client *c, struct err *e)
{
	bool is_temporary = c->reply.code / 100 == 4;
	size_t enhanced_n;
	struct str words = join_words(c, &enhanced_n);

	words = str_trim(str_from(words, enhanced_n));
	err_set(e, is_temporary ? ERR_TEMPORARY : ERR_PERMANENT, ERR_REMOTE, "%.*s",
		STR_ARG(words));
	e->code = (uint16_t)c->reply.code;
	e->enhanced = c->reply.enhanced;
}

static void
fail_with_reply(struct smtp_client *c)
{
	struct err e;

	err_from_reply(c, &e);
	fail(c, &e);
}

static void
fail_with_lie(struct smtp_client *c, const char *what)
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
	fail(c, &e);
}

/* The peer does not want this session, and is in step with us: it may have its QUIT (RFC 5321
 * §3.1). */
static void
refuse_session(struct smtp_client *c)
{
	fail_with_reply(c);
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
	fail(c, &noted);
}

void
smtp_client_quit(struct smtp_client *c)
{
	must(c->state == IDLE);
	if (say(c, S("QUIT")))
		enter(c, AWAIT_QUIT);
}

/* ── Greeting, EHLO, AUTH ────────────────────────────────────────────────────────────────────── */

static void
say_ehlo(struct smtp_client *c)
{
	enter(c, AWAIT_EHLO);
	say(c, S("EHLO "), c->settings->hostname);
}

/* RFC 5321 §3.2: a host that does not know EHLO says 5yz and gets HELO. */
static void
retry_as_helo(struct smtp_client *c)
{
	if (c->reply.code / 100 == 4) {
		refuse_session(c);
		return;
	}
	enter(c, AWAIT_HELO);
	say(c, S("HELO "), c->settings->hostname);
}

static void
note_mechanisms(struct smtp_client *c, struct str list)
{
	struct str word;

	while (list.n) {
		str_cut(list, ' ', &word, &list);
		if (str_eq_nocase(word, S("PLAIN")))
			c->offers |= OFFERS_AUTH_PLAIN;
		else if (str_eq_nocase(word, S("LOGIN")))
			c->offers |= OFFERS_AUTH_LOGIN;
	}
}

static void
note_offer(struct smtp_client *c, struct str line)
{
	static const struct {
		struct str keyword;
		unsigned bit;
	} known[] = {
		{ S("PIPELINING"), OFFERS_PIPELINING },
		{ S("SIZE"), OFFERS_SIZE },
		{ S("8BITMIME"), OFFERS_8BITMIME },
		{ S("SMTPUTF8"), OFFERS_SMTPUTF8 },
		{ S("CHUNKING"), OFFERS_CHUNKING },
		{ S("ENHANCEDSTATUSCODES"), OFFERS_ENHANCED },
		{ S("STARTTLS"), OFFERS_STARTTLS },
	};
	struct str keyword, rest;

	if (str_starts_nocase(line, S("AUTH="))) /* the form before RFC 2554 */
		note_mechanisms(c, str_from(line, 5));
	str_cut(str_trim(line), ' ', &keyword, &rest);
	if (str_eq_nocase(keyword, S("AUTH")))
		note_mechanisms(c, rest);
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (str_eq_nocase(keyword, known[i].keyword))
			c->offers |= known[i].bit;
	if (str_eq_nocase(keyword, S("SIZE")) && !scan_u64(&rest, &c->size_max))
		c->size_max = 0;
}

static void
note_offers(struct smtp_client *c)
{
	struct str line, rest = buf_str(&c->reply.text);

	str_cut(rest, '\n', &line, &rest); /* the first line only greets */
	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		note_offer(c, line);
	}
	log_in(c);
}

/* Base64 of [NUL login NUL] password, whose room is taken at once: a buffer that grows leaves
 * copies behind. */
static void
add_secret(struct buf *to, struct str login, struct str secret)
{
	struct buf plain = { .max = SMTP_AUTH_LINE_MAX };

	buf_room(&plain, login.n + secret.n + 2);
	if (login.n) { /* RFC 4616 §2, without an authorization identity */
		buf_add_char(&plain, '\0');
		buf_add(&plain, login);
		buf_add_char(&plain, '\0');
	}
	buf_add(&plain, secret);
	buf_room(to, plain.n / 3 * 4 + 4);
	codec_add_base64(to, buf_str(&plain));
	must(!plain.overflow && !to->overflow);
	explicit_bzero(plain.p, plain.n);
	buf_free(&plain);
}

static void
say_secret(struct smtp_client *c, struct str before, struct str login, struct str secret)
{
	struct buf line = { .max = SMTP_AUTH_LINE_MAX };

	add_secret(&line, login, secret);
	c->output_is_secret = true;
	say(c, before, buf_str(&line));
	explicit_bzero(line.p, line.n);
	buf_free(&line);
}

/* RFC 4954 §4: PLAIN in one line where that is short enough, else after a prompt; LOGIN (no RFC,
 * but all there is in places) after two. */
static void
log_in(struct smtp_client *c)
{
	struct str login = c->settings->login, password = c->settings->password;
	size_t response_n = (login.n + password.n + 4) / 3 * 4;
	struct err e;

	if (login.n == 0) {
		become_ready(c);
	} else if (response_n > SMTP_AUTH_LINE_MAX / 2 || !is_sayable(login) ||
		   !is_sayable(password)) {
		err_set(&e, ERR_PERMANENT, ERR_LOGIN_REFUSED,
			"login or password is too long, or holds a line end or NUL");
		fail(c, &e);
	} else if (c->offers & OFFERS_AUTH_PLAIN &&
		   response_n + sizeof "AUTH PLAIN" <= AUTH_INITIAL_LINE_MAX) {
		enter(c, AWAIT_LOGIN);
		say_secret(c, S("AUTH PLAIN "), login, password);
	} else if (c->offers & (OFFERS_AUTH_PLAIN | OFFERS_AUTH_LOGIN)) {
		bool plain = c->offers & OFFERS_AUTH_PLAIN;

		enter(c, AWAIT_PROMPT);
		c->prompts_left = plain ? 1 : 2;
		say(c, plain ? S("AUTH PLAIN") : S("AUTH LOGIN"));
	} else {
		err_set(&e, ERR_PERMANENT, ERR_LOGIN_REFUSED,
			"the other host does not offer a login (AUTH PLAIN or LOGIN)");
		fail(c, &e);
	}
}

static void
give_secret(struct smtp_client *c)
{
	struct str login = c->settings->login, password = c->settings->password;

	c->prompts_left--;
	enter(c, c->prompts_left ? AWAIT_PROMPT : AWAIT_LOGIN);
	if (c->offers & OFFERS_AUTH_PLAIN)
		say_secret(c, S(""), login, password);
	else
		say_secret(c, S(""), S(""), c->prompts_left ? login : password);
}

static void
become_ready(struct smtp_client *c)
{
	enter(c, IDLE);
	c->event = CLIENT_ON_READY;
}

/* ── A transaction ───────────────────────────────────────────────────────────────────────────── */

static bool
is_path_sayable(struct str path)
{
	return path.n <= PATH_MAX_SAID && is_sayable(path);
}

/* Everything that can be known to fail before a word is said. */
static bool
mail_is_possible(const struct smtp_client *c, struct err *e)
{
	const struct smtp_client_mail *mail = c->mail;
	bool paths_are_sayable = is_path_sayable(mail->reverse_path);

	for (size_t i = 0; i < mail->recipients_n; i++)
		paths_are_sayable = paths_are_sayable && is_path_sayable(mail->recipients[i]);
	if (!paths_are_sayable)
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
	enter(c, IDLE);
	c->event = CLIENT_ON_DONE;
}

static void
say_mail(struct smtp_client *c)
{
	const struct smtp_client_mail *mail = c->mail;
	char size[32] = "";

	if (c->offers & OFFERS_SIZE)
		snprintf(size, sizeof size, " SIZE=%" PRIu64, mail->size);
	say(c, S("MAIL FROM:<"), mail->reverse_path, S(">"), str_of(size),
		mail->has_8bit && c->offers & OFFERS_8BITMIME ? S(" BODY=8BITMIME") : S(""),
		mail->smtputf8 ? S(" SMTPUTF8") : S(""));
}

static void
say_rcpt(struct smtp_client *c, size_t i)
{
	say(c, S("RCPT TO:<"), c->mail->recipients[i], S(">"));
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
	enter(c, c->needs_reset ? AWAIT_RSET : AWAIT_MAIL);
	if (c->needs_reset)
		say(c, S("RSET"));
	if (is_pipelined(c) || !c->needs_reset)
		say_mail(c);
	if (is_pipelined(c))
		for (size_t i = 0; i < c->mail->recipients_n; i++)
			say_rcpt(c, i);
	if (c->content_is_ahead)
		say_content(c);
}

void
smtp_client_mail(struct smtp_client *c, struct smtp_client_mail *mail)
{
	struct err e;

	must(c->state == IDLE && c->event == CLIENT_WANT_INPUT);
	must(mail->recipients_n && mail->recipients_n <= SMTP_CLIENT_RECIPIENTS_MAX);
	c->mail = mail;
	c->recipient_next = c->recipients_taken = 0;
	c->mail_is_refused = false;
	c->uses_chunking = c->offers & OFFERS_CHUNKING && !c->settings->avoids_chunking;
	c->content_is_ahead = is_pipelined(c) && (!c->uses_chunking || mail->size <= SMALL);
	c->body_given = 0;
	memcpy(c->body_tail, "\r\n", 2);
	enter(c, IDLE);
	if (c->in.n)
		return; /* words nobody asked for: smtp_client_next() takes them as such */
	c->mail_has_left = false;
	if (mail_is_possible(c, &e)) {
		say_transaction(c);
	} else {
		settle(c, &e);
		finish(c);
	}
}

static void
reset_taken(struct smtp_client *c)
{
	c->needs_reset = false;
	enter(c, AWAIT_MAIL);
	if (!is_pipelined(c))
		say_mail(c);
}

/* RSET cannot be refused (RFC 5321 §4.1.1.5), and this mail is not what the peer objects to. */
static void
reset_refused(struct smtp_client *c)
{
	fail_with_lie(c, "refuses RSET");
}

static void
mail_taken(struct smtp_client *c)
{
	enter(c, AWAIT_RCPT);
	if (!is_pipelined(c))
		say_rcpt(c, 0);
}

/* The replies to a group said ahead still come, and are counted off. */
static void
mail_refused(struct smtp_client *c)
{
	struct err e;

	err_from_reply(c, &e);
	settle(c, &e);
	c->mail_is_refused = true;
	if (is_pipelined(c))
		enter(c, AWAIT_RCPT);
	else
		finish(c);
}

static void
all_rcpts_answered(struct smtp_client *c)
{
	if (c->content_is_ahead) {
		enter(c, c->uses_chunking ? AWAIT_END : AWAIT_DATA);
	} else if (c->recipients_taken == 0 || c->mail_is_refused) {
		c->needs_reset = true;
		finish(c);
	} else {
		say_content(c);
		enter(c, c->uses_chunking ? AWAIT_END : AWAIT_DATA);
	}
}

static void
rcpt_answered(struct smtp_client *c)
{
	c->recipient_next++;
	if (c->recipient_next == c->mail->recipients_n)
		all_rcpts_answered(c);
	else if (!is_pipelined(c))
		say_rcpt(c, c->recipient_next);
}

static void
rcpt_taken(struct smtp_client *c)
{
	c->recipients_taken++;
	rcpt_answered(c);
}

static void
rcpt_refused(struct smtp_client *c)
{
	struct err e;

	err_from_reply(c, &e);
	/* RFC 5321 §4.5.3.1.10: 552 is also how old hosts say "too many recipients". X.2.z is a
	 * mailbox that is full or closed: that one means what it says. */
	if (e.code == 552 && e.enhanced.subject != 2)
		e.class = ERR_TEMPORARY;
	settle_one(c, c->recipient_next, &e);
	rcpt_answered(c);
}

/* ── The message ─────────────────────────────────────────────────────────────────────────────── */

/* 354. With nobody left to send to, the message ends before it began (RFC 2920 §3.1). But when
 * MAIL was refused and some RCPT was not, a dot might deliver an empty message. */
static void
begin_body(struct smtp_client *c)
{
	if (c->recipients_taken && c->mail_is_refused) {
		fail_with_lie(c, "asks for a message that it refused");
		return;
	}
	if (c->recipients_taken)
		c->body_is_open = true;
	else
		say(c, S("."));
	enter(c, AWAIT_END);
}

static void
data_refused(struct smtp_client *c)
{
	struct err e;

	err_from_reply(c, &e);
	settle(c, &e);
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
		if (!c->uses_chunking && memcmp(c->body_tail, "\r\n", 2) != 0)
			buf_add(&c->out, S("\r\n"));
		if (!c->uses_chunking)
			buf_add(&c->out, S(".\r\n"));
		enter(c, (enum state)c->state);
	}
	must(!c->out.overflow);
}

static void
end_taken(struct smtp_client *c)
{
	struct err none = { .code = (uint16_t)c->reply.code, .enhanced = c->reply.enhanced };
	size_t enhanced_n;

	c->mail->final_words = join_words(c, &enhanced_n);
	settle(c, &none);
	c->needs_reset = false;
	finish(c);
}

/* After a message ended by a dot the peer has forgotten the transaction (RFC 5321 §4.1.1.4); after
 * BDAT nobody knows (RFC 3030 §2). */
static void
end_refused(struct smtp_client *c)
{
	struct err e;

	err_from_reply(c, &e);
	settle(c, &e);
	c->needs_reset = c->uses_chunking;
	finish(c);
}
