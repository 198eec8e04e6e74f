/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/client.h"

/*
 * The first octet chooses how the client is set up (bits below), the rest is what the peer says,
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
	BOUNCES_8BIT = 128,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct str recipients[] = { { "bob@example.org", 15 }, { "eve@example.org", 15 } };
static const struct smtp_client_dsn dsn[] = { { 6, { "rfc822;b+2Bob@example.org", 25 } },
	{ 1, { NULL, 0 } } };
static char message[100000];

struct talk {
	struct smtp_client c;
	struct smtp_client_mail mail;
	struct smtp_outcome outcomes[2];
	uint64_t given;
	unsigned mails;
	bool is_over, flushes_late;
};

static void
talk_begin_mail(struct talk *t, unsigned set_up)
{
	memset(t->outcomes, 0, sizeof t->outcomes);
	t->given = 0;
	t->mail = (struct smtp_client_mail){
		.reverse_path = S("ann@example.net"),
		.recipients = recipients,
		.outcomes = t->outcomes,
		.recipients_n = 2,
		.dsn = set_up & WITH_DSN ? dsn : NULL,
		.ret = set_up & WITH_DSN ? 'H' : 0,
		.envid = set_up & WITH_DSN ? S("QQ+2B1") : S(""),
		.size = set_up & LARGE ? sizeof message : 300,
		.smtputf8 = set_up & WITH_UTF8,
		.has_8bit = true,
	};
	if (t->mails++ < 3)
		smtp_client_mail(&t->c, &t->mail);
	else
		smtp_client_quit(&t->c);
}

static void
talk_check_outcomes(const struct talk *t)
{
	for (size_t i = 0; i < 2; i++)
		must(t->mails == 0 || t->mails > 3 || t->outcomes[i].is_settled);
}

static void
talk_run(struct talk *t, unsigned set_up)
{
	struct str piece;

	for (;;)
		switch (smtp_client_next(&t->c)) {
		case CLIENT_WANT_INPUT:
			return;
		case CLIENT_WANT_OUTPUT:
			smtp_client_sent(&t->c, smtp_client_output(&t->c).n / 2 + 1);
			break;
		case CLIENT_WANT_TLS:
			must(smtp_client_output(&t->c).n == 0);
			smtp_client_secured(&t->c);
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
		case CLIENT_WANT_AHEAD:
			break;
		case CLIENT_WANT_BODY:
			piece = str_part((struct str){ message, t->mail.size }, t->given, 40000);
			t->given += piece.n;
			smtp_client_body(&t->c, piece, t->given == t->mail.size);
			break;
		case CLIENT_ON_DONE:
			talk_check_outcomes(t);
			talk_begin_mail(t, set_up);
			break;
		case CLIENT_ON_FAILED:
			talk_check_outcomes(t);
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
	unsigned set_up = size ? data[0] : 0;
	struct smtp_client_settings settings = {
		.hostname = S("client.example"),
		.is_lmtp = set_up & LMTP,
		.bounces_8bit = set_up & BOUNCES_8BIT,
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
	for (in = str_from(in, 1); in.n && !t.is_over;) {
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
