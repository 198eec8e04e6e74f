/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/submit.h"

#include "base/must.h"

enum { LINE_MAX_OCTETS = SMTP_TEXT_LINE_MAX };

/* One octet with its line end mended: at most two octets. */
static size_t
put(struct outgoing *o, char c, char *to)
{
	size_t n = 0;

	if (c == '\n' && !o->is_behind_cr)
		to[n++] = '\r';
	else if (c != '\n' && o->is_behind_cr)
		to[n++] = '\n'; /* a CR alone */
	to[n++] = c;
	o->is_behind_cr = c == '\r';
	o->is_behind_line = c == '\n';
	return n;
}

/* What the end of the message lacks. */
static size_t
put_end(struct outgoing *o, char *to)
{
	size_t n = 0;

	if (!o->is_behind_cr && !o->is_behind_line)
		to[n++] = '\r';
	if (!o->is_behind_line)
		to[n++] = '\n';
	o->is_behind_cr = false;
	o->is_behind_line = true;
	return n;
}

size_t
outgoing_read(struct outgoing *o, char to[OUTGOING_ROOM])
{
	struct str piece;
	size_t n = 0;

	if (o->header_at < o->header.n) {
		piece = str_part(buf_str(&o->header), o->header_at, OUTGOING_PIECE);
		memcpy(to, piece.p, piece.n);
		o->header_at += piece.n;
		o->is_behind_line = true;
		return piece.n;
	}
	piece = str_part(o->body, o->at, OUTGOING_PIECE);
	if (!piece.n)
		return put_end(o, to);
	for (size_t i = 0; i < piece.n; i++)
		n += put(o, piece.p[i], to + n);
	o->at += piece.n;
	return n;
}

/* The next line, its end included. */
static struct str
scan_line(struct str *in)
{
	size_t end = str_find(*in, '\n');
	struct str line = str_part(*in, 0, end < in->n ? end + 1 : in->n);

	*in = str_from(*in, line.n);
	return line;
}

static bool
is_blind(struct str line)
{
	struct str name, rest;

	if (!str_cut(line, ':', &name, &rest))
		return false;
	name = str_trim(name);
	return str_eq_nocase(name, S("Bcc")) || str_eq_nocase(name, S("Resent-Bcc"));
}

/* Line by line into o->header, fields with their folded lines; what is behind the empty line is the body. */
static void
read_header(struct outgoing *o, struct str message)
{
	bool is_left_out = false;
	char mended[2] = "";
	size_t last_n;

	o->header.max = 2 * message.n + 4;
	o->is_behind_line = true;
	while (message.n) {
		struct str line = scan_line(&message);
		bool is_folded = line.p[0] == ' ' || line.p[0] == '\t';

		if (!is_folded)
			is_left_out = is_blind(line);
		if (is_left_out)
			continue;
		for (size_t i = 0; i < line.n; i++) {
			size_t n = put(o, line.p[i], mended);

			buf_add(&o->header, (struct str){ mended, n });
		}
		if (str_eq(line, S("\n")) || str_eq(line, S("\r\n")))
			break;
	}
	last_n = put_end(o, mended);
	buf_add(&o->header, (struct str){ mended, last_n });
	o->body = message;
	must(!o->header.overflow);
}

/* What the SMTP client must know of it before. */
static void
measure(struct outgoing *o)
{
	static char room[OUTGOING_ROOM];
	size_t line = 0;

	for (size_t n; (n = outgoing_read(o, room)); o->size += n)
		for (size_t i = 0; i < n; i++) {
			line = room[i] == '\n' ? 0 : line + 1;
			o->needs_chunking |=
				room[i] == '\0' || line > LINE_MAX_OCTETS + 1; /* its CR counts */
			o->is_8bit |= (signed char)room[i] < 0;
		}
	o->at = o->header_at = 0;
	o->is_behind_cr = false;
	o->is_behind_line = true;
}

void
outgoing_begin(struct outgoing *o, struct str message)
{
	*o = (struct outgoing){ 0 };
	read_header(o, message);
	o->header_is_8bit = !str_is_ascii(buf_str(&o->header));
	measure(o);
}

void
outgoing_free(struct outgoing *o)
{
	buf_free(&o->header);
}
