/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <stdarg.h>

/*
 * The dialogue, line by line, for somebody who watches. What we say goes through here behind the wire, so this file finds by itself
 * where a message begins and ends: behind a 354 until the lone dot, behind BDAT by its count. Messages are counted, secrets masked:
 * what follows AUTH and its mechanism, and each answer to a 334.
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
	t->in_message = t->has_prompt = false;
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
show_ours(struct trace *t, struct str line)
{
	char masked[64];
	struct str rest = line, mechanism;

	if (t->has_prompt) {
		line = S("***");
		t->has_prompt = false;
	} else if (scan_word_nocase(&rest, S("AUTH ")) && str_cut(rest, ' ', &mechanism, &rest)) {
		snprintf(masked, sizeof masked, "AUTH %.*s ***", STR_ARG(mechanism));
		line = str_of(masked);
	} else if (scan_word_nocase(&rest, S("BDAT ")) && scan_u64(&rest, &t->chunk)) {
		t->hidden = t->chunk;
	}
	t->hook(t->context, 'C', line.p, line.n);
	if (t->hidden && t->chunk)
		say_hidden(t);
}

void
trace_ours(struct trace *t, struct str octets)
{
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
		if (t->in_message && !str_eq(line, S("."))) {
			t->hidden += line.n + 2;
		} else {
			if (t->in_message)
				say_hidden(t);
			t->in_message = false;
			show_ours(t, line);
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
		t->has_prompt = str_starts(line, S("334"));
		t->in_message = t->in_message || str_starts(line, S("354"));
		buf_reset(&t->theirs);
	}
}
