/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MESSAGE_COMPOSE_H
#define MESSAGE_COMPOSE_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Writing a message (RFC 5322, MIME: RFC 2045 and its fellows) of fields, a text, the same as HTML, pictures for it and
 * attachments:
 *
 *   multipart/mixed                 attachments, if any
 *     multipart/alternative         text and HTML, if both
 *       text/plain
 *       multipart/related           HTML with its pictures, if any
 *         text/html
 *         image/png …               inline, by Content-ID
 *     application/pdf …             attachments
 *
 * Attachments may be larger than memory. So a message is first planned: everything but the octets of the parts is written, and the
 * size is known to the octet; then it is read in pieces, and the reader asks for the octets of each part when it is there.
 *
 *   compose_plan(&plan, &c, &e)
 *   compose_begin(&reader, &plan);
 *   loop: switch (compose_next(&reader, &piece))
 *         COMPOSE_PIECE      the next octets of the message
 *         COMPOSE_WANT_PART  the next octets of part reader.part: compose_feed
 *         COMPOSE_OVER
 *
 * What is written is ASCII in lines of at most 78 columns (998 where a word, or a line of a text, is that long), but for addresses
 * that are not ASCII themselves (RFC 6532). Pure.
 */

/*
 * A field of the caller's own; not From, To, Subject, Date, Content-… and the others that come from the rest. A value in ASCII
 * goes as it is, folded at its blanks; another as the field's grammar wants it: encoded words (RFC 2047) in texts and in names.
 */
struct compose_field {
	struct str name, value; /* value: UTF-8; blanks at its ends go */
};

struct compose_part {
	/* It belongs to the HTML, which shows it as cid:ID. Where there is no HTML, it is among the attachments. */
	bool is_inline;
	struct str id; /* its Content-ID without brackets; an attachment may have none */
	/* Of the file, in UTF-8; empty: none. Directories and blanks at its ends go, control characters become '_';
	 * what nothing is left of is "attachment". */
	struct str name;
	/* "application/pdf", with parameters or without; empty: guessed from the name. */
	struct str type;
	uint64_t size; /* octets that compose_feed will give, in all */
	/* A message/rfc822 of lines up to 998 in ASCII, each with CRLF: goes as it is, since nothing may encode it (RFC 2046
	 * §5.2.1). What is a message or a multipart and not like that goes as application/octet-stream. */
	bool is_plain;
};

struct compose {
	struct str from; /* a mailbox, with or without a name; so are those: */
	const struct str *to, *cc, *reply_to;
	const struct str
		*bcc; /* written too: of a draft, which is not sent as it is (RFC 5322 §3.6.3) */
	size_t to_n, cc_n, reply_to_n, bcc_n;
	struct str subject;
	int64_t unix_seconds;
	struct str message_id; /* without brackets */
	const struct compose_field *fields;
	size_t fields_n;
	bool has_text, has_html;
	struct str text, html; /* UTF-8, any line ends; the last one is added where it is missing */
	const struct compose_part *parts;
	size_t parts_n;
	struct str boundary; /* letters and digits that nobody can guess, at most 40 */
};

enum {
	COMPOSE_PIECE_MAX = 65536, /* octets of a piece */
	COMPOSE_FEED_MAX = 47880,  /* octets given at a time: 840 lines of 57 */
	COMPOSE_PARTS_MAX = 1000,
	COMPOSE_SIZE_MAX = 32 << 20, /* octets of everything but the parts */
};
static const uint64_t COMPOSE_PART_MAX = (uint64_t)1 << 50; /* octets of a part */

struct compose_plan {
	struct buf octets;	    /* all but the parts */
	struct compose_hole *holes; /* where the parts come in */
	size_t holes_n;
	uint64_t size;		     /* of the whole message */
	bool needs_smtputf8;	     /* an address in the header is not ASCII */
	const struct memory *memory; /* set before compose_plan, the rest zero */
};

/* Fails (permanent) where a field holds a line end or NUL, is not UTF-8, or cannot be what it is called; e names it. Also where the
 * plan is too large or its memory refuses. The plan is empty then. It keeps no pointer into c. */
bool compose_plan(struct compose_plan *plan, const struct compose *c, struct err *e);
void compose_free(struct compose_plan *plan);

/* A field's name: RFC 5322 §2.2, at most 76 columns. */
bool compose_is_field_name(struct str name);
/* An address of a mailbox, without its name: RFC 5322 §3.4.1 without blanks and comments, RFC 6532; a lone local part is left to the server. */
bool compose_is_address(struct str address);
/* An identifier without its brackets, as Message-ID and Content-ID have them: printable ASCII that cannot end it. */
bool compose_is_id(struct str id);
/* By the name's ending: "image/png"; "application/octet-stream" when that says nothing. */
struct str compose_guess_type(struct str name);

enum compose_step { COMPOSE_PIECE, COMPOSE_WANT_PART, COMPOSE_OVER };

struct compose_reader {
	const struct compose_plan *plan;
	size_t part;   /* that is wanted: index into compose.parts */
	size_t wanted; /* octets of it, exactly; at most COMPOSE_FEED_MAX */
	/* its own */
	size_t hole, at;
	uint64_t fed;
	struct str ready;
	char out[COMPOSE_PIECE_MAX];
};

void compose_begin(struct compose_reader *r, const struct compose_plan *plan);
enum compose_step compose_next(
	struct compose_reader *r, struct str *piece); /* piece: until the next call with r */
void compose_feed(struct compose_reader *r, struct str octets); /* r->wanted of them */

/* ── Between its files ── */

struct compose_hole {
	size_t part; /* index into compose.parts */
	size_t at;   /* in plan.octets */
	uint64_t size;
	bool is_plain;
};

/* compose_field.c: From to MIME-Version. */
bool compose_add_header(struct compose_plan *plan, const struct compose *c, struct err *e);
/* compose_part.c: Content-Type to the empty line. */
bool compose_add_part_header(struct buf *to, const struct compose_part *part, struct err *e);

#endif
