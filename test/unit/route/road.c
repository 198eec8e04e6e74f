/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "route/road.h"

/*
 * A small DNS: what it has on a name and type, one fact each. Values: "10 mx.example.org, 20 …" or
 * addresses; names that stand before " : " are where aliases lead. A name without the type has
 * NODATA, one without any fact NXDOMAIN.
 */
struct fact {
	const char *name;
	enum dns_type type;
	const char *values;
	enum dns_status status;
	uint32_t ttl_s; /* 0: an hour */
	bool is_secure;
	size_t unusable;
};

static const struct road_settings usual = { .hostname = S("mail.station.example"), .port = 25 };

static const struct fact *
find_fact(const struct fact *facts, struct str name, enum dns_type type, bool *exists)
{
	*exists = false;
	for (; facts->name; facts++)
		if (str_eq(str_of(facts->name), name)) {
			*exists = true;
			if (facts->type == type)
				return facts;
		}
	return NULL;
}

static void
take_value(struct dns_answer *a, enum dns_type type, struct str value)
{
	struct dns_record *record = &a->records[a->records_n++];
	struct hop hop = { 0 };
	uint64_t preference;

	if (type == DNS_MX) {
		assert_true(scan_u64(&value, &preference) && scan_char(&value, ' '));
		record->preference = (uint16_t)preference;
		record->name = str_eq(value, S(".")) ? S("") : value;
		return;
	}
	assert_true(hop_set_address(&hop, value));
	memcpy(record->address, hop.address, sizeof hop.address);
}

static void
look_up(const struct fact *facts, const struct road_question *q, struct dns_record *records,
	struct dns_answer *a)
{
	bool exists;
	const struct fact *fact = find_fact(facts, q->name, q->type, &exists);
	struct str chain = { 0 }, rest, value;

	*a = (struct dns_answer){ .status = exists ? DNS_NODATA : DNS_NXDOMAIN,
		.records = records,
		.ttl_s = DNS_NEGATIVE_TTL_MAX };
	if (!fact)
		return;
	rest = str_of(fact->values);
	a->status = fact->status;
	a->ttl_s = fact->ttl_s ? fact->ttl_s : 3600;
	a->is_secure = fact->is_secure;
	a->unusable = fact->unusable;
	if (str_find_str(rest, S(" : ")) < rest.n) {
		str_cut(rest, ':', &chain, &rest);
		rest = str_trim(rest);
	}
	while (chain.n && str_cut(chain, ' ', &value, &chain))
		a->chain[a->aliases++] = value;
	while (rest.n) {
		str_cut(rest, ',', &value, &rest);
		take_value(a, q->type, str_trim(value));
	}
}

/* To the end, the last question answered first. */
static struct road
drive(const struct fact *facts, const struct road_settings *settings, const char *domain,
	uint64_t seed)
{
	struct road_question asked[ROAD_QUESTIONS_MAX];
	struct dns_record records[DNS_RECORDS_MAX];
	struct dns_answer answer;
	struct road r;
	size_t n = 0;

	road_begin(&r, settings, str_of(domain), seed);
	while (!r.is_done) {
		while (road_next(&r, &asked[n]))
			n++;
		assert_true(n > 0);
		memset(records, 0, sizeof records);
		look_up(facts, &asked[--n], records, &answer);
		road_answer(&r, asked[n].number, &answer);
	}
	assert_int_equal(n, 0);
	return r;
}

/* "mx1.example.org 192.0.2.1:25, …" */
static void
add_road(struct buf *to, struct str hops)
{
	struct hop h;

	while (hop_scan(&hops, &h)) {
		buf_addf(to, "%s%.*s ", to->n ? ", " : "", STR_ARG(h.host));
		hop_add_text(to, &h);
	}
	assert_int_equal(hops.n, 0);
}

static void
assert_hops(const struct road *r, const char *want)
{
	struct buf got = { .max = 16384 };

	if (err_is(&r->why))
		fail_msg("no road: %s", r->why.text);
	add_road(&got, buf_str(&r->hops));
	assert_str(buf_str(&got), str_of(want));
	buf_free(&got);
}

static void
assert_leads_by(const struct fact *facts, const struct road_settings *settings, const char *domain,
	const char *want)
{
	struct road r = drive(facts, settings, domain, 1);

	assert_hops(&r, want);
	assert_in_range(r.ttl_s, ROAD_TTL_MIN, ROAD_TTL_MAX);
	road_free(&r);
}

static void
assert_leads(const struct fact *facts, const char *domain, const char *want)
{
	assert_leads_by(facts, &usual, domain, want);
}

static void
assert_fails_by(const struct fact *facts, const struct road_settings *settings, const char *domain,
	enum err_class class, enum err_kind kind, const char *words)
{
	struct road r = drive(facts, settings, domain, 1);

	assert_int_equal(r.why.class, class);
	assert_int_equal(r.why.kind, kind);
	if (!strstr(r.why.text, words))
		fail_msg("\"%s\" does not say \"%s\"", r.why.text, words);
	assert_int_equal(r.hops.n, 0);
	assert_in_range(r.ttl_s, ROAD_ERROR_TTL_MIN, ROAD_ERROR_TTL_MAX);
	road_free(&r);
}

static void
assert_fails(const struct fact *facts, const char *domain, enum err_class class, enum err_kind kind,
	const char *words)
{
	assert_fails_by(facts, &usual, domain, class, kind, words);
}

static void
assert_traced(const struct road *r, const char *words)
{
	struct str trace = buf_str(&r->trace);

	if (str_find_str(trace, str_of(words)) == trace.n)
		fail_msg("the trace does not say \"%s\":\n%.*s", words, STR_ARG(trace));
}

/* ── The worked examples ─────────────────────────────────────────────────────────────────────── */

static void
the_domain_is_an_alias(void **state)
{
	static const struct fact facts[] = {
		{ "sh.abc.com", DNS_MX, "shmail.abc.com : 10 shmail2.abc.com, 5 shmail.abc.com" },
		{ "shmail.abc.com", DNS_A, "192.0.2.1" },
		{ "shmail2.abc.com", DNS_A, "192.0.2.2" },
		{ NULL },
	};
	struct road r = drive(facts, &usual, "SH.abc.com", 1);

	(void)state;
	assert_hops(&r, "shmail.abc.com 192.0.2.1:25, shmail2.abc.com 192.0.2.2:25");
	assert_str(buf_str(&r.trace),
		S("MX sh.abc.com -> shmail.abc.com: 5 shmail.abc.com, 10 shmail2.abc.com (ttl "
		  "3600)\n"
		  "AAAA shmail.abc.com: NODATA\n"
		  "A shmail.abc.com: 192.0.2.1 (ttl 3600)\n"
		  "AAAA shmail2.abc.com: NODATA\n"
		  "A shmail2.abc.com: 192.0.2.2 (ttl 3600)\n"));
	assert_int_equal(r.ttl_s, 3600);
	road_free(&r);
}

static void
a_chain_of_three(void **state)
{
	static const struct fact facts[] = {
		{ "a.example", DNS_MX, "b.example c.example d.example : 10 mx.example" },
		{ "mx.example", DNS_A, "192.0.2.1" },
		{ NULL },
	};
	static const struct fact implicit[] = {
		{ "a.example", DNS_MX, "b.example c.example d.example : ", DNS_NODATA },
		{ "d.example", DNS_A, "192.0.2.4" },
		{ NULL },
	};
	struct road r = drive(facts, &usual, "a.example", 1);

	(void)state;
	assert_hops(&r, "mx.example 192.0.2.1:25");
	assert_traced(&r, "MX a.example -> b.example -> c.example -> d.example: 10 mx.example");
	road_free(&r);
	assert_leads(implicit, "a.example", "d.example 192.0.2.4:25");
}

/* ── The MX ──────────────────────────────────────────────────────────────────────────────────── */

static void
the_least_preference_goes_first(void **state)
{
	static const struct fact facts[] = {
		{ "example.org", DNS_MX,
			"300 c.example, 30 a.example, 20 b.example, 10 a.example, 40 b.example" },
		{ "a.example", DNS_A, "192.0.2.1" },
		{ "b.example", DNS_A, "192.0.2.2" },
		{ "c.example", DNS_A, "192.0.2.3" },
		{ NULL },
	};

	(void)state;
	assert_leads(facts, "example.org",
		"a.example 192.0.2.1:25, b.example 192.0.2.2:25, c.example 192.0.2.3:25");
}

static void
the_seed_shuffles_equal_ones(void **state)
{
	static const struct fact facts[] = {
		{ "example.org", DNS_MX, "10 a.example, 10 b.example, 20 c.example" },
		{ "a.example", DNS_A, "192.0.2.1" },
		{ "b.example", DNS_A, "192.0.2.2" },
		{ "c.example", DNS_A, "192.0.2.3" },
		{ NULL },
	};
	/* The same hosts in another order of the packet. */
	struct fact turned[] = { facts[0], facts[1], facts[2], facts[3], facts[4] };
	unsigned a_first = 0;

	(void)state;
	turned[0].values = "20 c.example, 10 b.example, 10 a.example";
	for (uint64_t seed = 0; seed < 400; seed++) {
		struct road r = drive(facts, &usual, "example.org", seed);
		struct road again = drive(turned, &usual, "example.org", seed);
		struct str hops = buf_str(&r.hops);
		struct hop h;

		assert_str(buf_str(&again.hops), hops);
		assert_true(hop_scan(&hops, &h));
		a_first += str_eq(h.host, S("a.example"));
		assert_true(hop_scan(&hops, &h) && hop_scan(&hops, &h));
		assert_str(h.host, S("c.example"));
		road_free(&r);
		road_free(&again);
	}
	assert_in_range(a_first, 140, 260);
}

static void
without_mx_the_domain_is_its_own_host(void **state)
{
	static const struct fact facts[] = {
		{ "example.org", DNS_A, "192.0.2.1" },
		{ "example.org", DNS_AAAA, "2001:db8::1" },
		{ "nothing.example", DNS_CNAME, "" },
		{ NULL },
	};

	(void)state;
	assert_leads(
		facts, "example.org", "example.org [2001:db8::1]:25, example.org 192.0.2.1:25");
	assert_fails(facts, "nothing.example", ERR_PERMANENT, ERR_DOMAIN_NO_HOST,
		"nothing.example has neither mail nor web hosts");
}

static void
only_nxdomain_is_permanent(void **state)
{
	static const struct fact facts[] = {
		{ "servfail.example", DNS_MX, "", DNS_SERVFAIL },
		{ "timeout.example", DNS_MX, "", DNS_TIMEOUT },
		{ "bogus.example", DNS_MX, "", DNS_BOGUS },
		{ "malformed.example", DNS_MX, "", DNS_MALFORMED },
		{ NULL },
	};

	(void)state;
	assert_fails(facts, "nowhere.example", ERR_PERMANENT, ERR_DOMAIN_UNKNOWN,
		"nowhere.example does not exist");
	assert_fails(facts, "servfail.example", ERR_TEMPORARY, ERR_DNS, "SERVFAIL");
	assert_fails(facts, "timeout.example", ERR_TEMPORARY, ERR_DNS, "no answer in time");
	assert_fails(facts, "bogus.example", ERR_TEMPORARY, ERR_DNS, "DNSSEC");
	assert_fails(facts, "malformed.example", ERR_TEMPORARY, ERR_DNS, "malformed");
}

static void
null_mx(void **state)
{
	static const struct fact facts[] = {
		{ "example.org", DNS_MX, "0 ." },
		{ "example.org", DNS_A, "192.0.2.9" },
		{ "both.example", DNS_MX, "0 ., 10 mx.example" },
		{ "broken.example", DNS_MX, "0 .", .unusable = 1 },
		{ "mx.example", DNS_A, "192.0.2.1" },
		{ NULL },
	};

	(void)state;
	assert_fails(facts, "example.org", ERR_PERMANENT, ERR_NULL_MX, "takes no mail");
	assert_fails(facts, "broken.example", ERR_PERMANENT, ERR_DOMAIN_NO_HOST, "no MX of broken");
	assert_leads(facts, "both.example", "mx.example 192.0.2.1:25");
}

static void
an_address_is_no_host(void **state)
{
	static const struct fact facts[] = {
		{ "example.org", DNS_MX, "10 192.0.2.7, 20 mx.example" },
		{ "alone.example", DNS_MX, "10 192.0.2.7" },
		{ "alone.example", DNS_A, "192.0.2.8" },
		{ "192.0.2.7", DNS_A, "192.0.2.7" },
		{ "mx.example", DNS_A, "192.0.2.1" },
		{ NULL },
	};
	struct road r = drive(facts, &usual, "example.org", 1);

	(void)state;
	assert_hops(&r, "mx.example 192.0.2.1:25");
	assert_traced(&r, "left out: 10 192.0.2.7, an address");
	road_free(&r);
	assert_fails(facts, "alone.example", ERR_PERMANENT, ERR_DOMAIN_NO_HOST,
		"no MX of alone.example is the name of a host");
}

static void
an_alias_is_taken(void **state)
{
	static const struct fact facts[] = {
		{ "example.org", DNS_MX, "10 mx.example" },
		{ "mx.example", DNS_A, "real.example : 192.0.2.1" },
		{ NULL },
	};
	struct road r = drive(facts, &usual, "example.org", 1);

	(void)state;
	assert_hops(&r, "mx.example 192.0.2.1:25");
	assert_traced(&r, "A mx.example -> real.example: 192.0.2.1 (ttl 3600); an MX should not");
	road_free(&r);
}

static void
only_better_hosts_than_ourselves(void **state)
{
	static const struct fact facts[] = {
		{ "example.org", DNS_MX,
			"10 a.example, 20 Mail.Station.example, 20 b.example, 30 c.example" },
		{ "loop.example", DNS_MX, "20 mail.station.example, 20 b.example, 30 c.example" },
		{ "address.example", DNS_MX, "10 a.example, 20 us.example, 30 c.example" },
		{ "lame.example", DNS_MX, "10 lame.example, 20 us.example" },
		{ "lame.example", DNS_A, "", DNS_SERVFAIL },
		{ "a.example", DNS_A, "192.0.2.1" },
		{ "b.example", DNS_A, "192.0.2.2" },
		{ "c.example", DNS_A, "192.0.2.3" },
		{ "us.example", DNS_A, "192.0.2.50" },
		{ NULL },
	};
	struct hop ours = { .port = 25 };
	struct road_settings settings = usual;

	(void)state;
	assert_true(hop_set_address(&ours, S("192.0.2.50")));
	settings.ours = &ours;
	settings.ours_n = 1;
	assert_leads(facts, "example.org", "a.example 192.0.2.1:25");
	assert_fails(facts, "loop.example", ERR_PERMANENT, ERR_LOOP,
		"we are the mail host of loop.example");
	assert_leads_by(facts, &settings, "address.example", "a.example 192.0.2.1:25");
	assert_fails_by(facts, &settings, "us.example", ERR_PERMANENT, ERR_LOOP, "us.example");
	assert_fails_by(facts, &settings, "[192.0.2.50]", ERR_PERMANENT, ERR_LOOP, "192.0.2.50");
	assert_fails_by(facts, &settings, "lame.example", ERR_TEMPORARY, ERR_DNS, "does not tell");
	ours.port = 2525; /* somebody else listens on our address */
	assert_leads_by(facts, &settings, "us.example", "us.example 192.0.2.50:25");
}

/* Whether the packet has them best first or best last. */
static void
assert_best_are_asked(bool best_first)
{
	static const struct fact none[] = { { NULL } };
	struct dns_record records[DNS_RECORDS_MAX] = { 0 };
	struct dns_answer answer = {
		.status = DNS_OK, .records = records, .records_n = DNS_RECORDS_MAX
	};
	char names[DNS_RECORDS_MAX][32], want[32];
	struct road_question q;
	unsigned questions = 1;
	struct road r;

	for (unsigned i = 0; i < DNS_RECORDS_MAX; i++) {
		unsigned place = best_first ? i : DNS_RECORDS_MAX - 1 - i;

		snprintf(names[i], sizeof names[i], "mx%u.example", place);
		records[i].name = str_of(names[i]);
		records[i].preference = (uint16_t)place;
	}
	road_begin(&r, &usual, S("example.org"), 1);
	assert_true(road_next(&r, &q));
	assert_int_equal(q.type, DNS_MX);
	assert_false(road_next(&r, &q));
	road_answer(&r, 0, &answer);
	for (; road_next(&r, &q); questions++) {
		snprintf(want, sizeof want, "mx%u.example", (questions - 1) / 2);
		assert_str(q.name, str_of(want));
		look_up(none, &q, records, &answer);
		road_answer(&r, q.number, &answer);
	}
	assert_int_equal(questions, ROAD_QUESTIONS_MAX);
	assert_true(r.is_done);
	assert_int_equal(r.why.kind, ERR_DOMAIN_NO_HOST);
	road_free(&r);
}

static void
many_hosts_are_cut_to_the_best(void **state)
{
	(void)state;
	assert_best_are_asked(true);
	assert_best_are_asked(false);
}

/* ── Addresses ───────────────────────────────────────────────────────────────────────────────── */

static void
families_take_turns(void **state)
{
	static const struct fact facts[] = {
		{ "example.org", DNS_MX, "10 a.example, 20 b.example" },
		{ "a.example", DNS_A, "192.0.2.1, 192.0.2.2, 192.0.2.3" },
		{ "a.example", DNS_AAAA, "2001:db8::1, 2001:db8::2" },
		{ "b.example", DNS_AAAA, "2001:db8::b" },
		{ NULL },
	};

	(void)state;
	assert_leads(facts, "example.org",
		"a.example [2001:db8::1]:25, a.example 192.0.2.1:25, "
		"a.example [2001:db8::2]:25, a.example 192.0.2.2:25, a.example 192.0.2.3:25, "
		"b.example [2001:db8::b]:25");
}

static void
what_is_known_goes_ahead(void **state)
{
	static const struct fact facts[] = {
		{ "example.org", DNS_MX, "10 gone.example, 20 lame.example, 30 half.example" },
		{ "lame.example", DNS_A, "", DNS_SERVFAIL },
		{ "lame.example", DNS_AAAA, "", DNS_TIMEOUT },
		{ "half.example", DNS_AAAA, "", DNS_TIMEOUT },
		{ "half.example", DNS_A, "192.0.2.3" },
		{ "lame.org", DNS_MX, "10 gone.example, 20 lame.example" },
		{ "empty.org", DNS_MX, "10 gone.example, 20 empty.example" },
		{ "empty.example", DNS_CNAME, "" },
		{ NULL },
	};
	struct road r = drive(facts, &usual, "example.org", 1);

	(void)state;
	assert_hops(&r, "half.example 192.0.2.3:25");
	assert_int_equal(r.ttl_s, ROAD_ERROR_TTL_MAX); /* those that failed are asked again soon */
	road_free(&r);
	assert_fails(facts, "lame.org", ERR_TEMPORARY, ERR_DNS, "does not tell now");
	assert_fails(facts, "empty.org", ERR_PERMANENT, ERR_DOMAIN_NO_HOST, "no address");
}

static void
closed_networks_are_left_out(void **state)
{
	static const char *const addresses[] = { "0.0.0.0", "10.1.2.3", "127.0.0.1", "169.254.1.1",
		"172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "224.0.0.1",
		"255.255.255.255", "::", "::1", "::192.0.2.1", "::ffff:10.0.0.1",
		"::ffff:192.0.2.1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "fec0::1",
		"ff02::1" };
	static const char *const open[] = { "192.0.2.1", "172.15.0.1", "172.32.0.1", "100.128.0.1",
		"11.0.0.1", "2001:db8::1", "fbff::1" };
	char domain[64];

	(void)state;
	for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
		bool is_ipv6 = strchr(addresses[i], ':');
		struct fact facts[] = { { "example.org", DNS_MX, "10 mx.example" },
			{ "mx.example", is_ipv6 ? DNS_AAAA : DNS_A, addresses[i] }, { NULL } };

		assert_fails(facts, "example.org", ERR_PERMANENT, ERR_PRIVATE_ADDRESS,
			"closed networks");
		snprintf(domain, sizeof domain, "[%s%s]", is_ipv6 ? "IPv6:" : "", addresses[i]);
		assert_fails(facts, domain, ERR_PERMANENT, ERR_PRIVATE_ADDRESS, "closed networks");
	}
	for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
		struct fact facts[] = { { "open.example", strchr(open[i], ':') ? DNS_AAAA : DNS_A,
						open[i] },
			{ NULL } };
		struct road r = drive(facts, &usual, "open.example", 1);

		assert_false(err_is(&r.why));
		road_free(&r);
	}
}

static void
the_others_of_a_host_stay(void **state)
{
	static const struct fact facts[] = {
		{ "example.org", DNS_MX, "10 mx.example" },
		{ "mx.example", DNS_A, "127.0.0.1, 192.0.2.1, 10.0.0.1" },
		{ NULL },
	};
	static const struct road_network allowed[] = { { HOP_IPV4, { 10 }, 8 },
		{ HOP_IPV6, { 0 }, 0 } };
	struct road_settings settings = usual;
	struct road r = drive(facts, &usual, "example.org", 1);

	(void)state;
	assert_hops(&r, "mx.example 192.0.2.1:25");
	assert_traced(
		&r, "127.0.0.1 (left out: loopback), 192.0.2.1, 10.0.0.1 (left out: private)");
	road_free(&r);
	settings.allowed = allowed;
	settings.allowed_n = 2;
	assert_leads_by(
		facts, &settings, "example.org", "mx.example 192.0.2.1:25, mx.example 10.0.0.1:25");
	assert_leads_by(facts, &settings, "[IPv6:::1]", "[ipv6:::1] [::1]:25");
}

static void
literals_ask_nothing(void **state)
{
	static const struct fact none[] = { { NULL } };
	static const char *const words[] = { "", "example.org.", "exa mple.org", "a..b",
		"\xc3\xbc.example", "[192.0.2.1", "[IPv6:1]", "[tag:x]" };

	(void)state;
	assert_leads(none, "[192.0.2.1]", "[192.0.2.1] 192.0.2.1:25");
	assert_leads(none, "[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1] [2001:db8::1]:25");
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		assert_fails(none, words[i], ERR_PERMANENT, ERR_DOMAIN_UNKNOWN, "");
}

/* A `via` of the file: one name, its addresses, wherever they lead. */
static void
a_host_of_the_file(void **state)
{
	static const struct fact facts[] = {
		{ "relay.example", DNS_MX, "10 elsewhere.example" },
		{ "relay.example", DNS_A, "127.0.0.1, 192.168.1.1" },
		{ NULL },
	};
	struct road_settings settings = usual;

	(void)state;
	settings.is_host = true;
	settings.port = 2424;
	settings.protocol = HOP_LMTP;
	assert_leads_by(facts, &settings, "Relay.example",
		"relay.example 127.0.0.1:2424, relay.example 192.168.1.1:2424");
	assert_leads_by(facts, &settings, "[127.0.0.1]", "[127.0.0.1] 127.0.0.1:2424");
	assert_fails_by(facts, &settings, "missing.example", ERR_TEMPORARY, ERR_DNS,
		"missing.example, which a route of the file names");
}

/* ── What a hop carries ──────────────────────────────────────────────────────────────────────── */

static void
secure_is_what_is_signed_all_the_way(void **state)
{
	struct fact facts[] = {
		{ "example.org", DNS_MX, "10 mx.example", .is_secure = true },
		{ "mx.example", DNS_AAAA, "2001:db8::1", .is_secure = true },
		{ "mx.example", DNS_A, "192.0.2.1" },
		{ NULL },
	};
	struct road r = drive(facts, &usual, "example.org", 1);
	struct str hops = buf_str(&r.hops);
	struct hop h;

	(void)state;
	assert_true(hop_scan(&hops, &h));
	assert_true(h.is_secure);
	assert_int_equal(h.preference, 10);
	assert_true(hop_scan(&hops, &h));
	assert_false(h.is_secure);
	road_free(&r);
	facts[0].is_secure = false;
	r = drive(facts, &usual, "example.org", 1);
	hops = buf_str(&r.hops);
	assert_true(hop_scan(&hops, &h));
	assert_false(h.is_secure);
	road_free(&r);
}

static void
the_least_ttl_holds(void **state)
{
	static const struct {
		uint32_t mx, address, want;
	} cases[] = { { 900, 600, 600 }, { 500, 600, 500 }, { 1, 600, ROAD_TTL_MIN },
		{ 604800, 604800, ROAD_TTL_MAX } };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct fact facts[] = { { "example.org", DNS_MX, "10 mx.example",
						.ttl_s = cases[i].mx },
			{ "mx.example", DNS_A, "192.0.2.1", .ttl_s = cases[i].address }, { NULL } };
		struct road r = drive(facts, &usual, "example.org", 1);

		assert_int_equal(r.ttl_s, cases[i].want);
		road_free(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_domain_is_an_alias),
		cmocka_unit_test(a_chain_of_three),
		cmocka_unit_test(the_least_preference_goes_first),
		cmocka_unit_test(the_seed_shuffles_equal_ones),
		cmocka_unit_test(without_mx_the_domain_is_its_own_host),
		cmocka_unit_test(only_nxdomain_is_permanent),
		cmocka_unit_test(null_mx),
		cmocka_unit_test(an_address_is_no_host),
		cmocka_unit_test(an_alias_is_taken),
		cmocka_unit_test(only_better_hosts_than_ourselves),
		cmocka_unit_test(many_hosts_are_cut_to_the_best),
		cmocka_unit_test(families_take_turns),
		cmocka_unit_test(what_is_known_goes_ahead),
		cmocka_unit_test(closed_networks_are_left_out),
		cmocka_unit_test(the_others_of_a_host_stay),
		cmocka_unit_test(literals_ask_nothing),
		cmocka_unit_test(a_host_of_the_file),
		cmocka_unit_test(secure_is_what_is_signed_all_the_way),
		cmocka_unit_test(the_least_ttl_holds),
	};

	return cmocka_run_group_tests_name("route/road", tests, NULL, NULL);
}
