/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SEND_H
#define CMD_SEND_H

#include <posthouse.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"

/*
 * The sender's commands, all over libposthouse (include/posthouse.h):
 *
 *   send.c          posthouse send: find the way, write the mail, hand it over
 *   send_options.c  what is asked for
 *   send_text.c     where the text comes from: -m, a file, standard input, an editor
 *   send_order.c    an order written into a ph_mail
 *   send_tell.c     what became of it
 *   send_wait.c     --wait: until the station has delivered it
 *   merge.c         --merge: one mail for each row of a table
 *   profile.c       where mail is handed in: --via, a saved profile, or the station
 *   secret.c        passwords and tokens, and where they are
 *   outbox.c        mails of this person that wait for the station
 *   probe.c         posthouse probe
 *   sendmail*.c     the names sendmail, mailq, newaliases
 */

/* Words that may be given more than once. */
struct words {
	const char **p;
	size_t n;
};

enum { MERGE_CONNECTIONS_MAX = 64 };

/* What `posthouse send` was asked for. */
struct send_order {
	const char *from, *subject;
	const char *text, *html; /* NULL: none, or not read yet (send_read) */
	const char *text_file, *html_file;
	const char *raw;     /* a finished message's file in place of those */
	struct str finished; /* what it holds, when it is standard input */
	/* to … reply_to: lists of mailboxes; headers "Name: value", attachments "FILE;name=…;type=…", inlines "ID=FILE" */
	struct words to, cc, bcc, reply_to, headers, attachments, inlines;
	const char *notify, *envelope_id; /* "success,failure,delay", "never" */
	uint64_t hold_s;		  /* --in, --at: sent on no earlier; 0: now */
	bool requires_tls, edits, is_help;
	const char *via, *profile, *config_file, *trust,
		*tls; /* via: in the end what holds, whoever named it; tls: profile_tls_word */
	bool reads_password, sends_in_clear, is_verbose, is_json, is_dry, waits,
		never_waits_offline;
	const char *merge,
		*results; /* the table; what became of each row, read again to go on where it stopped */
	bool again;	  /* rows that were refused, or of which nobody knows, too */
	unsigned connections; /* of a merge; 0: as many as seem good */
};

/* What the command line asks for; what cannot be meant is an error. An exit code; the person was told why, or has the help. (send_options.c) */
int send_options(struct send_order *o, int argc, char **argv);

/* What was read lies here. */
struct send_input {
	struct buf text, html, finished;
	char draft[512]; /* the file with the text that --edit had written; "": there is none */
};

/* The text, HTML and finished message that were asked for. An exit code; the person was told why. (send_text.c) */
int send_read(struct send_order *o, struct send_input *input);
/* What a person wrote is not lost with the mail: its file stays, and they are told where, unless it was sent. */
void send_settle_draft(struct send_input *input, bool was_sent);
void send_input_free(struct send_input *input);

/* Each file that the order names can be read. False: e says which cannot. (send_order.c) */
bool order_check_files(const struct send_order *o, struct err *e);
/* The order as a mail; what is wrong sticks to the mail. (send_order.c) */
void order_write(const struct send_order *o, const struct config *config, ph_mail *m);
unsigned order_notify(const char *words, struct err *e); /* PH_NOTIFY_…; 0: not understood */

/* A line a recipient, or one JSON object; why_kept: it waits in the outbox, and why. (send_tell.c) */
void tell_results(
	const struct send_order *o, const ph_mail *m, const char *tls, const char *why_kept);
int tell_exit_code(const ph_mail *m); /* of sysexits */
/* Returns exit_code. With --json an object on standard output says it too. */
int send_complain(int exit_code, const char *what, const char *detail);
void send_complain_in_json(void); /* from now on */

/* What is told of a recipient, in whichever object: the same keys everywhere. `status` empty: 0.0.0. (send_tell.c) */
struct told {
	const char *result, *status, *stage, *text, *advice;
	int code;
};
void tell_add_json(struct buf *to, struct str address, const struct told *told);

/* --wait. Opened before the mail goes, so that whoever may not ask learns it in time. An exit code. (send_wait.c) */
struct waiting;
int wait_open(struct waiting **w, const struct send_order *o);
/* Tells of each recipient what the station made of it, until all have been delivered, sent back or put off once. */
int wait_for_fates(struct waiting *w, const ph_mail *m);
void wait_close(struct waiting **w);

/* One mail a row; an exit code of sysexits. session is set up and not used yet; NULL when nothing is to be sent (is_dry). (merge.c) */
int merge_run(const struct send_order *o, const struct config *config, ph_session *session);

#endif
