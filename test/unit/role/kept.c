/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "directory.h"
#include "role/reader/kept.h"

/* Identities and submissions: found again after a restart, every change told once, whatever part of the changes is asked for at a time. */

struct place {
	char directory[64];
	struct kept *kept;
	struct arena arena;
};

static void
open_kept(struct place *p)
{
	struct err e = { 0 };

	if (!kept_open(&p->kept, str_of(p->directory), &e))
		fail_msg("%s", e.text);
}

static int
set_up(void **state)
{
	struct place *p = calloc(1, sizeof *p);

	assert_non_null(p);
	p->arena.max = 16 << 20;
	snprintf(p->directory, sizeof p->directory, "/tmp/posthouse-kept.XXXXXX");
	assert_non_null(mkdtemp(p->directory));
	open_kept(p);
	*state = p;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *p = *state;

	kept_close(&p->kept);
	arena_free(&p->arena);
	directory_remove(p->directory);
	free(p);
	return 0;
}

static struct str
put(struct place *p, struct str id, const char *json)
{
	struct err e = { 0 };

	if (!kept_put(p->kept, KEPT_SUBMISSION, &id, str_of(json), &p->arena, &e))
		fail_msg("%s", e.text);
	return id;
}

static void
take(struct place *p, struct str id)
{
	struct err e = { 0 };

	if (!kept_remove(p->kept, KEPT_SUBMISSION, id, &e))
		fail_msg("%s", e.text);
}

static struct str
state_of(struct place *p)
{
	char state[KEPT_STATE];
	struct str copy;

	kept_state(p->kept, KEPT_SUBMISSION, state);
	assert_true(arena_dup(&p->arena, str_of(state), &copy));
	return copy;
}

static void
survives_a_restart(void **state)
{
	struct place *p = *state;
	struct str id = put(p, S(""), "{\"a\":1}"), before = state_of(p), json, *ids;
	struct stat st;
	char path[128];

	kept_close(&p->kept);
	open_kept(p);
	assert_true(kept_get(p->kept, KEPT_SUBMISSION, id, &p->arena, &json));
	assert_str(json, S("{\"a\":1}"));
	assert_str(state_of(p), before);
	assert_int_equal(kept_list(p->kept, KEPT_SUBMISSION, &p->arena, &ids), 1);
	assert_int_equal(kept_list(p->kept, KEPT_IDENTITY, &p->arena, &ids), 0);
	assert_false(kept_get(p->kept, KEPT_IDENTITY, id, &p->arena, &json));
	snprintf(path, sizeof path, "%s/posthouse", p->directory);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void
lists_the_newest_first(void **state)
{
	struct place *p = *state;
	struct str first = put(p, S(""), "1"), second = put(p, S(""), "2"), *ids;

	put(p, first, "\"changed\"");
	assert_int_equal(kept_list(p->kept, KEPT_SUBMISSION, &p->arena, &ids), 2);
	assert_str(ids[0], second);
	assert_str(ids[1], first);
}

static void
walks_over_all_or_over_those_of_some_mails(void **state)
{
	struct place *p = *state;
	struct str first = put(p, S(""), "{\"emailId\":\"a\"}"), id, json;
	struct str second = put(p, S(""), "{\"emailId\":\"b\"}");
	struct kept_walk w;

	put(p, S(""), "{}");
	kept_walk_begin(p->kept, KEPT_SUBMISSION, S("[\"none\",\"b\",\"a\"]"), &w);
	assert_true(kept_walk_next(&w, &id, &json));
	assert_str(id, second);
	assert_true(kept_walk_next(&w, &id, &json));
	assert_str(id, first);
	assert_str(json, S("{\"emailId\":\"a\"}"));
	assert_false(kept_walk_next(&w, &id, &json));
	kept_walk_end(&w);
	kept_walk_begin(p->kept, KEPT_SUBMISSION, S("[]"), &w);
	assert_false(kept_walk_next(&w, &id, &json));
	kept_walk_end(&w);
	kept_walk_begin(p->kept, KEPT_SUBMISSION, S(""), &w);
	for (int i = 0; i < 3; i++)
		assert_true(kept_walk_next(&w, &id, &json));
	assert_false(kept_walk_next(&w, &id, &json));
	kept_walk_end(&w);
}

static void
tells_each_change_as_what_it_was(void **state)
{
	struct place *p = *state;
	struct str old = put(p, S(""), "1"), doomed = put(p, S(""), "2"), since = state_of(p), made;
	struct kept_changes c;

	put(p, old, "\"changed\"");
	made = put(p, S(""), "3");
	put(p, made, "\"changed too\"");
	take(p, doomed);
	take(p, put(p, S(""), "\"came and went\""));
	assert_true(kept_changes(p->kept, KEPT_SUBMISSION, since, 0, &p->arena, &c));
	assert_int_equal(c.created_n, 1);
	assert_str(c.created[0], made);
	assert_int_equal(c.updated_n, 1);
	assert_str(c.updated[0], old);
	assert_int_equal(c.destroyed_n, 1);
	assert_str(c.destroyed[0], doomed);
	assert_false(c.has_more);
	assert_str(str_of(c.state), state_of(p));
}

/* One that was made and changed since is told as made first, else a client would hear of a change of what it does not know. */
static void
tells_changes_in_parts(void **state)
{
	struct place *p = *state;
	struct str since = state_of(p), made = put(p, S(""), "1"), other = put(p, S(""), "2");
	struct kept_changes c;

	put(p, made, "\"changed\"");
	assert_true(kept_changes(p->kept, KEPT_SUBMISSION, since, 1, &p->arena, &c));
	assert_true(c.has_more);
	assert_int_equal(c.created_n, 1);
	assert_str(c.created[0], made);
	assert_true(kept_changes(p->kept, KEPT_SUBMISSION, str_of(c.state), 1, &p->arena, &c));
	assert_int_equal(c.created_n, 1);
	assert_str(c.created[0], other);
	assert_true(c.has_more);
	assert_true(kept_changes(p->kept, KEPT_SUBMISSION, str_of(c.state), 1, &p->arena, &c));
	assert_int_equal(c.created_n, 0);
	assert_int_equal(c.updated_n, 1);
	assert_str(c.updated[0], made);
	assert_false(c.has_more);
}

static void
knows_no_state_of_others(void **state)
{
	struct place *p = *state;
	struct kept_changes c;
	struct str mine = state_of(p);
	char path[128];

	assert_true(kept_changes(p->kept, KEPT_SUBMISSION, mine, 0, &p->arena, &c));
	assert_false(kept_changes(p->kept, KEPT_SUBMISSION, S(""), 0, &p->arena, &c));
	assert_false(kept_changes(p->kept, KEPT_SUBMISSION, S("0-0"), 0, &p->arena, &c));
	assert_false(kept_changes(p->kept, KEPT_SUBMISSION, S("-1"), 0, &p->arena, &c));
	/* The file is lost: a new one has another epoch. */
	kept_close(&p->kept);
	snprintf(path, sizeof path, "%s/posthouse/kept.db", p->directory);
	assert_int_equal(unlink(path), 0);
	open_kept(p);
	assert_false(kept_changes(p->kept, KEPT_SUBMISSION, mine, 0, &p->arena, &c));
}

static void
refuses_what_is_not_there(void **state)
{
	struct place *p = *state;
	struct err e = { 0 };

	assert_false(kept_remove(p->kept, KEPT_SUBMISSION, S("S0"), &e));
	assert_int_equal(e.class, ERR_PERMANENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(survives_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lists_the_newest_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			walks_over_all_or_over_those_of_some_mails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			tells_each_change_as_what_it_was, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_changes_in_parts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(knows_no_state_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_what_is_not_there, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
