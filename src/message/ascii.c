/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

/*
 * A header in UTF-8 (RFC 6532) becomes one in ASCII, field by field. What a field is made of decides how:
 *
 *   texts        Subject and whatever is not named below: encoded words (RFC 2047 §5 (1))
 *   mailboxes    From, To …: names of people and groups and comments become encoded words (§5 (2), (3));
 *                an address that is not ASCII cannot
 *   parameters   Content-Type, Content-Disposition: name*=UTF-8''%E9… (RFC 2231 §3, §4)
 *   identifiers  Received, Message-ID …: a comment goes, anything else cannot
 *
 * Fields that are ASCII are not touched, so that a signature over them still holds.
 */

enum {
	LINE_COLUMNS = 76,
	PARAMETER_NAME_MAX = 26, /* so that a section of its value fits beside it */
};

enum field_kind { FIELD_TEXT, FIELD_MAILBOXES, FIELD_PARAMETERS, FIELD_IDENTIFIER };

static const struct {
	struct str name;
	enum field_kind kind;
} fields[] = {
	{ S("From"), FIELD_MAILBOXES },
	{ S("Sender"), FIELD_MAILBOXES },
	{ S("Reply-To"), FIELD_MAILBOXES },
	{ S("To"), FIELD_MAILBOXES },
	{ S("Cc"), FIELD_MAILBOXES },
	{ S("Bcc"), FIELD_MAILBOXES },
	{ S("Resent-From"), FIELD_MAILBOXES },
	{ S("Resent-Sender"), FIELD_MAILBOXES },
	{ S("Resent-Reply-To"), FIELD_MAILBOXES },
	{ S("Resent-To"), FIELD_MAILBOXES },
	{ S("Resent-Cc"), FIELD_MAILBOXES },
	{ S("Resent-Bcc"), FIELD_MAILBOXES },
	{ S("Mail-Followup-To"), FIELD_MAILBOXES },
	{ S("Disposition-Notification-To"), FIELD_MAILBOXES },
	{ S("List-Id"), FIELD_MAILBOXES }, /* a phrase and <…>: RFC 2919 §3 */
	{ S("Content-Type"), FIELD_PARAMETERS },
	{ S("Content-Disposition"), FIELD_PARAMETERS },
	{ S("Content-Transfer-Encoding"), FIELD_IDENTIFIER },
	{ S("Content-ID"), FIELD_IDENTIFIER },
	{ S("MIME-Version"), FIELD_IDENTIFIER },
	{ S("Date"), FIELD_IDENTIFIER },
	{ S("Resent-Date"), FIELD_IDENTIFIER },
	{ S("Message-ID"), FIELD_IDENTIFIER },
	{ S("Resent-Message-ID"), FIELD_IDENTIFIER },
	{ S("In-Reply-To"), FIELD_IDENTIFIER },
	{ S("References"), FIELD_IDENTIFIER },
	{ S("Return-Path"), FIELD_IDENTIFIER },
	{ S("Received"), FIELD_IDENTIFIER },
};

static enum field_kind
kind_of(struct str name)
{
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (str_eq_nocase(name, fields[i].name))
			return fields[i].kind;
	return FIELD_TEXT;
}

/* ── Tokens of structured fields ─────────────────────────────────────────────────────────────── */

/* Something that ends with `close`, from its first octet on; what a backslash or, in a path, a quote
 * hides does not end it. Comments nest. All of `in` when it does not end. */
static struct str
scan_enclosed(struct str *in, char close)
{
	struct str rest = *in;
	char open = in->p[0];
	unsigned depth = 0;
	bool is_quoted = false;
	size_t n = 0;

	for (; n < rest.n; n++) {
		char c = rest.p[n];

		if (c == '\\' && open != '<')
			n++;
		else if (c == '"' && open == '<')
			is_quoted = !is_quoted;
		else if (is_quoted)
			continue;
		else if (c == close && (open != '(' || depth == 1) && n > 0)
			break;
		else if (open == '(' && c == '(')
			depth++;
		else if (open == '(' && c == ')')
			depth--;
	}
	rest = str_part(rest, 0, n + 1);
	*in = str_from(*in, rest.n);
	return rest;
}

static bool
is_one_of(char c, const char *set)
{
	return c && strchr(set, c);
}

/* The next token: a comment, a quoted string, a path in brackets, one of `specials`, blanks, or a run of
 * anything else. */
static struct str
scan_token(struct str *in, const char *specials)
{
	struct str token;
	size_t n = 0;

	switch (in->p[0]) {
	case '(':
		return scan_enclosed(in, ')');
	case '"':
		return scan_enclosed(in, '"');
	case '<':
		return scan_enclosed(in, '>');
	}
	if (is_one_of(in->p[0], specials))
		n = 1;
	else if (is_one_of(in->p[0], " \t"))
		for (; n < in->n && is_one_of(in->p[n], " \t"); n++)
			;
	else
		for (; n < in->n && !is_one_of(in->p[n], " \t(\"<") &&
			!is_one_of(in->p[n], specials);
			n++)
			;
	token = str_part(*in, 0, n);
	*in = str_from(*in, n);
	return token;
}

/* A field's value in one line. */
static void
add_unfolded(struct buf *to, struct str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] != '\r' && value.p[i] != '\n')
			buf_add_char(to, value.p[i]);
}

/* The token behind a blank, on the next line where this one has no room for it and a comma; a long one is
 * folded at its own blanks, which neither a phrase nor a quoted string minds (RFC 5322 §3.2.4). */
static void
add_folded(struct buf *to, struct str token)
{
	buf_add(to, encode_column(to) + 1 + token.n >= LINE_COLUMNS ? S("\r\n ") : S(" "));
	while (token.n) {
		size_t n = 0;

		while (n < token.n && is_one_of(token.p[n], " \t"))
			n++;
		while (n < token.n && !is_one_of(token.p[n], " \t"))
			n++;
		if (is_one_of(token.p[0], " \t") && encode_column(to) + n >= LINE_COLUMNS)
			buf_add(to, S("\r\n"));
		buf_add(to, str_part(token, 0, n));
		token = str_from(token, n);
	}
}

/* A quoted string's or a comment's inside, without its frame and backslashes. */
static void
add_inside(struct buf *to, struct str token)
{
	size_t end = token.n > 1 ? token.n - 1 : token.n;

	for (size_t i = 1; i < end; i++) {
		if (token.p[i] == '\\' && i + 1 < end)
			i++;
		buf_add_char(to, token.p[i]);
	}
}

/* ── Mailboxes ───────────────────────────────────────────────────────────────────────────────── */

/* What stands before the next separator. */
struct mailboxes {
	struct buf *to;
	struct buf as_is; /* the words as they came, with their quotes */
	struct buf plain; /* and without: what an encoded word says */
	struct buf comments;
};

static bool
refuse(struct err *e, struct str field, const char *what)
{
	return err_set(e, ERR_PERMANENT, ERR_NEEDS_SMTPUTF8,
		"the next host takes no header in UTF-8, and %s in %.*s cannot be written "
		"otherwise",
		what, STR_ARG(str_part(field, 0, 60)));
}

static void
take_comment(struct mailboxes *m, struct str token)
{
	struct buf inside = { .max = m->plain.max, .memory = m->to->memory };

	if (str_is_ascii(token)) {
		buf_add_char(&m->comments, ' ');
		buf_add(&m->comments, token);
		return;
	}
	add_inside(&inside, token);
	buf_add(&m->comments, S(" ("));
	encode_unstructured(&m->comments, buf_str(&inside));
	buf_add_char(&m->comments, ')');
	m->comments.overflow |= inside.overflow;
	buf_free(&inside);
}

/* The words before the separator are a name, or an address without brackets, which must be ASCII. */
static bool
end_words(struct mailboxes *m, bool is_name)
{
	struct str as_is = str_trim(buf_str(&m->as_is));
	bool is_good = is_name || str_is_ascii(as_is);

	if (!str_is_ascii(as_is)) {
		if (encode_column(m->to) > LINE_COLUMNS / 2)
			buf_add(m->to, S("\r\n"));
		encode_unstructured(m->to, buf_str(&m->plain));
	} else if (as_is.n) {
		add_folded(m->to, as_is);
	}
	if (m->comments.n)
		add_folded(m->to, str_from(buf_str(&m->comments), 1));
	buf_reset(&m->as_is);
	buf_reset(&m->plain);
	buf_reset(&m->comments);
	return is_good;
}

static bool
take_mailbox_token(struct mailboxes *m, struct str token)
{
	bool is_good;

	switch (token.p[0]) {
	case '(':
		take_comment(m, token);
		return true;
	case '<':
		is_good = end_words(m, true) && str_is_ascii(token);
		add_folded(m->to, token);
		return is_good;
	case ',':
	case ';':
	case ':':
		is_good = end_words(m, token.p[0] == ':');
		buf_add(m->to, token);
		return is_good;
	case '"':
		add_inside(&m->plain, token);
		break;
	default:
		buf_add(&m->plain, token);
	}
	buf_add(&m->as_is, token);
	return true;
}

static bool
add_mailboxes(struct buf *to, struct str field, struct str value, struct err *e)
{
	const struct buf empty = { .max = to->max, .memory = to->memory };
	struct mailboxes m = { .to = to, .as_is = empty, .plain = empty, .comments = empty };
	bool is_good = true;

	while (is_good && value.n)
		is_good = take_mailbox_token(&m, scan_token(&value, ",;:"));
	is_good = is_good && end_words(&m, false);
	to->overflow |= m.as_is.overflow || m.plain.overflow || m.comments.overflow;
	buf_free(&m.as_is);
	buf_free(&m.plain);
	buf_free(&m.comments);
	return is_good || refuse(e, field, "an address");
}

/* ── Parameters ──────────────────────────────────────────────────────────────────────────────── */

static bool
add_parameter(struct buf *to, struct str parameter)
{
	struct buf plain = { .max = to->max, .memory = to->memory };
	struct str name, value;

	if (str_is_ascii(parameter)) {
		add_folded(to, parameter);
		return true;
	}
	str_cut(parameter, '=', &name, &value);
	name = str_trim(name);
	value = str_trim(value);
	for (size_t i = 0; i < name.n; i++)
		if (!param_is_attribute_char(
			    name.p[i])) /* so is a '*': extended already, yet not ASCII */
			return false;
	if (value.n == 0 || name.n == 0 || name.n > PARAMETER_NAME_MAX)
		return false;
	if (value.p[0] == '"')
		add_inside(&plain, value);
	else
		buf_add(&plain, value);
	param_add_extended(to, name, buf_str(&plain));
	to->overflow |= plain.overflow;
	buf_free(&plain);
	return true;
}

static bool
add_parameters(struct buf *to, struct str field, struct str value, struct err *e)
{
	struct buf one = { .max = to->max, .memory = to->memory };
	bool is_good = true, is_first = true;

	while (is_good && (value.n || one.n)) {
		struct str token = value.n ? scan_token(&value, ";") : S(";");

		if (token.p[0] == '(')
			continue;
		if (token.p[0] != ';') {
			buf_add(&one, token);
			continue;
		}
		if (!is_first)
			buf_add_char(to, ';');
		if (is_first && !str_is_ascii(buf_str(&one)))
			is_good = false;
		else if (str_trim(buf_str(&one)).n)
			is_good = add_parameter(to, str_trim(buf_str(&one)));
		is_first = false;
		buf_reset(&one);
	}
	to->overflow |= one.overflow;
	buf_free(&one);
	return is_good || refuse(e, field, "a parameter");
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────── */

static bool
add_identifier(struct buf *to, struct str field, struct str value, struct err *e)
{
	struct str token;

	while (value.n) {
		token = scan_token(&value, "");
		if (token.p[0] == '(' && !str_is_ascii(token))
			continue;
		if (!str_is_ascii(token))
			return refuse(e, field, "a name");
		if (!is_one_of(token.p[0], " \t"))
			add_folded(to, token);
	}
	return true;
}

bool
message_field_to_ascii(struct buf *to, const struct header_field *field, struct err *e)
{
	struct buf line = { .max = to->max, .memory = to->memory };
	struct str value;
	bool is_good = true;

	if (!str_is_utf8(field->value))
		return refuse(e, field->name, "a text that is not UTF-8");
	add_unfolded(&line, field->value);
	value = str_trim(buf_str(&line));
	buf_add(to, field->name);
	buf_add_char(to, ':');
	switch (kind_of(field->name)) {
	case FIELD_TEXT:
		encode_unstructured(to, value);
		break;
	case FIELD_MAILBOXES:
		is_good = add_mailboxes(to, field->name, value, e);
		break;
	case FIELD_PARAMETERS:
		is_good = add_parameters(to, field->name, value, e);
		break;
	case FIELD_IDENTIFIER:
		is_good = add_identifier(to, field->name, value, e);
		break;
	}
	buf_add(to, S("\r\n"));
	to->overflow |= line.overflow;
	buf_free(&line);
	return is_good;
}

/* Its body would be a header in UTF-8 again. */
static bool
is_global(const struct header_field *field)
{
	return str_eq_nocase(field->name, S("Content-Type")) &&
	       str_starts_nocase(str_trim(field->value), S("message/global"));
}

bool
message_to_ascii(struct buf *to, struct str message, struct err *e)
{
	struct str rest = message;
	struct header_field field;
	size_t n = 0;

	for (; header_next(&rest, &field); n += field.whole.n) {
		if (is_global(&field))
			return refuse(e, field.name, "a message within the message");
		if (str_is_ascii(field.whole))
			buf_add(to, field.whole);
		else if (!message_field_to_ascii(to, &field, e))
			return false;
	}
	buf_add(to, str_from(message, n));
	if (to->overflow)
		return err_set(e, ERR_PERMANENT, ERR_TOO_BIG,
			"the message with its header in ASCII would be larger than %zu octets",
			to->max);
	return true;
}
