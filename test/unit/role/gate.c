/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash.h"
#include "io/ipc.h"
#include "role/receive/crowd.h"
#include "role/receive/manners.h"
#include "unit.h"

/* What the gate remembers, and what it thinks of a client: both without a client. */

enum { NOW = 1000000, DAY = 86400 };

static int
make_table(void)
{
	int fd = memfd_create("table", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, IPC_TABLE_SIZE), 0);
	return fd;
}

/* ── the table ── */

static void
test_connections_are_counted_until_they_end(void **state)
{
	struct crowd *c = crowd_open(-1, 0);

	(void)state;
	for (int i = 0; i < 3; i++)
		crowd_enter(c, S("one"));
	crowd_enter(c, S("two"));
	assert_int_equal(crowd_here(c, S("one")), 3);
	assert_int_equal(crowd_here(c, S("two")), 1);
	assert_int_equal(crowd_here(c, S("three")), 0);
	for (int i = 0; i < 5; i++) /* more often than it came: somebody has scribbled */
		crowd_leave(c, S("one"));
	assert_int_equal(crowd_here(c, S("one")), 0);
	crowd_close(&c);
}

static void
test_receivers_count_together_and_a_dead_one_leaves_nothing(void **state)
{
	int fd = make_table();
	struct crowd *first = crowd_open(fd, 0), *second = crowd_open(fd, 1);

	(void)state;
	crowd_enter(first, S("one"));
	crowd_enter(second, S("one"));
	assert_int_equal(crowd_here(first, S("one")), 2);
	crowd_close(&first); /* it was killed, and counted nothing back */
	first = crowd_open(fd, 0);
	assert_int_equal(crowd_here(first, S("one")), 1);
	assert_int_equal(crowd_here(second, S("one")), 1);
	crowd_close(&first);
	crowd_close(&second);
	close(fd);
}

static void
test_a_crowd_of_strangers_hardly_counts_for_others(void **state)
{
	struct crowd *c = crowd_open(-1, 0);
	unsigned wrong = 0;

	(void)state;
	for (unsigned i = 0; i < 200;
		i++) /* two hundred clients at their limit: 20,000 connections */
		for (unsigned k = 0; k < 100; k++)
			crowd_enter(c, (struct str){ (const char *)&i, sizeof i });
	for (unsigned i = 1000; i < 11000; i++)
		wrong += crowd_here(c, (struct str){ (const char *)&i, sizeof i }) >= 100;
	assert_true(wrong < 20);
	crowd_close(&c);
}

static void
test_memory_ends(void **state)
{
	struct crowd *c = crowd_open(-1, 0);
	struct crowd_memory m = { .since_s = NOW, .until_s = NOW + 60, .count = 7 }, got;

	(void)state;
	crowd_remember(c, CROWD_GREY, S("one"), &m);
	assert_true(crowd_recall(c, CROWD_GREY, S("one"), NOW + 59, &got));
	assert_int_equal(got.count, 7);
	assert_false(crowd_recall(c, CROWD_GREY, S("one"), NOW + 60, &got));
	assert_false(
		crowd_recall(c, CROWD_GREY, S("one"), NOW - 1, &got)); /* the clock was set back */
	assert_false(crowd_recall(c, CROWD_GOOD, S("one"), NOW, &got));
	crowd_close(&c);
}

static void
test_counts_are_of_a_window(void **state)
{
	struct crowd *c = crowd_open(-1, 0);

	(void)state;
	assert_int_equal(crowd_count(c, CROWD_RATE, S("one"), 60, NOW, 1), 1);
	assert_int_equal(crowd_count(c, CROWD_RATE, S("one"), 60, NOW + 30, 2), 3);
	assert_int_equal(crowd_count(c, CROWD_RATE, S("one"), 60, NOW + 59, 0), 3);
	assert_int_equal(crowd_count(c, CROWD_RATE, S("one"), 60, NOW + 60, 1), 1);
	assert_int_equal(
		crowd_count(c, CROWD_RATE, S("one"), 60, NOW + 60, UINT32_MAX), UINT32_MAX);
	crowd_close(&c);
}

static void
test_a_flood_of_strangers_does_not_push_out_the_known(void **state)
{
	struct crowd *c = crowd_open(-1, 0);
	struct crowd_memory known = { .since_s = NOW, .until_s = NOW + 35 * DAY },
			    fresh = { .since_s = NOW, .until_s = NOW + DAY }, got;
	unsigned kept = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		crowd_remember(c, CROWD_GOOD, (struct str){ (const char *)&i, sizeof i }, &known);
	for (unsigned i = 0; i < 500000; i++)
		crowd_remember(c, CROWD_GREY, (struct str){ (const char *)&i, sizeof i }, &fresh);
	for (unsigned i = 0; i < 1000; i++)
		kept += crowd_recall(c, CROWD_GOOD, (struct str){ (const char *)&i, sizeof i },
			NOW + 30 * DAY, &got);
	assert_true(
		kept >=
		999); /* more than four of a thousand in one of 16,384 sets: never in practice */
	crowd_close(&c);
}

static void
test_whatever_stands_in_the_table_is_harmless(void **state)
{
	static unsigned char scribble[65536];
	int fd = make_table();
	struct crowd *c;

	(void)state;
	for (off_t at = 0; at < IPC_TABLE_SIZE; at += (off_t)sizeof scribble) {
		hash_random(scribble, sizeof scribble);
		assert_int_equal(pwrite(fd, scribble, sizeof scribble, at), sizeof scribble);
	}
	c = crowd_open(fd, 255);
	for (unsigned i = 0; i < 10000; i++) {
		struct str key = { (const char *)&i, sizeof i };
		struct crowd_memory m;

		crowd_enter(c, key);
		crowd_here(c, key);
		crowd_leave(c, key);
		crowd_recall(c, CROWD_GOOD, key, NOW, &m);
		assert_true(crowd_count(c, CROWD_FAULT, key, 3600, NOW, 1) > 0);
	}
	crowd_close(&c);
	close(fd);
}

static void
test_a_table_of_another_size_is_not_used(void **state)
{
	int fd = memfd_create("small", MFD_CLOEXEC);
	struct crowd *c = crowd_open(fd, 0);

	(void)state;
	crowd_enter(c, S("one"));
	assert_int_equal(crowd_here(c, S("one")), 1);
	crowd_close(&c);
	close(fd);
}

/* ── manners ── */

static struct config_network
address(const char *text)
{
	struct config_network a;

	assert_true(manners_parse_address(str_of(text), &a));
	return a;
}

static bool
is_same(const char *a, const char *b, enum manners_scope scope)
{
	char one[MANNERS_KEY], other[MANNERS_KEY];
	struct config_network x = address(a), y = address(b);

	return str_eq(manners_key(&x, scope, one), manners_key(&y, scope, other));
}

static void
test_networks(void **state)
{
	(void)state;
	assert_false(is_same("192.0.2.1", "192.0.2.2", MANNERS_CLIENT));
	assert_true(is_same("192.0.2.1", "192.0.2.2", MANNERS_SENDER));
	assert_false(is_same("192.0.2.1", "192.0.3.1", MANNERS_NETWORK));
	assert_true(is_same("2001:db8::1", "2001:db8::2", MANNERS_CLIENT));
	assert_false(is_same("2001:db8::1", "2001:db8:0:1::1", MANNERS_CLIENT));
	assert_true(is_same("2001:db8::1", "2001:db8:0:1::1", MANNERS_NETWORK));
	assert_true(is_same("::ffff:192.0.2.1", "192.0.2.1", MANNERS_CLIENT));
}

static void
test_what_a_client_calls_itself(void **state)
{
	static const struct {
		const char *hello, *address, *fault;
	} cases[] = {
		{ "client.example", "192.0.2.1", NULL },
		{ "[192.0.2.1]", "192.0.2.1", NULL },
		{ "[IPv6:2001:DB8::1]", "2001:db8::1", NULL },
		{ "Mail.Example.ORG", "192.0.2.1", "our own name" },
		{ "localhost", "192.0.2.1", "a bare word" },
		{ "[192.0.2.2]", "192.0.2.1", "not its address" },
		{ "[IPv6:2001:db8::2]", "2001:db8::1", "not its address" },
		{ "[192.0.2.1]", "2001:db8::1", "not its address" },
		{ "[tag:what]", "192.0.2.1", "not an address" },
		{ "192.0.2.1", "192.0.2.1", "an address without brackets" },
	};
	struct config c = { .hostname = S("mail.example.org") };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct config_network a = address(cases[i].address);
		const char *fault = manners_hello_fault(&c, str_of(cases[i].hello), &a);

		assert_str(str_of(fault), str_of(cases[i].fault));
	}
}

static void
test_owners(void **state)
{
	(void)state;
	assert_str(manners_owner(S("mx7.eu.example.org")), S("example.org"));
	assert_str(manners_owner(S("example.org")), S("example.org"));
	assert_str(manners_owner(S("mail.example.co.uk")), S("example.co.uk"));
	assert_str(manners_owner(S("a.b.example.com.cn")), S("example.com.cn"));
	assert_str(manners_owner(S("example.co.uk")), S("example.co.uk"));
	assert_str(manners_owner(S("co.uk")), S("co.uk"));
	assert_str(manners_owner(S("word")), S("word"));
	assert_str(manners_owner(S("")), S(""));
}

static void
test_patience_shrinks_with_room(void **state)
{
	static const struct {
		unsigned sessions;
		int64_t patience_ms;
		unsigned errors;
	} cases[] = {
		{ 0, 300000, 0 },
		{ 49, 300000, 0 },
		{ 50, 60000, 0 },
		{ 80, 10000, 3 },
		{ 95, 10000, 3 },
		{ 1000, 10000, 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		enum manners_stress s = manners_stress(cases[i].sessions, 100);

		assert_int_equal(manners_patience_ms(s, 300000), cases[i].patience_ms);
		assert_int_equal(manners_errors_most(s), cases[i].errors);
	}
	assert_int_equal(manners_stress(94, 100), STRESS_MOST);
	assert_int_equal(manners_stress(95, 100), STRESS_FULL);
	assert_int_equal(manners_patience_ms(STRESS_FULL, 5000), 5000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connections_are_counted_until_they_end),
		cmocka_unit_test(test_receivers_count_together_and_a_dead_one_leaves_nothing),
		cmocka_unit_test(test_a_crowd_of_strangers_hardly_counts_for_others),
		cmocka_unit_test(test_memory_ends),
		cmocka_unit_test(test_counts_are_of_a_window),
		cmocka_unit_test(test_a_flood_of_strangers_does_not_push_out_the_known),
		cmocka_unit_test(test_whatever_stands_in_the_table_is_harmless),
		cmocka_unit_test(test_a_table_of_another_size_is_not_used),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_what_a_client_calls_itself),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_patience_shrinks_with_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
