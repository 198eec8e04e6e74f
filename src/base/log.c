/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GATHERED_MAX = 16384, LINE_MAX_SIZE = 1024 };

static const char *log_role = "posthouse";
static bool never_blocks; /* standard error is a file */

static _Thread_local struct {
	char text[GATHERED_MAX];
	size_t n;
	unsigned long dropped;
	bool is_gathering;
} gathered;

void
log_open(const char *role)
{
	struct stat st;

	log_role = role;
	never_blocks = fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);
}

static bool
would_block(void)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

	return !never_blocks && (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT));
}

void
log_flush(void)
{
	if (gathered.n == 0)
		return;
	bool is_out = true;

	for (size_t at = 0, n; is_out && at < gathered.n; at += n) {
		n = gathered.n - at;
		if (n > PIPE_BUF &&
			!never_blocks) { /* a pipe that is ready takes so much, not more */
			n = PIPE_BUF;
			while (gathered.text[at + n - 1] != '\n')
				n--;
		}
		is_out = !would_block() && write(STDERR_FILENO, gathered.text + at, n) >= 0;
	}
	if (!is_out)
		gathered.dropped++;
	else if (gathered.dropped) {
		dprintf(STDERR_FILENO, "%s: log-dropped writes=%lu\n", log_role, gathered.dropped);
		gathered.dropped = 0;
	}
	gathered.n = 0;
}

void
log_gather(bool on)
{
	gathered.is_gathering = on;
	log_flush();
}

/* Room for a line of LINE_MAX_SIZE octets. */
static char *
line_begin(void)
{
	if (sizeof gathered.text - gathered.n < LINE_MAX_SIZE)
		log_flush();
	return gathered.text + gathered.n;
}

static void
line_end(char *line, size_t n)
{
	line[n] = '\n';
	gathered.n += n + 1;
	if (!gathered.is_gathering)
		log_flush();
}

void
log_event(const char *event, const char *format, ...)
{
	char *line = line_begin();
	va_list args;
	int n, more;

	n = snprintf(line, LINE_MAX_SIZE, "%s: %s ", log_role, event);
	va_start(args, format);
	more = vsnprintf(line + n, LINE_MAX_SIZE - (size_t)n, format, args);
	va_end(args);
	n += more > 0 ? more : 0;
	if (n > LINE_MAX_SIZE - 2)
		n = LINE_MAX_SIZE - 2;
	line_end(line, (size_t)n);
}

void
log_line(struct str text)
{
	char *line = line_begin();
	size_t n = 0;

	for (size_t i = 0; i < text.n && n < LINE_MAX_SIZE - 5; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < ' ' || c >= 0x7f)
			n += (size_t)snprintf(line + n, 5, "\\x%02x", c);
		else
			line[n++] = (char)c;
	}
	line_end(line, n);
}

const char *
log_quote(struct str text)
{
	static _Thread_local char ring[8][260];
	static _Thread_local unsigned turn;
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
