/* SPDX-License-Identifier: Apache-2.0 */
#include "role/resolve/resolver.h"

#include <stdio.h>
#include <unbound.h>
#include <unbound-event.h>
#include <unistd.h>

#include "base/list.h"
#include "base/must.h"
#include "role/resolve/event.h"

/*
 * libunbound's context, and what it must be told. Facts that shape this file:
 *
 *   1. A context takes options until its first question and none after it; so resolver_open asks one that is answered without a
 *      packet, and learns then whether the section is good.
 *   2. The answer of something known comes inside ub_resolve_event: the question is complete before it is asked, and not touched
 *      after.
 *   3. A bogus answer has data and no error code: whether it is bogus is looked at first. The code is read out of the packet.
 *   4. Deleting a context answers what is under way: those questions have no owner any more.
 *
 * Whom it asks: the forwarders of the file; without them those of the system; without those the root and down from there. The
 * root's key validates only what we fetched from the root down ourselves: many forwarders hand on no signatures, and with them
 * every answer would be bogus. Whoever knows better names the key as `trust-anchor`.
 */

static const char system_file[] = "/etc/resolv.conf";
static const char root_key[] = "/usr/share/dns/root.key"; /* of Debian's dns-root-data */

enum { ANSWER_MEMORY = 256 * 1024, CLASS_IN = 1, SECURITY_BOGUS = 1, SECURITY_SECURE = 2 };

/* For every context. Names of the reserved trees are asked for like all others, but localhost, which is never anywhere else
 * (RFC 6761 §6.3), and onion, which must not be asked for (RFC 7686 §2). */
static const struct option {
	const char *name, *value;
} options[] = {
	{ "local-zone:", "test. transparent" },
	{ "local-zone:", "invalid. transparent" },
	{ "local-zone:", "home.arpa. transparent" },
	/* Clients of private networks have names where a forwarder knows them. */
	{ "unblock-lan-zones:", "yes" },
	{ "local-zone:", "127.in-addr.arpa. transparent" },
	/* Stale answers: after 1.8 s without a fresh one (RFC 8767 §5), for an hour at most. */
	{ "serve-expired:", "yes" },
	{ "serve-expired-ttl:", "3600" },
	{ "serve-expired-client-timeout:", "1800" },
	{ "serve-expired-reply-ttl:", "30" },
	/* A dead server is given up within 20 s (the library would take minutes), and asked again within 10 s of coming back. */
	{ "infra-host-ttl:", "10" },
	{ "infra-cache-max-rtt:", "4000" },
	{ "edns-buffer-size:", "1232" },
	/* The library's own sizes are those of a desktop program. */
	/* Questions under way: more would wait behind those that nobody answers. */
	{ "outgoing-range:", "4096" },
	{ "num-queries-per-thread:", "4096" },
	{ "outgoing-num-tcp:", "32" },
	{ "msg-cache-size:", "16m" },
	{ "rrset-cache-size:", "32m" },
};

struct resolver {
	struct ub_event_base *base;
	struct ub_ctx *context;
	struct list questions;
};

struct question {
	struct list link;	/* in resolver.questions */
	struct question **slot; /* NULL: forgotten */
	char name[DNS_NAME_MAX + 1];
	enum dns_type type;
	resolver_answered *answered;
	void *owner;
	unsigned number;
};

/* ── opening ── */

static bool
set(struct ub_ctx *context, const char *name, const char *value, struct err *e)
{
	int why = ub_ctx_set_option(context, name, value);

	return why == 0 ||
	       err_set(e, ERR_PERMANENT, ERR_LOCAL, "libunbound does not take %s %s: %s", name,
		       value, ub_strerror(why));
}

static bool
system_names_a_server(void)
{
	FILE *f = fopen(system_file, "re");
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof line, f)) {
		struct str s = str_trim(str_of(line));

		found = scan_word_nocase(&s, S("nameserver")) && scan_blanks(&s) && s.n > 1;
	}
	if (f)
		fclose(f);
	return found;
}

static bool
set_forwarders(struct ub_ctx *context, const struct config *c, bool *forwards, struct err *e)
{
	char address[128];

	for (size_t i = 0; i < c->resolver.forward_n; i++) {
		snprintf(address, sizeof address, "%.*s", STR_ARG(c->resolver.forward[i]));
		if (ub_ctx_set_fwd(context, address) != 0)
			return err_set(e, ERR_PERMANENT, ERR_LOCAL,
				"resolver: forward = \"%s\" is no address", address);
	}
	*forwards = c->resolver.forward_n > 0 ||
		    (system_names_a_server() && ub_ctx_resolvconf(context, system_file) == 0);
	/* The forwarder may well be on loopback; asking the root, no name server is. */
	return !*forwards || set(context, "do-not-query-localhost:", "no", e);
}

static bool
set_trust(struct ub_ctx *context, const struct config *c, bool forwards, struct err *e)
{
	char anchor[1024];
	int why = 0;

	snprintf(anchor, sizeof anchor, "%.*s", STR_ARG(c->resolver.trust_anchor));
	if (anchor[0])
		why = str_find(str_of(anchor), ' ') < strlen(anchor)
			      ? ub_ctx_add_ta(context, anchor)
			      : ub_ctx_add_ta_file(context, anchor);
	else if (!forwards && access(root_key, R_OK) == 0)
		why = ub_ctx_add_ta_file(context, root_key);
	return why == 0 || err_set(e, ERR_PERMANENT, ERR_LOCAL,
				   "resolver: trust-anchor = \"%s\": %s", anchor, ub_strerror(why));
}

static void
ignore_answer(void *owner, int rcode, void *packet, int n, int security, char *why, int limited)
{
	(void)owner, (void)rcode, (void)packet, (void)n, (void)security, (void)why, (void)limited;
}

static bool
set_up(struct resolver *r, const struct config *c, struct err *e)
{
	bool forwards = false;

	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		if (!set(r->context, options[i].name, options[i].value, e))
			return false;
	if (!set_forwarders(r->context, c, &forwards, e) || !set_trust(r->context, c, forwards, e))
		return false;
	if (ub_resolve_event(r->context, "localhost", DNS_A, CLASS_IN, NULL, ignore_answer, NULL) !=
		0)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"resolver: libunbound does not take this section: look at trust-anchor");
	return true;
}

struct resolver *
resolver_open(struct loop *l, const struct config *c, struct err *e)
{
	struct resolver *r = calloc(1, sizeof *r);

	must(r);
	list_init(&r->questions);
	r->base = event_base_open(l);
	r->context = ub_ctx_create_ub_event(r->base);
	must(r->context);
	if (!set_up(r, c, e))
		resolver_close(&r);
	return r;
}

void
resolver_close(struct resolver **r)
{
	if (!*r)
		return;
	list_each (at, &(*r)->questions)
		must(!list_of(at, struct question, link)->slot);
	ub_ctx_delete((*r)->context);
	list_each_safe (at, &(*r)->questions)
		free(list_of(at, struct question, link));
	event_base_close(&(*r)->base);
	free(*r);
	*r = NULL;
}

/* ── asking ── */

/* The question's end: out of the slot first, so that the owner may use it again at once. */
static void
settle(struct question *q, struct dns_answer *answer)
{
	list_remove(&q->link);
	if (q->slot) {
		*q->slot = NULL;
		q->answered(q->owner, q->number, answer);
	}
	free(q);
}

static void
on_answer(void *owner, int rcode, void *packet, int n, int security, char *why, int limited)
{
	struct question *q = owner;
	struct dns_answer answer = { .status = DNS_SERVFAIL };
	struct arena arena = { .max = ANSWER_MEMORY };

	(void)why, (void)limited;
	if (security == SECURITY_BOGUS)
		answer.status = DNS_BOGUS;
	else if (rcode == 0 && packet && n > 0)
		dns_read((struct str){ packet, (size_t)n }, str_of(q->name), q->type, &arena,
			&answer);
	answer.is_secure = security == SECURITY_SECURE;
	settle(q, &answer);
	arena_free(&arena);
}

void
resolver_ask(struct resolver *r, struct str name, enum dns_type type, struct question **slot,
	resolver_answered *answered, void *owner, unsigned number)
{
	struct question *q = calloc(1, sizeof *q);

	must(q && !*slot && name.n <= DNS_NAME_MAX);
	*q = (struct question){
		.slot = slot, .type = type, .answered = answered, .owner = owner, .number = number
	};
	memcpy(q->name, name.p, name.n);
	list_append(&r->questions, &q->link);
	*slot = q;
	if (ub_resolve_event(r->context, q->name, (int)type, CLASS_IN, q, on_answer, NULL) != 0)
		settle(q, &(struct dns_answer){ .status = DNS_SERVFAIL });
}

void
resolver_forget(struct question **slot)
{
	if (!*slot)
		return;
	(*slot)->slot = NULL;
	*slot = NULL;
}
