/* SPDX-License-Identifier: Apache-2.0 */
#include "config/options.h"

#include <netinet/in.h>
#include <sys/un.h>

#include "base/ip.h"
#include "base/must.h"
#include "smtp/address.h"

/* How one value of each type is read: numbers with units, words, addresses of the network, next hosts. */

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

/* An address without brackets. */
bool
option_read_address(struct str text, struct config_network *a)
{
	enum ip_family family;

	if (!ip_read(text, &family, a->address))
		return false;
	a->family = family == IP_V4 ? AF_INET : AF_INET6;
	a->prefix = family == IP_V4 ? 32 : 128;
	return true;
}

static bool
read_network(struct str text, struct config_network *network)
{
	struct str address, bits;
	bool has_prefix = str_cut(text, '/', &address, &bits);
	uint64_t prefix;

	if (!option_read_address(address, network))
		return false;
	if (!has_prefix)
		return true;
	if (!scan_u64(&bits, &prefix) || bits.n || prefix > network->prefix)
		return false;
	network->prefix = (unsigned)prefix;
	return true;
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
	if (!str_eq(host, S("*")) && !option_read_address(host, &a))
		return wrong;
	config_make_socket(&a, port, s);
	return NULL;
}

/* ADDRESS:PORT, or as libmilter writes it PORT@ADDRESS; `localhost` is its address of that family. */
static bool
read_inet(struct str text, struct str localhost, struct sockaddr_storage *to)
{
	struct config_network a;
	struct str host, number;
	uint64_t port64;
	uint16_t port;

	if (str_cut(text, '@', &number, &host)) {
		if (!scan_u64(&number, &port64) || number.n || port64 > UINT16_MAX)
			return false;
		port = (uint16_t)port64;
	} else if (!split_port(text, &host, &port)) {
		return false;
	}
	if (str_eq_nocase(host, S("localhost")))
		host = localhost;
	if (port == 0 || !option_read_address(host, &a))
		return false;
	config_make_socket(&a, port, to);
	return true;
}

/* The forms of Postfix and of libmilter, too: what stands in the filter's own file can be copied. */
socklen_t
option_read_filter(struct str text, struct sockaddr_storage *to)
{
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)to;
	struct str localhost = S("127.0.0.1");

	*to = (struct sockaddr_storage){ 0 };
	if (!scan_word_nocase(&text, S("unix:")) && !scan_word_nocase(&text, S("local:"))) {
		if (scan_word_nocase(&text, S("inet6:")))
			localhost = S("::1");
		else
			scan_word_nocase(&text, S("inet:"));
		return !read_inet(text, localhost, to) ? 0
		       : to->ss_family == AF_INET      ? sizeof(struct sockaddr_in)
						       : sizeof(struct sockaddr_in6);
	}
	if (text.n < 2 || text.p[0] != '/' || text.n >= sizeof un->sun_path)
		return 0;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, text.p, text.n);
	return sizeof *un;
}

const char *
option_read_imap(struct str text, struct config_imap *imap)
{
	static const char wrong[] =
		"is no server of IMAP; write one such as imaps://imap.example.org or "
		"imap://imap.example.org:143";

	*imap = (struct config_imap){ .is_tls = scan_word_nocase(&text, S("imaps://")) };
	if (!imap->is_tls && !scan_word_nocase(&text, S("imap://")))
		return wrong;
	if (!split_port(text, &imap->host, &imap->port))
		return option_is_name(imap->host)
			       ? "has no port behind the colon; write a number from 1 to 65535"
			       : wrong;
	if (!option_is_name(imap->host))
		return wrong;
	if (imap->port == 0)
		imap->port = imap->is_tls ? 993 : 143; /* RFC 8314 §3.2, RFC 9051 §2.1 */
	return NULL;
}

/* "HOST:PORT" of a via; host a name or an address. */
static const char *
read_via_host(struct str text, struct config_via *via)
{
	static const uint16_t usual_port[] = {
		[HOP_SMTP] = 25, [HOP_SMTPS] = 465, [HOP_LMTP] = 24
	};
	struct config_network a;
	uint16_t port;

	if (!split_port(text, &via->host, &port) || via->host.n == 0)
		return "is no next host; write one such as smtp://relay.example.net or "
		       "smtp://192.0.2.1:25";
	via->port = port ? port : usual_port[via->protocol];
	if (str_eq_nocase(via->host, S("localhost"))) { /* still the name that it has to prove */
		via->family = HOP_IPV4;
		memcpy(via->address, (unsigned char[]){ 127, 0, 0, 1 }, 4);
		return NULL;
	}
	if (option_read_address(via->host, &a)) {
		via->family = a.family == AF_INET ? HOP_IPV4 : HOP_IPV6;
		memcpy(via->address, a.address, sizeof via->address);
		return NULL;
	}
	return option_is_name(via->host) ? NULL : "names no host; write a name or an address";
}

static const char *
read_via(struct str text, struct config_via *via)
{
	static const struct {
		const char *scheme;
		enum hop_protocol protocol;
	} schemes[] = { { "smtp://", HOP_SMTP }, { "smtps://", HOP_SMTPS },
		{ "lmtp://", HOP_LMTP } };

	*via = (struct config_via){ .text = text };
	if (str_starts(text, S("lmtp+unix:"))) {
		via->protocol = HOP_LMTP;
		via->family = HOP_UNIX;
		via->host = str_from(text, 10);
		return via->host.n > 1 && via->host.p[0] == '/' && via->host.n <= 107
			       ? NULL
			       : "names no socket; write one such as lmtp+unix:/run/dovecot/lmtp "
				 "(at most 107 octets)";
	}
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
		if (str_starts(text, str_of(schemes[i].scheme))) {
			via->protocol = schemes[i].protocol;
			return read_via_host(str_from(text, strlen(schemes[i].scheme)), via);
		}
	return "is no next host; write smtp://HOST:PORT, smtps://HOST, lmtp://HOST:PORT or "
	       "lmtp+unix:/PATH";
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
		why = option_is_name(text) ? NULL
					   : "is no host name; write one such as mail.example.org";
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
	case OPTION_VIA:
		why = read_via(text, &v->via);
		break;
	case OPTION_SOCKETS:
		why = read_listen(text, &v->socket);
		break;
	case OPTION_NETWORKS:
		why = read_network(text, &v->network)
			      ? NULL
			      : "is no network; write one such as 192.0.2.0/24 or ::1/128";
		break;
	case OPTION_ADDRESSES:
		if (!option_read_address(text, &v->network))
			why = "is no address; write one such as 192.0.2.9 or 2001:db8::9";
		break;
	}
	if (why)
		buf_add(wrong, str_of(why));
	return !why;
}
