/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_HOUSE_H
#define ROLE_MASTER_HOUSE_H

#include "base/err.h"
#include "role/master/master.h"

/*
 * The directories of the roles: made before the first role starts, each given to the user that its role becomes. What an earlier
 * station left there as another user's (root's, most often) is handed over once, all of it, following no link.
 */
bool house_prepare(const struct master_plan *plan, struct err *e);

/* Mailboxes outside of the state directory: made where they are missing, never taken from anybody. Also at a reload. */
void house_prepare_mail(const struct master_plan *plan);

#endif
