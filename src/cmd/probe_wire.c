/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/ip.h"
#include "base/must.h"
#include "io/loop.h"

/*
 * One connection of a probe: plain blocking steps, each of which waits no longer than --timeout for the next octet that it needs. A
 * step is noted with its time and printed when it is over, so that a person sees where a peer hangs.
 */

enum {
	ARENA_MAX = 64 << 20,
	REPLIES_MAX = 1 << 20, /* octets heard and not asked for yet */
	WORDS_SHOWN = 200,     /* octets of what is no SMTP */
};

static int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void
probe_begin(
	struct probe *p, const struct probe_order *order, const struct way *way, struct tls *terms)
{
	*p = (struct probe){ .order = order,
		.way = way,
		.terms = terms,
		.arena.max = ARENA_MAX,
		.stream.fd = -1,
		.input.max = REPLIES_MAX,
		.reply.text.max = SMTP_REPLY_MAX,
		.steps_room = 32 + 2 * order->to.n + order->raw_lines.n };
	p->steps = calloc(p->steps_room, sizeof *p->steps);
	must(p->steps);
}

void
probe_end(struct probe *p)
{
	stream_close(&p->stream);
	buf_free(&p->input);
	buf_free(&p->reply.text);
	free(p->steps);
	arena_free(&p->arena);
}

bool
probe_fail(struct probe *p, enum err_class class, enum err_kind kind, const char *format, ...)
{
	char text[sizeof p->error.text];
	va_list values;

	va_start(values, format);
	vsnprintf(text, sizeof text, format, values);
	va_end(values);
	if (!err_is(&p->error))
		err_set(&p->error, class, kind, "%s", text);
	return false;
}

static void
note(struct probe *p, const char *name, struct str said, struct str answer, int64_t us)
{
	struct probe_step *s = &p->steps[p->steps_n];

	must(p->steps_n < p->steps_room);
	*s = (struct probe_step){ .name = name, .code = p->reply.code, .us = us };
	if (!arena_dup(&p->arena, said, &s->said) || !arena_dup(&p->arena, answer, &s->answer))
		probe_fail(p, ERR_PERMANENT, ERR_PROTOCOL,
			"the other host says more than anyone reads");
	p->steps_n++;
	if (!p->is_quiet)
		probe_print_step(s);
}

const struct probe_step *
probe_last(const struct probe *p)
{
	must(p->steps_n);
	return &p->steps[p->steps_n - 1];
}

/* ── connecting ── */

static bool
wait_for(struct probe *p, short events)
{
	struct pollfd fd = { .fd = p->stream.fd, .events = events };
	int ready;

	do
		ready = poll(&fd, 1, (int)p->order->patience_ms);
	while (ready < 0 && errno == EINTR);
	return ready > 0 || probe_fail(p, ERR_TEMPORARY, ERR_TIMEOUT, "no answer in time");
}

/* 0, or an errno. */
static int
connect_to(struct probe *p, const struct sockaddr *address, socklen_t n)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
	    problem = 0;
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof problem;
	int at_once = 1;

	if (fd < 0)
		return errno;
	/* else what is timed is the peer's delayed ACK; a UNIX socket has no such thing */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
	if (connect(fd, address, n) < 0)
		problem = errno;
	if (problem == EINPROGRESS && poll(&ready, 1, (int)p->order->patience_ms) == 1)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size);
	if (problem == 0)
		stream_open(&p->stream, fd);
	else
		close(fd);
	return problem == EINPROGRESS ? ETIMEDOUT : problem;
}

/* name: the address that answered, for people. 0, or an errno; -1: the error is set. */
static int
connect_by_name(struct probe *p, char name[256])
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all;
	int problem = getaddrinfo(p->way->host, p->way->port, &hints, &all);
	char host[INET6_ADDRSTRLEN + 32];

	if (problem) {
		probe_fail(p, problem == EAI_AGAIN ? ERR_TEMPORARY : ERR_PERMANENT, ERR_CONNECT,
			"cannot look up %s: %s", p->way->host, gai_strerror(problem));
		return -1;
	}
	problem = ECONNREFUSED;
	for (struct addrinfo *a = all; a && p->stream.fd < 0; a = a->ai_next) {
		problem = connect_to(p, a->ai_addr, a->ai_addrlen);
		if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof host, NULL, 0,
			    NI_NUMERICHOST) == 0)
			snprintf(name, 256, "%s port %s", host, p->way->port);
	}
	freeaddrinfo(all);
	return problem;
}

bool
probe_connect(struct probe *p)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	char name[256], words[300];
	int64_t begin = now_us();
	int problem;

	p->is_near = way_is_near(p->way);
	snprintf(name, sizeof name, "%s", p->way->path[0] ? p->way->path : p->way->host);
	if (p->way->path[0]) {
		memcpy(local.sun_path, p->way->path, sizeof local.sun_path);
		problem = connect_to(p, (const struct sockaddr *)&local, sizeof local);
	} else {
		problem = connect_by_name(p, name);
	}
	if (problem)
		return probe_fail(p, ERR_TEMPORARY, ERR_CONNECT, "cannot connect to %s: %s", name,
			strerror(problem > 0 ? problem : ECONNREFUSED));
	snprintf(words, sizeof words, "connected to %s", name);
	p->since_us = now_us();
	note(p, "connect", S(""), str_of(words), p->since_us - begin);
	return true;
}

/* ── TLS ── */

static bool
shake(struct probe *p)
{
	enum stream_step step;
	struct err e = { 0 };

	while ((step = stream_shake(&p->stream, &e)) == STREAM_WANT_READ ||
		step == STREAM_WANT_WRITE)
		if (!wait_for(p, step == STREAM_WANT_READ ? POLLIN : POLLOUT))
			return false;
	return step == STREAM_DONE || probe_fail(p, e.class, ERR_TLS, "%s", e.text);
}

static void
note_handshake(struct probe *p)
{
	struct probe_handshake *h = &p->handshake;
	struct buf words = { .max = 512 };
	struct stream_facts f;

	stream_facts(&p->stream, &f);
	stream_certificate(&p->stream, &h->certificate);
	h->is_good = true;
	h->is_verified = f.is_verified;
	h->bits = f.bits;
	h->version = str_of(f.version); /* OpenSSL's constants, all three */
	h->cipher = str_of(f.cipher);
	h->unverified = str_of(f.unverified);
	stream_add_facts(&words, &p->stream);
	p->reply.code = 0;
	note(p, "tls", S(""), buf_str(&words), h->us);
	buf_free(&words);
}

/* Whoever it is gets its handshake, so that its certificate can be looked at; what that is worth is said behind it. */
bool
probe_shake(struct probe *p)
{
	int64_t begin = now_us();
	bool is_good;

	p->handshake.is_tried = true;
	p->is_open = false;
	if (p->input.n)
		probe_fail(p, ERR_PERMANENT, ERR_PROTOCOL,
			"words in clear came in front of the handshake: somebody put them there, "
			"or the peer would take such from others");
	buf_reset(&p->input);
	is_good =
		stream_secure_client(&p->stream, p->terms, str_of(p->way->host), false, &p->error);
	if (is_good && p->only)
		stream_only_version(&p->stream, *p->only);
	is_good = is_good && shake(p);
	p->since_us = now_us();
	p->handshake.us = p->since_us - begin;
	if (!is_good) {
		p->handshake.error = p->error;
		return false;
	}
	p->is_open = !p->order->is_tls_first; /* else the banner comes first */
	note_handshake(p);
	return p->order->tls != PROBE_TLS_REQUIRE || p->handshake.is_verified ||
	       probe_fail(p, ERR_TEMPORARY, ERR_TLS, "the certificate is not good for %s: %.*s",
		       p->way->host, STR_ARG(p->handshake.unverified));
}

/* ── lines ── */

bool
probe_say(struct probe *p, struct str octets)
{
	p->since_us = now_us();
	while (octets.n) {
		ssize_t n = stream_write(&p->stream, octets);

		if (n > 0) {
			octets = str_from(octets, (size_t)n);
		} else if (errno != EAGAIN) {
			p->is_open = false;
			return probe_fail(p, ERR_TEMPORARY, ERR_CONNECTION_LOST,
				"the connection broke: %s", strerror(errno));
		} else if (!wait_for(p, stream_wants(&p->stream) == LOOP_READ ? POLLIN : POLLOUT)) {
			return false;
		}
	}
	return true;
}

void
probe_note_said(struct probe *p, const char *name, struct str said)
{
	p->reply.code = 0;
	note(p, name, said, S(""), now_us() - p->since_us);
}

static bool
read_more(struct probe *p)
{
	char bytes[STREAM_RECORD];
	ssize_t n = stream_read(&p->stream, bytes, sizeof bytes);

	if (n < 0 && errno == EAGAIN)
		return wait_for(p, stream_wants(&p->stream) == LOOP_WRITE ? POLLOUT : POLLIN);
	if (n > 0)
		buf_add(&p->input, (struct str){ bytes, (size_t)n });
	if (n > 0 && !p->input.overflow)
		return true;
	p->is_open = false;
	if (n > 0)
		return probe_fail(
			p, ERR_PERMANENT, ERR_PROTOCOL, "the other host does not stop to talk");
	return probe_fail(p, ERR_TEMPORARY, ERR_CONNECTION_LOST,
		"the other host closed the connection%s%s", n < 0 ? ": " : "",
		n < 0 ? strerror(errno) : "");
}

/* The reply's lines as they came, control characters masked: "250-SIZE 1000\n250 HELP". */
static void
write_reply(const struct reply_reader *r, struct buf *to)
{
	struct str line, rest = buf_str(&r->text);
	bool is_more;

	do {
		is_more = str_cut(rest, '\n', &line, &rest);
		buf_addf(to, "%s%03d%c%.*s", to->n ? "\n" : "", r->code, is_more ? '-' : ' ',
			STR_ARG(line));
	} while (is_more);
}

bool
probe_hear(struct probe *p, const char *name, struct str said)
{
	struct buf answer = { .max = 2 * SMTP_REPLY_MAX };
	struct str in;
	int verdict;

	reply_reader_reset(&p->reply);
	for (;;) {
		in = buf_str(&p->input);
		verdict = reply_read(&p->reply, &in);
		if (verdict < 0)
			buf_add(&answer, str_part(in, 0, WORDS_SHOWN));
		buf_drop(&p->input, p->input.n - in.n);
		if (verdict != 0 || !read_more(p))
			break;
	}
	if (verdict > 0)
		write_reply(&p->reply, &answer);
	note(p, name, said, buf_str(&answer), now_us() - p->since_us);
	p->since_us = now_us();
	buf_free(&answer);
	if (verdict < 0) {
		p->is_open = false;
		probe_fail(p, ERR_PERMANENT, ERR_PROTOCOL, "this is no reply of SMTP");
	}
	return verdict > 0;
}

bool
probe_ask(struct probe *p, const char *name, struct str line, struct str said)
{
	struct buf out = { .max = line.n + 2 };
	bool is_said;

	buf_add(&out, line);
	buf_add(&out, S("\r\n"));
	is_said = probe_say(p, buf_str(&out));
	if (out.p)
		explicit_bzero(out.p, out.n);
	buf_free(&out);
	return is_said && probe_hear(p, name, said);
}

bool
probe_refused(struct probe *p)
{
	struct err e;

	if (p->reply.code < 400)
		return false;
	err_set(&e, p->reply.code < 500 ? ERR_TEMPORARY : ERR_PERMANENT, ERR_REMOTE, "%d %.*s",
		p->reply.code, STR_ARG(buf_str(&p->reply.text)));
	if (!err_is(&p->error))
		p->error = e;
	if (p->reply.code == 421)
		p->is_open = false;
	return true;
}

bool
probe_offers(const struct probe *p, struct str keyword, struct str *value)
{
	struct str line, rest = p->hello[stream_is_secure(&p->stream) ? PROBE_SECURE : PROBE_CLEAR],
			 word;

	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		str_cut(line, ' ', &word, value);
		if (str_eq_nocase(word, keyword))
			return true;
	}
	return false;
}
