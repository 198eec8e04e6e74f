/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/ip.h"

static void
assert_reads(const char *text, const char *want)
{
	unsigned char octets[16];
	enum ip_family family;
	struct buf got = { .max = IP_TEXT };

	if (!ip_read(str_of(text), &family, octets))
		fail_msg("%s is an address", text);
	ip_add(&got, family, octets);
	assert_str(buf_str(&got), str_of(want));
	buf_free(&got);
}

static void
what_is_read_is_printed_in_one_form(void **state)
{
	(void)state;
	assert_reads("0.0.0.0", "0.0.0.0");
	assert_reads("255.255.255.255", "255.255.255.255");
	assert_reads("::", "::");
	assert_reads("0:0:0:0:0:0:0:1", "::1");
	assert_reads("2001:0DB8::00a1", "2001:db8::a1");
	assert_reads("1:0:0:2:0:0:0:3", "1:0:0:2::3");	 /* the longest run of zeros … */
	assert_reads("1:0:0:2:3:0:0:4", "1::2:3:0:0:4"); /* … the first of equals … */
	assert_reads(
		"1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"); /* … and never one alone: RFC 5952 §4.2 */
	assert_reads("::ffff:192.0.2.1", "::ffff:c000:201");
	assert_reads("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0");
	assert_reads("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void
others_change_nothing(void **state)
{
	static const char *const texts[] = { "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.04",
		"010.1.2.3", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4/32", ":", ":::", "1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9", "::1:2:3:4:5:6:7:8", "1::2::3", "12345::", "::1.2.3",
		"::1%eth0", "[::1]", "IPv6:::1", "0x7f.0.0.1", "2130706433" };

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		unsigned char octets[16] = { 7 };
		enum ip_family family = IP_V6;

		if (ip_read(str_of(texts[i]), &family, octets))
			fail_msg("%s is no address", texts[i]);
		assert_int_equal(family, IP_V6);
		assert_int_equal(octets[0], 7);
	}
}

static void
the_rest_of_the_octets_is_zero(void **state)
{
	static const unsigned char want[16] = { 192, 0, 2, 1 };
	unsigned char octets[16];
	enum ip_family family;

	(void)state;
	memset(octets, 0xff, sizeof octets);
	assert_true(ip_read(S("192.0.2.1"), &family, octets));
	assert_int_equal(family, IP_V4);
	assert_memory_equal(octets, want, sizeof want);
}

static void
this_machine_is_known(void **state)
{
	static const struct {
		const char *text;
		bool is_loopback;
	} cases[] = { { "127.0.0.1", true }, { "127.255.255.255", true }, { "128.0.0.1", false },
		{ "126.255.255.255", false }, { "::1", true }, { "::", false }, { "1::1", false },
		{ "::ffff:127.0.0.1", true }, { "::ffff:192.0.2.1", false },
		{ "::127.0.0.1", false }, { "7f00::1", false } };
	unsigned char octets[16];
	enum ip_family family;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_true(ip_read(str_of(cases[i].text), &family, octets));
		if (ip_is_loopback(family, octets) != cases[i].is_loopback)
			fail_msg("%s", cases[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_is_printed_in_one_form),
		cmocka_unit_test(others_change_nothing),
		cmocka_unit_test(the_rest_of_the_octets_is_zero),
		cmocka_unit_test(this_machine_is_known),
	};

	return cmocka_run_group_tests_name("base/ip", tests, NULL, NULL);
}
