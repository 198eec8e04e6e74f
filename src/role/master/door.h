/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_DOOR_H
#define ROLE_MASTER_DOOR_H

#include "base/err.h"
#include "role/master/master.h"

/* Listening sockets, close-on-exec and non-blocking. "*" addresses take IPv4 too, or alone where
 * the host has no IPv6. */
bool door_open_inet(const struct master_door *door, int *fd, struct err *e);
/* In place of a socket that a former station has left. The directory is one that nobody else may write (house_prepare_state). */
bool door_open_unix(
	const char *directory, const char *name, int type, unsigned mode, int *fd, struct err *e);

#endif
