/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "smtp/address.h"
#include "smtp/data.h"
#include "smtp/reply.h"

/*
 * The SMTP server as a value (RFC 5321): bytes in, bytes out, and the next event returned. It has
 * no socket, clock, global or callback. The driver's whole duty:
 *
 *   smtp_server_begin(&s, &settings);
 *   loop:   switch (smtp_server_next(&s)) — one arm an event, below
 *   input:  smtp_server_feed(&s, bytes), then next() until SMTP_WANT_INPUT
 *   output: whatever smtp_server_output() holds goes to the peer, in one write, before waiting for
 *           input
 *
 * An SMTP_ON_… event that asks something is followed by exactly one smtp_server_answer() or
 * smtp_server_accept(). Until then smtp_server_next() returns it again: a driver that must wait for
 * its answer leaves its loop and later calls the same loop anew. When it leaves with input not yet
 * consumed it calls smtp_server_park(), after which the fed bytes need no longer be valid.
 */

enum smtp_event {
	SMTP_WANT_INPUT, /* everything fed is consumed; flush output, feed more */
	SMTP_WANT_FLUSH, /* a peer that does not wait has called up much output: send all of it,
			    then next() again without feeding (the input left over is parked) */
	SMTP_ON_CONNECT, /* asks: first event of a session. Yes: 220. No: 554 (then only QUIT) where
			    permanent, 421 and the end where temporary */
	SMTP_ON_HELLO, /* asks: s.hello is what the client calls itself, s.is_extended how. Yes: 250. No: all
			    stays as it was. It comes again with every EHLO or HELO */
	SMTP_ON_STARTTLS, /* asks. Yes: 220, then SMTP_WANT_TLS. No: 454 */
	SMTP_WANT_TLS, /* flush the output, shake hands, then smtp_server_secured(). What the client
			     said in clear behind its STARTTLS is thrown away (RFC 3207 §6) */
	SMTP_ON_XCLIENT, /* asks: s.xclient says for whom this client speaks. Yes: 220, and the session
			     begins anew */
	SMTP_ON_AUTH,	 /* asks: s.auth has mechanism, login, password. Yes: 235 */
	SMTP_ON_MAIL,	 /* asks: s.transaction has reverse_path and parameters */
	SMTP_ON_RCPT,	 /* asks: s.recipient */
	SMTP_ON_DATA,	 /* asks: may a message begin? before 354, or before the first BDAT chunk is
			    read */
	SMTP_ON_BODY,	 /* s.body is a piece of the message, unstuffed, CRLF line ends; valid until
			    next() or park(). Tells; a driver that cannot take it calls
			    smtp_server_fail_body(), the rest is then swallowed and the error said at
			    the end */
	SMTP_ON_END,   /* asks: the message is complete; yes only when it is on stable storage (law
			  1). Yes: 250 */
	SMTP_ON_RESET, /* tells: the transaction is over without END's yes (RSET, EHLO, refused,
			  QUIT, 421): forget the draft */
	SMTP_ON_VRFY,  /* asks: s.argument. Yes: 252, or by accept 250 with the driver's text */
	SMTP_ON_EXPN,  /* asks: s.argument. Yes by accept: 250, a line a member */
	SMTP_WANT_CLOSE, /* flush output, close */
};

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };
enum smtp_return { SMTP_RETURN_UNSAID, SMTP_RETURN_FULL, SMTP_RETURN_HDRS };

/* What a session is told by its driver. Texts must outlive the session. */
struct smtp_server_settings {
	struct str hostname;
	uint64_t message_size_max; /* octets; SIZE (RFC 1870) */
	uint32_t recipients_max;   /* a transaction; LIMITS RCPTMAX (RFC 9422) */
	bool offers_auth;	   /* EHLO names AUTH (and AUTH=), the verb is known; else 502 */
	bool repairs_line_ends;	   /* bare CR or LF becomes CRLF in place of a refusal */
};

/* Whom a client that may say so speaks for (XCLIENT). Texts valid during ON_XCLIENT; empty: not said or
 * [UNAVAILABLE]. */
struct smtp_xclient {
	struct str name, address, port;
	struct str protocol, hello, login; /* for the log alone */
};

/* One transaction: MAIL to end-of-data. Reset as a whole, in one function. Texts live in its arena.
 */
struct smtp_transaction {
	bool is_open; /* MAIL was accepted */
	struct address reverse_path;
	uint64_t size_declared; /* SIZE=, 0: not said */
	enum smtp_body body;
	bool smtputf8;
	struct str
		auth_identity; /* AUTH= of MAIL (RFC 4954 §5), decoded; empty when not said or <> */
	enum smtp_return returns; /* RET= (RFC 3461 §4.3) */
	struct str envelope_id;	  /* ENVID= (RFC 3461 §4.4) as on the wire: xtext; or empty */
	int64_t hold_until_s; /* HOLDFOR= or HOLDUNTIL= (RFC 4865), since 1970; may be past; 0: none */
	uint32_t recipients_accepted, recipients_seen;
	uint64_t size; /* octets of the message so far, as ON_BODY gave them */
	bool has_8bit, has_nul,
		has_long_line; /* seen in the message so far; the last two only by BDAT */
	struct arena arena;
};

struct smtp_auth {
	struct str mechanism; /* "PLAIN" or "LOGIN" */
	struct str login, password,
		authorization; /* authorization identity of PLAIN, may be empty */
	struct buf secrets;    /* where they lie; wiped when answered */
};

enum smtp_server_state { /* what the next input is; see the picture in server.c */
	SERVER_CONNECT,
	SERVER_TLS,
	SERVER_REFUSED,
	SERVER_COMMAND,
	SERVER_AUTH_PLAIN,
	SERVER_AUTH_LOGIN,
	SERVER_AUTH_PASSWORD,
	SERVER_DATA,
	SERVER_CHUNK,
	SERVER_CLOSED,
};

struct smtp_server {
	const struct smtp_server_settings *settings;
	bool offers_auth, repairs_line_ends; /* from the settings; the driver may change them while
						the session lives, like the next two */
	bool offers_starttls; /* and is_secure is not set: EHLO names it, the verb is known */
	bool offers_xclient;
	bool begins_with_tls; /* port 465 (RFC 8314): the first event is SMTP_WANT_TLS */
	bool is_secure;	      /* the core's, by smtp_server_secured */
	uint32_t hold_most_s; /* so long this client may have a mail held: FUTURERELEASE (RFC 4865);
				 0: not offered. The driver's, like the next, which it sets before it feeds */
	int64_t now_s;	      /* since 1970; needed only where hold_most_s is set */

	struct str hello; /* what the client called itself; empty before HELO */
	bool is_extended; /* EHLO */
	bool is_logged_in;
	struct smtp_transaction transaction;
	struct address recipient; /* during ON_RCPT, like the next two */
	uint8_t notify; /* NOTIFY= (RFC 3461 §4.1): bits of dsn_notify in message/message.h */
	struct str
		original_recipient; /* ORCPT= (RFC 3461 §4.2) as on the wire: type;xtext; or empty */
	struct str argument;	    /* during ON_VRFY, ON_EXPN */
	struct str body;	    /* during ON_BODY */
	struct smtp_auth auth;	    /* during ON_AUTH */
	const struct smtp_xclient *xclient; /* during ON_XCLIENT */
	unsigned commands;		    /* lines that came so far, for the driver's limits */
	unsigned unknown_recipients;	    /* RCPTs answered with ERR_MAILBOX_UNKNOWN so far */

	/* the core's own; see server.c */
	enum smtp_server_state state;
	enum smtp_event pending; /* the question that has no answer yet; SMTP_WANT_INPUT: none */
	struct str in;
	struct buf line, parked, out, hello_copy, farewell;
	struct arena scratch; /* recipient and argument, until the answer */
	struct data data;
	struct err failure;		   /* of the message that is coming in: said at its end */
	const struct reply *chunk_refusal; /* of this chunk alone */
	uint64_t chunk_left;
	size_t login_size; /* octets of the login at the head of the secrets, AUTH LOGIN */
	unsigned bad_commands;
	bool chunk_is_last, has_chunks, must_tell_reset, argument_is_utf8;
	bool was_extended; /* before the EHLO or HELO that is asked about */
	bool must_be_verb; /* the first line over TLS */
};

void smtp_server_begin(struct smtp_server *s, const struct smtp_server_settings *settings);
void smtp_server_free(struct smtp_server *s);

void smtp_server_feed(struct smtp_server *s,
	struct str bytes); /* only after SMTP_WANT_INPUT, or when nothing is left over */
void smtp_server_park(struct smtp_server *s);

/* After SMTP_WANT_TLS, when the handshake is done: the session begins anew (RFC 3207 §4.2): no hello, no
 * login, no transaction, nothing of what was fed before. What the driver has set (offers_…, hold_most_s,
 * repairs_line_ends) stays until it sets it anew, as it should: TLS changes rights. The same goes for ON_XCLIENT's yes. */
void smtp_server_secured(struct smtp_server *s);
enum smtp_event smtp_server_next(struct smtp_server *s);

/* No (err_is(e)) or yes (e may be NULL) with the event's usual code and words. */
void smtp_server_answer(struct smtp_server *s, const struct err *e);

/* Yes in other words: 251 for a forwarded recipient, 250 for VRFY, 250 with the mail's id. Lines of
 * the text are divided by '\n'; what passes 32 KiB is cut. The enhanced code is the event's own. */
void smtp_server_accept(struct smtp_server *s, int code, struct str text);

/* The message that is coming in cannot be kept. The first such error is said at its end, unless the
 * message has a fault of its own, which no repeating would mend. */
void smtp_server_fail_body(struct smtp_server *s, const struct err *e);

/* Says 421 with e's words and closes: idle, shutdown, overload. At once, also within a message,
 * which is then lost and for the client to repeat; but when a question is open, behind its answer
 * (in place of STARTTLS's 220). While hands are shaken nothing is said. */
void smtp_server_stop(struct smtp_server *s, const struct err *e);

struct str smtp_server_output(const struct smtp_server *s);
void smtp_server_sent(struct smtp_server *s, size_t n); /* the first n octets of output have gone */

#endif
