/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/server.h"
#include "unit.h"

/*
 * A model of the server's states, in words of RFC 5321 §4.1.4 and RFC 3207 §4 and without a look at
 * the code: what has happened is a set of facts, and a table says for each verb, line by line, which
 * facts lead to which reply and what becomes of the facts. Every sequence of up to five verbs is
 * played against the core: each reply, and after each what a driver knows of the session, must be
 * what the model says.
 */

enum fact {
	GREETED = 1,
	SECURE = 2,
	LOGGED_IN = 4,
	MAIL_OPEN = 8,
	HAS_RECIPIENT = 16,
	IN_CHUNKS = 32,
	FIRST_OVER_TLS = 64, /* nothing has been said since the handshake */
	CLOSED = 128,
	THE_MAIL = MAIL_OPEN | HAS_RECIPIENT | IN_CHUNKS,
};

enum verb {
	EHLO,
	HELO,
	STARTTLS,
	AUTH,
	AUTH_WRONG,
	MAIL,
	RCPT,
	RCPT_UNKNOWN,
	DATA,
	CHUNK,
	LAST_CHUNK,
	RSET,
	NOOP,
	VRFY,
	QUIT,
	JUNK,
	VERBS
};

static const struct {
	const char *name;
	struct str line;
} said[VERBS] = {
	[EHLO] = { "EHLO", S("EHLO x\r\n") },
	[HELO] = { "HELO", S("HELO x\r\n") },
	[STARTTLS] = { "STARTTLS", S("STARTTLS\r\n") },
	[AUTH] = { "AUTH", S("AUTH PLAIN AGEAYg==\r\n") },	       /* a, b */
	[AUTH_WRONG] = { "AUTH wrong", S("AUTH PLAIN AGEAYw==\r\n") }, /* a, c */
	[MAIL] = { "MAIL", S("MAIL FROM:<>\r\n") },
	[RCPT] = { "RCPT", S("RCPT TO:<known@d>\r\n") },
	[RCPT_UNKNOWN] = { "RCPT unknown", S("RCPT TO:<unknown@d>\r\n") },
	[DATA] = { "DATA", S("DATA\r\n") },
	[CHUNK] = { "BDAT", S("BDAT 4\r\nRSET") },
	[LAST_CHUNK] = { "BDAT LAST", S("BDAT 6 LAST\r\nQUIT\r\n") },
	[RSET] = { "RSET", S("RSET\r\n") },
	[NOOP] = { "NOOP", S("NOOP\r\n") },
	[VRFY] = { "VRFY", S("VRFY x\r\n") },
	[QUIT] = { "QUIT", S("QUIT\r\n") },
	[JUNK] = { "junk", S("junk\r\n") },
};

/* The first row of the verb counts whose facts `with` are all there and `without` are not. */
static const struct rule {
	enum verb verb;
	unsigned with, without;
	int code;
	unsigned gains, loses;
} rules[] = {
	{ EHLO, 0, 0, 250, GREETED, THE_MAIL },
	{ HELO, 0, 0, 250, GREETED, THE_MAIL },
	{ STARTTLS, 0, GREETED, 503, 0, 0 },
	{ STARTTLS, MAIL_OPEN, 0, 503, 0, 0 },
	{ STARTTLS, SECURE, 0, 503, 0, 0 },
	{ STARTTLS, 0, 0, 220, SECURE | FIRST_OVER_TLS, GREETED | LOGGED_IN },
	{ AUTH, 0, GREETED, 503, 0, 0 },
	{ AUTH, MAIL_OPEN, 0, 503, 0, 0 },
	{ AUTH, LOGGED_IN, 0, 503, 0, 0 },
	{ AUTH, 0, 0, 235, LOGGED_IN, 0 },
	{ AUTH_WRONG, 0, GREETED, 503, 0, 0 },
	{ AUTH_WRONG, MAIL_OPEN, 0, 503, 0, 0 },
	{ AUTH_WRONG, LOGGED_IN, 0, 503, 0, 0 },
	{ AUTH_WRONG, 0, 0, 535, 0, 0 },
	{ MAIL, 0, GREETED, 503, 0, 0 },
	{ MAIL, MAIL_OPEN, 0, 503, 0, 0 },
	{ MAIL, 0, 0, 250, MAIL_OPEN, 0 },
	{ RCPT, 0, MAIL_OPEN, 503, 0, 0 },
	{ RCPT, IN_CHUNKS, 0, 503, 0, 0 },
	{ RCPT, 0, 0, 250, HAS_RECIPIENT, 0 },
	{ RCPT_UNKNOWN, 0, MAIL_OPEN, 503, 0, 0 },
	{ RCPT_UNKNOWN, IN_CHUNKS, 0, 503, 0, 0 },
	{ RCPT_UNKNOWN, 0, 0, 550, 0, 0 },
	{ DATA, 0, MAIL_OPEN, 503, 0, 0 },
	{ DATA, IN_CHUNKS, 0, 503, 0, 0 },
	{ DATA, 0, HAS_RECIPIENT, 554, 0, 0 },
	{ DATA, 0, 0, 354, 0, THE_MAIL }, /* and the message, with its 250 */
	{ CHUNK, 0, MAIL_OPEN, 503, 0, 0 },
	{ CHUNK, 0, HAS_RECIPIENT, 554, 0, 0 },
	{ CHUNK, 0, 0, 250, IN_CHUNKS, 0 },
	{ LAST_CHUNK, 0, MAIL_OPEN, 503, 0, 0 },
	{ LAST_CHUNK, 0, HAS_RECIPIENT, 554, 0, 0 },
	{ LAST_CHUNK, 0, 0, 250, 0, THE_MAIL },
	{ RSET, 0, 0, 250, 0, THE_MAIL },
	{ NOOP, 0, 0, 250, 0, 0 },
	{ VRFY, 0, 0, 252, 0, 0 },
	{ QUIT, 0, 0, 221, CLOSED, THE_MAIL },
	{ JUNK, FIRST_OVER_TLS, 0, 421, CLOSED, 0 },
	{ JUNK, 0, 0, 500, 0, 0 },
};

static const struct rule *
rule_for(enum verb verb, unsigned facts)
{
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		if (rules[i].verb == verb && (facts & rules[i].with) == rules[i].with &&
			!(facts & rules[i].without))
			return &rules[i];
	fail_msg("the model does not know %s with facts %x", said[verb].name, facts);
	return NULL;
}

/* What a driver of the core has seen. */
struct driver {
	struct smtp_server s;
	bool has_draft, is_closed;
	unsigned kept;
	int code; /* of the last reply */
};

static const struct smtp_server_settings settings = {
	.hostname = { "h", 1 },
	.message_size_max = 1000,
	.recipients_max = 5,
	.offers_auth = true,
};

static void
answer(struct driver *d, bool is_yes, enum err_kind kind)
{
	const struct err no = { .class = ERR_PERMANENT, .kind = kind };

	smtp_server_answer(&d->s, is_yes ? NULL : &no);
}

/* The code of the last line, which all of a reply share. */
static void
hear(struct driver *d)
{
	struct str out = smtp_server_output(&d->s), line = { 0 };

	for (struct str rest = out; scan_until(&rest, '\n', &line);)
		d->code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + line.p[2] - '0';
	smtp_server_sent(&d->s, out.n);
}

static void
run(struct driver *d)
{
	for (;;)
		switch (smtp_server_next(&d->s)) {
		case SMTP_WANT_INPUT:
			hear(d);
			return;
		case SMTP_WANT_CLOSE:
			d->is_closed = true;
			hear(d);
			return;
		case SMTP_WANT_FLUSH:
			fail_msg("so much output?");
			break;
		case SMTP_WANT_TLS:
			smtp_server_secured(&d->s);
			break;
		case SMTP_ON_AUTH:
			answer(d, str_eq(d->s.auth.password, S("b")), ERR_LOGIN_REFUSED);
			break;
		case SMTP_ON_MAIL:
			d->has_draft = true;
			answer(d, true, 0);
			break;
		case SMTP_ON_RCPT:
			answer(d, str_eq(d->s.recipient.local, S("known")), ERR_MAILBOX_UNKNOWN);
			break;
		case SMTP_ON_END:
			d->has_draft = false;
			d->kept++;
			answer(d, true, 0);
			break;
		case SMTP_ON_RESET:
			d->has_draft = false;
			break;
		case SMTP_ON_BODY:
			break;
		case SMTP_ON_CONNECT:
		case SMTP_ON_HELLO:
		case SMTP_ON_STARTTLS:
		case SMTP_ON_XCLIENT:
		case SMTP_ON_DATA:
		case SMTP_ON_VRFY:
		case SMTP_ON_EXPN:
			answer(d, true, 0);
			break;
		}
}

static void
say(struct driver *d, struct str bytes)
{
	d->code = 0;
	smtp_server_feed(&d->s, bytes);
	run(d);
}

/* The facts, as a driver can see them. */
static unsigned
facts_of(const struct driver *d)
{
	const struct smtp_server *s = &d->s;

	if (d->is_closed)
		return CLOSED;
	return (s->hello.n ? GREETED : 0u) | (s->is_secure ? SECURE : 0u) |
	       (s->is_logged_in ? LOGGED_IN : 0u) | (s->transaction.is_open ? MAIL_OPEN : 0u) |
	       (s->transaction.recipients_accepted ? HAS_RECIPIENT : 0u);
}

static _Noreturn void
complain(const enum verb *verbs, size_t n, const char *what, unsigned wanted, unsigned got)
{
	char text[200] = "";
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%s, ", said[verbs[i]].name);
	fail_msg("%s%s: wanted %u, got %u", text, what, wanted, got);
	abort();
}

/* One sequence; returns how many of its verbs were heard: none behind the end. */
static size_t
play(bool begins_with_tls, const enum verb *verbs, size_t n)
{
	struct driver d = { 0 };
	unsigned facts = begins_with_tls ? SECURE | FIRST_OVER_TLS : 0, kept = 0, wanted;
	size_t i;

	smtp_server_begin(&d.s, &settings);
	d.s.offers_starttls = true;
	d.s.begins_with_tls = begins_with_tls;
	run(&d);
	for (i = 0; i < n && !(facts & CLOSED); i++) {
		const struct rule *r = rule_for(verbs[i], facts);

		say(&d, said[verbs[i]].line);
		if (d.code != r->code)
			complain(verbs, i + 1, "reply", (unsigned)r->code, (unsigned)d.code);
		if (r->code == 354)
			say(&d, S("QUIT\r\n..\r\n.\r\n"));
		if (d.code != (r->code == 354 ? 250 : r->code))
			complain(verbs, i + 1, "end of message", 250, (unsigned)d.code);
		kept += r->code == 354 || (r->code == 250 && verbs[i] == LAST_CHUNK);
		facts = (facts & ~(r->loses | FIRST_OVER_TLS)) | r->gains;
		wanted = facts & CLOSED ? CLOSED : facts & ~(unsigned)(FIRST_OVER_TLS | IN_CHUNKS);
		if (facts_of(&d) != wanted)
			complain(verbs, i + 1, "facts", wanted, facts_of(&d));
		if (d.has_draft != !!(facts & MAIL_OPEN))
			complain(verbs, i + 1, "draft", !!(facts & MAIL_OPEN), d.has_draft);
		if (d.kept != kept)
			complain(verbs, i + 1, "mails kept", kept, d.kept);
	}
	smtp_server_free(&d.s);
	return i;
}

/* Counts up like a number with digits to the base of VERBS; where a session ended, all that would
 * only differ behind its end is left out. */
static void
play_all(bool begins_with_tls, size_t n)
{
	enum verb verbs[8] = { 0 };
	size_t at, heard;

	do {
		heard = play(begins_with_tls, verbs, n);
		for (at = heard; at < n; at++)
			verbs[at] = 0;
		for (at = heard; at > 0 && ++verbs[at - 1] == VERBS; at--)
			verbs[at - 1] = 0;
	} while (at > 0);
}

/* A sequence tests all that it begins with, too. */
#if defined __SANITIZE_ADDRESS__
enum { LONGEST = 4 };
#else
enum { LONGEST = 5 };
#endif

static void
test_sequences_in_clear(void **state)
{
	(void)state;
	play_all(false, LONGEST);
}

static void
test_sequences_over_tls(void **state)
{
	(void)state;
	play_all(true, LONGEST - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences_in_clear),
		cmocka_unit_test(test_sequences_over_tls),
	};

	return cmocka_run_group_tests_name("smtp/server_model", tests, NULL, NULL);
}
