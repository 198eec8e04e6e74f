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
	bool has_date, has_message_id, has_from;
	unsigned received; /* number of Received fields */
};

void header_look(struct str message, struct header_facts *facts);

/* "Mon, 23 Nov 2026 05:19:00 +0000" (RFC 5322 §3.3); always UTC, so that no zone files are needed.
 */
void date_add(struct buf *to, int64_t unix_seconds);

/* A message of plain text, as `posthouse send` writes it: From, To, Subject (encoded words where
 * not ASCII, RFC 2047), Date, Message-ID, MIME-Version, Content-Type, transfer encoding. CR, LF or
 * NUL in a field is an error, never an injection. */
struct message_parts {
	struct str from;
	const struct str *to;
	size_t to_n;
	struct str subject;
	struct str text; /* UTF-8, any line ends */
	int64_t unix_seconds;
	struct str message_id; /* without brackets */
};

bool message_compose(struct buf *to, const struct message_parts *parts, struct err *e);

/* A bounce (RFC 3464 in RFC 6522): who, why in plain words, what the other host said, what to do;
 * the machine part; the header of the mail that did not arrive. */
struct dsn_recipient {
	struct str address;
	const struct err *why;
	struct str host; /* who said so: name or address of the next host, empty: we did */
};

struct dsn {
	struct str hostname, to, message_id,
		original_id; /* reporting host; the sender who gets it; its ids */
	int64_t unix_seconds, arrived_unix_seconds;
	const struct dsn_recipient *recipients;
	size_t recipients_n;
	struct str original_header; /* up to, not including, the empty line; cut by the caller */
};

void dsn_compose(struct buf *to, const struct dsn *d);

#endif
