/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"

/*
 * A core with a connection. ph_step does what can be done without waiting, and says what it waits for (fd, want, deadline);
 * ph_send is the loop around it that waits with poll.
 *
 *   IDLE ─ph_start─► CONNECTING ─► TALKING ◄─► SHAKING
 *     ▲                  │            │
 *     └──────────────────┴────────────┘   the mail has its results; the connection stays, or is gone
 *
 * Everything that goes wrong behind CONNECTING is told to the core (smtp_client_lost), which settles the mail, and ends in `over`.
 * A mail gets a second connection in two cases, each once: TLS was only to be tried and did not work, and the connection of an
 * earlier mail turned out to be dead before this one's message was on its way to anybody.
 */

enum { TRACE_LINE_MAX = 65536 };

int64_t
session_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
session_wait(struct ph_session *s, int want, int64_t patience_ms)
{
	s->want = want;
	s->deadline_ms =
		session_now_ms() + (s->set->patience_ms ? s->set->patience_ms : patience_ms);
}

/* ── a session ── */

static struct ph_session *
session_new(struct memory memory)
{
	struct ph_session *s = memory_take(&memory, sizeof *s);

	if (!s)
		return NULL;
	s->memory = memory;
	s->set = &s->own;
	s->arena = (struct arena){ .max = 1 << 20, .memory = &s->memory };
	s->facts = (struct buf){ .max = 256, .memory = &s->memory };
	s->trace.ours = s->trace.theirs =
		(struct buf){ .max = TRACE_LINE_MAX, .memory = &s->memory };
	s->stream.fd = s->given_fd = -1;
	return s;
}

struct ph_session *
session_new_like(struct ph_session *model)
{
	struct ph_session *s = session_new(model->memory);

	if (s)
		s->set = model->set;
	return s;
}

ph_session *
ph_session_new_in(const char *url, const struct ph_memory *given)
{
	struct ph_session *s = session_new(client_memory(given));

	if (!s)
		return NULL;
	if (gethostname(s->own.hostname, sizeof s->own.hostname - 1) < 0 ||
		!domain_is_valid(str_of(s->own.hostname), false))
		snprintf(s->own.hostname, sizeof s->own.hostname, "localhost");
	way_parse(&s->own.way, str_of(url), &s->own.error);
	if (s->own.way.path[0])
		s->own.tls = PH_TLS_NEVER;
	return s;
}

ph_session *
ph_session_new(const char *url)
{
	return ph_session_new_in(url, NULL);
}

/* What can leave without waiting leaves: a QUIT. */
static void
hang_up(struct ph_session *s)
{
	struct str output =
		s->core && s->core->has_begun ? smtp_client_output(&s->core->smtp) : S("");

	if (s->state == SESSION_TALKING && output.n) {
		ssize_t n = stream_write(&s->stream, output);

		if (n > 0)
			trace_ours(&s->trace, &s->core->smtp, str_part(output, 0, (size_t)n));
	}
	s->wants_clear |= s->core && s->core->smtp.lacks_tls && s->set->way.user[0];
	stream_close(&s->stream);
	ph_core_free(s->core);
	s->core = NULL;
	s->state = SESSION_IDLE;
	s->is_ready = false;
	if (s->addresses)
		freeaddrinfo(s->addresses);
	s->addresses = s->address = NULL;
}

void
ph_session_free(ph_session *s)
{
	struct memory memory;

	if (!s)
		return;
	memory = s->memory;
	if (s->is_ready)
		ph_core_quit(s->core);
	if (s->mail)
		s->mail->session = NULL;
	hang_up(s);
	if (s->given_fd >= 0)
		close(s->given_fd);
	tls_close(&s->own.terms);
	trace_free(&s->trace);
	buf_free(&s->facts);
	text_wipe(&s->own.password);
	text_wipe(&s->own.token);
	arena_free(&s->arena);
	memory_release(&memory, s);
}

/* ── beginning ── */

static bool
make_core(struct ph_session *s, struct err *e)
{
	static const enum smtp_client_tls tls[] = { [PH_TLS_VERIFY] = CLIENT_TLS_REQUIRE,
		[PH_TLS_ENCRYPT] = CLIENT_TLS_REQUIRE,
		[PH_TLS_TRY] = CLIENT_TLS_TRY,
		[PH_TLS_NEVER] = CLIENT_TLS_NEVER };
	const struct settings *set = s->set;
	struct smtp_client_settings *to;

	s->core = core_new(str_of(set->hostname), set->way.is_lmtp ? PH_CORE_LMTP : 0, &s->memory);
	if (!s->core)
		return err_set(e, ERR_TEMPORARY, ERR_NO_SPACE, "no memory for a connection");
	to = &s->core->settings;
	to->tls = s->goes_clear	      ? CLIENT_TLS_NEVER
		  : set->way.is_smtps ? CLIENT_TLS_FIRST
				      : tls[set->tls];
	to->login = str_of(set->way.user);
	to->password = set->password;
	if (set->mechanisms)
		to->mechanisms = set->mechanisms;
	to->has_token = set->on_token != NULL;
	to->host = str_of(set->way.host);
	s->core->next = s->next && !result_is_settled(s->next) ? s->next : NULL;
	s->core->on_token = set->on_token;
	s->core->token_context = set->token_context;
	s->trace.hook = set->on_trace;
	s->trace.context = set->trace_context;
	return true;
}

void
session_forget(struct ph_session *s, const struct ph_mail *m)
{
	if (s->core && core_forget(s->core, m))
		s->deadline_ms =
			0; /* what became of the other mail is to be looked after at once */
	if (s->next == m)
		s->next = NULL;
	if (s->mail == m) {
		s->mail = NULL;
		hang_up(s);
	}
}

static void
note_error(struct ph_session *s, const char *text)
{
	text_copy(s->error, sizeof s->error, text);
}

static enum ph_status
finish(struct ph_session *s, struct ph_mail *m)
{
	must(m);
	m->session = NULL;
	s->mail = s->core && s->core->mail != m ? s->core->mail : NULL;
	return result_status(m);
}

/* Before there was a core to tell it. */
static enum ph_status
fail_unsaid(struct ph_session *s, const struct err *e)
{
	note_error(s, e->text);
	trace_happened(&s->trace, "%s", s->error);
	if (s->mail)
		result_settle_rest(s->mail, e, STAGE_CONNECT);
	hang_up(s);
	return s->mail ? finish(s, s->mail) : PH_LATER;
}

static enum ph_status
begin_connection(struct ph_session *s)
{
	struct err e = { 0 };

	s->was_kept = s->wants_clear = false;
	buf_reset(&s->facts);
	return make_core(s, &e) && connect_begin(s, &e) ? PH_UNDERWAY : fail_unsaid(s, &e);
}

/* ── the end of a connection ── */

/* Did the server close a connection that it had kept, before it was given the message? Then nobody has taken anything, unless it was
 * given to other recipients before. */
static bool
was_stale(const struct ph_session *s, const struct ph_mail *m)
{
	const struct smtp_client *c = &s->core->smtp;

	return s->was_kept && !c->may_be_delivered && !result_may_be_there(m) &&
	       c->stage < STAGE_BODY &&
	       (c->error.kind == ERR_CONNECTION_LOST || c->error.code == 421);
}

static enum ph_status
over(struct ph_session *s, struct ph_mail *m)
{
	const struct smtp_client *c = &s->core->smtp;
	bool goes_clear =
		m && s->set->tls == PH_TLS_TRY && !s->goes_clear && smtp_client_may_go_clear(c);
	bool again = goes_clear || (m && was_stale(s, m));

	note_error(s, c->error.text);
	trace_happened(&s->trace, "%s", s->error);
	if (m && !again)
		result_settle_rest(m, &c->error, c->stage);
	hang_up(s);
	s->goes_clear = goes_clear;
	if (!again)
		return m ? finish(s, m) : PH_LATER;
	trace_happened(&s->trace, "once more%s", goes_clear ? ", in clear" : "");
	result_begin(m);
	return begin_connection(s);
}

static void
lose(struct ph_session *s, enum err_kind kind, const char *why)
{
	struct err e;

	err_set(&e, ERR_TEMPORARY, kind, "%s", why);
	smtp_client_lost(&s->core->smtp, &e);
}

/* ── the dialogue ── */

/* Moves what can be moved. False: nothing could be. What is lost, the core knows. */
static bool
exchange(struct ph_session *s)
{
	char octets[STREAM_RECORD];
	struct str output = smtp_client_output(&s->core->smtp);
	ssize_t moved = 0;
	bool has_moved = false;

	s->want = PH_READ;
	if (output.n) {
		moved = stream_write(&s->stream, output);
		if (moved > 0) {
			trace_ours(&s->trace, &s->core->smtp, str_part(output, 0, (size_t)moved));
			smtp_client_sent(&s->core->smtp, (size_t)moved);
			has_moved = true;
		} else if (errno == EAGAIN) {
			s->want = PH_READ | PH_WRITE;
		}
	}
	/* also where writing failed: the last words may say why */
	moved = stream_read(&s->stream, octets, sizeof octets);
	if (moved > 0) {
		trace_theirs(&s->trace, (struct str){ octets, (size_t)moved });
		smtp_client_feed(&s->core->smtp, (struct str){ octets, (size_t)moved });
		return true;
	}
	if (moved < 0 && errno == EAGAIN)
		return has_moved;
	lose(s, ERR_CONNECTION_LOST,
		moved == 0 || errno == ECONNRESET || errno == EPIPE
			? "the other host closed the connection"
			: "the connection broke");
	return true;
}

/* Nothing moves. True: it has not for too long, and the core knows. */
static bool
is_late(struct ph_session *s)
{
	const struct smtp_client *c = &s->core->smtp;

	if (s->progress != c->progress || s->deadline_ms == 0) {
		s->progress = c->progress;
		session_wait(s, s->want, smtp_client_patience_ms(c));
		return false;
	}
	if (session_now_ms() < s->deadline_ms)
		return false;
	lose(s, ERR_TIMEOUT, "the other host did not answer in time");
	return true;
}

static enum ph_status
talk(struct ph_session *s)
{
	struct ph_mail *m = s->mail;

	for (;;)
		switch (ph_core_next(s->core)) {
		case PH_WANT_INPUT:
		case PH_WANT_OUTPUT:
			if (!exchange(s) && !is_late(s))
				return PH_UNDERWAY;
			break;
		case PH_WANT_TLS:
			if (!session_secure(s))
				return PH_UNDERWAY;
			break;
		case PH_READY:
			must(core_mail(s->core, m));
			break;
		case PH_DONE:
			s->error[0] = '\0'; /* of a connection before this one */
			s->was_kept = true;
			s->is_ready = !s->core->mail;
			return finish(s, m);
		case PH_FAILED:
			return over(s, m);
		case PH_CLOSE:
			hang_up(s);
			return PH_SENT;
		}
}

/* Has the server closed a connection that was kept, or said something unasked (421: it is about to)? */
static bool
is_dead(struct ph_session *s)
{
	char octets[STREAM_RECORD];

	return stream_read(&s->stream, octets, sizeof octets) >= 0 || errno != EAGAIN;
}

void
session_offer(struct ph_session *s, struct ph_mail *next)
{
	s->next = next;
	if (s->core)
		s->core->next = next;
}

/* ── as a program uses it ── */

static enum ph_status
refuse(struct ph_session *s, const char *why)
{
	note_error(s, why);
	return PH_INVALID;
}

static enum ph_status
refuse_mail(struct ph_session *s, struct ph_mail *m, const char *why)
{
	result_refuse(m, why);
	return refuse(s, why);
}

enum ph_status
ph_start(ph_session *s, ph_mail *m)
{
	if (!mail_is_free(m))
		return refuse(s, "the mail is being sent already");
	if (s->mail)
		return refuse_mail(s, m, "the session is busy with another mail");
	return mail_prepare(m) ? session_start(s, m) : PH_INVALID;
}

/* A URL may have named a user, and nobody a secret. */
static bool
has_whole_login(const struct settings *set)
{
	return !set->way.user[0] || set->password.n || set->on_token;
}

enum ph_status
session_start(struct ph_session *s, struct ph_mail *m)
{
	if (err_is(&s->set->error))
		return refuse_mail(s, m, s->set->error.text);
	if (!has_whole_login(s->set))
		return refuse_mail(s, m, "a login without a password");
	s->mail = m;
	m->session = s;
	s->error[0] = '\0';
	result_begin(m);
	s->goes_clear = false;
	s->deadline_ms = 0;
	if (s->is_ready && is_dead(s))
		hang_up(s);
	if (s->is_ready) {
		s->is_ready = false;
		must(core_mail(s->core, m));
	} else if (begin_connection(s) != PH_UNDERWAY) {
		return result_status(m);
	}
	return ph_step(s);
}

static void
set_password_rule(struct ph_session *s)
{
	s->core->settings.shows_password =
		s->set->tls == PH_TLS_NEVER || (s->set->tls == PH_TLS_TRY && s->is_local);
}

enum ph_status
ph_step(ph_session *s)
{
	enum ph_status status = PH_UNDERWAY;
	struct err e = { 0 };

	if (s->is_ready)
		return refuse(s, "no mail is being sent");
	while (status == PH_UNDERWAY) {
		enum session_state before = s->state;

		switch (s->state) {
		case SESSION_IDLE:
			return refuse(s, "no mail is being sent");
		case SESSION_CONNECTING:
			if (!connect_step(s, &e))
				status = fail_unsaid(s, &e);
			break;
		case SESSION_SHAKING:
			session_shake(s);
			break;
		case SESSION_TALKING:
			set_password_rule(s);
			status = talk(s);
			if (status == PH_UNDERWAY && s->state == SESSION_TALKING)
				return status;
			break;
		}
		if (s->state == before)
			break;
	}
	return status;
}

static void
wait(const struct ph_session *s)
{
	struct pollfd p = { .fd = s->stream.fd,
		.events = (short)((s->want & PH_READ ? POLLIN : 0) |
				  (s->want & PH_WRITE ? POLLOUT : 0)) };
	int64_t left_ms = s->deadline_ms - session_now_ms();

	poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
}

enum ph_status
ph_send(ph_session *s, ph_mail *m)
{
	enum ph_status status = ph_start(s, m);

	for (; status == PH_UNDERWAY; status = ph_step(s))
		wait(s);
	return status;
}

void
ph_quit(ph_session *s)
{
	if (!s->is_ready)
		return;
	s->is_ready = false;
	s->deadline_ms = 0;
	ph_core_quit(s->core);
	while (ph_step(s) == PH_UNDERWAY)
		wait(s);
}

void
ph_connected(ph_session *s, int fd)
{
	if (s->given_fd >= 0)
		close(s->given_fd);
	s->given_fd = fd;
}

int
ph_fd(const ph_session *s)
{
	return s->stream.fd;
}

int
ph_want(const ph_session *s)
{
	return s->want;
}

int64_t
ph_deadline(const ph_session *s)
{
	return s->deadline_ms;
}

const char *
ph_session_error(const ph_session *s)
{
	if (err_is(&s->set->error))
		return s->set->error.text;
	return s->error[0] ? s->error : NULL;
}

const char *
ph_session_tls(const ph_session *s)
{
	return s->facts.n ? s->facts.p : "";
}

bool
ph_session_wants_clear(const ph_session *s)
{
	return s->wants_clear;
}
