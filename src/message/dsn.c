/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

/*
 * A bounce in three parts (RFC 6522 §3): for people, for programs (RFC 3464), and the header of the
 * mail that did not arrive. Where an address or a reply is not ASCII, the second part takes the
 * form of RFC 6533, and where the old header is not, the third does.
 */

/* What the sender can do, by what went wrong. A kind that is not here has no better advice than
 * the last row. */
static const struct {
	enum err_kind kind;
	const char *words;
} advice[] = {
	{ ERR_MAILBOX_UNKNOWN,
		"Check the address for a slip, and ask the person for the right one." },
	{ ERR_MAILBOX_NAME, "Check the address for a slip." },
	{ ERR_MAILBOX_MOVED, "Send your mail to the new address named above." },
	{ ERR_MAILBOX_BUSY, "Try again later, or reach the person some other way." },
	{ ERR_NO_ROUTE, "Check the part of the address behind the @." },
	{ ERR_TOO_BIG, "Send a smaller message, or a link in place of an attachment." },
	{ ERR_NEEDS_SMTPUTF8, "Use an address for this person that has only ASCII letters." },
	{ ERR_LOOP, "Tell the postmaster of the address: mail to it goes round in a loop." },
	{ ERR_EXPIRED,
		"The other host could not be reached for days; try again, or some other way." },
	{ ERR_OTHER, "If you need help, show this message to your postmaster." },
};

/* The same by the second number of the other host's enhanced code (RFC 3463 §3). */
static const char *const remote_advice[] = {
	[1] = "Check the address for a slip, and ask the person for the right one.",
	[2] = "Their mailbox cannot take it; try again later, or reach the person some other way.",
	[3] = "Their system cannot take it; try again later.",
	[4] = "Try again later.",
	[5] = "Show this message to your postmaster.",
	[6] = "Their system objects to what is in the message; send it in another form.",
	[7] = "Their system refuses it by a rule of its own; ask its postmaster.",
};

static const char *
advice_for(const struct dsn_recipient *r)
{
	size_t subject = r->why->enhanced.subject, i;

	if (r->why->kind == ERR_REMOTE && subject > 0 &&
		subject < sizeof remote_advice / sizeof remote_advice[0])
		return remote_advice[subject];
	for (i = 0; advice[i].kind != ERR_OTHER && advice[i].kind != r->why->kind; i++)
		;
	return advice[i].words;
}

static void
add_line(struct buf *to, struct str name, struct str value)
{
	buf_add(to, name);
	buf_add_clean(to, value, true);
	buf_add(to, S("\r\n"));
}

static void
add_date_line(struct buf *to, struct str name, int64_t unix_seconds)
{
	buf_add(to, name);
	date_add(to, unix_seconds);
	buf_add(to, S("\r\n"));
}

/* ── The head ────────────────────────────────────────────────────────────────────────────────── */

static struct str
original_message_id(const struct dsn *d)
{
	struct str rest = d->original_header;
	struct header_field field;

	while (header_next(&rest, &field))
		if (str_eq_nocase(field.name, S("Message-ID")))
			return str_trim(field.value);
	return S("");
}

/* Letters and digits of the bounce's own id: its random part makes it one nobody can foresee. */
static void
add_boundary(struct buf *to, const struct dsn *d)
{
	enum { ID_MAX = 48 }; /* RFC 2046 §5.1.1: 70 in all */
	size_t n = 0;

	buf_add(to, S("=_bounce_"));
	for (size_t i = 0; i < d->message_id.n && n < ID_MAX; i++)
		if (char_is_alpha(d->message_id.p[i]) || char_is_digit(d->message_id.p[i])) {
			buf_add_char(to, d->message_id.p[i]);
			n++;
		}
}

static void
begin_part(struct buf *to, const struct dsn *d)
{
	buf_add(to, S("\r\n--"));
	add_boundary(to, d);
	buf_add(to, S("\r\n"));
}

static void
add_subject(struct buf *to, const struct dsn *d)
{
	struct buf subject = { .max = 1024 };

	buf_add(&subject, S("Not delivered: your mail to "));
	buf_add_clean(&subject, str_part(d->recipients[0].address, 0, 320), true);
	if (d->recipients_n > 1)
		buf_addf(&subject, " and %zu more", d->recipients_n - 1);
	buf_add(to, S("Subject:"));
	encode_unstructured(to, buf_str(&subject));
	buf_add(to, S("\r\n"));
	buf_free(&subject);
}

static void
add_head(struct buf *to, const struct dsn *d)
{
	struct str in_reply_to = original_message_id(d);

	buf_add(to, S("From: Mail delivery <postmaster@"));
	buf_add_clean(to, d->hostname, true);
	add_line(to, S(">\r\nTo: "), d->to);
	add_subject(to, d);
	add_date_line(to, S("Date: "), d->unix_seconds);
	buf_add(to, S("Message-ID: <"));
	buf_add_clean(to, d->message_id, true);
	buf_add(to, S(">\r\n"));
	if (in_reply_to.n)
		add_line(to, S("In-Reply-To: "), in_reply_to);
	buf_add(to, S("Auto-Submitted: auto-replied\r\n" /* RFC 3834 §5 */
		      "MIME-Version: 1.0\r\n"
		      "Content-Type: multipart/report; report-type=delivery-status;\r\n"
		      " boundary=\""));
	add_boundary(to, d);
	buf_add(to, S("\"\r\n"));
}

/* ── For people ──────────────────────────────────────────────────────────────────────────────── */

static void
add_remote_code(struct buf *to, const struct err *e)
{
	if (e->code)
		buf_addf(to, "%u ", e->code);
	if (e->code && e->enhanced.class)
		buf_addf(to, "%u.%u.%u ", e->enhanced.class, e->enhanced.subject,
			e->enhanced.detail);
}

static void
add_reason(struct buf *to, const struct dsn_recipient *r)
{
	buf_add(to, S("\n  "));
	buf_add_clean(to, r->address, true);
	buf_add(to, S("\n    "));
	if (r->host.n) {
		buf_add_clean(to, r->host, true);
		buf_add(to, r->why->code ? S(" said: ") : S(": "));
	}
	add_remote_code(to, r->why);
	buf_add_clean(to, r->why->text[0] ? str_of(r->why->text) : S("no reason was given"), true);
	buf_addf(to, "\n    %s\n", advice_for(r));
}

static void
add_words(struct buf *to, const struct dsn *d)
{
	struct buf words = { .max = to->max };

	buf_add(&words, S("Hello,\n\nthis is the mail system at "));
	buf_add_clean(&words, d->hostname, true);
	buf_add(&words, S(".\nYour mail of "));
	date_add(&words, d->arrived_unix_seconds);
	buf_add(&words, d->recipients_n == 1 ? S("\ncould not be delivered to this address:\n")
					     : S("\ncould not be delivered to these addresses:\n"));
	for (size_t i = 0; i < d->recipients_n; i++)
		add_reason(&words, &d->recipients[i]);
	buf_add(&words, S("\nIt will not be tried again. The header of your mail is below.\n"));
	begin_part(to, d);
	encode_text(to, buf_str(&words));
	to->overflow = to->overflow || words.overflow;
	buf_free(&words);
}

/* ── For programs ────────────────────────────────────────────────────────────────────────────── */

static bool
is_international(const struct dsn *d)
{
	for (size_t i = 0; i < d->recipients_n; i++)
		if (!str_is_ascii(d->recipients[i].address) ||
			!str_is_ascii(str_of(d->recipients[i].why->text)))
			return true;
	return false;
}

/* RFC 3464 §2.3. */
static void
add_recipient_fields(struct buf *to, const struct dsn_recipient *r)
{
	struct enhanced status = r->status;

	if (!status.class)
		status.class = r->why->class == ERR_TEMPORARY ? 4 : 5;
	buf_add(to, S("\r\nFinal-Recipient: "));
	add_line(to, str_is_ascii(r->address) ? S("rfc822; ") : S("utf-8; "), r->address);
	buf_addf(to, "Action: failed\r\nStatus: %u.%u.%u\r\n", status.class, status.subject,
		status.detail);
	if (r->host.n)
		add_line(to, S("Remote-MTA: dns; "), r->host);
	if (r->why->code) {
		buf_add(to, S("Diagnostic-Code: smtp; "));
		add_remote_code(to, r->why);
		add_line(to, S(""), str_of(r->why->text));
	}
}

static void
add_status(struct buf *to, const struct dsn *d)
{
	begin_part(to, d);
	buf_add(to, is_international(d) ? S("Content-Type: message/global-delivery-status\r\n"
					    "Content-Transfer-Encoding: 8bit\r\n\r\n")
					: S("Content-Type: message/delivery-status\r\n\r\n"));
	add_line(to, S("Reporting-MTA: dns; "), d->hostname);
	if (d->original_id.n)
		add_line(to, S("X-Posthouse-Mail: "), d->original_id);
	add_date_line(to, S("Arrival-Date: "), d->arrived_unix_seconds);
	for (size_t i = 0; i < d->recipients_n; i++)
		add_recipient_fields(to, &d->recipients[i]);
}

static void
add_original(struct buf *to, const struct dsn *d)
{
	begin_part(to, d);
	buf_add(to, str_is_ascii(d->original_header)
			    ? S("Content-Type: text/rfc822-headers\r\n\r\n")
			    : S("Content-Type: message/global-headers\r\n"
				"Content-Transfer-Encoding: 8bit\r\n\r\n"));
	buf_add(to, d->original_header);
}

void
dsn_compose(struct buf *to, const struct dsn *d)
{
	add_head(to, d);
	add_words(to, d);
	add_status(to, d);
	add_original(to, d);
	buf_add(to, S("\r\n--"));
	add_boundary(to, d);
	buf_add(to, S("--\r\n"));
}
