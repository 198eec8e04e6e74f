/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_MILTER_H
#define SMTP_MILTER_H

#include "base/buf.h"
#include "base/err.h"
#include "smtp/reply.h"

/*
 * The client of Milter (protocol versions 2 to 6) as a value: bytes in, bytes out, and the next event returned. One
 * connection speaks of one SMTP session, and of any number of its mails. The driver's whole duty:
 *
 *   milter_begin(&m, …);             asks the first question itself: what the filter wants to see
 *   loop:   switch (milter_next(&m)) — one arm an event, below
 *   output: what milter_output() holds goes to the filter; milter_sent() tells how much of it went
 *   input:  milter_feed(&m, bytes), then next() again; the bytes are copied
 *
 * A question is asked at a time, in the order of an SMTP session; those that the filter does not want to hear are
 * answered at once with MILTER_CONTINUE. What it says against the rules is MILTER_ON_FAILED: nobody trusts it then
 * with the rest of the mail.
 */

enum milter_event {
	MILTER_WANT_INPUT, /* flush output, feed what the filter says */
	MILTER_WANT_OUTPUT, /* much output is pending, perhaps behind an answer: send some of it, then next() */
	MILTER_ON_ANSWER, /* the question is answered: m.verdict; ask the next when there is one */
	MILTER_ON_FAILED, /* it broke the rules: m.error */
};

enum milter_verdict {
	MILTER_CONTINUE,
	MILTER_ACCEPT,	/* no more questions: about this client, or from MAIL on about this mail */
	MILTER_DISCARD, /* say yes and keep nothing; never before MAIL */
	MILTER_REFUSE, /* m.error has code and words; behind RCPT it concerns that recipient alone */
};

enum {
	MILTER_PACKET_MAX = 1024 * 1024 + 1024, /* octets of one, of those that a filter sends */
	MILTER_CHANGES_MAX = 1000,		/* of one message */
	MILTER_CHANGES_SIZE_MAX = 2 * 1024 * 1024,
};

enum milter_family { MILTER_UNKNOWN = 'U', MILTER_IPV4 = '4', MILTER_IPV6 = '6' };

/* What a filter may ask for by macro. Empty: not told. The driver owns it, and keeps it true. */
struct milter_facts {
	struct str hostname, daemon, version;		     /* ours */
	struct str client_name, client_address, client_port; /* name: confirmed, or empty */
	enum milter_family client_family;
	uint16_t client_port_number;
	struct str hello;
	struct str tls_version, cipher, cipher_bits;
	struct str login, mechanism;
	struct str sender, recipient; /* without brackets */
	struct str id;		      /* of the mail */
};

enum milter_change_kind {
	MILTER_ADD_HEADER = 1, /* behind the others; value with its leading blank */
	MILTER_INSERT_HEADER, /* before the field that stands at place `index`; 0 is ours, Received */
	MILTER_CHANGE_HEADER, /* the index-th of this name, from 1; empty value: it goes */
	MILTER_ADD_RECIPIENT, /* value: a path */
	MILTER_DELETE_RECIPIENT,
	MILTER_CHANGE_SENDER,
	MILTER_QUARANTINE, /* value: why */
};

struct milter_change {
	enum milter_change_kind kind;
	uint32_t index;
	struct str name, value; /* as the filter wrote them, but without NUL */
};

struct milter {
	const struct milter_facts *facts;
	enum milter_verdict verdict;
	struct err error;  /* with MILTER_REFUSE and MILTER_ON_FAILED */
	unsigned progress; /* grows whenever the filter says that it is alive and needs more time */
	struct buf changes; /* of the message that was answered last: milter_scan_change */
	bool has_new_body;
	struct buf new_body; /* then */

	/* the core's own; see milter.c */
	int stage;
	bool is_waiting, is_answered, is_failed; /* for a packet; the question; for good */
	bool is_in_mail;
	uint32_t version, actions, steps;
	unsigned changes_n;
	struct buf in, out;
	size_t in_read, out_sent;
	struct str header, body; /* not yet told */
};

/* body_max: octets of a body that the filter may put in place of the old one. */
void milter_begin(struct milter *m, const struct milter_facts *facts, size_t body_max);
void milter_free(struct milter *m);
enum milter_event milter_next(struct milter *m);

/* Questions: only when next() has just said MILTER_ON_ANSWER; what they tell is taken out of the facts. */
void milter_client(struct milter *m);
void milter_hello(struct milter *m);
void milter_sender(struct milter *m); /* a mail that is still under way is over with it */
void milter_recipient(struct milter *m);
void milter_data(struct milter *m);
/* Header (at most MILTER_PACKET_MAX), field by field, and body; both stay the caller's until the answer. The mail is
 * over then. */
void milter_message(struct milter *m, struct str header, struct str body);

/* Tell, and have no answer. */
void milter_reset(struct milter *m); /* nothing comes of the mail under way */
void milter_quit(struct milter *m);

void milter_feed(struct milter *m, struct str bytes);
struct str milter_output(const struct milter *m);
void milter_sent(struct milter *m, size_t n);

bool milter_scan_change(struct str *in, struct milter_change *c);

#endif
