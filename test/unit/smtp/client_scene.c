/* SPDX-License-Identifier: Apache-2.0 */
#include "client_scene.h"

void
scene_begin(struct scene *s)
{
	if (s->settings.hostname.n == 0)
		s->settings.hostname = S("client.example");
	s->said.max = 1 << 20;
	s->said.n = 0;
	s->mails_begun = s->given = s->done = s->ahead_offered = s->tokens_asked = 0;
	s->is_ready = s->is_failed = s->is_closed = s->wants_tls = false;
	for (size_t i = 0; i < s->mails_n; i++)
		memset(s->mails[i].outcomes, 0,
			s->mails[i].recipients_n * sizeof s->mails[i].outcomes[0]);
	smtp_client_begin(&s->c, &s->settings);
}

void
scene_end(struct scene *s)
{
	smtp_client_free(&s->c);
	buf_free(&s->said);
}

static void
scene_next_mail(struct scene *s)
{
	s->given = 0;
	if (s->mails_begun < s->mails_n)
		smtp_client_mail(&s->c, &s->mails[s->mails_begun++]);
	else
		smtp_client_quit(&s->c);
}

static void
scene_give_body(struct scene *s)
{
	size_t n = s->piece ? s->piece : SMTP_CLIENT_PIECE_MAX;
	struct str piece = str_part(s->message, s->given, n);

	s->given += piece.n;
	smtp_client_body(&s->c, piece, s->given == s->message.n);
}

void
scene_flush(struct scene *s)
{
	buf_add(&s->said, smtp_client_output(&s->c));
	smtp_client_sent(&s->c, smtp_client_output(&s->c).n);
	assert_false(s->said.overflow);
}

void
scene_run(struct scene *s)
{
	for (;;)
		switch (smtp_client_next(&s->c)) {
		case CLIENT_WANT_INPUT:
			scene_flush(s);
			return;
		case CLIENT_WANT_OUTPUT:
			scene_flush(s);
			break;
		case CLIENT_WANT_TLS:
			assert_int_equal(smtp_client_output(&s->c).n, 0);
			s->wants_tls = true;
			return;
		case CLIENT_ON_READY:
			s->is_ready = true;
			if (s->misses_chunking)
				s->c.offers &= ~(unsigned)OFFERS_CHUNKING;
			scene_next_mail(s);
			break;
		case CLIENT_WANT_ASCII:
			s->ascii_asked++;
			smtp_client_ascii(&s->c, s->ascii.n);
			if (s->ascii.n)
				s->message = s->ascii;
			break;
		case CLIENT_WANT_TOKEN:
			smtp_client_token(&s->c, str_of(s->tokens[s->tokens_asked++]));
			break;
		case CLIENT_WANT_AHEAD:
			s->ahead_offered++;
			if (s->mails_begun < s->mails_n)
				scene_next_mail(s);
			break;
		case CLIENT_WANT_BODY:
			scene_give_body(s);
			break;
		case CLIENT_ON_DONE:
			s->done++;
			if (!s->c.ahead)
				scene_next_mail(s);
			break;
		case CLIENT_ON_FAILED:
			s->is_failed = true;
			scene_flush(s);
			return;
		case CLIENT_WANT_CLOSE:
			s->is_closed = true;
			return;
		}
}

void
scene_expect(struct scene *s, struct str line)
{
	struct str said = buf_str(&s->said);

	if (s->ignores_words)
		return;
	if (!str_starts(said, line) || !str_starts(str_from(said, line.n), S("\r\n")))
		fail_msg("expected '%.*s', the client said '%.*s'", STR_ARG(line),
			STR_ARG(str_part(said, 0, 200)));
	buf_drop(&s->said, line.n + 2);
}

/* Octet by octet, so that every scene also tests every way its input can be cut. */
void
scene_hear(struct scene *s, struct str line)
{
	struct buf bytes = { .max = 1 << 20 };

	if (!s->ignores_words && s->said.n)
		fail_msg("before '%.*s' the client also said '%.*s'", STR_ARG(line),
			STR_ARG(str_part(buf_str(&s->said), 0, 200)));
	buf_add(&bytes, line);
	buf_add(&bytes, S("\r\n"));
	for (size_t i = 0; i < bytes.n && s->peer_octets; i++, s->peer_octets--) {
		smtp_client_feed(&s->c, str_part(buf_str(&bytes), i, 1));
		scene_run(s);
	}
	buf_free(&bytes);
}

void
scene_shake(struct scene *s)
{
	assert_true(s->wants_tls);
	s->wants_tls = false;
	if (s->binding.n)
		smtp_client_bind(&s->c, S("tls-exporter"), s->binding);
	smtp_client_secured(&s->c, !s->is_unverified);
	scene_run(s);
}

void
scene_play(struct scene *s, const char *script)
{
	struct str line, rest = str_of(script);

	scene_begin(s);
	scene_run(s);
	while (rest.n && s->peer_octets) {
		str_cut(rest, '\n', &line, &rest);
		if (str_starts(line, S("C: ")))
			scene_expect(s, str_from(line, 3));
		else if (str_starts(line, S("S: ")))
			scene_hear(s, str_from(line, 3));
		else if (str_eq(line, S("TLS")))
			scene_shake(s);
		else
			fail_msg("no script line: %.*s", STR_ARG(line));
	}
	if (s->peer_octets && !s->ignores_words && s->said.n)
		fail_msg("at the end the client also said '%.*s'", STR_ARG(buf_str(&s->said)));
}

const struct str two[2] = { { "bob@example.org", 15 }, { "eve@example.org", 15 } };
struct smtp_outcome outcomes[2], outcomes_b[2];

struct smtp_client_mail
mail_to_two(struct smtp_outcome *o)
{
	memset(o, 0, 2 * sizeof *o);
	return (struct smtp_client_mail){
		.reverse_path = S("ann@example.net"),
		.recipients = two,
		.outcomes = o,
		.recipients_n = 2,
		.size = sizeof MESSAGE - 1,
	};
}

struct scene
scene_of(struct smtp_client_mail *mails, size_t n)
{
	return (struct scene){
		.mails = mails,
		.mails_n = n,
		.message = S(MESSAGE),
		.peer_octets = SIZE_MAX,
	};
}

void
assert_taken(const struct smtp_outcome *o)
{
	assert_true(o->is_settled);
	assert_int_equal(o->err.class, ERR_NONE);
	assert_int_equal(o->err.code, 250);
	assert_int_equal(o->stage, STAGE_END);
}

void
assert_refused(const struct smtp_outcome *o, enum err_class class, enum err_kind kind,
	enum smtp_stage stage, int code)
{
	assert_true(o->is_settled);
	assert_int_equal(o->err.class, class);
	assert_int_equal(o->err.kind, kind);
	assert_int_equal(o->err.code, code);
	assert_int_equal(o->stage, stage);
}
