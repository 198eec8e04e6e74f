/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_SECRET_H
#define ROLE_VAULT_SECRET_H

#include "config/config.h"
#include "io/token.h"

/* The secrets that are files: the key that login tokens are made with, and the logins of routes. */

/* STATE/token.key, 0600; made, and synced, when there is none. */
bool secret_token_key(struct str state, char key[TOKEN_KEY_SIZE], struct err *e);

struct secret_login {
	struct str route, user, password;
};

struct secret_logins {
	struct secret_login *list; /* of the routes that have one and whose file could be read */
	size_t n;
	struct arena arena;
};

/* Reads all login files of the configuration; one that is missing or not of two lines is said in
 * the log. Wipes what was there before. */
void secret_logins_read(struct secret_logins *l, const struct config *c);
const struct secret_login *secret_login_of(
	const struct secret_logins *l, struct str route); /* NULL: none */

#endif
