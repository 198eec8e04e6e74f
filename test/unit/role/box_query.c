/* SPDX-License-Identifier: Apache-2.0 */
#include "box.h"

/* What a person looks for in a mailbox, and in which order it comes. Each mail is known here by the second at which it was received. */

enum { MAILS = 5 };
static const struct {
	const char *path, *text;
} mails[MAILS] = {
	{ "cur/1.a.host:2,S",
		"From: Alice Müller <alice@example.net>\r\nTo: wei@example.org\r\nCc: "
		"carol@example.com\r\nSubject: Budget report\r\n"
		"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@x>\r\nX-Colour: "
		"=?utf-8?q?gr=C3=BCn?=\r\n"
		"Content-Type: text/plain; charset=utf-8\r\n\r\nThe quick brown fox costs more "
		"than last year.\r\n" },
	{ "new/2.b.host",
		"From: Bob <bob@example.net>\r\nTo: wei@example.org\r\nSubject: Re: Budget "
		"report\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
		"Message-ID: <2@x>\r\nReferences: <1@x>\r\nContent-Type: text/plain; "
		"charset=utf-8\r\n\r\nInvoices follow. 我们讨论了中文字的编码问题。\r\n" },
	{ "cur/3.c.host:2,FS",
		"From: zoe@example.net\r\nTo: wei@example.org\r\nBcc: "
		"secret@example.org\r\nSubject: 会议通知\r\nDate: Mon, 23 Nov 2026 11:00:00 "
		"+0000\r\n"
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
		"boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
		"ＡＢＣ会议 Größe 東京タワー\r\n--b\r\nContent-Type: application/pdf; "
		"name=a.pdf\r\nContent-Disposition: attachment; "
		"filename=a.pdf\r\n\r\nPDF\r\n--b--\r\n" },
	{ ".Sent/cur/4.d.host:2,S", "From: Wei <wei@example.org>\r\nTo: Bob <bob@example.net>, "
				    "\"Dora Long\" <dora@example.net>\r\nSubject: apples\r\n"
				    "Date: Mon, 23 Nov 2026 09:00:00 +0000\r\n\r\nbrown the quick; "
				    "drop \"table\" mail;-- \r\n" },
	{ ".Trash/cur/5.e.host:2,RS",
		"From: carol@example.com\r\nTo: wei@example.org\r\nSubject: Zebra\r\n\r\n字\r\n" },
};

static int
fill(void **state)
{
	struct house *h;

	house_setup(state);
	h = *state;
	for (int i = 0; i < MAILS; i++)
		house_deliver(h, mails[i].path, mails[i].text, i + 1);
	house_look(h);
	return 0;
}

/* "32": the mails received at 3 and at 2, in this order. */
static void
finds(struct house *h, const struct box_query *q, const char *want)
{
	struct box_found found = house_query(h, q);
	char got[32] = "";

	for (size_t i = 0; i < found.n && i < sizeof got - 1; i++)
		got[i] = (char)('0' + house_mail(h, found.ids[i]).received_ms / 1000);
	assert_string_equal(got, want);
}

static void
term_finds(struct house *h, struct box_term t, const char *want)
{
	finds(h, &(struct box_query){ .filter = &t, .limit = 100 }, want);
}

static void
text_finds(struct house *h, const char *text, const char *want)
{
	term_finds(h, (struct box_term){ .kind = BOX_TEXT, .text = str_of(text) }, want);
}

static void
test_words(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "budget", "21" },
		{ "BUDGET Report", "21" },
		{ "invoice", "2" }, /* the beginning of a word */
		{ "voice", "" },
		{ "quick brown", "41" },
		{ "\"quick brown\"", "1" },
		{ "'quick brown'", "1" },
		{ "\"brown quick\"", "" },
		{ "muller", "1" },
		{ "MÜLLER", "1" },
		{ "größe", "3" },
		{ "bob@example.net", "42" },
		{ "abc", "3" }, /* written wide */
		{ "会议", "3" },
		{ "会议通知", "3" },
		{ "通知会议", "" },
		{ "中文", "2" },
		{ "文字", "2" },
		{ "中字", "" },
		{ "字", "52" },
		{ "题", "2" }, /* the last of its run */
		{ "\"讨论了中文\"", "2" },
		{ "abc会议", "3" },
		{ "東京", "3" },
		{ "タワー", "3" },
		{ "题 budget", "2" },
		{ "\"", "" },
		{ "\" OR 1", "" },
		{ "*", "" },
		{ "NOT (budget", "" },
		{ "drop \"table", "4" },
		{ "subject:zebra", "" },
		{ "", "" },
		{ "\xff\xfe", "" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		print_message("%s\n", rows[i].text);
		text_finds(*state, rows[i].text, rows[i].want);
	}
}

static void
test_terms(void **state)
{
	struct house *h = *state;
	const struct str inbox = house_folder(h, BOX_INBOX).id,
			 others[] = { inbox, house_folder(h, BOX_TRASH).id };
	const struct {
		struct box_term term;
		const char *want;
	} rows[] = {
		{ { .kind = BOX_IN_FOLDER, .text = inbox }, "321" },
		{ { .kind = BOX_IN_FOLDER, .text = S("F0") }, "" },
		{ { .kind = BOX_IN_NO_FOLDER_OF, .texts = others, .texts_n = 2 }, "4" },
		{ { .kind = BOX_BEFORE, .number = 3000 }, "21" },
		{ { .kind = BOX_AFTER, .number = 3000 }, "543" },
		{ { .kind = BOX_SMALLER, .number = 100 }, "5" },
		{ { .kind = BOX_LARGER, .number = (int64_t)strlen(mails[2].text) }, "3" },
		{ { .kind = BOX_HAS_FLAG, .number = BOX_SEEN }, "5431" },
		{ { .kind = BOX_HAS_NOT_FLAG, .number = BOX_SEEN }, "2" },
		{ { .kind = BOX_THREAD_ALL, .number = BOX_SEEN }, "543" },
		{ { .kind = BOX_THREAD_SOME, .number = BOX_SEEN }, "54321" },
		{ { .kind = BOX_THREAD_NONE, .number = BOX_ANSWERED }, "4321" },
		{ { .kind = BOX_HAS_ATTACHMENT, .number = 1 }, "3" },
		{ { .kind = BOX_HAS_ATTACHMENT, .number = 0 }, "5421" },
		{ { .kind = BOX_FROM, .text = S("bob") }, "2" },
		{ { .kind = BOX_TO, .text = S("bob") }, "4" },
		{ { .kind = BOX_TO, .text = S("\"dora long\"") }, "4" },
		{ { .kind = BOX_CC, .text = S("carol") }, "1" },
		{ { .kind = BOX_BCC, .text = S("secret") }, "3" },
		{ { .kind = BOX_SUBJECT, .text = S("quick") }, "" },
		{ { .kind = BOX_SUBJECT, .text = S("会议") }, "3" },
		{ { .kind = BOX_BODY, .text = S("quick") }, "41" },
		{ { .kind = BOX_HEADER, .text = S("x-colour") }, "1" },
		{ { .kind = BOX_HEADER, .text = S("X-Colour"), .other = S("GRÜN") }, "" },
		{ { .kind = BOX_HEADER, .text = S("X-Colour"), .other = S("grün") }, "1" },
		{ { .kind = BOX_HEADER, .text = S("message-id"), .other = S("@X") }, "21" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		print_message("%zu\n", i);
		term_finds(h, rows[i].term, rows[i].want);
	}
}

static void
test_groups(void **state)
{
	const struct box_term two[] = { { .kind = BOX_HEADER, .text = S("References") },
		{ .kind = BOX_TEXT, .text = S("budget") } };
	const struct box_term nothing[] = { { .kind = BOX_NOT, .sub = two, .sub_n = 2 } };
	struct box_term deep[100];

	term_finds(*state, (struct box_term){ .kind = BOX_AND, .sub = two, .sub_n = 2 }, "2");
	term_finds(*state, (struct box_term){ .kind = BOX_OR, .sub = two, .sub_n = 2 }, "21");
	term_finds(*state, nothing[0], "543");
	term_finds(*state, (struct box_term){ .kind = BOX_AND, .sub = nothing, .sub_n = 1 }, "543");
	term_finds(*state, (struct box_term){ .kind = BOX_AND }, "54321");
	term_finds(*state, (struct box_term){ .kind = BOX_OR }, "");
	for (size_t i = 0; i < 100; i++)
		deep[i] = (struct box_term){
			.kind = BOX_NOT, .sub = i ? &deep[i - 1] : two, .sub_n = 1
		};
	{
		struct house *h = *state;
		struct box_query q = { .filter = &deep[99], .limit = 1 };
		struct box_found found;
		struct err e = { 0 };

		assert_false(box_query(h->box, &q, &h->arena, &found, &e));
		assert_int_equal(e.kind, ERR_TOO_BIG);
	}
}

static void
test_orders(void **state)
{
	static const struct {
		enum box_order by;
		bool is_descending;
		unsigned flag;
		const char *want;
	} rows[] = {
		{ BY_RECEIVED, false, 0, "12345" },
		{ BY_SENT, false, 0, "54231" },
		{ BY_SIZE, false, 0, "54213" },
		{ BY_FROM, false, 0, "12543" },
		{ BY_TO, false, 0, "45321" },
		{ BY_SUBJECT, false, 0, "42153" },
		{ BY_FLAG, true, BOX_FLAGGED, "35421" },
		{ BY_THREAD_ALL, true, BOX_SEEN, "54321" },
		{ BY_THREAD_SOME, false, BOX_ANSWERED, "43215" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct box_query q = { .limit = 100,
			.sort_n = 2,
			.sort = { { rows[i].by, rows[i].is_descending, rows[i].flag },
				{ BY_RECEIVED, true, 0 } } };

		print_message("%zu\n", i);
		if (rows[i].by == BY_RECEIVED)
			q.sort_n = 1;
		finds(*state, &q, rows[i].want);
	}
}

static void
test_windows(void **state)
{
	struct house *h = *state;
	struct box_found all = house_all(h), found;

	finds(h, &(struct box_query){ .limit = 2 }, "54");
	finds(h, &(struct box_query){ .limit = 2, .position = 3 }, "21");
	finds(h, &(struct box_query){ .limit = 2, .position = 9 }, "");
	finds(h, &(struct box_query){ .limit = 2, .position = -2 }, "21");
	finds(h, &(struct box_query){ .limit = 1, .position = -20 }, "5");
	finds(h, &(struct box_query){ .limit = 2, .anchor = all.ids[2] }, "32");
	finds(h, &(struct box_query){ .limit = 2, .anchor = all.ids[2], .anchor_offset = -1 },
		"43");
	finds(h, &(struct box_query){ .limit = 2, .anchor = all.ids[2], .anchor_offset = -9 },
		"54");
	finds(h, &(struct box_query){ .limit = 9, .collapses_threads = true }, "5432");
	found = house_query(h, &(struct box_query){ .limit = 1,
				       .position = 1,
				       .wants_total = true,
				       .collapses_threads = true });
	assert_int_equal(found.total, 4);
	assert_int_equal(found.position, 1);
	found = house_query(h, &(struct box_query){ .limit = 1, .anchor = S("M0") });
	assert_true(found.has_no_anchor);
}

static void
test_contacts(void **state)
{
	struct house *h = *state;
	struct box_contact *list;

	assert_int_equal(box_contacts(h->box, S("BOB"), 10, &h->arena, &list), 1);
	assert_str(list[0].name, S("Bob"));
	assert_str(list[0].email, S("bob@example.net"));
	assert_int_equal(box_contacts(h->box, S("long"), 10, &h->arena, &list), 1);
	assert_str(list[0].email, S("dora@example.net"));
	assert_true(box_contacts(h->box, S("example"), 10, &h->arena, &list) >= 3);
	assert_str(list[0].email, S("bob@example.net")); /* written to, and heard from */
	assert_int_equal(box_contacts(h->box, S(""), 2, &h->arena, &list), 2);
	assert_int_equal(box_contacts(h->box, S("100%_'\""), 10, &h->arena, &list), 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fill, house_teardown)
	const struct CMUnitTest tests[] = {
		T(test_words),
		T(test_terms),
		T(test_groups),
		T(test_orders),
		T(test_windows),
		T(test_contacts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
