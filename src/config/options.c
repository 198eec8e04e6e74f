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
static const char *const language_words[] = { "en", "zh", NULL };
static const char *const clear_words[] = { "never", "loopback", "always", NULL };
static const char *const judgement_words[] = { "ignore", "note", "refuse", NULL };
static const char *const down_words[] = { "accept", "tempfail", NULL };
static const char *const tls_words[] = { "try", "never", "require", "verify", NULL };

static const char *wrong_path(struct str value);
static const char *wrong_state(struct str value);
static const char *wrong_template(struct str value);
static const char *wrong_target(struct str value);
static const char *wrong_address(struct str value);
static const char *wrong_sender(struct str value);
static const char *wrong_forwarder(struct str value);
static const char *wrong_anchor(struct str value);
static const char *wrong_users(struct str value);
static const char *wrong_zone(struct str value);
static const char *wrong_filter(struct str value);
static const char *wrong_imap(struct str value);
static const char *wrong_door(struct str title);
static const char *wrong_domain(struct str title);
static const char *wrong_name(struct str title);
static const char *wrong_pattern(struct str title);

/* clang-format off */
const struct option_section option_sections[] = {
	{ "", NULL, "" },
	{ "listen", "", "listen", "smtp, submission, submissions, web", wrong_door },
	{ "tls", "", "tls" },
	{ "web", "", "web" },
	{ "gate", "", "gate" },
	{ "filter", "", "filter", "NAME", wrong_name },
	{ "domain", "", "domain", "NAME", wrong_domain },
	{ "domain.alias", "domain", "alias", "NAME", wrong_name },
	{ "domain.moved", "domain", "moved", "NAME", wrong_name },
	{ "route", "", "route", "PATTERN", wrong_pattern },
	{ "resolver", "", "resolver" },
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
	{ "", "users", OPTION_TEXT, offsetof(struct config, users), "posthouse-", NULL,
		"started as root, each role becomes this user with its own name behind it; without such users numbers that nobody has are taken; \"\": no change", .wrong = wrong_users },

	{ "tls", "certificate", OPTION_TEXTS, offsetof(struct config, tls.certificates), "{}", NULL,
		"PEM files of certificates with their chains, for one or several names, ECDSA and RSA side by side; left out: one that the station makes and signs itself", .wrong = wrong_path },
	{ "tls", "key", OPTION_TEXTS, offsetof(struct config, tls.keys), "{}", NULL,
		"PEM files of their private keys, in the same order; left out: they are in the certificates' files", .wrong = wrong_path },
	{ "tls", "no-tickets", OPTION_YES, offsetof(struct config, tls.has_no_tickets), "false", NULL,
		"sessions are not resumed: for senders who fail on tickets of TLS 1.3" },
	{ "tls", "trust", OPTION_TEXT, offsetof(struct config, tls.trust), "", NULL,
		"PEM file of the authorities by which certificates of other hosts are verified, readable by everybody; left out: the system's", .wrong = wrong_path },

	{ "web", "imap", OPTION_TEXT, offsetof(struct config, web.imap_url), "", NULL,
		"another server that serves the same mailboxes by IMAP, of which mail programs are told that ask how to set themselves up: imaps://HOST, imap://HOST:PORT (STARTTLS); left out: none", .wrong = wrong_imap },

	{ "gate", "pause", OPTION_TIME, offsetof(struct config, gate.pause_ms), "0s", NULL,
		"strangers wait so long for the greeting of an smtp door; who speaks before it is turned away", .most = MINUTE_MS },
	{ "gate", "hello", OPTION_CHOICE, offsetof(struct config, gate.hello), "note", NULL,
		"a HELO that is our own name, a bare word or another's address: ignore, note, refuse", .words = judgement_words },
	{ "gate", "reverse", OPTION_CHOICE, offsetof(struct config, gate.reverse), "note", NULL,
		"an address without a name that leads back to it: ignore, note, refuse", .words = judgement_words },
	{ "gate", "dnsbl", OPTION_TEXTS, offsetof(struct config, gate.dnsbl), "{}", NULL,
		"DNS lists of bad senders, {\"zen.spamhaus.org\"}: clients on one of them are refused", .wrong = wrong_zone },
	{ "gate", "greylist", OPTION_YES, offsetof(struct config, gate.greylist), "false", NULL,
		"mail from a network that has not written to us before is taken only at a later try" },
	{ "gate", "greylist-wait", OPTION_TIME, offsetof(struct config, gate.greylist_wait_ms), "5m", NULL,
		"how much later", .least = 100, .most = DAY_MS },
	{ "gate", "connections", OPTION_COUNT, offsetof(struct config, gate.connections), "100", NULL,
		"connections at once from one address (IPv6: /64) that is neither trusted nor 127.0.0.1 or ::1; 0: any number", .most = 1000000 },
	{ "gate", "network", OPTION_COUNT, offsetof(struct config, gate.network), "1000", NULL,
		"connections at once from one /24 (IPv6: /48); 0: any number", .most = 1000000 },
	{ "gate", "unknown", OPTION_COUNT, offsetof(struct config, gate.unknown), "20", NULL,
		"recipients that nobody here is, in one session: one more ends it; 0: any number", .most = 1000000 },

	{ "filter", "at", OPTION_TEXT, offsetof(struct config_filter, at), NULL, "\"unix:/run/rspamd/milter.sock\"",
		"where the Milter listens: unix:/PATH or ADDRESS:PORT; also as Postfix and libmilter write it, inet:PORT@localhost, local:/PATH", .wrong = wrong_filter },
	{ "filter", "when-down", OPTION_CHOICE, offsetof(struct config_filter, when_down), "tempfail", NULL,
		"mail while it does not answer: accept, tempfail", .words = down_words },
	{ "filter", "timeout", OPTION_TIME, offsetof(struct config_filter, timeout_ms), "30s", NULL,
		"how long it may take for one answer", .least = 100, .most = HOUR_MS },
	{ "filter", "only-strangers", OPTION_YES, offsetof(struct config_filter, only_strangers), "false", NULL,
		"mail of logins, trusted networks and this machine's programs passes it by" },

	{ "listen", "on", OPTION_SOCKETS, offsetof(struct config_listen, on), NULL, "\"*:25\"",
		"addresses with ports: \"*:25\", {\"127.0.0.1:2525\", \"[::1]:2525\"}" },
	{ "listen", "no-tls", OPTION_YES, offsetof(struct config_listen, has_no_tls), "false", NULL,
		"STARTTLS is not offered at this door; a web door speaks HTTP in clear, on loopback alone" },
	{ "listen", "proxy", OPTION_NETWORKS, offsetof(struct config_listen, proxy), "{}", NULL,
		"networks of proxies: every connection from there must begin with a PROXY header (version 1 or 2), before TLS too" },
	{ "listen", "xclient", OPTION_NETWORKS, offsetof(struct config_listen, xclient), "{}", NULL,
		"networks of hosts that may say with XCLIENT for whom they speak" },

	{ "domain", "mailboxes", OPTION_TEXT, offsetof(struct config_domain, mailboxes), "", NULL,
		"path of a Maildir, %d the domain, %u the mailbox; left out: mail/%d/%u in the state directory", .wrong = wrong_template },
	{ "domain", "catch-all", OPTION_TEXT, offsetof(struct config_domain, catch_all), "", NULL,
		"mailbox or address that takes what nobody else here takes; left out: nobody", .wrong = wrong_target },
	{ "domain.alias", "to", OPTION_TEXTS, offsetof(struct config_alias, to), NULL, "{\"wei\", \"bob@example.net\"}",
		"mailboxes of this domain, or addresses, that get the mail", .wrong = wrong_target },
	{ "domain.moved", "to", OPTION_TEXT, offsetof(struct config_moved, to), NULL, "\"bob@example.net\"",
		"the new address: senders are told it with 551, nothing is forwarded", .wrong = wrong_address },

	{ "route", "via", OPTION_VIA, offsetof(struct config_route, via), "", NULL,
		"the next host: smtp://HOST, smtp://HOST:PORT, smtps://HOST, lmtp://HOST:PORT or lmtp+unix:/PATH; left out: as the DNS says" },
	{ "route", "from", OPTION_TEXTS, offsetof(struct config_route, from), "{}", NULL,
		"senders it is for: {\"wei@example.org\", \"@example.org\"}; left out: all", .wrong = wrong_sender },
	{ "route", "login", OPTION_FILE, offsetof(struct config_route, login_file), "", NULL,
		"file:PATH of two lines, user and password, for the next host; left out: no login" },
	{ "route", "connections", OPTION_COUNT, offsetof(struct config_route, connections), "20", NULL,
		"connections to the next host at once, at most", .least = 1, .most = 1000 },
	{ "route", "rate", OPTION_COUNT, offsetof(struct config_route, rate), "0", NULL,
		"mails a minute, at most; 0: any number", .most = 1000000 },
	{ "route", "port", OPTION_COUNT, offsetof(struct config_route, port), "25", NULL,
		"port of the hosts that the DNS names, where there is no `via`", .least = 1, .most = 65535 },
	{ "route", "source", OPTION_ADDRESSES, offsetof(struct config_route, source), "{}", NULL,
		"own addresses that connections come from, one of each family: {\"192.0.2.9\", \"2001:db8::9\"}" },
	{ "route", "tls", OPTION_CHOICE, offsetof(struct config_route, tls), "try", NULL,
		"try: encrypted where the host can; never; require: encrypted or not at all; verify: and the host proves its name. To smtps:// hosts nothing goes unencrypted: there try and never are as require", .words = tls_words },

	{ "resolver", "off", OPTION_YES, offsetof(struct config, resolver.is_off), "false", NULL,
		"ask no DNS: roads are the file's routes alone" },
	{ "resolver", "forward", OPTION_TEXTS, offsetof(struct config, resolver.forward), "{}", NULL,
		"DNS servers to ask, ADDRESS or ADDRESS@PORT; left out: those of the system", .wrong = wrong_forwarder },
	{ "resolver", "trust-anchor", OPTION_TEXT, offsetof(struct config, resolver.trust_anchor), "", NULL,
		"file with the DNSSEC trust anchor, or one DS or DNSKEY record; left out: the root's", .wrong = wrong_anchor },
	{ "resolver", "allow", OPTION_NETWORKS, offsetof(struct config, resolver.allow), "{}", NULL,
		"loopback and private networks where a mail host that the DNS names may be" },

	{ "smtp", "vrfy", OPTION_CHOICE, offsetof(struct config, smtp.vrfy), "login", NULL,
		"whom VRFY answers: never, login (people logged in, trusted networks), always", .words = when_words },
	{ "smtp", "expn", OPTION_CHOICE, offsetof(struct config, smtp.expn), "login", NULL,
		"whom EXPN answers: never, login, always", .words = when_words },
	{ "smtp", "auth-in-clear", OPTION_CHOICE, offsetof(struct config, smtp.auth_in_clear), "loopback", NULL,
		"from where AUTH is taken without TLS: never, loopback, always", .words = clear_words },
	{ "smtp", "auth-on-smtp", OPTION_YES, offsetof(struct config, smtp.auth_on_smtp), "false", NULL,
		"AUTH at the doors smtp too, where all the world may guess passwords; else at submission and submissions alone" },
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
	{ "queue", "warn", OPTION_TIME, offsetof(struct config, queue.warn_ms), "4h", NULL,
		"age at which the sender of waiting mail is told of the delay; 0s: never", .most = 60 * (uint64_t)DAY_MS },
	{ "queue", "hold-most", OPTION_TIME, offsetof(struct config, queue.hold_most_ms), "30d", NULL,
		"how far ahead a sender may ask for release (FUTURERELEASE); 0s: not offered", .most = 366 * (uint64_t)DAY_MS },
	{ "queue", "language", OPTION_CHOICE, offsetof(struct config, queue.language), "en", NULL,
		"of what the station writes to senders: en, zh (Chinese, with English below)", .words = language_words },
	{ "queue", "bounce-8bit", OPTION_YES, offsetof(struct config, queue.bounces_8bit), "false", NULL,
		"return 8-bit mail when the next host does not offer 8BITMIME, where it would go as it is" },

	{ "limits", "message", OPTION_SIZE, offsetof(struct config, limits.message), "50M", NULL,
		"largest message", .least = KIB, .most = 4 * GIB },
	{ "limits", "recipients", OPTION_COUNT, offsetof(struct config, limits.recipients), "1000", NULL,
		"recipients of one transaction; RFC 5321 §4.5.3.1.8 asks for 100 at least", .least = 1, .most = 50000 },
	{ "limits", "connections", OPTION_COUNT, offsetof(struct config, limits.connections), "20000", NULL,
		"sessions at once, all doors together", .least = 1, .most = 1000000 },
	{ "limits", "outbound", OPTION_COUNT, offsetof(struct config, limits.outbound), "400", NULL,
		"connections to other hosts at once; one destination gets a quarter at most", .least = 4, .most = 100000 },
	{ "limits", "queued", OPTION_COUNT, offsetof(struct config, limits.queued), "2000000", NULL,
		"recipients that may wait in the queue; above them new mail is told 452", .least = 1000, .most = 1000000000 },
	{ "limits", "memory", OPTION_SIZE, offsetof(struct config, limits.memory), "256M", NULL,
		"messages that are gathered in memory at once; more go to disk while they come", .least = MIB, .most = TIB },
	{ "limits", "rate", OPTION_COUNT, offsetof(struct config, limits.rate), "0", NULL,
		"recipients a minute from one client address (IPv6: /64) or login; 0: any number", .most = 1000000 },
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
	return o->type >= OPTION_TEXTS && o->type <= OPTION_SOCKETS;
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
bool
option_is_name(struct str text)
{
	return text.n && text.p[0] != '[' && domain_is_valid(text, false);
}

static const char *
wrong_domain(struct str title)
{
	return option_is_name(title) ? NULL : "has no domain name; write one such as example.org";
}

static const char *
wrong_pattern(struct str title)
{
	if (str_eq(title, S("*")) ||
		(str_starts(title, S("from ")) && !wrong_sender(str_from(title, 5))))
		return NULL;
	return option_is_name(str_starts(title, S(".")) ? str_from(title, 1) : title)
		       ? NULL
		       : "has no pattern; write a domain, .domain (any name below it), \"*\" or "
			 "\"from @example.org\"";
}

static const char *
wrong_sender(struct str value)
{
	if (str_starts(value, S("@")) ? option_is_name(str_from(value, 1)) : !wrong_address(value))
		return NULL;
	return "is no sender; write an address, or a domain as @example.org";
}

/* What the resolver library takes: an address, a port behind "@". */
static const char *
wrong_forwarder(struct str value)
{
	struct str address, port = S("53");
	struct config_network a;
	uint64_t number;

	str_cut(value, '@', &address, &port);
	if (address.n == value.n)
		port = S("53");
	return option_read_address(address, &a) && scan_u64(&port, &number) && !port.n && number &&
			       number <= UINT16_MAX
		       ? NULL
		       : "is no DNS server; write one such as 192.0.2.53 or 127.0.0.1@5353";
}

static const char *
wrong_anchor(struct str value)
{
	if (value.n == 0 || value.p[0] == '/' || str_find_str(value, S(" DS ")) < value.n ||
		str_find_str(value, S(" DNSKEY ")) < value.n)
		return NULL;
	return "is no trust anchor; write the absolute path of a file, or a DS or DNSKEY record";
}

static const char *
wrong_users(struct str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (!char_is_alpha(value.p[i]) && !char_is_digit(value.p[i]) &&
			str_find(S("_-"), value.p[i]) == 2)
			return "is no begin of users' names; write one such as posthouse-";
	return value.n <= 24 ? NULL : "is too long: users' names have at most 32 octets";
}

static const char *
wrong_zone(struct str value)
{
	return option_is_name(value) ? NULL : "is no zone; write one such as zen.spamhaus.org";
}

static const char *
wrong_filter(struct str value)
{
	struct sockaddr_storage address;

	return option_read_filter(value, &address) ? NULL
						   : "is no place of a Milter; write one such as "
						     "unix:/run/rspamd/milter.sock or "
						     "127.0.0.1:11332";
}

static const char *
wrong_imap(struct str value)
{
	struct config_imap imap;

	return option_read_imap(value, &imap);
}

static const char *
wrong_door(struct str title)
{
	if (str_eq(title, S("smtp")) || str_eq(title, S("submission")) ||
		str_eq(title, S("submissions")) || str_eq(title, S("web")))
		return NULL;
	if (str_eq(title, S("smtps")))
		return "is no door; did you mean submissions (TLS from the first octet, port "
		       "465)?";
	return "is no door; write smtp, submission, submissions or web";
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
		[OPTION_VIA] = "next host",
		[OPTION_TEXTS] = "list",
		[OPTION_NETWORKS] = "networks",
		[OPTION_ADDRESSES] = "addresses",
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
