/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client.h"
#include "smtp/server.h"
#include "unit.h"

/*
 * Smuggling: a message that ends for one host and goes on for the next. All mixes of up to eight
 * octets of CR, LF, dot and text are sent where a message can be ended by them, with a command
 * behind, in pieces cut in many ways; and all are sent out by our client, to be taken in by our
 * server. What must come of it is said here a second time, naively: the end is the first CRLF.CRLF.
 */

#if defined __SANITIZE_ADDRESS__
enum { LONGEST = 6, LONGEST_WITH_ALL_CUTS = 4 };
#else
enum { LONGEST = 8, LONGEST_WITH_ALL_CUTS = 6 };
#endif

enum { MIX_MAX = 8, WIRE_MAX = 128 };

#define COMMAND "VRFY smuggled"

static const struct smtp_server_settings settings = {
	.hostname = { "h", 1 },
	.message_size_max = 1000,
	.recipients_max = 5,
};

/* The mix with this number: its digits to the base of four. */
static struct str
mix_of(unsigned number, size_t n, char octets[MIX_MAX])
{
	for (size_t i = 0; i < n; i++)
		octets[i] = "\r\n.x"[number >> (2 * i) & 3];
	return (struct str){ octets, n };
}

/* ── The law, naively ────────────────────────────────────────────────────────────────────────── */

struct law {
	char message[WIRE_MAX];
	size_t message_n;
	bool is_clean;	   /* every CR stands before an LF, every LF behind a CR */
	unsigned commands; /* how often COMMAND stands alone in a line behind the message */
};

static struct law
law_of(struct str wire)
{
	struct law law = { .is_clean = true };
	char all[WIRE_MAX + 2] = "\r\n";
	size_t n = wire.n + 2, end;
	struct str line, rest;

	memcpy(all + 2, wire.p, wire.n);
	for (end = 0; memcmp(all + end, "\r\n.\r\n", 5) != 0; end++)
		;
	for (size_t i = 2; i < end + 2; i++) {
		bool has_dot = all[i] == '.' && all[i - 1] == '\n' && all[i - 2] == '\r';

		if (all[i] == '\r' && (i + 1 == end + 2 || all[i + 1] != '\n'))
			law.is_clean = false;
		if (all[i] == '\n' && (i == 2 || all[i - 1] != '\r'))
			law.is_clean = false;
		if (!has_dot)
			law.message[law.message_n++] = all[i];
	}
	rest = (struct str){ all + end + 5, n - end - 5 };
	while (scan_until(&rest, '\n', &line)) {
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		law.commands += str_eq(line, S(COMMAND));
	}
	return law;
}

/* ── Inwards ─────────────────────────────────────────────────────────────────────────────────── */

struct host {
	struct smtp_server s;
	struct buf draft, kept;
	unsigned mails, commands;
};

static void
run(struct host *h)
{
	for (;;)
		switch (smtp_server_next(&h->s)) {
		case SMTP_WANT_INPUT:
		case SMTP_WANT_CLOSE:
		case SMTP_WANT_FLUSH:
		case SMTP_WANT_TLS:
			return;
		case SMTP_ON_BODY:
			buf_add(&h->draft, h->s.body);
			break;
		case SMTP_ON_RESET:
			buf_reset(&h->draft);
			break;
		case SMTP_ON_END:
			h->mails++;
			buf_reset(&h->kept);
			buf_add(&h->kept, buf_str(&h->draft));
			buf_reset(&h->draft);
			smtp_server_answer(&h->s, NULL);
			break;
		case SMTP_ON_VRFY:
			h->commands++;
			smtp_server_answer(&h->s, NULL);
			break;
		case SMTP_ON_CONNECT:
		case SMTP_ON_HELLO:
		case SMTP_ON_STARTTLS:
		case SMTP_ON_XCLIENT:
		case SMTP_ON_AUTH:
		case SMTP_ON_MAIL:
		case SMTP_ON_RCPT:
		case SMTP_ON_DATA:
		case SMTP_ON_EXPN:
			smtp_server_answer(&h->s, NULL);
			break;
		}
}

static void
say(struct host *h, struct str bytes)
{
	smtp_server_feed(&h->s, bytes);
	run(h);
}

static void
host_begin(struct host *h)
{
	h->mails = h->commands = 0;
	h->draft.max = h->kept.max = 1024;
	buf_reset(&h->draft);
	buf_reset(&h->kept);
	smtp_server_begin(&h->s, &settings);
	run(h);
}

static void
host_end(struct host *h)
{
	smtp_server_free(&h->s);
	buf_free(&h->draft);
	buf_free(&h->kept);
}

/* A cut behind octet i where bit i of cuts is set. */
static void
receive(struct host *h, struct str wire, uint64_t cuts)
{
	size_t begin = 0;

	host_begin(h);
	say(h, S("HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n"));
	for (size_t at = 0; at < wire.n; at++)
		if (at + 1 == wire.n || (at < 64 && cuts >> at & 1)) {
			say(h, str_part(wire, begin, at + 1 - begin));
			begin = at + 1;
		}
}

static _Noreturn void
complain(const char *what, struct str wire, uint64_t cuts)
{
	char text[4 * WIRE_MAX];
	size_t at = 0;

	for (size_t i = 0; i < wire.n; i++)
		at += (size_t)snprintf(text + at, sizeof text - at,
			wire.p[i] < ' ' ? "\\x%02x" : "%c", (unsigned)wire.p[i]);
	fail_msg("%s: %s, cuts %llx", what, text, (unsigned long long)cuts);
	abort();
}

static void
check_inwards(struct str wire, const struct law *law, uint64_t cuts)
{
	struct host h = { 0 };

	receive(&h, wire, cuts);
	if (h.mails != law->is_clean)
		complain(law->is_clean ? "was refused" : "was kept", wire, cuts);
	if (h.mails && !str_eq(buf_str(&h.kept), (struct str){ law->message, law->message_n }))
		complain("another message was kept", wire, cuts);
	if (h.commands != law->commands)
		complain(h.commands > law->commands ? "a command out of a message was run"
						    : "the message went on behind its end",
			wire, cuts);
	host_end(&h);
}

/* As octets of a message that has begun with `lead`, and with a command behind; then the end, for
 * whoever thinks that there was none. */
static struct str
wire_of(struct str lead, struct str mix, char wire[WIRE_MAX])
{
	int n = snprintf(
		wire, WIRE_MAX, "%.*s%.*s%s", STR_ARG(lead), STR_ARG(mix), COMMAND "\r\n\r\n.\r\n");

	return (struct str){ wire, (size_t)n };
}

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* The cuts that matter lie before, within and behind the mix: all of them, or each octet alone and
 * some at random. */
static void
test_inwards(struct str lead)
{
	uint64_t seed = 0x9e3779b97f4a7c15;
	char octets[MIX_MAX], wire_octets[WIRE_MAX];

	for (size_t n = 0; n <= LONGEST; n++)
		for (unsigned number = 0; number < 1u << (2 * n); number++) {
			struct str wire = wire_of(lead, mix_of(number, n, octets), wire_octets);
			struct law law = law_of(wire);
			uint64_t all = ((uint64_t)1 << (n + 1)) - 1;
			size_t before = lead.n ? lead.n - 1 : 0;

			if (n <= LONGEST_WITH_ALL_CUTS)
				for (uint64_t cuts = 0; cuts <= all; cuts++)
					check_inwards(wire, &law, cuts << before);
			check_inwards(wire, &law, 0);
			check_inwards(wire, &law, UINT64_MAX);
			check_inwards(wire, &law, next_random(&seed));
		}
}

static void
test_behind_data(void **state)
{
	(void)state;
	test_inwards(S(""));
}

static void
test_behind_text(void **state)
{
	(void)state;
	test_inwards(S("text"));
}

/* ── Outwards ────────────────────────────────────────────────────────────────────────────────── */

static void
give_body(struct smtp_client *c, struct str message, size_t piece)
{
	for (size_t at = 0; at < message.n; at += piece)
		smtp_client_body(c, str_part(message, at, piece), at + piece >= message.n);
}

/* Carries what each says to the other until the client is done with its mail. */
static void
send_through(struct host *h, struct smtp_client *c, struct smtp_client_mail *mail,
	struct str message, size_t piece, bool by_chunks)
{
	struct buf said = { .max = 1024 };

	for (;;) {
		switch (smtp_client_next(c)) {
		case CLIENT_ON_READY:
			if (!by_chunks)
				c->offers &= ~(unsigned)OFFERS_CHUNKING;
			smtp_client_mail(c, mail);
			break;
		case CLIENT_WANT_BODY:
			give_body(c, message, piece);
			break;
		case CLIENT_WANT_INPUT:
			buf_reset(&said);
			buf_add(&said, smtp_client_output(c));
			smtp_client_sent(c, said.n);
			if (said.n)
				say(h, buf_str(&said));
			assert_true(smtp_server_output(&h->s).n > 0);
			smtp_client_feed(c, smtp_server_output(&h->s));
			smtp_server_sent(&h->s, smtp_server_output(&h->s).n);
			break;
		case CLIENT_WANT_OUTPUT:
		case CLIENT_WANT_ASCII:
		case CLIENT_WANT_TLS:
		case CLIENT_WANT_TOKEN:
		case CLIENT_WANT_AHEAD:
		case CLIENT_ON_FAILED:
		case CLIENT_WANT_CLOSE:
			fail_msg("the client goes astray");
			break;
		case CLIENT_ON_DONE:
			buf_free(&said);
			return;
		}
	}
}

static bool
is_clean(struct str message)
{
	for (size_t i = 0; i < message.n; i++)
		if ((message.p[i] == '\r' && (i + 1 == message.n || message.p[i + 1] != '\n')) ||
			(message.p[i] == '\n' && (i == 0 || message.p[i - 1] != '\r')))
			return false;
	return true;
}

/* What came in clean goes out so that it arrives as it was, but for a line end that DATA must have;
 * what is not clean is refused, and nothing in it is run. */
static void
check_outwards(struct str message, size_t piece, bool by_chunks)
{
	const struct smtp_client_settings sender = { .hostname = { "c", 1 } };
	const struct str recipient = S("a@b");
	struct smtp_outcome outcome = { 0 };
	struct smtp_client_mail mail = {
		.recipients = &recipient, .outcomes = &outcome, .recipients_n = 1, .size = message.n
	};
	struct smtp_client c;
	struct host h = { 0 };
	struct str kept;

	host_begin(&h);
	smtp_client_begin(&c, &sender);
	send_through(&h, &c, &mail, message, piece, by_chunks);
	kept = buf_str(&h.kept);
	if (h.commands)
		complain("a command out of a message was run", message, piece);
	if (h.mails != is_clean(message) || h.mails == err_is(&outcome.err))
		complain(h.mails ? "was kept" : "was refused", message, piece);
	if (h.mails && !by_chunks && !str_ends_nocase(message, S("\r\n")))
		kept.n -= 2;
	if (h.mails && !str_eq(kept, message))
		complain("another message arrived", message, piece);
	smtp_client_free(&c);
	host_end(&h);
}

/* The mix stands at the beginning, before something that reads like a command; and at the end. */
static void
test_outwards(void **state)
{
	char octets[MIX_MAX], text[WIRE_MAX];

	(void)state;
	for (size_t n = 0; n <= LONGEST; n++)
		for (unsigned number = 0; number < 1u << (2 * n); number++) {
			struct str mix = mix_of(number, n, octets);
			size_t length = (size_t)snprintf(text, sizeof text, "%.*s%s%.*s",
				STR_ARG(mix), COMMAND "\r\n", STR_ARG(mix));

			check_outwards((struct str){ text, length }, 1, false);
			check_outwards((struct str){ text, length }, length, false);
			check_outwards((struct str){ text, length }, length, true);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_behind_data),
		cmocka_unit_test(test_behind_text),
		cmocka_unit_test(test_outwards),
	};

	return cmocka_run_group_tests_name("smtp/smuggling", tests, NULL, NULL);
}
