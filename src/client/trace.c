/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <stdarg.h>

/*
 * The dialogue, line by line, for somebody who watches. Secrets are masked: what follows AUTH and its mechanism, and each answer to a
 * prompt. Messages are counted: behind DATA until the lone dot, behind BDAT by its count. Which octets are a secret or a message is
 * known from who says them (smtp/client), never guessed from what the server said before.
 */

/* It may have held a password. */
static void
wipe(struct buf *lines)
{
	if (lines->n)
		explicit_bzero(lines->p, lines->n);
	buf_reset(lines);
}

void
trace_begin(struct trace *t)
{
	wipe(&t->ours);
	buf_reset(&t->theirs);
	t->chunk = t->hidden = 0;
}

void
trace_free(struct trace *t)
{
	wipe(&t->ours);
	buf_free(&t->ours);
	buf_free(&t->theirs);
}

void
trace_happened(struct trace *t, const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	if (!t->hook)
		return;
	va_start(args, format);
	n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (n > 0)
		t->hook(t->context, '*', text,
			(size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* Gathers until a line is whole. False: the octets are used up. */
static bool
next_line(struct buf *gathered, struct str *octets, struct str *line)
{
	size_t end = str_find(*octets, '\n');

	buf_add(gathered, str_part(*octets, 0, end));
	if (end == octets->n) {
		*octets = S("");
		return false;
	}
	*octets = str_from(*octets, end + 1);
	*line = buf_str(gathered);
	while (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	return true;
}

static void
say_hidden(struct trace *t)
{
	trace_happened(t, "the message, %llu octets", (unsigned long long)t->hidden);
	t->hidden = 0;
}

static void
show_ours(struct trace *t, struct str line, bool is_secret)
{
	char masked[64];
	struct str rest = line, mechanism;

	if (is_secret) {
		bool has_command = scan_word_nocase(&rest, S("AUTH ")) &&
				   str_cut(rest, ' ', &mechanism, &rest);

		snprintf(masked, sizeof masked, "%s%.*s%s***", has_command ? "AUTH " : "",
			STR_ARG(has_command ? mechanism : S("")), has_command ? " " : "");
		line = str_of(masked);
	} else if (scan_word_nocase(&rest, S("BDAT ")) && scan_u64(&rest, &t->chunk)) {
		t->hidden = t->chunk;
	}
	t->hook(t->context, 'C', line.p, line.n);
	if (t->hidden && t->chunk)
		say_hidden(t);
}

void
trace_ours(struct trace *t, const struct smtp_client *c, struct str octets)
{
	bool in_message = smtp_client_is_in_message(c);
	struct str line;

	while (t->hook && octets.n) {
		if (t->chunk) {
			size_t n = t->chunk < octets.n ? (size_t)t->chunk : octets.n;

			t->chunk -= n;
			octets = str_from(octets, n);
			continue;
		}
		if (!next_line(&t->ours, &octets, &line))
			return;
		if (in_message && !str_eq(line, S("."))) {
			t->hidden += line.n + 2;
		} else {
			if (in_message)
				say_hidden(t);
			in_message = false;
			show_ours(t, line, c->output_is_secret);
		}
		wipe(&t->ours);
	}
}

void
trace_theirs(struct trace *t, struct str octets)
{
	struct str line;

	while (t->hook && octets.n && next_line(&t->theirs, &octets, &line)) {
		t->hook(t->context, 'S', line.p, line.n);
		buf_reset(&t->theirs);
	}
}
