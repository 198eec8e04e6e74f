/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"
#include "unit.h"

static void
test_fields_come_one_by_one_with_their_folds(void **state)
{
	struct str in =
		S("Subject: one\r\n two\r\n\tthree\r\nX-Old : blank\r\nEmpty:\r\n\r\nbody\r\n");
	struct header_field f;

	(void)state;
	assert_true(header_next(&in, &f));
	assert_str(f.name, S("Subject"));
	assert_str(f.value, S(" one\r\n two\r\n\tthree"));
	assert_str(f.whole, S("Subject: one\r\n two\r\n\tthree\r\n"));
	assert_true(header_next(&in, &f));
	assert_str(f.name, S("X-Old"));
	assert_str(f.value, S(" blank"));
	assert_true(header_next(&in, &f));
	assert_str(f.value, S(""));
	assert_false(header_next(&in, &f));
	assert_str(in, S("body\r\n"));
}

static void
test_a_line_that_is_no_field_ends_the_header_and_stays(void **state)
{
	static const char *const none[] = { "Hello Bob,\r\nhow: are you\r\n",
		"From ann@example.net Mon Nov 23\r\n", ": no name\r\n", " fold: first\r\n",
		"n\xc3\xa4me: x\r\n", "Subject" };
	struct header_field f;

	(void)state;
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
		struct str in = str_of(none[i]);

		assert_false(header_next(&in, &f));
		assert_str(in, str_of(none[i]));
	}
}

static void
test_a_header_may_end_without_line_end(void **state)
{
	struct str in = S("A: 1\r\nB: 2");
	struct header_field f;

	(void)state;
	assert_true(header_next(&in, &f));
	assert_true(header_next(&in, &f));
	assert_str(f.value, S(" 2"));
	assert_false(header_next(&in, &f));
	assert_int_equal(in.n, 0);
	in = S("Empty:");
	assert_true(header_next(&in, &f));
	assert_str(f.value, S(""));
	assert_str(f.whole, S("Empty:"));
}

static void
test_look_finds_what_is_missing(void **state)
{
	struct header_facts f;

	(void)state;
	header_look(
		S("received: a\r\nReceived: b\r\nDATE: c\r\nfrom: d\r\n\r\nMessage-ID: e\r\n"), &f);
	assert_true(f.begins_with_field && f.has_date);
	assert_false(f.has_message_id);
	assert_int_equal(f.received, 2);
	header_look(S("Hello Bob\r\n"), &f);
	assert_false(f.begins_with_field);
	header_look(S("\r\nDate: in the body\r\n"), &f);
	assert_true(f.begins_with_field);
	assert_false(f.has_date);
	header_look(S(""), &f);
	assert_true(f.begins_with_field);
}

static void
test_mailboxes_split(void **state)
{
	static const struct {
		const char *text, *name, *address;
	} cases[] = {
		{ "bob@example.org", "", "bob@example.org" },
		{ " <bob@example.org> ", "", "bob@example.org" },
		{ "Bob B <bob@example.org>", "Bob B", "bob@example.org" },
		{ "\"B, <ob>\" <bob@example.org>", "B, <ob>", "bob@example.org" },
		{ "bob@example.org>", "", "bob@example.org>" },
		{ "", "", "" },
		{ "<>", "", "" },
	};
	struct str name, address;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		mailbox_split(str_of(cases[i].text), &name, &address);
		assert_str(name, str_of(cases[i].name));
		assert_str(address, str_of(cases[i].address));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_come_one_by_one_with_their_folds),
		cmocka_unit_test(test_a_line_that_is_no_field_ends_the_header_and_stays),
		cmocka_unit_test(test_a_header_may_end_without_line_end),
		cmocka_unit_test(test_look_finds_what_is_missing),
		cmocka_unit_test(test_mailboxes_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
