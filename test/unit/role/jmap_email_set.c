/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_email.h"
#include "unit.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

/* Email/set, Email/import, Email/copy and Contact/suggest over a real mailbox, looked at in its files. */

static char directory[] = "/tmp/posthouse-set-XXXXXX";
static struct reader reader;
static struct jmap_request request;
static struct str inbox, drafts, archive, sent;
static unsigned told;

/* ── what the rest of the reader would do ── */

static struct str blob_octets;

bool
blob_open(struct reader *r, struct str id, struct blob *b)
{
	(void)r;
	*b = (struct blob){ .octets = blob_octets };
	return str_eq(id, S("Ublob"));
}

void
blob_close(struct blob *b)
{
	*b = (struct blob){ 0 };
}

void
reader_news(struct reader *r)
{
	(void)r;
	told++;
}

/* ── tools ── */

/* JSON, in which ' stands for ", and ~i, ~d, ~a, ~s for the ids of the inbox, the drafts, the archive, what was sent. */
static json_t *json(const char *form, ...) __attribute__((format(printf, 1, 2)));

static json_t *
json(const char *form, ...)
{
	struct buf octets = { .max = 10000 };
	char text[4000];
	json_error_t e;
	json_t *j;
	va_list list;

	va_start(list, form);
	vsnprintf(text, sizeof text, form, list);
	va_end(list);
	for (const char *p = text; *p; p++)
		if (*p == '~') {
			p++;
			buf_add(&octets, *p == 'i'   ? inbox
					 : *p == 'd' ? drafts
					 : *p == 'a' ? archive
						     : sent);
		} else
			buf_add_char(&octets, *p == '\'' ? '"' : *p);
	j = json_loadb(octets.p, octets.n, 0, &e);
	if (!j)
		fail_msg("%s in %.*s", e.text, STR_ARG(buf_str(&octets)));
	buf_free(&octets);
	return j;
}

static json_t *
call(jmap_method *method, json_t *arguments)
{
	json_t *answer = NULL;

	json_object_set_new(arguments, "accountId", json_string("a"));
	assert_int_equal(method(&request, arguments, &answer), JMAP_DONE);
	assert_non_null(answer);
	json_decref(arguments);
	return answer;
}

/* A value deep in an answer: "created", "k", "id". Ends with NULL. */
static const char *
text_at(const json_t *j, ...)
{
	va_list list;

	va_start(list, j);
	for (const char *key; (key = va_arg(list, const char *));)
		j = json_is_array(j) ? json_array_get(j, (size_t)(key[0] - '0'))
				     : json_object_get(j, key);
	va_end(list);
	return json_string_value(j) ? json_string_value(j) : "(none)";
}

/* How many files lie in a folder ("" or ".Drafts") with these flags in their names. */
static unsigned
count_files(const char *folder, const char *flags)
{
	static const char *const both[] = { "new", "cur" };
	unsigned n = 0;

	for (size_t i = 0; i < 2; i++) {
		char path[200], *info;
		struct dirent *one;
		DIR *d;

		snprintf(path, sizeof path, "%s/%s/%s", directory, folder, both[i]);
		d = opendir(path);
		while (d && (one = readdir(d)))
			if (one->d_name[0] != '.') {
				info = strstr(one->d_name, ":2,");
				n += strcmp(info ? info + 3 : "", flags) == 0;
			}
		if (d)
			closedir(d);
	}
	return n;
}

static const char *
made(json_t **answer)
{
	*answer = call(jmap_email_set, json("{'create':{'k':{'mailboxIds':{'~d':true},'keywords':{'"
					    "$draft':true,'$seen':true},"
					    "'subject':'first','textBody':[{'partId':'t'}],'"
					    "bodyValues':{'t':{'value':'x'}}}}}"));
	return text_at(*answer, "created", "k", "id", NULL);
}

static int
set_up(void **state)
{
	static char login[] = "wei@example.org";
	struct err e = { 0 };
	struct box_folder f;

	(void)state;
	assert_non_null(mkdtemp(directory));
	reader.login = (struct buf){ .p = login, .n = sizeof login - 1 };
	reader.role.config.limits.message = 100000;
	if (!box_open(&reader.box, str_of(directory), &e))
		fail_msg("%s", e.text);
	request = (struct jmap_request){ .reader = &reader,
		.box = reader.box,
		.created = json_object(),
		.arena = { .max = 4 << 20 } };
	while (!box_look(reader.box, 1000, &e))
		assert_false(err_is(&e));
	assert_true(box_folder_of_role(reader.box, BOX_INBOX, &request.arena, &f));
	inbox = str_of(arena_text(&request.arena, f.id));
	assert_true(box_folder_of_role(reader.box, BOX_DRAFTS, &request.arena, &f));
	drafts = str_of(arena_text(&request.arena, f.id));
	assert_true(box_folder_of_role(reader.box, BOX_ARCHIVE, &request.arena, &f));
	archive = str_of(arena_text(&request.arena, f.id));
	assert_true(box_folder_of_role(reader.box, BOX_SENT, &request.arena, &f));
	sent = str_of(arena_text(&request.arena, f.id));
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int
tear_down(void **state)
{
	(void)state;
	box_close(&reader.box);
	json_decref(request.created);
	arena_free(&request.arena);
	return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ── tests; each begins and ends with an empty mailbox ── */

static void
test_create_change_move_destroy(void **state)
{
	unsigned before = told;
	json_t *answer;
	char id[BOX_ID];

	(void)state;
	snprintf(id, sizeof id, "%s", made(&answer));
	assert_int_equal(count_files(".Drafts", "DS"), 1);
	assert_string_equal(text_at(answer, "created", "k", "blobId", NULL), id);
	assert_string_not_equal(
		text_at(answer, "oldState", NULL), text_at(answer, "newState", NULL));
	assert_true(json_is_null(json_object_get(answer, "notCreated")));
	assert_int_equal(told, before + 1);
	json_decref(answer);

	answer = call(jmap_email_set,
		json("{'update':{'%s':{'keywords/$flagged':true,'keywords/$draft':null}}}", id));
	assert_true(json_is_null(json_object_get(json_object_get(answer, "updated"), id)));
	assert_int_equal(json_object_size(json_object_get(answer, "updated")), 1);
	assert_int_equal(count_files(".Drafts", "FS"), 1);
	json_decref(answer);

	answer = call(jmap_email_set, json("{'update':{'#k':{'mailboxIds/~d':null,'mailboxIds/"
					   "~a':true,'keywords':{'$Seen':true}}}}"));
	assert_int_equal(json_object_size(json_object_get(answer, "updated")), 1);
	assert_int_equal(count_files(".Drafts", "FS"), 0);
	assert_int_equal(count_files(".Archive", "S"), 1);
	json_decref(answer);

	answer = call(jmap_email_set, json("{'destroy':['%s','%s']}", id, "Mnone"));
	assert_string_equal(text_at(answer, "destroyed", "0", NULL), id);
	assert_string_equal(text_at(answer, "notDestroyed", "Mnone", "type", NULL), "notFound");
	assert_int_equal(count_files(".Archive", "S"), 0);
	json_decref(answer);

	answer = call(jmap_email_set, json("{'destroy':['%s']}", id)); /* another window's */
	assert_string_equal(text_at(answer, "notDestroyed", id, "type", NULL), "notFound");
	json_decref(answer);
}

static void
test_an_update_that_does_not_fit(void **state)
{
	static const struct {
		const char *patch, *type, *property;
	} rows[] = {
		{ "{'subject':'another'}", "invalidProperties", "subject" },
		{ "{'subject':null}", "invalidProperties", "subject" },
		{ "{'size':1}", "invalidProperties", "size" },
		{ "{'keywordsX':null}", "invalidProperties", "keywordsX" },
		{ "{'keywords/mine':true}", "invalidProperties", "keywords" },
		{ "{'keywords/$seen':false}", "invalidProperties", "keywords" },
		{ "{'keywords':5}", "invalidProperties", "keywords" },
		{ "{'mailboxIds':{}}", "invalidProperties", "mailboxIds" },
		{ "{'mailboxIds':{'none':true}}", "invalidProperties", "mailboxIds" },
		{ "{'mailboxIds':{'#none':true}}", "invalidProperties", "mailboxIds" },
		{ "{'mailboxIds/another':true}", "tooManyMailboxes", NULL },
		{ "{'keywords/$seen/x':true}", "invalidPatch", NULL },
		{ "5", "invalidPatch", NULL },
	};
	json_t *answer;
	char id[BOX_ID];

	(void)state;
	snprintf(id, sizeof id, "%s", made(&answer));
	json_decref(answer);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		answer = call(jmap_email_set, json("{'update':{'%s':%s}}", id, rows[i].patch));
		assert_string_equal(text_at(answer, "notUpdated", id, "type", NULL), rows[i].type);
		if (rows[i].property)
			assert_string_equal(
				text_at(answer, "notUpdated", id, "properties", "0", NULL),
				rows[i].property);
		assert_int_equal(count_files(".Drafts", "DS"), 1);
		json_decref(answer);
	}
	answer = call(
		jmap_email_set, json("{'update':{'%s':{'keywords':{}}},'destroy':['#k']}", id));
	assert_string_equal(text_at(answer, "notUpdated", id, "type", NULL), "willDestroy");
	assert_string_equal(text_at(answer, "destroyed", "0", NULL), id);
	json_decref(answer);
}

/* RFC 8620 §5.3: what cannot be changed is no fault where it is sent as it is. */
static void
test_a_whole_object_sent_back(void **state)
{
	static const char *const names[] = { "id", "blobId", "threadId", "mailboxIds", "keywords",
		"size", "receivedAt", "hasAttachment", "messageId", "inReplyTo", "references",
		"sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt", "preview" };
	json_t *answer, *patch = json_object(), *update;
	char id[BOX_ID];
	struct box_mail m;

	(void)state;
	snprintf(id, sizeof id, "%s", made(&answer));
	json_decref(answer);
	assert_true(box_mail(reader.box, str_of(id), &request.arena, &m));
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		json_object_set_new(patch, names[i], email_property(&m, names[i]));
	assert_string_equal(text_at(patch, "subject", NULL), "first");
	json_object_set_new(patch, "keywords", json("{'$flagged':true}"));
	update = json("{'update':{},'destroy':[]}");
	json_object_set_new(json_object_get(update, "update"), id, patch);
	answer = call(jmap_email_set, update);
	assert_int_equal(json_object_size(json_object_get(answer, "updated")), 1);
	assert_int_equal(count_files(".Drafts", "F"), 1);
	json_decref(answer);
	json_decref(call(jmap_email_set, json("{'destroy':['%s']}", id)));
}

static void
put_in_the_way(bool is_there)
{
	char cur[200], aside[200];

	snprintf(cur, sizeof cur, "%s/.Archive/cur", directory);
	snprintf(aside, sizeof aside, "%s/.Archive/aside", directory);
	if (is_there) {
		assert_int_equal(rename(cur, aside), 0);
		assert_int_equal(mknod(cur, S_IFREG | 0600, 0), 0);
	} else {
		assert_int_equal(unlink(cur), 0);
		assert_int_equal(rename(aside, cur), 0);
	}
}

/* An update is done as a whole or not at all: no flag changes where the move fails. */
static void
test_an_update_that_fails_changes_nothing(void **state)
{
	json_t *answer;
	char id[BOX_ID];

	(void)state;
	snprintf(id, sizeof id, "%s", made(&answer));
	json_decref(answer);
	put_in_the_way(true);
	answer = call(jmap_email_set,
		json("{'update':{'%s':{'mailboxIds':{'~a':true},'keywords':{}}}}", id));
	put_in_the_way(false);
	assert_string_equal(text_at(answer, "notUpdated", id, "type", NULL), "serverFail");
	json_decref(answer);
	assert_int_equal(count_files(".Drafts", "DS"), 1);
	json_decref(call(jmap_email_set, json("{'destroy':['%s']}", id)));
}

static void
test_a_create_that_does_not_fit(void **state)
{
	static const struct {
		const char *email, *type;
	} rows[] = {
		{ "{}", "invalidProperties" },
		{ "5", "invalidProperties" },
		{ "{'mailboxIds':{'~i':true,'~d':true}}", "tooManyMailboxes" },
		{ "{'mailboxIds':{'~i':false}}", "invalidProperties" },
		{ "{'mailboxIds':{'~i':true},'keywords':{'mine':true}}", "invalidProperties" },
		{ "{'mailboxIds':{'~i':true},'receivedAt':'now'}", "invalidProperties" },
		{ "{'mailboxIds':{'~i':true},'subject':'a\\nb'}", "invalidProperties" },
		{ "{'mailboxIds':{'~i':true},'attachments':[{'blobId':'Unone'}]}", "blobNotFound" },
	};
	json_t *answer;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		answer = call(jmap_email_set, json("{'create':{'k':%s}}", rows[i].email));
		assert_string_equal(text_at(answer, "notCreated", "k", "type", NULL), rows[i].type);
		assert_true(json_is_null(json_object_get(answer, "created")));
		json_decref(answer);
	}
	assert_int_equal(count_files("", ""), 0);
}

static void
test_states_and_wrong_arguments(void **state)
{
	static const struct {
		const char *arguments, *type;
	} rows[] = {
		{ "{'ifInState':'another'}", "stateMismatch" },
		{ "{'ifInState':5}", "invalidArguments" },
		{ "{'create':[]}", "invalidArguments" },
		{ "{'update':5}", "invalidArguments" },
		{ "{'destroy':{}}", "invalidArguments" },
		{ "{'what':1}", "invalidArguments" },
	};
	char now[BOX_STATE];
	json_t *answer, *many;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		answer = call(jmap_email_set, json("%s", rows[i].arguments));
		assert_true(jmap_is_error(answer));
		assert_string_equal(text_at(answer, "type", NULL), rows[i].type);
		json_decref(answer);
	}
	box_state(reader.box, BOX_MAILS, now);
	answer = call(jmap_email_set, json("{'ifInState':'%s'}", now));
	assert_string_equal(text_at(answer, "newState", NULL), now);
	json_decref(answer);
	many = json_pack("{s:{}}", "update");
	for (unsigned i = 0; i <= JMAP_OBJECTS_SET_MAX; i++) {
		char key[20];

		snprintf(key, sizeof key, "M%u", i);
		json_object_set_new(json_object_get(many, "update"), key, json_object());
	}
	answer = call(jmap_email_set, many);
	assert_string_equal(text_at(answer, "type", NULL), "requestTooLarge");
	json_decref(answer);
}

static void
test_import_keeps_the_octets(void **state)
{
	json_t *answer;
	struct box_mail m;
	struct str octets;

	(void)state;
	blob_octets = S("Received: from a by b;\r\n Mon, 23 Nov 2026 18:00:00 +0000\r\nSubject: "
			"in\r\n\r\nbody\r\n");
	answer = call(jmap_email_import, json("{'emails':{'i':{'blobId':'Ublob','mailboxIds':{'~i':"
					      "true},'keywords':{'$seen':true}}}}"));
	assert_true(box_mail(reader.box, str_of(text_at(answer, "created", "i", "id", NULL)),
		&request.arena, &m));
	assert_int_equal(m.received_ms, 1795456800000);
	assert_int_equal(m.flags, BOX_SEEN);
	assert_true(box_read(reader.box, &m, &octets));
	assert_str(octets, blob_octets);
	box_read_free(&octets);
	json_decref(answer);
	answer = call(jmap_email_set, json("{'destroy':['#i']}"));
	assert_int_equal(json_array_size(json_object_get(answer, "destroyed")), 1);
	json_decref(answer);
}

static void
test_an_import_that_does_not_fit(void **state)
{
	static const struct {
		const char *import, *type;
	} rows[] = {
		{ "5", "invalidProperties" },
		{ "{'blobId':'Ublob'}", "invalidProperties" },
		{ "{'blobId':'Unone','mailboxIds':{'~i':true}}", "invalidProperties" },
		{ "{'blobId':'Ublob','mailboxIds':{'~i':true},'subject':'x'}",
			"invalidProperties" },
		{ "{'blobId':'Ublob','mailboxIds':{'~i':true}}", "invalidEmail" },
	};

	(void)state;
	blob_octets = S("no field\r\n\r\n");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *answer =
			call(jmap_email_import, json("{'emails':{'i':%s}}", rows[i].import));

		assert_string_equal(text_at(answer, "notCreated", "i", "type", NULL), rows[i].type);
		json_decref(answer);
	}
}

static void
test_there_is_nobody_to_copy_from(void **state)
{
	json_t *answer = call(jmap_email_copy, json("{'fromAccountId':'b','create':{}}"));

	(void)state;
	assert_string_equal(text_at(answer, "type", NULL), "fromAccountNotFound");
	json_decref(answer);
	answer = call(jmap_email_copy, json("{'fromAccountId':'a','create':{}}"));
	assert_string_equal(text_at(answer, "type", NULL), "invalidArguments");
	json_decref(answer);
}

static void
test_whom_somebody_means(void **state)
{
	json_t *answer;

	(void)state;
	json_decref(call(jmap_email_set, json("{'create':{'c':{'mailboxIds':{'~s':true},'to':[{'"
					      "name':'Zoe Stone','email':'zoe@example.net'}]}}}")));
	answer = call(jmap_contact_suggest, json("{'text':'zo'}"));
	assert_int_equal(json_array_size(json_object_get(answer, "list")), 1);
	assert_string_equal(text_at(answer, "list", "0", "email", NULL), "zoe@example.net");
	assert_string_equal(text_at(answer, "list", "0", "name", NULL), "Zoe Stone");
	json_decref(answer);
	answer = call(jmap_contact_suggest, json("{'text':5}"));
	assert_true(jmap_is_error(answer));
	json_decref(answer);
	json_decref(call(jmap_email_set, json("{'destroy':['#c']}")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_change_move_destroy),
		cmocka_unit_test(test_an_update_that_does_not_fit),
		cmocka_unit_test(test_a_whole_object_sent_back),
		cmocka_unit_test(test_an_update_that_fails_changes_nothing),
		cmocka_unit_test(test_a_create_that_does_not_fit),
		cmocka_unit_test(test_states_and_wrong_arguments),
		cmocka_unit_test(test_import_keeps_the_octets),
		cmocka_unit_test(test_an_import_that_does_not_fit),
		cmocka_unit_test(test_there_is_nobody_to_copy_from),
		cmocka_unit_test(test_whom_somebody_means),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
