/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/buf.h"
#include "route/dns.h"

/* A packet under construction. Names are written with dots; "\1" and the like pass as they are. */
struct packet {
	struct buf octets;
};

enum { QUESTIONS = 4, ANSWERS = 6, AUTHORITIES = 8, IN = 1, SOA = 6, TXT = 16 };

static void
add_number(struct packet *p, size_t octets, uint64_t value)
{
	while (octets-- > 0)
		buf_add_char(&p->octets, (char)(value >> 8 * octets));
}

static void
add_name(struct packet *p, struct str name)
{
	struct str label;

	while (name.n) {
		str_cut(name, '.', &label, &name);
		add_number(p, 1, (uint32_t)label.n);
		buf_add(&p->octets, label);
	}
	add_number(p, 1, 0);
}

static void
count(struct packet *p, size_t section)
{
	p->octets.p[section + 1]++;
}

/* The header and the question; flags without the response bit's usual company. */
static struct packet
begin(uint32_t flags, const char *name, enum dns_type type)
{
	struct packet p = { .octets.max = 1 << 17 };

	add_number(&p, 2, 4711);
	add_number(&p, 2, flags);
	add_number(&p, 8, 0); /* nothing in any section */
	add_name(&p, str_of(name));
	add_number(&p, 2, type);
	add_number(&p, 2, IN);
	count(&p, QUESTIONS);
	return p;
}

enum { OK = 0x8180, NXDOMAIN = 0x8183, SERVFAIL = 0x8182, REFUSED = 0x8185 };

/* A record up to its data; `data` octets of it follow. */
static void
add_record(struct packet *p, size_t section, const char *owner, uint32_t type, uint32_t ttl_s,
	struct str data)
{
	add_name(p, str_of(owner));
	add_number(p, 2, type);
	add_number(p, 2, IN);
	add_number(p, 4, ttl_s);
	add_number(p, 2, (uint32_t)data.n);
	buf_add(&p->octets, data);
	count(p, section);
}

static void
add_mx(struct packet *p, const char *owner, uint32_t ttl_s, uint32_t preference, struct str host)
{
	struct packet data = { .octets.max = 512 };

	add_number(&data, 2, preference);
	add_name(&data, host);
	add_record(p, ANSWERS, owner, DNS_MX, ttl_s, buf_str(&data.octets));
	buf_free(&data.octets);
}

static void
add_alias(struct packet *p, const char *owner, uint32_t ttl_s, const char *target)
{
	struct packet data = { .octets.max = 512 };

	add_name(&data, str_of(target));
	add_record(p, ANSWERS, owner, DNS_CNAME, ttl_s, buf_str(&data.octets));
	buf_free(&data.octets);
}

static void
add_soa(struct packet *p, uint32_t ttl_s, uint32_t minimum)
{
	struct packet data = { .octets.max = 512 };

	add_name(&data, S("ns.example.org"));
	add_name(&data, S("root.example.org"));
	add_number(&data, 8, 0);
	add_number(&data, 8, 0);
	add_number(&data, 4, minimum);
	add_record(p, AUTHORITIES, "example.org", SOA, ttl_s, buf_str(&data.octets));
	buf_free(&data.octets);
}

static struct arena arena = { .max = DNS_ANSWER_MAX };

/* What the packet says about the name it was begun with; gives the packet back. */
static struct dns_answer
read_as(struct packet *p, const char *name, enum dns_type type)
{
	struct dns_answer answer;

	arena_free(&arena);
	dns_read(buf_str(&p->octets), str_of(name), type, &arena, &answer);
	buf_free(&p->octets);
	return answer;
}

static void
mail_hosts_are_read(void **state)
{
	struct packet p = begin(OK, "Example.ORG", DNS_MX);
	struct dns_answer a;

	(void)state;
	add_mx(&p, "example.org", 600, 10, S("MX1.Example.org"));
	add_mx(&p, "EXAMPLE.org", 300, 20, S("mx_2.example.net"));
	add_mx(&p, "example.org", 900, 0, S(""));
	a = read_as(&p, "example.org", DNS_MX);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.records_n, 3);
	assert_str(a.records[0].name, S("mx1.example.org"));
	assert_int_equal(a.records[0].preference, 10);
	assert_str(a.records[1].name, S("mx_2.example.net"));
	assert_str(a.records[2].name, S(""));
	assert_int_equal(a.ttl_s, 300);
	assert_int_equal(a.aliases, 0);
	assert_false(a.is_secure);
}

static void
addresses_are_read(void **state)
{
	struct packet p = begin(OK, "mx.example.org", DNS_A);
	struct dns_answer a;

	(void)state;
	add_record(&p, ANSWERS, "mx.example.org", DNS_A, 60, S("\xc0\x00\x02\x01"));
	add_record(&p, ANSWERS, "mx.example.org", DNS_A, 60, S("\xc0\x00\x02")); /* broken */
	a = read_as(&p, "mx.example.org", DNS_A);
	assert_int_equal(a.records_n, 1);
	assert_int_equal(a.unusable, 1);
	assert_memory_equal(a.records[0].address, "\xc0\x00\x02\x01", 4);

	p = begin(OK, "mx.example.org", DNS_AAAA);
	add_record(&p, ANSWERS, "mx.example.org", DNS_AAAA, 60, S("0123456789abcdef"));
	a = read_as(&p, "mx.example.org", DNS_AAAA);
	assert_int_equal(a.records_n, 1);
	assert_memory_equal(a.records[0].address, "0123456789abcdef", 16);
}

/* What is asked about a client: the names of its address, and the words of a list. */
static void
names_and_texts_are_read(void **state)
{
	struct packet p = begin(OK, "1.2.0.192.in-addr.arpa", DNS_PTR),
		      host = { .octets.max = 512 };
	struct dns_answer a;

	(void)state;
	add_alias(&p, "1.2.0.192.in-addr.arpa", 60, "1.0/25.2.0.192.in-addr.arpa"); /* RFC 2317 */
	add_name(&host, S("Mail.Example.org"));
	add_record(&p, ANSWERS, "1.0/25.2.0.192.in-addr.arpa", DNS_PTR, 60, buf_str(&host.octets));
	add_record(&p, ANSWERS, "1.0/25.2.0.192.in-addr.arpa", DNS_PTR, 60, S("\3a b\0"));
	a = read_as(&p, "1.2.0.192.in-addr.arpa", DNS_PTR);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.records_n, 1);
	assert_int_equal(a.unusable, 1);
	assert_str(a.records[0].name, S("mail.example.org"));

	p = begin(OK, "x.bl.test", DNS_TXT);
	add_record(&p, ANSWERS, "x.bl.test", DNS_TXT, 60, S("\4see \0\5there"));
	add_record(&p, ANSWERS, "x.bl.test", DNS_TXT, 60, S("\11cut")); /* longer than its record */
	a = read_as(&p, "x.bl.test", DNS_TXT);
	assert_int_equal(a.records_n, 1);
	assert_str(a.records[0].name, S("see there"));
	buf_free(&host.octets);
}

static void
addresses_are_turned_round(void **state)
{
	const unsigned char six[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 0x1f };
	struct buf to = { .max = 256 };

	(void)state;
	dns_add_turned(&to, (const unsigned char[]){ 192, 0, 2, 99 }, 4, S("bl.test"));
	assert_str(buf_str(&to), S("99.2.0.192.bl.test"));
	buf_reset(&to);
	dns_add_turned(&to, six, 16, S("bl.test"));
	assert_str(buf_str(&to),
		S("f.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test"));
	buf_free(&to);
}

/* Three aliases, in an order that is not theirs. */
static void
aliases_are_followed(void **state)
{
	struct packet p = begin(OK, "a.example", DNS_MX);
	struct dns_answer a;

	(void)state;
	add_mx(&p, "d.example", 500, 10, S("mx.example"));
	add_alias(&p, "c.example", 400, "d.example");
	add_alias(&p, "b.example", 70, "c.example");
	add_alias(&p, "a.example", 400, "B.example");
	a = read_as(&p, "a.example", DNS_MX);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.aliases, 3);
	assert_str(a.chain[0], S("b.example"));
	assert_str(a.chain[1], S("c.example"));
	assert_str(a.chain[2], S("d.example"));
	assert_str(a.records[0].name, S("mx.example"));
	assert_int_equal(a.ttl_s, 70);

	p = begin(OK, "a.example", DNS_MX);
	add_alias(&p, "a.example", 400, "b.example");
	a = read_as(&p, "a.example", DNS_MX);
	assert_int_equal(a.status, DNS_NODATA);
	assert_str(a.chain[0], S("b.example"));

	p = begin(NXDOMAIN, "a.example", DNS_MX);
	add_alias(&p, "a.example", 400, "b.example");
	a = read_as(&p, "a.example", DNS_MX);
	assert_int_equal(a.status, DNS_NXDOMAIN);
	assert_int_equal(a.aliases, 1);
}

static void
aliases_without_end_are_refused(void **state)
{
	struct packet p = begin(OK, "a.example", DNS_MX);
	char from[] = "a.example", to[] = "b.example";

	(void)state;
	add_alias(&p, "a.example", 400, "b.example");
	add_alias(&p, "b.example", 400, "a.example");
	assert_int_equal(read_as(&p, "a.example", DNS_MX).status, DNS_SERVFAIL);

	p = begin(OK, "a.example", DNS_MX);
	add_alias(&p, "a.example", 400, "a.example");
	assert_int_equal(read_as(&p, "a.example", DNS_MX).status, DNS_SERVFAIL);

	p = begin(OK, "a.example", DNS_MX);
	add_alias(&p, "a.example", 400, "b c.example");
	assert_int_equal(read_as(&p, "a.example", DNS_MX).status, DNS_SERVFAIL);

	for (int length = DNS_CHAIN_MAX; length <= DNS_CHAIN_MAX + 1; length++) {
		p = begin(OK, "a.example", DNS_MX);
		for (int i = 0; i < length; i++) {
			from[0] = (char)('a' + i);
			to[0] = (char)('b' + i);
			add_alias(&p, from, 400, to);
		}
		assert_int_equal(read_as(&p, "a.example", DNS_MX).status,
			length == DNS_CHAIN_MAX ? DNS_NODATA : DNS_SERVFAIL);
	}
}

static void
a_no_has_its_time(void **state)
{
	static const struct {
		uint32_t flags;
		enum dns_status status;
	} noes[] = { { OK, DNS_NODATA }, { NXDOMAIN, DNS_NXDOMAIN } };
	struct dns_answer a;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct packet p = begin(noes[i].flags, "example.org", DNS_MX);

		add_soa(&p, 200, 100);
		a = read_as(&p, "example.org", DNS_MX);
		assert_int_equal(a.status, noes[i].status);
		assert_int_equal(a.ttl_s, 100);
		p = begin(noes[i].flags, "example.org", DNS_MX);
		add_soa(&p, 86400, 86400);
		assert_int_equal(read_as(&p, "example.org", DNS_MX).ttl_s, DNS_NEGATIVE_TTL_MAX);
		p = begin(noes[i].flags, "example.org", DNS_MX);
		assert_int_equal(read_as(&p, "example.org", DNS_MX).ttl_s, 0);
	}
}

static void
other_codes_are_failures(void **state)
{
	struct packet p = begin(SERVFAIL, "example.org", DNS_MX);

	(void)state;
	add_mx(&p, "example.org", 300, 10, S("mx.example.org"));
	assert_int_equal(read_as(&p, "example.org", DNS_MX).status, DNS_SERVFAIL);
	p = begin(REFUSED, "example.org", DNS_MX);
	assert_int_equal(read_as(&p, "example.org", DNS_MX).status, DNS_SERVFAIL);
}

/* A host cannot be called so: the record goes, its neighbours stay. */
static void
names_that_lie_are_left_out(void **state)
{
	static const struct str names[] = { { "m\0x.example.org", 15 }, { "m\nx.example.org", 15 },
		{ "m x.example.org", 15 }, { "m\x1bx.example.org", 15 },
		{ "m\xc3\xbcx.example", 13 }, { "[192]", 5 }, { "m\"x.example", 11 } };
	struct packet p = begin(OK, "example.org", DNS_MX);
	struct packet data = { .octets.max = 64 };
	struct dns_answer a;

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		add_mx(&p, "example.org", 300, 1, names[i]);
	add_mx(&p, "example.org", 300, 10, S("mx.example.org"));
	add_number(&data, 2, 10); /* a dot inside a label is not a dot between two */
	buf_add(&data.octets, S("\x06mx.org"));
	add_number(&data, 1, 0);
	add_record(&p, ANSWERS, "example.org", DNS_MX, 300, buf_str(&data.octets));
	buf_free(&data.octets);
	a = read_as(&p, "example.org", DNS_MX);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.unusable, sizeof names / sizeof names[0] + 1);
	assert_int_equal(a.records_n, 1);
	assert_str(a.records[0].name, S("mx.example.org"));

	/* All of them: there are MX, so the domain is not its own host. */
	p = begin(OK, "example.org", DNS_MX);
	add_mx(&p, "example.org", 300, 1, names[0]);
	a = read_as(&p, "example.org", DNS_MX);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.records_n, 0);
}

static void
records_of_others_do_not_count(void **state)
{
	struct packet p = begin(OK, "example.org", DNS_MX);
	struct dns_answer a;

	(void)state;
	add_mx(&p, "example.net", 5, 1, S("mx.example.net"));
	add_record(&p, ANSWERS, "example.org", TXT, 5, S("\x01x"));
	add_mx(&p, "example.org", 300, 10, S("mx.example.org"));
	add_mx(&p, "www.example.org", 5, 1, S("mx.example.net"));
	a = read_as(&p, "example.org", DNS_MX);
	assert_int_equal(a.records_n, 1);
	assert_str(a.records[0].name, S("mx.example.org"));
	assert_int_equal(a.ttl_s, 300);

	p = begin(OK, "example.org", DNS_MX);
	add_mx(&p, "example.net", 5, 1, S("mx.example.net"));
	assert_int_equal(read_as(&p, "example.org", DNS_MX).status, DNS_MALFORMED);
}

static void
answers_to_something_else_are_malformed(void **state)
{
	static const uint32_t flags[] = { 0x0100, 0x8380,
		0xa180 }; /* a question; cut off; UPDATE */
	struct packet p = begin(OK, "example.net", DNS_MX);

	(void)state;
	add_mx(&p, "example.org", 300, 10, S("mx.example.org"));
	assert_int_equal(read_as(&p, "example.org", DNS_MX).status, DNS_MALFORMED);
	p = begin(OK, "example.org", DNS_A);
	add_mx(&p, "example.org", 300, 10, S("mx.example.org"));
	assert_int_equal(read_as(&p, "example.org", DNS_MX).status, DNS_MALFORMED);
	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
		p = begin(flags[i], "example.org", DNS_MX);
		add_mx(&p, "example.org", 300, 10, S("mx.example.org"));
		assert_int_equal(read_as(&p, "example.org", DNS_MX).status, DNS_MALFORMED);
	}
	p = begin(OK, "example.org", DNS_MX);
	p.octets.p[QUESTIONS + 1] = 2;
	assert_int_equal(read_as(&p, "example.org", DNS_MX).status, DNS_MALFORMED);
}

static void
a_packet_cut_anywhere_is_malformed(void **state)
{
	struct packet p = begin(OK, "example.org", DNS_MX);
	struct dns_answer a;

	(void)state;
	add_alias(&p, "example.org", 300, "b.example.org");
	add_mx(&p, "b.example.org", 300, 10, S("mx.example.org"));
	add_soa(&p, 300, 300);
	for (size_t cut = 0; cut < p.octets.n; cut++) {
		arena_free(&arena);
		dns_read(
			str_part(buf_str(&p.octets), 0, cut), S("example.org"), DNS_MX, &arena, &a);
		assert_int_equal(a.status, DNS_MALFORMED);
		assert_int_equal(a.records_n, 0);
	}
	assert_int_equal(read_as(&p, "example.org", DNS_MX).status, DNS_OK);
}

/* An MX whose host is these octets. */
static struct dns_answer
read_host(struct str wire)
{
	struct packet p = begin(OK, "example.org", DNS_MX), data = { .octets.max = 512 };

	add_number(&data, 2, 10);
	buf_add(&data.octets, wire);
	add_record(&p, ANSWERS, "example.org", DNS_MX, 300, buf_str(&data.octets));
	buf_free(&data.octets);
	return read_as(&p, "example.org", DNS_MX);
}

static void
pointers_lead_back_and_end(void **state)
{
	/* The question's name stands at 12, behind it "org" at 20; the data of the first record
	 * begins at 29 + 23 octets, its name two later. */
	struct dns_answer a = read_host(S("\x02mx\xc0\x0c"));
	struct packet p;

	(void)state;
	assert_int_equal(a.records_n, 1);
	assert_str(a.records[0].name, S("mx.example.org"));
	assert_str(read_host(S("\x02mx\xc0\x14")).records[0].name, S("mx.org"));

	assert_int_equal(read_host(S("\xc0\x36")).unusable, 1);		 /* at itself */
	assert_int_equal(read_host(S("\x01x\xc0\x36")).unusable, 1);	 /* round */
	assert_int_equal(read_host(S("\xc0\x38\x01x\x00")).unusable, 1); /* forward */
	assert_int_equal(read_host(S("\xff\xff")).unusable, 1);		 /* out of the packet */
	assert_int_equal(read_host(S("\x80\x0c")).unusable, 1);		 /* no such kind of label */
	assert_int_equal(read_host(S("\x02mx\x00more")).unusable, 1);	 /* more than a name */
	assert_int_equal(read_host(S("\x05mx")).unusable, 1);		 /* less */
	assert_int_equal(read_host(S("\xc0")).unusable, 1);

	/* An owner that points to itself breaks the packet, not one record. */
	p = begin(OK, "example.org", DNS_MX);
	add_number(&p, 2, 0xc000 | (uint32_t)p.octets.n);
	add_number(&p, 8, 0);
	add_number(&p, 2, 0);
	count(&p, ANSWERS);
	assert_int_equal(read_as(&p, "example.org", DNS_MX).status, DNS_MALFORMED);
}

static void
long_names_are_refused(void **state)
{
	char label[64] = { 63 }, wire[300] = { 0 };
	struct buf name = { .max = 512 };

	(void)state;
	memset(label + 1, 'x', 63);
	for (int i = 0; i < 3; i++)
		buf_add(&name, (struct str){ label, sizeof label });
	memcpy(wire, name.p, name.n);
	wire[192] = 61; /* 3 * 64 + 62 + 1 = 255 octets: RFC 1035 §2.3.4 */
	memset(wire + 193, 'y', 61);
	assert_int_equal(read_host((struct str){ wire, 255 }).records[0].name.n, DNS_NAME_MAX);
	wire[192] = 62;
	memset(wire + 193, 'y', 62);
	wire[255] = 0;
	assert_int_equal(read_host((struct str){ wire, 256 }).unusable, 1);
	buf_free(&name);
}

/* 64 KiB of records: as many as may be, and the word that there were more. */
static void
many_records_are_cut(void **state)
{
	struct packet p = begin(OK, "example.org", DNS_MX);
	struct dns_answer a;
	unsigned n = 0;

	(void)state;
	while (p.octets.n + 64 < 65536) {
		char host[64];

		snprintf(host, sizeof host, "mx%u.example.org", n++);
		add_mx(&p, "example.org", 300, 10, str_of(host));
	}
	p.octets.p[ANSWERS] = (char)(n >> 8);
	p.octets.p[ANSWERS + 1] = (char)n;
	a = read_as(&p, "example.org", DNS_MX);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.records_n, DNS_RECORDS_MAX);
	assert_true(a.was_cut);
}

/* The longest names, in the greatest number, fit into what is promised. */
static void
the_largest_answer_fits(void **state)
{
	struct packet p = begin(OK, "example.org", DNS_MX);
	struct buf host = { .max = 512 };
	struct dns_answer a;

	(void)state;
	for (int i = 0; i < 126; i++)
		buf_add(&host, S("x."));
	buf_add_char(&host, 'x');
	assert_int_equal(host.n, DNS_NAME_MAX);
	for (int i = 0; i < DNS_RECORDS_MAX + 1; i++)
		add_mx(&p, "example.org", 300, 10, buf_str(&host));
	a = read_as(&p, "example.org", DNS_MX);
	assert_int_equal(a.records_n, DNS_RECORDS_MAX);
	assert_int_equal(a.unusable, 0);
	buf_free(&host);
}

static void
ttl_above_31_bits_is_zero(void **state)
{
	struct packet p = begin(OK, "example.org", DNS_MX);

	(void)state;
	add_mx(&p, "example.org", 0x80000000, 10, S("mx.example.org"));
	assert_int_equal(read_as(&p, "example.org", DNS_MX).ttl_s, 0);
}

static void
names_that_are_valid(void **state)
{
	(void)state;
	assert_true(dns_name_is_valid(S("example.org")));
	assert_true(dns_name_is_valid(S("xn--fsq.example")));
	assert_true(dns_name_is_valid(S("_dmarc.example.org")));
	assert_true(dns_name_is_valid(S("localhost")));
	assert_false(dns_name_is_valid(S("")));
	assert_false(dns_name_is_valid(S(".")));
	assert_false(dns_name_is_valid(S("example.org.")));
	assert_false(dns_name_is_valid(S(".example.org")));
	assert_false(dns_name_is_valid(S("a..b")));
	assert_false(dns_name_is_valid(S("a b")));
	assert_false(dns_name_is_valid(S("a\0b")));
	assert_false(dns_name_is_valid(S("b\xc3\xbc"
					 "cher.example")));
	assert_false(dns_name_is_valid(
		S("0123456789012345678901234567890123456789012345678901234567890123.org")));
}

static int
give_back(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_hosts_are_read),
		cmocka_unit_test(addresses_are_read),
		cmocka_unit_test(names_and_texts_are_read),
		cmocka_unit_test(addresses_are_turned_round),
		cmocka_unit_test(aliases_are_followed),
		cmocka_unit_test(aliases_without_end_are_refused),
		cmocka_unit_test(a_no_has_its_time),
		cmocka_unit_test(other_codes_are_failures),
		cmocka_unit_test(names_that_lie_are_left_out),
		cmocka_unit_test(records_of_others_do_not_count),
		cmocka_unit_test(answers_to_something_else_are_malformed),
		cmocka_unit_test(a_packet_cut_anywhere_is_malformed),
		cmocka_unit_test(pointers_lead_back_and_end),
		cmocka_unit_test(long_names_are_refused),
		cmocka_unit_test(many_records_are_cut),
		cmocka_unit_test(the_largest_answer_fits),
		cmocka_unit_test(ttl_above_31_bits_is_zero),
		cmocka_unit_test(names_that_are_valid),
	};

	return cmocka_run_group_tests_name("route/dns", tests, NULL, give_back);
}
