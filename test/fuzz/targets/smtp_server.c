/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct smtp_server_settings settings = {
	.hostname = { "mail.example.org", 16 },
	.message_size_max = 2000,
	.recipients_max = 3,
	.offers_auth = true,
};

/* A driver whose answers come from a row of octets: 0…199 yes, above that no in some way. */
struct host {
	struct smtp_server s;
	struct str answers;
	struct buf said, kept, draft;
	bool waits;
};

static struct err
next_answer(struct host *h)
{
	uint8_t octet = h->answers.n ? (uint8_t)h->answers.p[0] : 0;

	h->answers = str_from(h->answers, 1);
	if (octet < 200)
		return (struct err){ 0 };
	return (struct err){ .class = octet & 1 ? ERR_TEMPORARY : ERR_PERMANENT,
		.kind = (enum err_kind)(octet % ERR_KINDS) };
}

static void
flush(struct host *h)
{
	struct str out = smtp_server_output(&h->s);

	buf_add(&h->said, out);
	smtp_server_sent(&h->s, out.n);
}

static void
take_body(struct host *h)
{
	struct err e = next_answer(h);

	buf_add(&h->draft, h->s.body);
	must(h->draft.n == h->s.transaction.size);
	must(h->draft.n <= settings.message_size_max);
	if (err_is(&e) && h->s.body.n > 100)
		smtp_server_fail_body(&h->s, &e);
}

static void
answer(struct host *h, enum smtp_event event)
{
	struct err e = next_answer(h);

	must(event != SMTP_ON_RCPT || !address_is_null(h->s.recipient));
	must(event != SMTP_ON_HELLO || h->s.hello.n > 0);
	must((event == SMTP_ON_XCLIENT) == (h->s.xclient != NULL));
	must(event != SMTP_ON_END || h->s.transaction.recipients_accepted > 0);
	if (event == SMTP_ON_END && !err_is(&e))
		buf_add(&h->kept, buf_str(&h->draft));
	if (event == SMTP_ON_END)
		buf_reset(&h->draft);
	smtp_server_answer(&h->s, &e);
}

/* Until the server wants more (SMTP_WANT_INPUT), TLS, or the end. */
static enum smtp_event
run(struct host *h)
{
	for (;;) {
		enum smtp_event event = smtp_server_next(&h->s);

		if (h->waits && event != SMTP_ON_BODY)
			smtp_server_park(&h->s);
		if (event == SMTP_WANT_INPUT || event == SMTP_WANT_TLS ||
			event == SMTP_WANT_CLOSE) {
			flush(h);
			return event;
		}
		if (event == SMTP_WANT_FLUSH)
			flush(h);
		else if (event == SMTP_ON_BODY)
			take_body(h);
		else if (event == SMTP_ON_RESET)
			buf_reset(&h->draft);
		else
			answer(h, event);
	}
}

/* What the client says in one go. Where the server begins with TLS the rest of it is for nobody. */
static bool
hear(struct host *h, struct str said, size_t step)
{
	enum smtp_event event = SMTP_WANT_INPUT;

	for (size_t at = 0; event == SMTP_WANT_INPUT && at < said.n; at += step) {
		smtp_server_feed(&h->s, str_part(said, at, step));
		event = run(h);
	}
	if (event == SMTP_WANT_TLS) {
		smtp_server_secured(&h->s);
		event = run(h);
	}
	return event == SMTP_WANT_INPUT;
}

static struct host
play(struct str answers, struct str input, size_t step, bool waits)
{
	struct host h = { .answers = answers,
		.waits = waits,
		.said.max = SIZE_MAX,
		.kept.max = SIZE_MAX,
		.draft.max = SIZE_MAX };
	struct str said;
	bool goes_on = true;

	smtp_server_begin(&h.s, &settings);
	h.s.hold_most_s = 86400;
	h.s.now_s = 1795411140;
	h.s.offers_starttls = h.s.offers_xclient = true;
	h.s.begins_with_tls = str_starts(input, S("\x16"));
	if (run(&h) == SMTP_WANT_TLS) {
		smtp_server_secured(&h.s);
		run(&h);
	}
	while (goes_on && input.n) {
		str_cut(input, '\x16', &said, &input);
		goes_on = hear(&h, said, step);
	}
	smtp_server_free(&h.s);
	buf_free(&h.draft);
	return h;
}

/* All that was said is whole replies. */
static void
check_replies(struct str said)
{
	struct reply_reader r = { .text.max = 1 << 16 };

	while (said.n) {
		must(reply_read(&r, &said) == 1);
		reply_reader_reset(&r);
	}
	buf_free(&r.text);
}

/*
 * The first octet is how many answers follow it, then comes what the client says. A session that is
 * fed at once (up to each octet 0x16, with which a handshake would begin) and answered on the spot must say and keep the same as one that comes in small pieces
 * and waits. The answers to body pieces depend on where the input was cut, so they must be yes
 * then.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str answers, input;
	struct host whole, cut;

	if (size < 2 || size - 1 < data[0])
		return 0;
	answers = (struct str){ (const char *)data + 1, data[0] };
	input = (struct str){ (const char *)data + 1 + data[0], size - 1 - data[0] };
	whole = play(answers, input, SIZE_MAX / 2, false);
	cut = play(answers, input, 1u + size % 7, true);
	check_replies(buf_str(&whole.said));
	check_replies(buf_str(&cut.said));
	if (answers.n == 0) {
		must(str_eq(buf_str(&whole.said), buf_str(&cut.said)));
		must(str_eq(buf_str(&whole.kept), buf_str(&cut.kept)));
	}
	buf_free(&whole.said);
	buf_free(&whole.kept);
	buf_free(&cut.said);
	buf_free(&cut.kept);
	return 0;
}
