/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

static const char *log_role = "posthouse";
static unsigned long log_dropped;

void
log_open(const char *role)
{
	log_role = role;
}

void
log_event(const char *event, const char *format, ...)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	char line[1024];
	va_list args;
	int n = snprintf(line, sizeof line, "%s: %s ", log_role, event), more;

	va_start(args, format);
	more = vsnprintf(line + n, sizeof line - (size_t)n, format, args);
	va_end(args);
	n += more > 0 ? more : 0;
	if ((size_t)n > sizeof line - 2)
		n = (int)sizeof line - 2;
	if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT)) {
		log_dropped++;
		return;
	}
	if (log_dropped) {
		dprintf(STDERR_FILENO, "%s: log-dropped lines=%lu\n", log_role, log_dropped);
		log_dropped = 0;
	}
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		log_dropped++;
}

const char *
log_quote(struct str text)
{
	static char ring[8][260];
	static unsigned turn;
	char *to = ring[turn++ % 8];
	size_t n = 0;
	bool plain = text.n > 0 && text.n < 250;

	for (size_t i = 0; plain && i < text.n; i++)
		plain = text.p[i] > ' ' && text.p[i] < 0x7f && text.p[i] != '"' &&
			text.p[i] != '\\';
	if (plain) {
		memcpy(to, text.p, text.n);
		to[text.n] = 0;
		return to;
	}
	to[n++] = '"';
	for (size_t i = 0; i < text.n && n < 250; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < ' ' || c >= 0x7f || c == '"' || c == '\\')
			n += (size_t)snprintf(to + n, 5, "\\x%02x", c);
		else
			to[n++] = (char)c;
	}
	to[n++] = '"';
	to[n] = 0;
	return to;
}
