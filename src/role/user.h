/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_USER_H
#define ROLE_USER_H

#include "config/config.h"
#include "io/ipc.h"
#include "io/sandbox.h"

/*
 * Who a role is when the station is started as root: the system's user of that name (`users` and the role's), or, where there is
 * none, a number from a block that Debian gives to nobody. False: roles stay who master is (not root, or `users` is empty).
 */
enum { USER_BLOCK = 64800 };

bool user_of_role(const struct config *c, enum ipc_role role, struct sandbox_user *user);

/* Can that user make files in this directory? Asked of the kernel, in a child that becomes that user. False: e says what to do. */
bool user_may_write(const struct sandbox_user *user, const char *directory, struct err *e);

#endif
