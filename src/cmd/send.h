/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SEND_H
#define CMD_SEND_H

#include <posthouse.h>

#include "base/err.h"
#include "config/config.h"

/*
 * The sender's commands, all over libposthouse (include/posthouse.h):
 *
 *   send.c          posthouse send: what is asked for, handing it over, telling what became of it
 *   send_order.c    an order written into a ph_mail
 *   send_wait.c     --wait: until the station has delivered it
 *   merge.c         --merge: one mail for each row of a table
 *   profile.c       where mail is handed in: --via, a saved profile, or the station
 *   outbox.c        mails of this person that wait for the station
 *   probe.c         posthouse probe
 *   sendmail*.c     the names sendmail, mailq, newaliases
 */

/* Words that may be given more than once. */
struct words {
	const char **p;
	size_t n;
};

/* What `posthouse send` was asked for. */
struct send_order {
	const char *from, *subject, *text, *html; /* html: of a file */
	const char *raw;			  /* a finished message's file in place of those */
	struct words to, cc, bcc, reply_to, headers, attachments,
		inlines;		  /* headers "Name: value", inlines "ID=FILE" */
	const char *notify, *envelope_id; /* "success,failure,delay", "never" */
	bool requires_tls;
	const char *via, *profile, *config_file, *trust, *login;
	bool reads_password, sends_in_clear, is_verbose, is_json, is_dry, waits,
		never_waits_offline;
	const char *merge,
		*results; /* the table; what became of each row, read again to go on where it stopped */
	unsigned connections; /* of a merge */
};

/* The order as a mail; what is wrong sticks to the mail. (send_order.c) */
void order_write(const struct send_order *o, const struct config *config, ph_mail *m);

/* One mail a row; an exit code of sysexits. session is set up and not used yet. (merge.c) */
int merge_run(const struct send_order *o, const struct config *config, ph_session *session);

#endif
