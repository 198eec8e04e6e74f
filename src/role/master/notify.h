/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_NOTIFY_H
#define ROLE_MASTER_NOTIFY_H

#include "role/master/master.h"

/* What a service manager is told and gives, as sd_notify(3) and sd_listen_fds(3) describe it. Without one, nothing happens. */

void notify_say(const char *lines); /* "READY=1\nSTATUS=…" */
int64_t notify_watchdog_ms(
	void); /* it wants to hear WATCHDOG=1 more often than this; 0: it does not ask */

/* A listening socket that the manager has bound for this door: one at its address, else one that is called as the door is ("smtp",
 * "submission", "submissions"). Each is given once. -1: none. */
int notify_take_socket(const struct master_door *door);

/* Those that no door has taken: into `to`, and into the log. How many. */
enum { NOTIFY_SOCKETS_MAX = 64 };
size_t notify_unused(int to[NOTIFY_SOCKETS_MAX]);

void notify_forget_environment(void); /* what was said to us is not said to the roles */

#endif
