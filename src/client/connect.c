/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

/* From a way to a connection: each address of the host is tried, one after another, until one answers. */

enum { CONNECT_PATIENCE_MS = 30000 };

static void
note_connected(struct ph_session *s)
{
	int on = 1;

	/* a command behind a handshake would wait for an acknowledgement; on a UNIX socket this fails, and need not work */
	setsockopt(s->stream.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	s->state = SESSION_TALKING;
	s->deadline_ms = 0; /* that of connecting is met: the greeting has its own */
}

static bool
begin_one(struct ph_session *s, const struct sockaddr *address, socklen_t n)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		s->problem = errno;
		return false;
	}
	stream_open(&s->stream, fd);
	s->connection++;
	if (connect(fd, address, n) < 0 && errno != EINPROGRESS) {
		s->problem = errno;
		stream_close(&s->stream);
		return false;
	}
	s->state = SESSION_CONNECTING;
	session_wait(s, PH_WRITE, CONNECT_PATIENCE_MS);
	return true;
}

static bool
no_connection(struct ph_session *s, struct err *e)
{
	const struct way *way = &s->set->way;
	const char *why = strerror(s->problem);

	s->state = SESSION_IDLE;
	return way->path[0]
		       ? err_set(e, ERR_TEMPORARY, ERR_CONNECT, "cannot connect to %s: %s",
				 way->path, why)
		       : err_set(e, ERR_TEMPORARY, ERR_CONNECT,
				 "cannot connect to %.120s port %s: %s", way->host, way->port, why);
}

static bool
try_next(struct ph_session *s, struct err *e)
{
	while (s->address) {
		const struct addrinfo *a = s->address;

		s->address = a->ai_next;
		if (begin_one(s, a->ai_addr, a->ai_addrlen))
			return true;
	}
	return no_connection(s, e);
}

static bool
look_up(struct ph_session *s, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	const struct way *way = &s->set->way;
	int problem = getaddrinfo(way->host, way->port, &hints, &s->addresses);

	s->address = s->addresses;
	if (problem == 0)
		return true;
	s->addresses = s->address = NULL;
	return problem == EAI_AGAIN
		       ? err_set(e, ERR_TEMPORARY, ERR_DNS, "cannot look up %.100s: %s", way->host,
				 gai_strerror(problem))
		       : err_set(e, ERR_PERMANENT, ERR_DOMAIN_UNKNOWN, "cannot look up %.100s: %s",
				 way->host, gai_strerror(problem));
}

bool
connect_begin(struct ph_session *s, struct err *e)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };

	trace_begin(&s->trace);
	/* a connection of the caller's may be a tunnel to anywhere */
	s->is_local = s->given_fd < 0 && way_is_near(&s->set->way);
	if (s->given_fd >= 0) {
		stream_open(&s->stream, s->given_fd);
		s->connection++;
		s->given_fd = -1;
		note_connected(s);
		return true;
	}
	if (s->set->way.path[0]) {
		trace_happened(&s->trace, "connecting to %s", s->set->way.path);
		memcpy(local.sun_path, s->set->way.path, sizeof local.sun_path);
		return begin_one(s, (const struct sockaddr *)&local, sizeof local) ||
		       no_connection(s, e);
	}
	trace_happened(&s->trace, "connecting to %s port %s", s->set->way.host, s->set->way.port);
	return look_up(s, e) && try_next(s, e);
}

bool
connect_step(struct ph_session *s, struct err *e)
{
	struct pollfd p = { .fd = s->stream.fd, .events = POLLOUT };
	bool is_late = session_now_ms() >= s->deadline_ms;
	socklen_t n = sizeof s->problem;

	if (poll(&p, 1, 0) == 0 && !is_late)
		return true;
	s->problem = 0;
	if (p.revents == 0)
		s->problem = ETIMEDOUT;
	else if (getsockopt(s->stream.fd, SOL_SOCKET, SO_ERROR, &s->problem, &n) < 0)
		s->problem = errno;
	if (s->problem == 0) {
		trace_happened(&s->trace, "connected");
		note_connected(s);
		return true;
	}
	trace_happened(&s->trace, "cannot connect: %s", strerror(s->problem));
	stream_close(&s->stream);
	return try_next(s, e);
}
