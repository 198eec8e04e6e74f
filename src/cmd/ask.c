/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/ask.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"

enum { WORDS_MAX = 1024 }; /* octets of an order's text */

/* ── orders ── */

static void
came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct ask *a = owner;

	(void)from;
	if (m->kind != IPC_CLOSED && (m->kind != IPC_end || !m->end.is_last)) {
		a->came(a->owner, m);
		return;
	}
	if (m->kind == IPC_end) {
		a->is_answered = true;
		a->end = m->end;
		a->end.wrong = (struct str){ 0 };
		a->is_refused = m->end.wrong.n > 0;
		if (a->is_refused) {
			fflush(stdout);
			fprintf(stderr, "%s: %.*s\n", a->command, STR_ARG(m->end.wrong));
		}
	}
	loop_stop(a->loop);
}

static int
connect_control(const struct ask *a, const struct config *c)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%.*s/control", STR_ARG(c->state));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	if (errno == EACCES || errno == EPERM)
		fprintf(stderr,
			"%s: you may not ask the station at %s: run this as root, or as its user\n",
			a->command, address.sun_path);
	else
		fprintf(stderr,
			"%s: no station answers at %s (%s): start it with posthouse serve, as the "
			"same "
			"user\n",
			a->command, address.sun_path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

int
ask_open(struct ask *a, const char *config_path)
{
	struct config c = { 0 };
	struct err e = { 0 };
	int fd;

	if (!config_load(&c, config_path, &e)) {
		fprintf(stderr, "%s: %s\n", a->command, e.text);
		return EX_CONFIG;
	}
	fd = connect_control(a, &c);
	config_free(&c);
	if (fd < 0)
		return EX_UNAVAILABLE;
	a->loop = loop_open();
	a->channel = ipc_open(a->loop, fd, ROLE_COMMAND, ROLE_QUEUE, came, a);
	return EX_OK;
}

void
ask_close(struct ask *a)
{
	ipc_close(&a->channel);
	if (a->loop)
		loop_close(&a->loop);
}

int
ask_order(struct ask *a, const struct ipc_order *o)
{
	if (o->what.n > WORDS_MAX || o->sender.n > WORDS_MAX) {
		fprintf(stderr, "%s: that is longer than %d octets: say less\n", a->command,
			WORDS_MAX);
		return EX_USAGE;
	}
	a->is_answered = a->is_refused = false;
	ipc_send_order(a->channel, o);
	loop_run(a->loop);
	if (a->is_refused)
		return EX_DATAERR;
	if (a->is_answered)
		return EX_OK;
	fprintf(stderr,
		"%s: the station ended while it answered, or has too many commands at once: "
		"try again\n",
		a->command);
	return EX_TEMPFAIL;
}

int
ask_partial(const struct ask *a)
{
	if (!a->end.is_partial)
		return EX_OK;
	fprintf(stderr,
		"%s: the station is still reading its spool, there may be more mail: try again\n",
		a->command);
	return EX_TEMPFAIL;
}

/* ── for people ── */

static uint32_t
code_point(struct str one)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = (unsigned char)one.p[0] & first[one.n];

	for (size_t i = 1; i < one.n; i++)
		c = c << 6 | ((unsigned char)one.p[i] & 0x3f);
	return c;
}

/* Controls; and what shows text in another order than it has, or shows nothing at all (Unicode: Bidi_Control, format
 * characters). */
static bool
is_plain(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} not_plain[] = { { 0, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad }, { 0x61c, 0x61c },
		{ 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xfeff, 0xfeff },
		{ 0xfff9, 0xfffb }, { 0xe0000, 0xe007f } };

	for (size_t i = 0; i < sizeof not_plain / sizeof not_plain[0]; i++)
		if (c >= not_plain[i].from && c <= not_plain[i].to)
			return false;
	return true;
}

void
ask_add_plain(struct buf *to, struct str s)
{
	while (s.n) {
		size_t n = 1;

		while (n < 4 && n < s.n && !str_is_utf8(str_part(s, 0, n)))
			n++;
		if (!str_is_utf8(str_part(s, 0, n))) {
			n = 1;
			buf_add_char(to, '?');
		} else if (is_plain(code_point(str_part(s, 0, n)))) {
			buf_add(to, str_part(s, 0, n));
		} else {
			buf_add_char(to, '?');
		}
		s = str_from(s, n);
	}
}

void
ask_print_plain(struct str s)
{
	struct buf plain = { .max = 2 * IPC_PACKET_MAX };

	ask_add_plain(&plain, s);
	fwrite(plain.p, 1, plain.n, stdout);
	buf_free(&plain);
}

void
ask_print_said(const struct err *e)
{
	if (e->code)
		printf("%u ", e->code);
	if (e->enhanced.class)
		printf("%u.%u.%u ", e->enhanced.class, e->enhanced.subject, e->enhanced.detail);
	ask_print_plain(str_of(e->text));
}

bool
ask_scan_enhanced(struct str *in, struct enhanced *e)
{
	uint16_t *parts[] = { &e->class, &e->subject, &e->detail };
	struct str rest = *in;
	uint64_t n;

	for (size_t i = 0; i < 3; i++) {
		if ((i && !scan_char(&rest, '.')) || !scan_u64(&rest, &n) || n > 999)
			return false;
		*parts[i] = (uint16_t)n;
	}
	if (e->class != 2 && e->class != 4 && e->class != 5)
		return false;
	*in = rest;
	return true;
}

const char *
ask_time(uint64_t ms, char text[32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	text[0] = 0;
	if (ms && gmtime_r(&seconds, &tm))
		strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return text;
}

const char *
ask_size(uint64_t octets, char text[32])
{
	static const char units[][4] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)octets;
	size_t unit = 0;

	while (value >= 1024 && unit < sizeof units / sizeof units[0] - 1) {
		value /= 1024;
		unit++;
	}
	snprintf(text, 32, "%.*f %s", unit && value < 10 ? 1 : 0, value, units[unit]);
	return text;
}

const char *
ask_duration(int64_t ms, char text[32])
{
	long long s = ms < 0 ? 0 : ms / 1000;

	if (s < 60)
		snprintf(text, 32, "%lld s", s);
	else if (s < 3600)
		snprintf(text, 32, "%lld min %lld s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, 32, "%lld h %lld min", s / 3600, s / 60 % 60);
	else
		snprintf(text, 32, "%lld d %lld h", s / 86400, s / 3600 % 24);
	return text;
}

void
ask_json_text(struct buf *to, const char *name, struct str value)
{
	buf_addf(to, ",\"%s\":", name);
	codec_add_json(to, value);
}

void
ask_json_time(struct buf *to, const char *name, uint64_t ms)
{
	char text[32];

	ask_json_text(to, name, str_of(ask_time(ms, text)));
}

void
ask_json_number(struct buf *to, const char *name, uint64_t value)
{
	buf_addf(to, ",\"%s\":%llu", name, (unsigned long long)value);
}
