/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/codec.h"
#include "cmd/sendmail.h"
#include "io/file.h"
#include "smtp/server.h"

/*
 * -bs: SMTP on standard input and output, by the server core that the station itself has. What the client is told is the station's own
 * answer: each recipient is shown to it at once (where it runs), and the end of the data is answered when the mail is handed in or
 * kept in the outbox.
 *
 * Recipients may want different reports (NOTIFY, RFC 3461 §4.1), which the library says once a mail: so each kind is handed in for itself.
 *
 * The client is told one thing of them all. Whoever is told 451 sends to all again, and whoever is told 250 to nobody: so a mail to
 * several is on the disk before the first of them is served, and whom the station does not serve then needs no more room.
 */

enum { INPUT = 65536, NOTIFY_KINDS = 16 };

struct dialogue {
	struct sendmail *s;
	struct smtp_server smtp;
	struct smtp_server_settings settings;
	struct sendmail_verify station;
	bool station_is_away;
	struct sendmail_recipients recipients[NOTIFY_KINDS]; /* by what they want */
	char input[INPUT];
};

static bool
flush(struct dialogue *d)
{
	struct str output = smtp_server_output(&d->smtp);

	if (output.n && !file_write_all(STDOUT_FILENO, output))
		return false;
	smtp_server_sent(&d->smtp, output.n);
	return true;
}

static bool
hear(struct dialogue *d)
{
	ssize_t n;

	if (!flush(d))
		return false;
	do
		n = read(STDIN_FILENO, d->input, sizeof d->input);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		smtp_server_feed(&d->smtp, (struct str){ d->input, (size_t)n });
	return n > 0;
}

static void
forget_mail(struct dialogue *d)
{
	for (size_t i = 0; i < NOTIFY_KINDS; i++)
		d->recipients[i].n = 0;
	buf_reset(&d->s->message);
	arena_free(&d->s->arena);
}

static void
refuse(struct dialogue *d, const char *why)
{
	struct err e;

	err_set(&e, ERR_PERMANENT, ERR_SWITCHED_OFF, "%s", why);
	smtp_server_answer(&d->smtp, &e);
}

/* An address that lasts until the mail is forgotten, with a NUL behind it. */
static struct str
keep_address(struct dialogue *d, struct address address)
{
	struct buf text = { .max = 2 * ADDRESS_PATH_MAX };
	struct str copy = { 0 };

	address_add(&text, address);
	buf_add_char(&text, '\0');
	if (arena_dup(&d->s->arena, buf_str(&text), &copy))
		copy.n--;
	buf_free(&text);
	return copy;
}

static void
begin_mail(struct dialogue *d)
{
	forget_mail(d);
	d->s->reverse_path = keep_address(d, d->smtp.transaction.reverse_path);
	smtp_server_answer(&d->smtp, NULL);
}

/* A station that is away will say what it thinks when the mail waits in the outbox. */
static void
ask_station(struct dialogue *d, struct str recipient, struct err *opinion)
{
	struct err e;

	if (d->station.fd < 0 && !d->station_is_away)
		d->station_is_away = !sendmail_verify_open(&d->station, d->s, &e);
	if (!d->station_is_away &&
		!sendmail_verify_ask(&d->station, d->s->reverse_path, recipient, opinion, &e)) {
		sendmail_verify_close(&d->station);
		d->station_is_away = true;
		*opinion = (struct err){ 0 };
	}
}

static void
take_recipient(struct dialogue *d)
{
	struct str recipient = keep_address(d, d->smtp.recipient);
	struct err opinion = { 0 };

	if (!recipient.p) {
		err_set(&opinion, ERR_TEMPORARY, ERR_TOO_MANY_RECIPIENTS, "too many recipients");
		smtp_server_answer(&d->smtp, &opinion);
		return;
	}
	ask_station(d, recipient, &opinion);
	if (!err_is(&opinion) || opinion.class == ERR_TEMPORARY) {
		d->s->recipients = d->recipients[d->smtp.notify % NOTIFY_KINDS];
		sendmail_add_recipient(d->s, recipient);
		d->recipients[d->smtp.notify % NOTIFY_KINDS] = d->s->recipients;
		d->s->recipients = (struct sendmail_recipients){ 0 };
		opinion = (struct err){ 0 };
	}
	smtp_server_answer(&d->smtp, &opinion);
}

static void
take_body(struct dialogue *d)
{
	struct err e;

	buf_add(&d->s->message, d->smtp.body);
	if (d->s->message.overflow) {
		err_set(&e, ERR_PERMANENT, ERR_TOO_BIG, "the message is larger than anyone takes");
		smtp_server_fail_body(&d->smtp, &e);
	}
}

static size_t
count_recipients(const struct dialogue *d)
{
	size_t n = 0;

	for (size_t i = 0; i < NOTIFY_KINDS; i++)
		n += d->recipients[i].n;
	return n;
}

typedef bool hand_over(struct sendmail *s, struct outbox_spare *spare, struct err *e);

/* For each kind that has recipients. How many said yes; e has the last reason of the others. */
static size_t
for_each_kind(struct dialogue *d, hand_over *hand, struct outbox_spare *spares, struct err *e)
{
	struct sendmail *s = d->s;
	size_t good = 0;

	for (unsigned kind = 0; kind < NOTIFY_KINDS; kind++) {
		if (d->recipients[kind].n == 0)
			continue;
		s->notify = kind;
		s->recipients = d->recipients[kind];
		good += hand(s, &spares[kind], e);
		s->recipients = (struct sendmail_recipients){ 0 };
	}
	return good;
}

static size_t
count_kinds(const struct dialogue *d)
{
	size_t n = 0;

	for (size_t i = 0; i < NOTIFY_KINDS; i++)
		n += d->recipients[i].n > 0;
	return n;
}

/* Yes is said when somebody has it for at least one of them; refusals of others stand on standard error. */
static bool
hand_in_all(struct dialogue *d, struct err *e)
{
	struct outbox_spare spares[NOTIFY_KINDS] = { 0 };
	bool ok = count_recipients(d) == 1 ||
		  for_each_kind(d, sendmail_set_aside, spares, e) == count_kinds(d);

	ok = ok && for_each_kind(d, sendmail_hand_in, spares, e) > 0;
	for (size_t i = 0; i < NOTIFY_KINDS; i++)
		outbox_spare_drop(&spares[i]);
	return ok;
}

static void
end_mail(struct dialogue *d)
{
	static const char rets[] = {
		[SMTP_RETURN_UNSAID] = 0, [SMTP_RETURN_FULL] = 'F', [SMTP_RETURN_HDRS] = 'H'
	};
	struct buf envelope_id = { .max = 1024 };
	struct sendmail *s = d->s;
	struct err e = { 0 };
	bool is_taken;

	s->ret = rets[d->smtp.transaction.returns];
	codec_add_from_xtext(&envelope_id, d->smtp.transaction.envelope_id);
	buf_add_char(&envelope_id, '\0');
	s->envelope_id = envelope_id.n > 1 ? envelope_id.p : NULL;
	is_taken = hand_in_all(d, &e);
	s->envelope_id = NULL;
	buf_free(&envelope_id);
	smtp_server_answer(&d->smtp, is_taken ? NULL : &e);
	forget_mail(d);
}

static void
converse(struct dialogue *d)
{
	for (;;)
		switch (smtp_server_next(&d->smtp)) {
		case SMTP_WANT_INPUT:
			if (!hear(d))
				return;
			break;
		case SMTP_WANT_FLUSH:
			if (!flush(d))
				return;
			break;
		case SMTP_ON_CONNECT:
		case SMTP_ON_HELLO:
		case SMTP_ON_DATA:
		case SMTP_ON_VRFY:
			smtp_server_answer(&d->smtp, NULL);
			break;
		case SMTP_ON_MAIL:
			begin_mail(d);
			break;
		case SMTP_ON_RCPT:
			take_recipient(d);
			break;
		case SMTP_ON_BODY:
			take_body(d);
			break;
		case SMTP_ON_END:
			end_mail(d);
			break;
		case SMTP_ON_RESET:
			forget_mail(d);
			break;
		case SMTP_ON_EXPN:
		case SMTP_ON_STARTTLS:
		case SMTP_ON_XCLIENT:
		case SMTP_ON_AUTH:
			refuse(d, "not between programs of one person");
			break;
		case SMTP_WANT_TLS: /* STARTTLS was refused */
		case SMTP_WANT_CLOSE:
			flush(d);
			return;
		}
}

int
sendmail_session(struct sendmail *s)
{
	struct dialogue *d = memory_take(NULL, sizeof *d);

	d->s = s;
	d->station.fd = -1;
	d->settings = (struct smtp_server_settings){
		.hostname = s->config.hostname.n ? s->config.hostname : str_of(s->domain),
		.message_size_max =
			s->config.limits.message ? s->config.limits.message : SENDMAIL_MESSAGE_MAX,
		.recipients_max = s->config.limits.recipients ? s->config.limits.recipients : 1000,
		.repairs_line_ends = true
	};
	smtp_server_begin(&d->smtp, &d->settings);
	converse(d);
	smtp_server_free(&d->smtp);
	sendmail_verify_close(&d->station);
	for (size_t i = 0; i < NOTIFY_KINDS; i++)
		memory_release(NULL, d->recipients[i].p);
	memory_release(NULL, d);
	return EX_OK;
}
