/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SENDMAIL_H
#define CMD_SENDMAIL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "cmd/outbox.h"
#include "config/config.h"

/*
 * sendmail(1), as programs have called it since 1983: a mail on standard input, its recipients in the arguments, in the header (-t), or
 * in an SMTP dialogue (-bs). It is handed in to the station as anybody's mail is; where the station does not answer, it waits in the
 * caller's own outbox. Nothing is set-uid, so nothing here is done with other rights than the caller's.
 *
 *   sendmail.c           what is done
 *   sendmail_letters.c   what the arguments ask for
 *   sendmail_address.c   lists of addresses; local names made whole
 *   sendmail_message.c   standard input made a message
 *   sendmail_deliver.c   handing it in, or keeping it; exit codes
 *   sendmail_session.c   -bs
 *   sendmail_verify.c    asking the station about an address: -bv, and RCPT of -bs
 */

enum {
	SENDMAIL_MESSAGE_MAX = 1 << 30,	 /* octets */
	SENDMAIL_MEMORY_MAX = 512 << 20, /* octets of addresses */
};

struct sendmail_recipients {
	struct str *p; /* as on the wire; each ends in NUL */
	size_t n, room;
};

struct sendmail {
	/* asked for */
	const char *config_file, *from, *name, *envelope_id;
	const char *retried; /* -qI: the id of a mail in the outbox */
	bool reads_recipients, ignores_dots, is_verbose;
	unsigned notify; /* PH_NOTIFY_… */
	char ret;	 /* 'F', 'H', 0 */

	/* worked out */
	struct config config; /* empty where there is no file: a profile may need none */
	struct err config_error;
	struct arena arena;
	char domain[256];	 /* of local names */
	struct str sender;	 /* who this is, as on the wire; never empty */
	struct str reverse_path; /* the same, or what -f says; may be empty */
	struct sendmail_recipients recipients;
	struct buf message;
	int exit_code; /* the first that was not EX_OK */
};

/* A line on standard error, and the exit code. Always false. */
bool sendmail_complain(struct sendmail *s, int exit_code, struct str what, const char *detail);

enum sendmail_mode {
	SENDMAIL_DELIVER,
	SENDMAIL_SESSION,
	SENDMAIL_VERIFY,
	SENDMAIL_QUEUE,
	SENDMAIL_FLUSH,
	SENDMAIL_ALIASES,
	SENDMAIL_HELP,
	SENDMAIL_WRONG, /* said why */
};

/* The arguments up to the first address: what stands behind it is an address too, so that nobody slips us a letter in its place. Its place. */
int sendmail_read_letters(struct sendmail *s, enum sendmail_mode *mode, char **argv);

/* The next address of a list (RFC 5322 §3.4): names, comments and groups are left out, folding too. Its text lies in `text`, and may
 * be several that blanks divide; *end is the place in the list behind it. */
bool sendmail_next_address(struct str *list, struct buf *text, const char **end);
/* The list as it is, but local names have a domain. */
void sendmail_add_whole(struct sendmail *s, struct buf *to, struct str list);
/* As on the wire, with a domain where it has none. False: not an address. */
bool sendmail_wire_form(struct sendmail *s, struct str address, struct str *wire);
/* All of a list; a word on each that is none, and this exit code. */
void sendmail_add_recipients(struct sendmail *s, struct str list, int exit_code);
void sendmail_add_recipient(struct sendmail *s, struct str wire);

/* Standard input into s->message, recipients of its header with -t. False: said why. */
bool sendmail_read_message(struct sendmail *s);

/* To all recipients, or into the outbox for those who can have it later: by `spare`, where there is one. What was refused is said on
 * standard error and sets the exit code. True: somebody has it, or will; else e has the first reason. */
bool sendmail_hand_in(struct sendmail *s, struct outbox_spare *spare, struct err *e);
/* What sendmail_hand_in may need, before anything is said. */
bool sendmail_set_aside(struct sendmail *s, struct outbox_spare *spare, struct err *e);

int sendmail_session(struct sendmail *s); /* an exit code */

/* The station's opinion of addresses, over one connection; zero-initialise with fd -1. */
struct sendmail_verify {
	int fd;
	struct buf heard;
};

/* False: it cannot be asked. */
bool sendmail_verify_open(struct sendmail_verify *v, struct sendmail *s, struct err *e);
void sendmail_verify_close(struct sendmail_verify *v);
/* ERR_NONE in *opinion: it would take it. False: the connection broke, e says how. */
bool sendmail_verify_ask(struct sendmail_verify *v, struct str reverse_path, struct str recipient,
	struct err *opinion, struct err *e);
int sendmail_verify_all(struct sendmail *s); /* -bv: an exit code */

#endif
