/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/address.h"

/*
 * A mailbox is scanned in two steps: the grammar finds where local part and domain begin and end in
 * the text as it was written; only what passes all limits is decoded into the arena. The lengths of
 * RFC 5321 §4.5.3.1 are counted as written, quotes and backslashes included, so that what we write
 * again (address_add quotes no more than it must) is never longer than what we took.
 */
struct raw_mailbox {
	struct str local, domain;
};

enum { LABEL_MAX = 63 }; /* RFC 1035 §2.3.4, octets */

static bool
is_utf8_octet(char c)
{
	return ((unsigned char)c & 0x80) != 0;
}

/* RFC 5322 §3.2.3 atext, with the octets of RFC 6531 §3.3; their form is checked later. */
static bool
is_atext(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || is_utf8_octet(c) ||
	       (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool
is_label_octet(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || c == '-' || is_utf8_octet(c);
}

static bool
is_hex_digit(char c)
{
	return char_is_digit(c) || (char_lower(c) >= 'a' && char_lower(c) <= 'f');
}

/* One or more octets of a kind. */
static bool
scan_run(struct str *in, bool (*is_of_kind)(char), struct str *out)
{
	size_t n = 0;

	while (n < in->n && is_of_kind(in->p[n]))
		n++;
	if (n == 0)
		return false;
	*out = str_part(*in, 0, n);
	*in = str_from(*in, n);
	return true;
}

/* Dot-string = Atom *("." Atom) */
static bool
scan_dot_string(struct str *in)
{
	struct str rest = *in, atom;

	do
		if (!scan_run(&rest, is_atext, &atom))
			return false;
	while (scan_char(&rest, '.'));
	*in = rest;
	return true;
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE: no control characters, not even after a backslash.
 */
static bool
scan_quoted_string(struct str *in)
{
	struct str rest = *in;

	if (!scan_char(&rest, '"'))
		return false;
	while (rest.n && rest.p[0] != '"') {
		bool is_pair = scan_char(&rest, '\\');

		if (rest.n == 0 || (unsigned char)rest.p[0] < ' ' || rest.p[0] == 0x7f)
			return false;
		if (is_pair && is_utf8_octet(rest.p[0]))
			return false;
		rest = str_from(rest, 1);
	}
	if (!scan_char(&rest, '"'))
		return false;
	*in = rest;
	return true;
}

/* One label, without a hyphen at either end. A U-label's octets are not what DNS counts, so only
 * ASCII labels are measured. */
static bool
scan_label(struct str *in)
{
	struct str rest = *in, label;

	if (!scan_run(&rest, is_label_octet, &label) || label.p[0] == '-' ||
		label.p[label.n - 1] == '-')
		return false;
	if (label.n > LABEL_MAX && str_is_ascii(label))
		return false;
	*in = rest;
	return true;
}

static bool
scan_ipv4(struct str *in)
{
	struct str rest = *in, digits;
	uint64_t octet;

	for (int i = 0; i < 4; i++) {
		if ((i && !scan_char(&rest, '.')) || !scan_run(&rest, char_is_digit, &digits) ||
			digits.n > 3 || !scan_u64(&digits, &octet) || octet > 255)
			return false;
	}
	*in = rest;
	return true;
}

/*
 * RFC 5321 §4.1.3: eight groups; or fewer with one "::", which then stands for at least two; the
 * last two may be written as an IPv4 address. `text` must be used up.
 */
static bool
is_ipv6(struct str text)
{
	bool has_gap = scan_word_nocase(&text, S("::"));
	unsigned groups = 0;
	struct str group;

	while (text.n) {
		struct str dotted = text;

		if (scan_ipv4(&dotted) && dotted.n == 0) {
			groups += 2;
			break;
		}
		if (!scan_run(&text, is_hex_digit, &group) || group.n > 4)
			return false;
		groups++;
		if (text.n == 0)
			break;
		if (scan_word_nocase(&text, S("::"))) {
			if (has_gap)
				return false;
			has_gap = true;
		} else if (!scan_char(&text, ':') || text.n == 0) {
			return false;
		}
	}
	return has_gap ? groups <= 6 : groups == 8;
}

/* [192.0.2.1] or [IPv6:2001:db8::1]. No other tag has been registered for a General-address-
 * literal, so none is taken. */
static bool
scan_literal(struct str *in)
{
	struct str rest = *in, inside;

	if (!scan_char(&rest, '[') || !scan_until(&rest, ']', &inside))
		return false;
	if (scan_word_nocase(&inside, S("IPv6:")) ? !is_ipv6(inside)
						  : !scan_ipv4(&inside) || inside.n)
		return false;
	*in = rest;
	return true;
}

static bool
scan_domain(struct str *in)
{
	struct str rest = *in;

	if (scan_literal(in))
		return true;
	do
		if (!scan_label(&rest))
			return false;
	while (scan_char(&rest, '.'));
	*in = rest;
	return true;
}

bool
domain_is_valid(struct str domain, bool allow_utf8)
{
	struct str rest = domain;

	return domain.n <= ADDRESS_DOMAIN_MAX && scan_domain(&rest) && rest.n == 0 &&
	       str_is_utf8(domain) && (allow_utf8 || str_is_ascii(domain));
}

/* What `rest` has left behind of `in`. */
static struct str
taken(struct str in, struct str rest)
{
	return str_part(in, 0, in.n - rest.n);
}

static bool
scan_mailbox(struct str *in, struct raw_mailbox *raw)
{
	struct str rest = *in;

	if (!scan_quoted_string(&rest) && !scan_dot_string(&rest))
		return false;
	raw->local = taken(*in, rest);
	raw->domain = (struct str){ 0 };
	if (scan_char(&rest, '@')) {
		struct str domain = rest;

		if (!scan_domain(&rest))
			return false;
		raw->domain = taken(domain, rest);
	} else if (!str_eq_nocase(raw->local, S("postmaster"))) {
		return false;
	}
	*in = rest;
	return true;
}

/* A-d-l ":", which RFC 5321 §4.1.1.3 tells us to take and to ignore. */
static void
skip_source_route(struct str *in)
{
	struct str rest = *in;

	do
		if (!scan_char(&rest, '@') || !scan_domain(&rest))
			return;
	while (scan_char(&rest, ','));
	if (scan_char(&rest, ':'))
		*in = rest;
}

/* The local part as it is meant: without quotes and backslashes. */
static bool
decode_local(struct str raw, struct arena *arena, struct str *local)
{
	char *to = arena_take(arena, raw.n);
	size_t n = 0;

	if (!to)
		return false;
	if (raw.p[0] != '"') {
		memcpy(to, raw.p, raw.n);
		*local = (struct str){ to, raw.n };
		return true;
	}
	raw = str_part(raw, 1, raw.n - 2);
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '\\')
			i++;
		to[n++] = raw.p[i];
	}
	*local = (struct str){ to, n };
	return true;
}

static enum address_problem
take_mailbox(struct raw_mailbox raw, struct arena *arena, bool allow_utf8, struct address *out)
{
	size_t at = raw.domain.n ? 1 : 0;

	if (!str_is_utf8(raw.local) || !str_is_utf8(raw.domain))
		return ADDRESS_SYNTAX;
	if (raw.local.n > ADDRESS_LOCAL_MAX || raw.domain.n > ADDRESS_DOMAIN_MAX ||
		raw.local.n + at + raw.domain.n + 2 > ADDRESS_PATH_MAX)
		return ADDRESS_TOO_LONG;
	if (!allow_utf8 && !(str_is_ascii(raw.local) && str_is_ascii(raw.domain)))
		return ADDRESS_NEEDS_UTF8;
	if (!decode_local(raw.local, arena, &out->local) ||
		!arena_dup(arena, raw.domain, &out->domain))
		return ADDRESS_TOO_LONG;
	return ADDRESS_OK;
}

enum address_problem
address_scan_path(
	struct str *in, struct arena *arena, bool allow_null, bool allow_utf8, struct address *out)
{
	struct str rest = *in;
	bool has_brackets = scan_char(&rest, '<');
	struct raw_mailbox raw;
	enum address_problem problem;

	if (has_brackets && allow_null && scan_char(&rest, '>')) {
		*out = (struct address){ 0 };
		*in = rest;
		return ADDRESS_OK;
	}
	if (has_brackets)
		skip_source_route(&rest);
	if (!scan_mailbox(&rest, &raw))
		return ADDRESS_SYNTAX;
	if (has_brackets ? !scan_char(&rest, '>') : rest.n && rest.p[0] != ' ' && rest.p[0] != '\t')
		return ADDRESS_SYNTAX;
	problem = take_mailbox(raw, arena, allow_utf8, out);
	if (problem == ADDRESS_OK)
		*in = rest;
	return problem;
}

enum address_problem
address_parse(struct str text, struct arena *arena, bool allow_utf8, struct address *out)
{
	struct raw_mailbox raw;

	if (!scan_mailbox(&text, &raw) || text.n)
		return ADDRESS_SYNTAX;
	return take_mailbox(raw, arena, allow_utf8, out);
}

void
address_add(struct buf *to, struct address a)
{
	struct str rest = a.local;

	if (address_is_null(a))
		return;
	if (scan_dot_string(&rest) && rest.n == 0) {
		buf_add(to, a.local);
	} else {
		buf_add_char(to, '"');
		for (size_t i = 0; i < a.local.n; i++) {
			if (a.local.p[i] == '"' || a.local.p[i] == '\\')
				buf_add_char(to, '\\');
			buf_add_char(to, a.local.p[i]);
		}
		buf_add_char(to, '"');
	}
	if (a.domain.n) {
		buf_add_char(to, '@');
		buf_add(to, a.domain);
	}
}

bool
address_is_null(struct address a)
{
	return a.local.n == 0 && a.domain.n == 0;
}

bool
address_is_ascii(struct address a)
{
	return str_is_ascii(a.local) && str_is_ascii(a.domain);
}
