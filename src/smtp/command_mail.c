/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/command.h"

#include "base/codec.h"
#include "base/must.h"
#include "message/message.h"

/*
 * MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3): a path, and behind it parameters: those of RFC 1870
 * (SIZE), RFC 6152 (BODY), RFC 6531 (SMTPUTF8), RFC 4954 (AUTH), RFC 3461 (DSN) and RFC 4865
 * (FUTURERELEASE). What is right goes into the transaction, and the driver is asked.
 */

static const struct reply
	too_many_recipients = { 452, { 4, 5, 3 },
		S("no more recipients in this mail; send another") },
	sender_syntax = { 501, { 5, 1, 7 },
		S("this is not an address; write MAIL FROM:<name@domain>") },
	sender_too_long = { 501, { 5, 1, 7 }, S("this address is longer than an address can be") },
	recipient_syntax = { 501, { 5, 1, 3 },
		S("this is not an address; write RCPT TO:<name@domain>") },
	recipient_too_long = { 501, { 5, 1, 3 },
		S("this address is longer than an address can be") },
	unknown_parameter = { 555, { 5, 5, 4 }, S("a parameter is not known here") },
	bad_parameter = { 501, { 5, 5, 4 }, S("a parameter is malformed") },
	twice = { 501, { 5, 5, 4 }, S("a parameter is given twice") },
	body_not_offered = { 504, { 5, 5, 4 }, S("BODY can be 7BIT or 8BITMIME here") },
	bad_ret = { 501, { 5, 5, 4 }, S("RET is FULL or HDRS") },
	bad_envid = { 501, { 5, 5, 4 },
		S("ENVID is printable ASCII in xtext, at most 100 octets") },
	bad_notify = { 501, { 5, 5, 4 },
		S("NOTIFY is NEVER, or any of SUCCESS, FAILURE and DELAY with commas between") },
	bad_orcpt = { 501, { 5, 5, 4 },
		S("ORCPT is type;address with the address in xtext, at most 500 octets") },
	bad_hold_for = { 501, { 5, 5, 4 }, S("HOLDFOR is a number of seconds") },
	bad_hold_until = { 501, { 5, 5, 4 },
		S("HOLDUNTIL is a moment of UTC, like 2031-05-17T08:00:00Z") },
	hold_too_long = { 501, { 5, 5, 4 }, S("mail is not held for so long; EHLO says how long") },
	hold_twice = { 501, { 5, 5, 4 }, S("HOLDFOR and HOLDUNTIL do not go together") },
	too_big = { 552, { 5, 3, 4 }, S("the message is larger than we take") };

/* A parameter of MAIL or RCPT (RFC 5321 §4.1.1.11); take says what is wrong with the value. */
struct parameter {
	struct str keyword;
	const struct reply *(*take)(struct smtp_server *s, struct str value);
	bool has_value;
};

static bool
is_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!char_is_digit(s.p[i]))
			return false;
	return s.n > 0;
}

/* RFC 1870 §6 allows 20 digits, which can be more than 64 bits: as good as the largest number. */
static const struct reply *
take_size(struct smtp_server *s, struct str value)
{
	uint64_t size;

	if (!is_digits(value) || value.n > 20)
		return &bad_parameter;
	if (!scan_u64(&value, &size) || size > s->settings->message_size_max)
		return &too_big;
	s->transaction.size_declared = size;
	return NULL;
}

static const struct reply *
take_body(struct smtp_server *s, struct str value)
{
	if (str_eq_nocase(value, S("7BIT")))
		s->transaction.body = SMTP_BODY_7BIT;
	else if (str_eq_nocase(value, S("8BITMIME")))
		s->transaction.body = SMTP_BODY_8BITMIME;
	else
		return &body_not_offered;
	return NULL;
}

static const struct reply *
take_smtputf8(struct smtp_server *s, struct str value)
{
	(void)value;
	s->transaction.smtputf8 = true;
	return NULL;
}

static const struct reply *
take_auth(struct smtp_server *s, struct str value)
{
	struct smtp_transaction *t = &s->transaction;
	struct buf text = { .max = SMTP_COMMAND_LINE_MAX };
	struct address who;
	bool is_good;

	if (str_eq(value, S("<>")))
		return NULL;
	is_good = codec_add_from_xtext(&text, value) &&
		  address_parse(buf_str(&text), &t->arena, true, &who) == ADDRESS_OK &&
		  arena_dup(&t->arena, buf_str(&text), &t->auth_identity);
	buf_free(&text);
	return is_good ? NULL : &bad_parameter;
}

static const struct reply *
take_ret(struct smtp_server *s, struct str value)
{
	if (str_eq_nocase(value, S("FULL")))
		s->transaction.returns = SMTP_RETURN_FULL;
	else if (str_eq_nocase(value, S("HDRS")))
		s->transaction.returns = SMTP_RETURN_HDRS;
	else
		return &bad_ret;
	return NULL;
}

/* xtext that means printable ASCII: what a report can say of it in its own fields (RFC 3461 §4.2,
 * §4.4). */
static bool
is_printable_xtext(struct str xtext)
{
	struct buf text = { .max = SMTP_COMMAND_LINE_MAX };
	bool is_good = codec_add_from_xtext(&text, xtext) && str_is_ascii(buf_str(&text)) &&
		       !command_has_control(buf_str(&text));

	buf_free(&text);
	return is_good && xtext.n;
}

static const struct reply *
take_envid(struct smtp_server *s, struct str value)
{
	if (value.n > DSN_ENVELOPE_ID_MAX || !is_printable_xtext(value))
		return &bad_envid;
	must(arena_dup(&s->transaction.arena, value, &s->transaction.envelope_id));
	return NULL;
}

static const struct reply *
take_hold(struct smtp_server *s, int64_t until_s)
{
	if (s->transaction.hold_until_s)
		return &hold_twice;
	if (until_s > s->now_s + s->hold_most_s)
		return &hold_too_long;
	s->transaction.hold_until_s = until_s;
	return NULL;
}

/* RFC 4865 §4: 1 to 9 digits, the first no zero. The second that now_s names has begun already: nothing
 * is to leave before the last one is over. */
static const struct reply *
take_hold_for(struct smtp_server *s, struct str value)
{
	const struct reply *no;
	uint64_t seconds;

	if (s->hold_most_s == 0)
		return &unknown_parameter;
	if (!is_digits(value) || value.n > 9 || value.p[0] == '0' || !scan_u64(&value, &seconds))
		return &bad_hold_for;
	no = take_hold(s, s->now_s + (int64_t)seconds);
	if (!no)
		s->transaction.hold_until_s++;
	return no;
}

/* A moment that has passed already holds nothing, and is no fault. */
static const struct reply *
take_hold_until(struct smtp_server *s, struct str value)
{
	int64_t until_s;

	if (s->hold_most_s == 0)
		return &unknown_parameter;
	if (!date_scan_rfc3339(&value, &until_s) || value.n)
		return &bad_hold_until;
	return take_hold(s, until_s);
}

static const struct reply *
take_notify(struct smtp_server *s, struct str value)
{
	static const struct {
		struct str word;
		uint8_t bit;
	} words[] = { { S("SUCCESS"), DSN_NOTIFY_SUCCESS }, { S("FAILURE"), DSN_NOTIFY_FAILURE },
		{ S("DELAY"), DSN_NOTIFY_DELAY } };
	struct str word;
	size_t i;

	if (str_eq_nocase(value, S("NEVER"))) {
		s->notify = DSN_NOTIFY_NEVER;
		return NULL;
	}
	for (bool more = true; more;) {
		more = str_cut(value, ',', &word, &value);
		for (i = 0; i < 3 && !str_eq_nocase(word, words[i].word); i++)
			;
		if (i == 3)
			return &bad_notify;
		s->notify |= words[i].bit;
	}
	return NULL;
}

/* An atom (RFC 5322 §3.2.3), as address types are. */
static bool
is_atom(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!char_is_alpha(s.p[i]) && !char_is_digit(s.p[i]) &&
			(s.p[i] == '\0' || !strchr("!#$%&'*+-/=?^_`{|}~", s.p[i])))
			return false;
	return s.n > 0;
}

/* RFC 6533 §3: a utf-8 address comes with escapes, or with SMTPUTF8 as it is; any other in xtext. */
static bool
is_original_address(const struct smtp_server *s, struct str type, struct str address)
{
	struct buf plain = { .max = SMTP_COMMAND_LINE_MAX };
	bool is_good;

	if (!str_eq_nocase(type, S("utf-8")))
		return is_printable_xtext(address);
	is_good = (s->transaction.smtputf8 || str_is_ascii(address)) &&
		  dsn_add_utf8_address(&plain, address) && plain.n;
	buf_free(&plain);
	return is_good;
}

static const struct reply *
take_orcpt(struct smtp_server *s, struct str value)
{
	struct str type, address;

	if (value.n > DSN_ORIGINAL_MAX || !str_cut(value, ';', &type, &address) || !is_atom(type) ||
		!is_original_address(s, type, address))
		return &bad_orcpt;
	must(arena_dup(&s->scratch, value, &s->original_recipient));
	return NULL;
}

static const struct parameter mail_parameters[] = {
	{ S("SIZE"), take_size, true },
	{ S("BODY"), take_body, true },
	{ S("SMTPUTF8"), take_smtputf8, false },
	{ S("AUTH"), take_auth, true },
	{ S("RET"), take_ret, true },
	{ S("ENVID"), take_envid, true },
	{ S("HOLDFOR"), take_hold_for, true },
	{ S("HOLDUNTIL"), take_hold_until, true },
};

static const struct parameter rcpt_parameters[] = {
	{ S("NOTIFY"), take_notify, true },
	{ S("ORCPT"), take_orcpt, true },
};

enum {
	MAIL_PARAMETERS_N = sizeof mail_parameters / sizeof mail_parameters[0],
	RCPT_PARAMETERS_N = sizeof rcpt_parameters / sizeof rcpt_parameters[0],
};

/* All that stands behind a path. NULL, or the first thing that is wrong. */
static const struct reply *
take_parameters(struct smtp_server *s, struct str in, const struct parameter *known, size_t known_n)
{
	struct str word, keyword, value;
	const struct reply *wrong = NULL;
	unsigned seen = 0;
	size_t i;

	if (in.n && in.p[0] != ' ' && in.p[0] != '\t')
		return &bad_parameter;
	while (!wrong && command_scan_argument(&in, &word)) {
		bool has_value = str_cut(word, '=', &keyword, &value);

		for (i = 0; i < known_n && !str_eq_nocase(keyword, known[i].keyword); i++)
			;
		if (i == known_n)
			wrong = &unknown_parameter;
		else if (seen & 1u << i)
			wrong = &twice;
		else if (known[i].has_value ? value.n == 0 : has_value)
			wrong = &bad_parameter;
		else
			wrong = known[i].take(s, value);
		seen |= 1u << i;
	}
	return wrong;
}

void
command_mail(struct smtp_server *s, const struct command *c, struct str argument)
{
	struct smtp_transaction *t = &s->transaction;
	const struct reply *wrong = NULL;
	enum address_problem problem;

	if (!scan_word_nocase(&argument, S("FROM:"))) {
		command_say_syntax(s, c);
		return;
	}
	scan_blanks(&argument);
	problem = address_scan_path(&argument, &t->arena, true, true, &t->reverse_path);
	if (problem == ADDRESS_TOO_LONG)
		wrong = &sender_too_long;
	else if (problem || (t->reverse_path.domain.n == 0 && t->reverse_path.local.n))
		wrong = &sender_syntax;
	else
		wrong = take_parameters(s, argument, mail_parameters, MAIL_PARAMETERS_N);
	if (!wrong && !t->smtputf8 && !address_is_ascii(t->reverse_path))
		wrong = &command_needs_smtputf8; /* known only behind the parameters */
	if (!wrong) {
		smtp_server_ask(s, SMTP_ON_MAIL);
		return;
	}
	smtp_server_say(s, *wrong);
	smtp_server_reset_transaction(s);
}

void
command_rcpt(struct smtp_server *s, const struct command *c, struct str argument)
{
	struct smtp_transaction *t = &s->transaction;
	const struct reply *wrong = NULL;

	if (!scan_word_nocase(&argument, S("TO:"))) {
		command_say_syntax(s, c);
		return;
	}
	scan_blanks(&argument);
	t->recipients_seen++;
	s->notify = 0;
	s->original_recipient = (struct str){ 0 };
	switch (address_scan_path(&argument, &s->scratch, false, t->smtputf8, &s->recipient)) {
	case ADDRESS_OK:
		wrong = take_parameters(s, argument, rcpt_parameters, RCPT_PARAMETERS_N);
		break;
	case ADDRESS_SYNTAX:
		wrong = &recipient_syntax;
		break;
	case ADDRESS_TOO_LONG:
		wrong = &recipient_too_long;
		break;
	case ADDRESS_NEEDS_UTF8:
		wrong = &command_needs_smtputf8;
		break;
	}
	if (!wrong && t->recipients_accepted >= s->settings->recipients_max)
		wrong = &too_many_recipients;
	if (!wrong) {
		smtp_server_ask(s, SMTP_ON_RCPT);
		return;
	}
	smtp_server_say(s, *wrong);
	arena_free(&s->scratch);
}
