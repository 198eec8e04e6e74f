/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_COMMAND_CORE_H
#define ROLE_VAULT_COMMAND_CORE_H

#include <sysexits.h>

#include "base/codec.h"
#include "config/config.h"
#include "io/token.h"
#include "role/vault/users.h"

/*
 * The commands work on the accounts' file itself, so they do the same whether the station is up or
 * not. Each is a row of a table: what it is called, how many names it takes, and the function that
 * does it. command.c goes from argv to the row; command_user.c, command_alias.c and command_app_password.c have the rows.
 */

struct command {
	const char *group; /* "user", "alias" */
	struct config config;
	struct users *users;
	char **names; /* what stands behind the verb */
	int names_n;
	bool json, password_stdin;
	struct buf out;
	struct err err;
};

struct verb {
	const char *name;
	int least, most; /* names behind it */
	bool create;	 /* the accounts may be missing, and are made */
	int (*run)(struct command *c);
};

enum { NAME_SIZE = TOKEN_LOGIN_MAX + 1 };

int command(const char *group, const struct verb *verbs, const char *help, int argc, char **argv);

int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int complain_of(const struct command *c, int code);
/* "alice@example.org added"; as JSON the verb alone. */
int tell(struct command *c, const char *name, const char *done, const char *more);
/* One of our names as the accounts keep it: whole, in lower case. Without a domain it is the only one that the file has. */
int read_name(const struct command *c, const char *typed, char name[NAME_SIZE]);
/* Said on standard error after a change: that mail to this name will not come where one would think. */
void note_where_it_leads(struct command *c, const char *name);

#endif
