/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_STATUS_H
#define ROLE_MASTER_STATUS_H

#include <sys/types.h>

#include "base/buf.h"

/*
 * STATE/status, for `posthouse status`: text, fields with tabs between.
 *
 *   station PID STARTED_MS VERSION
 *   role NAME PID UID STARTED_MS RESTARTS READY   PID 0: it is not there now
 *   guard NAME LINE                               what the kernel keeps this role from, or "lacks …"
 *
 * Whoever reads it finds an old or a new one, never half of one. Master holds a write lock on STATE/lock as long as it lives, by
 * which the file is known to be of a station that runs.
 */
struct status_role {
	const char *name;
	pid_t pid;
	unsigned uid;
	int64_t started_ms;
	unsigned restarts;
	bool is_ready;
	struct str guard; /* lines */
};

void status_lock(const char *state); /* kept until the process ends */
void status_write(const char *state, int64_t started_ms, const struct status_role *roles, size_t n);

#endif
