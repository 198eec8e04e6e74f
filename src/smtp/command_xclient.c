/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/command.h"

#include "base/codec.h"
#include "base/ip.h"
#include "base/must.h"

/*
 * XCLIENT, as Postfix's documentation has it: a proxy that has talked to a client before us says who
 * that client is. Each attribute is a name, '=' and a value in xtext; what the proxy does not know is
 * [UNAVAILABLE] or [TEMPUNAVAIL]. Whether it may say so is for the driver.
 *
 * ADDR, PORT and NAME count. PROTO, HELO and LOGIN only inform: the session begins anew, so the client says its own
 * EHLO, and a login is not taken on another's word. DESTADDR and DESTPORT would change nothing, and are not known.
 */

static const struct reply unknown = { 501, { 5, 5, 4 }, S("an attribute is not known here") },
			  malformed = { 501, { 5, 5, 4 }, S("an attribute is malformed") },
			  twice = { 501, { 5, 5, 4 }, S("an attribute is given twice") };

static bool
is_text(struct str *value)
{
	return value->n && !command_has_control(*value) && str_is_utf8(*value);
}

/* What stands in a Received field: no more than a client may say of itself. */
static bool
is_host(struct str *value)
{
	return command_is_hello(*value);
}

/* "192.0.2.1", or "IPV6:2001:db8::1", which loses its tag. */
static bool
is_address(struct str *value)
{
	enum ip_family want = scan_word_nocase(value, S("IPV6:")) ? IP_V6 : IP_V4, family;
	unsigned char octets[16];

	return ip_read(*value, &family, octets) && family == want;
}

static bool
is_port(struct str *value)
{
	struct str rest = *value;
	uint64_t port;

	return value->n <= 5 && scan_u64(&rest, &port) && rest.n == 0 && port <= UINT16_MAX;
}

static bool
is_protocol(struct str *value)
{
	return str_eq_nocase(*value, S("SMTP")) || str_eq_nocase(*value, S("ESMTP"));
}

static const struct attribute {
	struct str name;
	bool (*is_good)(struct str *value);
	size_t at; /* which field of smtp_xclient */
} attributes[] = {
	{ S("NAME"), is_host, offsetof(struct smtp_xclient, name) },
	{ S("ADDR"), is_address, offsetof(struct smtp_xclient, address) },
	{ S("PORT"), is_port, offsetof(struct smtp_xclient, port) },
	{ S("PROTO"), is_protocol, offsetof(struct smtp_xclient, protocol) },
	{ S("HELO"), is_host, offsetof(struct smtp_xclient, hello) },
	{ S("LOGIN"), is_text, offsetof(struct smtp_xclient, login) },
};

enum { ATTRIBUTES_N = sizeof attributes / sizeof attributes[0] };

/* The value out of its xtext, into the field; what is not known leaves it empty. */
static const struct reply *
take_attribute(
	struct smtp_server *s, const struct attribute *a, struct str xtext, struct str *field)
{
	struct buf text = { .max = SMTP_COMMAND_LINE_MAX };
	const struct reply *wrong = NULL;
	struct str value;

	if (str_eq_nocase(xtext, S("[UNAVAILABLE]")) || str_eq_nocase(xtext, S("[TEMPUNAVAIL]")))
		return NULL;
	if (!codec_add_from_xtext(&text, xtext))
		wrong = &malformed;
	value = buf_str(&text);
	if (!wrong && !a->is_good(&value))
		wrong = &malformed;
	if (!wrong)
		must(arena_dup(&s->scratch, value, field)); /* holds any command line */
	buf_free(&text);
	return wrong;
}

static const struct reply *
take_attributes(struct smtp_server *s, struct str in, struct smtp_xclient *x)
{
	struct str word, name, value;
	const struct reply *wrong = NULL;
	unsigned seen = 0;
	size_t i;

	while (!wrong && command_scan_argument(&in, &word)) {
		str_cut(word, '=', &name, &value);
		for (i = 0; i < ATTRIBUTES_N && !str_eq_nocase(name, attributes[i].name); i++)
			;
		if (i == ATTRIBUTES_N)
			return &unknown;
		if (seen & 1u << i)
			return &twice;
		seen |= 1u << i;
		wrong = take_attribute(s, &attributes[i], value,
			(struct str *)(void *)((char *)x + attributes[i].at));
	}
	return wrong;
}

void
command_xclient(struct smtp_server *s, const struct command *c, struct str argument)
{
	struct smtp_xclient *x = arena_take(&s->scratch, sizeof *x);
	const struct reply *wrong;

	must(x);
	if (argument.n == 0) {
		command_say_syntax(s, c);
		arena_free(&s->scratch);
		return;
	}
	wrong = take_attributes(s, argument, x);
	if (wrong) {
		smtp_server_say(s, *wrong);
		arena_free(&s->scratch);
		return;
	}
	s->xclient = x;
	smtp_server_ask(s, SMTP_ON_XCLIENT);
}
