/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_VISIT_H
#define ROLE_VAULT_VISIT_H

#include "role/vault/house.h"

/*
 * People who come to read their mail. Web asks whether somebody may (`sign_in`); of each yes master hears which mailbox is to be read (`seat`), so that
 * nobody but vault can have one opened. With it goes a token, by which the mailbox's reader hands in mail at receive: a password that only
 * this login has, for TOKEN_SEAT_AGE_MS.
 */

void visit_sign_in(struct vault *v, const struct ipc_sign_in *m);
/* The threads have looked at a password: user NULL: it is wrong. */
void visit_hashed(struct vault *v, const struct hash_job *job, const struct book_entry *user);
/* Is this password the token of that person's reader? */
bool visit_is_token(const struct vault *v, const struct book_entry *user, struct str password);

#endif
