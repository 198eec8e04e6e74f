/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_STATUS_H
#define ROLE_MASTER_STATUS_H

#include <sys/types.h>

#include "base/buf.h"

/*
 * STATE/status, for `posthouse status`: text, fields with tabs between.
 *
 *   station PID STARTED_MS VERSION
 *   role NAME PID UID STARTED_MS RESTARTS READY   PID 0: it is not there now; RESTARTS: how often it has died
 *   certificate NAMES KIND ENDS_S FILE            of the doors; NAMES with commas between, KIND: ECDSA, RSA, self-signed
 *   guard NAME LINE                               what the kernel keeps this role from, or "lacks …"
 *
 * Whoever reads it finds an old or a new one, never half of one. It is known to be of a station that runs by the socket
 * STATE/submit, which has an end as long as master lives.
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

void status_forget(const char *state); /* what a former station has written */
/* certificates: lines without their first field */
void status_write(const char *state, int64_t started_ms, const struct status_role *roles, size_t n,
	struct str certificates);

#endif
