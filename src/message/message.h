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

/* The value of the first field of this name, folded as it came; empty when there is none. */
struct str header_get(struct str header, struct str name);

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

/* "2026-11-23T05:19:00Z" (RFC 3339 §5.6), always UTC. Reading takes a fraction of the second, which is
 * dropped, and no moment before 1970. */
void date_add_rfc3339(struct buf *to, int64_t unix_seconds);
bool date_scan_rfc3339(struct str *in, int64_t *unix_seconds);

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
struct str encode_character(struct str text);		   /* the first one; empty: none */
size_t encode_column(const struct buf *to);		   /* octets behind the last line end */
void encode_unstructured(struct buf *to, struct str text); /* Subject */
void encode_folded(struct buf *to, struct str text);	   /* as it is; no blanks at its ends */
bool encode_can_fold(struct str text); /* no word needs more than 998 columns: RFC 5322 §2.1.1 */
void encode_mailbox(struct buf *to, struct str name, struct str address); /* From, To */
void encode_words(struct buf *to, struct str text);  /* encoded words, no blank before them */
void encode_quoted(struct buf *to, struct str text); /* "…"; a backslash and what it hides stay */
bool encode_is_plain(struct str text); /* printable ASCII, nothing like an encoded word */

/* The end of a header (or of a body part's) and its text: Content-Type of text/subtype, transfer encoding, empty line, body. UTF-8,
 * any line ends, of which the last is added where it is missing; 7bit where it is ASCII in lines up to 998, else quoted-printable or
 * base64, whichever is shorter. */
void encode_text(struct buf *to, struct str subtype, struct str text);

/* Base64 in lines of 76 with CRLF behind each (RFC 2045 §6.8), to a place with room for their size; how many octets came. */
enum { ENCODE_BASE64_LINE = 57 };
size_t encode_base64_lines(char *to, struct str s);
uint64_t encode_base64_lines_size(uint64_t n);

/* A parameter of Content-Type and its like, behind a ';' and on a line of its own (param.c). value: UTF-8 without control characters.
 * extended: name*=UTF-8''%E9…, in sections where it is long (RFC 2231 §3, §4). quoted: name="…", for readers that do not know
 * RFC 2231: what is not ASCII becomes encoded words there, which RFC 2047 §5 forbids and everybody reads. */
void param_add_extended(struct buf *to, struct str name, struct str value);
void param_add_quoted(struct buf *to, struct str name, struct str value);
bool param_is_attribute_char(char c);  /* RFC 2231 §7 */
bool param_is_plain(struct str value); /* short and ASCII: quoted, it says all */

/*
 * Delivery status notifications: what a sender may ask for (RFC 3461), and the report that tells of a
 * failure, a delay or a success (RFC 3464 in RFC 6522; with addresses that are not ASCII RFC 6533).
 */
enum dsn_notify { /* NOTIFY= of a recipient; none: failures, and delays if we like */
	DSN_NOTIFY_NEVER = 1,
	DSN_NOTIFY_SUCCESS = 2,
	DSN_NOTIFY_FAILURE = 4,
	DSN_NOTIFY_DELAY = 8,
};

enum {
	DSN_ENVELOPE_ID_MAX = 100, /* RFC 3461 §4.4, octets of xtext */
	DSN_ORIGINAL_MAX = 500,	   /* RFC 3461 §4.2, octets of type;xtext */
};

/* The address of an ORCPT=utf-8;… (RFC 6533 §3), in which "\x{F6}" may stand for a character: decoded
 * behind `to`; false and *to as it was when it is not of that grammar. */
bool dsn_add_utf8_address(struct buf *to, struct str address);

/* What an ORCPT (type;xtext) means, without its type, behind `to`; nothing when it is empty or malformed. */
void dsn_add_original(struct buf *to, struct str orcpt);

enum dsn_kind { DSN_FAILED, DSN_DELAYED, DSN_RELAYED, DSN_DELIVERED, DSN_EXPANDED };
enum dsn_language { DSN_ENGLISH, DSN_CHINESE, DSN_LANGUAGES };

struct dsn_recipient {
	struct str address;
	struct str original; /* ORCPT= as on the wire, type;xtext; empty: none given */
	enum dsn_kind action;
	const struct err *why;	/* failed, delayed: its text is told to the sender; else NULL */
	struct enhanced status; /* of why, as reply_from_err has it; zero: what the action says */
	struct str host;	/* who said so: name or address of the next host, empty: we did */
	int64_t retry_until_s;	/* delayed: since 1970; 0: unknown */
};

struct dsn {
	enum dsn_kind kind;	    /* what the report is about; recipients may differ in success */
	enum dsn_language language; /* Chinese: with the English below it */
	struct str hostname;	    /* the reporting host: ours */
	struct str to;		    /* the sender, who gets it */
	struct str message_id;	/* of the report, without brackets; random in part, so that it also
				   makes a boundary that nobody can guess */
	struct str original_id; /* what the log calls the mail; may be empty */
	struct str envelope_id; /* ENVID= as on the wire, xtext; empty: none given */
	int64_t unix_seconds, arrived_unix_seconds; /* now; when we took the mail */
	const struct dsn_recipient *recipients;	    /* at least one */
	size_t recipients_n;
	struct str original_header; /* up to, not including, the empty line; cut by the caller */
	struct str original_whole;  /* RET=FULL: all of the message, lines up to 998 and no NUL;
				       empty: the header alone goes back */
};

/*
 * The report: for people who, why in plain words, what the other host said, what to do; for programs
 * the same in fields; and the mail or its header. Control characters in any text but the original
 * become '?'. The caller sends it with a null reverse-path, as 8-bit where it is not ASCII, and checks
 * to->overflow.
 */
void dsn_compose(struct buf *to, const struct dsn *d);

/* The part for people alone (dsn_text.c): lines that end in LF. */
void dsn_add_text(struct buf *to, const struct dsn *d);

/* Did the queue give up a recipient whose last error would have allowed another try? */
bool dsn_is_expired(const struct err *why);

/* The texts last for ever. */
struct dsn_meaning {
	struct str meaning, for_sender; /* in one plain sentence; what the sender can do */
	struct str for_operator;	/* what whoever runs the sending station can; in English */
};

/*
 * What an enhanced code (RFC 3463 and the registry of RFC 5248) means. A detail that is not known gets
 * the words of its subject, an unknown subject those of all. `words` were said with it, or empty: hosts
 * greylist under many codes. (dsn_words.c)
 */
struct dsn_meaning dsn_explain(struct enhanced code, struct str words, enum dsn_language language);
/* What the operator can do about an error that this station found out itself, by its kind; empty: no more than the code says. */
struct str dsn_explain_own(const struct err *e);
/* What its first number says: done, not yet, or never. Empty for a class that there is not. */
struct str dsn_explain_class(struct enhanced code, enum dsn_language language);

/*
 * A message whose header is UTF-8 (RFC 6532), for a host without SMTPUTF8: the same with an ASCII header
 * behind `to`. Texts and names become encoded words (RFC 2047), parameters the form of RFC 2231, in lines
 * of at most 76; comments where nothing can be encoded go; fields that are ASCII and the body stay octet
 * for octet. Fails (permanent, ERR_NEEDS_SMTPUTF8) where an address or an identifier is not ASCII, the
 * header is not UTF-8, or the message is a message/global; and where `to` overflows. What stands in `to` is
 * then worth nothing. (ascii.c)
 */
bool message_to_ascii(struct buf *to, struct str message, struct err *e);
/* One field of it, with its line end. */
bool message_field_to_ascii(struct buf *to, const struct header_field *field, struct err *e);

#endif
