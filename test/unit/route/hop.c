/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "route/hop.h"

static void
assert_address(const char *text, enum hop_family family, const char *want)
{
	struct hop h = { 0 };
	struct buf got = { .max = 64 };

	if (!hop_set_address(&h, str_of(text)))
		fail_msg("%s is an address", text);
	assert_int_equal(h.family, family);
	hop_add_address(&got, h.family, h.address);
	assert_str(buf_str(&got), str_of(want));
	buf_free(&got);
}

/* What is read in any form is written in one: RFC 5952. */
static void
addresses_have_one_form(void **state)
{
	(void)state;
	assert_address("192.0.2.1", HOP_IPV4, "192.0.2.1");
	assert_address("255.255.255.255", HOP_IPV4, "255.255.255.255");
	assert_address("::", HOP_IPV6, "::");
	assert_address("::1", HOP_IPV6, "::1");
	assert_address("1::", HOP_IPV6, "1::");
	assert_address("2001:DB8::0001", HOP_IPV6, "2001:db8::1");
	assert_address("2001:db8:0:0:1:0:0:1", HOP_IPV6, "2001:db8::1:0:0:1");
	assert_address("2001:db8:0:1:1:1:1:1", HOP_IPV6, "2001:db8:0:1:1:1:1:1");
	assert_address("1:0:0:2:0:0:0:3", HOP_IPV6, "1:0:0:2::3");
	assert_address("1:2:3:4:5:6:7::", HOP_IPV6, "1:2:3:4:5:6:7:0");
	assert_address("1:2:3:4:5:6:7:8", HOP_IPV6, "1:2:3:4:5:6:7:8");
	assert_address("::ffff:192.0.2.1", HOP_IPV6, "::ffff:c000:201");
	assert_address("1:2:3:4:5:6:192.0.2.1", HOP_IPV6, "1:2:3:4:5:6:c000:201");
}

static void
others_are_no_addresses(void **state)
{
	static const char *const texts[] = { "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256",
		"1.2.3.0004", "1..2.3", "1.2.3.4 ", " 1.2.3.4", ":", ":::", "1:2", "1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1::2::3", ":1::2",
		"1::2:", "12345::", "g::", "::1.2.3", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:5",
		"1::%eth0", "[::1]", "192.0.2.1:25" };

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct hop h = { .family = HOP_UNIX, .port = 25 };

		if (hop_set_address(&h, str_of(texts[i])))
			fail_msg("%s is no address", texts[i]);
		assert_int_equal(h.family, HOP_UNIX);
	}
}

static void
literals_need_their_tag(void **state)
{
	struct hop h = { 0 };

	(void)state;
	assert_true(hop_set_literal(&h, S("[192.0.2.1]")));
	assert_int_equal(h.family, HOP_IPV4);
	assert_true(hop_set_literal(&h, S("[IPv6:2001:db8::1]")));
	assert_int_equal(h.family, HOP_IPV6);
	assert_true(hop_set_literal(&h, S("[ipv6:::1]")));
	assert_false(hop_set_literal(&h, S("[2001:db8::1]")));
	assert_false(hop_set_literal(&h, S("[IPv6:192.0.2.1]")));
	assert_false(hop_set_literal(&h, S("[192.0.2.1")));
	assert_false(hop_set_literal(&h, S("[192.0.2.1]x")));
	assert_false(hop_set_literal(&h, S("192.0.2.1")));
	assert_false(hop_set_literal(&h, S("[]")));
}

static void
assert_text(struct hop h, struct str want)
{
	struct buf got = { .max = 256 };

	hop_add_text(&got, &h);
	assert_str(buf_str(&got), want);
	buf_free(&got);
}

static void
people_read_a_hop(void **state)
{
	struct hop four = { .port = 25 }, six = { .port = 2525 };

	(void)state;
	assert_true(hop_set_address(&four, S("192.0.2.1")));
	assert_true(hop_set_address(&six, S("2001:db8::1")));
	assert_text(four, S("192.0.2.1:25"));
	assert_text(six, S("[2001:db8::1]:2525"));
	assert_text(
		(struct hop){ .family = HOP_UNIX, .host = S("/run/lmtp") }, S("unix:/run/lmtp"));
	assert_text((struct hop){ .family = HOP_UNIX, .host = S("/run/a\nb") }, S("unix:/run/a?b"));
}

/* Whole, or not at all: from a packet cut anywhere nothing is taken. */
static void
a_hop_travels(void **state)
{
	struct hop sent = { .host = S("mx.example.org"),
		.protocol = HOP_LMTP,
		.port = 24,
		.preference = 10,
		.is_secure = true },
		   got;
	struct buf packed = { .max = 1024 };
	struct str in;

	(void)state;
	assert_true(hop_set_address(&sent, S("2001:db8::1")));
	hop_add(&packed, &sent);
	for (size_t cut = 0; cut < packed.n; cut++) {
		in = str_part(buf_str(&packed), 0, cut);
		assert_false(hop_scan(&in, &got));
		assert_int_equal(in.n, cut);
	}
	in = buf_str(&packed);
	assert_true(hop_scan(&in, &got));
	assert_int_equal(in.n, 0);
	assert_str(got.host, sent.host);
	assert_int_equal(got.family, HOP_IPV6);
	assert_int_equal(got.protocol, HOP_LMTP);
	assert_memory_equal(got.address, sent.address, 16);
	assert_int_equal(got.port, 24);
	assert_int_equal(got.preference, 10);
	assert_true(got.is_secure);

	packed.p[4 + sent.host.n] = 5; /* no family */
	in = buf_str(&packed);
	assert_false(hop_scan(&in, &got));
	buf_free(&packed);
}

static void
a_step_travels(void **state)
{
	struct step sent = { .host = S("mx.example.org"),
		.address = S("192.0.2.1:25"),
		.stage = 3,
		.took_ms = 1234,
		.tls = S("TLSv1.3, verified") },
		    got;
	struct buf packed = { .max = 1024 };
	struct str in;

	(void)state;
	err_set(&sent.err, ERR_TEMPORARY, ERR_REMOTE, "greylisted");
	sent.err.code = 451;
	step_add(&packed, &sent);
	for (size_t cut = 0; cut < packed.n; cut++) {
		in = str_part(buf_str(&packed), 0, cut);
		assert_false(step_scan(&in, &got));
	}
	in = buf_str(&packed);
	assert_true(step_scan(&in, &got));
	assert_str(got.host, sent.host);
	assert_str(got.address, sent.address);
	assert_int_equal(got.stage, 3);
	assert_int_equal(got.took_ms, 1234);
	assert_str(got.tls, sent.tls);
	assert_int_equal(got.err.code, 451);
	assert_string_equal(got.err.text, "greylisted");
	buf_free(&packed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_have_one_form),
		cmocka_unit_test(others_are_no_addresses),
		cmocka_unit_test(literals_need_their_tag),
		cmocka_unit_test(people_read_a_hop),
		cmocka_unit_test(a_hop_travels),
		cmocka_unit_test(a_step_travels),
	};

	return cmocka_run_group_tests_name("route/hop", tests, NULL, NULL);
}
