/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_write.h"
#include "role/reader/letter.h"
#include "unit.h"

/* What an Email of JMAP becomes (jmap_compose*.c): octets where they are said by an RFC, else what our own reader reads of them again. */

enum { MESSAGE_MAX = 200000 };

/* ── blobs, of which there are these ── */

#define CHINESE "\xe6\x8a\xa5\xe4\xbb\xb7" /* 报价, a quotation */

static const struct {
	struct str id, type, octets;
} blobs[] = {
	{ S("Upicture"), S("image/png"), S("\x89PNG\r\n\x1a\n") },
	{ S("Uletter"), S("message/rfc822"), S("Subject: inner\n\nlines of\na Maildir\n") },
	{ S("Ueight"), S("message/rfc822"),
		S("Subject: inner\r\n\r\nGr\xc3\xbc\xc3\x9f"
		  "e\r\n") },
	{ S("Utext"), S("text/plain"), S("a text in a blob") },
	{ S("Ulatin"), S("text/plain"),
		S("Gr\xfc\xdf"
		  "e") },
};
static char big[MESSAGE_MAX];
static unsigned open_blobs;

bool
blob_open(struct reader *r, struct str id, struct blob *b)
{
	(void)r;
	for (size_t i = 0; i < sizeof blobs / sizeof *blobs; i++)
		if (str_eq(id, blobs[i].id)) {
			*b = (struct blob){ .octets = blobs[i].octets, .type = blobs[i].type };
			open_blobs++;
			return true;
		}
	if (!str_eq(id, S("Ubig")))
		return false;
	*b = (struct blob){ .octets = { big, sizeof big / 2 } };
	open_blobs++;
	return true;
}

void
blob_close(struct blob *b)
{
	if (b->octets.p)
		open_blobs--;
	*b = (struct blob){ 0 };
}

/* ── tools ── */

/* JSON, in which ' stands for ". */
static json_t *
json(const char *text)
{
	struct buf octets = { .max = 1 << 20 };
	json_error_t e;
	json_t *j;

	for (; *text; text++)
		buf_add_char(&octets, *text == '\'' ? '"' : *text);
	j = json_loadb(octets.p, octets.n, JSON_ALLOW_NUL, &e);
	if (!j)
		fail_msg("%s in %.*s", e.text, STR_ARG(buf_str(&octets)));
	buf_free(&octets);
	return j;
}

static bool
compose(json_t *email, struct buf *message, json_t **error)
{
	static char login[] = "wei@example.org";
	struct reader reader = { .login = { .p = login, .n = sizeof login - 1 } };
	bool is_good;

	*message = (struct buf){ .max = MESSAGE_MAX };
	*error = NULL;
	is_good = jmap_compose(&reader, email, message, error);
	assert_int_equal(open_blobs, 0);
	assert_int_equal(is_good, *error == NULL);
	return is_good;
}

/* The message of this Email. */
static struct str
message(struct buf *to, const char *email)
{
	json_t *j = json(email), *error;

	buf_free(to);
	if (!compose(j, to, &error))
		fail_msg("%s: %s", email, json_dumps(error, JSON_COMPACT));
	json_decref(j);
	return buf_str(to);
}

/* What of a field comes back; the field must be there. */
static struct str
field(struct str octets, const char *name, struct buf *text)
{
	struct letter *l = letter_open(octets);
	const struct letter_field *f = letter_field(letter_root(l), str_of(name));

	*text = (struct buf){ .max = 10000 };
	assert_non_null(f);
	letter_field_text(f->raw, text);
	letter_free(&l);
	return buf_str(text);
}

/* The types of a tree, "multipart/mixed(text/plain image/png)". */
static void
add_tree(struct buf *to, const struct letter_part *p)
{
	buf_add(to, p->type);
	for (size_t i = 0; i < p->sub_n; i++) {
		buf_add_char(to, i ? ' ' : '(');
		add_tree(to, p->sub[i]);
	}
	if (p->sub_n)
		buf_add_char(to, ')');
}

static void
assert_tree(const char *email, const char *want)
{
	struct buf octets = { 0 }, tree = { .max = 2000 };
	struct letter *l = letter_open(message(&octets, email));

	add_tree(&tree, letter_root(l));
	assert_str(buf_str(&tree), str_of(want));
	letter_free(&l);
	buf_free(&tree);
	buf_free(&octets);
}

/* Refused as `type`; invalidProperties name `property`. */
static void
assert_refused(const char *email, const char *type, const char *property)
{
	json_t *j = json(email), *error;
	struct buf to;

	if (compose(j, &to, &error))
		fail_msg("taken: %s", email);
	assert_int_equal(to.n, 0);
	assert_string_equal(json_string_value(json_object_get(error, "type")), type);
	if (property) {
		const char *named =
			json_string_value(json_array_get(json_object_get(error, "properties"), 0));

		if (!named || strcmp(named, property) != 0)
			fail_msg("%s: named %s, want %s", email, named ? named : "none", property);
	}
	json_decref(error);
	json_decref(j);
	buf_free(&to);
}

/* ── the header ── */

static void
test_a_plain_mail_is_these_octets(void **state)
{
	struct buf to = { 0 };

	(void)state;
	assert_str(
		message(&to, "{'from':[{'name':'Wei','email':'wei@example.org'}],'to':[{'name':"
			     "null,'email':'bob@example.net'}],"
			     "'cc':[{'name':'O\\\"Neil, \\\\ "
			     "Ann','email':'ann@example.net'}],'bcc':[{'email':'eve@example.net'}],"
			     "'replyTo':[{'email':'desk@example.org'}],'sender':[{'email':'sec@"
			     "example.org'}],'subject':'Hello',"
			     "'sentAt':'2026-11-23T18:00:00Z','messageId':['1@example.org'],'"
			     "inReplyTo':['a@b'],"
			     "'references':['z@b','not an "
			     "id','a@b'],'textBody':[{'partId':'t'}],'bodyValues':{'t':{'value':'"
			     "Hi\\nBob'}}}"),
		S("From: Wei <wei@example.org>\r\n"
		  "Reply-To: desk@example.org\r\n"
		  "To: bob@example.net\r\n"
		  "Cc: \"O\\\"Neil, \\\\ Ann\" <ann@example.net>\r\n"
		  "Bcc: eve@example.net\r\n"
		  "Subject: Hello\r\n"
		  "Date: Mon, 23 Nov 2026 18:00:00 +0000\r\n"
		  "Message-ID: <1@example.org>\r\n"
		  "Sender: sec@example.org\r\n"
		  "In-Reply-To: <a@b>\r\n"
		  "References: <z@b> <a@b>\r\n"
		  "MIME-Version: 1.0\r\n"
		  "Content-Type: text/plain; charset=us-ascii\r\n"
		  "Content-Transfer-Encoding: 7bit\r\n"
		  "\r\n"
		  "Hi\r\nBob\r\n"));
	buf_free(&to);
}

static void
test_what_is_not_said_is_filled_in(void **state)
{
	struct buf one = { 0 }, two = { 0 }, text, other;

	(void)state;
	assert_str(field(message(&one, "{}"), "From", &text), S("wei@example.org"));
	buf_free(&text);
	field(buf_str(&one), "Date", &text);
	assert_true(text.n > 20);
	buf_free(&text);
	field(buf_str(&one), "Message-ID", &text);
	assert_true(str_ends_nocase(buf_str(&text), S("@example.org>")));
	field(message(&two, "{}"), "Message-ID", &other);
	assert_false(str_eq(buf_str(&text), buf_str(&other)));
	buf_free(&text);
	buf_free(&other);
	buf_free(&one);
	buf_free(&two);
}

static void
test_other_letters_come_back(void **state)
{
	struct arena arena = { .max = 100000 };
	struct letter_address *list;
	struct buf to = { 0 }, text;
	struct letter *l;

	(void)state;
	message(&to, "{'subject':'" CHINESE "','to':[{'name':'" CHINESE
		     " \\\"x\\\"','email':'bob@example.net'}]}");
	assert_str(field(buf_str(&to), "Subject", &text), S(CHINESE));
	l = letter_open(buf_str(&to));
	assert_int_equal(
		letter_field_addresses(letter_field(letter_root(l), S("To"))->raw, &arena, &list),
		1);
	assert_str(list[0].name, S(CHINESE " \"x\""));
	assert_str(list[0].email, S("bob@example.net"));
	letter_free(&l);
	arena_free(&arena);
	buf_free(&text);
	buf_free(&to);
}

static void
test_header_properties_in_each_form(void **state)
{
	static const struct {
		const char *email, *field, *text;
	} rows[] = {
		{ "{'header:X-Mine':'as it is'}", "X-Mine", "as it is" },
		{ "{'header:X-Mine:asText':'" CHINESE "'}", "X-Mine", CHINESE },
		{ "{'header:X-Mine:asMessageIds':['a@b','c@d']}", "X-Mine", "<a@b> <c@d>" },
		{ "{'header:List-Unsubscribe:asURLs':['https://example.org/"
		  "u','mailto:u@example.org']}",
			"List-Unsubscribe", "<https://example.org/u>, <mailto:u@example.org>" },
		{ "{'header:Resent-Date:asDate':'2026-11-23T18:00:00Z'}", "Resent-Date",
			"Mon, 23 Nov 2026 18:00:00 +0000" },
		{ "{'header:Resent-To:asAddresses':[{'name':'A, B','email':'a@b.example'}]}",
			"Resent-To", "\"A, B\" <a@b.example>" },
		{ "{'header:To:asGroupedAddresses':[{'name':'G','addresses':[{'email':'a@b.example'"
		  "}]},{'name':null,'addresses':[{'email':'c@d.example'}]}]}",
			"To", "a@b.example, c@d.example" },
		{ "{'header:SUBJECT:asText':'shouted'}", "Subject", "shouted" },
		{ "{'header:Subject':' =?utf-8?q?raw?='}", "Subject", "raw" },
		{ "{'header:To':' Ann <ann@example.net>, bob@example.net'}", "To",
			"Ann <ann@example.net>, bob@example.net" },
		{ "{'header:Message-ID':' <x@y>'}", "Message-ID", "<x@y>" },
		{ "{'header:Date':' Mon, 23 Nov 2026 19:00:00 +0100'}", "Date",
			"Mon, 23 Nov 2026 18:00:00 +0000" },
		{ "{'header:X-Mine:asText:all':['one','two']}", "X-Mine", "two" },
		{ "{'header:X-Mine':null,'subject':'x'}", "Subject", "x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf to = { 0 }, text;

		assert_str(str_trim(field(message(&to, rows[i].email), rows[i].field, &text)),
			str_of(rows[i].text));
		buf_free(&text);
		buf_free(&to);
	}
}

static void
test_what_no_header_may_say(void **state)
{
	static const struct {
		const char *email, *property;
	} rows[] = {
		{ "{'subject':5}", "subject" },
		{ "{'to':'bob@example.net'}", "to" },
		{ "{'to':[{'name':'x'}]}", "to" },
		{ "{'to':[{'email':'two words@example.net'}]}", "to" },
		{ "{'to':[{'email':'a@b>, <c@d'}]}", "to" },
		{ "{'from':[{'email':'a@b'},{'email':'c@d'}]}", "from" },
		{ "{'messageId':['a@b','c@d']}", "messageId" },
		{ "{'sentAt':'yesterday'}", "sentAt" },
		{ "{'id':'x'}", "id" },
		{ "{'headers':[]}", "headers" },
		{ "{'header:Content-Type':'text/plain'}", "header:Content-Type" },
		{ "{'header:Return-Path':'x'}", "header:Return-Path" },
		{ "{'header:':'x'}", "header:" },
		{ "{'header:a b':'x'}", "header:a b" },
		{ "{'header:X:asNothing':'x'}", "header:X:asNothing" },
		{ "{'header:Subject:asDate':'2026-11-23T18:00:00Z'}", "header:Subject:asDate" },
		{ "{'header:X:all':'x'}", "header:X:all" },
		{ "{'subject':'x','header:Subject:asText':'y'}", "header:Subject:asText" },
		{ "{'header:X':'1','header:x:asText':'2'}", "header:x:asText" },
		{ "{'header:X:asURLs':['not one']}", "header:X:asURLs" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_refused(rows[i].email, "invalidProperties", rows[i].property);
}

/* Each place for a string, with the name that the error has; %s is where the string stands. */
static const struct {
	const char *email, *property;
} places[] = {
	{ "{'subject':'%s'}", "subject" },
	{ "{'to':[{'name':'%s','email':'a@b'}]}", "to" },
	{ "{'to':[{'email':'%s'}]}", "to" },
	{ "{'cc':[{'name':'%s','email':'a@b'}]}", "cc" },
	{ "{'bcc':[{'name':'%s','email':'a@b'}]}", "bcc" },
	{ "{'from':[{'name':'%s','email':'a@b'}]}", "from" },
	{ "{'sender':[{'name':'%s','email':'a@b'}]}", "sender" },
	{ "{'replyTo':[{'name':'%s','email':'a@b'}]}", "replyTo" },
	{ "{'messageId':['%s']}", "messageId" },
	{ "{'inReplyTo':['%s']}", "inReplyTo" },
	{ "{'references':['a@b','%s']}", "references" },
	{ "{'sentAt':'%s'}", "sentAt" },
	{ "{'header:X':'%s'}", "header:X" },
	{ "{'header:X:asText':'%s'}", "header:X:asText" },
	{ "{'header:X:asText:all':['a','%s']}", "header:X:asText:all" },
	{ "{'header:X:asURLs':['%s']}", "header:X:asURLs" },
	{ "{'header:X:asMessageIds':['%s']}", "header:X:asMessageIds" },
	{ "{'header:Subject':'%s'}", "header:Subject" },
	{ "{'attachments':[{'blobId':'Upicture','name':'%s'}]}", "attachments/0/name" },
	{ "{'attachments':[{'blobId':'Upicture','type':'%s'}]}", "attachments/0/type" },
	{ "{'attachments':[{'blobId':'Upicture','cid':'%s'}]}", "attachments/0/cid" },
	{ "{'attachments':[{'blobId':'Utext','charset':'%s'}]}", "attachments/0/charset" },
	{ "{'attachments':[{'blobId':'Utext','disposition':'%s'}]}", "attachments/0/disposition" },
	{ "{'bodyStructure':{'blobId':'Upicture','name':'%s'}}", "bodyStructure/name" },
};

static void
test_nothing_ends_a_line(void **state)
{
	static const char *const evil[] = { "x@y\\r\\nBcc: eve@example.net",
		"x@y\\nBcc: eve@example.net", "x@y\\rBcc: eve@example.net", "x@y\\u0000",
		"\\r\\n\\r\\nbody" };
	char email[400];

	(void)state;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		for (size_t k = 0; k < sizeof evil / sizeof *evil; k++) {
			const char *at = strstr(places[i].email, "%s");

			snprintf(email, sizeof email, "%.*s%s%s", (int)(at - places[i].email),
				places[i].email, evil[k], at + 2);
			assert_refused(email, "invalidProperties", places[i].property);
		}
}

/* ── the body ── */

#define VALUES "'bodyValues':{'t':{'value':'text'},'h':{'value':'<b>html</b>'}}"
#define TEXT   "'textBody':[{'partId':'t','type':'text/plain'}],"
#define HTML   "'htmlBody':[{'partId':'h'}],"
#define PICTURE                                                                 \
	"{'blobId':'Upicture','cid':'p1','disposition':'inline','type':'image/" \
	"png','name':'p.png'}"

static void
test_lists_become_the_tree_that_all_understand(void **state)
{
	static const struct {
		const char *email, *tree;
	} rows[] = {
		{ "{}", "text/plain" },
		{ "{" TEXT VALUES "}", "text/plain" },
		{ "{" HTML VALUES "}", "text/html" },
		{ "{" TEXT HTML VALUES "}", "multipart/alternative(text/plain text/html)" },
		{ "{" TEXT HTML VALUES ",'attachments':[" PICTURE "]}",
			"multipart/alternative(text/plain multipart/related(text/html "
			"image/png))" },
		{ "{" TEXT HTML VALUES ",'attachments':[" PICTURE
		  ",{'blobId':'Upicture','cid':'p2','disposition':'attachment'}]}",
			"multipart/mixed(multipart/alternative(text/plain "
			"multipart/related(text/html image/png)) image/png)" },
		{ "{" TEXT VALUES ",'attachments':[" PICTURE "]}",
			"multipart/mixed(text/plain image/png)" },
		{ "{'attachments':[{'blobId':'Upicture'}]}", "multipart/mixed(image/png)" },
		{ "{" TEXT VALUES ",'attachments':[{'blobId':'Uletter'}]}",
			"multipart/mixed(text/plain message/rfc822)" },
		{ "{" TEXT VALUES ",'attachments':[{'blobId':'Ueight'}]}",
			"multipart/mixed(text/plain application/octet-stream)" },
		{ "{" TEXT VALUES
		  ",'attachments':[{'partId':'h','name':'x.html','type':'text/html'}]}",
			"multipart/mixed(text/plain text/html)" },
		{ "{'textBody':[{'blobId':'Utext'}]}", "text/plain" },
		{ "{'bodyStructure':{'partId':'t'}," VALUES "}", "text/plain" },
		{ "{'bodyStructure':{'type':'multipart/"
		  "alternative','subParts':[{'partId':'t','type':'text/"
		  "plain'},{'partId':'h','type':'text/html'}]}," VALUES "}",
			"multipart/alternative(text/plain text/html)" },
		{ "{'bodyStructure':{'type':'multipart/mixed','subParts':[{'type':'multipart/"
		  "related','subParts':[{'partId':'h','type':'text/html'}," PICTURE
		  "]},{'partId':'t','type':'text/"
		  "plain','disposition':'attachment','name':'t.txt'}]}," VALUES "}",
			"multipart/mixed(multipart/related(text/html image/png) text/plain)" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_tree(rows[i].email, rows[i].tree);
}

static void
test_attachments_come_back(void **state)
{
	struct buf to = { 0 }, octets = { .max = 1000 };
	const struct letter_view *view;
	struct letter *l;

	(void)state;
	l = letter_open(
		message(&to, "{" TEXT VALUES ",'attachments':[{'blobId':'Upicture','name':'" CHINESE
			     ".png','cid':'c@d','disposition':'attachment'},"
			     "{'partId':'t','name':'../../"
			     "a\\tb.txt','charset':null},{'blobId':'Ulatin','type':'text/"
			     "plain','charset':'iso-8859-1'},"
			     "{'blobId':'Uletter'}]}"));
	view = letter_view(l);
	assert_int_equal(view->attachments_n, 4);
	assert_str(view->attachments[0]->name, S(CHINESE ".png"));
	assert_str(view->attachments[0]->cid, S("c@d"));
	assert_true(letter_octets(l, view->attachments[0], &octets));
	assert_str(buf_str(&octets), blobs[0].octets);
	assert_str(view->attachments[1]->name, S("a_b.txt"));
	assert_str(view->attachments[1]->charset, S("utf-8"));
	assert_str(view->attachments[2]->charset, S("iso-8859-1"));
	buf_reset(&octets);
	assert_true(letter_octets(l, view->attachments[3], &octets));
	assert_str(buf_str(&octets), S("Subject: inner\r\n\r\nlines of\r\na Maildir\r\n"));
	letter_free(&l);
	buf_free(&octets);
	buf_free(&to);
}

/* The composer asks for it in several pieces. */
static void
test_a_large_attachment_comes_back(void **state)
{
	struct buf to = { 0 }, octets = { .max = MESSAGE_MAX };
	struct letter *l;

	(void)state;
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(i % 251);
	l = letter_open(message(
		&to, "{" TEXT VALUES ",'attachments':[{'blobId':'Upicture'},{'blobId':'Ubig'}]}"));
	assert_true(letter_octets(l, letter_root(l)->sub[2], &octets));
	assert_str(buf_str(&octets), ((struct str){ big, sizeof big / 2 }));
	letter_free(&l);
	buf_free(&octets);
	buf_free(&to);
}

static void
test_what_no_body_may_say(void **state)
{
	static const struct {
		const char *email, *property;
	} rows[] = {
		{ "{'textBody':'t'}", "textBody" },
		{ "{'textBody':[{'partId':'t'},{'partId':'h'}]," VALUES "}", "textBody" },
		{ "{'textBody':[{'partId':'h','type':'text/html'}]," VALUES "}",
			"textBody/0/type" },
		{ "{'textBody':[{'partId':'no'}]," VALUES "}", "textBody/0/partId" },
		{ "{'textBody':[{'partId':'t','blobId':'Utext'}]," VALUES "}", "textBody/0" },
		{ "{'textBody':[{}]}", "textBody/0" },
		{ "{'textBody':[5]}", "textBody/0" },
		{ "{'textBody':[{'partId':'t','charset':'utf-8'}]," VALUES "}",
			"textBody/0/charset" },
		{ "{'textBody':[{'blobId':'Ulatin'}]}", "textBody/0" },
		{ "{'textBody':[{'partId':'t'}],'bodyValues':{'t':{'value':'x\\u0000y'}}}",
			"textBody/0" },
		{ "{'textBody':[{'partId':'t'}],'bodyValues':{'t':{'value':'x','isTruncated':true}}"
		  "}",
			"bodyValues" },
		{ "{'textBody':[{'partId':'t','header:X':'y'}]," VALUES "}",
			"textBody/0/header:X" },
		{ "{'bodyValues':5}", "bodyValues" },
		{ "{'attachments':{}}", "attachments" },
		{ "{'attachments':[{'blobId':'Upicture','cid':'a b'}]}", "attachments/0/cid" },
		{ "{'attachments':[{'blobId':'Upicture','type':'image'}]}", "attachments/0/type" },
		{ "{'attachments':[{'blobId':'Upicture','type':'image/png; a=b'}]}",
			"attachments/0/type" },
		{ "{'bodyStructure':{'partId':'t'},'textBody':[]}", "textBody" },
		{ "{'bodyStructure':{'type':'multipart/signed','subParts':[{'partId':'t'}]}," VALUES
		  "}",
			"bodyStructure/type" },
		{ "{'bodyStructure':{'type':'multipart/mixed','subParts':[]}}",
			"bodyStructure/subParts" },
		{ "{'bodyStructure':{'type':'text/plain','partId':'t','subParts':[{}]}," VALUES "}",
			"bodyStructure/subParts" },
		{ "{'bodyStructure':[]}", "bodyStructure" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_refused(rows[i].email, "invalidProperties", rows[i].property);
}

static void
test_blobs_that_are_not_there_are_all_named(void **state)
{
	json_t *email = json("{'attachments':[{'blobId':'Uno'},{'blobId':'Upicture'},{'blobId':'"
			     "Unor'}]}"),
	       *error, *want = json("['Uno','Unor']");
	struct buf to;

	(void)state;
	assert_false(compose(email, &to, &error));
	assert_string_equal(json_string_value(json_object_get(error, "type")), "blobNotFound");
	assert_true(json_equal(json_object_get(error, "notFound"), want));
	json_decref(want);
	json_decref(error);
	json_decref(email);
	buf_free(&to);
}

static void
test_limits(void **state)
{
	json_t *email = json_object(), *parts = json_array(), *error;
	struct buf to;

	(void)state;
	assert_refused("{'attachments':[{'blobId':'Ubig'},{'blobId':'Ubig'},{'blobId':'Ubig'}]}",
		"tooLarge", NULL);
	assert_refused("{'attachments':[{'blobId':'Ubig'},{'blobId':'Ubig'}]}", "tooLarge",
		NULL); /* in base64 alone */
	for (size_t i = 0; i <= COMPOSE_PARTS_MAX; i++)
		json_array_append_new(parts, json_pack("{s:s}", "blobId", "Upicture"));
	json_object_set_new(email, "attachments", parts);
	assert_false(compose(email, &to, &error));
	assert_string_equal(json_string_value(json_object_get(error, "type")), "invalidProperties");
	json_decref(error);
	json_decref(email);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_mail_is_these_octets),
		cmocka_unit_test(test_what_is_not_said_is_filled_in),
		cmocka_unit_test(test_other_letters_come_back),
		cmocka_unit_test(test_header_properties_in_each_form),
		cmocka_unit_test(test_what_no_header_may_say),
		cmocka_unit_test(test_nothing_ends_a_line),
		cmocka_unit_test(test_lists_become_the_tree_that_all_understand),
		cmocka_unit_test(test_attachments_come_back),
		cmocka_unit_test(test_a_large_attachment_comes_back),
		cmocka_unit_test(test_what_no_body_may_say),
		cmocka_unit_test(test_blobs_that_are_not_there_are_all_named),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
