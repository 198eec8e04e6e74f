/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include "base/codec.h"
#include "base/ip.h"

void
way_set_default_port(struct way *way)
{
	if (!way->has_port)
		snprintf(way->port, sizeof way->port, "%s",
			way->is_smtps  ? "465"
			: way->is_lmtp ? "24"
			: way->user[0] ? "587"
				       : "25");
}

bool
way_is_near(const struct way *way)
{
	struct str host = str_of(way->host);
	unsigned char octets[16];
	enum ip_family family;

	return way->path[0] || str_eq_nocase(host, S("localhost")) ||
	       (ip_read(host, &family, octets) && ip_is_loopback(family, octets));
}

static bool
is_port(struct str text)
{
	uint64_t port;

	return scan_u64(&text, &port) && text.n == 0 && port >= 1 && port <= UINT16_MAX;
}

/* HOST, HOST:PORT, [IPV6], [IPV6]:PORT */
static bool
parse_host(struct way *way, struct str text)
{
	size_t end = text.n && text.p[0] == '[' ? str_find(text, ']') : str_find(text, ':');
	struct str host, port = S("");

	if (text.n && text.p[0] == '[') {
		if (end == text.n)
			return false;
		host = str_part(text, 1, end - 1);
		end++;
	} else {
		host = str_part(text, 0, end);
	}
	way->has_port = end < text.n;
	if (way->has_port)
		port = str_from(text, end + 1);
	if (host.n == 0 || host.n >= sizeof way->host || port.n >= sizeof way->port ||
		(way->has_port && (text.p[end] != ':' || !is_port(port))))
		return false;
	memcpy(way->host, host.p, host.n);
	if (port.n)
		memcpy(way->port, port.p, port.n);
	way_set_default_port(way);
	return true;
}

/* A percent sign that encodes nothing is one: `wei%example` is the login of some hosts. What is encoded is no control character. */
static bool
parse_user(struct way *way, struct str text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char octet;
		bool is_encoded =
			text.p[i] == '%' && codec_from_hex(str_part(text, i + 1, 2), &octet, 1);

		if (is_encoded && (octet < ' ' || octet == 0x7f))
			return false;
		way->user[n++] = is_encoded ? (char)octet : text.p[i];
		i += is_encoded ? 2 : 0;
	}
	return true;
}

static bool
parse_path(struct way *way, struct str path)
{
	if (path.n == 0 || path.n >= sizeof way->path)
		return false;
	memcpy(way->path, path.p, path.n);
	return true;
}

static bool
parse(struct way *way, struct str text)
{
	size_t at;

	way->is_lmtp = str_starts_nocase(text, S("lmtp"));
	if (scan_word_nocase(&text, S("unix:")) || scan_word_nocase(&text, S("lmtp+unix:")))
		return parse_path(way, text);
	way->is_smtps = scan_word_nocase(&text, S("smtps://"));
	if (!way->is_smtps && !scan_word_nocase(&text, S("smtp://")) &&
		!scan_word_nocase(&text, S("lmtp://")))
		return false;
	while (text.n && text.p[text.n - 1] == '/')
		text.n--;
	/* the last @, for a login may be an address */
	for (at = text.n; at > 0 && text.p[at - 1] != '@'; at--)
		;
	if (at > sizeof way->user)
		return false;
	if (at > 0 && !parse_user(way, str_part(text, 0, at - 1)))
		return false;
	return parse_host(way, str_from(text, at));
}

/* smtp://USER:PASSWORD@HOST; it would stand in the list of processes. */
static bool
has_password(struct str url)
{
	size_t begin = str_find_str(url, S("://")), end = url.n;

	while (end > 0 && url.p[end - 1] != '@')
		end--;
	return begin < end &&
	       str_find(str_part(url, begin + 3, end - begin - 3), ':') < end - begin - 3;
}

bool
way_parse(struct way *way, struct str url, struct err *e)
{
	*way = (struct way){ 0 };
	if (has_password(url))
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"a password does not stand in a URL: --password-stdin, or a profile");
	return parse(way, url) ||
	       err_set(e, ERR_PERMANENT, ERR_OTHER,
		       "smtp://[USER@]HOST[:PORT], smtps://…, lmtp://… or unix:PATH, not %.*s",
		       STR_ARG(url));
}
