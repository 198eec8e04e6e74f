/* SPDX-License-Identifier: Apache-2.0 */
#include <iconv.h>

#include "role/reader/letter.h"
#include "unit.h"

/* Letters: trees, names, texts, and what is too much. */

static struct buf text;

static struct str
text_of(struct letter *l, const char *id)
{
	struct letter_text_facts facts;

	buf_free(&text);
	text.max = 1 << 20;
	letter_text(l, letter_part(l, str_of(id)), 1 << 20, &text, &facts);
	return buf_str(&text);
}

static struct letter *
opened(const char *message)
{
	return letter_open(str_of(message));
}

static struct str
field_text(struct str raw)
{
	buf_free(&text);
	text.max = 1 << 20;
	letter_field_text(raw, &text);
	return buf_str(&text);
}

static void
test_a_tree_has_its_parts_in_order(void **state)
{
	struct letter *l =
		opened("Content-Type: multipart/mixed; boundary=\"out er\"\r\n\r\npreamble\r\n"
		       "--out er\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n"
		       "--in\r\n\r\nplain\r\n--in  \r\nContent-Type: "
		       "Text/HTML\r\n\r\n<b>html</b>\r\n--in--\r\nepilogue\r\n"
		       "--out er\r\nContent-Type: image/png; name=a.png\r\nContent-ID: "
		       "<17@x>\r\nContent-Transfer-Encoding: Base64\r\n"
		       "Content-Language: de, en-GB\r\n\r\naGVs\r\nbG8=\r\n--out er--\r\nend");
	const struct letter_part *root = letter_root(l), *png;
	struct buf octets = { .max = 100 };

	(void)state;
	assert_false(letter_is_source(l));
	assert_str(root->type, S("multipart/mixed"));
	assert_int_equal(root->id.n, 0);
	assert_int_equal(root->sub_n, 2);
	assert_int_equal(root->sub[0]->sub_n, 2);
	assert_ptr_equal(root->sub[0]->sub[1]->parent, root->sub[0]);
	assert_str(text_of(l, "1"), S("plain"));
	assert_str(text_of(l, "2"), S("<b>html</b>"));
	png = letter_part(l, S("3"));
	assert_ptr_equal(png, root->sub[1]);
	assert_str(png->name, S("a.png"));
	assert_str(png->cid, S("17@x"));
	assert_int_equal(png->languages_n, 2);
	assert_str(png->languages[1], S("en-GB"));
	assert_int_equal(png->size, 5);
	assert_true(letter_octets(l, png, &octets));
	assert_str(buf_str(&octets), S("hello"));
	assert_null(letter_part(l, S("4")));
	assert_null(letter_part(l, S("")));
	buf_free(&octets);
	letter_free(&l);
}

static void
test_a_view_says_what_is_read_and_what_hangs_on(void **state)
{
	struct letter *l =
		opened("Content-Type: multipart/mixed; boundary=m\n\n"
		       "--m\nContent-Type: multipart/alternative; boundary=a\n\n"
		       "--a\n\nplain\n"
		       "--a\nContent-Type: multipart/related; boundary=r\n\n"
		       "--r\nContent-Type: text/html\n\n<img src=cid:1>\n--r\nContent-Type: "
		       "image/png\nContent-ID: <1>\n\nx\n--r--\n--a--\n"
		       "--m\nContent-Type: text/plain; name=notes.txt\nContent-Disposition: "
		       "attachment\n\nnotes\n"
		       "--m\n\nfooter\n--m--\n");
	const struct letter_view *v = letter_view(l);

	(void)state;
	assert_int_equal(v->text_n, 2);
	assert_str(v->text[0]->id, S("1"));
	assert_str(v->text[1]->id, S("5"));
	assert_int_equal(v->html_n, 2);
	assert_str(v->html[0]->id, S("2"));
	assert_str(v->html[1]->id, S("5"));
	assert_int_equal(v->attachments_n, 2);
	assert_str(v->attachments[0]->id, S("3"));
	assert_str(v->attachments[1]->id, S("4"));
	assert_true(v->has_attachment);
	assert_ptr_equal(v, letter_view(l));
	letter_free(&l);

	l = opened("Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: "
		   "text/html\n\n<p>only\n--a--\n");
	v = letter_view(l);
	assert_int_equal(v->text_n, 1); /* the HTML stands for both */
	assert_ptr_equal(v->text[0], v->html[0]);
	assert_false(v->has_attachment);
	letter_free(&l);
}

static void
test_broken_messages_are_read_all_the_same(void **state)
{
	static const struct {
		const char *message, *id, *text;
	} cases[] = {
		{ "", "1", "" },
		{ "Subject: x", "1", "" },
		{ "just text\nof two lines", "1", "just text\nof two lines" },
		{ "From nobody Mon Nov 23 05:19:00 2026\nSubject: x\n\nmbox", "1", "mbox" },
		{ "Content-Type: multipart/mixed; boundary=b\n\nno part", "1", "no part" },
		{ "Content-Type: multipart/mixed\n\nno boundary", "1", "no boundary" },
		{ "Content-Type: multipart/mixed\n boundary=b\n\n--b\n\nno semicolon\n", "1",
			"no semicolon\n" },
		{ "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nnever closed\n", "1",
			"never closed\n" },
		{ "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: "
		  "multipart/mixed; boundary=c\n\n--c\n\nouter ends it\n--b--\n",
			"1", "outer ends it" },
		{ "Content-Type: garbage\n\nhello", "1", "hello" },
		{ "Content-Transfer-Encoding: base64\n\naGVsbG8=\nfooter of a list", "1", "hello" },
		{ "Content-Transfer-Encoding: quoted-printable\n\na=3Db=ZZ=\nc=\r\n=", "1",
			"a=b=ZZc" },
		{ "Content-Transfer-Encoding: x-unknown\n\nas it is", "1", "as it is" },
		{ "Content-Type: multipart/mixed; boundary=b\n\n--bb\n\n--b\n\nb is not bb\n--b--",
			"1", "b is not bb" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct letter *l = opened(cases[i].message);

		assert_non_null(letter_part(l, str_of(cases[i].id)));
		assert_str(text_of(l, cases[i].id), str_of(cases[i].text));
		letter_free(&l);
	}
}

/* ── names ── */

static void
test_names_come_in_every_way(void **state)
{
	static const struct {
		const char *header, *name;
	} cases[] = {
		{ "Content-Disposition: attachment; filename=plain.txt", "plain.txt" },
		{ "Content-Disposition: attachment; filename=\"a \\\"b\\\".txt\"", "a \"b\".txt" },
		{ "Content-Disposition: attachment; filename*=UTF-8''%e6%b5%8b.txt; "
		  "filename=no.txt",
			"测.txt" },
		{ "Content-Disposition: attachment; filename*=GB18030'zh'%b2%e2.txt", "测.txt" },
		{ "Content-Disposition: attachment; filename*1*=%8b; filename*0*=UTF-8''%e6%b5; "
		  "filename*2=.txt",
			"测.txt" },
		{ "Content-Disposition: attachment; filename*0=long; filename*1=er.txt",
			"longer.txt" },
		{ "Content-Disposition: attachment; filename=\"=?GB2312?B?suIudHh0?=\"", "测.txt" },
		{ "Content-Disposition: attachment;\n filename=\"=?UTF-8?Q?=E6=B5?=\n "
		  "=?UTF-8?Q?=8B.txt?=\"",
			"测.txt" },
		{ "Content-Disposition: attachment; "
		  "filename=\"\xb2\xe2\xca\xd4\xd3\xca\xbc\xfe.txt\"",
			"测试邮件.txt" },
		{ "Content-Type: image/png; name=\"from type.png\"", "from type.png" },
		{ "Content-Disposition: attachment; filename=\"../../etc/passwd\"", "passwd" },
		{ "Content-Disposition: attachment; filename=\"C:\\dir\\file.txt\"", "file.txt" },
		{ "Content-Disposition: attachment; filename*=UTF-8''a%2Fb%5Cc%00%0d%0a.txt",
			"c.txt" },
		{ "Content-Disposition: attachment; filename*=UTF-8''safe%E2%80%AEtxt.exe",
			"safetxt.exe" },
		{ "Content-Disposition: attachment; filename*=UTF-8''%D8%9C%E2%81%A7x", "x" },
		{ "Content-Disposition: attachment; filename=\"..\"", "" },
	};
	char message[400];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct letter *l;

		snprintf(message, sizeof message, "%s\n\nx", cases[i].header);
		l = opened(message);
		assert_str(letter_root(l)->name, str_of(cases[i].name));
		letter_free(&l);
	}
}

/* ── charsets ── */

static const struct {
	const char *charset, *label, *text;
} old_mail[] = {
	{ "GB18030", "gb2312",
		"春江潮水连海平，海上明月共潮生。明天上午十点开会，请准时参加，谢谢。" },
	{ "GB18030", "GBK", "发票" },
	{ "BIG5-HKSCS", "big5",
		"春江潮水連海平，海上明月共潮生。明天上午十點開會，請準時參加，謝謝。" },
	{ "BIG5-HKSCS", "Big5-HKSCS", "會議通知" },
	{ "CP932", "Shift_JIS", "吾輩は猫である。名前はまだ無い。会議は明日の午前十時からです。" },
	{ "EUC-JP-MS", "euc-jp", "吾輩は猫である。名前はまだ無い。会議は明日の午前十時からです。" },
	{ "ISO-2022-JP", "iso-2022-jp",
		"吾輩は猫である。名前はまだ無い。会議は明日の午前十時からです。" },
	{ "UHC", "ks_c_5601-1987", "안녕하세요. 내일 오전 열 시에 회의가 있습니다." },
	{ "CP1252", "iso-8859-1", "Où êtes-vous? Café à Zürich, 5 €" },
	{ "UTF-8", "utf-8", "春江潮水连海平 吾輩は猫である 안녕하세요 Où êtes-vous?" },
};

static void
add_in_charset(struct buf *to, const char *charset, const char *utf8)
{
	char *in = (char *)(uintptr_t)utf8, out[1024], *at = out;
	size_t left = strlen(in), room = sizeof out;
	iconv_t table = iconv_open(charset, "UTF-8");

	assert_true(table != (iconv_t)-1);
	assert_int_equal(iconv(table, &in, &left, &at, &room), 0);
	iconv(table, NULL, NULL, &at, &room);
	iconv_close(table);
	buf_add(to, (struct str){ out, (size_t)(at - out) });
}

/* As text of a part and as a subject, declared so (NULL: not at all). */
static void
check_old_mail(size_t row, const char *label)
{
	struct buf message = { .max = 4096 };
	struct letter *l;

	buf_add(&message, S("Subject: "));
	add_in_charset(&message, old_mail[row].charset, old_mail[row].text);
	if (label)
		buf_addf(&message, "\nContent-Type: text/plain; charset=\"%s\"", label);
	buf_add(&message, S("\n\n"));
	add_in_charset(&message, old_mail[row].charset, old_mail[row].text);
	l = letter_open(buf_str(&message));
	assert_str(text_of(l, "1"), str_of(old_mail[row].text));
	assert_str(field_text(letter_field(letter_root(l), S("SUBJECT"))->raw),
		str_of(old_mail[row].text));
	letter_free(&l);
	buf_free(&message);
}

static void
test_old_charsets_read_right(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof old_mail / sizeof old_mail[0]; i++) {
		check_old_mail(i, old_mail[i].label);
		check_old_mail(i, NULL);
		check_old_mail(i, "x-no-such-charset");
		check_old_mail(i, "us-ascii");
		if (strcmp(old_mail[i].charset, "ISO-2022-JP") != 0)
			check_old_mail(i, "utf-8");
	}
}

static void
test_text_tells_what_is_wrong_with_it(void **state)
{
	static const struct {
		const char *message;
		bool has_problem;
	} cases[] = {
		{ "Content-Type: text/plain\n\nascii", false },
		{ "Content-Type: text/plain; charset=us-ascii\n\nascii", false },
		{ "Content-Type: text/plain; charset=x-foo\n\nascii", true },
		{ "Content-Type: text/plain; charset=utf-8\n\n\xff", true },
		{ "Content-Type: text/plain; charset=utf-7\n\n+AGE-", true },
		{ "Content-Transfer-Encoding: base64\n\n!!!!", true },
		{ "Content-Transfer-Encoding: x\n\nascii", true },
	};
	struct letter_text_facts facts;
	struct buf to = { .max = 100 };
	struct letter *l;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		l = opened(cases[i].message);
		letter_text(l, letter_root(l), 100, &to, &facts);
		assert_int_equal(facts.has_encoding_problem, cases[i].has_problem);
		assert_false(facts.is_truncated);
		letter_free(&l);
	}
	l = opened("Content-Type: text/plain; charset=utf-8\n\n测试\r\n邮件");
	buf_reset(&to);
	letter_text(l, letter_root(l), 8, &to, &facts);
	assert_str(buf_str(&to), S("测试\n")); /* no half character */
	assert_true(facts.is_truncated);
	letter_free(&l);
	buf_reset(&to);
	l = opened("\n\r\n\r\n\r\nend");
	letter_text(l, letter_root(l), 6, &to, &facts);
	assert_str(buf_str(&to), S("\n\n\nend"));
	assert_false(facts.is_truncated);
	buf_reset(&to);
	letter_text(l, letter_root(l), 3, &to, &facts);
	assert_str(buf_str(&to), S("\n\n\n"));
	assert_true(facts.is_truncated);
	letter_free(&l);
	buf_free(&to);
}

/* ── words ── */

static void
test_words_of_html_are_what_one_reads(void **state)
{
	struct letter *l = opened(
		"Content-Type: text/html; "
		"charset=utf-8\n\n<html><head><title>no</title></head><style>p{}</style><body>"
		"<p>One&nbsp;&amp; two</p><p>thr<b>ee</b> &#x6d4b;&#35797; 1 < 2<!-- no "
		"--><script>no()</script><a title='>'>four</a></body>");
	struct buf to = { .max = 1000 };

	(void)state;
	letter_preview(l, &to);
	assert_str(buf_str(&to), S("One & two three 测试 1 < 2 four"));
	buf_reset(&to);
	letter_words(l, 9, &to);
	assert_str(buf_str(&to), S("One & two"));
	buf_free(&to);
	letter_free(&l);
}

static void
test_a_preview_leaves_out_what_others_wrote(void **state)
{
	struct letter *l = opened("Subject: x\n\n> old\n>> older\n\nnew   text\n-----Original\n");
	struct buf to = { .max = 1000 };

	(void)state;
	letter_preview(l, &to);
	assert_str(buf_str(&to), S("new text"));
	buf_free(&to);
	letter_free(&l);
}

static void
test_a_summary_is_what_a_list_shows(void **state)
{
	struct letter *l =
		opened("Message-ID: <1@x>\nReferences: <a@x>\n <b@x>\nFrom: =?utf-8?q?W=C3=A9i?= "
		       "<wei@example.org>\nTo: undisclosed:;\n"
		       "Subject: \"Hi\"\nDate: Mon, 23 Nov 2026 05:19:00 -0330\n\nhello\nworld");
	struct buf to = { .max = 4000 };

	(void)state;
	letter_summary(l, &to);
	assert_str(buf_str(&to),
		S("{\"messageId\":[\"1@x\"],\"inReplyTo\":null,\"references\":[\"a@x\",\"b@x\"],"
		  "\"sender\":null,\"from\":[{\"name\":\"Wéi\",\"email\":\"wei@example.org\"}],"
		  "\"to\":[],\"cc\":null,\"bcc\":null,\"replyTo\":null,\"subject\":\"\\\"Hi\\\"\","
		  "\"sentAt\":\"2026-11-23T05:19:00-03:30\",\"preview\":\"hello world\","
		  "\"hasAttachment\":false}"));
	buf_free(&to);
	letter_free(&l);
}

/* ── fields ── */

static void
test_addresses_come_in_every_form(void **state)
{
	static const struct {
		const char *raw, *name, *email;
	} cases[] = {
		{ " wei@example.org", "", "wei@example.org" },
		{ " Wei Li <wei@example.org>", "Wei Li", "wei@example.org" },
		{ " \"Li, Wei\" <wei@example.org>", "Li, Wei", "wei@example.org" },
		{ " wei@example.org (Wei Li)", "Wei Li", "wei@example.org" },
		{ " =?gb2312?B?suI=?= <@a,@b:wei@example.org>", "测", "wei@example.org" },
		{ " =?utf-8?Q?Li,_Wei?= <wei@example.org>", "Li, Wei", "wei@example.org" },
		{ " \xb2\xe2\xca\xd4\xd3\xca\xbc\xfe <wei@example.org>", "测试邮件",
			"wei@example.org" },
		{ " Wei wei@example.org", "Wei", "wei@example.org" },
		{ " wei @ example . org", "", "wei@example.org" },
		{ " 测 <测@例子.中国>", "测", "测@例子.中国" },
		{ " Wei <wei@example.org", "Wei", "wei@example.org" },
		{ " Nobody", "Nobody", "" },
	};
	struct letter_address *list;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct arena arena = { .max = 4096 };

		assert_int_equal(letter_field_addresses(str_of(cases[i].raw), &arena, &list), 1);
		assert_str(list[0].name, str_of(cases[i].name));
		assert_str(list[0].email, str_of(cases[i].email));
		assert_false(list[0].is_in_group);
		arena_free(&arena);
	}
}

static void
test_groups_are_told_apart(void **state)
{
	struct arena arena = { .max = 8192 };
	struct letter_address *list;

	(void)state;
	assert_int_equal(letter_field_addresses(
				 S("a@x, Friends: b@x, C <c@x>;, Nobody:;, d@x"), &arena, &list),
		5);
	assert_false(list[0].is_in_group);
	assert_true(list[1].is_in_group && list[1].begins_group);
	assert_str(list[1].group, S("Friends"));
	assert_true(list[2].is_in_group && !list[2].begins_group);
	assert_str(list[2].name, S("C"));
	assert_true(list[3].begins_group);
	assert_str(list[3].group, S("Nobody"));
	assert_int_equal(list[3].email.n, 0);
	assert_false(list[4].is_in_group);
	arena_free(&arena);
}

static void
test_text_of_fields(void **state)
{
	(void)state;
	assert_str(field_text(S(" =?utf-8?B?5rWL?=\r\n =?utf-8?B?6K+V?= and =?x?=")),
		S("测试 and =?x?="));
	assert_str(field_text(S(" =?utf-8?B?5rU=?= =?utf-8?B?iw==?=")),
		S("测")); /* cut in a character */
	assert_str(field_text(S(" =?utf-8*en?q?a=0D=0Ab_c?=")), S("a  b c"));
	assert_str(field_text(S(" one\r\n two")), S("one two"));
	assert_str(field_text(S(" =?iso-2022-jp?B?GyRCMnE1RBsoQg==?=")), S("会議"));
}

static void
test_ids_and_urls_lose_their_brackets(void **state)
{
	struct arena arena = { .max = 4096 };
	struct str *list;

	(void)state;
	assert_int_equal(letter_field_ids(S(" <a@x>\r\n\t<b@x>"), &arena, &list), 2);
	assert_str(list[1], S("b@x"));
	assert_int_equal(letter_field_ids(S(" bare@x "), &arena, &list), 1);
	assert_str(list[0], S("bare@x"));
	assert_int_equal(letter_field_ids(S(" <>"), &arena, &list), 0);
	assert_int_equal(
		letter_field_urls(S(" (comment) <https://x/u?a,b>, <mailto:u@x>"), &arena, &list),
		2);
	assert_str(list[0], S("https://x/u?a,b"));
	arena_free(&arena);
}

static void
test_dates(void **state)
{
	static const struct {
		const char *raw;
		int64_t unix_s;
		int offset;
	} cases[] = {
		{ " Mon, 23 Nov 2026 05:19:00 +0800 (CST)", 1795382340, 480 },
		{ " 23 Nov 26 05:19 EST", 1795429140, -300 },
		{ " Tue, 30 Dec 1969 23:32:54 -0330", -75426, -210 },
		{ " Mon, 29 Feb 2016 12:00:00", 1456747200, 0 },
	};
	int64_t unix_s;
	int offset;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_true(letter_field_date(str_of(cases[i].raw), &unix_s, &offset));
		assert_int_equal(unix_s, cases[i].unix_s);
		assert_int_equal(offset, cases[i].offset);
	}
	assert_false(letter_field_date(S(" yesterday"), &unix_s, &offset));
	assert_false(letter_field_date(S(" 99 Nov 2026 05:19"), &unix_s, &offset));
}

/* ── too much ── */

/* n times, with the number in place of each '#'. */
static void
repeat(struct buf *to, const char *piece, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (const char *p = piece; *p; p++)
			if (*p == '#')
				buf_add_u64(to, i);
			else
				buf_add_char(to, *p);
}

static void
test_what_is_too_much_is_its_source(void **state)
{
	static const struct {
		const char *piece;
		unsigned within, beyond;
	} cases[] = {
		{ "Content-Type: multipart/mixed; boundary=b#\n\n--b#\n", LETTER_DEPTH_MAX,
			LETTER_DEPTH_MAX + 1 },
		{ "--b0\n\nx\n", LETTER_PARTS_MAX - 1, LETTER_PARTS_MAX },
		{ "X: #\n", LETTER_FIELDS_MAX - 2, LETTER_FIELDS_MAX + 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (int is_beyond = 0; is_beyond < 2; is_beyond++) {
			struct buf message = { .max = 4 << 20 };
			struct letter *l;

			buf_add(&message, S("Subject: bomb\n"));
			if (i == 1)
				buf_add(&message,
					S("Content-Type: multipart/mixed; boundary=b0\n\n"));
			repeat(&message, cases[i].piece,
				is_beyond ? cases[i].beyond : cases[i].within);
			buf_add(&message, S("\nend"));
			l = letter_open(buf_str(&message));
			assert_int_equal(letter_is_source(l), is_beyond);
			assert_str(field_text(letter_field(letter_root(l), S("Subject"))->raw),
				S("bomb"));
			if (is_beyond) {
				assert_str(text_of(l, "1"), buf_str(&message));
				assert_int_equal(letter_view(l)->text_n, 1);
			}
			letter_free(&l);
			buf_free(&message);
		}
}

static void
test_a_header_without_end_is_source(void **state)
{
	struct buf message = { .max = 4 << 20 };
	struct letter *l;

	(void)state;
	buf_add(&message, S("Subject: "));
	while (message.n < LETTER_HEADER_MAX + 10)
		buf_add(&message, S("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n "));
	l = letter_open(buf_str(&message));
	assert_true(letter_is_source(l));
	letter_free(&l);
	buf_free(&message);
}

static int
forget(void **state)
{
	(void)state;
	buf_free(&text);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_tree_has_its_parts_in_order),
		cmocka_unit_test(test_a_view_says_what_is_read_and_what_hangs_on),
		cmocka_unit_test(test_broken_messages_are_read_all_the_same),
		cmocka_unit_test(test_names_come_in_every_way),
		cmocka_unit_test(test_old_charsets_read_right),
		cmocka_unit_test(test_text_tells_what_is_wrong_with_it),
		cmocka_unit_test(test_words_of_html_are_what_one_reads),
		cmocka_unit_test(test_a_preview_leaves_out_what_others_wrote),
		cmocka_unit_test(test_a_summary_is_what_a_list_shows),
		cmocka_unit_test(test_addresses_come_in_every_form),
		cmocka_unit_test(test_groups_are_told_apart),
		cmocka_unit_test(test_text_of_fields),
		cmocka_unit_test(test_ids_and_urls_lose_their_brackets),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_what_is_too_much_is_its_source),
		cmocka_unit_test(test_a_header_without_end_is_source),
	};

	letter_prepare();
	return cmocka_run_group_tests(tests, NULL, forget);
}
