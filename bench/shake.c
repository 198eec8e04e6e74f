/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"

/* bench-shake PORT SECONDS PARALLEL: full TLS 1.3 handshakes as fast as they come, each on a connection of its own, which is read to its
 * end, so that the server sees a whole handshake. Prints how many were done. */

enum { PARALLEL_MAX = 1024 };

struct shake {
	SSL *ssl;
	bool is_connecting, is_shaken;
};

static SSL_CTX *context;
static struct sockaddr_in to = { .sin_family = AF_INET };

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
begin(struct shake *s, struct pollfd *p)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	must(connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS);
	s->ssl = SSL_new(context);
	must(s->ssl && SSL_set_fd(s->ssl, fd) == 1);
	SSL_set_connect_state(s->ssl);
	s->is_connecting = true;
	s->is_shaken = false;
	*p = (struct pollfd){ .fd = fd, .events = POLLOUT };
}

/* True: the server has closed too. */
static bool
drain(const struct pollfd *p)
{
	char room[4096];

	ssize_t n = recv(p->fd, room, sizeof room, 0);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* True: it is done. */
static bool
go_on(struct shake *s, struct pollfd *p)
{
	int n, cause = 0;
	socklen_t size = sizeof cause;

	if (s->is_connecting) {
		must(getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &cause, &size) == 0 && cause == 0);
		s->is_connecting = false;
	}
	if (s->is_shaken)
		return drain(p);
	n = SSL_do_handshake(s->ssl);
	if (n == 1) {
		s->is_shaken = true;
		SSL_shutdown(s->ssl);
		shutdown(p->fd, SHUT_WR);
		p->events = POLLIN;
		return false;
	}
	switch (SSL_get_error(s->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		p->events = POLLIN;
		return false;
	case SSL_ERROR_WANT_WRITE:
		p->events = POLLOUT;
		return false;
	}
	fprintf(stderr, "bench-shake: a handshake failed: %s\n", strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

int
main(int argc, char **argv)
{
	static struct shake shakes[PARALLEL_MAX];
	static struct pollfd polls[PARALLEL_MAX];
	unsigned long done = 0;
	int64_t end_ms;
	int parallel;

	if (argc != 4 || (parallel = (int)strtol(argv[3], NULL, 10)) < 1 ||
		parallel > PARALLEL_MAX) {
		fputs("usage: bench-shake PORT SECONDS PARALLEL\n", stderr);
		return 64;
	}
	signal(SIGPIPE, SIG_IGN);
	to.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	context = SSL_CTX_new(TLS_client_method());
	must(context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	end_ms = now_ms() + strtol(argv[2], NULL, 10) * 1000;
	for (int i = 0; i < parallel; i++)
		begin(&shakes[i], &polls[i]);
	while (now_ms() < end_ms) {
		must(poll(polls, (nfds_t)parallel, 1000) >= 0);
		for (int i = 0; i < parallel; i++)
			if (polls[i].revents && go_on(&shakes[i], &polls[i])) {
				done++;
				SSL_free(shakes[i].ssl);
				close(polls[i].fd);
				begin(&shakes[i], &polls[i]);
			}
	}
	printf("%lu\n", done);
	return 0;
}
