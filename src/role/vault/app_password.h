/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_APP_PASSWORD_H
#define ROLE_VAULT_APP_PASSWORD_H

#include "base/str.h"

/*
 * Passwords for programs: five groups of five from a-z and 2-7, 125 bits of chance, so that a plain SHA-256 keeps them as well as a slow hash would, and
 * finds whose they are without a login: "k7dma-…".
 */
enum {
	APP_PASSWORD_SIZE = 5 * 5 + 4 + 1,
	APP_PASSWORD_DIGEST = 2 * 32 + 1,
	APP_PASSWORD_LABEL_MAX = 100
};

void app_password_make(char password[APP_PASSWORD_SIZE], char digest[APP_PASSWORD_DIGEST]);
/* False: it cannot be one. */
bool app_password_digest(struct str password, char digest[APP_PASSWORD_DIGEST]);

#endif
