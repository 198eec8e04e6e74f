/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

#include "base/codec.h"

/*
 * A report in three parts (RFC 6522 §3): for people (dsn_text.c), for programs (RFC 3464), and the mail
 * or its header. Where an address is not ASCII, the second part takes the form of RFC 6533, and where the
 * old header is not, the third does. Fields hold what a peer said only as ASCII in the old form, which
 * knows nothing else.
 */

/* ── Addresses as ORCPT= has them ────────────────────────────────────────────────────────────── */

static void
add_utf8(struct buf *to, uint32_t c)
{
	if (c >= 0x10000)
		buf_add_char(to, (char)(0xf0 | c >> 18));
	if (c >= 0x800)
		buf_add_char(to, (char)(c >= 0x10000 ? 0x80 | (c >> 12 & 0x3f) : 0xe0 | c >> 12));
	if (c >= 0x80)
		buf_add_char(to, (char)(c >= 0x800 ? 0x80 | (c >> 6 & 0x3f) : 0xc0 | c >> 6));
	buf_add_char(to, (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c));
}

/* "\x{F6}", RFC 6533 §3: upper case digits, nothing that is no character or would not show. */
static bool
scan_escape(struct str *in, uint32_t *character)
{
	struct str rest = *in;
	uint32_t c = 0;
	size_t digits = 0;

	if (!scan_char(&rest, '\\') || !scan_char(&rest, 'x') || !scan_char(&rest, '{'))
		return false;
	for (; digits < 6 && rest.n && rest.p[0] != '}'; digits++, rest = str_from(rest, 1)) {
		if (!char_is_digit(rest.p[0]) && (rest.p[0] < 'A' || rest.p[0] > 'F'))
			return false;
		c = c << 4 |
		    (uint32_t)(char_is_digit(rest.p[0]) ? rest.p[0] - '0' : rest.p[0] - 'A' + 10);
	}
	if (digits < 2 || !scan_char(&rest, '}') || c < ' ' || (c >= 0x7f && c < 0xa0) ||
		(c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		return false;
	*character = c;
	*in = rest;
	return true;
}

static bool
scan_plain(struct str *in, char *octet)
{
	char c = in->p[0];

	if (c <= ' ' && c >= 0)
		return false;
	if (c == 0x7f || c == '+' || c == '=' || c == '\\')
		return false;
	*octet = c;
	*in = str_from(*in, 1);
	return true;
}

bool
dsn_add_utf8_address(struct buf *to, struct str address)
{
	size_t begin = to->n;
	uint32_t c;
	char octet;

	if (str_is_utf8(address)) {
		while (address.n)
			if (scan_escape(&address, &c))
				add_utf8(to, c);
			else if (scan_plain(&address, &octet))
				buf_add_char(to, octet);
			else
				break;
		if (address.n == 0)
			return true;
	}
	to->n = begin;
	return false;
}

void
dsn_add_original(struct buf *to, struct str orcpt)
{
	struct str type, address;

	str_cut(orcpt, ';', &type, &address);
	if (!str_eq_nocase(type, S("utf-8")) || !dsn_add_utf8_address(to, address))
		codec_add_from_xtext(to, address);
}

bool
dsn_is_expired(const struct err *why)
{
	return why->kind == ERR_EXPIRED ||
	       (why->kind == ERR_REMOTE && why->class == ERR_PERMANENT && why->code / 100 == 4);
}

/* ── Lines ───────────────────────────────────────────────────────────────────────────────────── */

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

/* The id of the mail, where it is one that another field can repeat. */
static struct str
original_message_id(const struct dsn *d)
{
	struct str id = str_trim(header_get(d->original_header, S("Message-ID")));
	bool is_good = id.n > 2 && id.n < 500 && id.p[0] == '<' && str_find(id, '>') == id.n - 1;

	for (size_t i = 0; is_good && i < id.n; i++)
		is_good = (unsigned char)id.p[i] > ' ' && id.p[i] != 0x7f;
	return is_good ? id : S("");
}

/* Letters and digits of the report's own id: its random part makes it one nobody can foresee. */
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
	static const struct str before[][DSN_LANGUAGES] = {
		[DSN_FAILED] = { S("Not delivered: your mail to "), S("未送达：您给 ") },
		[DSN_DELAYED] = { S("Not delivered yet: your mail to "), S("尚未送达：您给 ") },
		[DSN_RELAYED] = { S("Passed on: your mail to "), S("已转交：您给 ") },
		[DSN_DELIVERED] = { S("Delivered: your mail to "), S("已送达：您给 ") },
		[DSN_EXPANDED] = { S("Passed on: your mail to "), S("已分发：您给 ") },
	};
	struct buf subject = { .max = 1024 };

	buf_add(&subject, before[d->kind][d->language]);
	buf_add_clean(&subject, str_part(d->recipients[0].address, 0, 320), true);
	if (d->recipients_n > 1 && d->language == DSN_CHINESE)
		buf_addf(&subject, " 等 %zu 人", d->recipients_n);
	else if (d->recipients_n > 1)
		buf_addf(&subject, " and %zu more", d->recipients_n - 1);
	if (d->language == DSN_CHINESE)
		buf_add(&subject, S(" 的邮件"));
	buf_add(to, S("Subject:"));
	encode_unstructured(to, buf_str(&subject));
	buf_add(to, S("\r\n"));
	buf_free(&subject);
}

static void
add_head(struct buf *to, const struct dsn *d, bool is_8bit)
{
	struct str answered = original_message_id(d);

	buf_add(to, S("From: Mail delivery <postmaster@"));
	buf_add_clean(to, d->hostname, true);
	add_line(to, S(">\r\nTo: "), d->to);
	add_subject(to, d);
	add_date_line(to, S("Date: "), d->unix_seconds);
	buf_add(to, S("Message-ID: <"));
	buf_add_clean(to, d->message_id, true);
	buf_add(to, S(">\r\n"));
	if (answered.n) {
		add_line(to, S("In-Reply-To: "), answered);
		add_line(to, S("References: "), answered);
	}
	buf_add(to, S("Auto-Submitted: auto-replied\r\n" /* RFC 3834 §5 */
		      "MIME-Version: 1.0\r\n"));
	if (is_8bit) /* RFC 2045 §6.4: so is the whole, when a part is */
		buf_add(to, S("Content-Transfer-Encoding: 8bit\r\n"));
	buf_add(to, S("Content-Type: multipart/report; report-type=delivery-status;\r\n"
		      " boundary=\""));
	add_boundary(to, d);
	buf_add(to, S("\"\r\n"));
}

/* ── For people ──────────────────────────────────────────────────────────────────────────────── */

static void
add_words(struct buf *to, const struct dsn *d)
{
	struct buf words = { .max = to->max };

	dsn_add_text(&words, d);
	begin_part(to, d);
	encode_text(to, S("plain"), buf_str(&words));
	to->overflow = to->overflow || words.overflow;
	buf_free(&words);
}

/* ── For programs ────────────────────────────────────────────────────────────────────────────── */

static bool
is_original_ascii(struct str orcpt)
{
	struct buf original = { .max = 2 * DSN_ORIGINAL_MAX };
	bool is_ascii;

	dsn_add_original(&original, orcpt);
	is_ascii = str_is_ascii(buf_str(&original));
	buf_free(&original);
	return is_ascii;
}

static bool
is_international(const struct dsn *d)
{
	for (size_t i = 0; i < d->recipients_n; i++)
		if (!str_is_ascii(d->recipients[i].address) ||
			!is_original_ascii(d->recipients[i].original))
			return true;
	return false;
}

/* RFC 3464 §2.3.1: as ORCPT= said it, but no longer encoded. */
static void
add_original_recipient(struct buf *to, struct str orcpt)
{
	struct buf original = { .max = 2 * DSN_ORIGINAL_MAX };

	dsn_add_original(&original, orcpt);
	if (original.n) {
		buf_add(to, S("Original-Recipient: "));
		buf_add_clean(to, str_part(orcpt, 0, str_find(orcpt, ';')), false);
		add_line(to, S("; "), buf_str(&original));
	}
	buf_free(&original);
}

/* RFC 3464 §2.3.4. What ran out of time has that as its reason. */
static void
add_status(struct buf *to, const struct dsn_recipient *r)
{
	static const unsigned classes[] = { [DSN_FAILED] = 5,
		[DSN_DELAYED] = 4,
		[DSN_RELAYED] = 2,
		[DSN_DELIVERED] = 2,
		[DSN_EXPANDED] = 2 };

	if (r->why && dsn_is_expired(r->why))
		buf_add(to, S("Status: 5.4.7\r\n"));
	else
		buf_addf(to, "Status: %u.%u.%u\r\n", classes[r->action], r->status.subject,
			r->status.detail);
}

static void
add_diagnostic(struct buf *to, const struct err *e, bool international)
{
	buf_addf(to, "Diagnostic-Code: smtp; %u ", e->code);
	if (e->enhanced.class)
		buf_addf(to, "%u.%u.%u ", e->enhanced.class, e->enhanced.subject,
			e->enhanced.detail);
	buf_add_clean(to, str_of(e->text), international);
	buf_add(to, S("\r\n"));
}

static bool
is_ipv4(struct str host)
{
	bool has_only_digits = true;

	for (size_t i = 0; i < host.n; i++)
		has_only_digits = has_only_digits && (char_is_digit(host.p[i]) || host.p[i] == '.');
	return has_only_digits;
}

/* RFC 3464 §9.3: a name or, where there is none, an address literal. What has been handed over a UNIX
 * socket has neither. */
static void
add_remote_mta(struct buf *to, struct str host)
{
	bool is_path = str_starts(host, S("/")), is_literal = str_starts(host, S("["));
	bool is_ipv6 = !is_path && !is_literal && str_find(host, ':') < host.n;
	bool is_address = is_ipv6 || is_ipv4(host);

	buf_add(to, is_path ? S("Remote-MTA: x-unix; ") : S("Remote-MTA: dns; "));
	buf_add(to, is_ipv6 ? S("[IPv6:") : is_address ? S("[") : S(""));
	buf_add_clean(to, host, true);
	buf_add(to, is_address ? S("]\r\n") : S("\r\n"));
}

/* RFC 3464 §2.3. */
static void
add_recipient_fields(struct buf *to, const struct dsn_recipient *r, bool international)
{
	static const struct str actions[] = { [DSN_FAILED] = S("failed"),
		[DSN_DELAYED] = S("delayed"),
		[DSN_RELAYED] = S("relayed"),
		[DSN_DELIVERED] = S("delivered"),
		[DSN_EXPANDED] = S("expanded") };

	buf_add(to, S("\r\n"));
	add_original_recipient(to, r->original);
	buf_add(to, S("Final-Recipient: "));
	add_line(to, str_is_ascii(r->address) ? S("rfc822; ") : S("utf-8; "), r->address);
	add_line(to, S("Action: "), actions[r->action]);
	add_status(to, r);
	if (r->host.n)
		add_remote_mta(to, r->host);
	if (r->why && r->why->code)
		add_diagnostic(to, r->why, international);
	if (r->action == DSN_DELAYED && r->retry_until_s)
		add_date_line(to, S("Will-Retry-Until: "), r->retry_until_s);
}

/* RFC 3464 §2.2, and the recipients' fields behind it. */
static void
add_report(struct buf *to, const struct dsn *d, bool international)
{
	struct buf envelope_id = { .max = DSN_ENVELOPE_ID_MAX };

	begin_part(to, d);
	buf_add(to, international ? S("Content-Type: message/global-delivery-status\r\n"
				      "Content-Transfer-Encoding: 8bit\r\n\r\n")
				  : S("Content-Type: message/delivery-status\r\n\r\n"));
	if (codec_add_from_xtext(&envelope_id, d->envelope_id) && envelope_id.n)
		add_line(to, S("Original-Envelope-Id: "), buf_str(&envelope_id));
	add_line(to, S("Reporting-MTA: dns; "), d->hostname);
	if (d->original_id.n)
		add_line(to, S("X-Posthouse-Mail: "), d->original_id);
	add_date_line(to, S("Arrival-Date: "), d->arrived_unix_seconds);
	for (size_t i = 0; i < d->recipients_n; i++)
		add_recipient_fields(to, &d->recipients[i], international);
	buf_free(&envelope_id);
}

/* ── What goes back ──────────────────────────────────────────────────────────────────────────── */

/* What any host takes (RFC 5322 §2.1.1): no NUL, and of a longer line its first 998 octets. */
static void
add_lines(struct buf *to, struct str text)
{
	enum { LINE_MAX_OCTETS = 998 };
	struct str line;

	while (text.n) {
		size_t n = str_find_str(text, S("\r\n"));

		line = str_part(text, 0, n < LINE_MAX_OCTETS ? n : LINE_MAX_OCTETS);
		for (size_t i = 0; i < line.n; i++)
			buf_add_char(to, line.p[i] ? line.p[i] : '?');
		if (n < text.n)
			buf_add(to, S("\r\n"));
		text = str_from(text, n + 2);
	}
}

/* The types for a header in UTF-8 (RFC 6532 §3.7, RFC 6533 §6); one in some other 8-bit code has no type
 * of its own. */
static void
add_original(struct buf *to, const struct dsn *d)
{
	struct str back = d->original_whole.n ? d->original_whole : d->original_header;
	bool is_global = !str_is_ascii(d->original_header) && str_is_utf8(d->original_header);

	begin_part(to, d);
	buf_add(to, S("Content-Type: "));
	if (d->original_whole.n)
		buf_add(to, is_global ? S("message/global\r\n") : S("message/rfc822\r\n"));
	else
		buf_add(to,
			is_global ? S("message/global-headers\r\n") : S("text/rfc822-headers\r\n"));
	if (!str_is_ascii(back))
		buf_add(to, S("Content-Transfer-Encoding: 8bit\r\n"));
	buf_add(to, S("\r\n"));
	if (d->original_whole.n)
		buf_add(to, back);
	else
		add_lines(to, back);
}

void
dsn_compose(struct buf *to, const struct dsn *d)
{
	bool international = is_international(d);

	add_head(to, d,
		international || !str_is_ascii(d->original_header) ||
			!str_is_ascii(d->original_whole));
	add_words(to, d);
	add_report(to, d, international);
	add_original(to, d);
	buf_add(to, S("\r\n--"));
	add_boundary(to, d);
	buf_add(to, S("--\r\n"));
}
