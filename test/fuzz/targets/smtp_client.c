/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/client.h"

/*
 * The first two octets choose how the client is set up (the bits below; the ways to log in), the rest is what the peer says,
 * line by line; all output has left before each line. Whatever it is: the session ends or waits,
 * nobody is left without an outcome when it ended, and output stays under its cap.
 */
enum {
	WITH_LOGIN = 1,
	WITHOUT_CHUNKING = 2, /* and without TLS */
	WITH_UTF8 = 4,
	LARGE = 8,
	FLUSHES_LATE = 16,
	LMTP = 32,
	WITH_DSN = 64,
	BOUNCES_8BIT = 128, /* and the next mail goes ahead */
};

enum { BY_TOKEN = 128 }; /* of the second octet; below: MECHANISM_ bits */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct str recipients[] = { { "bob@example.org", 15 }, { "eve@example.org", 15 } };
static const struct smtp_client_dsn dsn[] = { { 6, { "rfc822;b+2Bob@example.org", 25 } },
	{ 1, { NULL, 0 } } };
static char message[100000];

struct talk {
	struct smtp_client c;
	struct smtp_client_mail mail[2]; /* by turns: one under way, one ahead */
	struct smtp_outcome outcomes[2][2];
	bool is_under_way[2];
	uint64_t given;
	unsigned mails;
	bool is_over, flushes_late;
};

static void
talk_begin_mail(struct talk *t, unsigned set_up)
{
	unsigned turn = t->mails % 2;

	if (t->mails++ == 3) {
		smtp_client_quit(&t->c);
		return;
	}
	memset(t->outcomes[turn], 0, sizeof t->outcomes[turn]);
	t->given = 0;
	t->is_under_way[turn] = true;
	t->mail[turn] = (struct smtp_client_mail){
		.reverse_path = S("ann@example.net"),
		.recipients = recipients,
		.outcomes = t->outcomes[turn],
		.recipients_n = 2,
		.dsn = set_up & WITH_DSN ? dsn : NULL,
		.ret = set_up & WITH_DSN ? 'H' : 0,
		.envid = set_up & WITH_DSN ? S("QQ+2B1") : S(""),
		.size = set_up & LARGE ? sizeof message : 300,
		.smtputf8 = set_up & WITH_UTF8,
		.has_8bit = true,
	};
	smtp_client_mail(&t->c, &t->mail[turn]);
}

static void
talk_check_outcomes(struct talk *t, unsigned turn)
{
	for (size_t i = 0; t->is_under_way[turn] && i < 2; i++) {
		must(t->outcomes[turn][i].is_settled);
		must(err_is(&t->outcomes[turn][i].err) || !t->outcomes[turn][i].may_be_delivered);
	}
	t->is_under_way[turn] = false;
}

static void
talk_done(struct talk *t, unsigned set_up)
{
	unsigned turn = (t->mails + (t->c.ahead == NULL)) % 2; /* of the mail that is done */

	must(t->is_under_way[turn]);
	talk_check_outcomes(t, turn);
	if (!t->c.ahead)
		talk_begin_mail(t, set_up);
}

static void
talk_give_body(struct talk *t)
{
	const struct smtp_client_mail *mail = t->c.ahead ? t->c.ahead : t->c.mail;
	struct str piece = str_part((struct str){ message, mail->size }, t->given, 40000);

	t->given += piece.n;
	smtp_client_body(&t->c, piece, t->given == mail->size);
}

static void
talk_run(struct talk *t, unsigned set_up)
{
	for (;;)
		switch (smtp_client_next(&t->c)) {
		case CLIENT_WANT_INPUT:
			return;
		case CLIENT_WANT_OUTPUT:
			smtp_client_sent(&t->c, smtp_client_output(&t->c).n / 2 + 1);
			break;
		case CLIENT_WANT_TLS:
			must(smtp_client_output(&t->c).n == 0);
			smtp_client_bind(&t->c, S("tls-exporter"), S("0123456789abcdef"));
			smtp_client_secured(&t->c, true);
			break;
		case CLIENT_ON_READY:
			if (set_up & WITHOUT_CHUNKING) /* as if the peer had not offered it */
				t->c.offers &= ~(unsigned)OFFERS_CHUNKING;
			talk_begin_mail(t, set_up);
			break;
		case CLIENT_WANT_ASCII:
			smtp_client_ascii(&t->c, set_up & LARGE ? 0 : 200);
			break;
		case CLIENT_WANT_TOKEN:
			smtp_client_token(&t->c,
				set_up & LARGE && t->c.token_was_refused ? S("") : S("t0ken"));
			break;
		case CLIENT_WANT_AHEAD:
			if (t->mails < 3)
				talk_begin_mail(t, set_up);
			break;
		case CLIENT_WANT_BODY:
			talk_give_body(t);
			break;
		case CLIENT_ON_DONE:
			talk_done(t, set_up);
			break;
		case CLIENT_ON_FAILED:
			talk_check_outcomes(t, 0);
			talk_check_outcomes(t, 1);
			must(err_is(&t->c.error));
			t->is_over = true;
			return;
		case CLIENT_WANT_CLOSE:
			t->is_over = true;
			return;
		}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	unsigned set_up = size ? data[0] : 0, login = size > 1 ? data[1] : 0;
	struct smtp_client_settings settings = {
		.hostname = S("client.example"),
		.is_lmtp = set_up & LMTP,
		.bounces_8bit = set_up & BOUNCES_8BIT,
		.goes_ahead = set_up & BOUNCES_8BIT,
		.mechanisms = login & ~(unsigned)BY_TOKEN,
		.has_token = login & BY_TOKEN,
		.nonce = S("rOprNGfwEbeRWgbNEkqO"),
		.host = S("mx.example"),
		.tls = set_up & WITHOUT_CHUNKING ? CLIENT_TLS_NEVER : CLIENT_TLS_TRY,
		.shows_password = set_up & WITH_DSN,
	};
	struct talk t = { .flushes_late = set_up & FLUSHES_LATE };
	struct err lost;

	if (set_up & WITH_LOGIN) {
		settings.login = S("alice");
		settings.password = S("wonderland");
	}
	for (size_t i = 0; i < sizeof message; i++)
		message[i] = ".\r\n.x"[i % 5];
	smtp_client_begin(&t.c, &settings);
	talk_run(&t, set_up);
	for (in = str_from(in, 2); in.n && !t.is_over;) {
		size_t n = str_find(in, '\n') + 1;

		if (!t.flushes_late || n % 2)
			smtp_client_sent(&t.c, smtp_client_output(&t.c).n);
		smtp_client_feed(&t.c, str_part(in, 0, n));
		in = str_from(in, n);
		talk_run(&t, set_up);
	}
	err_set(&lost, ERR_TEMPORARY, ERR_CONNECTION_LOST, "the input is used up");
	smtp_client_lost(&t.c, &lost);
	talk_run(&t, set_up);
	must(t.is_over);
	smtp_client_free(&t.c);
	return 0;
}
