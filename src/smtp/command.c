/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/command.h"

#include "base/must.h"
#include "message/message.h"

/*
 * The commands of RFC 5321 §4.1, RFC 3030 (BDAT) and RFC 3207 (STARTTLS): when each may come, how its
 * argument is read, and what it makes the session do; AUTH, MAIL with RCPT, and XCLIENT have files of
 * their own. The grammar is followed to the letter in what we say, and with a wide sleeve in what we
 * take: verbs and keywords in either case, blanks behind FROM: and TO: and at the ends of a line,
 * paths without brackets. What could mean two things is refused.
 *
 * A browser can be made to send a form to any port, and an attacker on the way can turn a TLS
 * connection meant for a web server to us (ALPACA): the lines of the form, or of the request, would
 * then be run as commands of an innocent client. So who is heard to speak HTTP is cut off, and over
 * TLS so is everybody whose first line is no command: command_is_foreign.
 */

enum { /* when a command may come */
	ANYTIME = 0,
	AFTER_HELLO = 1,
	WITHIN_MAIL = 2,
	BETWEEN_MAILS = 4,
	BEFORE_CHUNKS = 8, /* a message that began with BDAT goes on with BDAT */
	EVEN_REFUSED = 16, /* after a greeting of 554; RFC 5321 §3.1 */
	FOR_PROXIES = 32,  /* to all others there is no such command */
};

static command_fn run_ehlo, run_helo, run_starttls, run_data, run_bdat, run_rset, run_noop,
	run_vrfy, run_expn, run_help, run_quit;

static const struct command commands[] = {
	{ S("EHLO"), ANYTIME, run_ehlo, S("EHLO your-host-name") },
	{ S("HELO"), ANYTIME, run_helo, S("HELO your-host-name") },
	{ S("STARTTLS"), AFTER_HELLO | BETWEEN_MAILS, run_starttls, S("STARTTLS") },
	{ S("XCLIENT"), BETWEEN_MAILS | FOR_PROXIES, command_xclient,
		S("XCLIENT [NAME=xtext] [ADDR=address] [PORT=number] [PROTO=SMTP|ESMTP] "
		  "[HELO=xtext] [LOGIN=xtext]") },
	{ S("AUTH"), AFTER_HELLO | BETWEEN_MAILS, command_auth,
		S("AUTH PLAIN|LOGIN [base64 of the first response]") },
	{ S("MAIL"), AFTER_HELLO | BETWEEN_MAILS, command_mail,
		S("MAIL FROM:<sender> [SIZE=octets] [BODY=7BIT|8BITMIME] [SMTPUTF8] [AUTH=who] "
		  "[RET=FULL|HDRS] [ENVID=name] [HOLDFOR=seconds|HOLDUNTIL=time]") },
	{ S("RCPT"), WITHIN_MAIL | BEFORE_CHUNKS, command_rcpt,
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

const struct reply command_needs_smtputf8 = { 553, { 5, 6, 7 },
	S("a name that is not ASCII needs SMTPUTF8") };

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
	tls_is_on = { 503, { 5, 5, 1 }, S("TLS is on already") },
	tls_not_offered = { 502, { 5, 5, 1 }, S("TLS is not offered here") },
	no_recipient = { 554, { 5, 5, 1 },
		S("no recipient was taken, so there is nobody to write to") },
	help_unknown = { 504, { 5, 5, 4 }, S("no such command; HELP alone lists them") };

static bool
is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

bool
command_has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_control(s.p[i]))
			return true;
	return false;
}

bool
command_scan_argument(struct str *in, struct str *word)
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

/* Is there such a command for this client? */
static bool
is_known(const struct smtp_server *s, const struct command *c)
{
	return s->offers_xclient || !(c->when & FOR_PROXIES);
}

static const struct command *
find_command(const struct smtp_server *s, struct str verb)
{
	for (size_t i = 0; i < COMMANDS_N; i++)
		if (str_eq_nocase(verb, commands[i].verb))
			return is_known(s, &commands[i]) ? &commands[i] : NULL;
	return NULL;
}

bool
command_is_foreign(const struct smtp_server *s, struct str line)
{
	static const struct str http[] = { S("GET"), S("HEAD"), S("POST"), S("PUT"), S("DELETE"),
		S("CONNECT"), S("OPTIONS"), S("TRACE"), S("PATCH"), S("PRI"), S("Host:") };
	struct str word = { 0 };

	command_scan_argument(&line, &word);
	for (size_t i = 0; i < sizeof http / sizeof http[0]; i++)
		if (str_eq_nocase(word, http[i]))
			return true;
	return s->must_be_verb && !find_command(s, word);
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

void
command_say_syntax(struct smtp_server *s, const struct command *c)
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

	command_scan_argument(&argument, &verb);
	c = find_command(s, verb);
	if (s->state == SERVER_REFUSED && !(c && c->when & EVEN_REFUSED))
		refusal = &not_served;
	else if (command_has_control(line))
		refusal = &not_text;
	else
		refusal = c ? why_not_now(s, c) : &unknown_verb;
	if (refusal)
		smtp_server_say(s, *refusal);
	else
		c->run(s, c, str_trim(argument));
}

/* More than RFC 5321 allows (underscores, bare addresses), yet nothing that would mean something in a
 * Received field. */
bool
command_is_hello(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!char_is_alpha(name.p[i]) && !char_is_digit(name.p[i]) &&
			(name.p[i] == '\0' || !strchr(".-_:[]", name.p[i])))
			return false;
	return name.n > 0 && name.n <= ADDRESS_DOMAIN_MAX;
}

static void
ask_hello(struct smtp_server *s, const struct command *c, struct str name, bool is_extended)
{
	if (!command_is_hello(name)) {
		command_say_syntax(s, c);
		return;
	}
	must(arena_dup(&s->scratch, name, &s->hello)); /* until it is taken */
	s->was_extended = s->is_extended;
	s->is_extended = is_extended;
	smtp_server_ask(s, SMTP_ON_HELLO);
}

static void
run_helo(struct smtp_server *s, const struct command *c, struct str name)
{
	ask_hello(s, c, name, false);
}

static void
run_ehlo(struct smtp_server *s, const struct command *c, struct str name)
{
	ask_hello(s, c, name, true);
}

static void
add_extensions(const struct smtp_server *s, struct buf *lines)
{
	buf_addf(lines,
		"\nPIPELINING\nSIZE %llu\n8BITMIME\nENHANCEDSTATUSCODES\nCHUNKING\nSMTPUTF8\nDSN",
		(unsigned long long)s->settings->message_size_max);
	if (s->offers_starttls && !s->is_secure)
		buf_add(lines, S("\nSTARTTLS"));
	if (s->offers_auth)
		buf_add(lines, S("\nAUTH PLAIN LOGIN\nAUTH=PLAIN LOGIN"));
	if (s->offers_xclient)
		buf_add(lines, S("\nXCLIENT NAME ADDR PORT PROTO HELO LOGIN"));
	if (s->hold_most_s) {
		buf_addf(lines, "\nFUTURERELEASE %u ", s->hold_most_s);
		date_add_rfc3339(lines, s->now_s + s->hold_most_s);
	}
	buf_addf(lines, "\nHELP\nLIMITS RCPTMAX=%u", s->settings->recipients_max);
}

void
command_say_hello(struct smtp_server *s)
{
	struct buf lines = { .max = 1024 };

	buf_add(&lines, s->settings->hostname);
	if (s->is_extended)
		add_extensions(s, &lines);
	smtp_server_say(s, (struct reply){ 250, { 0 }, buf_str(&lines) });
	buf_free(&lines);
}

/* For the commands that have no argument. */
static bool
is_alone(struct smtp_server *s, const struct command *c, struct str argument)
{
	if (argument.n)
		command_say_syntax(s, c);
	return argument.n == 0;
}

static void
run_starttls(struct smtp_server *s, const struct command *c, struct str argument)
{
	if (!is_alone(s, c, argument))
		return;
	if (s->is_secure)
		smtp_server_say(s, tls_is_on);
	else if (!s->offers_starttls)
		smtp_server_say(s, tls_not_offered);
	else
		smtp_server_ask(s, SMTP_ON_STARTTLS);
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

	if (!command_scan_argument(&in, &digits) || !scan_u64(&digits, size) || digits.n ||
		*size > most)
		return false;
	*is_last = command_scan_argument(&in, &last);
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
		command_say_syntax(s, c);
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
		command_say_syntax(s, c);
	} else if (!is_utf8 && !str_is_ascii(what)) {
		smtp_server_say(s, command_needs_smtputf8);
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
		c = find_command(s, argument);
		smtp_server_say(
			s, c ? (struct reply){ 214, { 2, 0, 0 }, c->syntax } : help_unknown);
		return;
	}
	buf_add(&verbs, S("HELP with one of these says more:\n"));
	for (size_t i = 0; i < COMMANDS_N; i++)
		if (is_known(s, &commands[i])) {
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
