/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_SUBMIT_H
#define ROLE_READER_SUBMIT_H

#include "io/stream.h"
#include "role/reader/reader.h"
#include "smtp/client.h"

/* ── outgoing.c: a message of the mailbox as it goes over the wire. Pure ── */

/*
 * Every line end as CRLF, one at the end, and then without the Bcc fields (RFC 5322 §3.6.3: whoever gets it must not see them): a CR alone ends a line
 * for whoever gets it, so that what stands behind it is a field. Looked at twice: the size must be known before the first octet goes.
 */
struct outgoing {
	struct buf header; /* to the empty line */
	struct str body;   /* as it lies there; the message's owner keeps it */
	uint64_t size;	   /* octets of all that outgoing_read gives */
	bool is_8bit, header_is_8bit, needs_chunking; /* NUL, or lines over 998 */
	size_t at, header_at;
	bool is_behind_cr, is_behind_line;
};
void outgoing_begin(struct outgoing *o, struct str message);
/* The message's header with its line ends so, to the empty line, blind fields included: what is asked of the header is asked of this one. Returns what is
 * behind it. */
struct str outgoing_header(struct str message, struct buf *header);
enum { OUTGOING_PIECE = 32768, OUTGOING_ROOM = 2 * OUTGOING_PIECE };
size_t outgoing_read(
	struct outgoing *o, char to[OUTGOING_ROOM]); /* the next octets; 0: that was all */
void outgoing_free(struct outgoing *o);

/* ── submit.c: one mail, handed in by SMTP ── */

enum { SUBMIT_RECIPIENTS_MAX = SMTP_CLIENT_RECIPIENTS_MAX };

/* What is handed in. All of it stays the owner's, and is there until `done` or submit_free. */
struct submit_order {
	struct str reverse_path; /* as on the wire */
	const struct str *recipients;
	const struct smtp_client_dsn *dsn; /* as many; NULL: nothing was asked */
	size_t recipients_n;
	struct str message;
	uint64_t hold_s;
	char ret; /* as in smtp_client_mail */
	struct str envid;
	bool smtputf8; /* an address is not ASCII */
};

struct submit {
	struct reader *reader;
	void (*done)(void *owner);
	void *owner;
	/* When it is done: */
	bool is_done, is_kept; /* kept: at least one recipient was taken, the mail is in the log */
	bool is_unsure;	   /* the whole message left and no answer came: it is in the log, or not */
	struct mail_id id; /* the queue's */
	struct err
		err; /* what kept all of it; none when it is kept, or every recipient has its own */
	struct smtp_outcome outcomes[SUBMIT_RECIPIENTS_MAX];
	/* submit.c's own */
	struct stream stream;
	struct loop_watch *watch;
	struct loop_timer *deadline;
	struct smtp_client client;
	struct smtp_client_settings settings;
	struct smtp_client_mail mail;
	struct outgoing outgoing;
	struct buf login, token, hostname;
	uint64_t given;
};

/* `done` comes once, perhaps before this returns, and then its results stand in the struct until submit_free. */
struct submit *submit_begin(
	struct reader *r, const struct submit_order *o, void (*done)(void *owner), void *owner);
void submit_free(struct submit **s); /* also one that is not done: the mail is then kept, or not */

#endif
