/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"

static void
buf_keeps_its_cap(void **state)
{
	struct buf b = { .max = 8 };

	(void)state;
	buf_add(&b, S("12345678"));
	assert_false(b.overflow);
	buf_add(&b, S("9"));
	assert_true(b.overflow);
	assert_str(buf_str(&b), S("12345678"));
	buf_add(&b, (struct str){ 0 });
	assert_true(b.overflow); /* until reset */
	buf_reset(&b);
	buf_add_u64(&b, 0);
	buf_addf(&b, "%03d", 7);
	assert_str(buf_str(&b), S("0007"));
	buf_drop(&b, 3);
	assert_str(buf_str(&b), S("7"));
	buf_free(&b);
}

static void
arena_keeps_its_cap(void **state)
{
	struct arena a = { .max = 3000 };
	struct str copy;

	(void)state;
	assert_true(arena_dup(&a, S("mail"), &copy));
	assert_str(copy, S("mail"));
	assert_string_equal(arena_text(&a, str_part(S("mailer"), 0, 4)), "mail");
	assert_string_equal(arena_text(&a, S("")), "");
	assert_non_null(arena_take(&a, 2000));
	assert_null(arena_take(&a, 2000));
	assert_null(arena_text(&a, (struct str){ copy.p, 2000 }));
	arena_free(&a);
	assert_non_null(arena_take(&a, 2000));
	arena_free(&a);
}

struct member {
	char key[8];
	struct heap_link due;
	struct list link;
};

static struct str
member_key(const void *m)
{
	return str_of(((const struct member *)m)->key);
}

static void
map_finds_what_it_holds(void **state)
{
	enum { MEMBERS = 2000 };
	struct member *all = calloc(MEMBERS, sizeof *all);
	struct map m = { .key_of = member_key };
	size_t seen = 0, at = 0;

	(void)state;
	assert_null(map_get(&m, S("none")));
	assert_null(map_remove(&m, S("none")));
	for (int i = 0; i < MEMBERS; i++) {
		snprintf(all[i].key, sizeof all[i].key, "k%d", i);
		map_put(&m, &all[i]);
	}
	for (int i = 0; i < MEMBERS; i += 2)
		assert_ptr_equal(map_remove(&m, str_of(all[i].key)), &all[i]);
	for (int i = 0; i < MEMBERS; i++)
		assert_ptr_equal(map_get(&m, str_of(all[i].key)), i % 2 ? &all[i] : NULL);
	while (map_next(&m, &at))
		seen++;
	assert_int_equal(seen, MEMBERS / 2);
	map_free(&m);
	free(all);
}

static void
heap_gives_the_least(void **state)
{
	enum { MEMBERS = 500 };
	struct member *all = calloc(MEMBERS, sizeof *all);
	struct heap h = { 0 };
	int64_t last = INT64_MIN;
	uint32_t random = 1;

	(void)state;
	for (int i = 0; i < MEMBERS; i++) {
		random = random * 1664525 + 1013904223;
		all[i].due.due = random >> 8;
		heap_put(&h, &all[i].due);
	}
	for (int i = 0; i < MEMBERS; i += 3)
		heap_remove(&h, &all[i].due);
	heap_remove(&h, &all[0].due); /* in no heap: nothing happens */
	for (struct heap_link *top; (top = heap_top(&h));) {
		assert_true(top->due >= last);
		last = top->due;
		heap_remove(&h, top);
	}
	heap_free(&h);
	free(all);
}

static void
list_moves_and_removes(void **state)
{
	struct list a, b;
	struct member m[3] = { 0 };
	size_t n = 0;

	(void)state;
	list_init(&a);
	list_init(&b);
	list_remove(&m[0].link); /* in none */
	for (size_t i = 0; i < 3; i++)
		list_append(&a, &m[i].link);
	list_move_all(&b, &a);
	assert_true(list_is_empty(&a));
	list_each_safe (at, &b) {
		assert_ptr_equal(list_of(at, struct member, link), &m[n++]);
		list_remove(at);
	}
	assert_int_equal(n, 3);
	assert_true(list_is_empty(&b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_keeps_its_cap),
		cmocka_unit_test(arena_keeps_its_cap),
		cmocka_unit_test(map_finds_what_it_holds),
		cmocka_unit_test(heap_gives_the_least),
		cmocka_unit_test(list_moves_and_removes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
