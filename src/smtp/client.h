/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "base/buf.h"
#include "base/err.h"
#include "smtp/address.h"
#include "smtp/reply.h"
#include "smtp/sasl.h"

/*
 * The client of SMTP (RFC 5321) and LMTP (RFC 2033) as a value: bytes in, bytes out, and the next event returned. One
 * session hands over any number of mails, one after another. The driver's whole duty:
 *
 *   smtp_client_begin(&c, &settings);
 *   loop:   switch (smtp_client_next(&c)) — one arm an event, below
 *   output: what smtp_client_output() holds goes to the peer; smtp_client_sent() tells how much of
 *           it went, before bytes that the peer said later are fed
 *   input:  smtp_client_feed(&c, bytes), then next() again; the bytes are copied
 *   TLS:    when it is asked for, the handshake, then smtp_client_secured; from then on all bytes,
 *           either way, go through it
 */

enum smtp_client_event {
	CLIENT_WANT_INPUT,  /* flush output, feed what the peer says (smtp_client_feed) */
	CLIENT_WANT_OUTPUT, /* much output is pending: send some of it, then next(). Input may be
			       fed meanwhile, and should be: the peer may refuse in mid-body */
	CLIENT_WANT_TLS,    /* shake hands, then smtp_client_secured; where that fails,
			       smtp_client_lost. No output is pending */
	CLIENT_ON_READY,    /* greeting, EHLO/HELO, STARTTLS, AUTH are done: hand over a mail
			       (smtp_client_mail) or smtp_client_quit */
	CLIENT_WANT_ASCII, /* the peer does not offer SMTPUTF8, which this mail needs for its header
			       alone: smtp_client_ascii */
	CLIENT_WANT_TOKEN, /* a login by token: smtp_client_token. client.token_was_refused: a fresh one */
	CLIENT_WANT_AHEAD, /* once a mail, if settings.goes_ahead and the peer takes it (RFC 2920): the whole
			      message is in the output. The next mail may be given now (smtp_client_mail), or
			      not, and then next(). Given, it is `ahead`: its commands leave behind the dot.
			      CLIENT_ON_DONE is the first one's still; with the next() behind it the other is
			      `mail`, without another word of the driver */
	CLIENT_WANT_BODY, /* give the next piece of the message, `ahead`'s where there is one, else `mail`'s:
			      smtp_client_body */
	CLIENT_ON_DONE,	   /* the mail is settled: every recipient has its outcome; ready for the
			       next */
	CLIENT_ON_FAILED,  /* the session is over with client.error; recipients of the mail under
			      way, and of the one given ahead, have their outcome. Output may hold a QUIT: send it if that costs
			       no waiting */
	CLIENT_WANT_CLOSE, /* after QUIT: flush, close */
};

enum smtp_stage { /* where something happened, for people */
	STAGE_CONNECT,
	STAGE_GREETING,
	STAGE_HELLO,
	STAGE_TLS, /* STARTTLS and the handshake */
	STAGE_AUTH,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_BODY,
	STAGE_END,
	STAGE_QUIT
};

const char *smtp_stage_name(enum smtp_stage stage); /* "connect", "greeting" … */

/*
 * What became of one recipient. Class ERR_NONE = the next host took it; code and enhanced are then
 * those of its last reply. ERR_REMOTE carries the peer's code and words.
 */
struct smtp_outcome {
	struct err err;
	enum smtp_stage stage;
	bool is_settled;
	bool may_be_delivered; /* err is ours, not the peer's word: the whole message left, the answer is
				  missing. Trying again may make a second copy */
	bool dsn_taken; /* the next host took it and offers DSN: it reports from here on (RFC 3461
			   §5.2.2) */
};

/* What the sender asked to be told about a recipient (RFC 3461 §4). */
struct smtp_client_dsn {
	uint8_t notify;	  /* enum dsn_notify of message/message.h; 0: nothing said */
	struct str orcpt; /* as on the wire, "rfc822;xtext"; empty: none */
};

enum {
	SMTP_CLIENT_RECIPIENTS_MAX =
		100, /* of one mail; RFC 5321 §4.5.3.1.8 lets no peer take less */
	SMTP_CLIENT_PIECE_MAX = 65536, /* octets given to smtp_client_body at a time */
	SMTP_CLIENT_BINDING_MAX = 64,  /* octets given to smtp_client_bind */
};

/* One mail to hand over. The caller owns it and all texts in it until CLIENT_ON_DONE or
 * CLIENT_ON_FAILED. */
struct smtp_client_mail {
	struct str reverse_path;	   /* as on the wire, without brackets; empty: <> */
	const struct str *recipients;	   /* as on the wire, without brackets */
	struct smtp_outcome *outcomes;	   /* as many, zeroed; filled by the core */
	const struct smtp_client_dsn *dsn; /* as many; NULL: nothing was asked for anybody */
	size_t recipients_n;		   /* 1 … SMTP_CLIENT_RECIPIENTS_MAX */
	uint64_t size;	  /* octets of the message: exactly what smtp_client_body will give */
	char ret;	  /* what a bounce shall bring back (RFC 3461 §4.3): 'F' all, 'H' the
				   header, 0: nothing said */
	struct str envid; /* as on the wire, xtext; empty: none */
	bool smtputf8;	  /* needs it: addresses, or header text, are not ASCII */
	bool has_8bit;	  /* BODY=8BITMIME where the peer offers it */
	bool needs_chunking; /* holds NUL or lines over 998: only BDAT can carry it; said as BODY=BINARYMIME (RFC
				   3030) where that is offered */
	bool requires_tls; /* on the whole way (RFC 8689); where that is not offered, or this session is in clear or with
				   a host that did not prove its name, it comes back */
	uint64_t
		hold_s; /* HOLDFOR (RFC 4865); 0: none. Where that is not offered, or not for so long, it
				   comes back */
	struct str final_words; /* set by the core: the peer's text at the end, e.g. "2.0.0 Ok:
				   queued as …"; valid until the next smtp_client_next() */
};

enum smtp_client_tls {
	CLIENT_TLS_NEVER,   /* in clear: an offer of STARTTLS is not taken up */
	CLIENT_TLS_TRY,	    /* STARTTLS (RFC 3207) where it is offered */
	CLIENT_TLS_REQUIRE, /* where it is not, the session fails */
	CLIENT_TLS_FIRST,   /* before the greeting (RFC 8314 §3.3) */
};

struct smtp_client_settings {	    /* texts must outlive the session */
	struct str hostname;	    /* for EHLO */
	struct str login, password; /* empty login: no AUTH */
	unsigned
		mechanisms; /* only these (smtp/sasl.h); 0: PLAIN and LOGIN, or with a token both of its ways */
	bool has_token; /* the login is by token: CLIENT_WANT_TOKEN asks for it */
	struct str
		nonce; /* SCRAM: 18 octets or more in base64 that nobody can guess, other ones in each session */
	struct str host;	     /* whom we called, for OAUTHBEARER; may be empty */
	bool goes_ahead;	     /* CLIENT_WANT_AHEAD is wanted */
	const struct memory *memory; /* of the session's buffers; NULL: the C library's */
	enum smtp_client_tls tls;
	bool shows_password; /* AUTH may go in clear; else a login requires TLS */
	bool is_lmtp;	     /* RFC 2033: each recipient has its own reply at the end */
	bool bounces_8bit; /* 8-bit mail to a peer without 8BITMIME fails, instead of going as it is */
};

enum { /* bits of smtp_client.offers */
	OFFERS_PIPELINING = 1,
	OFFERS_SIZE = 2,
	OFFERS_8BITMIME = 4,
	OFFERS_SMTPUTF8 = 8,
	OFFERS_CHUNKING = 16,
	OFFERS_DSN = 128,
	OFFERS_STARTTLS = 256,
	OFFERS_BINARYMIME = 512,
	OFFERS_REQUIRETLS = 1024,
	OFFERS_FUTURERELEASE = 2048,
};

/* How much of a mail is in the output. Places count the octets of all output from the session's begin. */
struct smtp_client_said {
	uint64_t begins_at; /* its first command */
	uint64_t ends_at;   /* behind its message; UINT64_MAX: not all of that was given yet */
	bool has_begun;	    /* else nothing of it was said */
	bool begins_with_reset;
	bool content_is_ahead; /* DATA or BDAT was said together with the RCPTs */
};

struct smtp_client {
	const struct smtp_client_settings *settings;
	unsigned offers;
	unsigned logins;      /* the MECHANISM_ bits of its AUTH */
	uint64_t size_max;    /* of SIZE, 0: none said */
	uint64_t hold_most_s; /* of FUTURERELEASE, 0: none said */
	enum smtp_stage stage;
	struct err error;  /* with CLIENT_ON_FAILED */
	uint64_t progress; /* grows with every whole reply and with octets that leave */
	bool may_be_delivered; /* the end of the message of `mail` (when it is done: of the last one) was given to
				  the output, and no reply has said no to it: nobody else may get it now */
	bool is_secure;	  /* the handshake is done */
	bool is_verified; /* and the peer has proved its name */
	bool lacks_tls;	  /* it does not offer STARTTLS, and that is why the session ended */
	struct smtp_client_mail *mail;
	bool token_was_refused; /* see CLIENT_WANT_TOKEN */
	struct smtp_client_mail
		*ahead; /* given behind CLIENT_WANT_AHEAD, and its predecessor is not done yet */
	bool output_is_secret; /* what output holds now has a password in it: not for eyes or logs
				*/

	/* the core's own; see client.c */
	int state;
	enum smtp_client_event event; /* to be returned next; CLIENT_WANT_INPUT: none */
	struct str in;		      /* the unread part of `input` */
	struct buf input, out, words;
	size_t out_sent;
	struct reply_reader reply;
	uint64_t left;	       /* octets of output that ever left */
	struct sasl sasl;      /* the login under way */
	struct buf token;      /* its token */
	char binding_kind[32]; /* smtp_client_bind */
	char binding[SMTP_CLIENT_BINDING_MAX];
	size_t binding_n;
	size_t recipient_next;			  /* whose RCPT is answered next */
	size_t recipients_taken;		  /* RCPTs answered with yes */
	bool mail_is_refused;			  /* MAIL was answered with no */
	bool needs_reset;			  /* the peer may hold a transaction half open */
	struct smtp_client_said said, said_ahead; /* of `mail`, of `ahead` */
	bool ahead_is_offered; /* of this mail the driver was asked CLIENT_WANT_AHEAD */
	bool ascii_is_asked;   /* the driver is asked for an ASCII header */
	bool body_is_open;     /* the driver is asked for the message */
	uint64_t body_given;   /* octets of it so far */
	char body_tail[2];     /* its last two octets; a message begins behind a CRLF */
};

void smtp_client_begin(struct smtp_client *c, const struct smtp_client_settings *settings);
void smtp_client_free(struct smtp_client *c);
void smtp_client_feed(struct smtp_client *c, struct str bytes);
enum smtp_client_event smtp_client_next(struct smtp_client *c);

/* After CLIENT_WANT_TLS. What was heard in clear is forgotten. is_verified: the certificate is good for the host's name. */
void smtp_client_secured(struct smtp_client *c, bool is_verified);
bool smtp_client_awaits_tls(const struct smtp_client *c); /* the handshake is due: no feeding now */

/* Between CLIENT_WANT_TLS and smtp_client_secured, where the driver knows: what binds a login to this TLS session (RFC 5929, RFC 9266),
 * "tls-exporter" or "tls-server-end-point" and its octets, at most SMTP_CLIENT_BINDING_MAX; they are copied. Without it there is no SCRAM-SHA-256-PLUS. */
void smtp_client_bind(struct smtp_client *c, struct str kind, struct str octets);

/* After CLIENT_WANT_TOKEN; the text is copied, and wiped behind the login. Empty: there is none, and the session fails (with the
 * peer's refusal, where there was one). */
void smtp_client_token(struct smtp_client *c, struct str token);

/* Must the session fail where there is no TLS? Else one in clear serves as well (RFC 7435). */
bool smtp_client_needs_tls(const struct smtp_client_settings *settings);

/* What failed was TLS, and nothing forbids the same in clear, on a new connection (RFC 7435 §3). TLS it was also when the
 * host drops the connection before its first words behind the handshake: some say only so that they do not like it. */
bool smtp_client_may_go_clear(const struct smtp_client *c);

void smtp_client_mail(struct smtp_client *c,
	struct smtp_client_mail *mail); /* after ON_READY, ON_DONE, WANT_AHEAD */
/* Between two mails: smtp_client_mail and smtp_client_quit may be called. */
bool smtp_client_is_idle(const struct smtp_client *c);

/*
 * After CLIENT_WANT_ASCII: the header has been turned into ASCII (RFC 2047, RFC 2231), and what
 * smtp_client_body will give has `size` octets now; 0: it cannot be, and the recipients fail with
 * ERR_NEEDS_SMTPUTF8. Changes `size` and `smtputf8` of the mail.
 */
void smtp_client_ascii(struct smtp_client *c, uint64_t size);

/*
 * After CLIENT_WANT_BODY: a piece of the message (CRLF line ends, at most SMTP_CLIENT_PIECE_MAX
 * octets), dot-stuffed into the output here; `last` with the last one. The pieces must add up to
 * mail.size. A driver that cannot go on calls smtp_client_lost and closes: an end that is not the
 * message's own is never sent.
 */
void smtp_client_body(struct smtp_client *c, struct str piece, bool last);
void smtp_client_quit(struct smtp_client *c);

/* The connection broke or a time-out passed: settles what is under way with e. next() then returns
 * CLIENT_ON_FAILED (after smtp_client_quit: CLIENT_WANT_CLOSE). */
void smtp_client_lost(struct smtp_client *c, const struct err *e);

/* How long the peer may take for what is awaited now, in ms (RFC 5321 §4.5.3.2). */
int64_t smtp_client_patience_ms(const struct smtp_client *c);

struct str smtp_client_output(const struct smtp_client *c);
/* Is what output begins with of a message behind DATA, to its lone dot? That of BDAT has its size before it. */
bool smtp_client_is_in_message(const struct smtp_client *c);
void smtp_client_sent(struct smtp_client *c, size_t n); /* the first n octets of output have gone */

#endif
