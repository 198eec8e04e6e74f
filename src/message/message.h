/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MESSAGE_MESSAGE_H
#define MESSAGE_MESSAGE_H

#include "base/buf.h"
#include "base/err.h"

/* Messages (RFC 5322) as octets with CRLF line ends: reading header fields, writing small ones.
 * Pure. */

struct header_field {
	struct str name;  /* as written */
	struct str value; /* behind the colon, folded as it came, without the last CRLF */
	struct str whole; /* name to the last CRLF */
};

/* The next field of a header; false at the empty line (which is consumed), at the end, or where a
 * line is no field (left in `in`). `in` begins at a line. */
bool header_next(struct str *in, struct header_field *field);

/* What receive must know before it keeps a message. `message` is its beginning: all of it, or at
 * least the header. */
struct header_facts {
	bool begins_with_field; /* the first line is a header field, or empty: no empty line needs
				   to be put before it */
	bool has_date, has_message_id;
	unsigned received; /* number of Received fields */
};

void header_look(struct str message, struct header_facts *facts);

/* The same for a message that comes in pieces, cut anywhere; nothing is gathered. Zero-initialise; facts are right for what was fed. */
struct header_watch {
	struct header_facts facts;
	enum {
		WATCH_FIRST_LINE,
		WATCH_LINE,
		WATCH_NAME,
		WATCH_BLANKS,
		WATCH_VALUE,
		WATCH_CR,
		WATCH_OVER
	} state;
	char name[12]; /* the beginning of the field's name */
	unsigned name_n;
};

void header_watch_feed(struct header_watch *w, struct str piece);

/* "Mon, 23 Nov 2026 05:19:00 +0000" (RFC 5322 §3.3); always UTC, so that no zone files are needed.
 */
void date_add(struct buf *to, int64_t unix_seconds);

/* "Wei <wei@example.org>" or "wei@example.org" → name (without its quotes, may be empty) and
 * address, both pointing into text. */
void mailbox_split(struct str text, struct str *name, struct str *address);

/*
 * Writing header fields and text (encode.c). A field's name and colon (or the comma of a list)
 * stand in `to` already; these add a blank and what follows, folded at 76 columns (RFC 5322
 * §2.1.1), in encoded words (RFC 2047) where it is not plain ASCII, without the last CRLF. Text
 * must be UTF-8 without CR, LF, NUL (encode_is_clean).
 */
bool encode_is_clean(struct str text);
void encode_unstructured(struct buf *to, struct str text);		  /* Subject */
void encode_mailbox(struct buf *to, struct str name, struct str address); /* From, To */

/* The end of a header (or of a body part's) and its text: Content-Type, transfer encoding, empty
 * line, body. UTF-8, any line ends; 7bit where it is ASCII in lines up to 998, else
 * quoted-printable. */
void encode_text(struct buf *to, struct str text);

/*
 * A message of plain text, as `posthouse send` writes it: From, To, Subject, Date, Message-ID,
 * MIME-Version, Content-Type, transfer encoding. Fails (permanent) where a field or the text is not
 * UTF-8, or a field holds CR, LF or NUL, which would be an injection; and where `to` overflows.
 */
struct message_parts {
	struct str from;      /* a mailbox, with or without a name */
	const struct str *to; /* such mailboxes */
	size_t to_n;
	struct str subject;
	struct str text; /* UTF-8, any line ends */
	int64_t unix_seconds;
	struct str message_id; /* without brackets */
};

bool message_compose(struct buf *to, const struct message_parts *parts, struct err *e);

/*
 * A bounce (RFC 3464 in RFC 6522; with addresses that are not ASCII RFC 6533): who, why in plain
 * words, what the other host said, what to do; the machine part; the header of the mail that did
 * not arrive. Control characters in any text but original_header become '?'. The caller sends it
 * with a null reverse-path and checks to->overflow.
 */
struct dsn_recipient {
	struct str address;
	const struct err *why;	/* its text is told to the sender */
	struct enhanced status; /* of why, as reply_from_err has it */
	struct str host;	/* who said so: name or address of the next host, empty: we did */
};

struct dsn {
	struct str hostname;	/* the reporting host: ours */
	struct str to;		/* the sender, who gets it */
	struct str message_id;	/* of the bounce, without brackets; random in part, so that it also
				   makes a boundary that nobody can guess */
	struct str original_id; /* what the log calls the mail that did not arrive; may be empty */
	int64_t unix_seconds, arrived_unix_seconds; /* now; when we took the mail */
	const struct dsn_recipient *recipients;	    /* at least one */
	size_t recipients_n;
	struct str original_header; /* up to, not including, the empty line; cut by the caller */
};

void dsn_compose(struct buf *to, const struct dsn *d);

#endif
