/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/manners.h"

#include <netinet/in.h>

#include "base/ip.h"

/* ── addresses ── */

/* IPv4 mapped into IPv6 is IPv4. */
static void
set_address(struct config_network *to, enum ip_family family, const unsigned char *octets)
{
	bool is_mapped = family == IP_V6 && ip_is_mapped(octets);

	*to = (struct config_network){ .family = AF_INET6, .prefix = 128 };
	if (family == IP_V4 || is_mapped)
		*to = (struct config_network){ .family = AF_INET, .prefix = 32 };
	memcpy(to->address, octets + (is_mapped ? 12 : 0), to->prefix / 8);
}

bool
manners_read_address(const struct sockaddr *a, struct config_network *to)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)a;
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)a;

	*to = (struct config_network){ 0 };
	if (a->sa_family == AF_INET6)
		set_address(to, IP_V6, six->sin6_addr.s6_addr);
	else if (a->sa_family == AF_INET)
		set_address(to, IP_V4, (const unsigned char *)&four->sin_addr);
	return to->family != 0;
}

bool
manners_parse_address(struct str text, struct config_network *to)
{
	unsigned char octets[16];
	enum ip_family family;

	if (!ip_read(text, &family, octets))
		return false;
	set_address(to, family, octets);
	return true;
}

bool
manners_spare(const struct config *c, const struct config_network *a)
{
	const struct config_networks ourselves = { (struct config_network[]){
							   { AF_INET, { 127, 0, 0, 1 }, 32 },
							   { AF_INET6, { [15] = 1 }, 128 } },
		2 };
	struct sockaddr_storage s;

	config_make_socket(a, 0, &s);
	return config_networks_have(&ourselves, (const struct sockaddr *)&s) ||
	       config_networks_have(&c->trusted, (const struct sockaddr *)&s);
}

struct str
manners_key(const struct config_network *a, enum manners_scope scope, char to[MANNERS_KEY])
{
	static const unsigned char octets[][2] = { [MANNERS_CLIENT] = { 4, 8 },
		[MANNERS_SENDER] = { 3, 8 },
		[MANNERS_NETWORK] = { 3, 6 } };
	size_t n = octets[scope][a->family == AF_INET6];

	to[0] = (char)scope;
	to[1] = a->family == AF_INET6 ? '6' : '4';
	memcpy(to + 2, a->address, n);
	return (struct str){ to, n + 2 };
}

/* ── names ── */

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 §4.1.3) */
static bool
read_literal(struct str hello, struct config_network *to)
{
	struct str inside = str_part(hello, 1, hello.n > 2 ? hello.n - 2 : 0);

	scan_word_nocase(&inside, S("IPv6:"));
	return manners_parse_address(inside, to);
}

const char *
manners_hello_fault(const struct config *c, struct str hello, const struct config_network *a)
{
	struct config_network literal;

	if (hello.n && hello.p[0] == '[') {
		if (!read_literal(hello, &literal))
			return "not an address";
		return literal.family == a->family &&
				       memcmp(literal.address, a->address, sizeof a->address) == 0
			       ? NULL
			       : "not its address";
	}
	if (str_eq_nocase(hello, c->hostname))
		return "our own name";
	if (str_find(hello, '.') == hello.n)
		return "a bare word";
	if (manners_parse_address(hello, &literal))
		return "an address without brackets";
	return NULL;
}

struct str
manners_owner(struct str host)
{
	size_t dots[3] = { 0 }, n = 0; /* from behind: where the last labels begin */

	for (size_t i = host.n; i > 0 && n < 3; i--)
		if (host.p[i - 1] == '.')
			dots[n++] = i;
	if (n < 2)
		return host;
	if (dots[0] - dots[1] - 1 <= 3) /* "co.uk", "com.cn" */
		return n == 3 ? str_from(host, dots[2]) : host;
	return str_from(host, dots[1]);
}

bool
manners_is_within(struct str domain, struct str owner)
{
	return str_ends_nocase(domain, owner) &&
	       (domain.n == owner.n || domain.p[domain.n - owner.n - 1] == '.');
}

/* ── stress ── */

enum { MOST_MS = 10000, MOST_ERRORS = 3 };

unsigned
manners_stress_percent(enum manners_stress s)
{
	static const unsigned percents[] = {
		[STRESS_NONE] = 0, [STRESS_HALF] = 50, [STRESS_MOST] = 80, [STRESS_FULL] = 95
	};

	return percents[s];
}

enum manners_stress
manners_stress(unsigned sessions, unsigned most)
{
	uint64_t percent = (uint64_t)sessions * 100 / (most ? most : 1);

	enum manners_stress s = STRESS_FULL;

	while (percent < manners_stress_percent(s))
		s--;
	return s;
}

int64_t
manners_patience_ms(enum manners_stress s, int64_t idle_ms)
{
	switch (s) {
	case STRESS_NONE:
		break;
	case STRESS_HALF:
		return idle_ms / 5;
	case STRESS_MOST:
	case STRESS_FULL:
		return idle_ms < MOST_MS ? idle_ms : MOST_MS;
	}
	return idle_ms;
}

unsigned
manners_errors_most(enum manners_stress s)
{
	return s >= STRESS_MOST ? MOST_ERRORS : 0;
}
