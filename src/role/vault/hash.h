/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_HASH_H
#define ROLE_VAULT_HASH_H

#include "base/buf.h"
#include "base/list.h"
#include "io/loop.h"

/*
 * Passwords: yescrypt by crypt(3). One check costs tens of milliseconds on purpose; it runs in
 * threads of its own, and at most HASH_WAITING_MAX checks wait for them. A login that nobody has is
 * checked against a hash nobody can meet, at the same cost.
 */

enum { HASH_THREADS = 2, HASH_WAITING_MAX = 256, HASH_PASSWORD_MAX = 511 };

/* The hash of a new password. False: the system's crypt cannot (errno), or the password is empty,
 * too long, or holds a NUL. */
bool hash_make(struct str password, struct buf *hash);

struct hash_job {
	struct list link;
	uint64_t ask; /* the asker's, as are the next five; texts end with a NUL */
	unsigned peer, peer_generation;
	bool begins_session;
	char login[321];				 /* the mailbox, or what was typed */
	char client[128];				 /* for the log */
	char password[HASH_PASSWORD_MAX + 1], hash[400]; /* hash empty: nobody's */
	bool is_right;
};

struct hash_pool;

/* done: in the loop; the job is freed, and its password wiped, when it returns. */
struct hash_pool *hash_pool_open(
	struct loop *l, void (*done)(void *owner, const struct hash_job *job), void *owner);
bool hash_pool_check(
	struct hash_pool *p, const struct hash_job *job); /* copied; false: too many wait */

#endif
