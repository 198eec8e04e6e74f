/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_RECENT_H
#define ROLE_VAULT_RECENT_H

#include "base/list.h"
#include "base/map.h"

/*
 * Passwords that were right within the last minute, so that a program which logs in for every mail
 * does not cost a yescrypt each time. Kept are the login and a hash of the password under a secret
 * that lives as long as the process; forgotten whenever an account changes.
 */

enum { RECENT_MS = 60 * 1000, RECENT_MAX = 4096 };

struct recent {
	struct map entries;
	struct list by_age; /* oldest first */
	uint64_t secrets[2][2];
};

void recent_begin(struct recent *r);
void recent_forget(struct recent *r);
void recent_add(struct recent *r, struct str login, struct str password, int64_t now_ms);
bool recent_has(struct recent *r, struct str login, struct str password, int64_t now_ms);

#endif
