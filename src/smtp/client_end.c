/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_core.h"

#include "base/must.h"

/*
 * How things end: a recipient with its outcome, a session with its error. The laws are in client.c.
 */

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
break_off(struct smtp_client_mail *mail, const struct err *e, enum smtp_stage stage,
	bool may_be_delivered)
{
	for (size_t i = 0; mail && i < mail->recipients_n; i++)
		if (!mail->outcomes[i].is_settled)
			mail->outcomes[i] = (struct smtp_outcome){ *e, stage, true,
				.may_be_delivered = may_be_delivered };
}

static const char answer_is_missing[] = "; the whole message was sent, only the answer is missing";

/* The mail that went ahead, of which the peer has said nothing yet (law 1). */
static void
break_off_ahead(struct smtp_client *c, const struct err *why)
{
	bool has_left = c->said_ahead.has_begun && client_message_has_left(c, &c->said_ahead);
	struct err e;

	err_set(&e, ERR_TEMPORARY, why->kind == ERR_REMOTE ? ERR_CONNECTION_LOST : why->kind,
		"the session ended with the mail before this one: %.80s%s", why->text,
		has_left ? answer_is_missing : "");
	e.cause = why->cause;
	break_off(c->ahead, &e, has_left ? STAGE_END : STAGE_MAIL, has_left);
	c->ahead = NULL;
}

void
client_close_session(struct smtp_client *c)
{
	client_drop_output(c);
	client_enter(c, OVER);
	c->event = CLIENT_WANT_CLOSE;
}

/* What was still to be said is not said any more: half a message must not be followed by anything.
 * After QUIT nothing can go wrong. */
void
client_fail(struct smtp_client *c, const struct err *e)
{
	if (c->state == AWAIT_QUIT) {
		client_close_session(c);
		return;
	}
	c->error = *e;
	break_off(c->mail, e, c->stage, c->may_be_delivered);
	break_off_ahead(c, &c->error);
	c->mail = NULL;
	c->body_is_open = c->ascii_is_asked = false;
	client_drop_output(c);
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
	if (c->state == AWAIT_END && client_message_has_left(c, &c->said)) {
		err_set(&noted, e->class, e->kind, "%.120s%s", e->text, answer_is_missing);
		noted.cause = e->cause;
	}
	client_fail(c, &noted);
}

void
smtp_client_quit(struct smtp_client *c)
{
	must(c->state == IDLE && !c->ahead);
	if (say(c, S("QUIT")))
		client_enter(c, AWAIT_QUIT);
}
