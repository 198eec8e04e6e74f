/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/intern.h"

/* Entries, texts and shared texts named by 32 bits. */

static void
test_entries_stay_where_they_are(void **state)
{
	struct pool p = { .entry = 12 };
	uint32_t first = pool_take(&p), name = 0;
	uint32_t *at = pool_at(&p, first);

	(void)state;
	at[0] = 7;
	for (int i = 0; i < 100000; i++)
		name = pool_take(&p);
	assert_ptr_equal(pool_at(&p, first), at);
	assert_int_equal(at[0], 7);
	assert_int_equal(p.live, 100001);
	pool_give(&p, first);
	pool_give(&p, name);
	assert_int_equal(pool_take(&p), name); /* what was given back serves again, */
	assert_int_equal(pool_take(&p), first);
	assert_int_equal(at[0] | at[1] | at[2], 0); /* and is empty */
	assert_int_equal(p.used, 100001);
	pool_free(&p);
}

static void
test_texts_of_any_length(void **state)
{
	struct texts t = { 0 };
	uint32_t names[TEXTS_MAX + 1];
	char octets[TEXTS_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof octets; i++)
		octets[i] = (char)('a' + i % 26);
	for (size_t n = 0; n <= TEXTS_MAX; n++)
		names[n] = texts_add(&t, (struct str){ octets, n });
	assert_int_equal(names[0], 0);
	for (size_t n = 0; n <= TEXTS_MAX; n++)
		assert_str(texts_at(&t, names[n]), ((struct str){ octets, n }));
	texts_drop(&t, names[254]);
	texts_drop(&t, names[100]);
	assert_int_equal(texts_add(&t, (struct str){ octets + 3, 100 }), names[100]);
	assert_str(texts_at(&t, names[100]), ((struct str){ octets + 3, 100 }));
	assert_int_equal(texts_at(&t, texts_add(&t, (struct str){ octets, sizeof octets })).n,
		TEXTS_MAX); /* cut */
	texts_free(&t);
}

static void
test_shared_texts_are_counted(void **state)
{
	struct intern i = { 0 };
	uint32_t a = intern_add(&i, S("example.org")), b = intern_add(&i, S("example.net"));

	(void)state;
	assert_int_not_equal(a, b);
	assert_int_equal(intern_add(&i, S("example.org")), a);
	assert_int_equal(intern_find(&i, S("example.org")), a);
	assert_int_equal(intern_find(&i, S("example.com")), 0);
	intern_drop(&i, a);
	assert_str(intern_at(&i, a), S("example.org"));
	intern_drop(&i, a);
	assert_int_equal(intern_find(&i, S("example.org")), 0);
	assert_str(intern_at(&i, b), S("example.net"));
	assert_int_equal(intern_add(&i, S("")), 0);
	intern_free(&i);
}

static void
test_many_come_and_go(void **state)
{
	struct intern i = { 0 };
	uint32_t names[5000];
	char text[32];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int k = 0; k < 5000; k++) {
			snprintf(text, sizeof text, "host%d.example.org", k);
			names[k] = intern_add(&i, str_of(text));
		}
		for (int k = 0; k < 5000; k += 2)
			intern_drop(&i, names[k]);
		for (int k = 0; k < 5000; k++) {
			snprintf(text, sizeof text, "host%d.example.org", k);
			assert_int_equal(intern_find(&i, str_of(text)), k % 2 ? names[k] : 0);
		}
		for (int k = 1; k < 5000; k += 2)
			intern_drop(&i, names[k]);
		assert_int_equal(i.entries.live, 0);
	}
	assert_int_equal(i.entries.used, 5000);
	intern_free(&i);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries_stay_where_they_are),
		cmocka_unit_test(test_texts_of_any_length),
		cmocka_unit_test(test_shared_texts_are_counted),
		cmocka_unit_test(test_many_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
