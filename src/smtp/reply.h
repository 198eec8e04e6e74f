/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/buf.h"
#include "base/err.h"

/*
 * The one place where an err becomes a reply code and an enhanced code (RFC 5321 §4.2, RFC 3463,
 * RFC 5248), and the one place that writes and reads reply lines.
 */

enum {
	SMTP_COMMAND_LINE_MAX =
		2048, /* RFC 5321 §4.5.3.1.4 says 512, extensions add; AUTH lines have their own: */
	SMTP_AUTH_LINE_MAX = 12288, /* RFC 4954 §4 */
	SMTP_TEXT_LINE_MAX = 998,   /* RFC 5321 §4.5.3.1.6, without CRLF */
	SMTP_REPLY_LINE_MAX = 2048, /* what we read of a peer; RFC 5321 §4.5.3.1.5 says 512 */
	SMTP_REPLY_LINES_MAX = 100,
	SMTP_REPLY_MAX = 65536,	    /* octets of one reply, all its lines */
	SMTP_BAD_COMMANDS_MAX = 20, /* then 421 4.7.0 */
	SMTP_HOPS_MAX = 100,	    /* Received fields; RFC 5321 §6.3 */
};

struct reply {
	int code;
	struct enhanced enhanced; /* zero: none is written */
	struct str text; /* lines divided by '\n'; each becomes a line of a multi-line reply */
	struct str before, after; /* joined to the first and the last line of the text; or empty */
	bool utf8; /* the client takes UTF-8 in replies (RFC 6531 §3.7.4.2); else '?' */
};

/* What e is called on the wire; the text is e's own where it has one (in place, so e must live as
 * long), else the kind's. Always 4yz or 5yz. */
struct reply reply_from_err(const struct err *e);

/* "250-2.1.0 …\r\n250 2.1.0 …\r\n". Control characters in the text become '?', so no text can forge
 * a line; a line is cut at 512 octets. */
void reply_add(struct buf *to, struct reply r);

/*
 * Reads a reply, line by line, from a peer. reply_read takes complete lines from `in` (advancing
 * it) until the reply is whole: 1; 0 when more input is needed (an incomplete line stays in `in`);
 * -1 when the peer does not speak SMTP or passes a limit of lines. Codes that change between the
 * lines are -1. The text is gathered in `text`: lines divided by '\n', control characters '?', an
 * enhanced code left in; what passes text.max is dropped. Zero-initialise, set text.max; reset
 * between replies.
 */
struct reply_reader {
	int code;
	struct enhanced enhanced;
	unsigned lines;
	size_t octets; /* of whole lines so far */
	struct buf text;
};

int reply_read(struct reply_reader *r, struct str *in);
void reply_reader_reset(struct reply_reader *r);

#endif
