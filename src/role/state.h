/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_STATE_H
#define ROLE_STATE_H

#include "base/err.h"
#include "base/str.h"

/*
 * The state directory: what lies where, and whose it is.
 *
 *   STATE/                 master: 0711, so that each role reaches its own
 *   STATE/submit, control  master: the sockets of programs here and of commands
 *   STATE/status           master: what `posthouse status` reads
 *   STATE/vault/           vault: accounts, keys; nobody else reads it
 *   STATE/mail/            store: mailboxes of domains that name no place of their own
 */
enum { STATE_PATH_MAX = 600 };

/* "STATE/vault". */
const char *state_vault(struct str state, char path[STATE_PATH_MAX]);

/* Makes it, and moves there what an older version kept in STATE itself. The state directory must be there. */
bool state_make_vault(struct str state, struct err *e);

#endif
