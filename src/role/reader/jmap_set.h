/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_JMAP_SET_H
#define ROLE_READER_JMAP_SET_H

#include "role/reader/jmap.h"

/*
 * /set, RFC 8620 §5.3: what is the same for every type. A type says how one object of it is made, changed and destroyed; jmap_set does the rest.
 */

/* One call, as the functions of its type see it. */
struct jmap_set {
	struct jmap_request *request;
	const struct jmap_set_type *type;
	json_t *arguments, *answer;
};

struct jmap_set_type {
	const char *const *names; /* of its own arguments, ends with NULL; NULL: it has none */
	/* A property by which one creation can be in another of the same call, which then is made first. NULL: there is none. */
	const char *inside;
	bool is_of_box; /* all changes become one transaction of the box's index */
	json_t *(*state)(struct jmap_request *r);
	/* Each returns NULL, or the SetError. *made, new: "id" and whatever else the client does not know of its object. */
	json_t *(*create)(struct jmap_set *s, const json_t *given, json_t **made);
	json_t *(*update)(struct jmap_set *s, struct str id, const json_t *patch);
	json_t *(*destroy)(struct jmap_set *s, struct str id);
};

/* A whole method. */
enum jmap_step jmap_set(struct jmap_request *r, const struct jmap_set_type *type, json_t *arguments,
	json_t **answer);
/* Does this call destroy it too? */
bool jmap_set_destroys(const struct jmap_set *s, struct str id);

/* ── its steps, for a method that has to wait between them, or is a /set by another name ── */

/* Account, names, ifInState, the shapes and the sum of create, update, destroy; in the last each id is then once. NULL: right; else the error's answer. */
json_t *jmap_set_check(struct jmap_request *r, const struct jmap_set_type *type, json_t *arguments);
/* ifInState: NULL: none was given, or it is this one, which is taken; else the error's answer. */
json_t *jmap_set_check_state(const json_t *arguments, json_t *state);
/* What is no object makes no object and is no patch: the SetError; NULL: it is one. */
json_t *jmap_set_wrong_creation(const json_t *given);
json_t *jmap_set_wrong_patch(const json_t *given);
/* An answer by which nothing was done yet. `lists` ends with NULL: the names of its lists, which are null as long as they are empty. */
json_t *jmap_set_answer(json_t *state, const char *const *lists);
extern const char *const jmap_set_lists[]; /* "created" … "notDestroyed" */
/* Made (*made is taken, its id goes by the creation id from now on), or an error, which is taken. */
void jmap_set_created(
	struct jmap_request *r, json_t *answer, struct str creation, json_t *made, json_t *error);
/* Under its id, or, where there is an error, which is taken, under what the client calls it. */
void jmap_set_updated(json_t *answer, struct str id, struct str said, json_t *error);
void jmap_set_destroyed(json_t *answer, struct str id, struct str said, json_t *error);
/* The last step: where all this has led to. */
void jmap_set_end(struct jmap_request *r, json_t *answer, json_t *state);

#endif
