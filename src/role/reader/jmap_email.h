/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_JMAP_EMAIL_H
#define ROLE_READER_JMAP_EMAIL_H

#include "role/reader/jmap.h"
#include "role/reader/letter.h"

/*
 * Reading mail in JMAP, between its files: fields of a header in a form (jmap_email_header.c), parts of a body (jmap_email_body.c), the Email
 * itself (jmap_email_get.c), what is looked for (jmap_email_filter.c).
 */

/* A property that is known without the message (jmap_email_get.c), new; NULL: it is none of these. */
json_t *email_property(const struct box_mail *m, const char *name);

/* ── header:NAME:asFORM:all, RFC 8621 §4.1.2, §4.1.3 ── */

enum header_form {
	FORM_RAW,
	FORM_TEXT,
	FORM_ADDRESSES,
	FORM_GROUPED,
	FORM_IDS,
	FORM_DATE,
	FORM_URLS,
	FORMS
};

struct header_wish {
	struct str name;
	enum header_form form;
	bool all;
};
/* "header:Subject:asText" → the wish. False: malformed, or this field has no such form. */
bool header_scan_wish(struct str property, struct header_wish *wish);
/* One of the properties that are a header:… by another name: "from", "sentAt" (§4.1.3). False: it is none of them. */
bool header_named_wish(struct str property, struct header_wish *wish);
/* What the part's header has; null (or an empty array) when it has none. */
json_t *header_value(
	const struct letter_part *p, const struct header_wish *wish, struct arena *arena);
json_t *header_list(const struct letter_part *p); /* [{name, value}], §4.1.3 */

/* ── the body, RFC 8621 §4.1.4 ── */

struct body_wish {
	const json_t *properties; /* bodyProperties; NULL: the usual ones */
	bool text_values, html_values, all_values;
	size_t value_max; /* octets of a value */
};
/* Their arguments; false: *error is the answer. */
bool body_read_wish(const json_t *arguments, struct body_wish *wish, json_t **error);

struct body {
	struct letter *letter;
	struct str blob; /* the message's: a part's is made of it */
	const struct body_wish *wish;
	struct arena *arena;
	size_t *left; /* octets of values that this call may still give; 0: it gave too many */
};
json_t *body_structure(const struct body *b);
json_t *body_parts(const struct body *b, const struct letter_part *const *parts, size_t n);
json_t *body_values(const struct body *b);

/* ── filters, RFC 8621 §4.4.1 ── */

/* In the request's arena; *filter NULL: all. *is_fixed: whether a mail is found hangs on its own properties alone. False: *error is the answer. */
bool email_read_filter(struct jmap_request *r, const json_t *json, const struct box_term **filter,
	bool *is_fixed, json_t **error);
/* The bit of "$seen" and its like, in any case; 0: no keyword that a file's name can have. */
unsigned email_keyword(struct str keyword);
json_t *email_keywords(unsigned flags); /* {"$seen": true} */

#endif
