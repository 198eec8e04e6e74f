/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap.h"
#include "unit.h"

#include <ftw.h>
#include <unistd.h>

#include "directory.h"

/*
 * JMAP as a client sees it: a request as text, its answer as JSON, over a real mailbox in a directory of its own. In the texts here ' stands for ".
 * The ids of mails are of the box's making; requests learn them by result references, as clients do, or by `id_of`.
 */

static char directory[] = "/tmp/posthouse-jmap-XXXXXX";
static struct reader reader;
static unsigned status, news;
static json_t *answer;

/* ── what the rest of the reader would do ── */

void
reader_reply(struct reader *r, uint64_t ask, unsigned code, const char *type,
	struct str disposition, struct str body)
{
	(void)r;
	(void)type;
	(void)disposition;
	assert_int_equal(ask, 7);
	assert_null(answer);
	status = code;
	answer = json_loadb(body.p, body.n, 0, NULL);
	assert_non_null(answer);
}

void
reader_problem(struct reader *r, uint64_t ask, unsigned code, const char *type, const char *limit,
	const char *detail)
{
	(void)r;
	assert_int_equal(ask, 7);
	assert_null(answer);
	status = code;
	answer = json_pack("{s:s, s:i, s:s, s:s*}", "type", type, "status", (int)code, "detail",
		detail, "limit", limit);
	assert_non_null(answer);
}

void
reader_settle(struct reader *r)
{
	(void)r;
}

void
reader_news(struct reader *r)
{
	(void)r;
	news++;
}

void
reader_speak(struct reader *r, void (*came)(void *owner, int fd), void *owner)
{
	(void)r;
	came(owner, -1);
}

void
reader_order(struct reader *r, const struct ipc_order *order,
	void (*told)(void *owner, struct ipc_message *m), void *owner)
{
	(void)r;
	(void)order;
	(void)told;
	(void)owner;
	fail_msg("nothing here asks the queue");
}

void
reader_forget(struct reader *r, void *owner)
{
	(void)r;
	(void)owner;
}

/* ── tools ── */

static void
post(struct str body)
{
	json_decref(answer);
	answer = NULL;
	jmap_begin(&reader, 7, body);
	assert_non_null(answer);
	assert_true(list_is_empty(&reader.requests));
}

static void
unquote(char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			*text = '"';
}

/* A whole body. */
static void
post_text(const char *text)
{
	char *body = strdup(text);

	unquote(body);
	post(str_of(body));
	free(body);
}

/* Calls, with everything in `using`. */
static void ask(const char *calls, ...) __attribute__((format(printf, 1, 2)));

static void
ask(const char *calls, ...)
{
	struct buf body = { .max = 100000 };
	char text[8000];
	va_list list;

	va_start(list, calls);
	vsnprintf(text, sizeof text, calls, list);
	va_end(list);
	buf_addf(&body,
		"{'using':['urn:ietf:params:jmap:core','urn:ietf:params:jmap:mail','urn:ietf:"
		"params:jmap:submission'],"
		"'methodCalls':[%s]}%c",
		text, '\0');
	unquote(body.p);
	post((struct str){ body.p, body.n - 1 });
	buf_free(&body);
	assert_int_equal(status, 200);
}

static json_t *
response(size_t i, const char *name)
{
	json_t *r = json_array_get(json_object_get(answer, "methodResponses"), i);

	assert_string_equal(json_string_value(json_array_get(r, 0)), name);
	return json_array_get(r, 1);
}

/* A value deep in one: "list/0/name". */
static json_t *
at(json_t *j, const char *path)
{
	struct str rest = str_of(path), key;

	while (j && rest.n) {
		str_cut(rest, '/', &key, &rest);
		j = json_is_array(j) ? json_array_get(j, (size_t)strtoul(key.p, NULL, 10))
				     : json_object_getn(j, key.p, key.n);
	}
	return j;
}

static const char *
text_at(json_t *j, const char *path)
{
	const char *text = json_string_value(at(j, path));

	return text ? text : "(none)";
}

/* The text of a value as JSON with ' for ", keys in order. */
static void
assert_json(json_t *j, const char *want)
{
	char *got = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

	assert_non_null(got);
	for (char *p = got; *p; p++)
		if (*p == '"')
			*p = '\'';
	assert_string_equal(got, want);
	free(got);
}

static void
assert_error(size_t i, const char *type)
{
	assert_string_equal(text_at(response(i, "error"), "type"), type);
	assert_null(at(response(i, "error"), "accountId"));
}

static void
assert_problem(const char *body, const char *type, const char *limit)
{
	post_text(body);
	assert_int_equal(status, 400);
	assert_int_equal(json_integer_value(at(answer, "status")), 400);
	assert_true(str_ends_nocase(str_of(text_at(answer, "type")), str_of(type)));
	assert_string_equal(text_at(answer, "limit"), limit);
}

static const char first_mail[] =
	"From: =?utf-8?B?546L5bCP5piO?= <wei@example.org>\r\nTo: Bob <bob@example.net>, Friends: "
	"a@example.com, b@example.com;\r\n"
	"Subject: Lunch & more\r\nDate: Mon, 23 Nov 2026 20:00:00 +0800\r\nMessage-ID: "
	"<one@example.org>\r\n"
	"X-Fun: first\r\nX-Fun: second\r\nList-Unsubscribe: <https://example.org/u>, "
	"<mailto:u@example.org>\r\n"
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nDear Bob, <b>Pancakes</b> for lunch "
	"at noon, \xe4\xb8\xad\xe5\x8d\x88.\r\n"
	"--b\r\nContent-Type: application/pdf; name=menu.pdf\r\nContent-Disposition: attachment; "
	"filename=menu.pdf\r\n"
	"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n";
static const char second_mail[] =
	"From: bob@example.net\r\nTo: wei@example.org\r\nSubject: Re: Lunch & more\r\nDate: Mon, "
	"23 Nov 2026 12:30:00 +0000\r\n"
	"Message-ID: <two@example.net>\r\nIn-Reply-To: <one@example.org>\r\nReferences: "
	"<one@example.org>\r\n\r\nYes, pancakes!\r\n";
static const char third_mail[] =
	"From: news@example.com\r\nTo: wei@example.org\r\nSubject: News\r\n\r\nNothing new.\r\n";

static char ids[3][BOX_ID], inbox[64];

static void
add_mail(size_t i, struct str octets, unsigned flags)
{
	struct arena arena = { .max = 100000 };
	struct box_mail m;
	struct err e = { 0 };

	if (!box_add(reader.box, str_of(inbox), octets, flags, 1700000000000 + (int64_t)i * 60000,
		    &arena, &m, &e))
		fail_msg("%s", e.text);
	memcpy(ids[i], m.id.p, m.id.n);
	ids[i][m.id.n] = '\0';
	arena_free(&arena);
}

static int
set_up(void **state)
{
	struct arena arena = { .max = 100000 };
	struct box_folder f;
	struct err e = { 0 };

	(void)state;
	memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
	assert_non_null(mkdtemp(directory));
	list_init(&reader.requests);
	reader.login = (struct buf){ .max = 100 };
	buf_add(&reader.login, S("wei@example.org"));
	reader.directory = (struct buf){ .max = 100 };
	buf_add(&reader.directory, str_of(directory));
	reader.role.config.limits.message = 50 * 1024 * 1024;
	if (!box_open(&reader.box, str_of(directory), &e) ||
		!kept_open(&reader.kept, str_of(directory), &e))
		fail_msg("%s", e.text);
	assert_true(box_folder_of_role(reader.box, BOX_INBOX, &arena, &f));
	memcpy(inbox, f.id.p, f.id.n);
	inbox[f.id.n] = '\0';
	arena_free(&arena);
	add_mail(0, str_of(first_mail), BOX_SEEN | BOX_FLAGGED);
	add_mail(1, str_of(second_mail), 0);
	add_mail(2, str_of(third_mail), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	json_decref(answer);
	answer = NULL;
	box_close(&reader.box);
	kept_close(&reader.kept);
	buf_free(&reader.login);
	buf_free(&reader.directory);
	directory_remove(directory);
	return 0;
}

/* ── the envelope ── */

#define USING "'using':['urn:ietf:params:jmap:core']"

static void
test_bodies_that_are_no_request(void **state)
{
	(void)state;
	assert_problem("", "notJSON", "(none)");
	assert_problem("{" USING ",'methodCalls':[]", "notJSON", "(none)");
	assert_problem("{" USING "," USING ",'methodCalls':[]}", "notJSON", "(none)");
	assert_problem(
		"{" USING ",'methodCalls':[['Core/echo',{'a':'\xff'},'c']]}", "notJSON", "(none)");
	assert_problem("[]", "notRequest", "(none)");
	assert_problem("7", "notJSON", "(none)");
	assert_problem("{'methodCalls':[]}", "notRequest", "(none)");
	assert_problem("{'using':[7],'methodCalls':[]}", "notRequest", "(none)");
	assert_problem("{" USING ",'methodCalls':{}}", "notRequest", "(none)");
	assert_problem("{" USING ",'methodCalls':[['Core/echo',{}]]}", "notRequest", "(none)");
	assert_problem("{" USING ",'methodCalls':[['Core/echo',[],'c']]}", "notRequest", "(none)");
	assert_problem("{" USING ",'methodCalls':[],'createdIds':{'a':7}}", "notRequest", "(none)");
	assert_problem("{" USING ",'methodCalls':[],'createdIds':[]}", "notRequest", "(none)");
	assert_problem(
		"{'using':['urn:example:wings'],'methodCalls':[]}", "unknownCapability", "(none)");
}

static void
repeat(struct buf *to, const char *text, size_t n)
{
	while (n--)
		buf_add(to, str_of(text));
}

static void
assert_too_much(struct buf *body, const char *type, const char *limit)
{
	buf_add_char(body, '\0');
	assert_false(body->overflow);
	assert_problem(body->p, type, limit);
	buf_reset(body);
}

static void
test_requests_of_too_much(void **state)
{
	struct buf body = { .max = JMAP_REQUEST_MAX + 1000 };

	(void)state;
	repeat(&body, " ", JMAP_REQUEST_MAX + 1);
	assert_too_much(&body, "limit", "maxSizeRequest");
	repeat(&body, "[", 100000);
	assert_too_much(&body, "notJSON", "(none)");
	repeat(&body, "[[],", 50);
	repeat(&body, "[],", JMAP_VALUES_MAX);
	assert_too_much(&body, "limit", "maxSizeRequest");
	buf_add(&body, S("{" USING ",'methodCalls':["));
	repeat(&body, "['Core/echo',{},'c'],", 1000);
	buf_add(&body, S("['Core/echo',{},'c']]}"));
	assert_too_much(&body, "limit", "maxCallsInRequest");
	buf_free(&body);
}

static void
test_one_call_fails_and_the_others_do_not(void **state)
{
	(void)state;
	ask("['Core/echo',{'a':1},'x'],['Core/sing',{},'y'],['Mailbox/"
	    "get',{'accountId':'b','ids':[]},'z'],"
	    "['Mailbox/get',{'ids':[]},'1'],['Mailbox/get',{'accountId':'a','ids':{}},'2'],"
	    "['Mailbox/get',{'accountId':'a','ids':[],'wings':1},'3'],['Core/echo',{'b':2},'x']");
	assert_json(response(0, "Core/echo"), "{'a':1}");
	assert_error(1, "unknownMethod");
	assert_error(2, "accountNotFound");
	assert_error(3, "invalidArguments");
	assert_error(4, "invalidArguments");
	assert_error(5, "invalidArguments");
	assert_json(response(6, "Core/echo"), "{'b':2}");
	assert_json(at(answer, "methodResponses/1/2"), "'y'");
	assert_true(json_is_string(at(answer, "sessionState")));
	assert_null(at(answer, "createdIds"));
}

/* What is said to be an error is one because the method says so, whatever the arguments are called. */
static void
test_an_echo_of_an_empty_name(void **state)
{
	(void)state;
	ask("['Core/echo',{'':1},'x'],['Core/echo',{'':true},'y']");
	assert_json(response(0, "Core/echo"), "{'':1}");
	assert_json(response(1, "Core/echo"), "{'':true}");
}

/* RFC 8620 §3.3: a method of a capability that is not in `using` is not known. */
static void
test_capability_is_needed(void **state)
{
	(void)state;
	post_text(
		"{" USING
		",'methodCalls':[['Mailbox/get',{'accountId':'a'},'c']],'createdIds':{'k':'M1'}}");
	assert_error(0, "unknownMethod");
	assert_json(at(answer, "createdIds"), "{'k':'M1'}");
}

static void
test_result_references(void **state)
{
	(void)state;
	ask("['Core/echo',{'list':[{'n':[1,2]},{'n':[3]},{'n':[]}],'a/b':{'~':5}},'e'],"
	    "['Core/echo',{'#all':{'resultOf':'e','name':'Core/echo','path':'/list/*/n'}},'1'],"
	    "['Core/echo',{'#one':{'resultOf':'e','name':'Core/echo','path':'/list/1/n/0'}},'2'],"
	    "['Core/echo',{'#odd':{'resultOf':'e','name':'Core/echo','path':'/a~1b/~0'}},'3'],"
	    "['Core/echo',{'#deep':{'resultOf':'e','name':'Core/echo','path':'/list/*/n/*'}},'4']");
	assert_json(response(1, "Core/echo"), "{'all':[1,2,3]}");
	assert_json(response(2, "Core/echo"), "{'one':3}");
	assert_json(response(3, "Core/echo"), "{'odd':5}");
	assert_json(response(4, "Core/echo"), "{'deep':[1,2,3]}");
}

static void
test_references_that_lead_nowhere(void **state)
{
	(void)state;
	ask("['Core/echo',{'l':[{'n':1}]},'e'],"
	    "['Core/echo',{'#x':{'resultOf':'later','name':'Core/echo','path':''}},'1'],"
	    "['Core/echo',{'#x':{'resultOf':'e','name':'Core/other','path':''}},'2'],"
	    "['Core/echo',{'#x':{'resultOf':'e','name':'Core/echo','path':'/m'}},'3'],"
	    "['Core/echo',{'#x':{'resultOf':'e','name':'Core/echo','path':'/l/1'}},'4'],"
	    "['Core/echo',{'#x':{'resultOf':'e','name':'Core/echo','path':'/l/*/m'}},'5'],"
	    "['Core/echo',{'#x':{'resultOf':'e','name':'Core/echo','path':'l'}},'6'],"
	    "['Core/echo',{'#x':{'resultOf':'e','name':'Core/echo','path':'/~2'}},'7'],"
	    "['Core/echo',{'#x':7},'8'],['Core/echo',{'x':1,'#x':{'resultOf':'e','name':'Core/"
	    "echo','path':''}},'9'],"
	    "['Core/echo',{'#x':{'resultOf':'e','name':'Core/echo','path':'/l/00'}},'later']");
	for (size_t i = 1; i <= 10; i++)
		assert_error(i, i == 9 ? "invalidArguments" : "invalidResultReference");
}

/* An echo that doubles what the one before it said: 2^60 octets, were there no limit. */
static void
test_answers_that_grow_without_end(void **state)
{
	struct buf calls = { .max = 20000 };
	size_t n;

	(void)state;
	buf_add(&calls, S("['Core/echo',{'a':'0123456789'},'0']"));
	for (int i = 1; i < 60; i++)
		buf_addf(&calls,
			",['Core/echo',{'#a':{'resultOf':'%d','name':'Core/echo','path':''},"
			"'#b':{'resultOf':'%d','name':'Core/echo','path':''}},'%d']",
			i - 1, i - 1, i);
	buf_add_char(&calls, '\0');
	ask("%s", calls.p);
	buf_free(&calls);
	n = json_array_size(at(answer, "methodResponses"));
	assert_true(n > 10);
	assert_error(n - 1, "invalidResultReference");
}

static void
test_session(void **state)
{
	json_t *session = jmap_session(&reader, S("https://mail.example.org"));
	struct buf states = { .max = 1000 };
	json_t *told;

	(void)state;
	assert_non_null(session);
	assert_string_equal(text_at(session, "username"), "wei@example.org");
	assert_string_equal(text_at(session, "apiUrl"), "https://mail.example.org/jmap/api");
	assert_string_equal(text_at(session, "primaryAccounts/urn:ietf:params:jmap:mail"), "a");
	assert_int_equal(json_integer_value(at(session,
				 "capabilities/urn:ietf:params:jmap:core/maxCallsInRequest")),
		JMAP_CALLS_MAX);
	assert_true(json_is_false(at(session, "accounts/a/isReadOnly")));
	assert_true(json_is_object(
		at(session, "accounts/a/accountCapabilities/urn:ietf:params:jmap:submission")));
	json_decref(session);
	jmap_states(&reader, &states);
	told = json_loadb(states.p, states.n, 0, NULL);
	ask("['Email/get',{'accountId':'a','ids':[]},'c']");
	assert_string_equal(text_at(told, "Email"), text_at(response(0, "Email/get"), "state"));
	assert_int_equal(json_object_size(told), 5);
	json_decref(told);
	buf_free(&states);
}

/* ── mailboxes and threads ── */

/* What is promised of sending later is what the configuration allows. */
static void
test_session_says_how_long_mail_is_held(void **state)
{
	char never[JMAP_SESSION_STATE], state_now[JMAP_SESSION_STATE];
	json_t *session, *submission;

	(void)state;
	for (int64_t hours = 0; hours < 2; hours++) {
		reader.role.config.queue.hold_most_ms = hours * 3600 * 1000;
		session = jmap_session(&reader, S("https://mail.example.org"));
		submission = at(at(session, "accounts/a/accountCapabilities"),
			"urn:ietf:params:jmap:submission");
		assert_json(submission,
			hours ? "{'maxDelayedSend':3600,'submissionExtensions':{'DSN':[],"
				"'FUTURERELEASE':[]}}"
			      : "{'maxDelayedSend':0,'submissionExtensions':{'DSN':[]}}");
		json_decref(session);
		jmap_session_state(&reader, hours ? state_now : never);
	}
	assert_string_not_equal(never, state_now);
}

/* It was done, so that it is no error of the request: the client asks anew (RFC 8620 §3.6.2). */
static void
test_answer_too_long_of_what_was_done(void **state)
{
	enum { LONG = 1200 * 1000, ECHOES = JMAP_ANSWER_MAX / LONG + 1 };
	struct buf body = { .max = 5 * 1000 * 1000 };
	char *text = malloc(LONG);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', LONG);
	buf_addf(&body, "{'using':['urn:ietf:params:jmap:core','urn:ietf:params:jmap:mail'],");
	buf_addf(&body, "'methodCalls':[['Core/echo',{'a':'");
	buf_add(&body, (struct str){ text, LONG });
	buf_addf(&body, "'},'c']");
	for (int i = 1; i < ECHOES; i++)
		buf_addf(&body, ",['Core/echo',{'#a':{'resultOf':'c','name':'Core/echo','path':"
				"'/a'}},'d']");
	buf_addf(&body, ",['Mailbox/set',{'accountId':'a','create':{'");
	buf_add(&body, (struct str){ text, LONG });
	buf_addf(&body, "':{'name':'Long'}}},'s']]}%c", '\0');
	assert_false(body.overflow);
	unquote(body.p);
	post((struct str){ body.p, body.n - 1 });
	assert_error(ECHOES - 1, "requestTooLarge");
	assert_error(ECHOES, "serverPartialFail");
	ask("['Mailbox/query',{'accountId':'a','filter':{'name':'Long'}},'c']");
	assert_int_equal(json_array_size(at(response(0, "Mailbox/query"), "ids")), 1);
	buf_free(&body);
	free(text);
}

/* A submission that the queue would be asked about, where the arguments are right. */
static void
test_wrong_arguments_ask_nobody(void **state)
{
	struct arena arena = { .max = 4096 };
	struct str id = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_true(kept_put(reader.kept, KEPT_SUBMISSION, &id,
		S("{\"sendAt\":\"2020-01-01T00:00:00Z\",\"_mail\":\"m\"}"), &arena, &e));
	ask("['EmailSubmission/get',{'accountId':'a','ids':null,'nonsense':1},'c'],"
	    "['EmailSubmission/get',{'accountId':'a','ids':[5]},'c'],"
	    "['EmailSubmission/get',{'accountId':'b','ids':null},'c'],"
	    "['EmailSubmission/get',{'accountId':'a','ids':null,'properties':['deliveryStatus','a"
	    "']},'c']");
	assert_error(0, "invalidArguments");
	assert_error(1, "invalidArguments");
	assert_error(2, "accountNotFound");
	assert_error(3, "invalidArguments");
	arena_free(&arena);
}

static void
test_filters_of_submissions(void **state)
{
	static const struct {
		const char *filter, *type; /* NULL: it is one */
	} rows[] = {
		{ "null", NULL },
		{ "{}", NULL },
		{ "{'after':'2020-01-01T00:00:00Z'}", NULL },
		{ "{'operator':'NOT','conditions':[{'emailIds':['a']}]}", NULL },
		{ "{'after':'nonsense'}", "invalidArguments" },
		{ "{'before':5}", "invalidArguments" },
		{ "{'emailIds':'a'}", "invalidArguments" },
		{ "{'emailIds':[5]}", "invalidArguments" },
		{ "{'undoStatus':null}", "invalidArguments" },
		{ "{'operator':'NOT','conditions':[{'identityIds':{}}]}", "invalidArguments" },
		{ "{'operator':'XOR','conditions':[]}", "invalidArguments" },
		{ "{'operator':'AND'}", "invalidArguments" },
		{ "5", "invalidArguments" },
		{ "{'subject':'a'}", "unsupportedFilter" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ask("['EmailSubmission/query',{'accountId':'a','filter':%s},'c']", rows[i].filter);
		if (rows[i].type)
			assert_error(0, rows[i].type);
		else
			assert_int_equal(
				json_array_size(at(response(0, "EmailSubmission/query"), "ids")),
				0);
	}
}

static void
test_mailboxes(void **state)
{
	json_t *f;

	(void)state;
	ask("['Mailbox/query',{'accountId':'a','filter':{'role':'inbox'}},'q'],"
	    "['Mailbox/get',{'accountId':'a','#ids':{'resultOf':'q','name':'Mailbox/"
	    "query','path':'/ids'}},'g'],"
	    "['Mailbox/get',{'accountId':'a','ids':['no','no'],'properties':['name']},'n'],"
	    "['Mailbox/get',{'accountId':'a','ids':[],'properties':['wings']},'w'],"
	    "['Mailbox/"
	    "query',{'accountId':'a','filter':{'operator':'AND','conditions':[{'hasAnyRole':true},"
	    "{'operator':'NOT','conditions':[{'role':'inbox'},{'name':'r'}]}]},'sort':[{'property':"
	    "'name'}],'calculateTotal':true},'t'],"
	    "['Mailbox/query',{'accountId':'a','filter':{'wings':1}},'u'],"
	    "['Mailbox/query',{'accountId':'a','sort':[{'property':'wings'}]},'v'],"
	    "['Mailbox/query',{'accountId':'a','anchor':'nobody'},'x'],"
	    "['Mailbox/query',{'accountId':'a','filter':{'operator':'XOR','conditions':[]}},'y']");
	f = at(response(1, "Mailbox/get"), "list/0");
	assert_string_equal(text_at(f, "role"), "inbox");
	assert_int_equal(json_integer_value(at(f, "totalEmails")), 3);
	assert_int_equal(json_integer_value(at(f, "unreadEmails")), 2);
	assert_int_equal(json_integer_value(at(f, "totalThreads")), 2);
	assert_true(json_is_false(at(f, "myRights/mayDelete")));
	assert_true(json_is_null(at(f, "parentId")));
	assert_json(at(response(2, "Mailbox/get"), "notFound"), "['no']");
	assert_error(3, "invalidArguments");
	assert_int_equal(json_integer_value(at(response(4, "Mailbox/query"), "total")),
		2); /* Junk and Sent: without an r */
	assert_error(5, "unsupportedFilter");
	assert_error(6, "unsupportedSort");
	assert_error(7, "anchorNotFound");
	assert_error(8, "invalidArguments");
}

static void
test_mailboxes_are_made_changed_destroyed(void **state)
{
	char before[BOX_STATE];
	json_t *set;

	(void)state;
	box_state(reader.box, BOX_FOLDERS, before);
	news = 0;
	ask("['Mailbox/"
	    "set',{'accountId':'a','create':{'in':{'name':'Inner','parentId':'#out'},'out':{'name':"
	    "'\xe5\xa4\x96'},"
	    "'bad':{'name':7},'role':{'name':'R','role':'inbox'},'lost':{'name':'L','parentId':'"
	    "nobody'}},"
	    "'update':{'#out':{'name':'Outer'},'nobody':{'name':'x'},'%s':{'totalEmails':9}},'"
	    "destroy':['%s','#out']},'s'],"
	    "['Mailbox/changes',{'accountId':'a','sinceState':'%s'},'c'],"
	    "['Mailbox/get',{'accountId':'a','#ids':{'resultOf':'c','name':'Mailbox/"
	    "changes','path':'/created'},'properties':['name','parentId']},'g']",
		inbox, inbox, before);
	set = response(0, "Mailbox/set");
	assert_true(json_is_string(at(set, "created/in/id")));
	assert_true(json_is_object(at(set, "created/out/myRights")));
	assert_json(at(set, "notCreated/bad/properties"), "['name']");
	assert_json(at(set, "notCreated/role/properties"), "['role']");
	assert_json(at(set, "notCreated/lost/properties"), "['parentId']");
	assert_true(
		json_is_null(json_object_get(at(set, "updated"), text_at(set, "created/out/id"))));
	assert_string_equal(text_at(set, "notUpdated/nobody/type"), "notFound");
	assert_int_equal(json_object_size(at(set, "notUpdated")), 2);
	assert_string_equal(text_at(set, "notDestroyed/#out/type"), "mailboxHasChild");
	assert_int_equal(json_object_size(at(set, "notDestroyed")), 2);
	assert_true(json_is_null(at(set, "destroyed")));
	assert_string_equal(text_at(set, "oldState"), before);
	assert_string_not_equal(text_at(set, "newState"), before);
	assert_int_equal(news, 1);
	assert_int_equal(json_array_size(at(response(1, "Mailbox/changes"), "created")), 2);
	assert_int_equal(json_array_size(at(response(2, "Mailbox/get"), "list")), 2);
}

static void
test_mailbox_with_mails_is_destroyed_only_when_told(void **state)
{
	(void)state;
	ask("['Mailbox/set',{'accountId':'a','create':{'k':{'name':'Old'}}},'s'],"
	    "['Email/set',{'accountId':'a','update':{'%s':{'mailboxIds':{'#k':true}}}},'e'],"
	    "['Mailbox/set',{'accountId':'a','destroy':['#k']},'1'],"
	    "['Mailbox/set',{'accountId':'a','destroy':['#k'],'onDestroyRemoveEmails':true},'2'],"
	    "['Email/get',{'accountId':'a','ids':['%s']},'3'],"
	    "['Mailbox/set',{'accountId':'a','ifInState':'old','destroy':[]},'4']",
		ids[0], ids[0]);
	assert_string_equal(
		text_at(response(2, "Mailbox/set"), "notDestroyed/#k/type"), "mailboxHasEmail");
	assert_string_equal(text_at(response(3, "Mailbox/set"), "destroyed/0"),
		text_at(response(0, "Mailbox/set"), "created/k/id"));
	assert_int_equal(json_array_size(at(response(4, "Email/get"), "notFound")), 1);
	assert_error(5, "stateMismatch");
}

static void
test_threads(void **state)
{
	(void)state;
	ask("['Email/get',{'accountId':'a','ids':['%s'],'properties':['threadId']},'e'],"
	    "['Thread/get',{'accountId':'a','#ids':{'resultOf':'e','name':'Email/get','path':'/"
	    "list/*/threadId'}},'t'],"
	    "['Email/get',{'accountId':'a','#ids':{'resultOf':'t','name':'Thread/get','path':'/"
	    "list/*/emailIds'},'properties':['subject']},'s'],"
	    "['Thread/get',{'accountId':'a'},'a'],['Thread/"
	    "changes',{'accountId':'a','sinceState':'x'},'c']",
		ids[1]);
	assert_string_equal(text_at(response(1, "Thread/get"), "list/0/emailIds/0"), ids[0]);
	assert_string_equal(text_at(response(1, "Thread/get"), "list/0/emailIds/1"), ids[1]);
	assert_string_equal(text_at(response(2, "Email/get"), "list/0/subject"), "Lunch & more");
	assert_error(3, "requestTooLarge");
	assert_error(4, "cannotCalculateChanges");
}

/* ── mails ── */

static void
test_list_of_mails(void **state)
{
	json_t *m;

	(void)state;
	ask("['Email/"
	    "get',{'accountId':'a','ids':['%s','%s','nobody'],'properties':['subject','from','to','"
	    "keywords','mailboxIds',"
	    "'receivedAt','hasAttachment','preview','sentAt','messageId','cc']},'e']",
		ids[0], ids[0]);
	m = response(0, "Email/get");
	assert_int_equal(json_array_size(at(m, "list")), 1);
	assert_json(at(m, "notFound"), "['nobody']");
	m = at(m, "list/0");
	assert_string_equal(text_at(m, "id"), ids[0]);
	assert_json(at(m, "from"),
		"[{'email':'wei@example.org','name':'\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e'}]");
	assert_json(at(m, "keywords"), "{'$flagged':true,'$seen':true}");
	assert_true(json_is_true(at(at(m, "mailboxIds"), inbox)));
	assert_string_equal(text_at(m, "receivedAt"), "2023-11-14T22:13:20Z");
	assert_string_equal(text_at(m, "sentAt"), "2026-11-23T20:00:00+08:00");
	assert_true(json_is_true(at(m, "hasAttachment")));
	assert_json(at(m, "messageId"), "['one@example.org']");
	assert_true(json_is_null(at(m, "cc")));
	assert_null(at(m, "size"));
	assert_non_null(strstr(text_at(m, "preview"), "Dear Bob"));
}

static void
test_whole_mail(void **state)
{
	json_t *m;

	(void)state;
	ask("['Email/"
	    "get',{'accountId':'a','ids':['%s'],'properties':['bodyStructure','textBody','"
	    "attachments','bodyValues'],"
	    "'bodyProperties':['partId','blobId','type','name','size','header:Content-Type'],'"
	    "fetchAllBodyValues':true,'maxBodyValueBytes':8},'e'],"
	    "['Email/get',{'accountId':'a','ids':['%s']},'f']",
		ids[0], ids[0]);
	m = at(response(0, "Email/get"), "list/0");
	assert_string_equal(text_at(m, "bodyStructure/type"), "multipart/mixed");
	assert_true(json_is_null(at(m, "bodyStructure/partId")));
	assert_int_equal(json_array_size(at(m, "bodyStructure/subParts")), 2);
	assert_string_equal(text_at(m, "attachments/0/name"), "menu.pdf");
	assert_int_equal(json_integer_value(at(m, "attachments/0/size")), 5);
	assert_true(str_starts(str_of(text_at(m, "attachments/0/blobId")), str_of(ids[0])));
	assert_string_equal(
		text_at(m, "textBody/0/header:Content-Type"), " text/plain; charset=utf-8");
	assert_json(at(m, "bodyValues"),
		"{'1':{'isEncodingProblem':false,'isTruncated':true,'value':'Dear Bob'}}");
	m = at(response(1, "Email/get"), "list/0");
	assert_json(at(m, "bodyValues"), "{}");
	assert_null(at(m, "bodyStructure"));
	assert_string_equal(text_at(m, "textBody/0/charset"), "utf-8");
}

static void
test_header_fields_in_their_forms(void **state)
{
	json_t *m;

	(void)state;
	ask("['Email/"
	    "get',{'accountId':'a','ids':['%s'],'properties':['header:X-Fun:asText:all','header:x-"
	    "fun','header:Nothing',"
	    "'header:Nothing:all','header:To:asGroupedAddresses','header:Date:asDate','header:List-"
	    "Unsubscribe:asURLs',"
	    "'header:Message-ID:asMessageIds','header:From:asAddresses','headers']},'e'],"
	    "['Email/get',{'accountId':'a','ids':[],'properties':['header:From:asDate']},'1'],"
	    "['Email/get',{'accountId':'a','ids':[],'properties':['header:From:asWings']},'2'],"
	    "['Email/get',{'accountId':'a','ids':[],'properties':['header:']},'3'],"
	    "['Email/get',{'accountId':'a','ids':[],'bodyProperties':['wings']},'4'],"
	    "['Email/get',{'accountId':'a','ids':[],'maxBodyValueBytes':-1},'5'],"
	    "['Email/get',{'accountId':'a','ids':[],'fetchAllBodyValues':'yes'},'6']",
		ids[0]);
	m = at(response(0, "Email/get"), "list/0");
	assert_json(at(m, "header:X-Fun:asText:all"), "['first','second']");
	assert_json(at(m, "header:x-fun"), "' second'");
	assert_true(json_is_null(at(m, "header:Nothing")));
	assert_json(at(m, "header:Nothing:all"), "[]");
	assert_json(at(m, "header:To:asGroupedAddresses"),
		"[{'addresses':[{'email':'bob@example.net','name':'Bob'}],'name':null},"
		"{'addresses':[{'email':'a@example.com','name':null},{'email':'b@example.com','"
		"name':null}],'name':'Friends'}]");
	assert_json(at(m, "header:Date:asDate"), "'2026-11-23T20:00:00+08:00'");
	assert_json(at(m, "header:List-Unsubscribe:asURLs"),
		"['https://example.org/u','mailto:u@example.org']");
	assert_json(at(m, "header:Message-ID:asMessageIds"), "['one@example.org']");
	assert_json(at(m, "headers/2"), "{'name':'Subject','value':' Lunch & more'}");
	for (size_t i = 1; i <= 6; i++)
		assert_error(i, "invalidArguments");
}

static void
assert_found(const char *arguments, const char *indexes)
{
	char want[200] = "[";

	ask("['Email/query',{'accountId':'a',%s},'q']", arguments);
	for (; *indexes; indexes++)
		snprintf(want + strlen(want), sizeof want - strlen(want), "%s'%s'",
			want[1] ? "," : "", ids[*indexes - '0']);
	snprintf(want + strlen(want), sizeof want - strlen(want), "]");
	assert_json(at(response(0, "Email/query"), "ids"), want);
}

static void
test_queries(void **state)
{
	char in_inbox[200];

	(void)state;
	snprintf(in_inbox, sizeof in_inbox, "'filter':{'inMailbox':'%s','hasKeyword':'$seen'}",
		inbox);
	assert_found("'filter':null", "210");
	assert_found("'sort':[{'property':'receivedAt'}]", "012");
	assert_found("'sort':[{'property':'size','isAscending':false}],'limit':1", "0");
	assert_found("'collapseThreads':true", "21");
	assert_found("'position':1,'limit':1", "1");
	assert_found("'position':-1", "0");
	assert_found(in_inbox, "0");
	assert_found("'filter':{'notKeyword':'$seen','text':'pancakes'}", "1");
	assert_found("'filter':{'hasKeyword':'$wings'}", "");
	assert_found("'filter':{'notKeyword':'$wings'}", "210");
	assert_found(
		"'filter':{'operator':'OR','conditions':[{'from':'news'},{'hasAttachment':true}]}",
		"20");
	assert_found(
		"'filter':{'operator':'NOT','conditions':[{'from':'news'},{'hasAttachment':true}]}",
		"1");
	assert_found("'filter':{'someInThreadHaveKeyword':'$flagged'}", "10");
	assert_found("'filter':{'header':['X-Fun','sec']}", "0");
	assert_found("'filter':{'before':'2023-11-14T22:14:20Z'}", "0");
	assert_found("'filter':{'body':'\xe4\xb8\xad\xe5\x8d\x88'}", "0");
	assert_found("'filter':{'inMailboxOtherThan':[]}", "210");
	assert_found("'filter':{}", "210");
}

static void
test_query_answers_and_errors(void **state)
{
	(void)state;
	ask("['Email/"
	    "query',{'accountId':'a','anchor':'%s','anchorOffset':1,'calculateTotal':true,'limit':"
	    "5},'0'],"
	    "['Email/query',{'accountId':'a','anchor':'nobody'},'1'],['Email/"
	    "query',{'accountId':'a','filter':{'wings':1}},'2'],"
	    "['Email/query',{'accountId':'a','sort':[{'property':'wings'}]},'3'],"
	    "['Email/query',{'accountId':'a','sort':[{'property':'subject','collation':'x'}]},'4'],"
	    "['Email/query',{'accountId':'a','sort':[{'property':'hasKeyword'}]},'5'],"
	    "['Email/query',{'accountId':'a','limit':-1},'6'],['Email/"
	    "query',{'accountId':'a','position':'1'},'7'],"
	    "['Email/query',{'accountId':'a','filter':{'before':'yesterday'}},'8'],['Email/"
	    "query',{'accountId':'a','filter':[]},'9'],"
	    "['Email/query',{'accountId':'a','sort':{}},'a'],['Email/"
	    "query',{'accountId':'a','collapseThreads':1},'b'],"
	    "['Email/query',{'accountId':'a','limit':0},'c']",
		ids[2]);
	assert_int_equal(json_integer_value(at(response(0, "Email/query"), "position")), 1);
	assert_int_equal(json_integer_value(at(response(0, "Email/query"), "total")), 3);
	assert_int_equal(json_array_size(at(response(0, "Email/query"), "ids")), 2);
	assert_null(at(response(0, "Email/query"), "limit"));
	assert_error(1, "anchorNotFound");
	assert_error(2, "unsupportedFilter");
	assert_error(3, "unsupportedSort");
	assert_error(4, "unsupportedSort");
	for (size_t i = 5; i <= 11; i++)
		assert_error(i, "invalidArguments");
	assert_json(at(response(12, "Email/query"), "ids"), "[]");
}

static void
test_filters_that_are_too_much(void **state)
{
	struct buf deep = { .max = 100000 };

	(void)state;
	repeat(&deep, "{'operator':'AND','conditions':[", 25);
	repeat(&deep, "]}", 25);
	buf_add_char(&deep, '\0');
	ask("['Email/query',{'accountId':'a','filter':%s},'q'],['Mailbox/"
	    "query',{'accountId':'a','filter':%s},'m']",
		deep.p, deep.p);
	assert_int_equal(json_array_size(at(response(0, "Email/query"), "ids")), 3);
	response(1, "Mailbox/query");
	buf_reset(&deep);
	for (int i = 0; i < 110; i++)
		buf_addf(&deep,
			"%s{'to':'a','from':'b','cc':'c','bcc':'d','subject':'e','body':'f','text':"
			"'g','minSize':1,'maxSize':2}",
			i ? "," : "");
	buf_add_char(&deep, '\0');
	{
		char *body = NULL;

		assert_true(asprintf(&body,
				    "{'using':['urn:ietf:params:jmap:mail'],'methodCalls':[['Email/"
				    "query',{'accountId':'a','filter':"
				    "{'operator':'OR','conditions':[%s]}},'q']]}",
				    deep.p) > 0);
		post_text(body);
		free(body);
	}
	assert_error(0, "unsupportedFilter");
	buf_reset(&deep);
	for (int i = 0; i < 1001; i++)
		buf_addf(&deep, "%s'M%d'", i ? "," : "", i);
	buf_add_char(&deep, '\0');
	ask("['Email/query',{'accountId':'a','filter':{'inMailboxOtherThan':[%s]}},'q']", deep.p);
	assert_error(0, "unsupportedFilter");
	buf_free(&deep);
}

static void
test_changes(void **state)
{
	char before[BOX_STATE];
	json_t *c;

	(void)state;
	box_state(reader.box, BOX_MAILS, before);
	ask("['Email/set',{'accountId':'a','update':{'%s':{'keywords/"
	    "$seen':true}},'destroy':['%s']},'s'],"
	    "['Email/changes',{'accountId':'a','sinceState':'%s'},'c'],"
	    "['Email/"
	    "queryChanges',{'accountId':'a','sinceQueryState':'%s','filter':{'hasKeyword':'$seen'},"
	    "'calculateTotal':true},'q'],"
	    "['Email/queryChanges',{'accountId':'a','sinceQueryState':'%s','maxChanges':1},'m'],"
	    "['Email/"
	    "queryChanges',{'accountId':'a','sinceQueryState':'%s','collapseThreads':true},'t'],"
	    "['Email/changes',{'accountId':'a','sinceState':'%s','maxChanges':0},'z'],['Email/"
	    "changes',{'accountId':'a','sinceState':'0'},'y']",
		ids[1], ids[2], before, before, before, before, before);
	c = response(1, "Email/changes");
	assert_string_equal(text_at(c, "updated/0"), ids[1]);
	assert_string_equal(text_at(c, "destroyed/0"), ids[2]);
	assert_string_equal(text_at(c, "oldState"), before);
	assert_true(json_is_false(at(c, "hasMoreChanges")));
	c = response(2, "Email/queryChanges");
	assert_int_equal(json_array_size(at(c, "removed")), 2);
	assert_string_equal(text_at(c, "added/0/id"), ids[1]);
	assert_int_equal(json_integer_value(at(c, "added/0/index")), 0);
	assert_int_equal(json_integer_value(at(c, "total")), 2);
	assert_error(3, "tooManyChanges");
	assert_error(4, "cannotCalculateChanges");
	assert_error(5, "invalidArguments");
	assert_error(6, "cannotCalculateChanges");
}

static void
test_parse(void **state)
{
	json_t *m;

	(void)state;
	ask("['Email/"
	    "parse',{'accountId':'a','blobIds':['%s','nobody'],'properties':['subject','from','"
	    "sentAt','id','threadId','blobId',"
	    "'size','hasAttachment','preview','textBody','bodyValues'],'fetchTextBodyValues':true},"
	    "'p'],['Email/parse',{'accountId':'a'},'q']",
		ids[0]);
	assert_json(at(response(0, "Email/parse"), "notFound"), "['nobody']");
	m = at(at(response(0, "Email/parse"), "parsed"), ids[0]);
	assert_string_equal(text_at(m, "subject"), "Lunch & more");
	assert_string_equal(text_at(m, "sentAt"), "2026-11-23T20:00:00+08:00");
	assert_string_equal(text_at(m, "from/0/email"), "wei@example.org");
	assert_true(json_is_null(at(m, "id")));
	assert_string_equal(text_at(m, "blobId"), ids[0]);
	assert_int_equal(json_integer_value(at(m, "size")), sizeof first_mail - 1);
	assert_true(json_is_true(at(m, "hasAttachment")));
	assert_non_null(strstr(text_at(m, "bodyValues/1/value"), "noon"));
	assert_error(1, "invalidArguments");
}

static void
test_snippets(void **state)
{
	(void)state;
	ask("['SearchSnippet/get',{'accountId':'a','filter':{'text':'LUNCH "
	    "pancakes'},'emailIds':['%s','%s','nobody']},'s'],"
	    "['SearchSnippet/"
	    "get',{'accountId':'a','filter':{'body':'\xe4\xb8\xad'},'emailIds':['%s']},'c']",
		ids[0], ids[2], ids[0]);
	assert_string_equal(text_at(response(0, "SearchSnippet/get"), "list/0/subject"),
		"<mark>Lunch</mark> &amp; more");
	assert_string_equal(text_at(response(0, "SearchSnippet/get"), "list/0/preview"),
		"Dear Bob, &lt;b&gt;<mark>Pancakes</mark>&lt;/b&gt; for <mark>lunch</mark> at "
		"noon, \xe4\xb8\xad\xe5\x8d\x88.");
	assert_true(json_is_null(at(response(0, "SearchSnippet/get"), "list/1/subject")));
	assert_true(json_is_null(at(response(0, "SearchSnippet/get"), "list/1/preview")));
	assert_json(at(response(0, "SearchSnippet/get"), "notFound"), "['nobody']");
	assert_true(json_is_null(at(response(1, "SearchSnippet/get"), "list/0/subject")));
	assert_non_null(strstr(text_at(response(1, "SearchSnippet/get"), "list/0/preview"),
		"<mark>\xe4\xb8\xad</mark>"));
}

/* The file goes while the index has it still: its mail is not found, the others are. */
static void
test_file_that_is_gone(void **state)
{
	char command[200];

	(void)state;
	snprintf(command, sizeof command, "%s/cur", directory);
	directory_remove(command);
	ask("['Email/get',{'accountId':'a','ids':['%s'],'properties':['textBody']},'e'],"
	    "['Email/get',{'accountId':'a','ids':['%s'],'properties':['subject']},'f']",
		ids[0], ids[0]);
	assert_int_equal(json_array_size(at(response(0, "Email/get"), "notFound")), 1);
	assert_int_equal(json_array_size(at(response(1, "Email/get"), "list")), 1);
}

/* ── what methods share ── */

static void
assert_patched(const char *object, const char *patch, const char *want)
{
	char *o = strdup(object), *p = strdup(patch);
	json_t *object_json, *patch_json, *error = NULL, *patched;

	unquote(o);
	unquote(p);
	object_json = json_loads(o, 0, NULL);
	patch_json = json_loads(p, 0, NULL);
	patched = jmap_patch(object_json, patch_json, &error);
	if (want)
		assert_json(patched, want);
	else
		assert_string_equal(text_at(error, "type"), "invalidPatch");
	json_decref(object_json);
	json_decref(patch_json);
	json_decref(patched);
	json_decref(error);
	free(o);
	free(p);
}

static void
test_patches(void **state)
{
	(void)state;
	assert_patched("{'a':1}", "{'a':2,'b':[3]}", "{'a':2,'b':[3]}");
	assert_patched("{'k':{'x':true}}", "{'k/y':true,'k/x':null}", "{'k':{'y':true}}");
	assert_patched("{'k':{'a/b~':1}}", "{'k/a~1b~0':2}", "{'k':{'a/b~':2}}");
	assert_patched("{'a':1}", "{'b':null}", "{'a':1}");
	assert_patched("{'a':{}}", "{'a/b/c':1}", NULL);
	assert_patched("{'a':[1]}", "{'a/0':1}", NULL);
	assert_patched("{'a':{'b':{}}}", "{'a':{},'a/b':1}", NULL);
	assert_patched("{'a':{}}", "{'a/~2':1}", NULL);
}

static void
assert_date(const char *text, int64_t want)
{
	json_t *j = json_string(text);
	int64_t ms = -1;

	assert_int_equal(jmap_read_date(j, &ms), want >= 0);
	assert_int_equal(ms, want);
	json_decref(j);
}

static void
test_dates(void **state)
{
	(void)state;
	assert_date("2026-11-23T18:00:00Z", 1795456800000);
	assert_date("2026-11-24T02:00:00+08:00", 1795456800000);
	assert_date("2026-11-23T13:30:00-04:30", 1795456800000);
	assert_date("2026-11-23T18:00:00", -1);
	assert_date("2026-11-23T18:00:00+8", -1);
	assert_date("2026-11-23T18:00:00Z+08:00", -1);
	assert_date("", -1);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_bodies_that_are_no_request),
		CASE(test_requests_of_too_much),
		CASE(test_one_call_fails_and_the_others_do_not),
		CASE(test_an_echo_of_an_empty_name),
		CASE(test_capability_is_needed),
		CASE(test_result_references),
		CASE(test_references_that_lead_nowhere),
		CASE(test_answers_that_grow_without_end),
		CASE(test_session),
		CASE(test_session_says_how_long_mail_is_held),
		CASE(test_answer_too_long_of_what_was_done),
		CASE(test_wrong_arguments_ask_nobody),
		CASE(test_filters_of_submissions),
		CASE(test_mailboxes),
		CASE(test_mailboxes_are_made_changed_destroyed),
		CASE(test_mailbox_with_mails_is_destroyed_only_when_told),
		CASE(test_threads),
		CASE(test_list_of_mails),
		CASE(test_whole_mail),
		CASE(test_header_fields_in_their_forms),
		CASE(test_queries),
		CASE(test_query_answers_and_errors),
		CASE(test_filters_that_are_too_much),
		CASE(test_changes),
		CASE(test_parse),
		CASE(test_snippets),
		CASE(test_file_that_is_gone),
		cmocka_unit_test(test_patches),
		cmocka_unit_test(test_dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
