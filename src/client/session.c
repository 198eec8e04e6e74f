/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 * A core with a connection. ph_step does what can be done without waiting, and says what it waits for (fd, want, deadline);
 * ph_send is the loop around it that waits with poll.
 *
 *   IDLE ─ph_start─► CONNECTING ─► TALKING ◄─► SHAKING
 *     ▲                  │            │
 *     └──────────────────┴────────────┘   the mail has its results; the connection stays, or is gone
 */

enum { CONNECT_PATIENCE_MS = 30000 };

enum session_state { IDLE, CONNECTING, TALKING, SHAKING, QUITTING };

struct ph_session {
	const struct ph_memory *memory;
	struct way way;
	char hostname[256], error[256];
	struct str password;
	enum ph_tls tls;
	struct arena arena;
	struct tls *terms;
	bool is_invalid;

	enum session_state state;
	struct ph_mail *mail;
	struct ph_core *core;
	struct stream stream;
	struct addrinfo *addresses, *address; /* those that were found; the one that is tried */
	int want;
	int64_t deadline_ms;
	bool is_ready; /* the connection waits for a mail */
	struct buf facts;
};

static const struct memory *
memory_of(const struct ph_session *s)
{
	return (const void *)s->memory;
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

ph_session *
ph_session_new_in(const char *url, const struct ph_memory *memory)
{
	struct ph_session *s = memory_take((const void *)memory, sizeof *s);
	struct err e;

	if (!s)
		return NULL;
	s->memory = memory;
	s->arena = (struct arena){ .max = 1 << 20, .memory = memory_of(s) };
	s->facts = (struct buf){ .max = 256, .memory = memory_of(s) };
	s->stream.fd = -1;
	if (gethostname(s->hostname, sizeof s->hostname - 1) < 0 ||
		!domain_is_valid(str_of(s->hostname), false))
		snprintf(s->hostname, sizeof s->hostname, "localhost");
	if (!way_parse(&s->way, str_of(url), &e)) {
		s->is_invalid = true;
		snprintf(s->error, sizeof s->error, "%s", e.text);
	}
	if (s->way.path[0])
		s->tls = PH_TLS_NEVER;
	return s;
}

ph_session *
ph_session_new(const char *url)
{
	return ph_session_new_in(url, NULL);
}

static void
hang_up(struct ph_session *s)
{
	stream_close(&s->stream);
	ph_core_free(s->core);
	s->core = NULL;
	s->state = IDLE;
	s->is_ready = false;
	if (s->addresses)
		freeaddrinfo(s->addresses);
	s->addresses = s->address = NULL;
}

void
ph_session_free(ph_session *s)
{
	if (!s)
		return;
	hang_up(s);
	tls_close(&s->terms);
	buf_free(&s->facts);
	arena_free(&s->arena);
	memory_release(memory_of(s), s);
}

void
ph_login(ph_session *s, const char *user, const char *password)
{
	if (user)
		snprintf(s->way.user, sizeof s->way.user, "%s", user);
	arena_dup(&s->arena, str_of(password), &s->password);
}

void
ph_tls(ph_session *s, enum ph_tls tls)
{
	s->tls = tls;
}

void
ph_trust(ph_session *s, const char *pem_file)
{
	struct err e;

	tls_close(&s->terms);
	s->terms = tls_client_open_file(pem_file, &e);
	if (!s->terms) {
		s->is_invalid = true;
		snprintf(s->error, sizeof s->error, "%s", e.text);
	}
}

/* ── a connection ── */

static enum ph_status finish(struct ph_session *s);

static enum ph_status
fail(struct ph_session *s, const struct err *e, enum smtp_stage stage)
{
	snprintf(s->error, sizeof s->error, "%s", e->text);
	mail_settle_rest(s->mail, e, stage);
	hang_up(s);
	return finish(s);
}

static void
wait_for(struct ph_session *s, int want, int64_t patience_ms)
{
	s->want = want;
	s->deadline_ms = now_ms() + patience_ms;
}

static bool
connect_to(struct ph_session *s, const struct sockaddr *address, socklen_t n)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return false;
	stream_open(&s->stream, fd);
	if (connect(fd, address, n) < 0 && errno != EINPROGRESS) {
		int problem = errno;

		stream_close(&s->stream);
		errno = problem;
		return false;
	}
	s->state = CONNECTING;
	wait_for(s, PH_WRITE, CONNECT_PATIENCE_MS);
	return true;
}

/* The next address, or the error of the last one. */
static bool
connect_next(struct ph_session *s)
{
	while (s->address) {
		struct addrinfo *a = s->address;

		s->address = a->ai_next;
		if (connect_to(s, a->ai_addr, a->ai_addrlen))
			return true;
	}
	return false;
}

static bool
look_up(struct ph_session *s, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	int problem = getaddrinfo(s->way.host, s->way.port, &hints, &s->addresses);

	if (problem)
		return err_set(e, problem == EAI_AGAIN ? ERR_TEMPORARY : ERR_PERMANENT, ERR_CONNECT,
			"cannot look up %s: %s", s->way.host, gai_strerror(problem));
	s->address = s->addresses;
	return true;
}

static bool
begin_connection(struct ph_session *s, struct err *e)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	unsigned flags = (s->way.is_lmtp ? PH_CORE_LMTP : 0) |
			 (s->way.is_smtps ? PH_CORE_TLS_FIRST : 0) |
			 (s->tls <= PH_TLS_ENCRYPT ? PH_CORE_STARTTLS : PH_CORE_CLEAR_LOGIN);

	s->core = ph_core_new(s->hostname, flags, s->memory);
	if (!s->core)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "no memory");
	if (s->way.user[0])
		ph_core_login(s->core, s->way.user, s->password.p ? s->password.p : "");
	memcpy(local.sun_path, s->way.path, sizeof local.sun_path);
	if (s->way.path[0] ? connect_to(s, (const struct sockaddr *)&local, sizeof local)
			   : look_up(s, e) && connect_next(s))
		return true;
	return err_is(e) ? false
			 : err_set(e, ERR_TEMPORARY, ERR_CONNECT, "cannot connect: %s",
				   strerror(errno));
}

static enum ph_status
note_connected(struct ph_session *s)
{
	int problem = 0;
	socklen_t n = sizeof problem;
	struct err e = { 0 };

	if (getsockopt(s->stream.fd, SOL_SOCKET, SO_ERROR, &problem, &n) < 0)
		problem = errno;
	if (problem) {
		stream_close(&s->stream);
		if (connect_next(s))
			return PH_UNDERWAY;
		err_set(&e, ERR_TEMPORARY, ERR_CONNECT, "cannot connect: %s", strerror(problem));
		return fail(s, &e, STAGE_CONNECT);
	}
	s->state = TALKING;
	return PH_UNDERWAY;
}

/* ── the dialogue ── */

/* Moves what can be moved. False: the connection is gone, and the core knows. */
static bool
exchange(struct ph_session *s)
{
	char bytes[STREAM_RECORD];
	size_t n;
	const char *output = ph_core_output(s->core, &n);
	ssize_t moved;

	if (n) {
		moved = stream_write(&s->stream, (struct str){ output, n });
		if (moved > 0)
			ph_core_sent(s->core, (size_t)moved);
		else if (errno != EAGAIN)
			return ph_core_lost(s->core, "the connection broke"), false;
	}
	moved = stream_read(&s->stream, bytes, sizeof bytes);
	if (moved > 0)
		ph_core_feed(s->core, bytes, (size_t)moved);
	else if (moved == 0 || errno != EAGAIN)
		return ph_core_lost(s->core, "the other host closed the connection"), false;
	return moved > 0;
}

static bool
open_terms(struct ph_session *s, struct err *e)
{
	if (!s->terms)
		s->terms = tls_client_open_file(NULL, e);
	if (!s->terms)
		s->terms = tls_client_open(S(""), e);
	return s->terms != NULL;
}

static bool
begin_tls(struct ph_session *s, struct err *e)
{
	s->state = SHAKING;
	return open_terms(s, e) && stream_secure_client(&s->stream, s->terms, str_of(s->way.host),
					   s->tls == PH_TLS_VERIFY, e);
}

static enum ph_status
shake(struct ph_session *s)
{
	struct err e;

	switch (stream_shake(&s->stream, &e)) {
	case STREAM_DONE:
		buf_reset(&s->facts);
		stream_add_facts(&s->facts, &s->stream);
		s->state = TALKING;
		ph_core_secured(s->core);
		return PH_UNDERWAY;
	case STREAM_WANT_READ:
		wait_for(s, PH_READ, CONNECT_PATIENCE_MS);
		return PH_UNDERWAY;
	case STREAM_WANT_WRITE:
		wait_for(s, PH_WRITE, CONNECT_PATIENCE_MS);
		return PH_UNDERWAY;
	default:
		return fail(s, &e, STAGE_TLS);
	}
}

static enum ph_status
finish(struct ph_session *s)
{
	enum ph_status status = mail_status(s->mail);

	s->mail = NULL;
	return status;
}

static enum ph_status
talk(struct ph_session *s)
{
	struct err e = { 0 };
	size_t n;

	for (;;)
		switch (ph_core_next(s->core)) {
		case PH_WANT_INPUT:
		case PH_WANT_OUTPUT:
			if (exchange(s))
				break;
			ph_core_output(s->core, &n);
			wait_for(s, n ? PH_READ | PH_WRITE : PH_READ,
				smtp_client_patience_ms(&s->core->smtp));
			return PH_UNDERWAY;
		case PH_WANT_TLS:
			return begin_tls(s, &e) ? shake(s) : fail(s, &e, STAGE_TLS);
		case PH_READY:
			ph_core_mail(s->core, s->mail);
			break;
		case PH_DONE:
			s->is_ready = true;
			return finish(s);
		case PH_FAILED:
			snprintf(s->error, sizeof s->error, "%s", ph_core_error(s->core));
			mail_settle_rest(s->mail, &s->core->smtp.error, s->core->smtp.stage);
			hang_up(s);
			return finish(s);
		case PH_CLOSE:
			hang_up(s);
			return PH_SENT;
		}
}

enum ph_status
ph_start(ph_session *s, ph_mail *m)
{
	struct err e = { 0 };

	if (s->is_invalid || !mail_prepare(m))
		return PH_INVALID;
	s->mail = m;
	s->error[0] = '\0';
	mail_begin_results(m);
	if (s->is_ready) {
		s->is_ready = false;
		ph_core_mail(s->core, m);
	} else if (!begin_connection(s, &e)) {
		return fail(s, &e, STAGE_CONNECT);
	}
	return ph_step(s);
}

enum ph_status
ph_step(ph_session *s)
{
	struct pollfd p = { .fd = s->stream.fd, .events = POLLOUT };

	if (s->state == CONNECTING && poll(&p, 1, 0) == 0)
		return PH_UNDERWAY;
	if (s->state == CONNECTING && note_connected(s) != PH_UNDERWAY)
		return PH_LATER;
	return s->state == SHAKING ? shake(s) : talk(s);
}

enum ph_status
ph_send(ph_session *s, ph_mail *m)
{
	enum ph_status status = ph_start(s, m);

	while (status == PH_UNDERWAY) {
		struct pollfd p = { .fd = s->stream.fd,
			.events = (short)((s->want & PH_READ ? POLLIN : 0) |
					  (s->want & PH_WRITE ? POLLOUT : 0)) };
		int64_t left_ms = s->deadline_ms - now_ms();

		poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
		status = ph_step(s);
	}
	return status;
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
	return s->error[0] ? s->error : NULL;
}

const char *
ph_session_tls(const ph_session *s)
{
	return s->facts.n ? s->facts.p : "";
}
