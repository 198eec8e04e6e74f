/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include "message/message.h"
#include "smtp/address.h"

/* Who a mail is from and for: lists of mailboxes as people write them (RFC 5322 §3.4), and addresses as on the wire. */

/* "Bob <bob@example.org>" or "bob@example.org" → bob@example.org as on the wire. */
static bool
wire_form(struct ph_mail *m, const char *what, struct str mailbox, struct str *wire)
{
	char octets[2 * ADDRESS_PATH_MAX];
	struct buf text = { .p = octets, .capacity = sizeof octets, .max = sizeof octets };
	struct str name, address_text;
	struct address address;

	mailbox_split(mailbox, &name, &address_text);
	if (address_parse(address_text, &m->arena, true, &address) != ADDRESS_OK)
		return mail_fail(m, "%s: not an address: %.*s", what, STR_ARG(mailbox));
	address_add(&text, address);
	m->needs_utf8 = m->needs_utf8 || !str_is_ascii(buf_str(&text));
	return mail_keep(m, buf_str(&text), wire);
}

static bool
add_recipient(struct ph_mail *m, const char *what, struct str mailbox)
{
	struct recipient *grown = mail_grow(m, m->recipients, m->recipients_n, sizeof *grown);
	struct recipient one = { .said = mailbox };

	if (!grown)
		return false;
	m->recipients = grown;
	if (!wire_form(m, what, mailbox, &one.address))
		return false;
	result_clear(&one);
	grown[m->recipients_n++] = one;
	return true;
}

/* How many octets of `in` belong together: a quoted string, a comment, an address in brackets, a number of a host, or one octet. 0: it has no
 * end. */
static size_t
span(struct str in)
{
	static const char openers[] = "\"(<[", closers[] = "\")>]";
	const char *opener = memchr(openers, in.p[0], sizeof openers - 1);
	int depth = 0;

	if (!opener)
		return 1;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (c == '\\')
			i++;
		else if (i && c == closers[opener - openers] && --depth == 0)
			return i + 1;
		else if (i == 0 || (c == '(' && *opener == '('))
			depth++;
	}
	return 0;
}

/* Where the mailbox that `in` begins with ends. False: e sticks. */
static bool
find_end(struct ph_mail *m, const char *what, struct str in, size_t *end)
{
	for (*end = 0; *end < in.n && !memchr(",:;", in.p[*end], 3);) {
		size_t taken = span(str_from(in, *end));

		if (taken == 0)
			return mail_fail(m, "%s: a quote or bracket has no end: %.*s", what,
				STR_ARG(str_from(in, *end)));
		*end += taken;
	}
	return true;
}

/* The next mailbox of a list, without comments (RFC 5322 §3.4, §3.2.2), into the arena. A group, "NAME: a@x, b@x;", is its members. False: e
 * sticks. */
static bool
next_mailbox(struct ph_mail *m, const char *what, struct str *in, struct str *mailbox)
{
	size_t end, n = 0, taken;
	char *to;

	if (!find_end(m, what, *in, &end))
		return false;
	while (end < in->n && in->p[end] == ':') {
		*in = str_from(*in, end + 1);
		if (!find_end(m, what, *in, &end))
			return false;
	}
	to = arena_take(&m->arena, end + 1);
	if (!to)
		return mail_no_memory(m);
	for (size_t at = 0; at < end; at += taken) {
		taken = span(str_from(*in, at));
		if (in->p[at] == '(')
			continue;
		memcpy(to + n, in->p + at, taken);
		n += taken;
	}
	*mailbox = str_trim((struct str){ to, n });
	*in = str_from(*in, end < in->n ? end + 1 : end);
	return true;
}

/* list NULL: they stand nowhere in the message. are_recipients false: they stand only there. */
static void
add_mailboxes(struct ph_mail *m, const char *what, const char *text, struct mailboxes *list,
	bool are_recipients)
{
	struct str in = str_of(text), mailbox = S(""), wire = S("");
	struct str *grown;

	if (!mail_is_open(m))
		return;
	if (!encode_is_clean(in)) {
		mail_fail(m, "%s: has a line end in it, or is not UTF-8", what);
		return;
	}
	while (in.n) {
		if (!next_mailbox(m, what, &in, &mailbox))
			return;
		if (mailbox.n == 0)
			continue; /* RFC 5322 §4.4 */
		if (are_recipients ? !add_recipient(m, what, mailbox)
				   : !wire_form(m, what, mailbox, &wire))
			return;
		if (!list)
			continue;
		grown = mail_grow(m, list->p, list->n, sizeof *grown);
		if (!grown)
			return;
		list->p = grown;
		list->p[list->n++] = mailbox;
	}
}

void
ph_from(ph_mail *m, const char *mailbox)
{
	struct str in = str_of(mailbox);

	if (!mail_is_open(m) || !mail_keep_field(m, "From", mailbox, &in) ||
		!next_mailbox(m, "From", &in, &m->compose.from))
		return;
	if (in.n)
		mail_fail(m, "From: one mailbox, not several: %s", mailbox);
	else if (!m->has_return_path)
		wire_form(m, "From", m->compose.from, &m->return_path);
}

void
ph_to(ph_mail *m, const char *mailboxes)
{
	add_mailboxes(m, "To", mailboxes, &m->to, true);
}

void
ph_cc(ph_mail *m, const char *mailboxes)
{
	add_mailboxes(m, "Cc", mailboxes, &m->cc, true);
}

void
ph_bcc(ph_mail *m, const char *mailboxes)
{
	add_mailboxes(m, "Bcc", mailboxes, NULL, true);
}

void
ph_reply_to(ph_mail *m, const char *mailboxes)
{
	add_mailboxes(m, "Reply-To", mailboxes, &m->reply_to, false);
}

void
ph_return_path(ph_mail *m, const char *address)
{
	if (!mail_is_open(m))
		return;
	m->has_return_path = true;
	m->return_path = S("");
	if (address && *address)
		wire_form(m, "return path", str_of(address), &m->return_path);
}

void
ph_recipient(ph_mail *m, const char *address)
{
	struct str copy = S("");

	if (mail_is_open(m) && mail_keep_field(m, "recipient", address, &copy))
		add_recipient(m, "recipient", copy);
}
