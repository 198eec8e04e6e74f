/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_HOUSE_H
#define ROLE_VAULT_HOUSE_H

#include "io/token.h"
#include "role/role.h"
#include "role/vault/book.h"
#include "role/vault/certificate.h"
#include "role/vault/files.h"
#include "role/vault/guess.h"
#include "role/vault/hash.h"
#include "role/vault/recent.h"
#include "role/vault/secret.h"
#include "role/vault/sessions.h"
#include "role/vault/users.h"

/* The vault as its two files see it: vault.c answers the roles that move mail, visit.c the people who come to read. */

enum { RECEIVES_MAX = 64, PEER_WEB = RECEIVES_MAX };

struct receiver {
	struct vault *vault;
	struct ipc *channel;
	unsigned index, generation; /* a later receiver of this index is another */
};

struct vault {
	struct role role;
	struct users *users;
	struct sessions *sessions;
	struct book book;
	struct receiver receivers[RECEIVES_MAX];
	struct ipc *queue, *send, *web;
	unsigned web_generation;
	struct hash_pool *pool;
	struct recent recent;
	struct guesses guesses; /* of web */
	struct secret_logins logins;
	struct files files;
	struct certificates certificates;
	struct loop_timer *watch, *daily, *reopen;
	unsigned reopened; /* how often since a pair did not fit */
	char key[TOKEN_KEY_SIZE];
};

enum vault_answer { VAULT_RIGHT, VAULT_ASKED, VAULT_BUSY };

/* Is this the password of this login? RIGHT: *user; ASKED: the threads work on it, and on_hashed will know; the job's first fields are the asker's. */
enum vault_answer vault_check(struct vault *v, struct hash_job *job, struct str login,
	struct str password, struct str client, const struct book_entry **user);

/* Whose password for a program is it? NULL: nobody's who may come in. */
const struct book_entry *vault_app_password(struct vault *v, struct str password);

bool vault_refresh(struct vault *v); /* true: there is a new book */

#endif
