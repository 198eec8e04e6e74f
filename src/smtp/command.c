/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/command.h"

#include "base/codec.h"
#include "base/must.h"
#include "message/message.h"

/*
 * The commands of RFC 5321 §4.1, RFC 3030 (BDAT) and RFC 4954 (AUTH), with the parameters of RFC 3461
 * (DSN) and RFC 4865 (FUTURERELEASE): when each may come, how its
 * argument is read, and what it makes the session do. The grammar is followed to the letter in what
 * we say, and with a wide sleeve in what we take: verbs and keywords in either case, blanks behind
 * FROM: and TO: and at the ends of a line, paths without brackets. What could mean two things is
 * refused.
 */

enum { /* when a command may come */
	ANYTIME = 0,
	AFTER_HELLO = 1,
	WITHIN_MAIL = 2,
	BETWEEN_MAILS = 4,
	BEFORE_CHUNKS = 8, /* a message that began with BDAT goes on with BDAT */
	EVEN_REFUSED = 16, /* after a greeting of 554; RFC 5321 §3.1 */
};

struct command;
typedef void command_fn(struct smtp_server *s, const struct command *c, struct str argument);

struct command {
	struct str verb;
	unsigned when;
	command_fn *run;
	struct str syntax; /* for HELP and for those who got it wrong */
};

static command_fn run_ehlo, run_helo, run_auth, run_mail, run_rcpt, run_data, run_bdat, run_rset,
	run_noop, run_vrfy, run_expn, run_help, run_quit;

static const struct command commands[] = {
	{ S("EHLO"), ANYTIME, run_ehlo, S("EHLO your-host-name") },
	{ S("HELO"), ANYTIME, run_helo, S("HELO your-host-name") },
	{ S("AUTH"), AFTER_HELLO | BETWEEN_MAILS, run_auth,
		S("AUTH PLAIN|LOGIN [base64 of the first response]") },
	{ S("MAIL"), AFTER_HELLO | BETWEEN_MAILS, run_mail,
		S("MAIL FROM:<sender> [SIZE=octets] [BODY=7BIT|8BITMIME] [SMTPUTF8] [AUTH=who] "
		  "[RET=FULL|HDRS] [ENVID=name] [HOLDFOR=seconds|HOLDUNTIL=time]") },
	{ S("RCPT"), WITHIN_MAIL | BEFORE_CHUNKS, run_rcpt,
		S("RCPT TO:<recipient> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] "
		  "[ORCPT=type;address]") },
	{ S("DATA"), WITHIN_MAIL | BEFORE_CHUNKS, run_data, S("DATA") },
	{ S("BDAT"), ANYTIME, run_bdat, S("BDAT octets [LAST]") },
	{ S("RSET"), ANYTIME, run_rset, S("RSET") },
	{ S("NOOP"), ANYTIME, run_noop, S("NOOP [anything]") },
	{ S("VRFY"), ANYTIME, run_vrfy, S("VRFY person [SMTPUTF8]") },
	{ S("EXPN"), ANYTIME, run_expn, S("EXPN list [SMTPUTF8]") },
	{ S("HELP"), ANYTIME, run_help, S("HELP [command]") },
	{ S("QUIT"), EVEN_REFUSED, run_quit, S("QUIT") },
};

enum { COMMANDS_N = sizeof commands / sizeof commands[0] };

static const struct reply
	done = { 250, { 2, 0, 0 }, S("done") },
	bye = { 221, { 2, 0, 0 }, S("bye") },
	not_text = { 500, { 5, 5, 2 }, S("control characters have no place in a command") },
	unknown_verb = { 500, { 5, 5, 1 }, S("no such command; HELP lists them") },
	not_served = { 503, { 5, 5, 1 }, S("no service for you here, only QUIT") },
	hello_first = { 503, { 5, 5, 1 }, S("say EHLO or HELO first") },
	mail_first = { 503, { 5, 5, 1 }, S("say MAIL first") },
	mail_is_open = { 503, { 5, 5, 1 }, S("a mail is open; finish it or say RSET") },
	chunks_have_begun = { 503, { 5, 5, 1 }, S("BDAT has begun; go on with it or say RSET") },
	no_recipient = { 554, { 5, 5, 1 },
		S("no recipient was taken, so there is nobody to write to") },
	too_many_recipients = { 452, { 4, 5, 3 },
		S("no more recipients in this mail; send another") },
	sender_syntax = { 501, { 5, 1, 7 },
		S("this is not an address; write MAIL FROM:<name@domain>") },
	sender_too_long = { 501, { 5, 1, 7 }, S("this address is longer than an address can be") },
	recipient_syntax = { 501, { 5, 1, 3 },
		S("this is not an address; write RCPT TO:<name@domain>") },
	recipient_too_long = { 501, { 5, 1, 3 },
		S("this address is longer than an address can be") },
	needs_smtputf8 = { 553, { 5, 6, 7 }, S("a name that is not ASCII needs SMTPUTF8") },
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
	too_big = { 552, { 5, 3, 4 }, S("the message is larger than we take") },
	auth_not_offered = { 502, { 5, 5, 1 }, S("logging in is switched off here") },
	auth_done = { 503, { 5, 5, 1 }, S("you are logged in already") },
	auth_unknown = { 504, { 5, 5, 4 }, S("the mechanisms here are PLAIN and LOGIN") },
	auth_cancelled = { 501, { 5, 7, 0 }, S("cancelled") },
	auth_syntax = { 501, { 5, 5, 2 }, S("this is not the base64 that the mechanism wants") },
	help_unknown = { 504, { 5, 5, 4 }, S("no such command; HELP alone lists them") };

static bool
is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static bool
has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_control(s.p[i]))
			return true;
	return false;
}

/* The next word, up to a blank or the end; blanks before it are taken too. */
static bool
scan_argument(struct str *in, struct str *word)
{
	struct str rest = *in;
	size_t n = 0;

	scan_blanks(&rest);
	while (n < rest.n && rest.p[n] != ' ' && rest.p[n] != '\t')
		n++;
	if (n == 0)
		return false;
	*word = str_part(rest, 0, n);
	*in = str_from(rest, n);
	return true;
}

static const struct command *
find_command(struct str verb)
{
	for (size_t i = 0; i < COMMANDS_N; i++)
		if (str_eq_nocase(verb, commands[i].verb))
			return &commands[i];
	return NULL;
}

/* Why the command may not come now; NULL when it may. */
static const struct reply *
why_not_now(const struct smtp_server *s, const struct command *c)
{
	if (c->when & AFTER_HELLO && s->hello.n == 0)
		return &hello_first;
	if (c->when & WITHIN_MAIL && !s->transaction.is_open)
		return &mail_first;
	if (c->when & BETWEEN_MAILS && s->transaction.is_open)
		return &mail_is_open;
	if (c->when & BEFORE_CHUNKS && s->has_chunks)
		return &chunks_have_begun;
	return NULL;
}

static void
say_syntax(struct smtp_server *s, const struct command *c)
{
	smtp_server_say(
		s, (struct reply){ 501, { 5, 5, 4 }, .before = S("it goes: "), .text = c->syntax });
}

void
command_run(struct smtp_server *s, struct str line)
{
	struct str verb = { 0 }, argument = str_trim(line);
	const struct command *c;
	const struct reply *refusal;

	scan_argument(&argument, &verb);
	c = find_command(verb);
	if (s->state == SERVER_REFUSED && !(c && c->when & EVEN_REFUSED))
		refusal = &not_served;
	else if (has_control(line))
		refusal = &not_text;
	else
		refusal = c ? why_not_now(s, c) : &unknown_verb;
	if (refusal)
		smtp_server_say(s, *refusal);
	else
		c->run(s, c, str_trim(argument));
}

/* What a client may call itself: more than RFC 5321 allows (underscores, bare addresses), yet
 * nothing that would mean something in a Received field. */
static bool
is_hello(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!char_is_alpha(name.p[i]) && !char_is_digit(name.p[i]) &&
			(name.p[i] == '\0' || !strchr(".-_:[]", name.p[i])))
			return false;
	return name.n > 0 && name.n <= ADDRESS_DOMAIN_MAX;
}

static bool
take_hello(struct smtp_server *s, const struct command *c, struct str name, bool is_extended)
{
	if (!is_hello(name)) {
		say_syntax(s, c);
		return false;
	}
	smtp_server_reset_transaction(s);
	buf_reset(&s->hello_copy);
	buf_add(&s->hello_copy, name);
	s->hello = buf_str(&s->hello_copy);
	s->is_extended = is_extended;
	return true;
}

static void
run_helo(struct smtp_server *s, const struct command *c, struct str name)
{
	if (take_hello(s, c, name, false))
		smtp_server_say(s, (struct reply){ 250, { 0 }, s->settings->hostname });
}

static void
run_ehlo(struct smtp_server *s, const struct command *c, struct str name)
{
	struct buf lines = { .max = 1024 };

	if (!take_hello(s, c, name, true))
		return;
	buf_add(&lines, s->settings->hostname);
	buf_addf(&lines,
		"\nPIPELINING\nSIZE %llu\n8BITMIME\nENHANCEDSTATUSCODES\nCHUNKING\nSMTPUTF8\nDSN",
		(unsigned long long)s->settings->message_size_max);
	if (s->offers_auth)
		buf_add(&lines, S("\nAUTH PLAIN LOGIN\nAUTH=PLAIN LOGIN"));
	if (s->hold_most_s) {
		buf_addf(&lines, "\nFUTURERELEASE %u ", s->hold_most_s);
		date_add_rfc3339(&lines, s->now_s + s->hold_most_s);
	}
	buf_addf(&lines, "\nHELP\nLIMITS RCPTMAX=%u", s->settings->recipients_max);
	smtp_server_say(s, (struct reply){ 250, { 0 }, buf_str(&lines) });
	buf_free(&lines);
}

static const struct mechanism {
	struct str name, prompt; /* the prompt in base64, when there is no first response */
	enum smtp_server_state state;
} mechanisms[] = {
	{ S("PLAIN"), S(""), SERVER_AUTH_PLAIN },
	{ S("LOGIN"), S("VXNlcm5hbWU6"), SERVER_AUTH_LOGIN }, /* Username: */
};

static void
run_auth(struct smtp_server *s, const struct command *c, struct str argument)
{
	const struct mechanism *m = NULL;
	struct str name, response;
	bool has_response;

	if (!s->offers_auth) {
		smtp_server_say(s, auth_not_offered);
		return;
	}
	if (s->is_logged_in) {
		smtp_server_say(s, auth_done);
		return;
	}
	if (!scan_argument(&argument, &name)) {
		say_syntax(s, c);
		return;
	}
	for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
		if (str_eq_nocase(name, mechanisms[i].name))
			m = &mechanisms[i];
	if (!m) {
		smtp_server_say(s, auth_unknown);
		return;
	}
	has_response = scan_argument(&argument, &response);
	if (argument.n) {
		say_syntax(s, c);
		return;
	}
	s->auth.mechanism = m->name;
	s->state = m->state;
	if (has_response)
		command_auth_line(s, str_eq(response, S("=")) ? S("") : response);
	else
		smtp_server_say(s, (struct reply){ 334, { 0 }, m->prompt });
}

/* PLAIN (RFC 4616 §2): authorization identity, NUL, login, NUL, password. */
static bool
split_plain(struct smtp_auth *auth)
{
	struct str rest = buf_str(&auth->secrets);

	if (!scan_until(&rest, '\0', &auth->authorization) ||
		!scan_until(&rest, '\0', &auth->login))
		return false;
	auth->password = rest;
	return auth->login.n && auth->password.n && str_find(rest, '\0') == rest.n;
}

/* LOGIN sends the two one after the other, so they lie behind each other. */
static bool
split_login(struct smtp_auth *auth, size_t login_size)
{
	struct str both = buf_str(&auth->secrets);

	auth->login = str_part(both, 0, login_size);
	auth->password = str_from(both, login_size);
	return str_find(both, '\0') == both.n;
}

/* Room for all is made at once, so that no password is left behind in a buffer given back. */
static bool
add_secret(struct buf *secrets, struct str base64)
{
	return buf_room(secrets, base64.n) && codec_add_from_base64(secrets, base64);
}

static void
give_up_auth(struct smtp_server *s, struct reply why)
{
	smtp_server_end_auth(s);
	smtp_server_say(s, why);
}

void
command_auth_line(struct smtp_server *s, struct str line)
{
	struct smtp_auth *auth = &s->auth;
	bool is_good;

	if (str_eq(line, S("*"))) {
		give_up_auth(s, auth_cancelled);
		return;
	}
	is_good = add_secret(&auth->secrets, line);
	if (is_good && s->state == SERVER_AUTH_LOGIN) {
		s->login_size = auth->secrets.n;
		s->state = SERVER_AUTH_PASSWORD;
		smtp_server_say(s, (struct reply){ 334, { 0 }, S("UGFzc3dvcmQ6") }); /* Password: */
		return;
	}
	if (is_good)
		is_good = s->state == SERVER_AUTH_PLAIN ? split_plain(auth)
							: split_login(auth, s->login_size);
	if (is_good)
		smtp_server_ask(s, SMTP_ON_AUTH);
	else
		give_up_auth(s, auth_syntax);
}

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
		       !has_control(buf_str(&text));

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
	while (!wrong && scan_argument(&in, &word)) {
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

static void
run_mail(struct smtp_server *s, const struct command *c, struct str argument)
{
	struct smtp_transaction *t = &s->transaction;
	const struct reply *wrong = NULL;
	enum address_problem problem;

	if (!scan_word_nocase(&argument, S("FROM:"))) {
		say_syntax(s, c);
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
		wrong = &needs_smtputf8; /* known only behind the parameters */
	if (!wrong) {
		smtp_server_ask(s, SMTP_ON_MAIL);
		return;
	}
	smtp_server_say(s, *wrong);
	smtp_server_reset_transaction(s);
}

static void
run_rcpt(struct smtp_server *s, const struct command *c, struct str argument)
{
	struct smtp_transaction *t = &s->transaction;
	const struct reply *wrong = NULL;

	if (!scan_word_nocase(&argument, S("TO:"))) {
		say_syntax(s, c);
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
		wrong = &needs_smtputf8;
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

/* For the commands that have no argument. */
static bool
is_alone(struct smtp_server *s, const struct command *c, struct str argument)
{
	if (argument.n)
		say_syntax(s, c);
	return argument.n == 0;
}

static void
run_data(struct smtp_server *s, const struct command *c, struct str argument)
{
	if (!is_alone(s, c, argument))
		return;
	if (s->transaction.recipients_accepted == 0)
		smtp_server_say(s, no_recipient);
	else
		smtp_server_ask(s, SMTP_ON_DATA);
}

/* chunk-size [SP "LAST"]; a chunk of more than 2^63 octets is a misprint. */
static bool
scan_chunk(struct str in, uint64_t *size, bool *is_last)
{
	const uint64_t most = (uint64_t)1 << 63;
	struct str digits, last;

	if (!scan_argument(&in, &digits) || !scan_u64(&digits, size) || digits.n || *size > most)
		return false;
	*is_last = scan_argument(&in, &last);
	return !*is_last || (str_eq_nocase(last, S("LAST")) && in.n == 0);
}

/*
 * RFC 3030 §2: whatever is wrong, the chunk's octets come behind the command and must be swallowed,
 * so every refusal but that of the number itself goes through the state of a chunk.
 */
static void
run_bdat(struct smtp_server *s, const struct command *c, struct str argument)
{
	const uint64_t allowed = s->settings->message_size_max;
	struct smtp_transaction *t = &s->transaction;

	if (!scan_chunk(argument, &s->chunk_left, &s->chunk_is_last)) {
		say_syntax(s, c);
		return;
	}
	s->state = SERVER_CHUNK;
	if (!t->is_open)
		s->chunk_refusal = &mail_first;
	else if (t->recipients_accepted == 0)
		s->chunk_refusal = &no_recipient;
	if (s->chunk_refusal)
		return;
	if (s->chunk_left > allowed || t->size > allowed - s->chunk_left)
		smtp_server_fail_body(
			s, &(struct err){ .class = ERR_PERMANENT, .kind = ERR_TOO_BIG });
	if (s->has_chunks)
		return;
	s->has_chunks = true;
	data_begin(&s->data, false, s->repairs_line_ends);
	if (!err_is(&s->failure))
		smtp_server_ask(s, SMTP_ON_DATA);
}

static void
run_rset(struct smtp_server *s, const struct command *c, struct str argument)
{
	if (!is_alone(s, c, argument))
		return;
	smtp_server_reset_transaction(s);
	smtp_server_say(s, done);
}

static void
run_noop(struct smtp_server *s, const struct command *c, struct str argument)
{
	(void)c, (void)argument;
	smtp_server_say(s, done);
}

/* VRFY and EXPN differ in who answers them. RFC 6531 §3.7.4.2: SMTPUTF8 behind the argument allows
 * UTF-8 in it and in the reply. */
static void
ask_about(struct smtp_server *s, const struct command *c, struct str what, enum smtp_event event)
{
	const struct str mark = S(" SMTPUTF8");
	bool is_utf8 = str_ends_nocase(what, mark);

	if (is_utf8)
		what = str_trim(str_part(what, 0, what.n - mark.n));
	if (what.n == 0 || !str_is_utf8(what)) {
		say_syntax(s, c);
	} else if (!is_utf8 && !str_is_ascii(what)) {
		smtp_server_say(s, needs_smtputf8);
	} else {
		must(arena_dup(&s->scratch, what, &s->argument)); /* holds any command line */
		s->argument_is_utf8 = is_utf8;
		smtp_server_ask(s, event);
	}
}

static void
run_vrfy(struct smtp_server *s, const struct command *c, struct str argument)
{
	ask_about(s, c, argument, SMTP_ON_VRFY);
}

static void
run_expn(struct smtp_server *s, const struct command *c, struct str argument)
{
	ask_about(s, c, argument, SMTP_ON_EXPN);
}

static void
run_help(struct smtp_server *s, const struct command *c, struct str argument)
{
	struct buf verbs = { .max = 256 };

	if (argument.n) {
		c = find_command(argument);
		smtp_server_say(
			s, c ? (struct reply){ 214, { 2, 0, 0 }, c->syntax } : help_unknown);
		return;
	}
	buf_add(&verbs, S("HELP with one of these says more:\n"));
	for (size_t i = 0; i < COMMANDS_N; i++) {
		buf_add(&verbs, i ? S(" ") : S(""));
		buf_add(&verbs, commands[i].verb);
	}
	smtp_server_say(s, (struct reply){ 211, { 2, 0, 0 }, buf_str(&verbs) });
	buf_free(&verbs);
}

static void
run_quit(struct smtp_server *s, const struct command *c, struct str argument)
{
	if (!is_alone(s, c, argument))
		return;
	smtp_server_say(s, bye);
	smtp_server_close(s);
}
