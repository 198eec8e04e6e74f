/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/server.h"

#include "base/must.h"
#include "smtp/command.h"

/*
 * One SMTP session (RFC 5321), seen from the server. This file knows how input becomes lines and
 * pieces of a message, and when a session ends; what a command line means is in command.c, what
 * each answer of the driver leads to in server_answer.c, where a message ends in data.c.
 *
 *  1. Whatever arrives gets a reply or ends the session. Memory does not depend on numbers that the
 *     peer says: a line is gathered up to its limit and then swallowed, a message goes through in
 *     pieces, output above FLUSH_AT must be sent before more input is looked at.
 *  2. Replies are said in the order of the commands, each whole: the reply to a message at its end,
 *     whatever was wrong with it, and to a chunk when its last octet is swallowed (RFC 3030 §2).
 *  3. At most one question is open. Nothing is read while it is: so an answer finds the session as
 *     the question left it.
 *  4. A transaction is over in smtp_server_reset_transaction and nowhere else. If it was open and
 *     END had no yes, the driver hears ON_RESET before anything else.
 *  5. A 421 is the last reply, whoever causes it.
 *  6. Nothing is said or heard between STARTTLS's 220 and smtp_server_secured, and nothing outlives
 *     it but counters: no command is run that came in clear behind STARTTLS (RFC 3207 §6), wherever
 *     the input was cut.
 *
 *                          CONNECT   (next: ON_CONNECT is asked)
 *             settle: yes │   │ settle: no, permanent      │ settle: no, temporary
 *                         │   └──▶ REFUSED ─ QUIT ─┐       │
 *                         ▼                        ▼       ▼
 *       ┌─────────────▶ COMMAND ── QUIT, 421 ──▶ CLOSED ◀──── smtp_server_stop, from any state
 *       │                 │ │ │
 *       │   settle: ON_DATA │ └ command_auth ─▶ AUTH_PLAIN, AUTH_LOGIN ─▶ AUTH_PASSWORD
 *       │                 │ │                        │ command_auth_line       │
 *       │                 │ └── run_bdat ─▶ CHUNK    ▼                         ▼
 *       │                 ▼                │ │      smtp_server_end_auth: back to COMMAND
 *       │               DATA               │ └─ end_chunk, more to come: back to COMMAND
 *       │   end_message │                  │ end_chunk, LAST
 *       └───────────────┴──────────────────┘ (ON_END is asked, or the failure said)
 *
 *   And back to the beginning, with nothing known of the client:
 *
 *       CONNECT, where TLS comes first ──┐
 *       COMMAND, settle: ON_STARTTLS ────┴─▶ TLS ── smtp_server_secured ─▶ CONNECT, or COMMAND
 *       COMMAND, settle: ON_XCLIENT ─────────────────────────────────────▶ CONNECT
 *
 * A message that fails (too large, a bare line end, the driver's smtp_server_fail_body) is
 * `failure`: its pieces are swallowed from then on and the error is said at the end. A message in
 * chunks stays failed until its LAST chunk or RSET, so that a pipelining client's next chunks are
 * swallowed as chunks and cannot be taken for commands.
 */

enum {
	FLUSH_AT = 16 * 1024,	    /* octets of output that we let gather */
	OUT_KEPT = 256,		    /* octets of an empty output buffer that is worth keeping */
	OUT_MAX = 1024 * 1024,	    /* beyond FLUSH_AT and one reply: never reached */
	REPLY_TEXT_MAX = 32 * 1024, /* octets of a driver's text */
	HELLO_MAX = 256,
	ARENA_MAX = 4 * SMTP_COMMAND_LINE_MAX, /* all that one line can ask for */
};

_Static_assert(sizeof(struct smtp_server) <= 1024, "an idle session costs its struct");

static const struct err not_smtp = { .class = ERR_TEMPORARY,
	.kind = ERR_REFUSED,
	.text = "this is a mail server, and that was not SMTP" };

void
smtp_server_begin(struct smtp_server *s, const struct smtp_server_settings *settings)
{
	*s = (struct smtp_server){
		.settings = settings,
		.offers_auth = settings->offers_auth,
		.repairs_line_ends = settings->repairs_line_ends,
		.transaction.arena.max = ARENA_MAX,
		.scratch.max = ARENA_MAX,
		.auth.secrets.max = 2 * SMTP_AUTH_LINE_MAX,
		.line.max = SMTP_AUTH_LINE_MAX,
		.parked.max = SIZE_MAX,
		.out.max = OUT_MAX,
		.farewell.max = OUT_KEPT * 4,
		.hello_copy.max = HELLO_MAX,
	};
}

/* Gives back memory in which a password may lie. */
static void
forget(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->capacity);
	buf_free(b);
}

void
smtp_server_free(struct smtp_server *s)
{
	arena_free(&s->transaction.arena);
	arena_free(&s->scratch);
	forget(&s->auth.secrets);
	forget(&s->line);
	forget(&s->parked);
	buf_free(&s->out);
	buf_free(&s->farewell);
	buf_free(&s->hello_copy);
	*s = (struct smtp_server){ 0 };
}

void
smtp_server_feed(struct smtp_server *s, struct str bytes)
{
	must(s->in.n == 0);
	forget(&s->parked); /* used up */
	s->in = bytes;
}

void
smtp_server_park(struct smtp_server *s)
{
	if (s->in.n == 0 || s->parked.n)
		return; /* what is parked already, is ours */
	buf_add(&s->parked, s->in);
	s->in = buf_str(&s->parked);
}

enum line_kind { LINE_NONE, LINE_WHOLE, LINE_TOO_LONG };

static bool
is_in_auth(const struct smtp_server *s)
{
	return s->state == SERVER_AUTH_PLAIN || s->state == SERVER_AUTH_LOGIN ||
	       s->state == SERVER_AUTH_PASSWORD;
}

/*
 * The next line, without its end; an LF alone ends a command too, which harms nobody: what a
 * command is, both sides agree upon. In one piece it stays where it was fed; what comes in parts is
 * gathered in s->line, whose overflow stands for "too long" until the line ends.
 */
static enum line_kind
read_line(struct smtp_server *s, struct str *line)
{
	size_t end = str_find(s->in, '\n'), max = SMTP_COMMAND_LINE_MAX;
	bool is_whole = end < s->in.n;

	if (s->in.n == 0)
		return LINE_NONE;
	*line = str_part(s->in, 0, end);
	if (!is_whole || s->line.n || s->line.overflow) {
		buf_add(&s->line, *line);
		*line = buf_str(&s->line);
	}
	s->in = str_from(s->in, end + 1);
	if (!is_whole)
		return LINE_NONE;
	if (is_in_auth(s) || str_starts_nocase(*line, S("AUTH ")))
		max = SMTP_AUTH_LINE_MAX;
	if (s->line.overflow || line->n + 1 > max)
		return LINE_TOO_LONG;
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	return LINE_WHOLE;
}

static void
run_line(struct smtp_server *s, struct str line)
{
	if (is_in_auth(s))
		command_auth_line(s, line);
	else if (command_is_foreign(s, line))
		smtp_server_stop(s, &not_smtp);
	else
		command_run(s, line);
}

static void
refuse_long_line(struct smtp_server *s)
{
	static const struct reply auth_line_too_long = { 500, { 5, 5, 6 },
		S("this AUTH line is too long") };
	static const struct reply line_too_long = { 500, { 5, 5, 2 }, S("this line is too long") };

	if (is_in_auth(s)) {
		smtp_server_end_auth(s);
		smtp_server_say(s, auth_line_too_long);
	} else if (s->must_be_verb) {
		smtp_server_stop(s, &not_smtp);
	} else {
		smtp_server_say(s, line_too_long);
	}
}

static bool
step_line(struct smtp_server *s)
{
	struct str line;

	switch (read_line(s, &line)) {
	case LINE_NONE:
		return false;
	case LINE_WHOLE:
		run_line(s, line);
		break;
	case LINE_TOO_LONG:
		refuse_long_line(s);
		break;
	}
	s->commands++;
	s->must_be_verb = false;
	forget(&s->line);
	return true;
}

/*
 * What is wrong with the message so far, the worst first, so that the same octets get the same
 * reply wherever they were cut. A NUL or a long line is what BDAT can carry and DATA cannot: there
 * it is only noted.
 */
static void
judge_message(struct smtp_server *s)
{
	struct smtp_transaction *t = &s->transaction;
	enum err_kind kind;

	t->has_8bit = s->data.has_8bit;
	t->has_nul = s->data.has_nul;
	t->has_long_line = s->data.has_long_line;
	if (s->data.has_bare_line_end && !s->data.repair)
		kind = ERR_BARE_LINE_END;
	else if (t->has_nul && !s->has_chunks)
		kind = ERR_NUL;
	else if (t->has_long_line && !s->has_chunks)
		kind = ERR_LINE_TOO_LONG;
	else if (t->size > s->settings->message_size_max)
		kind = ERR_TOO_BIG;
	else
		return;
	s->failure = (struct err){ .class = ERR_PERMANENT, .kind = kind };
}

/* The piece goes to the driver as s->body, unless the message has failed. */
static void
take_piece(struct smtp_server *s, struct str piece)
{
	s->transaction.size += piece.n;
	judge_message(s);
	if (!err_is(&s->failure))
		s->body = piece;
}

static void
end_message(struct smtp_server *s)
{
	s->state = SERVER_COMMAND;
	if (!err_is(&s->failure)) {
		smtp_server_ask(s, SMTP_ON_END);
		return;
	}
	smtp_server_say(s, reply_from_err(&s->failure));
	smtp_server_reset_transaction(s);
}

static bool
step_data(struct smtp_server *s)
{
	struct str piece;

	switch (data_next(&s->data, &s->in, &piece)) {
	case DATA_MORE:
		return false;
	case DATA_PIECE:
		take_piece(s, piece);
		break;
	case DATA_END:
		end_message(s);
		break;
	}
	return true;
}

static void
end_chunk(struct smtp_server *s)
{
	struct str piece;

	if (!s->chunk_refusal && s->chunk_is_last && data_finish(&s->data, &piece)) {
		take_piece(s, piece);
		return; /* and come back */
	}
	s->state = SERVER_COMMAND;
	if (s->chunk_refusal) {
		smtp_server_say(s, *s->chunk_refusal);
		s->chunk_refusal = NULL;
		return;
	}
	judge_message(s);
	if (s->chunk_is_last)
		end_message(s);
	else if (err_is(&s->failure))
		smtp_server_say(s, reply_from_err(&s->failure));
	else
		smtp_server_say(s, (struct reply){ 250, { 2, 0, 0 }, S("chunk taken") });
}

static bool
step_chunk(struct smtp_server *s)
{
	struct str part = str_part(s->in, 0, s->chunk_left), piece = { 0 };
	size_t n = part.n;

	if (s->chunk_left == 0) {
		end_chunk(s);
		return true;
	}
	if (n == 0)
		return false;
	if (s->chunk_refusal || err_is(&s->failure))
		part.n = 0;
	else if (data_next(&s->data, &part, &piece) == DATA_PIECE)
		take_piece(s, piece);
	s->in = str_from(s->in, n - part.n);
	s->chunk_left -= n - part.n;
	return true;
}

/* One step in the state; false when it needs more input. */
static bool
step(struct smtp_server *s)
{
	switch (s->state) {
	case SERVER_CONNECT:
		if (s->begins_with_tls && !s->is_secure)
			s->state = SERVER_TLS;
		else
			smtp_server_ask(s, SMTP_ON_CONNECT);
		return true;
	case SERVER_REFUSED:
	case SERVER_COMMAND:
	case SERVER_AUTH_PLAIN:
	case SERVER_AUTH_LOGIN:
	case SERVER_AUTH_PASSWORD:
		return step_line(s);
	case SERVER_DATA:
		return step_data(s);
	case SERVER_CHUNK:
		return step_chunk(s);
	case SERVER_TLS:
	case SERVER_CLOSED:
		break;
	}
	return false;
}

/* What came and was not looked at. */
static void
forget_input(struct smtp_server *s)
{
	s->in = (struct str){ 0 };
	forget(&s->parked);
	forget(&s->line);
}

enum smtp_event
smtp_server_next(struct smtp_server *s)
{
	if (s->pending)
		return s->pending; /* asked, not answered: the driver comes back with what it waited
				      for */
	s->body = (struct str){ 0 };
	do {
		if (s->must_tell_reset) {
			s->must_tell_reset = false;
			return SMTP_ON_RESET;
		}
		if (s->state == SERVER_CLOSED || s->state == SERVER_TLS) {
			forget_input(s);
			return s->state == SERVER_TLS ? SMTP_WANT_TLS : SMTP_WANT_CLOSE;
		}
		if (s->out.n > FLUSH_AT && s->in.n) {
			smtp_server_park(s);
			return SMTP_WANT_FLUSH;
		}
		if (!step(s)) {
			forget(&s->parked);
			return SMTP_WANT_INPUT;
		}
	} while (!s->pending && !s->body.n);
	return s->pending ? s->pending : SMTP_ON_BODY;
}

void
smtp_server_ask(struct smtp_server *s, enum smtp_event event)
{
	s->pending = event;
}

/* Does this reply say that the client did not know what it was doing? A refused recipient does not.
 */
static bool
is_for_bad_command(int code)
{
	return (code >= 500 && code <= 504) || code == 555;
}

/* 421 begins with our name (RFC 5321 §4.2.3). */
static void
add_farewell(const struct smtp_server *s, struct buf *to, const struct err *e)
{
	struct reply r = reply_from_err(e);
	char words[512];

	snprintf(words, sizeof words, "%.*s %.*s", STR_ARG(s->settings->hostname), STR_ARG(r.text));
	r.enhanced.class = 4;
	reply_add(to, (struct reply){ 421, r.enhanced, str_of(words) });
}

void
smtp_server_say(struct smtp_server *s, struct reply r)
{
	static const struct err enough = { .class = ERR_TEMPORARY, .kind = ERR_TOO_MANY_ERRORS };

	if (is_for_bad_command(r.code) && ++s->bad_commands > SMTP_BAD_COMMANDS_MAX) {
		smtp_server_stop(s, &enough);
		return;
	}
	r.text = str_part(r.text, 0, REPLY_TEXT_MAX);
	r.utf8 = s->transaction.smtputf8 || s->argument_is_utf8;
	reply_add(&s->out, r);
	must(!s->out.overflow);
	if (r.code == 421)
		smtp_server_close(s);
}

void
smtp_server_close(struct smtp_server *s)
{
	smtp_server_reset_transaction(s);
	smtp_server_end_auth(s);
	s->state = SERVER_CLOSED;
}

void
smtp_server_end_auth(struct smtp_server *s)
{
	size_t max = s->auth.secrets.max;

	forget(&s->auth.secrets);
	s->auth = (struct smtp_auth){ .secrets.max = max };
	if (is_in_auth(s))
		s->state = SERVER_COMMAND;
}

void
smtp_server_reset_transaction(struct smtp_server *s)
{
	s->must_tell_reset |= s->transaction.is_open;
	arena_free(&s->transaction.arena);
	s->transaction = (struct smtp_transaction){ .arena.max = ARENA_MAX };
	s->failure = (struct err){ 0 };
	s->has_chunks = false;
}

void
smtp_server_begin_anew(struct smtp_server *s)
{
	smtp_server_reset_transaction(s);
	smtp_server_end_auth(s);
	buf_free(&s->hello_copy);
	s->hello = (struct str){ 0 };
	s->is_extended = s->is_logged_in = false;
}

void
smtp_server_fail_body(struct smtp_server *s, const struct err *e)
{
	if (!err_is(&s->failure))
		s->failure = *e;
}

void
smtp_server_stop(struct smtp_server *s, const struct err *e)
{
	if (s->state == SERVER_CLOSED || s->farewell.n)
		return;
	if (s->state != SERVER_TLS) /* whoever waits for a handshake cannot read it */
		add_farewell(s, s->pending ? &s->farewell : &s->out, e);
	if (!s->pending)
		smtp_server_close(s);
}

void
smtp_server_secured(struct smtp_server *s)
{
	must(s->state == SERVER_TLS);
	forget_input(s);
	smtp_server_begin_anew(s);
	s->is_secure = s->must_be_verb = true;
	s->state = s->begins_with_tls ? SERVER_CONNECT : SERVER_COMMAND;
}

struct str
smtp_server_output(const struct smtp_server *s)
{
	return buf_str(&s->out);
}

void
smtp_server_sent(struct smtp_server *s, size_t n)
{
	buf_drop(&s->out, n);
	if (s->out.n == 0 && s->out.capacity > OUT_KEPT)
		buf_free(&s->out);
}
