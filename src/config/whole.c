/* SPDX-License-Identifier: Apache-2.0 */
#include "config/whole.h"

#include "base/ip.h"

/* What no single line of the file is to blame for. */

/* One address a family, or nothing. */
static const char *
wrong_source(const struct config_route *r)
{
	if (r->source_n > 2 || (r->source_n == 2 && r->source[0].family == r->source[1].family))
		return "`source` of a route has two addresses of one family";
	return NULL;
}

static bool
is_loopback(const struct sockaddr_storage *a)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)a;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)a;

	return a->ss_family == AF_INET
		       ? ip_is_loopback(IP_V4, (const unsigned char *)&four->sin_addr)
		       : ip_is_loopback(IP_V6, six->sin6_addr.s6_addr);
}

/* Passwords and mail do not cross a network in clear. */
static const char *
wrong_web(const struct config_listen *l)
{
	if (l->door == CONFIG_WEB && l->xclient.n)
		return "a web door knows no `xclient`; write proxy = {…} for what stands before it";
	for (size_t i = 0; l->door == CONFIG_WEB && l->has_no_tls && i < l->on_n; i++)
		if (!is_loopback(&l->on[i]))
			return "a web door with no-tls listens beyond loopback; leave no-tls out, "
			       "or listen on 127.0.0.1";
	return NULL;
}

/* ── doors in each other's way ── */

struct place {
	const struct config_listen *listen;
	const struct sockaddr_storage *on;
};

/* [::] takes IPv4 too. */
static bool
takes_all(const struct sockaddr_storage *a, int family)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)a;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)a;

	return a->ss_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr)
					: family == AF_INET && four->sin_addr.s_addr == INADDR_ANY;
}

static bool
are_one(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	return config_port(a) == config_port(b) &&
	       (takes_all(a, b->ss_family) || takes_all(b, a->ss_family) ||
		       memcmp(a, b, sizeof *a) == 0);
}

static void
add_place(struct buf *to, const struct place *p)
{
	static const char *const names[] = { [CONFIG_SMTP] = "smtp",
		[CONFIG_SUBMISSION] = "submission",
		[CONFIG_SUBMISSIONS] = "submissions",
		[CONFIG_WEB] = "web" };
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)p->on;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)p->on;

	buf_addf(to, "`listen %s` on ", names[p->listen->door]);
	if (takes_all(p->on, 0)) {
		buf_add_char(to, '*');
	} else if (p->on->ss_family == AF_INET) {
		ip_add(to, IP_V4, (const unsigned char *)&four->sin_addr);
	} else {
		buf_add_char(to, '[');
		ip_add(to, IP_V6, six->sin6_addr.s6_addr);
		buf_add_char(to, ']');
	}
	buf_addf(to, ":%u", config_port(p->on));
}

static bool
check_places(const struct config *c, const char *name, struct err *e)
{
	struct place places[CONFIG_SOCKETS_MAX];
	struct buf words = { .max = 512 };
	size_t n = 0;
	bool good;

	for (size_t i = 0; i < c->listens_n; i++)
		for (size_t j = 0; j < c->listens[i].on_n; j++)
			places[n++] = (struct place){ &c->listens[i], &c->listens[i].on[j] };
	for (size_t i = 0; i < n && !words.n; i++)
		for (size_t j = 0; j < i && !words.n; j++)
			if (are_one(places[j].on, places[i].on)) {
				add_place(&words, &places[j]);
				buf_add(&words, S(" and "));
				add_place(&words, &places[i]);
			}
	good = words.n == 0;
	if (!good)
		err_set(e, ERR_PERMANENT, ERR_OTHER, "%s: %.*s: one needs another port", name,
			STR_ARG(buf_str(&words)));
	buf_free(&words);
	return good;
}

/* ── all of it ── */

bool
whole_check(const struct config *c, const char *name, struct err *e)
{
	const char *wrong = NULL;

	if (c->hostname.n == 0)
		wrong = "`hostname` is missing; write hostname = \"mail.example.org\"";
	else if (c->listens_n == 0)
		wrong = "nothing is listened on; write listen smtp { on = \"*:25\" }";
	else if (c->queue.retry_first_ms > c->queue.retry_most_ms)
		wrong = "`retry-first` is longer than `retry-most`";
	else if (c->queue.segment_size % 4096)
		wrong = "`segment-size` is no multiple of 4K";
	else if (c->limits.memory < c->limits.message && c->limits.memory < 16 * 1024 * 1024)
		wrong = "`memory` is less than 16M and less than one `message`";
	else if (c->tls.keys_n && c->tls.certificates_n == 0)
		wrong = "tls has a key and no certificate; write tls { certificate = \"…\" }";
	else if (c->tls.keys_n && c->tls.keys_n != c->tls.certificates_n)
		wrong = "`tls` has not as many keys as certificates; write them in the same order";
	else if (c->tls.certificates_n > CONFIG_CERTIFICATES_MAX)
		wrong = "`tls` has more than 64 certificates";
	else if (c->filters_n > CONFIG_FILTERS_MAX)
		wrong = "there are more than 8 filters";
	else if (c->gate.dnsbl_n > CONFIG_ZONES_MAX)
		wrong = "`dnsbl` has more than 8 lists";
	for (size_t i = 0; i < c->routes_n && !wrong; i++)
		wrong = wrong_source(&c->routes[i]);
	for (size_t i = 0; i < c->listens_n && !wrong; i++)
		wrong = wrong_web(&c->listens[i]);
	if (wrong)
		err_set(e, ERR_PERMANENT, ERR_OTHER, "%s: %s", name, wrong);
	return !wrong && check_places(c, name, e);
}
