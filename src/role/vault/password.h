/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_PASSWORD_H
#define ROLE_VAULT_PASSWORD_H

#include "base/buf.h"
#include "base/err.h"

/* A new password: asked for twice on the terminal, without showing it; or the first line of
 * standard input. The caller wipes it. */
bool password_ask(struct buf *password, struct str whose, struct err *e);
bool password_from_stdin(struct buf *password, struct err *e);
void password_wipe(struct buf *password);

#endif
