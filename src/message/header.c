/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

/* RFC 5322 §3.6.8: printable ASCII but the colon. */
static bool
is_name_char(char c)
{
	return c > ' ' && c < 0x7f && c != ':';
}

/* One line with its end; the text behind the last line end counts as a line. */
static bool
scan_line(struct str *in, struct str *line)
{
	size_t at = str_find(*in, '\n');

	if (in->n == 0)
		return false;
	*line = str_part(*in, 0, at < in->n ? at + 1 : in->n);
	*in = str_from(*in, line->n);
	return true;
}

static struct str
without_line_end(struct str s)
{
	if (s.n && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

/* "Name:" and, as the grammar once was (RFC 5322 §4.5.8), "Name :". */
static bool
scan_name(struct str *in, struct str *name)
{
	struct str rest = *in;
	size_t n = 0;

	while (n < rest.n && is_name_char(rest.p[n]))
		n++;
	*name = str_part(rest, 0, n);
	rest = str_from(rest, n);
	scan_blanks(&rest);
	if (n == 0 || !scan_char(&rest, ':'))
		return false;
	*in = rest;
	return true;
}

bool
header_next(struct str *in, struct header_field *field)
{
	struct str rest = *in, line, value;
	size_t before_value;

	if (!scan_line(&rest, &line))
		return false;
	if (without_line_end(line).n == 0) {
		*in = rest;
		return false;
	}
	value = line;
	if (!scan_name(&value, &field->name))
		return false;
	before_value = line.n - value.n;
	while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t'))
		scan_line(&rest, &line);
	field->whole = str_part(*in, 0, in->n - rest.n);
	field->value = without_line_end(str_from(field->whole, before_value));
	*in = rest;
	return true;
}

struct str
header_get(struct str header, struct str name)
{
	struct header_field field;

	while (header_next(&header, &field))
		if (str_eq_nocase(field.name, name))
			return field.value;
	return (struct str){ 0 };
}

/* A field's name is whole: what of it is a fact? */
static void
watch_field(struct header_watch *w)
{
	struct str name = { w->name, w->name_n < sizeof w->name ? w->name_n : 0 };

	w->facts.begins_with_field = true;
	w->facts.has_date |= str_eq_nocase(name, S("Date"));
	w->facts.has_message_id |= str_eq_nocase(name, S("Message-ID"));
	w->facts.received += str_eq_nocase(name, S("Received"));
	w->state = WATCH_VALUE;
}

static void
watch_name_char(struct header_watch *w, char c)
{
	if (w->name_n < sizeof w->name)
		w->name[w->name_n++] = c;
	w->state = WATCH_NAME;
}

static void
watch_line_begins(struct header_watch *w, char c)
{
	bool is_first = w->state == WATCH_FIRST_LINE;

	w->name_n = 0;
	if ((c == ' ' || c == '\t') && !is_first)
		w->state = WATCH_VALUE; /* folded */
	else if (c == '\r')
		w->state = WATCH_CR;
	else if (is_name_char(c))
		watch_name_char(w, c);
	else
		w->state = WATCH_OVER;
	if (c == '\n' || c == '\r')
		w->facts.begins_with_field = true; /* an empty line is a header too */
}

void
header_watch_feed(struct header_watch *w, struct str piece)
{
	for (; piece.n && w->state != WATCH_OVER; piece = str_from(piece, 1)) {
		char c = piece.p[0];

		switch (w->state) {
		case WATCH_FIRST_LINE:
		case WATCH_LINE:
			watch_line_begins(w, c);
			break;
		case WATCH_NAME:
		case WATCH_BLANKS:
			if (c == ':')
				watch_field(w);
			else if (c == ' ' || c == '\t')
				w->state = WATCH_BLANKS;
			else if (w->state == WATCH_NAME && is_name_char(c))
				watch_name_char(w, c);
			else
				w->state = WATCH_OVER;
			break;
		case WATCH_VALUE:
			piece = str_from(piece, str_find(piece, '\n'));
			if (piece.n)
				w->state = WATCH_LINE;
			break;
		case WATCH_CR:
		case WATCH_OVER:
			w->state = WATCH_OVER;
			break;
		}
	}
}

void
header_look(struct str message, struct header_facts *facts)
{
	struct header_watch w = { 0 };

	header_watch_feed(&w, message);
	*facts = w.facts;
	facts->begins_with_field |= message.n == 0;
}

void
mailbox_split(struct str text, struct str *name, struct str *address)
{
	size_t open;

	text = str_trim(text);
	*name = (struct str){ 0 };
	*address = text;
	if (text.n == 0 || text.p[text.n - 1] != '>')
		return;
	for (open = text.n; open > 0 && text.p[open - 1] != '<'; open--)
		;
	if (open == 0)
		return;
	*address = str_part(text, open, text.n - open - 1);
	*name = str_trim(str_part(text, 0, open - 1));
	if (name->n >= 2 && name->p[0] == '"' && name->p[name->n - 1] == '"')
		*name = str_part(*name, 1, name->n - 2);
}
