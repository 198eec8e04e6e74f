/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dialogue alone, over a socket of our own: the core says what it wants, and this program moves
 * the octets. It could as well move them over a serial line, or to a server in the same process.
 *
 *   core PORT FROM TO <MESSAGE     to this host, in clear; MESSAGE: header and body (RFC 5322)
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <posthouse.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int
dial(const char *port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((in_port_t)strtoul(port, NULL, 10)),
		.sin_addr = { htonl(INADDR_LOOPBACK) },
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("core: connect");
		exit(1);
	}
	return fd;
}

static void
give(ph_core *c, int fd)
{
	size_t n;
	const char *output = ph_core_output(c, &n);

	while (n > 0) {
		ssize_t sent = send(fd, output, n, MSG_NOSIGNAL);

		if (sent < 0) {
			ph_core_lost(c, "the connection broke");
			return;
		}
		ph_core_sent(c, (size_t)sent);
		output = ph_core_output(c, &n);
	}
}

static void
take(ph_core *c, int fd)
{
	char octets[4096];
	ssize_t n = recv(fd, octets, sizeof(octets), 0);

	if (n > 0)
		ph_core_feed(c, octets, (size_t)n);
	else
		ph_core_lost(c, "the server closed the connection");
}

/* The whole dialogue, one event after another. */
static void
talk(ph_core *c, int fd, ph_mail *m)
{
	for (;;)
		switch (ph_core_next(c)) {
		case PH_WANT_INPUT:
			give(c, fd);
			take(c, fd);
			break;
		case PH_WANT_OUTPUT:
			give(c, fd);
			break;
		case PH_WANT_TLS: /* only who asks for it by a flag is asked for it */
			ph_core_lost(c, "no TLS here");
			break;
		case PH_READY:
			if (!ph_core_mail(c, m)) {
				fprintf(stderr, "core: %s\n", ph_mail_error(m));
				ph_core_quit(c);
			}
			break;
		case PH_DONE:
			ph_core_quit(c);
			break;
		case PH_FAILED:
			fprintf(stderr, "core: %s\n", ph_core_error(c));
			return;
		case PH_CLOSE:
			give(c, fd);
			return;
		}
}

int
main(int argc, char **argv)
{
	static char message[1 << 20];
	const struct ph_result *result;
	enum ph_status status;
	ph_core *c;
	ph_mail *m;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: core PORT FROM TO <MESSAGE\n");
		return 64;
	}
	m = ph_mail_new();
	ph_message_data(m, message, fread(message, 1, sizeof(message), stdin));
	ph_return_path(m, argv[2]);
	ph_recipient(m, argv[3]);
	c = ph_core_new("localhost", 0, NULL);
	fd = dial(argv[1]);
	talk(c, fd, m);
	result = ph_result(m, 0);
	status = result->status;
	printf("%s: %s %d %s\n", result->address, ph_status_name(status), result->code,
		result->text);
	close(fd);
	ph_core_free(c);
	ph_mail_free(m);
	return status != PH_SENT;
}
