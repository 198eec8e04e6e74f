/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/ask.h"
#include "cmd/sendmail.h"
#include "io/file.h"
#include "smtp/reply.h"

/*
 * The station's opinion of a recipient: MAIL, RCPT, and RSET before anything comes of it. libposthouse sends mails and knows no such
 * question; so this is a dialogue of its own, four commands long, with the local station alone.
 */

enum {
	PATIENCE_S = 30
}; /* it is of this machine, and the caller waits; a mail goes into the outbox instead */

static bool
hear(struct sendmail_verify *v, struct reply_reader *reply, struct err *e)
{
	struct str in = buf_str(&v->heard);
	ssize_t n;
	int got;

	while ((got = reply_read(reply, &in)) == 0) {
		char *room;

		buf_drop(&v->heard, v->heard.n - in.n);
		room = buf_room(&v->heard, SMTP_REPLY_LINE_MAX);
		n = room ? read(v->fd, room, SMTP_REPLY_LINE_MAX) : -1;
		if (n <= 0)
			return err_set(e, ERR_TEMPORARY, ERR_CONNECTION_LOST,
				"the station does not answer: %s",
				n < 0 ? strerror(errno) : "it closed the connection");
		buf_grew(&v->heard, (size_t)n);
		in = buf_str(&v->heard);
	}
	buf_drop(&v->heard, v->heard.n - in.n);
	return got > 0 ||
	       err_set(e, ERR_TEMPORARY, ERR_PROTOCOL, "the station's socket does not speak SMTP");
}

/* What is said, and what the answer means. An empty line says nothing. */
static bool
say(struct sendmail_verify *v, struct str line, struct err *opinion, struct err *e)
{
	struct reply_reader reply = { .text = { .max = sizeof opinion->text } };
	bool ok;

	*opinion = (struct err){ 0 };
	ok = line.n == 0 || file_write_all(v->fd, line) ||
	     err_set(e, ERR_TEMPORARY, ERR_CONNECTION_LOST, "the station does not listen: %s",
		     strerror(errno));
	ok = ok && hear(v, &reply, e);
	if (ok && reply.code / 100 != 2) {
		struct str text = buf_str(&reply.text);

		if (reply.enhanced.class) /* it has a field of its own */
			text = str_trim(str_from(text, str_find(text, ' ')));
		err_set(opinion, reply.code / 100 == 5 ? ERR_PERMANENT : ERR_TEMPORARY, ERR_REMOTE,
			"%.*s", STR_ARG(text));
		opinion->code = (uint16_t)reply.code;
		opinion->enhanced = reply.enhanced;
	}
	reply_reader_reset(&reply);
	buf_free(&reply.text);
	return ok;
}

/* A command that the station does not refuse in its right mind. */
static bool
say_plain(struct sendmail_verify *v, struct str line, struct err *e)
{
	struct err opinion;

	if (!say(v, line, &opinion, e))
		return false;
	if (err_is(&opinion))
		*e = opinion;
	return !err_is(&opinion);
}

bool
sendmail_verify_open(struct sendmail_verify *v, struct sendmail *s, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int n = snprintf(at.sun_path, sizeof at.sun_path, "%.*s/submit", STR_ARG(s->config.state));

	v->heard.max = SMTP_REPLY_MAX;
	if (s->config.state.n == 0 || n >= (int)sizeof at.sun_path)
		return err_set(e, ERR_TEMPORARY, ERR_CONNECT, "no station is known here");
	v->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (v->fd < 0 ||
		setsockopt(v->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
		connect(v->fd, (const struct sockaddr *)&at, sizeof at) < 0) {
		err_set(e, ERR_TEMPORARY, ERR_CONNECT, "cannot connect to %s: %s", at.sun_path,
			strerror(errno));
		sendmail_verify_close(v);
		return false;
	}
	if (say_plain(v, S(""), e) && say_plain(v, S("EHLO localhost\r\n"), e))
		return true;
	sendmail_verify_close(v);
	return false;
}

void
sendmail_verify_close(struct sendmail_verify *v)
{
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
	buf_free(&v->heard);
}

bool
sendmail_verify_ask(struct sendmail_verify *v, struct str reverse_path, struct str recipient,
	struct err *opinion, struct err *e)
{
	struct buf mail = { .max = SMTP_COMMAND_LINE_MAX }, rcpt = { .max = SMTP_COMMAND_LINE_MAX };
	bool ok;

	buf_addf(&mail, "MAIL FROM:<%.*s> SMTPUTF8\r\n", STR_ARG(reverse_path));
	buf_addf(&rcpt, "RCPT TO:<%.*s>\r\n", STR_ARG(recipient));
	ok = say(v, buf_str(&mail), opinion, e);
	if (ok && !err_is(opinion))
		ok = say(v, buf_str(&rcpt), opinion, e);
	ok = ok && say_plain(v, S("RSET\r\n"), e);
	buf_free(&mail);
	buf_free(&rcpt);
	return ok;
}

int
sendmail_verify_all(struct sendmail *s)
{
	struct sendmail_verify v = { .fd = -1 };
	struct err opinion, e;
	bool ok = sendmail_verify_open(&v, s, &e);

	for (size_t i = 0; ok && i < s->recipients.n; i++) {
		struct str address = s->recipients.p[i];

		ok = sendmail_verify_ask(&v, s->reverse_path, address, &opinion, &e);
		if (!ok)
			break;
		printf("%.*s... ", STR_ARG(address));
		if (!err_is(&opinion)) {
			printf("deliverable\n");
			continue;
		}
		printf("%s: ", opinion.class == ERR_PERMANENT ? "undeliverable" : "not known now");
		ask_print_said(&opinion);
		putchar('\n');
		if (s->exit_code == EX_OK)
			s->exit_code = opinion.class == ERR_PERMANENT ? EX_NOUSER : EX_TEMPFAIL;
	}
	sendmail_verify_close(&v);
	if (!ok)
		sendmail_complain(s, EX_TEMPFAIL, str_of(e.text), "");
	return s->exit_code;
}
