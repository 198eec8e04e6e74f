/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_FILES_H
#define ROLE_VAULT_FILES_H

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"

/*
 * The files that the configuration names, as master has opened them: between `file` and `configure` their octets
 * are kept by path, and wiped when what is in them has been taken over.
 */

struct files {
	struct list list;
};

enum { FILES_OCTETS_MAX = 1024 * 1024 }; /* of one file */

void files_begin(struct files *f);
void files_add(struct files *f, struct str path, int fd,
	int cause); /* fd -1: cause is the errno; fd stays the caller's */
bool files_get(const struct files *f, struct str path, struct str *octets, struct err *e);
void files_wipe(struct files *f);

#endif
