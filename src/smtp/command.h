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

/* What server.c does for them. */
void smtp_server_say(struct smtp_server *s, struct reply r);
void smtp_server_ask(struct smtp_server *s, enum smtp_event event);
void smtp_server_close(struct smtp_server *s);
void smtp_server_end_auth(struct smtp_server *s);
void smtp_server_reset_transaction(struct smtp_server *s);

#endif
