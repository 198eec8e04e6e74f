/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mail client as one writes it on the first day: connect, say a line, read what comes back, say
 * the next one. It is the dialogue that a person types into a terminal, and it is deliberately
 * naive: one recv() after each send(), whatever that brings; nothing is parsed, no reply code is
 * looked at. A mail server has to live with such clients.
 *
 *   tutorial [-e] PORT LOGIN TO… <INPUT      INPUT: the password on the first line, then the
 * message
 *
 * The plain form reads the greeting first and says HELO. With -e it says EHLO without waiting for
 * the greeting, so that from then on each recv() brings the reply to the line before.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_MAX_OCTETS = 1024, MESSAGE_MAX = 1 << 20 };

static void
fail(const char *what)
{
	fprintf(stderr, "tutorial: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int
dial(const char *port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((in_port_t)strtoul(port, NULL, 10)),
		.sin_addr = { htonl(INADDR_LOOPBACK) },
	};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect");
	return s;
}

/* Shows text as lines, each behind "C: " or "S: ". */
static void
show(const char *who, const char *text, size_t n)
{
	while (n > 0) {
		const char *end = memchr(text, '\n', n);
		size_t line = end ? (size_t)(end - text) + 1 : n;
		size_t visible = line;

		while (visible > 0 && (text[visible - 1] == '\n' || text[visible - 1] == '\r'))
			visible--;
		printf("%s: %.*s\n", who, (int)visible, text);
		text += line;
		n -= line;
	}
	fflush(stdout);
}

static void
hear(int s)
{
	char reply[4096];
	ssize_t n = recv(s, reply, sizeof(reply), 0);

	if (n < 0)
		fail("recv");
	show("S", reply, (size_t)n);
}

static void
say(int s, const char *text, size_t n)
{
	show("C", text, n);
	while (n > 0) {
		ssize_t sent = send(s, text, n, MSG_NOSIGNAL);

		if (sent < 0)
			fail("send");
		text += sent;
		n -= (size_t)sent;
	}
}

/* "BEFORE TEXT CR LF" out, whatever comes back in. */
static void
ask(int s, const char *before, const char *text)
{
	char line[LINE_MAX_OCTETS];
	int n = snprintf(line, sizeof(line), "%s%s\r\n", before, text);

	if (n < 0 || (size_t)n >= sizeof(line)) {
		errno = EMSGSIZE;
		fail(text);
	}
	say(s, line, (size_t)n);
	hear(s);
}

static void
ask_base64(int s, const char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char out[LINE_MAX_OCTETS];
	size_t n = strlen(text), to = 0;

	for (size_t i = 0; i < n && to + 5 < sizeof(out); i += 3) {
		unsigned a = (unsigned char)text[i], b = i + 1 < n ? (unsigned char)text[i + 1] : 0,
			 c = i + 2 < n ? (unsigned char)text[i + 2] : 0;

		out[to++] = digits[a >> 2];
		out[to++] = digits[(a & 3) << 4 | b >> 4];
		out[to++] = '=';
		out[to++] = '=';
		if (i + 1 < n)
			out[to - 2] = digits[(b & 15) << 2 | c >> 6];
		if (i + 2 < n)
			out[to - 1] = digits[c & 63];
	}
	out[to] = '\0';
	ask(s, "", out);
}

/* The message with CR LF at its line ends, each leading dot doubled, and the lone dot behind it:
 * RFC 5321 §4.5.2. */
static size_t
read_message(char *out, size_t size)
{
	size_t n = 0;
	int c, before = '\n';

	while ((c = getchar()) != EOF && n + 8 < size) {
		if (c == '\r')
			continue;
		if (c == '.' && before == '\n')
			out[n++] = '.';
		if (c == '\n')
			out[n++] = '\r';
		out[n++] = (char)c;
		before = c;
	}
	if (before != '\n') {
		memcpy(out + n, "\r\n", 2);
		n += 2;
	}
	memcpy(out + n, ".\r\n", 3);
	return n + 3;
}

int
main(int argc, char **argv)
{
	static char message[MESSAGE_MAX];
	char password[LINE_MAX_OCTETS];
	int early = argc > 1 && strcmp(argv[1], "-e") == 0;
	int s;

	argv += early;
	argc -= early;
	if (argc < 4 || !fgets(password, sizeof(password), stdin)) {
		fprintf(stderr, "usage: tutorial [-e] PORT LOGIN TO… <INPUT (a line with the "
				"password, then the message)\n");
		return 64;
	}
	password[strcspn(password, "\r\n")] = '\0';

	s = dial(argv[1]);
	if (!early)
		hear(s);
	ask(s, early ? "EHLO " : "HELO ", "localhost");
	ask(s, "", "AUTH LOGIN");
	ask_base64(s, argv[2]);
	ask_base64(s, password);
	ask(s, "MAIL FROM: ", argv[2]);
	for (int i = 3; i < argc; i++)
		ask(s, "RCPT TO: ", argv[i]);
	ask(s, "", "DATA");
	say(s, message, read_message(message, sizeof(message)));
	hear(s);
	ask(s, "", "QUIT");
	close(s);
	return 0;
}
