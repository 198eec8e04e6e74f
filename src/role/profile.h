/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_PROFILE_H
#define ROLE_PROFILE_H

#include "config/config.h"
#include "io/ipc.h"
#include "io/sandbox.h"

/*
 * What each role may touch, in one table (profile.c). Its paths come from the configuration: they lie in `paths`, and the same
 * octets mean the same limits, so that a reload can tell whether a role must begin anew.
 */
struct profile {
	struct sandbox sandbox;
	struct buf paths;
	struct sandbox_path *list; /* of sandbox.paths */
};

unsigned profile_may(enum ipc_role role); /* bits of enum sandbox_may, whatever the file says */
/* mailbox: of a reader, the directory; else empty. */
void profile_make(
	struct profile *p, enum ipc_role role, const struct config *c, struct str mailbox);
bool profile_serves(const struct profile *held,
	const struct profile *wanted); /* false: the role must begin anew */
void profile_free(struct profile *p);

/* The directory below which all mailboxes of a domain lie: its template up to the last '/' before the first '%'. Empty: the
 * domain has no template, and they lie in the state directory. */
struct str profile_mail_root(const struct config_domain *d);

#endif
