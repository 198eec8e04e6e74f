/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_JMAP_SUBMISSION_H
#define ROLE_READER_JMAP_SUBMISSION_H

#include "role/reader/jmap_kept.h"
#include "role/reader/letter.h"
#include "role/reader/submit.h"

/*
 * Sending in JMAP, between its files: what is asked and kept (jmap_submission.c), what a client wants done (jmap_submission_set.c), and from its
 * words to an order for receive (jmap_send.c with jmap_send_envelope.c).
 *
 * Of a submission that is kept, "_mail" is the queue's id of the mail, and "_isFinal" says that nothing about it will change.
 */

/* A creation that is on its way. Texts lie in the request's arena. */
struct sending {
	struct submit_order order;
	struct box_mail mail;
	json_t *identity, *envelope; /* the latter as it will be kept */
	int64_t send_at_ms;
};
/* False: *error, a SetError. */
bool sending_begin(struct jmap_request *r, const json_t *given, struct sending *s, json_t **error);
void sending_end(struct sending *s);
/* How the submission is kept: before it is handed in (NULL), as what it must say if no word is ever heard of it, and once receive has said yes or
 * went away behind the final dot. The SetError that its no comes to. */
json_t *sending_object(const struct sending *s, const struct submit *done);
json_t *sending_refused(const struct sending *s, const struct submit *done);

/* ── jmap_send_envelope.c ── */

bool jmap_may_write_as(const struct jmap_request *r, struct str email);
/* The envelope that a message's header makes (RFC 8621 §7.5). */
json_t *envelope_of_header(
	const struct letter_part *root, const struct jmap_request *r, struct str identity_email);
/* Its addresses and parameters as SMTP says them, into s->order. */
bool envelope_read(
	struct jmap_request *r, const json_t *envelope, struct sending *s, json_t **error);

/* ── jmap_submission.c ── */

/* What is to be seen of it now: the moment of a hold passes by itself. */
void jmap_submission_show(json_t *object);
int64_t jmap_submission_at_ms(const json_t *object); /* sendAt */

#endif
