/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The one error value. It is filled where something went wrong and travels unchanged to the log
 * line, the fate of a recipient, and the bounce; smtp/reply alone turns it into a reply code.
 * Zero-initialised means "no error".
 */

enum err_class {
	ERR_NONE,
	ERR_TEMPORARY, /* trying again later may help: 4yz */
	ERR_PERMANENT, /* it will not: 5yz */
};

/* What went wrong, in the words of the field. smtp/reply.c has one row for each: reply code and
 * enhanced code. */
enum err_kind {
	ERR_OTHER,
	/* addresses and policy */
	ERR_MAILBOX_UNKNOWN, /* no such mailbox here */
	ERR_MAILBOX_BUSY,    /* the mailbox is suspended or over its rate */
	ERR_MAILBOX_NAME,    /* not a name that a mailbox here could have */
	ERR_MAILBOX_MOVED,   /* text: the new address */
	ERR_RELAY_DENIED,
	ERR_NO_ROUTE,
	ERR_SENDER_NOT_YOURS, /* the login may not use this reverse-path */
	ERR_LOGIN_NEEDED,
	ERR_LOGIN_REFUSED,
	ERR_LOGIN_LATER, /* the vault does not answer */
	ERR_RATE,
	ERR_REFUSED,	 /* this client is not served at all */
	ERR_MANNERS,	 /* it does not behave as the gate wants strangers to */
	ERR_CLIENT_NAME, /* its address has no name that leads back to it */
	ERR_SWITCHED_OFF,
	/* the message */
	ERR_TOO_BIG,
	ERR_TOO_MANY_RECIPIENTS,
	ERR_BARE_LINE_END, /* a CR without LF or an LF without CR: RFC 5321 §4.1.1.4 */
	ERR_NUL,
	ERR_LINE_TOO_LONG,
	ERR_LOOP,
	ERR_NEEDS_SMTPUTF8, /* the next host does not offer SMTPUTF8 */
	ERR_NEEDS_CHUNKING, /* lines or octets that only BDAT can carry */
	/* our own house */
	ERR_LOCAL,    /* something of ours failed; cause is the errno */
	ERR_SYNC,     /* a sync failed: what it covered is not kept */
	ERR_NO_SPACE, /* disk or budget: RFC 5321 452 */
	ERR_OVERLOAD,
	ERR_SHUTDOWN,
	ERR_IDLE,
	ERR_TOO_MANY_ERRORS,
	ERR_EXPIRED, /* the queue gave up waiting */
	/* the other house */
	ERR_REMOTE, /* the peer said so: code and enhanced are its own, text its words */
	ERR_CONNECT,
	ERR_CONNECTION_LOST,
	ERR_TIMEOUT,
	ERR_PROTOCOL, /* the peer does not speak SMTP */
	/* the road there */
	ERR_DNS,	     /* the DNS gives no answer now */
	ERR_DOMAIN_UNKNOWN,  /* it does not exist */
	ERR_DOMAIN_NO_HOST,  /* it exists, and no host that could take its mail */
	ERR_NULL_MX,	     /* its owner says that it takes no mail: RFC 7505 */
	ERR_PRIVATE_ADDRESS, /* its hosts are where mail of the world does not go */
	ERR_NEEDS_8BITMIME,  /* the next host takes no 8-bit mail, and we do not send it unasked */
	ERR_TLS, /* encryption is demanded, and the next host cannot do it, or proves to be another */
	ERR_NEEDS_REQUIRETLS, /* the next host does not promise TLS on the whole way: RFC 8689 */
	ERR_NEEDS_HOLD,	      /* the next host does not hold mail for later: RFC 4865 */
	ERR_KINDS
};

struct enhanced {
	uint16_t class, subject, detail; /* RFC 3463; all zero: none */
};

struct err {
	enum err_class class;
	enum err_kind kind;
	int cause;		  /* errno or 0 */
	uint16_t code;		  /* the peer's reply code with ERR_REMOTE, else 0 */
	struct enhanced enhanced; /* the peer's with ERR_REMOTE, else zero */
	char text[200]; /* one line for people: what, where, what to do; never CR, LF or NUL inside
			 */
};

/* Fill e and return false, so that `return err_set(e, …)` is how a function fails. Control
 * characters become '?'. */
bool err_set(struct err *e, enum err_class class, enum err_kind kind, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The same for a failed system call: class temporary, kind ERR_LOCAL, cause errno, ": strerror"
 * added to the text. */
bool err_set_errno(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline bool
err_is(const struct err *e)
{
	return e->class != ERR_NONE;
}

#endif
