/* SPDX-License-Identifier: Apache-2.0 */
#include "message/compose.h"

#include "message/message.h"

/*
 * The header of a message that is written: what its writer says goes into fields, and nothing that he says can end one.
 *
 *   From, Reply-To, To, Cc, Bcc mailboxes, checked; a name that is not ASCII in encoded words (RFC 2047), an address that is not as it is
 *   Subject                    text, in encoded words where it must be
 *   Date, Message-ID           ours
 *   own fields                 ASCII as it is, so that whoever knows a field's grammar can write it; anything else as the field's
 *                              grammar wants it (ascii.c), or as it is where that has no way
 */

enum {
	ADDRESS_MAX = 320, /* octets: RFC 5321 §4.5.3.1 */
	ID_MAX = 900,	   /* octets, which no line can fold */
	NAME_MAX_SHOWN = 60,
	FIELD_NAME_MAX = 76, /* columns, so that its value can begin on the next line */
};

static bool
is_clean(struct str field, struct str value, struct err *e)
{
	return encode_is_clean(value) ||
	       err_set(e, ERR_PERMANENT, ERR_OTHER, "%.*s holds a line end or NUL, or is not UTF-8",
		       STR_ARG(field));
}

/* ── Mailboxes ───────────────────────────────────────────────────────────────────────────────── */

/* RFC 5322 §3.2.3 with dots, RFC 6532 §3.2. */
static struct str
leading_atoms(struct str s)
{
	size_t n = 0;

	while (n < s.n && (char_is_alpha(s.p[n]) || char_is_digit(s.p[n]) || s.p[n] & 0x80 ||
				  (s.p[n] && strchr("!#$%&'*+-/=?^_`{|}~.", s.p[n]))))
		n++;
	return str_part(s, 0, n);
}

/* Something between two marks, with both, of printable characters; a backslash hides the next one. Empty: there is none. */
static struct str
leading_enclosed(struct str s, char open, char close)
{
	for (size_t n = 1; s.n && s.p[0] == open && n < s.n; n++) {
		if (s.p[n] == close)
			return str_part(s, 0, n + 1);
		if (s.p[n] == '\\' && n + 1 < s.n)
			n++;
		if ((unsigned char)s.p[n] < ' ' || s.p[n] == 0x7f)
			break;
	}
	return (struct str){ 0 };
}

bool
compose_is_address(struct str s)
{
	struct str local = leading_enclosed(s, '"', '"'), domain;

	if (local.n == 0)
		local = leading_atoms(s);
	if (local.n == 0 || s.n > ADDRESS_MAX)
		return false;
	s = str_from(s, local.n);
	if (s.n == 0)
		return true;
	if (!scan_char(&s, '@'))
		return false;
	domain = leading_enclosed(s, '[', ']');
	if (domain.n == 0)
		domain = leading_atoms(s);
	return domain.n > 0 && domain.n == s.n;
}

static bool
add_mailboxes(struct compose_plan *plan, struct str field, const struct str *mailboxes, size_t n,
	struct err *e)
{
	struct buf *to = &plan->octets;

	if (n == 0)
		return true;
	buf_add(to, field);
	for (size_t i = 0; i < n; i++) {
		struct str name, address;

		if (!is_clean(field, mailboxes[i], e))
			return false;
		mailbox_split(mailboxes[i], &name, &address);
		if (!compose_is_address(address))
			return err_set(e, ERR_PERMANENT, ERR_OTHER, "%.*s: \"%.*s\" is no mailbox",
				STR_ARG(field), STR_ARG(str_part(mailboxes[i], 0, NAME_MAX_SHOWN)));
		buf_add(to, i ? S(",") : S(":"));
		encode_mailbox(to, name, address);
		plan->needs_smtputf8 |= !str_is_ascii(address);
	}
	buf_add(to, S("\r\n"));
	return true;
}

/* ── Own fields ──────────────────────────────────────────────────────────────────────────────── */

/* What is written from the rest of the mail, is written at its delivery, or must not be written at all. So are Content-…. */
static const struct str not_own[] = { S("From"), S("To"), S("Cc"), S("Bcc"), S("Resent-Bcc"),
	S("Reply-To"), S("Subject"), S("Date"), S("Message-ID"), S("MIME-Version"),
	S("Return-Path") };

static bool
is_not_own(struct str name)
{
	for (size_t i = 0; i < sizeof not_own / sizeof not_own[0]; i++)
		if (str_eq_nocase(name, not_own[i]))
			return true;
	return str_starts_nocase(name, S("Content-"));
}

bool
compose_is_field_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f || name.p[i] == ':')
			return false;
	return name.n > 0 && name.n <= FIELD_NAME_MAX;
}

static bool
has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
			return true;
	return false;
}

/* A field that somebody else folded: may it go out? */
static bool
can_travel(struct str field)
{
	for (struct str line; scan_until(&field, '\n', &line);)
		if (!str_ends_nocase(line, S("\r")) || has_control(str_part(line, 0, line.n - 1)) ||
			!encode_can_fold(line))
			return false;
	return true;
}

static void
add_as_it_is(struct buf *to, struct str name, struct str value)
{
	buf_add(to, name);
	buf_add_char(to, ':');
	encode_folded(to, value);
	buf_add(to, S("\r\n"));
}

static bool
add_own(struct compose_plan *plan, const struct compose_field *own, struct err *e)
{
	struct str name = str_part(own->name, 0, NAME_MAX_SHOWN), value = str_trim(own->value);
	struct header_field field = { .name = own->name, .value = value };
	bool can_stand = !has_control(value) && encode_can_fold(value);
	struct buf *to = &plan->octets;
	size_t begin = to->n;
	struct err no_way;

	if (!compose_is_field_name(own->name))
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "\"%.*s\" is no name for a field",
			STR_ARG(name));
	if (is_not_own(own->name))
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"%.*s is not a field of your own: it comes from the rest of the mail",
			STR_ARG(name));
	if (!is_clean(name, own->value, e))
		return false;
	if (can_stand && str_is_ascii(value)) {
		add_as_it_is(to, own->name, value);
		return true;
	}
	if (message_field_to_ascii(to, &field, &no_way) &&
		(to->overflow || can_travel(str_from(buf_str(to), begin))))
		return true;
	if (!can_stand)
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"%.*s holds a control character, or a word that is too long for a line",
			STR_ARG(name));
	to->n = begin;
	add_as_it_is(to, own->name, value);
	plan->needs_smtputf8 = true;
	return true;
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────── */

bool
compose_is_id(struct str id)
{
	for (size_t i = 0; i < id.n; i++)
		if (id.p[i] <= ' ' || id.p[i] >= 0x7f || id.p[i] == '<' || id.p[i] == '>')
			return false;
	return id.n > 0 && id.n <= ID_MAX;
}

bool
compose_add_header(struct compose_plan *plan, const struct compose *c, struct err *e)
{
	struct buf *to = &plan->octets;

	if (!add_mailboxes(plan, S("From"), &c->from, 1, e) ||
		!add_mailboxes(plan, S("Reply-To"), c->reply_to, c->reply_to_n, e) ||
		!add_mailboxes(plan, S("To"), c->to, c->to_n, e) ||
		!add_mailboxes(plan, S("Cc"), c->cc, c->cc_n, e) ||
		!add_mailboxes(plan, S("Bcc"), c->bcc, c->bcc_n, e) ||
		!is_clean(S("Subject"), c->subject, e))
		return false;
	if (c->to_n == 0 && c->cc_n == 0)
		buf_add(to, S("To: undisclosed-recipients:;\r\n"));
	if (c->subject.n) {
		buf_add(to, S("Subject:"));
		encode_unstructured(to, c->subject);
		buf_add(to, S("\r\n"));
	}
	if (!compose_is_id(c->message_id))
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "\"%.*s\" is no Message-ID",
			STR_ARG(str_part(c->message_id, 0, NAME_MAX_SHOWN)));
	buf_add(to, S("Date: "));
	date_add(to, c->unix_seconds);
	buf_add(to, S("\r\nMessage-ID: <"));
	buf_add(to, c->message_id);
	buf_add(to, S(">\r\n"));
	for (size_t i = 0; i < c->fields_n; i++)
		if (!add_own(plan, &c->fields[i], e))
			return false;
	buf_add(to, S("MIME-Version: 1.0\r\n"));
	return true;
}
