/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "io/file.h"
#include "message/message.h"
#include "smtp/data.h"

/*
 * One mail of a probe. Its commands are lines of a list, said one by one, or with --pipeline all at once and then heard (RFC 2920):
 *
 *   mail  rcpt…  data  ──354──►  the message, the dot  ──►  end (LMTP: one for each recipient that was taken)
 *
 * --quit-after cuts the list. Behind 354 there is no way back but to hang up: all that follows is text.
 */

struct line {
	const char *name; /* of the step */
	struct str text;
};

/* ── the message ── */

static bool
take_file(const char *path, struct buf *message, struct err *e)
{
	struct buf raw = { .max = PROBE_MESSAGE_MAX };
	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	bool is_read = fd >= 0 && file_read_all(fd, &raw);
	struct str rest = buf_str(&raw), piece;
	struct data data;

	if (!is_read)
		err_set_errno(e, "%s", path);
	if (fd >= 0)
		close(fd);
	data_begin(&data, false, true);
	while (is_read && data_next(&data, &rest, &piece) == DATA_PIECE)
		buf_add(message, piece);
	if (is_read && data_finish(&data, &piece))
		buf_add(message, piece);
	buf_free(&raw);
	return is_read;
}

bool
probe_message_load(const struct probe_order *o, struct buf *message, struct err *e)
{
	if (o->data)
		return take_file(o->data, message, e);
	buf_addf(message, "From: <%s>\r\n", o->from);
	for (size_t i = 0; i < o->to.n; i++)
		buf_addf(message, "%s<%s>", i ? ",\r\n " : "To: ", o->to.p[i]);
	buf_add(message, S("\r\nSubject: A probe\r\nDate: "));
	date_add(message, time(NULL));
	buf_add(message, S("\r\n\r\nSent by posthouse probe, to see whether it arrives.\r\n"));
	return true;
}

/* Dots doubled at the beginning of lines, RFC 5321 §4.5.2; the last line ended. */
static void
add_stuffed(struct buf *to, struct str message)
{
	struct str line;

	while (message.n) {
		size_t n = str_find(message, '\n');

		line = str_part(message, 0, n < message.n ? n + 1 : n);
		message = str_from(message, line.n);
		if (line.p[0] == '.')
			buf_add_char(to, '.');
		buf_add(to, line);
	}
	if (to->n && to->p[to->n - 1] != '\n')
		buf_add(to, S("\r\n"));
}

/* ── the envelope ── */

/* VERB:<path> parameters */
static bool
add_line(struct probe *p, struct line *line, const char *name, const char *verb, const char *path,
	const char *parameters)
{
	struct buf text = { .max = 1 << 20 };
	bool is_made;

	buf_addf(&text, "%s:<%s>%s%s", verb, path, parameters ? " " : "",
		parameters ? parameters : "");
	line->name = name;
	is_made = !text.overflow && arena_dup(&p->arena, buf_str(&text), &line->text);
	buf_free(&text);
	return is_made ||
	       probe_fail(p, ERR_PERMANENT, ERR_LINE_TOO_LONG, "a line of over a million octets");
}

/* As many lines as are to be said. */
static bool
write_lines(struct probe *p, struct line *lines, size_t *n)
{
	const struct probe_order *o = p->order;
	const char *end = o->quit_after ? o->quit_after : "";
	bool is_made =
		add_line(p, &lines[(*n)++], "mail", "MAIL FROM", o->from, o->mail_parameters);

	if (strcmp(end, "mail") == 0)
		return is_made;
	for (size_t i = 0; i < o->to.n && is_made; i++)
		is_made = add_line(
			p, &lines[(*n)++], "rcpt", "RCPT TO", o->to.p[i], o->rcpt_parameters);
	if (strcmp(end, "rcpt") != 0)
		lines[(*n)++] = (struct line){ "data", S("DATA") };
	return is_made;
}

/* What came back: how many recipients were taken, and whether the message is awaited. */
struct envelope {
	bool mail_is_taken, data_is_taken;
	size_t taken;
};

static void
judge(struct probe *p, const struct line *line, struct envelope *got)
{
	bool is_taken = !probe_refused(p);

	if (strcmp(line->name, "mail") == 0)
		got->mail_is_taken = is_taken;
	else if (strcmp(line->name, "rcpt") == 0)
		got->taken += is_taken;
	else
		got->data_is_taken = is_taken && p->reply.code == 354;
}

/* Without --pipeline nothing is said that makes no sense any more. */
static bool
say_one_by_one(struct probe *p, const struct line *lines, size_t n, struct envelope *got)
{
	for (size_t i = 0; i < n; i++) {
		if ((i && !got->mail_is_taken) ||
			(strcmp(lines[i].name, "data") == 0 && !got->taken))
			break;
		if (!probe_ask(p, lines[i].name, lines[i].text, lines[i].text))
			return false;
		judge(p, &lines[i], got);
	}
	return true;
}

static bool
say_at_once(struct probe *p, const struct line *lines, size_t n, struct envelope *got)
{
	struct buf out = { .max = PROBE_MESSAGE_MAX };
	bool goes_on;

	for (size_t i = 0; i < n; i++) {
		buf_add(&out, lines[i].text);
		buf_add(&out, S("\r\n"));
	}
	goes_on = probe_say(p, buf_str(&out));
	buf_free(&out);
	for (size_t i = 0; i < n && goes_on; i++) {
		goes_on = probe_hear(p, lines[i].name, lines[i].text);
		if (goes_on)
			judge(p, &lines[i], got);
	}
	return goes_on;
}

/* ── behind 354 ── */

static bool
say_body(struct probe *p)
{
	struct buf body = { .max = 2 * (size_t)PROBE_MESSAGE_MAX };
	char said[64];
	bool is_said;

	add_stuffed(&body, p->message);
	snprintf(said, sizeof said, "(%zu octets)", body.n);
	is_said = probe_say(p, buf_str(&body));
	probe_note_said(p, "body", str_of(said));
	buf_free(&body);
	return is_said;
}

/* taken: how many recipients. None: 354 to a DATA that ran ahead of its refusals gets the dot alone, RFC 2920 §3.1. */
static bool
say_message(struct probe *p, size_t taken)
{
	size_t replies = p->order->is_lmtp && taken ? taken : 1;
	bool goes_on = (!taken || say_body(p)) && probe_ask(p, "end", S("."), S("."));

	for (size_t i = 1; goes_on; i++) {
		probe_refused(p);
		if (i == replies)
			break;
		goes_on = probe_hear(p, "end", S(""));
	}
	return goes_on;
}

bool
probe_mail(struct probe *p)
{
	struct line *lines = arena_take(&p->arena, (p->order->to.n + 2) * sizeof *lines);
	const char *end = p->order->quit_after;
	struct envelope got = { 0 };
	size_t n = 0;

	must(lines);
	if (!write_lines(p, lines, &n) ||
		!(p->order->pipelines ? say_at_once : say_one_by_one)(p, lines, n, &got))
		return false;
	if (!got.data_is_taken)
		return true;
	if (end && strcmp(end, "data") == 0) {
		p->is_open = false;
		return true;
	}
	return say_message(p, got.taken);
}
