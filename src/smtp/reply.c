/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/reply.h"

#include "base/must.h"

enum { REPLY_LINE_MAX = 512 }; /* RFC 5321 §4.5.3.1.5, octets with CRLF; longer ones are cut */

/*
 * One row an err_kind: the codes for "try again" and for "never", and words for an err that has
 * none of its own. Codes are of RFC 5321 §4.2.2, RFC 4954 §6, RFC 7505 §4; the other two numbers of the
 * enhanced code are of RFC 5248 and the same for both, its first is the code's. Where a kind has only one
 * sensible class the other column holds the nearest generic code.
 */
static const struct row {
	short temporary, permanent;
	unsigned char subject, detail;
	struct str words;
} rows[ERR_KINDS] = {
	[ERR_OTHER] = { 451, 554, 0, 0, S("this did not work") },
	[ERR_MAILBOX_UNKNOWN] = { 450, 550, 1, 1, S("no such mailbox here") },
	[ERR_MAILBOX_BUSY] = { 450, 550, 2, 1, S("this mailbox takes no mail at the moment") },
	[ERR_MAILBOX_NAME] = { 450, 553, 1, 3, S("no mailbox here can have this name") },
	[ERR_MAILBOX_MOVED] = { 450, 551, 1, 6, S("this person has moved") },
	[ERR_RELAY_DENIED] = { 450, 550, 7, 1,
		S("we do not relay to there for you; log in first") },
	[ERR_NO_ROUTE] = { 451, 550, 4, 4, S("we know no way to that domain") },
	[ERR_SENDER_NOT_YOURS] = { 450, 550, 7, 1, S("your login may not send as this sender") },
	[ERR_LOGIN_NEEDED] = { 454, 530, 7, 0, S("log in first") },
	[ERR_LOGIN_REFUSED] = { 454, 535, 7, 8, S("login or password is wrong") },
	[ERR_LOGIN_LATER] = { 454, 535, 7, 0, S("logins cannot be checked now, try again later") },
	[ERR_RATE] = { 450, 550, 7, 1, S("too much in too short a time, try again later") },
	[ERR_REFUSED] = { 450, 554, 7, 1, S("no service for you here") },
	[ERR_MANNERS] = { 451, 550, 7, 1, S("we do not know your host yet, try again later") },
	[ERR_CLIENT_NAME] = { 450, 550, 7, 25,
		S("your address has no name that leads back to it") },
	[ERR_SWITCHED_OFF] = { 454, 502, 5, 1, S("this is switched off here") },
	[ERR_TOO_BIG] = { 452, 552, 3, 4, S("the message is larger than we take") },
	[ERR_TOO_MANY_RECIPIENTS] = { 452, 552, 5, 3, S("too many recipients in one mail") },
	[ERR_BARE_LINE_END] = { 451, 550, 5, 2,
		S("a CR or LF stands alone in the message; lines must end in CRLF") },
	[ERR_NUL] = { 451, 550, 6, 0, S("the message holds a NUL octet") },
	[ERR_LINE_TOO_LONG] = { 451, 550, 6, 0, S("the message has a line over 998 octets") },
	[ERR_LOOP] = { 451, 554, 4, 6, S("this mail has gone round in a loop") },
	[ERR_NEEDS_SMTPUTF8] = { 451, 553, 6, 7, S("this address or header needs SMTPUTF8") },
	[ERR_NEEDS_CHUNKING] = { 451, 554, 6, 3, S("this message can only be sent by BDAT") },
	[ERR_LOCAL] = { 451, 554, 3, 0, S("a fault of ours, try again later") },
	[ERR_SYNC] = { 451, 554, 3, 0, S("the mail could not be kept safely, try again later") },
	[ERR_NO_SPACE] = { 452, 552, 3, 1, S("no space left at the moment, try again later") },
	[ERR_OVERLOAD] = { 421, 554, 3, 2, S("too busy, try again later") },
	[ERR_SHUTDOWN] = { 421, 554, 3, 2, S("shutting down, try again soon") },
	[ERR_IDLE] = { 421, 554, 4, 2, S("nothing was said for too long") },
	[ERR_TOO_MANY_ERRORS] = { 421, 554, 7, 0, S("too many errors") },
	[ERR_EXPIRED] = { 451, 554, 4, 7, S("the mail could not be delivered in time") },
	[ERR_REMOTE] = { 451, 554, 0, 0, S("the next host refused the mail") },
	[ERR_CONNECT] = { 451, 554, 4, 1, S("the next host cannot be reached") },
	[ERR_CONNECTION_LOST] = { 451, 554, 4, 2, S("the connection to the next host broke") },
	[ERR_TIMEOUT] = { 451, 554, 4, 2, S("the next host did not answer in time") },
	[ERR_PROTOCOL] = { 451, 554, 5, 0, S("the next host does not speak SMTP") },
	[ERR_DNS] = { 451, 554, 4, 3, S("the DNS does not tell the way at the moment") },
	[ERR_DOMAIN_UNKNOWN] = { 450, 550, 1, 2, S("that domain does not exist") },
	[ERR_DOMAIN_NO_HOST] = { 451, 550, 4, 4, S("that domain has no host for mail") },
	[ERR_NULL_MX] = { 451, 556, 1, 10, S("that domain takes no mail") },
	[ERR_PRIVATE_ADDRESS] = { 451, 550, 4, 4,
		S("the hosts of that domain have no address that mail may go to") },
	[ERR_NEEDS_8BITMIME] = { 451, 554, 6, 3, S("the next host takes no 8-bit mail") },
	[ERR_TLS] = { 451, 554, 7, 5, S("the connection to the next host cannot be encrypted") },
	[ERR_NEEDS_REQUIRETLS] = { 451, 550, 7, 30,
		S("the next host does not promise TLS on the whole way") },
	[ERR_NEEDS_HOLD] = { 451, 554, 3, 3, S("the next host does not hold mail for later") },
};

struct reply
reply_from_err(const struct err *e)
{
	const struct row *row = &rows[e->kind];
	bool is_temporary = e->class == ERR_TEMPORARY;
	int code = is_temporary ? row->temporary : row->permanent;
	struct reply r = { .text = e->text[0] ? str_of(e->text) : row->words };

	must(err_is(e) && e->kind < ERR_KINDS);
	if (e->kind == ERR_REMOTE && e->code / 100 == (is_temporary ? 4 : 5))
		code = e->code;
	r.code = code;
	r.enhanced = (struct enhanced){ (uint16_t)(code / 100), row->subject, row->detail };
	if (e->kind == ERR_REMOTE && e->enhanced.class == r.enhanced.class)
		r.enhanced = e->enhanced;
	if (e->kind == ERR_MAILBOX_MOVED && e->text[0]) {
		r.before = S("please try <");
		r.after = S(">");
	}
	return r;
}

static void
add_line(struct buf *to, struct reply r, struct str parts[3], bool is_last)
{
	size_t begin = to->n;

	buf_addf(to, "%03d%c", r.code, is_last ? ' ' : '-');
	if (r.enhanced.class)
		buf_addf(to, "%u.%u.%u ", r.enhanced.class, r.enhanced.subject, r.enhanced.detail);
	for (int i = 0; i < 3; i++) {
		size_t room = REPLY_LINE_MAX - 2 - (to->n - begin);

		buf_add_clean(to, str_part(parts[i], 0, room), r.utf8);
	}
	buf_add(to, S("\r\n"));
}

void
reply_add(struct buf *to, struct reply r)
{
	struct str line, rest = r.text, before = r.before;
	bool is_more;

	must(r.code >= 200 && r.code <= 599);
	do {
		is_more = str_cut(rest, '\n', &line, &rest);
		add_line(
			to, r, (struct str[]){ before, line, is_more ? S("") : r.after }, !is_more);
		before = S("");
	} while (is_more);
}

/* "5.1.1 " at the beginning of a line whose code is of the same class (RFC 2034 §4). */
static bool
scan_enhanced(struct str in, int code, struct enhanced *out)
{
	uint64_t class, subject, detail;

	if (!scan_u64(&in, &class) || class != (uint64_t)(code / 100) || !scan_char(&in, '.') ||
		!scan_u64(&in, &subject) || subject > 999 || !scan_char(&in, '.') ||
		!scan_u64(&in, &detail) || detail > 999 || (in.n && in.p[0] != ' '))
		return false;
	*out = (struct enhanced){ (uint16_t) class, (uint16_t)subject, (uint16_t)detail };
	return true;
}

/* One line without its end: 1 the last of its reply, 0 one of several, -1 not SMTP. */
static int
read_line(struct reply_reader *r, struct str line)
{
	struct str digits = str_part(line, 0, 3), text = str_from(line, 4);
	uint64_t code;
	char mark = line.n > 3 ? line.p[3] : ' ';

	if (digits.n < 3 || !scan_u64(&digits, &code) || digits.n || code < 200 || code > 599 ||
		(mark != ' ' && mark != '-'))
		return -1;
	if (r->lines == SMTP_REPLY_LINES_MAX || (r->lines && r->code != (int)code))
		return -1;
	r->code = (int)code;
	if (r->lines++)
		buf_add_char(&r->text, '\n');
	else if (!scan_enhanced(text, r->code, &r->enhanced))
		r->enhanced = (struct enhanced){ 0 };
	buf_add_clean(&r->text, text, true);
	return mark == ' ';
}

int
reply_read(struct reply_reader *r, struct str *in)
{
	struct str line;
	int verdict = 0;

	while (verdict == 0) {
		if (str_find(str_part(*in, 0, SMTP_REPLY_LINE_MAX), '\n') >= SMTP_REPLY_LINE_MAX)
			return -1;
		if (!scan_until(in, '\n', &line))
			return 0;
		r->octets += line.n + 1;
		if (r->octets > SMTP_REPLY_MAX)
			return -1;
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		verdict = read_line(r, line);
	}
	return verdict;
}

void
reply_reader_reset(struct reply_reader *r)
{
	buf_reset(&r->text);
	r->code = 0;
	r->enhanced = (struct enhanced){ 0 };
	r->lines = 0;
	r->octets = 0;
}
