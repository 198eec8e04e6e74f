/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_JMAP_H
#define ROLE_READER_JMAP_H

#include <jansson.h>

#include "role/reader/reader.h"

/*
 * JMAP (RFC 8620, RFC 8621): one request is a list of method calls, answered in order. A method is a function over the mailbox; which there are is
 * the table in jmap.c. One that must wait (for receive, for the queue) asks, returns JMAP_WAIT and leaves; when the answer has come, jmap_go_on calls the
 * same method with the same arguments again, and it finds what came in request->wait.
 */

enum {
	JMAP_CALLS_MAX = 64,		     /* maxCallsInRequest */
	JMAP_OBJECTS_GET_MAX = 1000,	     /* maxObjectsInGet */
	JMAP_OBJECTS_SET_MAX = 1000,	     /* maxObjectsInSet */
	JMAP_REQUEST_MAX = ROLE_REQUEST_MAX, /* maxSizeRequest: what web takes */
	JMAP_UPLOAD_MAX =
		ROLE_UPLOAD_MAX, /* maxSizeUpload, the same; never more than limits.message of the file */
	JMAP_NAME_MAX = 200,	      /* octets of a stranger's property name in words */
	JMAP_DEPTH_MAX = 64,	      /* of nested JSON, and of a pointer into it */
	JMAP_VALUES_MAX = 200 * 1000, /* values in a request: each costs many times its octets */
	JMAP_ANSWER_MAX =
		64 * 1024 *
		1024, /* octets of an answer: more is the error requestTooLarge of the call */
};

enum { JMAP_SESSION_STATE = 16 };
enum { JMAP_ARENA_MAX = 128 * 1024 * 1024 };
enum jmap_capability {
	JMAP_CORE = 1,
	JMAP_MAIL = 2,
	JMAP_SUBMISSION = 4,
	JMAP_EXTRA = 8 /* JMAP_OURS */
};
enum jmap_step { JMAP_DONE, JMAP_WAIT };

struct jmap_request {
	struct list link; /* in reader->requests */
	struct reader *reader;
	struct box *box;    /* reader's */
	struct kept *kept;  /* reader's */
	uint64_t ask;	    /* web's */
	json_t *request;    /* the whole of it */
	json_t *responses;  /* array of [name, arguments, call id] */
	json_t *created;    /* creation id → id, of the whole request (RFC 8620 §5.3) */
	size_t at;	    /* the call that is under way */
	unsigned uses;	    /* of `using`: bits of enum jmap_capability */
	json_t *also;	    /* what jmap_also has put behind the call under way */
	size_t size;	    /* octets of the responses so far */
	struct arena arena; /* of the call under way, at most JMAP_ARENA_MAX */
	/* What a method that waits keeps until it is called again: its own struct, freed by `wait_free`. */
	void *wait;
	void (*wait_free)(void *wait);
};

/* Answers with *answer, new, either the arguments of the response or, by jmap_error, those of "error". */
typedef enum jmap_step jmap_method(struct jmap_request *r, json_t *arguments, json_t **answer);

json_t *jmap_error(const char *type, const char *words, ...) __attribute__((format(printf, 2,
	3))); /* {"type":…,"description":…}, marked so that the response is named "error" */
bool jmap_is_error(const json_t *answer);
void jmap_unmark(json_t *answer); /* of an error: the mark goes, it can be shown */
json_t *jmap_set_error(const char *type, const char *words, ...)
	__attribute__((format(printf, 2, 3))); /* of notCreated and its like */
/* invalidProperties, and which. */
json_t *jmap_wrong_property(const char *property, const char *words);
void jmap_also(struct jmap_request *r, const char *name,
	json_t *answer); /* a further response, behind that of the method: implicit calls (RFC 8620 §5.4, RFC 8621 §7.5) */

/* A body of POST /jmap/api: answered at once or later by reader_reply. */
void jmap_begin(struct reader *reader, uint64_t ask, struct str body);
void jmap_go_on(struct jmap_request *r); /* what it waited for has come */

/* ── the envelope (jmap_envelope.c): no box, no clock, nothing but JSON ── */

/* What is wrong with a request as a whole: a problem document of status 400 (RFC 8620 §3.6.1). */
struct jmap_problem {
	const char *type;   /* "urn:ietf:params:jmap:error:…" */
	const char *limit;  /* which, of …:limit; else NULL */
	const char *detail; /* for people */
};
/* A body that is a Request object (§3.3), and what it uses; NULL and *problem. */
json_t *jmap_read(struct str body, unsigned *uses, struct jmap_problem *problem);
/* The arguments of a call with its "#name" references put in their place, from the responses so far (§3.7). NULL and *error. */
json_t *jmap_resolve(const json_t *arguments, const json_t *responses, json_t **error);
/* The bit of a capability's name; 0: not one of ours. */
unsigned jmap_capability(struct str name);

json_t *jmap_session(struct reader *reader, struct str base); /* RFC 8620 §2 */
void jmap_session_state(const struct reader *reader, char state[JMAP_SESSION_STATE]);
void jmap_states(struct reader *reader,
	struct buf *json); /* {"Email":"…","Mailbox":…}: what EventSource tells */
#define JMAP_ACCOUNT "a"   /* the id of the one account that a session has */

/* ── what methods share (jmap_arguments.c) ── */

/* The account is checked, unknown arguments are refused. `names`, those besides accountId, ends with NULL. NULL: right; else the error's answer. */
json_t *jmap_check_arguments(const json_t *arguments, const char *const *names);
/* An array of ids is at `name`, and each is in it once. *all: null was given, or nothing. False: *error is the answer. */
bool jmap_ids(json_t *arguments, const char *name, size_t most, bool *all, json_t **error);
/* "#creation" → the id made in this request; any other stays. */
struct str jmap_id(struct jmap_request *r, const json_t *id);
struct str jmap_str(const json_t *j); /* of a JSON string; empty: it is none. Lives as long as j */
json_t *jmap_text(
	struct str s); /* a JSON string; what is no UTF-8 becomes U+FFFD, NUL is dropped */
json_t *jmap_text_or_null(struct str s);
json_t *jmap_date(int64_t ms);			   /* "2026-11-23T18:00:00Z" */
bool jmap_read_date(const json_t *j, int64_t *ms); /* UTCDate or Date */
/* The next step of a JSON Pointer, behind its '/'; `token` needs a cap. False: a wrong "~". */
bool jmap_scan_token(struct str *pointer, struct buf *token);
/* The patch of an update (RFC 8620 §5.3): applied to a copy of `object`; NULL and *error, a SetError, where it does not fit. */
json_t *jmap_patch(const json_t *object, const json_t *patch, json_t **error);

/* ── the standard methods of any type, RFC 8620 §5 (jmap_standard.c) ── */

/* `properties` is null, absent, or an array of names that are all in `known` (which ends with NULL). NULL: right; else the error's answer. */
json_t *jmap_check_properties(const json_t *properties, const char *const *known);
/* Takes off what was not asked for; the id stays. */
void jmap_keep_properties(json_t *object, const json_t *properties);
/* The answer of a /get; takes both arrays. */
json_t *jmap_get_answer(const char *state, json_t *list, json_t *not_found);
json_t *jmap_texts(const struct str *texts, size_t n); /* an array of strings */
/* A whole /changes of what the box has; *c as box_changes left it. False: *answer is an error. */
bool jmap_box_changes(struct jmap_request *r, enum box_kind kind, const json_t *arguments,
	struct box_changes *c, json_t **answer);

struct jmap_window { /* which of the results, §5.5 */
	int64_t position, anchor_offset;
	struct str anchor; /* p NULL: none */
	size_t limit;	   /* SIZE_MAX: none was given */
	bool wants_total;
};
bool jmap_read_window(const json_t *arguments, struct jmap_window *w, json_t **error);
/* An argument that is true or false. False: *error. */
bool jmap_read_bool(
	const json_t *arguments, const char *name, bool otherwise, bool *is, json_t **error);
/* The answer of a /queryChanges (§5.6) of results whose order hangs on nothing but their own properties: what has changed is removed, and added where it
 * stands in `now`. */
json_t *jmap_query_changes_answer(struct jmap_request *r, enum box_kind kind,
	const json_t *arguments, const struct str *now, size_t n);

/* ── the methods, by the file that has them ── */

jmap_method jmap_core_echo;
/* jmap_mailbox.c, jmap_mailbox_set.c */
json_t *jmap_mailbox_object(const struct box_folder *f); /* with all properties */
jmap_method jmap_mailbox_get, jmap_mailbox_changes, jmap_mailbox_query, jmap_mailbox_query_changes,
	jmap_mailbox_set;
/* jmap_thread.c */
jmap_method jmap_thread_get, jmap_thread_changes;
/* jmap_email_get.c, jmap_email_query.c, jmap_snippet.c; jmap_email.h is between them */
jmap_method jmap_email_get, jmap_email_changes, jmap_email_parse;
jmap_method jmap_email_query, jmap_email_query_changes, jmap_search_snippet_get;
/* jmap_email_set.c (with jmap_compose.c: from the properties of an Email to a standard message) */
jmap_method jmap_email_set, jmap_email_import, jmap_email_copy;
/* jmap_identity.c */
jmap_method jmap_identity_get, jmap_identity_changes, jmap_identity_set;
/* jmap_submission.c */
jmap_method jmap_submission_get, jmap_submission_changes, jmap_submission_query,
	jmap_submission_query_changes, jmap_submission_set;
/* jmap_contact.c: our own, capability JMAP_OURS: address completion. {"text":…,"limit":…} → {"list":[{"name","email"}]} */
jmap_method jmap_contact_suggest;
#define JMAP_OURS "https://posthouse.example/jmap" /* see docs/webmail.md */

#endif
