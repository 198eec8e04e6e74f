/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "smtp/server.h"

/* Within smtp/: the commands of the server, one row and one function each, behind the session in
 * server.c, which alone reads input and keeps the state. */

/* A whole command line, without its line end. */
void command_run(struct smtp_server *s, struct str line);

/* A line that belongs to an AUTH exchange, without its line end. */
void command_auth_line(struct smtp_server *s, struct str line);

/* Did somebody write this line who speaks another protocol? See the head of command.c. */
bool command_is_foreign(const struct smtp_server *s, struct str line);

/* The reply to an EHLO or HELO that was taken. */
void command_say_hello(struct smtp_server *s);

/* What server.c does for them, and for server_answer.c. */
void smtp_server_say(struct smtp_server *s, struct reply r);
void smtp_server_ask(struct smtp_server *s, enum smtp_event event);
void smtp_server_close(struct smtp_server *s);
void smtp_server_end_auth(struct smtp_server *s);
void smtp_server_reset_transaction(struct smtp_server *s);
/* Nothing is known of this client any more; what counts its errors goes on. */
void smtp_server_begin_anew(struct smtp_server *s);

/* A command, and what its function gets: its own row, and what stands behind the verb, trimmed. */
struct command;
typedef void command_fn(struct smtp_server *s, const struct command *c, struct str argument);

struct command {
	struct str verb;
	unsigned when; /* see command.c */
	command_fn *run;
	struct str syntax; /* for HELP and for those who got it wrong */
};

/* Those with a file of their own: command_auth.c, command_mail.c, command_xclient.c. */
command_fn command_auth, command_mail, command_rcpt, command_xclient;

/* What command.c does for the others. */
extern const struct reply command_needs_smtputf8;
void command_say_syntax(struct smtp_server *s, const struct command *c);
bool command_has_control(struct str s);
bool command_is_hello(struct str name); /* what a client may call itself */
/* The next word, up to a blank or the end; blanks before it are taken too. */
bool command_scan_argument(struct str *in, struct str *word);

#endif
