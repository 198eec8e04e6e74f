/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/codec.h"
#include "cmd/sendmail.h"
#include "message/message.h"

/*
 * Standard input as a message. It comes with LF or CRLF, with a whole header, a part of one, or none; it ends with the input or, unless
 * -i, at a line with a single dot. It goes as CRLF, with From, Date and Message-ID, local names in its header with a domain, without what
 * is not for others (`dropped`, below).
 *
 * Lines are looked at while they come, in two steps: line ends are made right, then the header is gathered in `head` until it is over,
 * and written anew; all behind it is the body, and is not looked at.
 *
 * A line ends at LF, with as many CRs before it as programs put there that each added one. A CR anywhere else ends a line of the body,
 * as it did on old systems; in the header it is a blank, for it must not begin a field that nobody sees, such as Bcc.
 */

enum { CHUNK = 65536 };

struct intake {
	struct buf head;   /* the header so far */
	size_t line, seen; /* in it: where the last line begins; up to where there is no line end */
	bool had_from_line; /* the last line was one, and is dropped */
	bool header_is_over;
	bool ends_in_a_line; /* so far */
	/* -t: a line that is no field ended the header, and its writer may have meant it to go on: see watch_body */
	bool is_watched, has_hidden;
	size_t watched; /* in the message: the line that is looked at next */
	/* of the input */
	bool at_line_start;
	bool has_dot; /* with which the line began, and as many CRs behind it: held back until it is known what they are */
	size_t crs;
	bool is_over; /* the line with a single dot has come */
};

/* Fields that are the reader's and the transport's, never the writer's. */
static const struct str dropped[] = { S("Return-Path"), S("Bcc"), S("Resent-Bcc"),
	S("Content-Length") };
static const struct str ours[] = { S("To"), S("Cc"), S("Bcc") };
static const struct str whole[] = { S("From"), S("Sender"), S("Reply-To"), S("To"), S("Cc"),
	S("Resent-From"), S("Resent-Sender"), S("Resent-To"), S("Resent-Cc") };
static const struct str hidden[] = { S("Bcc"), S("Resent-Bcc") };
static const struct str resent[] = { S("Resent-To"), S("Resent-Cc"), S("Resent-Bcc") };

static bool
is_one_of(struct str name, const struct str *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(name, names[i]))
			return true;
	return false;
}

#define IS_ONE_OF(name, table) is_one_of(name, table, sizeof table / sizeof table[0])

/* ── the header ── */

static bool
has_field(struct str header, const struct str *names, size_t n)
{
	struct header_field field;

	while (header_next(&header, &field))
		if (is_one_of(field.name, names, n))
			return true;
	return false;
}

/* -t: of a mail that is sent on, those to whom it is sent on. What is no address is said, and fails the call only when nobody is left. */
static void
take_recipients(struct sendmail *s, struct str header)
{
	bool is_resent = has_field(header, resent, sizeof resent / sizeof resent[0]);
	struct header_field field;

	while (header_next(&header, &field))
		if (is_resent ? IS_ONE_OF(field.name, resent) : IS_ONE_OF(field.name, ours))
			sendmail_add_recipients(s, field.value, EX_OK);
}

static void
add_missing(struct sendmail *s, struct str header)
{
	static const struct str from = S("From"), date = S("Date"), id = S("Message-ID");
	struct buf name = { .max = 1024 };
	char text[MAIL_ID_TEXT];

	if (!has_field(header, &from, 1)) {
		/* a line end in the name would begin another field */
		buf_add_clean(&name, str_of(s->name), true);
		buf_add(&s->message, S("From:"));
		encode_mailbox(&s->message, buf_str(&name), s->sender);
		buf_add(&s->message, S("\r\n"));
	}
	if (!has_field(header, &date, 1)) {
		buf_add(&s->message, S("Date: "));
		date_add(&s->message, time(NULL));
		buf_add(&s->message, S("\r\n"));
	}
	if (!has_field(header, &id, 1))
		buf_addf(&s->message, "Message-ID: <%s@%s>\r\n",
			mail_id_text(mail_id_random(), text), s->domain);
	buf_free(&name);
}

/* Elsewhere nobody knows who `root` is: addresses are made whole (RFC 6409 §8.1). */
static void
add_field(struct sendmail *s, const struct header_field *field)
{
	if (IS_ONE_OF(field->name, dropped))
		return;
	if (!IS_ONE_OF(field->name, whole)) {
		buf_add(&s->message, field->whole);
		return;
	}
	buf_add(&s->message, str_part(field->whole, 0, (size_t)(field->value.p - field->whole.p)));
	sendmail_add_whole(s, &s->message, field->value);
	buf_add(&s->message, S("\r\n"));
}

/* What was gathered becomes the beginning of the message: a header of so many octets, and a body from `body` on. */
static void
end_header(struct sendmail *s, struct intake *in, size_t header_n, size_t body)
{
	struct str header = str_part(buf_str(&in->head), 0, header_n), fields = header;
	struct header_field field;

	if (s->reads_recipients)
		take_recipients(s, header);
	add_missing(s, header);
	while (header_next(&fields, &field))
		add_field(s, &field);
	buf_add(&s->message, S("\r\n"));
	in->watched = s->message.n;
	buf_add(&s->message, str_from(buf_str(&in->head), body));
	in->header_is_over = true;
	buf_free(&in->head);
}

/* Bcc that stands behind a line that is no field would be shown to all, and whom it names would get nothing. */
static void
watch_body(const struct sendmail *s, struct intake *in)
{
	struct header_field field;

	while (in->is_watched) {
		struct str rest = str_from(buf_str(&s->message), in->watched), line;
		size_t end = str_find(rest, '\n');

		if (end == rest.n)
			return;
		line = str_part(rest, 0, end + 1);
		in->watched += end + 1;
		in->is_watched = !str_eq(line, S("\r\n"));
		in->has_hidden |= header_next(&line, &field) && IS_ONE_OF(field.name, hidden);
	}
}

/* Is this line, with its end, one of a header? */
static bool
is_header_line(struct str line, bool is_first)
{
	struct header_field field;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return !is_first;
	return header_next(&line, &field);
}

/* As in a mbox, or in one that was quoted: ">From ". What is folded behind it goes with it. */
static bool
is_from_line(const struct intake *in, struct str line)
{
	if (in->had_from_line && (line.p[0] == ' ' || line.p[0] == '\t'))
		return true;
	while (scan_char(&line, '>'))
		;
	return str_starts(line, S("From "));
}

/* Looks at each line that is whole, until one is no field. */
static void
look_at_lines(struct sendmail *s, struct intake *in)
{
	while (!in->header_is_over) {
		size_t end = in->seen + str_find(str_from(buf_str(&in->head), in->seen), '\n');
		struct str line;

		in->seen = end;
		if (end == in->head.n)
			return;
		in->seen++;
		line = str_part(buf_str(&in->head), in->line, in->seen - in->line);
		if (in->line == 0 && is_from_line(in, line)) {
			buf_drop(&in->head, in->seen);
			in->seen = 0;
			in->had_from_line = true;
		} else if (str_eq(line, S("\r\n"))) {
			end_header(s, in, in->line, in->seen);
		} else if (!is_header_line(line, in->line == 0)) {
			in->is_watched = s->reads_recipients;
			end_header(s, in, in->line, in->line);
		} else {
			in->line = in->seen;
		}
	}
}

static void
take_text(struct sendmail *s, struct intake *in, struct str text)
{
	in->ends_in_a_line = text.p[text.n - 1] != '\n';
	if (in->header_is_over) {
		buf_add(&s->message, text);
	} else {
		buf_add(&in->head, text);
		s->message.overflow |= in->head.overflow;
		look_at_lines(s, in);
	}
	watch_body(s, in);
}

/* ── the input ── */

/* What was held back stands within a line. */
static void
release(struct sendmail *s, struct intake *in)
{
	if (in->has_dot)
		take_text(s, in, S("."));
	for (; in->crs; in->crs--)
		take_text(s, in, in->header_is_over ? S("\r\n") : S(" "));
	in->has_dot = false;
}

/* A part of a line, without its LF. */
static void
take_part(struct sendmail *s, struct intake *in, struct str part)
{
	if (part.n && in->at_line_start && !s->ignores_dots)
		in->has_dot = scan_char(&part, '.');
	while (part.n) {
		size_t n = str_find(part, '\r');

		if (n) {
			release(s, in);
			take_text(s, in, str_part(part, 0, n));
		}
		part = str_from(part, n);
		in->crs += scan_char(&part, '\r');
	}
}

static void
take_input(struct sendmail *s, struct intake *in, struct str input)
{
	while (input.n && !in->is_over) {
		struct str part;
		bool has_end = str_cut(input, '\n', &part, &input);

		take_part(s, in, part);
		in->at_line_start = has_end;
		if (!has_end)
			continue;
		in->crs = 0;
		in->is_over = in->has_dot;
		if (!in->is_over)
			take_text(s, in, S("\r\n"));
	}
}

/* The last line may have no end, and the dot needs none. */
static void
end_input(struct sendmail *s, struct intake *in)
{
	if (in->ends_in_a_line)
		take_text(s, in, S("\r\n"));
	if (!in->header_is_over)
		end_header(s, in, in->head.n, in->head.n);
}

/* Until the end of standard input or the dot. False: errno. */
static bool
read_input(struct sendmail *s, struct intake *in)
{
	char chunk[CHUNK];
	ssize_t n = 1;

	while (n != 0 && !in->is_over && !s->message.overflow) {
		n = read(STDIN_FILENO, chunk, sizeof chunk);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			take_input(s, in, (struct str){ chunk, (size_t)n });
	}
	return true;
}

bool
sendmail_read_message(struct sendmail *s)
{
	struct intake in = { .head = { .max = SENDMAIL_MESSAGE_MAX }, .at_line_start = true };
	bool ok;

	ok = read_input(s, &in);
	if (!ok)
		sendmail_complain(s, EX_IOERR, S("cannot read the message"), strerror(errno));
	else
		end_input(s, &in);
	if (s->message.overflow)
		ok = sendmail_complain(
			s, EX_DATAERR, S("the message is larger than anyone takes"), "");
	if (in.has_hidden)
		ok = sendmail_complain(s, EX_DATAERR,
			S("there is a Bcc behind a line that is no field of a header: all would "
			  "see it; nothing was sent"),
			"");
	buf_free(&in.head);
	return ok;
}
