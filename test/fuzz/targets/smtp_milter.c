/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/milter.h"

/*
 * The input is what a filter says to the whole of a session with two mails; its first octet chooses how many of
 * these octets come at a time. Whatever they are: each question is answered, waits, or the conversation failed
 * with a reason; changes can be read, and output stays far under its cap, even if nothing of it is
 * read for as long as the core does not wish so.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUESTIONS = 7, BODY = 300000, RECIPIENTS = 100000, OUT_MOST = 512 * 1024 };

static char body[BODY];

/* More recipients, if the filter does not answer them. */
static void
tell_more(struct milter *m)
{
	for (unsigned i = 0; i < RECIPIENTS; i++) {
		if (milter_next(m) != MILTER_ON_ANSWER || m->verdict != MILTER_CONTINUE)
			return;
		milter_recipient(m);
	}
}

static void
ask(struct milter *m, unsigned n)
{
	static void (*const questions[QUESTIONS - 1])(struct milter * m) = { milter_client,
		milter_hello, milter_sender, milter_recipient, milter_recipient, milter_data };

	if (n == QUESTIONS - 1) {
		milter_message(
			m, S("From: a@b.c\r\nSubject: x\r\n\ty\r\n"), (struct str){ body, BODY });
		return;
	}
	questions[n](m);
	if (questions[n] == milter_recipient)
		tell_more(m);
}

static void
check_answer(const struct milter *m)
{
	struct str in = buf_str(&m->changes);
	struct milter_change c;

	must(m->verdict <= MILTER_REFUSE);
	must(m->verdict != MILTER_REFUSE || m->error.code / 100 == 4 || m->error.code / 100 == 5);
	while (milter_scan_change(&in, &c))
		must(c.kind >= MILTER_ADD_HEADER && c.kind <= MILTER_QUARANTINE);
	must(in.n == 0);
}

/* As far as it goes without input; false: the end. */
static bool
run(struct milter *m, unsigned *asked)
{
	for (;;) {
		must(milter_output(m).n < OUT_MOST);
		switch (milter_next(m)) {
		case MILTER_WANT_INPUT:
			milter_sent(m, milter_output(m).n);
			return true;
		case MILTER_WANT_OUTPUT:
			milter_sent(m, milter_output(m).n / 2 + 1);
			break;
		case MILTER_ON_ANSWER:
			check_answer(m);
			if (*asked == 2 * QUESTIONS)
				return false;
			ask(m, *asked % QUESTIONS);
			++*asked;
			break;
		case MILTER_ON_FAILED:
			must(err_is(&m->error) && m->error.text[0]);
			return false;
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct milter_facts facts = { .hostname = S("mail.example.org"),
		.client_address = S("2001:db8::1"),
		.client_family = MILTER_IPV6,
		.hello = S("client.example"),
		.sender = S("ann@example.net"),
		.recipient = S("bob@example.org"),
		.id = S("01") };
	struct str in = { (const char *)data, size };
	size_t step = size ? data[0] + 1u : 1;
	unsigned asked = 0;
	struct milter m;
	bool goes_on;

	milter_begin(&m, &facts, 1000);
	goes_on = run(&m, &asked);
	for (in = str_from(in, 1); in.n && goes_on; in = str_from(in, step)) {
		milter_feed(&m, str_part(in, 0, step));
		goes_on = run(&m, &asked);
	}
	milter_quit(&m);
	milter_free(&m);
	return 0;
}
