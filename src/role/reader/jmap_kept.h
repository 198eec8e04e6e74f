/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_JMAP_KEPT_H
#define ROLE_READER_JMAP_KEPT_H

#include "role/reader/jmap.h"

/* Objects that lie in `kept` as JMAP shows them. A property whose name begins with "_" is ours alone and is shown to nobody. */

/* The object, new, with its id; NULL: there is none. */
json_t *jmap_kept_load(struct jmap_request *r, enum kept_kind kind, struct str id);
json_t *jmap_kept_object(struct str id, struct str json); /* the same, of what lies there */
/* Without its id, under `id`, which is drawn where it is empty. False: *error, a SetError. */
bool jmap_kept_save(struct jmap_request *r, enum kept_kind kind, struct str *id,
	const json_t *object, json_t **error);
json_t *jmap_kept_state(struct jmap_request *r, enum kept_kind kind);
void jmap_kept_hide(json_t *object); /* what is ours alone */

/* The arguments of a /get, "ids" with each once. NULL: right; else the error's answer. */
json_t *jmap_kept_check_get(json_t *arguments, const char *const *known);
/* Whole methods. `show` changes an object to what is to be seen of it now; NULL: as it lies there. */
json_t *jmap_kept_get(struct jmap_request *r, enum kept_kind kind, json_t *arguments,
	const char *const *known, void (*show)(json_t *object));
json_t *jmap_kept_changes(struct jmap_request *r, enum kept_kind kind, const json_t *arguments);

#endif
