/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_KEPT_H
#define ROLE_READER_KEPT_H

#include "base/arena.h"
#include "base/err.h"

/*
 * What a mailbox keeps that is in no Maildir: identities, and what became of mail that was handed in. Objects of JSON under an id, each with the number of
 * its last change, in DIRECTORY/posthouse/kept.db (SQLite): unlike the index it cannot be made anew, so every change is synced.
 */

struct kept;

enum kept_kind { KEPT_IDENTITY, KEPT_SUBMISSION, KEPT_KINDS };
enum { KEPT_STATE = 40, KEPT_OBJECTS_MAX = 10000 };

bool kept_open(struct kept **k, struct str directory, struct err *e);
void kept_close(struct kept **k);

void kept_state(struct kept *k, enum kept_kind kind, char state[KEPT_STATE]);
/* New or in the old one's place. An empty id is drawn: *id then lies in the arena. Beyond KEPT_OBJECTS_MAX the oldest goes. */
bool kept_put(struct kept *k, enum kept_kind kind, struct str *id, struct str json,
	struct arena *arena, struct err *e);
bool kept_get(
	struct kept *k, enum kept_kind kind, struct str id, struct arena *arena, struct str *json);
bool kept_remove(struct kept *k, enum kept_kind kind, struct str id, struct err *e);
/* Newest first. */
size_t kept_list(struct kept *k, enum kept_kind kind, struct arena *arena, struct str **ids);

/* From object to object, newest first, with nothing of them kept. Nothing is changed on the way. */
struct kept_walk {
	void *statement; /* kept.c's */
};
/* `mails`: a JSON array of ids, of which one must be the object's "emailId"; empty: all. kept_walk_end. */
void kept_walk_begin(struct kept *k, enum kept_kind kind, struct str mails, struct kept_walk *w);
/* *id and *json live until the next call. */
bool kept_walk_next(struct kept_walk *w, struct str *id, struct str *json);
void kept_walk_end(struct kept_walk *w);

struct kept_changes {
	struct str *created, *updated, *destroyed;
	size_t created_n, updated_n, destroyed_n;
	char state[KEPT_STATE];
	bool has_more;
};
bool kept_changes(struct kept *k, enum kept_kind kind, struct str since, size_t max,
	struct arena *arena, struct kept_changes *c);

#endif
