/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_SECRET_H
#define ROLE_VAULT_SECRET_H

#include "config/config.h"
#include "io/token.h"
#include "role/vault/files.h"

/* The secrets that are files: the key that login tokens are made with, and the logins of routes. */

/* A file of the state directory, 0600: written whole and synced under another name first, so that one that is
 * there is a whole one. Reading: false with errno. */
bool secret_keep(struct str state, const char *name, struct str octets, struct err *e);
bool secret_read(struct str state, const char *name, struct buf *octets);

/* STATE/vault/token.key, 0600; made, and synced, when there is none. */
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
void secret_logins_read(struct secret_logins *l, const struct config *c, const struct files *files);
const struct secret_login *secret_login_of(
	const struct secret_logins *l, struct str route); /* NULL: none */

#endif
