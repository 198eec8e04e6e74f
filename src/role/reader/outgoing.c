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

/* The next line, its end included: CR, LF, or both. */
static struct str
scan_line(struct str *in)
{
	struct str line;
	size_t n = 0;

	while (n < in->n && in->p[n] != '\r' && in->p[n] != '\n')
		n++;
	if (n + 1 < in->n && in->p[n] == '\r' && in->p[n + 1] == '\n')
		n++;
	line = str_part(*in, 0, n < in->n ? n + 1 : in->n);
	*in = str_from(*in, line.n);
	return line;
}

/* Without its end. */
static struct str
text_of(struct str line)
{
	while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
		line.n--;
	return line;
}

struct str
outgoing_header(struct str message, struct buf *header)
{
	bool is_over = false;

	header->max = 3 * message.n + 2; /* a line end of one octet becomes two */
	while (message.n && !is_over) {
		struct str text = text_of(scan_line(&message));

		buf_add(header, text);
		buf_add(header, S("\r\n"));
		is_over = !text.n;
	}
	must(!header->overflow);
	return message;
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

/* Into o->header, line by line, fields with their folded lines. */
static void
leave_out_blind(struct outgoing *o, struct str header)
{
	bool is_left_out = false;

	o->header.max = header.n + 2;
	while (header.n) {
		struct str line = scan_line(&header);

		if (line.p[0] != ' ' && line.p[0] != '\t')
			is_left_out = is_blind(line);
		if (!is_left_out)
			buf_add(&o->header, line);
	}
	must(!o->header.overflow);
}

static void
read_header(struct outgoing *o, struct str message)
{
	struct buf mended = { 0 };

	o->is_behind_line = true;
	o->body = outgoing_header(message, &mended);
	leave_out_blind(o, buf_str(&mended));
	buf_free(&mended);
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
