/* SPDX-License-Identifier: Apache-2.0 */
#include "role/resolve/resolve.h"

#include "base/log.h"
#include "base/must.h"

/*
 * A list that has closed or was never one lets all in, or shuts all out, and nobody sees why. RFC 5782 §5 has a test: a list of
 * IPv4 addresses has an entry for 127.0.0.2 and none for 127.0.0.1. At the start and after each reload every zone is asked for both; what is
 * wrong is said once in the log, and changes nothing: that is for the operator to decide. No answer is no verdict.
 */

enum { LOOPBACK, TEST_ENTRY, QUESTIONS };

struct list_check {
	char zone[DNS_NAME_MAX + 1];
	struct question *questions[QUESTIONS];
};

static void
complain(const struct list_check *check, const char *event, struct str advice)
{
	log_event(event, "zone=%s do=%s", log_quote(str_of(check->zone)), log_quote(advice));
}

enum verdict { LISTED, NOT_LISTED, NO_VERDICT };

/* 127.255.255.0/24 is a refusal to answer us: of that client.c tells. What is not of 127.0.0.0/8 is no answer of a list. */
static enum verdict
verdict_of(const struct dns_answer *a)
{
	enum verdict verdict = NOT_LISTED;

	if (a->status != DNS_OK && a->status != DNS_NODATA && a->status != DNS_NXDOMAIN)
		return NO_VERDICT;
	for (size_t i = 0; i < a->records_n; i++) {
		const unsigned char *octets = a->records[i].address;

		if (octets[0] == 127 && octets[1] == 255 && octets[2] == 255)
			return NO_VERDICT;
		if (octets[0] == 127)
			verdict = LISTED;
	}
	return verdict;
}

static void
answered(void *owner, unsigned number, const struct dns_answer *a)
{
	const struct list_check *check = owner;
	enum verdict verdict = verdict_of(a);

	if (number == LOOPBACK && verdict == LISTED)
		complain(check, "dnsbl-lists-everybody",
			S("take it out of gate: dnsbl; it has an entry for 127.0.0.1"));
	else if (number == TEST_ENTRY && verdict == NOT_LISTED)
		complain(check, "dnsbl-is-none",
			S("look at its name in gate: dnsbl; it has no entry for 127.0.0.2"));
}

static void
ask(struct resolve *r, struct list_check *check, unsigned number, const unsigned char address[4])
{
	struct buf name = { .max = DNS_NAME_MAX };

	dns_add_turned(&name, address, 4, str_of(check->zone));
	if (!name.overflow)
		resolver_ask(r->resolver, buf_str(&name), DNS_A, &check->questions[number],
			answered, check, number);
	buf_free(&name);
}

void
lists_check(struct resolve *r)
{
	static const unsigned char loopback[] = { 127, 0, 0, 1 }, test_entry[] = { 127, 0, 0, 2 };
	const struct config *c = &r->role.config;

	must(!r->checks);
	if (!r->resolver || c->resolver.is_off || c->gate.dnsbl_n == 0)
		return;
	r->checks = calloc(c->gate.dnsbl_n, sizeof *r->checks);
	must(r->checks);
	r->checks_n = c->gate.dnsbl_n;
	for (size_t i = 0; i < r->checks_n; i++) {
		struct list_check *check = &r->checks[i];

		snprintf(check->zone, sizeof check->zone, "%.*s", STR_ARG(c->gate.dnsbl[i]));
		ask(r, check, LOOPBACK, loopback);
		ask(r, check, TEST_ENTRY, test_entry);
	}
}

void
lists_end(struct resolve *r)
{
	for (size_t i = 0; i < r->checks_n; i++)
		for (unsigned k = 0; k < QUESTIONS; k++)
			resolver_forget(&r->checks[i].questions[k]);
	free(r->checks);
	r->checks = NULL;
	r->checks_n = 0;
}
