/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/filter.h"
#include "role/receive/gate.h"

#include <errno.h>

#include "base/log.h"
#include "base/must.h"

/*
 * Receiving: from a connection to a record in the log. session_run below is the table of contents;
 * the protocol is smtp/server.c, the decisions are admit.c, the log is spool/draft.c and spool.c.
 *
 * Between the final dot and 250 a session waits for its own disk only (border.c). It begins in
 * door.c; what all sessions share, and their time, is house.c.
 */

enum { SCRATCH_SIZE = 64 * 1024 };

static enum turn session_flush_and_listen(struct session *s);
static enum turn session_take_body(struct session *s);
static enum turn session_commit(struct session *s);
static enum turn session_forget_mail(struct session *s);

/* For an answer: nothing that its client says is looked at before. */
static bool
session_waits(const struct session *s)
{
	return s->ask.state == ASK_WAITING || filter_is_asking(s);
}

void
session_run(struct session *s)
{
	enum turn step = NEXT;

	if (s->is_running)
		return;
	s->is_running = true;
	while (step == NEXT)
		switch (smtp_server_next(&s->smtp)) {
		case SMTP_WANT_INPUT:
			step = session_flush_and_listen(s);
			break;
		case SMTP_WANT_FLUSH:
			step = session_flush(s);
			break;
		case SMTP_ON_CONNECT:
			step = admit_client(s);
			break;
		case SMTP_ON_HELLO:
			step = admit_hello(s);
			break;
		case SMTP_ON_STARTTLS:
			step = admit_tls(s);
			break;
		case SMTP_WANT_TLS:
			step = secure_session(s);
			break;
		case SMTP_ON_XCLIENT:
			step = admit_xclient(s);
			break;
		case SMTP_ON_AUTH:
			step = admit_login(s);
			break;
		case SMTP_ON_MAIL:
			step = admit_sender(s);
			break;
		case SMTP_ON_RCPT:
			step = admit_recipient(s);
			break;
		case SMTP_ON_DATA:
			step = admit_message(s);
			break;
		case SMTP_ON_BODY:
			step = session_take_body(s);
			break;
		case SMTP_ON_END:
			step = session_commit(s);
			break;
		case SMTP_ON_RESET:
			step = session_forget_mail(s);
			break;
		case SMTP_ON_VRFY:
			step = admit_verify(s);
			break;
		case SMTP_ON_EXPN:
			step = admit_expand(s);
			break;
		case SMTP_WANT_CLOSE:
			s->is_over = true;
			step = session_flush_and_listen(s);
			break;
		}
	s->is_running = false;
	if (step == DONE)
		session_free(&s);
	else if (session_waits(s))
		smtp_server_park(
			&s->smtp); /* what was read with this turn's scratch must outlive it */
}

/* Everything said goes out in one write. */
enum turn
session_flush(struct session *s)
{
	struct str out = smtp_server_output(&s->smtp);

	while (out.n) {
		ssize_t n = stream_write(&s->stream, out);

		if (n < 0 && errno != EAGAIN)
			return DONE;
		if (n < 0) {
			s->is_blocked = true;
			loop_watch_set(s->watch, stream_wants(&s->stream));
			return WAIT;
		}
		smtp_server_sent(&s->smtp, (size_t)n);
		out = smtp_server_output(&s->smtp);
	}
	return s->is_over ? DONE : NEXT;
}

static enum turn
session_flush_and_listen(struct session *s)
{
	enum turn step;
	struct err e;

	if (!s->is_over && gate_has_enough(s, &e)) {
		smtp_server_stop(&s->smtp, &e);
		return NEXT;
	}
	gate_heard(s);
	step = session_flush(s);
	if (step != NEXT)
		return step;
	loop_watch_set(s->watch, LOOP_READ);
	return WAIT;
}

static enum turn
session_take_body(struct session *s)
{
	struct err e = { 0 };

	header_watch_feed(&s->header, s->smtp.body);
	if (s->filters ? !filter_append(s, s->smtp.body, &e)
		       : !draft_append(s->draft, s->smtp.body, &e))
		smtp_server_fail_body(&s->smtp, &e);
	return NEXT;
}

/* An address for a log line. */
static const char *
session_quote(struct address a)
{
	struct buf text = { .max = 2 * ADDRESS_PATH_MAX };
	const char *quoted;

	address_add(&text, a);
	quoted = log_quote(buf_str(&text));
	buf_free(&text);
	return quoted;
}

void
session_log_refusal(const struct session *s, const struct err *e)
{
	log_event("refused", "client=%s login=%s from=%s to=%s why=%s", s->client,
		log_quote(buf_str(&s->login)), session_quote(s->smtp.transaction.reverse_path),
		session_quote(s->smtp.recipient), log_quote(str_of(e->text)));
}

static enum turn
session_refuse_mail(struct session *s, const struct err *e)
{
	session_log_refusal(s, e);
	draft_discard(&s->draft);
	smtp_server_answer(&s->smtp, e);
	return NEXT;
}

static uint32_t
envelope_flags(const struct session *s)
{
	const struct smtp_transaction *t = &s->smtp.transaction;

	return (t->smtputf8 ? SPOOL_SMTPUTF8 : 0u) | (t->has_8bit ? SPOOL_8BIT : 0u) |
	       (t->has_nul || t->has_long_line ? SPOOL_NEEDS_CHUNKING : 0u) |
	       (s->is_trusted || (s->is_local && !s->is_reader) ? SPOOL_TRUSTED : 0u) |
	       (t->returns == SMTP_RETURN_FULL ? SPOOL_RET_FULL : 0u) |
	       (t->returns == SMTP_RETURN_HDRS ? SPOOL_RET_HDRS : 0u);
}

static void
session_submit(struct session *s, const struct header_facts *facts)
{
	struct buf from = { .max = 2 * ADDRESS_PATH_MAX }, prefix = { .max = SPOOL_PREFIX_MAX };
	int64_t now_ms = loop_wall_ms();
	struct spool_envelope envelope;

	if (!s->filters) /* else they know it already */
		s->id = mail_id_random();
	address_add(&from, s->smtp.transaction.reverse_path);
	trace_add(&prefix, s, facts, now_ms);
	must(!prefix.overflow && !from.overflow);
	envelope = (struct spool_envelope){ .id = s->id,
		.arrived_ms = now_ms,
		.flags = envelope_flags(s),
		.reverse_path = buf_str(&from),
		.client = str_of(s->client),
		.login = buf_str(&s->login),
		.token = buf_str(&s->token),
		.recipients = buf_str(&s->recipients),
		.recipients_n = s->recipients_n,
		.envid = s->smtp.transaction.envelope_id,
		.dsn = s->has_dsn ? buf_str(&s->dsn) : S(""),
		.hold_until_ms = s->smtp.transaction.hold_until_s * 1000 };
	if (s->filters)
		filter_amend_envelope(s, &envelope);
	draft_commit_take(&s->draft, &envelope, buf_str(&prefix), s);
	s->ask.state = ASK_WAITING; /* for the disk */
	s->ask.since_ms = loop_now_ms(s->house->role.loop);
	buf_free(&from);
	buf_free(&prefix);
}

static void
forget_envelope(struct session *s)
{
	filter_forget(s);
	buf_free(&s->recipients);
	s->recipients_n = 0;
	buf_free(&s->dsn);
	s->has_dsn = false;
	s->message_ms = 0;
}

static void
session_say_kept(struct session *s)
{
	char id[MAIL_ID_TEXT], words[64];

	snprintf(words, sizeof words, "kept as %s", mail_id_text(s->id, id));
	smtp_server_accept(&s->smtp, 250, str_of(words));
	ask_clear(&s->ask);
	forget_envelope(s);
}

/* A filter wants it to vanish, and nobody to know: the words are those of a yes. */
static enum turn
session_discard(struct session *s)
{
	char id[MAIL_ID_TEXT];

	log_event("discarded", "id=%s from=%s client=%s login=%s", mail_id_text(s->id, id),
		session_quote(s->smtp.transaction.reverse_path), s->client,
		log_quote(buf_str(&s->login)));
	draft_discard(&s->draft);
	session_say_kept(s);
	return NEXT;
}

/* The filters have the whole message. Yes leaves the draft to be committed. */
static enum turn
session_filter(struct session *s, struct header_facts *facts)
{
	struct err e = { 0 };

	if (filter_message(s, facts, &e) == WAIT)
		return WAIT;
	if (err_is(&e))
		return session_refuse_mail(s, &e);
	if (filter_discards(s))
		return session_discard(s);
	facts->has_date = facts->has_message_id = facts->begins_with_field =
		true; /* filter_split */
	session_submit(s, facts);
	return WAIT;
}

/* The final dot: law 1. The yes is said here and nowhere else, and only after session_settled has
 * stored it. */
static enum turn
session_commit(struct session *s)
{
	struct header_facts facts;
	struct err e;
	char id[MAIL_ID_TEXT];

	if (s->ask.state == ASK_NONE) {
		facts = s->header.facts;
		facts.begins_with_field |= s->smtp.transaction.size == 0;
		if (facts.received > SMTP_HOPS_MAX) {
			err_set(&e, ERR_PERMANENT, ERR_LOOP,
				"this mail has passed more than %d hosts: it goes round in circles",
				SMTP_HOPS_MAX);
			return session_refuse_mail(s, &e);
		}
		if (s->filters)
			return session_filter(s, &facts);
		session_submit(s, &facts);
		return WAIT;
	}
	if (s->ask.state == ASK_FAILED) {
		e = s->ask.err;
		ask_clear(&s->ask);
		return session_refuse_mail(s, &e);
	}
	log_event("kept", "id=%s from=%s recipients=%u octets=%llu client=%s login=%s",
		mail_id_text(s->id, id), session_quote(s->smtp.transaction.reverse_path),
		s->recipients_n, (unsigned long long)s->smtp.transaction.size, s->client,
		log_quote(buf_str(&s->login)));
	judge_kept(s);
	session_say_kept(s);
	return NEXT;
}

static enum turn
session_forget_mail(struct session *s)
{
	draft_discard(&s->draft);
	forget_envelope(s);
	return NEXT;
}

void
session_ready(void *owner, int events)
{
	static char scratch[SCRATCH_SIZE];
	struct session *s = owner;
	ssize_t n;

	if (session_waits(s)) { /* it says more before it has our answer: later */
		loop_watch_set(s->watch, 0);
		return;
	}
	(void)events;
	if (s->awaits_proxy) {
		door_read_proxy(s);
		return;
	}
	if (s->is_leaving) {
		if (secure_leave(s) == DONE)
			session_free(&s);
		return;
	}
	if (s->is_blocked) {
		s->is_blocked = false;
		session_run(s);
		return;
	}
	n = stream_read(&s->stream, scratch, sizeof scratch);
	if (n < 0 && errno == EAGAIN) {
		loop_watch_set(s->watch, stream_wants(&s->stream));
		return;
	}
	if (n <= 0) { /* a bare end of the connection never ends a mail */
		session_free(&s);
		return;
	}
	list_remove(&s->link);
	list_append(&s->house->sessions, &s->link);
	s->smtp.now_s = loop_wall_ms() / 1000;
	smtp_server_feed(&s->smtp, (struct str){ scratch, (size_t)n });
	session_run(s);
}

void
session_free(struct session **session)
{
	struct session *s = *session;

	*session = NULL;
	if (s->ask.state == ASK_WAITING && s->ask.number == 0)
		draft_forget(s->house->writer, s);
	gate_leave(s);
	draft_discard(&s->draft);
	list_remove(&s->link);
	list_remove(&s->late_shake);
	s->house->sessions_n--;
	loop_watch_close(&s->watch);
	stream_close(&s->stream);
	if (s->is_shaking)
		secure_call_next(s->house);
	smtp_server_free(&s->smtp);
	ask_clear(&s->ask);
	buf_free(&s->login);
	buf_free(&s->token);
	forget_envelope(s);
	filter_close(s);
	house_drop_terms(s->terms);
	if (s->house->is_draining && s->house->sessions_n == 0)
		role_exit(&s->house->role, 0);
	free(s);
}
