/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/address_table.h"

static struct address_table *
table_of(const struct str *names, size_t n)
{
	struct err e = { 0 };
	int fd = address_table_make(names, n, &e);
	struct address_table *t;

	assert_true(fd >= 0);
	assert_true(address_table_open(&t, fd, &e));
	return t;
}

static void
mailboxes_are_found_in_any_case(void **state)
{
	const struct str names[] = { S("wei@example.org"), S("alice@example.org"),
		S("alice@example.net") };
	struct address_table *t = table_of(names, 3);

	(void)state;
	assert_true(address_table_has(t, S("alice"), S("example.org")));
	assert_true(address_table_has(t, S("ALICE"), S("Example.NET")));
	assert_true(address_table_has(t, S("wei"), S("example.org")));
	assert_false(address_table_has(t, S("wei"), S("example.net")));
	assert_false(address_table_has(t, S(""), S("")));
	assert_false(
		address_table_has(t, (struct str){ (char[1000]){ 'a' }, 1000 }, S("example.org")));
	address_table_close(&t);
	assert_null(t);
}

static void
thousands_are_found_and_no_others(void **state)
{
	enum { N = 5000 };
	struct str *names = calloc(N, sizeof *names);
	char(*texts)[32] = calloc(N, sizeof *texts), other[16];
	struct address_table *t;

	(void)state;
	for (int i = 0; i < N; i++)
		names[i] = (struct str){ texts[i],
			(size_t)snprintf(texts[i], sizeof texts[i], "user%d@example.org", i) };
	t = table_of(names, N);
	for (int i = 0; i < N; i++) {
		assert_true(address_table_has(
			t, str_part(names[i], 0, str_find(names[i], '@')), S("example.org")));
		snprintf(other, sizeof other, "User%d", i + N);
		assert_false(address_table_has(t, str_of(other), S("example.org")));
	}
	address_table_close(&t);
	free(texts);
	free(names);
}

static void
an_empty_house_has_nobody(void **state)
{
	struct address_table *t = table_of(NULL, 0);

	(void)state;
	assert_false(address_table_has(t, S("alice"), S("example.org")));
	address_table_close(&t);
}

static void
it_cannot_be_changed(void **state)
{
	const struct str name = S("alice@example.org");
	struct err e = { 0 };
	int fd = address_table_make(&name, 1, &e);

	(void)state;
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_ptr_equal(mmap(NULL, 40, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	close(fd);
}

static bool
opens(const char *octets, size_t n, int seals)
{
	int fd = memfd_create("t", MFD_ALLOW_SEALING);
	struct address_table *t;
	struct err e = { 0 };
	bool good;

	assert_int_equal(write(fd, octets, n), n);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	good = address_table_open(&t, fd, &e);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_true(good == (t != NULL) && good != err_is(&e));
	address_table_close(&t);
	return good;
}

static void
other_shapes_are_refused(void **state)
{
	static const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	static const char one[40] = "PHADDR01................\x01",
			  two[40] = "PHADDR01................\x02";

	(void)state;
	assert_true(opens(one, 40, all));
	assert_false(opens(one, 40, F_SEAL_SHRINK | F_SEAL_GROW));
	assert_false(opens(one, 39, all));
	assert_false(opens(two, 40, all));
	assert_false(opens("", 0, all));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailboxes_are_found_in_any_case),
		cmocka_unit_test(thousands_are_found_and_no_others),
		cmocka_unit_test(an_empty_house_has_nobody),
		cmocka_unit_test(it_cannot_be_changed),
		cmocka_unit_test(other_shapes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
