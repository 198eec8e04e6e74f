/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "smtp/address.h"

/* 64 octets and 63, for the limits. */
#define LOCAL_64 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"
#define LABEL_63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

/* A path as a client may write it, what it means, and what must be left of the line. */
static const struct {
	const char *in, *local, *domain, *rest;
} good[] = {
	{ "<bob@example.org>", "bob", "example.org", "" },
	{ "<Bob@EXAMPLE.org> SIZE=1", "Bob", "EXAMPLE.org", " SIZE=1" },
	{ "bob@example.org SIZE=1", "bob", "example.org", " SIZE=1" },
	{ "bob@example.org", "bob", "example.org", "" },
	{ "<bob@example.org>SIZE=1", "bob", "example.org", "SIZE=1" },
	{ "<@a.example,@[192.0.2.1]:bob@example.org>", "bob", "example.org", "" },
	{ "<\"bob\"@example.org>", "bob", "example.org", "" },
	{ "<\"bo b\\\"\\\\@x\"@example.org>", "bo b\"\\@x", "example.org", "" },
	{ "\"bo b\"@example.org x", "bo b", "example.org", " x" },
	{ "<\"\"@example.org>", "", "example.org", "" },
	{ "<a+b=c/d!#$%&'*-?^_`{|}~@x-1.example>", "a+b=c/d!#$%&'*-?^_`{|}~", "x-1.example", "" },
	{ "<bob@[192.0.2.1]>", "bob", "[192.0.2.1]", "" },
	{ "<bob@[IPv6:2001:db8::1]>", "bob", "[IPv6:2001:db8::1]", "" },
	{ "<bob@[ipv6:::]>", "bob", "[ipv6:::]", "" },
	{ "<bob@[IPv6:1:2:3:4:5:6:192.0.2.1]>", "bob", "[IPv6:1:2:3:4:5:6:192.0.2.1]", "" },
	{ "<PostMaster>", "PostMaster", "", "" },
	{ "postmaster", "postmaster", "", "" },
	{ "<" LOCAL_64 "@example.org>", LOCAL_64, "example.org", "" },
	{ "<bob@" LABEL_63 ".example>", "bob", LABEL_63 ".example", "" },
	{ "<用户@例子.example>", "用户", "例子.example", "" },
	{ "<\"ü ü\"@example.org>", "ü ü", "example.org", "" },
};

static const struct {
	const char *in;
	enum address_problem problem;
} bad[] = {
	{ "", ADDRESS_SYNTAX },
	{ "<>", ADDRESS_SYNTAX },
	{ "<bob>", ADDRESS_SYNTAX },
	{ "<bob@>", ADDRESS_SYNTAX },
	{ "<@example.org>", ADDRESS_SYNTAX },
	{ "<bob@example.org", ADDRESS_SYNTAX },
	{ "bob@example.org>", ADDRESS_SYNTAX },
	{ "<bob@example.org.>", ADDRESS_SYNTAX },
	{ "<bob@.example.org>", ADDRESS_SYNTAX },
	{ "<bob@exa_mple.org>", ADDRESS_SYNTAX },
	{ "<bob@-example.org>", ADDRESS_SYNTAX },
	{ "<bob@example-.org>", ADDRESS_SYNTAX },
	{ "<.bob@example.org>", ADDRESS_SYNTAX },
	{ "<bob.@example.org>", ADDRESS_SYNTAX },
	{ "<bo b@example.org>", ADDRESS_SYNTAX },
	{ "< bob@example.org>", ADDRESS_SYNTAX },
	{ "<bob@example.org >", ADDRESS_SYNTAX },
	{ "<bob@@example.org>", ADDRESS_SYNTAX },
	{ "<\"bob@example.org>", ADDRESS_SYNTAX },
	{ "<\"bob\\\"@example.org>", ADDRESS_SYNTAX },
	{ "<\"b\tb\"@example.org>", ADDRESS_SYNTAX },
	{ "<\"b\\\nb\"@example.org>", ADDRESS_SYNTAX },
	{ "<\"b\"b@example.org>", ADDRESS_SYNTAX },
	{ "<@a.example bob@example.org>", ADDRESS_SYNTAX },
	{ "<bob@[192.0.2.256]>", ADDRESS_SYNTAX },
	{ "<bob@[192.0.2]>", ADDRESS_SYNTAX },
	{ "<bob@[192.0.2.0001]>", ADDRESS_SYNTAX },
	{ "<bob@[192.0.2.1>", ADDRESS_SYNTAX },
	{ "<bob@[]>", ADDRESS_SYNTAX },
	{ "<bob@[IPv6:]>", ADDRESS_SYNTAX },
	{ "<bob@[IPv6:1:2:3:4:5:6:7]>", ADDRESS_SYNTAX },
	{ "<bob@[IPv6:1:2:3:4:5:6:7:8:9]>", ADDRESS_SYNTAX },
	{ "<bob@[IPv6:1::2::3]>", ADDRESS_SYNTAX },
	{ "<bob@[IPv6:1:2:3:4:5:6:7:]>", ADDRESS_SYNTAX },
	{ "<bob@[IPv6:12345::1]>", ADDRESS_SYNTAX },
	{ "<bob@[tag:anything]>", ADDRESS_SYNTAX },
	{ "<bob@" LABEL_63 "x.example>", ADDRESS_SYNTAX },
	{ "<\xff@example.org>", ADDRESS_SYNTAX },
	{ "<bob@\xc3.example>", ADDRESS_SYNTAX },
	{ "<x" LOCAL_64 "@example.org>", ADDRESS_TOO_LONG },
	{ "<\"" LOCAL_64 "\"@example.org>", ADDRESS_TOO_LONG },
	{ "<bob@" LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63 ".xx>", ADDRESS_TOO_LONG },
	{ "<bob@" LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63 ">", ADDRESS_TOO_LONG },
};

static void
test_good_paths(void **state)
{
	struct arena arena = { .max = 4096 };

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct str in = str_of(good[i].in);
		struct address a = { 0 };

		if (address_scan_path(&in, &arena, false, true, &a) != ADDRESS_OK)
			fail_msg("%s is a path", good[i].in);
		if (!str_eq(a.local, str_of(good[i].local)) ||
			!str_eq(a.domain, str_of(good[i].domain)) ||
			!str_eq(in, str_of(good[i].rest)))
			fail_msg("%s means another address", good[i].in);
		arena_free(&arena);
	}
}

static void
test_bad_paths(void **state)
{
	struct arena arena = { .max = 4096 };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct str in = str_of(bad[i].in);
		struct address a;
		enum address_problem p = address_scan_path(&in, &arena, false, true, &a);

		if (p != bad[i].problem)
			fail_msg("%s: problem %d", bad[i].in, p);
		assert_ptr_equal(in.p, bad[i].in); /* left alone */
		arena_free(&arena);
	}
}

static void
test_null_path(void **state)
{
	struct arena arena = { .max = 4096 };
	struct str in = S("<> SIZE=1");
	struct address a = { S("x"), S("y") };

	(void)state;
	assert_int_equal(address_scan_path(&in, &arena, false, false, &a), ADDRESS_SYNTAX);
	assert_int_equal(address_scan_path(&in, &arena, true, false, &a), ADDRESS_OK);
	assert_true(address_is_null(a));
	assert_true(str_eq(in, S(" SIZE=1")));
}

static void
test_utf8_must_be_allowed(void **state)
{
	static const char *const paths[] = { "<ü@example.org>", "<u@exämple.org>",
		"<\"ü\"@x.org>" };
	struct arena arena = { .max = 4096 };
	struct address a;

	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		struct str in = str_of(paths[i]);

		assert_int_equal(
			address_scan_path(&in, &arena, false, false, &a), ADDRESS_NEEDS_UTF8);
		assert_int_equal(address_scan_path(&in, &arena, false, true, &a), ADDRESS_OK);
		assert_false(address_is_ascii(a));
	}
	arena_free(&arena);
}

/* What goes on the wire is read again as the same address, quoted no more than it must be. */
static void
test_written_as_read(void **state)
{
	struct arena arena = { .max = 65536 };
	struct buf text = { .max = 1024 };
	struct address a, again;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct str in = str_of(good[i].in);

		address_scan_path(&in, &arena, false, true, &a);
		buf_reset(&text);
		address_add(&text, a);
		assert_int_equal(address_parse(buf_str(&text), &arena, true, &again), ADDRESS_OK);
		assert_true(str_eq(a.local, again.local) && str_eq(a.domain, again.domain));
	}
	buf_reset(&text);
	address_add(&text, (struct address){ S("bob"), S("example.org") });
	address_add(&text, (struct address){ S("a b\"c"), S("example.org") });
	address_add(&text, (struct address){ S("a..b"), S("example.org") });
	address_add(&text, (struct address){ 0 });
	assert_true(str_eq(
		buf_str(&text), S("bob@example.org\"a b\\\"c\"@example.org\"a..b\"@example.org")));
	buf_free(&text);
	arena_free(&arena);
}

static void
test_parse_takes_the_whole_text(void **state)
{
	struct arena arena = { .max = 4096 };
	struct address a;

	(void)state;
	assert_int_equal(address_parse(S("bob@example.org"), &arena, false, &a), ADDRESS_OK);
	assert_int_equal(address_parse(S("bob@example.org "), &arena, false, &a), ADDRESS_SYNTAX);
	assert_int_equal(address_parse(S("<bob@example.org>"), &arena, false, &a), ADDRESS_SYNTAX);
	assert_int_equal(address_parse(S("bob@example.org\0x"), &arena, false, &a), ADDRESS_SYNTAX);
	arena_free(&arena);
}

static void
test_domains(void **state)
{
	(void)state;
	assert_true(domain_is_valid(S("example.org"), false));
	assert_true(domain_is_valid(S("localhost"), false));
	assert_true(domain_is_valid(S("[127.0.0.1]"), false));
	assert_true(domain_is_valid(S("例子.example"), true));
	assert_false(domain_is_valid(S("例子.example"), false));
	assert_false(domain_is_valid(S(""), true));
	assert_false(domain_is_valid(S("a b"), true));
	assert_false(domain_is_valid(S("example.org."), true));
}

/* A full arena is a refusal, not a crash. */
static void
test_arena_cap(void **state)
{
	struct arena arena = { .max = 8 };
	struct str in = S("<somebody@example.org>");
	struct address a;

	(void)state;
	assert_int_equal(address_scan_path(&in, &arena, false, false, &a), ADDRESS_TOO_LONG);
	arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_paths),
		cmocka_unit_test(test_bad_paths),
		cmocka_unit_test(test_null_path),
		cmocka_unit_test(test_utf8_must_be_allowed),
		cmocka_unit_test(test_written_as_read),
		cmocka_unit_test(test_parse_takes_the_whole_text),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_arena_cap),
	};

	return cmocka_run_group_tests_name("smtp/address", tests, NULL, NULL);
}
