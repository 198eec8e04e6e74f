/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "role/master/master.h"

static struct master_plan plan;

static void
assert_refused(const char *why)
{
	if (master_plan_is_sound(&plan))
		fail_msg("%s was taken", why);
	plan = (struct master_plan){ 0 };
}

static void
a_full_plan_is_sound(void **state)
{
	(void)state;
	plan = (struct master_plan){ .doors_n = MASTER_DOORS_MAX,
		.mail_roots_n = MASTER_MAIL_ROOTS_MAX,
		.files_n = MASTER_FILES_MAX,
		.filters_n = MASTER_FILTERS_MAX };
	assert_true(master_plan_is_sound(&plan));
	plan = (struct master_plan){ 0 };
}

static void
no_count_passes_its_limit(void **state)
{
	(void)state;
	plan.doors_n = MASTER_DOORS_MAX + 1;
	assert_refused("a door too many");
	plan.mail_roots_n = MASTER_MAIL_ROOTS_MAX + 1;
	assert_refused("a root too many");
	plan.files_n = MASTER_FILES_MAX + 1;
	assert_refused("a file too many");
	plan.filters_n = MASTER_FILTERS_MAX + 1;
	assert_refused("a filter too many");
	plan.filters_n = 1;
	plan.filters[0].address_size = sizeof plan.filters[0].address + 1;
	assert_refused("an address larger than its room");
}

/* Each that is counted; what lies behind the count is nobody's. */
static void
every_text_ends(void **state)
{
	struct {
		char *text;
		size_t size;
		uint32_t *n;
	} texts[] = {
		{ plan.state, sizeof plan.state, NULL },
		{ plan.spool, sizeof plan.spool, NULL },
		{ plan.trust, sizeof plan.trust, NULL },
		{ plan.doors[1].name, sizeof plan.doors[1].name, &plan.doors_n },
		{ plan.mail_roots[1], sizeof plan.mail_roots[1], &plan.mail_roots_n },
		{ plan.files[1], sizeof plan.files[1], &plan.files_n },
	};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		memset(texts[i].text, 'x', texts[i].size);
		if (texts[i].n) {
			*texts[i].n = 1;
			assert_true(master_plan_is_sound(&plan));
			*texts[i].n = 2;
		}
		assert_refused("a text without an end");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_plan_is_sound),
		cmocka_unit_test(no_count_passes_its_limit),
		cmocka_unit_test(every_text_ends),
	};

	return cmocka_run_group_tests_name("role/plan", tests, NULL, NULL);
}
