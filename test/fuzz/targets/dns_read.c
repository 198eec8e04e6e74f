/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "route/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * A packet that a liar sends as the answer about example.org; the first octet chooses the type.
 * Whatever it is: what comes out are names that a host can have, within the limits and the memory
 * that are promised.
 */

static void
check_name(struct str name)
{
	must(dns_name_is_valid(name));
	for (size_t i = 0; i < name.n; i++)
		must(name.p[i] == char_lower(name.p[i]));
}

/* An alias may also hold slashes: RFC 2317 §4. */
static void
check_alias(struct str name)
{
	char text[256];

	must(name.n < sizeof text);
	for (size_t i = 0; i < name.n; i++)
		text[i] = name.p[i] == '/' ? '-' : name.p[i];
	check_name((struct str){ text, name.n });
}

static void
check(const struct dns_answer *a, enum dns_type type)
{
	bool is_no = a->status == DNS_NODATA || a->status == DNS_NXDOMAIN;

	must(a->status == DNS_OK || a->records_n == 0);
	must(a->status != DNS_OK || a->records_n + a->unusable > 0);
	must(a->status != DNS_TIMEOUT && a->status != DNS_BOGUS); /* no packet says so */
	must(a->records_n <= DNS_RECORDS_MAX && a->aliases <= DNS_CHAIN_MAX);
	must(!a->was_cut || a->records_n + a->unusable >= DNS_RECORDS_MAX);
	must(a->ttl_s <= (is_no ? (uint32_t)DNS_NEGATIVE_TTL_MAX : INT32_MAX));
	for (size_t i = 0; i < a->aliases; i++)
		check_alias(a->chain[i]);
	for (size_t i = 0; type == DNS_MX && i < a->records_n; i++)
		if (a->records[i].name.n)
			check_name(a->records[i].name);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_MX, DNS_A, DNS_AAAA };
	struct str packet = str_from((struct str){ (const char *)data, size }, 1);
	struct arena arena = { .max = DNS_ANSWER_MAX };
	enum dns_type type = types[size ? data[0] % 3 : 0];
	struct dns_answer answer;

	dns_read(packet, S("example.org"), type, &arena, &answer);
	check(&answer, type);
	arena_free(&arena);
	return 0;
}
