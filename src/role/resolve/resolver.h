/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVE_RESOLVER_H
#define RESOLVE_RESOLVER_H

#include "config/config.h"
#include "io/loop.h"
#include "route/dns.h"

/*
 * Questions to the DNS, answered by libunbound in our loop: cached, validated, and stale up to an hour when nobody answers. One
 * resolver is one `resolver` section of the file; another section is another resolver.
 */
struct resolver;

/* A question under way; the asker's own slot points to it until it is answered or forgotten. */
struct question;

/* What is done with an answer; its memory ends with the call. May be called before resolver_ask returns. Never NULL. */
typedef void resolver_answered(void *owner, unsigned number, const struct dns_answer *answer);

/* NULL and e when libunbound refuses the section: a trust anchor that is none, a forwarder that is no address. */
struct resolver *resolver_open(struct loop *l, const struct config *c, struct err *e);

/* Ends it with the questions under way, all of which must be forgotten. Not from within an answer. */
void resolver_close(struct resolver **r);

/* `name` in lower case A-labels, no dot behind. `number` comes back with the answer. */
void resolver_ask(struct resolver *r, struct str name, enum dns_type type, struct question **slot,
	resolver_answered *answered, void *owner, unsigned number);
void resolver_forget(struct question **slot); /* its answer is nobody's; NULL inside is fine */

#endif
