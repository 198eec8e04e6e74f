/* SPDX-License-Identifier: Apache-2.0 */
#include "route/road.h"

#include <limits.h>

#include "base/hash.h"
#include "base/must.h"

/*
 * From the answers of the DNS to hops: the law. Question 0 is the MX of the domain; then, for host
 * i, question 1 + 2i is its AAAA and 2 + 2i its A. The road is decided when all are answered.
 *
 *   MX of the domain          what follows
 *   ───────────────────────   ────────────────────────────────────────────────────────────────────
 *   records                   the hosts by preference; seed and name decide among equal ones
 *   none (NODATA)             the domain is its own host, under the name where its aliases end
 *   NXDOMAIN                  permanent, ERR_DOMAIN_UNKNOWN
 *   the root alone            permanent, ERR_NULL_MX: RFC 7505
 *   SERVFAIL, time-out, …     temporary, ERR_DNS
 *
 *   an MX that is             what follows
 *   ───────────────────────   ────────────────────────────────────────────────────────────────────
 *   the root, beside others   left out: RFC 7505 §3 allows no others, so it is a slip
 *   the text of an address    left out; permanent, ERR_DOMAIN_NO_HOST, when no name is beside it
 *   ourselves                 it goes with all that are not better than it (RFC 5321 §5.1); none
 *                             better: permanent, ERR_LOOP. Ourselves is our name, or an address and
 *                             port of ours
 *   an alias (CNAME)          taken, although RFC 2181 §10.3 forbids it: everybody does
 *
 *   addresses of a host       what follows
 *   ───────────────────────   ────────────────────────────────────────────────────────────────────
 *   some                      hops: IPv6 and IPv4 by turns, IPv6 first (the order of RFC 8305 §4)
 *   in a closed network       left out, unless the file allows it (table below)
 *   none in either family     the host is skipped
 *   one family not answered   the other alone
 *
 *   no hop of those left      the first that is true
 *   ───────────────────────   ────────────────────────────────────────────────────────────────────
 *   some were not answered    temporary, ERR_DNS
 *   ourselves took the rest   permanent, ERR_LOOP
 *   closed networks only      permanent, ERR_PRIVATE_ADDRESS
 *   no addresses              permanent, ERR_DOMAIN_NO_HOST
 *
 * An address literal (RFC 5321 §4.1.3) is one hop without a question, under the same law of
 * addresses. A `via` of the file (is_host) is one host, whose addresses are taken as they are;
 * without any it is a fault of the file, which its operator mends: temporary, ERR_DNS.
 */

enum {
	ARENA_MAX = 64 * 1024, /* names of DNS_RECORDS_MAX hosts, one alias a lookup, the hosts */
	TRACE_LINE_MAX = 8 * 1024, /* the longest that is no attack: hosts and a chain of aliases */
	HOPS_SIZE_MAX = ROAD_HOPS_MAX * 512, /* more than a packed hop takes */
};

enum { AAAA, A, FAMILIES };

static const struct {
	enum dns_type type;
	enum hop_family family;
	size_t size;
} families[FAMILIES] = {
	[AAAA] = { DNS_AAAA, HOP_IPV6, 16 },
	[A] = { DNS_A, HOP_IPV4, 4 },
};

/* Where no mail host of the world can be. The documentation's networks are open: nobody is there to
 * be harmed. */
static const struct {
	struct road_network network;
	const char *what;
} closed[] = {
	{ { HOP_IPV4, { 0 }, 8 }, "this network" },			    /* RFC 1122 §3.2.1.3 */
	{ { HOP_IPV4, { 10 }, 8 }, "private" },				    /* RFC 1918 §3 */
	{ { HOP_IPV4, { 172, 16 }, 12 }, "private" },			    /* RFC 1918 §3 */
	{ { HOP_IPV4, { 192, 168 }, 16 }, "private" },			    /* RFC 1918 §3 */
	{ { HOP_IPV4, { 100, 64 }, 10 }, "private to a carrier" },	    /* RFC 6598 §7 */
	{ { HOP_IPV4, { 127 }, 8 }, "loopback" },			    /* RFC 1122 §3.2.1.3 */
	{ { HOP_IPV4, { 169, 254 }, 16 }, "link-local" },		    /* RFC 3927 §2.1 */
	{ { HOP_IPV4, { 224 }, 4 }, "multicast" },			    /* RFC 5771 §3 */
	{ { HOP_IPV4, { 240 }, 4 }, "reserved or broadcast" },		    /* RFC 1112 §4 */
	{ { HOP_IPV6, { [15] = 1 }, 128 }, "loopback" },		    /* RFC 4291 §2.5.3 */
	{ { HOP_IPV6, { 0 }, 96 }, "unspecified or obsolete" },		    /* RFC 4291 §2.5.5.1 */
	{ { HOP_IPV6, { [10] = 0xff, [11] = 0xff }, 96 }, "IPv4 in IPv6" }, /* RFC 4291 §2.5.5.2 */
	{ { HOP_IPV6, { 0xfc }, 7 }, "private" },			    /* RFC 4193 §3.1 */
	{ { HOP_IPV6, { 0xfe, 0x80 }, 10 }, "link-local" },		    /* RFC 4291 §2.5.6 */
	{ { HOP_IPV6, { 0xfe, 0xc0 }, 10 }, "site-local" },		    /* RFC 3879 §4 */
	{ { HOP_IPV6, { 0xff }, 8 }, "multicast" },			    /* RFC 4291 §2.7 */
};

/* What the DNS said about a host in one family. */
struct lookup {
	bool is_answered, is_secure;
	enum dns_status status;
	uint32_t ttl_s;
	struct str alias_of; /* the end of its CNAMEs; empty: no alias */
	unsigned char addresses[ROAD_ADDRESSES_MAX][16];
	size_t n, left_out; /* those kept; those closed */
};

struct road_host {
	struct str name;
	uint16_t preference;
	uint64_t lot; /* decides among equals */
	struct lookup lookups[FAMILIES];
};

/* ── Small things ────────────────────────────────────────────────────────────────────────────── */

/* What is kept is bounded by the limits of the header, so the arena has room. */
static struct str
keep(struct road *r, struct str s)
{
	char *p = arena_take(&r->arena, s.n);

	must(p);
	for (size_t i = 0; i < s.n; i++)
		p[i] = char_lower(s.p[i]);
	return (struct str){ p, s.n };
}

static void
lower_ttl(struct road *r, uint32_t ttl_s)
{
	if (ttl_s < r->ttl_s)
		r->ttl_s = ttl_s;
}

static uint32_t
clamp(uint32_t value, uint32_t least, uint32_t most)
{
	return value < least ? least : value > most ? most : value;
}

/* With an error or with hops the road is at its end. */
static void
end_if_decided(struct road *r)
{
	bool failed = err_is(&r->why);

	r->is_done = failed || r->hops_n > 0;
	if (r->is_done)
		r->ttl_s = failed ? clamp(r->ttl_s, ROAD_ERROR_TTL_MIN, ROAD_ERROR_TTL_MAX)
				  : clamp(r->ttl_s, ROAD_TTL_MIN, ROAD_TTL_MAX);
}

static void
trace(struct road *r, struct buf *line)
{
	buf_add_char(line, '\n');
	if (!line->overflow)
		buf_add(&r->trace, buf_str(line));
	buf_free(line);
}

/* " (ttl 300, signed)" */
static void
add_circumstances(struct buf *line, uint32_t ttl_s, bool is_secure)
{
	buf_addf(line, " (ttl %u%s)", ttl_s, is_secure ? ", signed" : "");
}

static bool
network_has(const struct road_network *n, enum hop_family family, const unsigned char *address)
{
	unsigned whole = n->prefix / 8, rest = n->prefix % 8;

	return n->family == family && memcmp(n->address, address, whole) == 0 &&
	       (rest == 0 || (n->address[whole] ^ address[whole]) >> (8 - rest) == 0);
}

/* Why no mail goes there, in a word; NULL: it may. */
static const char *
closed_as(const struct road *r, enum hop_family family, const unsigned char *address)
{
	if (r->settings->is_host)
		return NULL;
	for (size_t i = 0; i < r->settings->allowed_n; i++)
		if (network_has(&r->settings->allowed[i], family, address))
			return NULL;
	for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++)
		if (network_has(&closed[i].network, family, address))
			return closed[i].what;
	return NULL;
}

static bool
is_ours(const struct road *r, enum hop_family family, const unsigned char *address)
{
	size_t size = families[family == HOP_IPV6 ? AAAA : A].size;

	for (size_t i = 0; i < r->settings->ours_n; i++) {
		const struct hop *own = &r->settings->ours[i];

		if (own->family == family && own->port == r->settings->port &&
			memcmp(own->address, address, size) == 0)
			return true;
	}
	return false;
}

static void
fail_as_loop(struct road *r)
{
	err_set(&r->why, ERR_PERMANENT, ERR_LOOP,
		"the DNS says that we are the mail host of %.*s, but %.*s is not in our "
		"configuration",
		STR_ARG(r->domain), STR_ARG(r->domain));
}

static void
fail_as_private(struct road *r)
{
	err_set(&r->why, ERR_PERMANENT, ERR_PRIVATE_ADDRESS,
		"the mail hosts of %.*s have only addresses of closed networks (loopback, private "
		"and the like), where our mail does not go",
		STR_ARG(r->domain));
}

/* ── Beginning ───────────────────────────────────────────────────────────────────────────────── */

static void
add_hop(struct road *r, const struct hop *hop)
{
	if (r->hops_n == ROAD_HOPS_MAX)
		return;
	hop_add(&r->hops, hop);
	must(!r->hops.overflow);
	r->hops_n++;
}

static void
take_literal(struct road *r)
{
	struct hop hop = {
		.host = r->domain, .protocol = r->settings->protocol, .port = r->settings->port
	};
	struct buf line = { .max = TRACE_LINE_MAX };
	const char *what;

	if (!hop_set_literal(&hop, r->domain)) {
		err_set(&r->why, ERR_PERMANENT, ERR_DOMAIN_UNKNOWN, "%.*s is no address literal",
			STR_ARG(r->domain));
		return;
	}
	what = closed_as(r, hop.family, hop.address);
	buf_addf(&line, "%.*s: an address literal, the DNS is not asked", STR_ARG(r->domain));
	if (what)
		buf_addf(&line, "; left out: %s", what);
	trace(r, &line);
	if (!r->settings->is_host && is_ours(r, hop.family, hop.address))
		fail_as_loop(r);
	else if (what)
		fail_as_private(r);
	else
		add_hop(r, &hop);
}

static void
take_single_host(struct road *r, struct str name)
{
	r->hosts[0].name = name;
	r->hosts_n = 1;
}

void
road_begin(struct road *r, const struct road_settings *settings, struct str domain, uint64_t seed)
{
	*r = (struct road){
		.hops.max = HOPS_SIZE_MAX,
		.trace.max = ROAD_TRACE_MAX,
		.ttl_s = ROAD_TTL_MAX,
		.settings = settings,
		.seed = seed,
		.arena.max = ARENA_MAX,
		.own_preference = UINT_MAX,
	};
	r->hosts = arena_take(&r->arena, ROAD_HOSTS_MAX * sizeof *r->hosts);
	must(r->hosts);
	r->domain = keep(r, str_part(domain, 0, HOP_HOST_MAX));
	if (domain.n && domain.p[0] == '[') {
		take_literal(r);
	} else if (!dns_name_is_valid(domain)) {
		err_set(&r->why, ERR_PERMANENT, ERR_DOMAIN_UNKNOWN,
			"%.*s is no name that the DNS can have", STR_ARG(r->domain));
	} else if (settings->is_host) {
		take_single_host(r, r->domain);
		r->is_secure = true; /* the file is */
		r->asked = r->answered = 1;
	}
	end_if_decided(r);
}

/* How many there are, as far as is known now. */
static size_t
questions(const struct road *r)
{
	return 1 + FAMILIES * r->hosts_n;
}

bool
road_next(struct road *r, struct road_question *q)
{
	unsigned number = r->asked;

	if (r->is_done || number == questions(r))
		return false;
	*q = (struct road_question){ .number = number, .name = r->domain, .type = DNS_MX };
	if (number > 0) {
		q->name = r->hosts[(number - 1) / FAMILIES].name;
		q->type = families[(number - 1) % FAMILIES].type;
	}
	r->asked++;
	return true;
}

/* ── The MX ──────────────────────────────────────────────────────────────────────────────────── */

static bool
comes_before(const struct road_host *a, const struct road_host *b)
{
	return a->preference != b->preference ? a->preference < b->preference : a->lot < b->lot;
}

/* Into its place; a host that is named twice stays where it is better. */
static void
add_host(struct road *r, const struct dns_record *mx)
{
	uint64_t secret[2] = { r->seed, 0 };
	struct road_host host = { .name = mx->name, .preference = mx->preference };
	size_t at = 0, twin = 0;

	while (twin < r->hosts_n && !str_eq(r->hosts[twin].name, mx->name))
		twin++;
	if (twin < r->hosts_n) {
		if (r->hosts[twin].preference <= mx->preference)
			return;
		r->hosts_n--;
		memmove(&r->hosts[twin], &r->hosts[twin + 1], (r->hosts_n - twin) * sizeof host);
	}
	host.lot = hash_sip(secret, mx->name);
	while (at < r->hosts_n && comes_before(&r->hosts[at], &host))
		at++;
	if (at == ROAD_HOSTS_MAX)
		return;
	if (r->hosts_n < ROAD_HOSTS_MAX)
		r->hosts_n++;
	memmove(&r->hosts[at + 1], &r->hosts[at], (r->hosts_n - 1 - at) * sizeof host);
	host.name = keep(r, mx->name);
	r->hosts[at] = host;
}

/* "MX sh.example.org -> shmail.example.org" */
static void
add_asked(struct buf *line, enum dns_type type, struct str name, const struct str *chain, size_t n)
{
	buf_addf(line, "%s %.*s", dns_type_name(type), STR_ARG(name));
	for (size_t i = 0; i < n; i++)
		buf_addf(line, " -> %.*s", STR_ARG(chain[i]));
	buf_add(line, S(": "));
}

static void
trace_mx(struct road *r, const struct dns_answer *answer)
{
	struct buf line = { .max = TRACE_LINE_MAX };

	add_asked(&line, DNS_MX, r->domain, answer->chain, answer->aliases);
	for (size_t i = 0; i < r->hosts_n; i++)
		buf_addf(&line, "%s%u %.*s", i ? ", " : "", r->hosts[i].preference,
			STR_ARG(r->hosts[i].name));
	if (answer->status != DNS_OK)
		buf_addf(&line, "%s", dns_status_name(answer->status));
	else if (r->hosts_n == 0)
		buf_add(&line, S("no host to go to"));
	if (answer->status == DNS_OK || answer->ttl_s)
		add_circumstances(&line, answer->ttl_s, answer->is_secure);
	trace(r, &line);
}

/* Why no mail goes to this MX, whatever its addresses are; NULL: it may. */
static const char *
unfit_as(const struct road *r, const struct dns_record *mx)
{
	struct hop as_address;

	if (mx->name.n == 0)
		return "the root, which says that there is no host (RFC 7505)";
	if (hop_set_address(&as_address, mx->name))
		return "an address, where the name of a host must stand";
	if (str_eq_nocase(mx->name, r->settings->hostname))
		return "ourselves";
	if (mx->preference >= r->own_preference)
		return "no better than ourselves";
	return NULL;
}

static void
trace_left_out(struct road *r, const struct dns_answer *answer)
{
	for (size_t i = 0; i < answer->records_n; i++) {
		const struct dns_record *mx = &answer->records[i];
		const char *why = unfit_as(r, mx);
		struct buf line = { .max = TRACE_LINE_MAX };

		if (!why)
			continue;
		buf_addf(&line, "  left out: %u %.*s, %s", mx->preference,
			STR_ARG(mx->name.n ? mx->name : S(".")), why);
		trace(r, &line);
	}
	if (answer->unusable) {
		struct buf line = { .max = TRACE_LINE_MAX };

		buf_addf(&line, "  left out: %zu that no host can be called", answer->unusable);
		trace(r, &line);
	}
}

/* RFC 5321 §5.1: those no better than ourselves could only send it back to us. */
static void
keep_better_than_us(struct road *r)
{
	while (r->hosts_n && r->hosts[r->hosts_n - 1].preference >= r->own_preference)
		r->hosts_n--;
}

static void
note_ourselves(struct road *r, unsigned preference)
{
	if (preference < r->own_preference)
		r->own_preference = preference;
}

static void
take_hosts(struct road *r, const struct dns_answer *answer)
{
	size_t nulls = 0;

	for (size_t i = 0; i < answer->records_n; i++) {
		const struct dns_record *mx = &answer->records[i];

		if (str_eq_nocase(mx->name, r->settings->hostname))
			note_ourselves(r, mx->preference);
		else if (!unfit_as(r, mx))
			add_host(r, mx);
		nulls += mx->name.n == 0;
	}
	keep_better_than_us(r);
	trace_mx(r, answer);
	trace_left_out(r, answer);
	if (r->hosts_n)
		return;
	if (r->own_preference != UINT_MAX)
		fail_as_loop(r);
	else if (nulls && nulls == answer->records_n && !answer->unusable)
		err_set(&r->why, ERR_PERMANENT, ERR_NULL_MX,
			"the domain %.*s takes no mail: its owner says so (null MX)",
			STR_ARG(r->domain));
	else
		err_set(&r->why, ERR_PERMANENT, ERR_DOMAIN_NO_HOST,
			"no MX of %.*s is the name of a host: an address or something else stands "
			"in the DNS",
			STR_ARG(r->domain));
}

static void
take_mx(struct road *r, const struct dns_answer *answer)
{
	must(r->answered == 0);
	lower_ttl(r, answer->ttl_s);
	r->is_secure = answer->is_secure;
	if (answer->status == DNS_OK) {
		take_hosts(r, answer);
		return;
	}
	trace_mx(r, answer);
	if (answer->status == DNS_NXDOMAIN) {
		err_set(&r->why, ERR_PERMANENT, ERR_DOMAIN_UNKNOWN,
			"the domain %.*s does not exist", STR_ARG(r->domain));
	} else if (answer->status == DNS_NODATA) {
		size_t aliases = answer->aliases;

		r->is_implicit = true;
		take_single_host(r, aliases ? keep(r, answer->chain[aliases - 1]) : r->domain);
	} else {
		err_set(&r->why, ERR_TEMPORARY, ERR_DNS,
			"the DNS does not tell now where mail for %.*s goes: %s",
			STR_ARG(r->domain), dns_status_name(answer->status));
	}
}

/* ── The addresses, and the end ──────────────────────────────────────────────────────────────── */

static bool
is_failed(const struct lookup *l)
{
	return l->status != DNS_OK && l->status != DNS_NODATA && l->status != DNS_NXDOMAIN;
}

static void
take_addresses(struct road *r, unsigned at, const struct dns_answer *answer)
{
	struct lookup *l = &r->hosts[at / FAMILIES].lookups[at % FAMILIES];

	must(!l->is_answered);
	*l = (struct lookup){ .is_answered = true,
		.is_secure = answer->is_secure,
		.status = answer->status,
		.ttl_s = answer->ttl_s };
	if (answer->aliases)
		l->alias_of = keep(r, answer->chain[answer->aliases - 1]);
	if (l->status != DNS_OK)
		return;
	for (; l->n < answer->records_n && l->n < ROAD_ADDRESSES_MAX; l->n++)
		memcpy(l->addresses[l->n], answer->records[l->n].address,
			families[at % FAMILIES].size);
}

static void
find_ourselves(struct road *r)
{
	if (r->settings->is_host)
		return;
	for (size_t i = 0; i < r->hosts_n; i++)
		for (size_t f = 0; f < FAMILIES; f++)
			for (size_t k = 0; k < r->hosts[i].lookups[f].n; k++)
				if (is_ours(r, families[f].family,
					    r->hosts[i].lookups[f].addresses[k]))
					note_ourselves(r, r->hosts[i].preference);
}

/* The addresses that mail may go to move up; the line for people names all. */
static void
sift(struct road *r, const struct road_host *host, struct lookup *l, size_t family)
{
	struct buf line = { .max = TRACE_LINE_MAX };
	size_t all = l->n;

	add_asked(&line, families[family].type, host->name, &l->alias_of, l->alias_of.n > 0);
	l->n = 0;
	for (size_t i = 0; i < all; i++) {
		const unsigned char *address = l->addresses[i];
		const char *what = closed_as(r, families[family].family, address);

		buf_add(&line, i ? S(", ") : S(""));
		hop_add_address(&line, families[family].family, address);
		if (is_ours(r, families[family].family, address))
			buf_add(&line, S(" (ourselves)"));
		if (what) {
			buf_addf(&line, " (left out: %s)", what);
			l->left_out++;
		} else {
			memmove(l->addresses[l->n++], address, sizeof l->addresses[0]);
		}
	}
	if (all == 0)
		buf_addf(&line, "%s",
			dns_status_name(l->status == DNS_OK ? DNS_MALFORMED : l->status));
	else
		add_circumstances(&line, l->ttl_s, l->is_secure);
	if (l->alias_of.n && !r->is_implicit && !r->settings->is_host)
		buf_add(&line, S("; an MX should not be an alias"));
	trace(r, &line);
	if (is_failed(l))
		lower_ttl(r, ROAD_ERROR_TTL_MAX);
	else if (all)
		lower_ttl(r, l->ttl_s);
}

static void
add_hops(struct road *r, const struct road_host *host)
{
	for (size_t i = 0; i < ROAD_ADDRESSES_MAX; i++)
		for (size_t f = 0; f < FAMILIES; f++) {
			const struct lookup *l = &host->lookups[f];
			struct hop hop = { .host = host->name,
				.family = families[f].family,
				.protocol = r->settings->protocol,
				.port = r->settings->port,
				.preference = host->preference,
				.is_secure = r->is_secure && l->is_secure };

			if (i >= l->n)
				continue;
			memcpy(hop.address, l->addresses[i], sizeof hop.address);
			add_hop(r, &hop);
		}
}

/* No hop: why not, by the last table above. */
static void
fail_without_hops(struct road *r, size_t failed, size_t left_out)
{
	if (failed)
		err_set(&r->why, ERR_TEMPORARY, ERR_DNS,
			"the DNS does not tell now at which addresses the mail hosts of %.*s are",
			STR_ARG(r->domain));
	else if (r->own_preference != UINT_MAX)
		fail_as_loop(r);
	else if (left_out)
		fail_as_private(r);
	else if (r->settings->is_host)
		err_set(&r->why, ERR_TEMPORARY, ERR_DNS,
			"the host %.*s, which a route of the file names, has no address in the "
			"DNS",
			STR_ARG(r->domain));
	else if (r->is_implicit)
		err_set(&r->why, ERR_PERMANENT, ERR_DOMAIN_NO_HOST,
			"the domain %.*s has neither mail nor web hosts: no MX, A or AAAA in the "
			"DNS",
			STR_ARG(r->domain));
	else
		err_set(&r->why, ERR_PERMANENT, ERR_DOMAIN_NO_HOST,
			"the DNS has no address for any mail host (MX) of %.*s",
			STR_ARG(r->domain));
}

static void
decide(struct road *r)
{
	size_t failed = 0, left_out = 0, asked_n = r->hosts_n;

	find_ourselves(r);
	for (size_t i = 0; i < asked_n; i++)
		for (size_t f = 0; f < FAMILIES; f++)
			sift(r, &r->hosts[i], &r->hosts[i].lookups[f], f);
	keep_better_than_us(r);
	for (size_t i = 0; i < r->hosts_n; i++) {
		const struct lookup *l = r->hosts[i].lookups;

		failed += (size_t)is_failed(&l[AAAA]) + (size_t)is_failed(&l[A]);
		left_out += l[AAAA].left_out + l[A].left_out;
		add_hops(r, &r->hosts[i]);
	}
	if (r->hops_n == 0)
		fail_without_hops(r, failed, left_out);
}

void
road_answer(struct road *r, unsigned number, const struct dns_answer *answer)
{
	must(!r->is_done && number < r->asked);
	if (number == 0)
		take_mx(r, answer);
	else
		take_addresses(r, number - 1, answer);
	r->answered++;
	if (!err_is(&r->why) && r->answered == questions(r))
		decide(r);
	end_if_decided(r);
}

void
road_free(struct road *r)
{
	buf_free(&r->hops);
	buf_free(&r->trace);
	arena_free(&r->arena);
	*r = (struct road){ 0 };
}
