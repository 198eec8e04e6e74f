/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_JMAP_WRITE_H
#define ROLE_READER_JMAP_WRITE_H

#include "message/compose.h"
#include "role/reader/jmap.h"

/*
 * Writing mail in JMAP, between its files: where a mail is to lie (jmap_write.c), what it is to say (jmap_compose.c and the two that read
 * for it: jmap_compose_header.c, jmap_compose_body.c).
 *
 * Whatever is refused is a SetError in *error, which names the property, and where it is deep in one the way to it: "attachments/0/name".
 */

/* *error, which must be empty, becomes an invalidProperties of this property. Returns false. */
bool jmap_refuse(json_t **error, const char *property, const char *words, ...)
	__attribute__((format(printf, 3, 4)));
/* Only these properties, which end with NULL, are not null. `at`: "" or the way to the object. */
bool jmap_refuse_others(
	json_t **error, const json_t *object, const char *const *may, const char *at);

/* ── where a mail lies: of an Email, of an EmailImport, of what a patch made ── */

#define JMAP_NO_DATE INT64_MIN
struct jmap_place {
	struct str folder; /* in the arena */
	unsigned flags;
	int64_t received_ms; /* or JMAP_NO_DATE */
};

/* mailboxIds, keywords and receivedAt of `object`; the folder is there. */
bool jmap_read_place(
	struct jmap_request *r, const json_t *object, struct jmap_place *place, json_t **error);
/* {"id":…,"blobId":…,"threadId":…,"size":…}: what the creator of a mail does not know yet. */
json_t *jmap_made(const struct box_mail *m);
/* box_add: kept, and synced. False: *error. */
bool jmap_keep(struct jmap_request *r, const struct jmap_place *place, struct str octets,
	struct box_mail *m, json_t **error);
json_t *jmap_mail_state(struct jmap_request *r); /* of BOX_MAILS */

/* ── what a mail says ── */

/* The message behind `to`, whose cap is the largest message there may be. False: *error. */
bool jmap_compose(struct reader *reader, const json_t *email, struct buf *to, json_t **error);

/* Where the octets of an attachment come from. */
struct composing_source {
	struct str octets; /* of the blob, of `mended`, or of a value in the email's JSON */
	struct blob blob;
	struct buf mended; /* a message in octets that may travel */
};

struct composing {
	struct reader *reader;
	const json_t *email;
	json_t **error;
	struct arena arena; /* of all that `c` points to and the JSON does not have */
	struct compose c;
	size_t size_max;
	/* jmap_compose_body.c */
	struct compose_part *parts;	    /* c.parts */
	struct composing_source *sources;   /* of each part */
	struct composing_source text, html; /* where these are blobs */
	size_t parts_max;
	uint64_t blobs_size;
	json_t *missing; /* ids of blobs that there are not */
};

bool composing_read_header(struct composing *w);
bool composing_read_body(struct composing *w);
void composing_close_body(struct composing *w);
/* Is this a property of the body? */
bool composing_is_of_body(struct str property);
/* A string that can stand in a line: no line end, no NUL. */
bool composing_is_clean(struct composing *w, const char *property, struct str text);

#endif
