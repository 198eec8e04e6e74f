/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_HOUSE_H
#define ROLE_MASTER_HOUSE_H

#include "base/err.h"
#include "role/master/master.h"

/*
 * Whose the directories are. A name in the configuration may be mistyped, and may lie where somebody else can write:
 *
 * 1. The state directory belongs to who starts the station, and nobody else may write in it; else nothing is started. So a path in
 *    it cannot be changed under our hands, nor can a role or a stranger put a socket, a link or a FIFO there.
 * 2. A directory is handed over to another user only when all that lies at its top bears a name that a station gives, or it is
 *    empty: one that is in use for something else stays whose it is, and the refusal names what was found.
 * 3. Handing over follows no link, and a file with a second name stays whose it is.
 */

/* Makes STATE where it is missing, and holds the first law. */
bool house_prepare_state(const char *state, struct err *e);

/*
 * The directories of the roles: made before the first role starts, each given to the user that its role becomes. What an earlier
 * station left there as another user's is handed over once: root's, most often, or, with `users = ""`, a role's back to root.
 */
bool house_prepare(const struct master_plan *plan, struct err *e);

/* Mailboxes outside of the state directory: made where they are missing, never taken from anybody. Also at a reload. */
void house_prepare_mail(const struct master_plan *plan);

#endif
