/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_USERS_H
#define ROLE_VAULT_USERS_H

#include "role/vault/book.h"

/*
 * The accounts on disk: STATE/vault/users.db, SQLite, mode 0600. The role reads it; the commands
 * `posthouse user` and `posthouse alias` change it, each by one transaction, whether the station is
 * up or not; the role sees that within half a second. Names are whole addresses in lower case.
 */
struct users;

/* Made when missing if `create`; then also the state directory, whose parent must be there. */
bool users_open(struct users **u, struct str state, bool create, struct err *e);
void users_close(struct users **u);

/* Did anything change since the last users_load? Answers "no" also when the file cannot be asked
 * now. */
bool users_changed(struct users *u);
bool users_load(struct users *u, struct book *b, struct err *e); /* into a book that was begun */

struct users_row {
	struct str name, value; /* value: of an alias its target */
	bool is_suspended;
};

/* For the lists of the commands, by name. The texts are valid during the call only. */
bool users_list(struct users *u, void (*row)(void *owner, const struct users_row *r), void *owner,
	struct err *e);
bool users_list_aliases(struct users *u, void (*row)(void *owner, const struct users_row *r),
	void *owner, struct err *e);

/* Changes. *found: the name was there (add: and so nothing was done; all others: false when it was
 * not). */
bool users_add(struct users *u, struct str name, struct str hash, bool *found, struct err *e);
bool users_set_hash(struct users *u, struct str name, struct str hash, bool *found, struct err *e);
bool users_set_suspended(
	struct users *u, struct str name, bool is_suspended, bool *found, struct err *e);
bool users_remove(struct users *u, struct str name, bool *found, struct err *e);
bool users_add_alias(struct users *u, struct str name, struct str to, bool *found, struct err *e);
bool users_remove_alias(struct users *u, struct str name, struct str to, bool *found,
	struct err *e); /* to empty: all of it */

/* Passwords for programs (app_password.h). add: *found: there is such a user, and it had none of this label. */
bool users_add_app_password(struct users *u, struct str name, struct str label, struct str digest,
	bool *found, struct err *e);
bool users_remove_app_password(
	struct users *u, struct str name, struct str label, bool *found, struct err *e);
bool users_list_app_passwords(struct users *u, void (*row)(void *owner, const struct users_row *r),
	void *owner, struct err *e); /* value: the label */
bool users_app_password(
	struct users *u, struct str digest, struct buf *name); /* whose is it? False: nobody's */

#endif
