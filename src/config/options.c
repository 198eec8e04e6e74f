/* SPDX-License-Identifier: Apache-2.0 */
#include "config/options.h"

#include <arpa/inet.h>

#include "base/codec.h"
#include "base/must.h"
#include "smtp/address.h"

/*
 * Every option of the file, once. To add one: a field in config.h, a row here; the parser, the
 * messages, the defaults and `posthouse check --options` follow.
 */

static const char *const when_words[] = { "never", "login", "always", NULL };
static const char *const clear_words[] = { "never", "loopback", "always", NULL };

#define KIB ((uint64_t)1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define TIB (GIB * 1024)

enum {
	SECOND_MS = 1000,
	MINUTE_MS = 60 * SECOND_MS,
	HOUR_MS = 60 * MINUTE_MS,
	DAY_MS = 24 * HOUR_MS
};

static const char *wrong_path(struct str value);
static const char *wrong_state(struct str value);
static const char *wrong_template(struct str value);
static const char *wrong_target(struct str value);
static const char *wrong_address(struct str value);
static const char *wrong_door(struct str title);
static const char *wrong_domain(struct str title);
static const char *wrong_name(struct str title);
static const char *wrong_pattern(struct str title);

/* clang-format off */
const struct option_section option_sections[] = {
	{ "", NULL, "" },
	{ "listen", "", "listen", "smtp, submission", wrong_door },
	{ "domain", "", "domain", "NAME", wrong_domain },
	{ "domain.alias", "domain", "alias", "NAME", wrong_name },
	{ "domain.moved", "domain", "moved", "NAME", wrong_name },
	{ "route", "", "route", "PATTERN", wrong_pattern },
	{ "smtp", "", "smtp" },
	{ "queue", "", "queue" },
	{ "limits", "", "limits" },
};

const struct option option_table[] = {
	{ "", "hostname", OPTION_NAME, offsetof(struct config, hostname), NULL, "\"mail.example.org\"",
		"the name of this station: in its greeting, in Received and in Message-ID" },
	{ "", "state", OPTION_TEXT, offsetof(struct config, state), "/var/lib/posthouse", NULL,
		"directory of accounts, run-time aliases, mailboxes and the control socket", .wrong = wrong_state },
	{ "", "spool", OPTION_TEXT, offsetof(struct config, spool), "/var/spool/posthouse", NULL,
		"directory of the mail that is under way", .wrong = wrong_path },
	{ "", "trusted", OPTION_NETWORKS, offsetof(struct config, trusted), "{}", NULL,
		"networks that may relay without a login: {\"127.0.0.1/32\", \"::1/128\"}" },
	{ "", "refuse", OPTION_NETWORKS, offsetof(struct config, refuse), "{}", NULL,
		"networks that are turned away at the greeting, with 554" },
	{ "", "tls", OPTION_LATER, 0, NULL, "leave it out; sessions are in clear text" },
	{ "", "resolver", OPTION_LATER, 0, NULL, "leave it out; mail for other houses goes by `route`" },

	{ "listen", "on", OPTION_SOCKETS, offsetof(struct config_listen, on), NULL, "\"*:25\"",
		"addresses with ports: \"*:25\", {\"127.0.0.1:2525\", \"[::1]:2525\"}" },

	{ "domain", "mailboxes", OPTION_TEXT, offsetof(struct config_domain, mailboxes), "", NULL,
		"path of a Maildir, %d the domain, %u the mailbox; left out: mail/%d/%u in the state directory", .wrong = wrong_template },
	{ "domain", "catch-all", OPTION_TEXT, offsetof(struct config_domain, catch_all), "", NULL,
		"mailbox or address that takes what nobody else here takes; left out: nobody", .wrong = wrong_target },
	{ "domain.alias", "to", OPTION_TEXTS, offsetof(struct config_alias, to), NULL, "{\"wei\", \"bob@example.net\"}",
		"mailboxes of this domain, or addresses, that get the mail", .wrong = wrong_target },
	{ "domain.moved", "to", OPTION_TEXT, offsetof(struct config_moved, to), NULL, "\"bob@example.net\"",
		"the new address: senders are told it with 551, nothing is forwarded", .wrong = wrong_address },

	{ "route", "via", OPTION_SOCKET, offsetof(struct config_route, via), NULL, "\"smtp://192.0.2.1:25\"",
		"the next host: smtp://ADDRESS or smtp://ADDRESS:PORT" },
	{ "route", "login", OPTION_FILE, offsetof(struct config_route, login_file), "", NULL,
		"file:PATH of two lines, user and password, for the next host; left out: no login" },
	{ "route", "connections", OPTION_COUNT, offsetof(struct config_route, connections), "20", NULL,
		"connections to the next host at once, at most", .least = 1, .most = 1000 },
	{ "route", "tls", OPTION_LATER, 0, NULL, "leave it out; routes are in clear text" },
	{ "route", "port", OPTION_LATER, 0, NULL, "write the port behind the address in `via`" },

	{ "smtp", "vrfy", OPTION_CHOICE, offsetof(struct config, smtp.vrfy), "login", NULL,
		"whom VRFY answers: never, login (people logged in, trusted networks), always", .words = when_words },
	{ "smtp", "expn", OPTION_CHOICE, offsetof(struct config, smtp.expn), "login", NULL,
		"whom EXPN answers: never, login, always", .words = when_words },
	{ "smtp", "auth-in-clear", OPTION_CHOICE, offsetof(struct config, smtp.auth_in_clear), "loopback", NULL,
		"from where AUTH is taken without TLS: never, loopback, always", .words = clear_words },
	{ "smtp", "repair-line-ends", OPTION_YES, offsetof(struct config, smtp.repair_line_ends), "false", NULL,
		"make a bare CR or LF from trusted networks and people logged in a CRLF, where it would be refused" },

	{ "queue", "retry-first", OPTION_TIME, offsetof(struct config, queue.retry_first_ms), "5m", NULL,
		"wait before the second try; doubles with each further one", .least = 100, .most = DAY_MS },
	{ "queue", "retry-most", OPTION_TIME, offsetof(struct config, queue.retry_most_ms), "4h", NULL,
		"longest wait between two tries", .least = 100, .most = 7 * (uint64_t)DAY_MS },
	{ "queue", "expire", OPTION_TIME, offsetof(struct config, queue.expire_ms), "5d", NULL,
		"age at which mail that cannot be delivered goes back to its sender", .least = 100, .most = 60 * (uint64_t)DAY_MS },
	{ "queue", "segment-size", OPTION_SIZE, offsetof(struct config, queue.segment_size), "64M", NULL,
		"size of the spool's files; a multiple of 4K", .least = 4 * MIB /* SPOOL_SEGMENT_MIN */, .most = 4 * GIB },
	{ "queue", "warn", OPTION_LATER, 0, NULL, "leave it out; delay warnings are not sent" },

	{ "limits", "message", OPTION_SIZE, offsetof(struct config, limits.message), "50M", NULL,
		"largest message", .least = KIB, .most = 4 * GIB },
	{ "limits", "recipients", OPTION_COUNT, offsetof(struct config, limits.recipients), "1000", NULL,
		"recipients of one transaction; RFC 5321 §4.5.3.1.8 asks for 100 at least", .least = 1, .most = 50000 },
	{ "limits", "connections", OPTION_COUNT, offsetof(struct config, limits.connections), "20000", NULL,
		"sessions at once, all doors together", .least = 1, .most = 1000000 },
	{ "limits", "memory", OPTION_SIZE, offsetof(struct config, limits.memory), "256M", NULL,
		"messages that are gathered in memory at once; more go to disk while they come", .least = MIB, .most = TIB },
	{ "limits", "rate", OPTION_COUNT, offsetof(struct config, limits.rate), "0", NULL,
		"recipients a minute from one client address or login; 0: any number", .most = 1000000 },
	{ "limits", "idle", OPTION_TIME, offsetof(struct config, limits.idle_ms), "5m", NULL,
		"silence after which a session is closed, with 421", .least = 100, .most = DAY_MS },
	{ "limits", "free-space", OPTION_SIZE, offsetof(struct config, limits.free_space), "64M", NULL,
		"octets that stay free on the spool's disk: below them new mail is told 452", .most = TIB },
};
/* clang-format on */

const size_t option_table_n = sizeof option_table / sizeof *option_table;
const size_t option_sections_n = sizeof option_sections / sizeof *option_sections;

bool
option_is_list(const struct option *o)
{
	return o->type == OPTION_TEXTS || o->type == OPTION_NETWORKS || o->type == OPTION_SOCKETS;
}

/* ── texts ── */

static const char *
wrong_path(struct str value)
{
	return value.n > 1 && value.p[0] == '/' && value.n <= 200
		       ? NULL
		       : "is no absolute path of at most 200 octets";
}

/* Sockets lie there, and a socket's name has at most 107 octets. */
static const char *
wrong_state(struct str value)
{
	return value.n > 107 - sizeof "/control"
		       ? "is too long: sockets lie there, 98 octets are the most"
		       : wrong_path(value);
}

static const char *
wrong_template(struct str value)
{
	bool has_user = false;

	if (value.n == 0 || value.p[0] != '/' || value.n > 200)
		return "is no absolute path; write one such as /var/mail/%d/%u";
	for (struct str rest = value; rest.n; rest = str_from(rest, 1)) {
		if (!scan_char(&rest, '%'))
			continue;
		if (rest.n == 0 || (rest.p[0] != 'd' && rest.p[0] != 'u'))
			return "has a % that is neither %d (domain) nor %u (mailbox)";
		has_user |= rest.p[0] == 'u';
	}
	return has_user ? NULL : "has no %u: all mailboxes would be one";
}

static const char *
wrong_address(struct str value)
{
	struct arena arena = { .max = 4096 };
	struct address a;
	bool good = address_parse(value, &arena, true, &a) == ADDRESS_OK && a.domain.n;

	arena_free(&arena);
	return good ? NULL : "is no address; write one such as bob@example.net";
}

bool
config_name_is_valid(struct str local)
{
	if (local.n == 0 || local.n > 64 || local.p[0] == '.' ||
		str_find_str(local, S("..")) < local.n)
		return false;
	for (size_t i = 0; i < local.n; i++)
		if (!char_is_alpha(local.p[i]) && !char_is_digit(local.p[i]) &&
			str_find(S("._-+"), local.p[i]) == 4)
			return false;
	return true;
}

static const char *
wrong_name(struct str title)
{
	return config_name_is_valid(title)
		       ? NULL
		       : "has no name that a mailbox here can have; take a-z, 0-9 and . _ - +";
}

static const char *
wrong_target(struct str value)
{
	if (value.n == 0)
		return "is empty; leave the option out";
	if (str_find(value, '@') < value.n)
		return wrong_address(value);
	return config_name_is_valid(value) ? NULL
					   : "is neither a mailbox of this domain nor an address";
}

/* domain_is_valid also takes address literals, which are nobody's name. */
static bool
is_name(struct str text)
{
	return text.n && text.p[0] != '[' && domain_is_valid(text, false);
}

static const char *
wrong_domain(struct str title)
{
	return is_name(title) ? NULL : "has no domain name; write one such as example.org";
}

static const char *
wrong_pattern(struct str title)
{
	if (str_eq(title, S("*")))
		return NULL;
	return is_name(str_starts(title, S(".")) ? str_from(title, 1) : title)
		       ? NULL
		       : "has no pattern; write a domain, .domain (any name below it) or \"*\"";
}

static const char *
wrong_door(struct str title)
{
	if (str_eq(title, S("smtp")) || str_eq(title, S("submission")))
		return NULL;
	if (str_eq(title, S("submissions")) || str_eq(title, S("web")))
		return "is not built yet; write smtp or submission";
	return "is no door; write smtp or submission";
}

/* ── numbers ── */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = { { "", 1 }, { "K", KIB }, { "M", MIB }, { "G", GIB },
	{ "T", TIB } };
static const struct unit time_units[] = { { "ms", 1 }, { "s", SECOND_MS }, { "m", MINUTE_MS },
	{ "h", HOUR_MS }, { "d", DAY_MS } };
static const struct unit count_units[] = { { "", 1 } };

static const struct {
	const struct unit *list;
	size_t n;
	const char *wrong;
} units_of[] = {
	[OPTION_COUNT] = { count_units, 1, "is no number" },
	[OPTION_SIZE] = { size_units, 5,
		"is no size; write octets, or a number with K, M, G or T, such as 50M" },
	[OPTION_TIME] = { time_units, 5,
		"is no time; write a number with ms, s, m, h or d, such as 5m" },
};

/* With the largest unit that leaves a whole number. */
static void
add_number(struct buf *to, const struct option *o, uint64_t number)
{
	const struct unit *best = &units_of[o->type].list[0];

	for (size_t i = 0; i < units_of[o->type].n; i++)
		if (number && number % units_of[o->type].list[i].factor == 0)
			best = &units_of[o->type].list[i];
	buf_add_u64(to, number / best->factor);
	buf_add(to, str_of(best->name));
}

static bool
read_number(const struct option *o, struct str text, uint64_t *number, struct buf *wrong)
{
	const struct unit *unit = NULL;
	bool overflow;

	if (scan_u64(&text, number))
		for (size_t i = 0; i < units_of[o->type].n; i++)
			if (str_eq_nocase(text, str_of(units_of[o->type].list[i].name)))
				unit = &units_of[o->type].list[i];
	if (!unit) {
		buf_add(wrong, str_of(units_of[o->type].wrong));
		return false;
	}
	overflow = __builtin_mul_overflow(*number, unit->factor, number);
	if (!overflow && *number >= o->least && *number <= o->most)
		return true;
	buf_add(wrong, S("is not between "));
	add_number(wrong, o, o->least);
	buf_add(wrong, S(" and "));
	add_number(wrong, o, o->most);
	return false;
}

static bool
read_choice(const char *const *words, struct str text, uint64_t *place, struct buf *wrong)
{
	for (*place = 0; words[*place]; ++*place)
		if (str_eq(text, str_of(words[*place])))
			return true;
	buf_add(wrong, S("is not one of"));
	for (size_t i = 0; words[i]; i++)
		buf_addf(wrong, "%s %s", i ? "," : "", words[i]);
	return false;
}

/* ── addresses of the network ── */

/* An address without brackets, as text for the system's reader. */
static bool
read_address(struct str text, struct config_network *a)
{
	char c_string[INET6_ADDRSTRLEN];

	if (text.n == 0 || text.n >= sizeof c_string)
		return false;
	memcpy(c_string, text.p, text.n);
	c_string[text.n] = '\0';
	*a = (struct config_network){ .family = AF_INET, .prefix = 32 };
	if (inet_pton(AF_INET, c_string, a->address) == 1)
		return true;
	*a = (struct config_network){ .family = AF_INET6, .prefix = 128 };
	return inet_pton(AF_INET6, c_string, a->address) == 1;
}

static bool
read_network(struct str text, struct config_network *network)
{
	struct str address, bits;
	bool has_prefix = str_cut(text, '/', &address, &bits);
	uint64_t prefix;

	if (!read_address(address, network))
		return false;
	if (!has_prefix)
		return true;
	if (!scan_u64(&bits, &prefix) || bits.n || prefix > network->prefix)
		return false;
	network->prefix = (unsigned)prefix;
	return true;
}

static struct sockaddr_storage
socket_of(const struct config_network *a, uint16_t port)
{
	struct sockaddr_storage s = { 0 };

	if (a->family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)(void *)&s;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->address, sizeof in->sin_addr);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&s;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, a->address, sizeof in6->sin6_addr);
	}
	return s;
}

/* HOST[:PORT], where HOST is "[::1]" or has no colon. Port 0: none was written. */
static bool
split_port(struct str text, struct str *host, uint16_t *port)
{
	struct str rest = text;
	uint64_t number;

	if (scan_char(&rest, '[')) {
		if (!scan_until(&rest, ']', host) || str_find(*host, ':') == host->n)
			return false;
	} else {
		*host = str_part(text, 0, str_find(text, ':'));
		rest = str_from(text, host->n);
	}
	*port = 0;
	if (rest.n == 0)
		return true;
	if (!scan_char(&rest, ':') || !scan_u64(&rest, &number) || rest.n || number == 0 ||
		number > UINT16_MAX)
		return false;
	*port = (uint16_t)number;
	return true;
}

static const char *
read_listen(struct str text, struct sockaddr_storage *s)
{
	static const char wrong[] =
		"is no address with a port; write \"*:25\", \"127.0.0.1:25\" or \"[::1]:25\"";
	struct config_network a = { .family = AF_INET6 };
	struct str host;
	uint16_t port;

	if (!split_port(text, &host, &port) || port == 0)
		return wrong;
	if (!str_eq(host, S("*")) && !read_address(host, &a))
		return wrong;
	*s = socket_of(&a, port);
	return NULL;
}

static const char *
read_via(struct str text, struct sockaddr_storage *s)
{
	static const char wrong[] =
		"is no next host; write one such as smtp://192.0.2.1:25 or smtp://[::1]:25";
	struct config_network a;
	struct str host;
	uint16_t port;

	if (str_starts(text, S("smtps://")))
		return "needs TLS, which is not built yet; write smtp://";
	if (!str_starts(text, S("smtp://")) || !split_port(str_from(text, 7), &host, &port))
		return wrong;
	if (str_eq_nocase(host, S("localhost")))
		host = S("127.0.0.1");
	if (!read_address(host, &a))
		return is_name(host)
			       ? "names a host, and names are not looked up yet; write its address"
			       : wrong;
	*s = socket_of(&a, port ? port : 25);
	return NULL;
}

void
option_add_socket(struct buf *to, const struct sockaddr_storage *s)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (s->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)s;

		inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
		buf_addf(to, "%s:%u", text, ntohs(in->sin_port));
	} else {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)s;

		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
		buf_addf(to, "[%s]:%u", text, ntohs(in6->sin6_port));
	}
}

/* ── one value ── */

static const char *
read_file(struct str text, struct str *path)
{
	if (!str_starts(text, S("file:/")))
		return "is no login; write file: and the absolute path of a file of two lines, "
		       "user and password";
	*path = str_from(text, 5);
	return NULL;
}

bool
option_read(const struct option *o, struct str text, union option_value *v, struct buf *wrong)
{
	static const char *const yes_words[] = { "false", "true", NULL };
	const char *why = NULL;

	*v = (union option_value){ 0 };
	switch (o->type) {
	case OPTION_TEXT:
	case OPTION_TEXTS:
		v->text = text;
		why = o->wrong(text);
		break;
	case OPTION_NAME:
		v->text = text;
		why = is_name(text) ? NULL : "is no host name; write one such as mail.example.org";
		break;
	case OPTION_FILE:
		why = read_file(text, &v->text);
		break;
	case OPTION_CHOICE:
		return read_choice(o->words, text, &v->number, wrong);
	case OPTION_YES:
		return read_choice(yes_words, text, &v->number, wrong);
	case OPTION_COUNT:
	case OPTION_SIZE:
	case OPTION_TIME:
		return read_number(o, text, &v->number, wrong);
	case OPTION_SOCKET:
		why = read_via(text, &v->socket);
		break;
	case OPTION_SOCKETS:
		why = read_listen(text, &v->socket);
		break;
	case OPTION_NETWORKS:
		why = read_network(text, &v->network)
			      ? NULL
			      : "is no network; write one such as 192.0.2.0/24 or ::1/128";
		break;
	case OPTION_LATER:
		must(false);
	}
	if (why)
		buf_add(wrong, str_of(why));
	return !why;
}

/* ── for people ── */

static const char *
type_name(enum option_type type)
{
	static const char *const names[] = {
		[OPTION_TEXT] = "text",
		[OPTION_NAME] = "name",
		[OPTION_FILE] = "file",
		[OPTION_CHOICE] = "word",
		[OPTION_YES] = "true/false",
		[OPTION_COUNT] = "number",
		[OPTION_SIZE] = "size",
		[OPTION_TIME] = "time",
		[OPTION_SOCKET] = "host",
		[OPTION_TEXTS] = "list",
		[OPTION_NETWORKS] = "networks",
		[OPTION_SOCKETS] = "sockets",
	};

	return names[type];
}

static void
describe_json(struct buf *to, const struct option *o)
{
	const struct {
		const char *name, *value;
	} pairs[] = { { "section", o->section }, { "name", o->name },
		{ "type", type_name(o->type) }, { "default", o->value }, { "help", o->help } };

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		buf_addf(to, "%c\"%s\":", i ? ',' : '{', pairs[i].name);
		if (pairs[i].value)
			codec_add_json(to, str_of(pairs[i].value));
		else
			buf_add(to, S("null"));
	}
	buf_add(to, S("}\n"));
}

void
config_describe(struct buf *to, bool json)
{
	for (const struct option *o = option_table; o < option_table + option_table_n; o++) {
		char name[64];

		if (o->type == OPTION_LATER)
			continue;
		if (json) {
			describe_json(to, o);
			continue;
		}
		snprintf(
			name, sizeof name, "%s%s%s", o->section, o->section[0] ? "." : "", o->name);
		buf_addf(to, "%-22s  %-10s  %-20s  %s\n", name, type_name(o->type),
			!o->value     ? "(must be given)"
			: o->value[0] ? o->value
				      : "(none)",
			o->help);
	}
}
