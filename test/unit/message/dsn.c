/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"
#include "unit.h"

static struct err refused, expired;

static struct dsn
bounce_of(const struct dsn_recipient *recipients, size_t n)
{
	err_set(&refused, ERR_PERMANENT, ERR_REMOTE, "no such person");
	refused.code = 550;
	refused.enhanced = (struct enhanced){ 5, 1, 1 };
	err_set(&expired, ERR_PERMANENT, ERR_EXPIRED, "nobody answered for 5 days");
	return (struct dsn){
		.hostname = S("mail.example.net"),
		.to = S("ann@example.net"),
		.message_id = S("b0unce.1@mail.example.net"),
		.original_id = S("00ff"),
		.unix_seconds = 86400,
		.arrived_unix_seconds = 0,
		.recipients = recipients,
		.recipients_n = n,
		.original_header =
			S("From: ann@example.net\r\nSubject: hi\r\nMessage-ID: <9@x>\r\n"),
	};
}

static struct str
composed(struct buf *to, const struct dsn *d)
{
	to->max = 1 << 20;
	buf_reset(to);
	dsn_compose(to, d);
	assert_false(to->overflow);
	return buf_str(to);
}

static void
assert_has(struct str message, const char *part)
{
	if (str_find_str(message, str_of(part)) == message.n)
		fail_msg("'%s' is not in:\n%.*s", part, STR_ARG(message));
}

static void
test_a_bounce_says_who_and_why(void **state)
{
	struct dsn_recipient two[] = {
		{ S("bob@example.org"), &refused, { 5, 1, 1 }, S("mx.example.org") },
		{ S("eve@example.com"), &expired, { 5, 4, 7 }, S("") },
	};
	struct dsn d = bounce_of(two, 2);
	struct buf to = { 0 };
	struct str message = composed(&to, &d);

	(void)state;
	assert_has(message, "To: ann@example.net\r\n");
	assert_has(message, "Subject: Not delivered: your mail to bob@example.org and 1 more\r\n");
	assert_has(message, "In-Reply-To: <9@x>\r\n");
	assert_has(message, "Auto-Submitted: auto-replied\r\n");
	assert_has(message, "\r\n  bob@example.org\r\n    mx.example.org said: 550 5.1.1 no such "
			    "person\r\n    Check the address");
	assert_has(message, "\r\n  eve@example.com\r\n    nobody answered for 5 days\r\n");
	assert_has(message, "\r\n\r\nFinal-Recipient: rfc822; bob@example.org\r\nAction: failed\r\n"
			    "Status: 5.1.1\r\nRemote-MTA: dns; mx.example.org\r\n"
			    "Diagnostic-Code: smtp; 550 5.1.1 no such person\r\n");
	assert_has(message, "\r\n\r\nFinal-Recipient: rfc822; eve@example.com\r\nAction: failed\r\n"
			    "Status: 5.4.7\r\n\r\n--=_bounce_b0unce1");
	assert_has(message, "Content-Type: text/rfc822-headers\r\n\r\nFrom: ann@example.net\r\n"
			    "Subject: hi\r\nMessage-ID: <9@x>\r\n\r\n--=_bounce_b0unce1");
	assert_true(str_ends_nocase(message, S("mailexamplenet--\r\n")));
	buf_free(&to);
}

/* The last line of a program's part stands alone: the boundary's own CRLF comes before it. */
static void
test_strangers_words_stay_in_their_line(void **state)
{
	struct dsn_recipient one[] = {
		{ S("bob@example.org\r\nBcc: eve@example.org"), &refused, { 5, 0, 0 },
			S("mx\r\n\r\nforged") },
	};
	struct dsn d = bounce_of(one, 1);
	struct buf to = { 0 };
	struct str message;

	(void)state;
	memcpy(refused.text, "evil\n.\n", 8); /* as err_set would never have it */
	message = composed(&to, &d);
	assert_int_equal(str_find_str(message, S("\nBcc:")), message.n);
	assert_int_equal(str_find_str(message, S("\nforged")), message.n);
	assert_int_equal(str_find_str(message, S("\n.")), message.n);
	buf_free(&to);
}

static void
test_international_addresses_have_their_own_types(void **state)
{
	struct dsn_recipient one[] = {
		{ S("\xe9\xa9\xbf@example.org"), &refused, { 5, 1, 1 }, S("") },
	};
	struct dsn d = bounce_of(one, 1);
	struct buf to = { 0 };
	struct str message = composed(&to, &d);

	(void)state;
	assert_has(message, "Content-Type: message/global-delivery-status\r\n");
	assert_has(message, "Final-Recipient: utf-8; \xe9\xa9\xbf@example.org\r\n");
	d.original_header = S("Subject: Gr\xc3\xbc\xc3\x9f"
			      "e\r\n");
	assert_has(composed(&to, &d), "Content-Type: message/global-headers\r\n");
	buf_free(&to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_bounce_says_who_and_why),
		cmocka_unit_test(test_strangers_words_stay_in_their_line),
		cmocka_unit_test(test_international_addresses_have_their_own_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
