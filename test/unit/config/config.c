/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <unistd.h>

#include "config/config.h"

/* What people see: the file's meaning, and for each mistake the exact line. */

#define HEAD   "hostname = \"mail.example.org\"\n"
#define LISTEN "listen smtp { on = \"*:25\" }\n"

static struct config
parse(const char *text)
{
	struct config c = { 0 };
	struct err e = { 0 };

	if (!config_parse(&c, str_of(text), "posthouse.conf", &e))
		fail_msg("%s", e.text);
	return c;
}

static void
assert_text(struct str got, const char *want)
{
	char text[256];

	snprintf(text, sizeof text, "%.*s", STR_ARG(got));
	assert_string_equal(text, want);
}

static void
assert_socket(const struct sockaddr_storage *s, const char *host, unsigned port)
{
	const struct sockaddr_in6 *in6 = (const void *)s;
	const struct sockaddr_in *in = (const void *)s;
	bool is_v4 = s->ss_family == AF_INET;
	char text[INET6_ADDRSTRLEN];

	assert_non_null(inet_ntop(s->ss_family,
		is_v4 ? (const void *)&in->sin_addr : &in6->sin6_addr, text, sizeof text));
	assert_string_equal(text, host);
	assert_int_equal(ntohs(is_v4 ? in->sin_port : in6->sin6_port), port);
}

static const char full[] =
	"# posthouse.conf — comments may hold \" and { and '\n"
	"hostname = \"Mail.Example.ORG\"   // said in the greeting\n"
	"state = /tmp/station  /* here too: } */\n"
	"spool = '/tmp/spool'\n"
	"trusted = {\"127.0.0.1/32\", \"::1/128\", 10.0.0.0/8,}\n"
	"refuse = 192.0.2.66\n"
	"listen smtp { on = {\"*:2525\", \"127.0.0.1:2526\", \"[::1]:2527\"} }\n"
	"listen submission { on = 127.0.0.1:2587 }\n"
	"domain \"Example.org\" {\n"
	"\tmailboxes = \"/var/mail/%d/%u\"\n"
	"\tcatch-all = \"wei\"\n"
	"\talias sales { to = {\"wei\", \"bob@example.net\"} }\n"
	"\talias Info { to = sales }\n"
	"\tmoved carol { to = \"carol@example.net\" }\n"
	"}\n"
	"domain example.net {}\n"
	"route \"*\" { via = smtp://[::1]:2626  login = \"file:/etc/posthouse/partner\"  "
	"connections = 3 }\n"
	"route .Partner.example { via = \"smtp://localhost\" }\n"
	"route \"from @Example.net\" { port = 587 }\n"
	"smtp { vrfy = always  expn = never  auth-in-clear = always  repair-line-ends = true }\n"
	"queue { retry-first = 200ms  retry-most = \"1h\"  expire = 2d  segment-size = 4m }\n"
	"limits { message = 10M  recipients = 100  connections = 50  memory = \"1G\"  rate = 60  "
	"idle = 30s  free-space = 4096 }\n";

static void
a_full_file_means_what_it_says(void **state)
{
	struct config c = parse(full);

	(void)state;
	assert_text(c.hostname, "mail.example.org");
	assert_text(c.state, "/tmp/station");
	assert_text(c.spool, "/tmp/spool");
	assert_int_equal(c.trusted.n, 3);
	assert_int_equal(c.trusted.list[2].prefix, 8);
	assert_int_equal(c.refuse.list[0].prefix, 32);
	assert_int_equal(c.listens_n, 2);
	assert_int_equal(c.listens[0].door, CONFIG_SMTP);
	assert_int_equal(c.listens[0].on_n, 3);
	assert_socket(&c.listens[0].on[0], "::", 2525);
	assert_socket(&c.listens[0].on[1], "127.0.0.1", 2526);
	assert_socket(&c.listens[0].on[2], "::1", 2527);
	assert_int_equal(c.listens[1].door, CONFIG_SUBMISSION);
	assert_int_equal(c.domains_n, 2);
	assert_text(c.domains[0].name, "example.org");
	assert_text(c.domains[0].mailboxes, "/var/mail/%d/%u");
	assert_text(c.domains[0].catch_all, "wei");
	assert_int_equal(c.domains[0].aliases_n, 2);
	assert_text(c.domains[0].aliases[0].to[1], "bob@example.net");
	assert_text(c.domains[0].aliases[1].name, "info");
	assert_text(c.domains[0].moved[0].name, "carol");
	assert_text(c.domains[0].moved[0].to, "carol@example.net");
	assert_text(c.domains[1].mailboxes, "/tmp/station/mail/%d/%u");
	assert_int_equal(c.routes_n, 3);
	assert_text(c.routes[0].pattern, "*");
	assert_text(c.routes[0].via.text, "smtp://[::1]:2626");
	assert_int_equal(c.routes[0].via.family, HOP_IPV6);
	assert_int_equal(c.routes[0].via.port, 2626);
	assert_text(c.routes[0].login_file, "/etc/posthouse/partner");
	assert_int_equal(c.routes[0].connections, 3);
	assert_text(c.routes[1].pattern, ".partner.example");
	assert_text(c.routes[2].name, "from @example.net");
	assert_text(c.routes[2].pattern, "*");
	assert_int_equal(c.routes[2].from_n, 1);
	assert_text(c.routes[2].from[0], "@example.net");
	assert_int_equal(c.routes[1].via.family, HOP_IPV4);
	assert_memory_equal(c.routes[1].via.address, "\177\0\0\1", 4);
	assert_text(c.routes[1].via.host, "localhost"); /* what it has to prove */
	assert_int_equal(c.routes[1].via.port, 25);
	assert_int_equal(c.smtp.vrfy, CONFIG_ALWAYS);
	assert_int_equal(c.smtp.expn, CONFIG_NEVER);
	assert_int_equal(c.smtp.auth_in_clear, CONFIG_CLEAR_ALWAYS);
	assert_true(c.smtp.repair_line_ends);
	assert_int_equal(c.queue.retry_first_ms, 200);
	assert_int_equal(c.queue.retry_most_ms, 3600 * 1000);
	assert_int_equal(c.queue.expire_ms, 2 * 86400 * 1000);
	assert_int_equal(c.queue.segment_size, 4 << 20);
	assert_int_equal(c.limits.message, 10 << 20);
	assert_int_equal(c.limits.recipients, 100);
	assert_int_equal(c.limits.connections, 50);
	assert_int_equal(c.limits.memory, 1 << 30);
	assert_int_equal(c.limits.rate, 60);
	assert_int_equal(c.limits.idle_ms, 30000);
	assert_int_equal(c.limits.free_space, 4096);
	config_free(&c);
}

static const char guarded[] =
	HEAD "users = mail-\n"
	     "listen smtp { on = \"*:25\"  no-tls = true  proxy = {10.0.0.0/8}  xclient = {::1} }\n"
	     "listen submissions { on = \"*:465\" }\n"
	     "tls { certificate = {/etc/a.pem, /etc/b.pem}  key = {/etc/a.key, /etc/b.key}  "
	     "no-tickets = true  trust = /etc/ca.pem }\n"
	     "web { imap = \"imaps://imap.example.org\" }\n"
	     "gate { pause = 2s  hello = refuse  reverse = ignore  dnsbl = {zen.example.org}  "
	     "greylist = true  greylist-wait = 1m  "
	     "connections = 5  network = 50  unknown = 3 }\n"
	     "filter rspamd { at = unix:/run/rspamd/milter.sock  when-down = accept  timeout = 5s  "
	     "only-strangers = true }\n"
	     "filter dkim { at = \"[::1]:8891\" }\n"
	     "route a.example { via = smtps://relay.example.net  tls = verify }\n"
	     "route \"*\" { tls = require }\n";

static void
doors_have_locks_and_manners(void **state)
{
	struct config c = parse(guarded);

	(void)state;
	assert_text(c.users, "mail-");
	assert_true(c.listens[0].has_no_tls);
	assert_int_equal(c.listens[0].proxy.list[0].prefix, 8);
	assert_int_equal(c.listens[0].xclient.list[0].prefix, 128);
	assert_int_equal(c.listens[1].door, CONFIG_SUBMISSIONS);
	assert_text(c.tls.certificates[1], "/etc/b.pem");
	assert_text(c.tls.keys[1], "/etc/b.key");
	assert_true(c.tls.has_no_tickets);
	assert_text(c.tls.trust, "/etc/ca.pem");
	assert_text(c.web.imap.host, "imap.example.org");
	assert_int_equal(c.web.imap.port, 993);
	assert_true(c.web.imap.is_tls);
	assert_int_equal(c.gate.pause_ms, 2000);
	assert_int_equal(c.gate.hello, CONFIG_REFUSE);
	assert_int_equal(c.gate.reverse, CONFIG_IGNORE);
	assert_text(c.gate.dnsbl[0], "zen.example.org");
	assert_true(c.gate.greylist);
	assert_int_equal(c.gate.greylist_wait_ms, 60000);
	assert_int_equal(c.gate.connections, 5);
	assert_int_equal(c.gate.network, 50);
	assert_int_equal(c.gate.unknown, 3);
	assert_int_equal(c.filters_n, 2);
	assert_text(c.filters[0].name, "rspamd");
	assert_int_equal(c.filters[0].address.ss_family, AF_UNIX);
	assert_int_equal(c.filters[0].when_down, CONFIG_ACCEPT);
	assert_int_equal(c.filters[0].timeout_ms, 5000);
	assert_true(c.filters[0].only_strangers);
	assert_socket(&c.filters[1].address, "::1", 8891);
	assert_int_equal(c.filters[1].when_down, CONFIG_TEMPFAIL);
	assert_int_equal(c.routes[0].via.protocol, HOP_SMTPS);
	assert_int_equal(c.routes[0].via.port, 465);
	assert_int_equal(c.routes[0].tls, CONFIG_TLS_VERIFY);
	assert_int_equal(c.routes[1].tls, CONFIG_TLS_REQUIRE);
	config_free(&c);
}

static void
a_filter_may_be_written_as_others_write_it(void **state)
{
	static const struct {
		const char *at, *address;
		unsigned port;
	} forms[] = {
		{ "127.0.0.1:8891", "127.0.0.1", 8891 },
		{ "localhost:8891", "127.0.0.1", 8891 },
		{ "inet:8891@localhost", "127.0.0.1", 8891 },
		{ "inet:192.0.2.1:8891", "192.0.2.1", 8891 },
		{ "inet:localhost:8891", "127.0.0.1", 8891 },
		{ "inet6:8891@::1", "::1", 8891 },
		{ "inet6:8891@localhost", "::1", 8891 },
		{ "[::1]:8891", "::1", 8891 },
		{ "unix:/run/m", NULL, 0 },
		{ "local:/run/m", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		char text[256];
		struct config c;

		snprintf(text, sizeof text, HEAD LISTEN "filter f { at = \"%s\" }", forms[i].at);
		c = parse(text);
		if (forms[i].address)
			assert_socket(&c.filters[0].address, forms[i].address, forms[i].port);
		else
			assert_int_equal(c.filters[0].address.ss_family, AF_UNIX);
		config_free(&c);
	}
}

static void
what_is_left_out_has_its_default(void **state)
{
	struct config c = parse(HEAD LISTEN "route \"*\" { via = \"smtp://192.0.2.1\" }");

	(void)state;
	assert_text(c.state, "/var/lib/posthouse");
	assert_text(c.spool, "/var/spool/posthouse");
	assert_int_equal(c.trusted.n, 0);
	assert_int_equal(c.routes[0].connections, 20);
	assert_text(c.routes[0].login_file, "");
	assert_int_equal(c.smtp.vrfy, CONFIG_LOGIN);
	assert_int_equal(c.smtp.expn, CONFIG_LOGIN);
	assert_int_equal(c.smtp.auth_in_clear, CONFIG_CLEAR_LOOPBACK);
	assert_false(c.smtp.repair_line_ends);
	assert_int_equal(c.queue.retry_first_ms, 300 * 1000);
	assert_int_equal(c.queue.segment_size, 64 << 20);
	assert_int_equal(c.limits.message, 50 << 20);
	assert_int_equal(c.limits.recipients, 1000);
	assert_int_equal(c.limits.connections, 20000);
	assert_int_equal(c.limits.rate, 0);
	config_free(&c);
}

static const struct {
	const char *text, *message;
} mistakes[] = {
	/* words */
	{ "\n# one\n// two\n/* three\n*/ hostnam = \"x.example\"\n",
		"posthouse.conf:5: unknown option `hostnam`; did you mean `hostname`?" },
	{ "lsiten smtp { on = \"*:25\" }",
		"posthouse.conf:1: unknown option `lsiten`; did you mean `listen`?" },
	{ "domain example.org {\n catchall = wei\n}",
		"posthouse.conf:2: unknown option `catchall`; did you mean `catch-all`?" },
	{ HEAD "vrfy = never", "posthouse.conf:2: `vrfy` does not belong here, but into smtp" },
	{ "smtp { hostname = \"a.example\" }",
		"posthouse.conf:1: `hostname` does not belong here, but outside of all braces" },
	{ "quota = 3",
		"posthouse.conf:1: unknown option `quota`; `posthouse check --options` lists all" },
	{ HEAD "tls {\n certificate = x }",
		"posthouse.conf:3: `certificate = x` is no absolute path of at most 200 octets" },
	{ "route \"*\" {\n tls = none }",
		"posthouse.conf:2: `tls = none` is not one of try, never, require, verify" },
	{ "filter f { at = \"localhorst:1\" }",
		"posthouse.conf:1: `at = localhorst:1` is no place of a Milter; write one such as "
		"unix:/run/rspamd/milter.sock or 127.0.0.1:11332" },
	{ "filter f { at = \"unix:run/x\" }",
		"posthouse.conf:1: `at = unix:run/x` is no place of a Milter; write one such as "
		"unix:/run/rspamd/milter.sock or 127.0.0.1:11332" },
	{ HEAD "listen web { on = \"127.0.0.1:80\"  xclient = {127.0.0.1} }\n",
		"posthouse.conf: a web door knows no `xclient`; write proxy = {…} for what stands "
		"before it" },
	{ "web { imap = \"imap.example.org:993\" }",
		"posthouse.conf:1: `imap = imap.example.org:993` is no server of IMAP; write one "
		"such as imaps://imap.example.org or imap://imap.example.org:143" },
	{ "web { imap = \"imap://imap.example.org:70000\" }",
		"posthouse.conf:1: `imap = imap://imap.example.org:70000` has no port behind the "
		"colon; write a number from 1 to 65535" },
	{ HEAD "listen smtp { on = \"127.0.0.1:25\" }\nlisten web { on = {\"[::1]:25\", "
	       "\"127.0.0.1:25\"} }\n",
		"posthouse.conf: `listen smtp` on 127.0.0.1:25 and `listen web` on 127.0.0.1:25: "
		"one needs another port" },
	{ HEAD "listen smtp { on = \"[::1]:25\" }\nlisten web { on = \"*:25\" }\n",
		"posthouse.conf: `listen smtp` on [::1]:25 and `listen web` on *:25: one needs "
		"another port" },
	{ HEAD "listen submission { on = \"192.0.2.1:587\" }\nlisten submissions { on = "
	       "\"0.0.0.0:587\" }\n",
		"posthouse.conf: `listen submission` on 192.0.2.1:587 and `listen submissions` on "
		"0.0.0.0:587: one needs another port" },
	{ HEAD "listen smtp { on = {\"*:25\", \"0.0.0.0:25\"} }\n",
		"posthouse.conf: `listen smtp` on *:25 and `listen smtp` on 0.0.0.0:25: one "
		"needs another port" },
	{ "users = \"a b\"", "posthouse.conf:1: `users = a b` is no begin of users' names; write "
			     "one such as posthouse-" },
	{ "gate { dnsbl = {\"-\"} }", "posthouse.conf:1: `dnsbl = -` is no zone; write one such as "
				      "zen.spamhaus.org" },
	/* shape */
	{ HEAD "listen smtp {\n on = \"*:25\"\n",
		"posthouse.conf:2: the brace that opens here is never closed" },
	{ HEAD "}\n", "posthouse.conf:2: a closing brace without an opening one" },
	{ "state = \"/var\n", "posthouse.conf:1: a quote (\") is not closed on its line" },
	{ HEAD "/* open\n\n", "posthouse.conf:2: the comment that begins here has no */" },
	{ "/*/ hostname = a.example", "posthouse.conf:1: the comment that begins here has no */" },
	{ HEAD "listen smtp { on = *:25 }",
		"posthouse.conf:2: a * stands in quotes: \"*\", \"*:25\"" },
	{ "route * { }", "posthouse.conf:1: a * stands in quotes: \"*\", \"*:25\"" },
	{ "hostname = \"${HOME}.example\"",
		"posthouse.conf:1: ${…} is not taken here; write the value itself" },
	{ "hostname = ${HOME}",
		"posthouse.conf:1: `${` is not taken here; write it in '…' quotes" },
	{ "smtp|vrfy = never", "posthouse.conf:1: `|` is not taken here; write it in '…' quotes" },
	{ "state = \"/a\\x41\"", "posthouse.conf:1: write \\ as \\\\ inside quotes" },
	{ "\xef\xbb\xbfhostname = a", "posthouse.conf:1: the file begins with a byte order mark; "
				      "save it as plain UTF-8" },
	{ HEAD "# \xff\n", "posthouse.conf:2: this line is not UTF-8" },
	{ "state = \x01", "posthouse.conf:1: octet 1 is no text" },
	{ "hostname \"a.example\"", "posthouse.conf:1: `hostname` needs = and a value" },
	{ "hostname =", "posthouse.conf:1: the file ends in the middle of an option" },
	{ "hostname += a.example",
		"posthouse.conf:1: `hostname` is no list: write = instead of +=" },
	{ "trusted = {10.0.0.0/8 ::1}", "posthouse.conf:1: `::1` is not expected here" },
	{ "listen { on = \"*:25\" }", "posthouse.conf:1: `listen` needs a name, then {" },
	{ "listen smtp on", "posthouse.conf:1: `listen` needs an opening brace" },
	/* twice, or not at all */
	{ HEAD HEAD, "posthouse.conf:2: `hostname` is set twice" },
	{ LISTEN LISTEN, "posthouse.conf:2: `smtp` is here twice; write both addresses in one: on "
			 "= {\"…\", \"…\"}" },
	{ "listen smtps { on = \"*:465\" }",
		"posthouse.conf:1: `listen smtps` is no door; did you mean submissions (TLS from "
		"the first octet, port 465)?" },
	{ "domain a.example {}\ndomain A.example {\n}",
		"posthouse.conf:2: `domain A.example` is here twice" },
	{ "limits { rate = 1 }\nlimits { idle = 1m }", "posthouse.conf:2: `limits` is here twice" },
	{ LISTEN, "posthouse.conf: `hostname` is missing; write hostname = \"mail.example.org\"" },
	{ "", "posthouse.conf: `hostname` is missing; write hostname = \"mail.example.org\"" },
	{ HEAD, "posthouse.conf: nothing is listened on; write listen smtp { on = \"*:25\" }" },
	{ HEAD "listen smtp {\n\n}",
		"posthouse.conf:2: `listen smtp` has no `on`; write on = \"*:25\"" },
	{ "domain a.example {\n alias b {\n to = {} } }",
		"posthouse.conf:2: `alias b` has no `to`; write to = {\"wei\", "
		"\"bob@example.net\"}" },
	/* values */
	{ "hostname = \"mail_1.example\"", "posthouse.conf:1: `hostname = mail_1.example` is no "
					   "host name; write one such as mail.example.org" },
	{ "hostname = \"[192.0.2.1]\"", "posthouse.conf:1: `hostname = [192.0.2.1]` is no host "
					"name; write one such as mail.example.org" },
	{ "state = var/lib",
		"posthouse.conf:1: `state = var/lib` is no absolute path of at most 200 octets" },
	{ "trusted = {\"::1/128\",\n \"10.0.0.0/33\"}",
		"posthouse.conf:2: `trusted = 10.0.0.0/33` is no network; write one such as "
		"192.0.2.0/24 or ::1/128" },
	{ "listen smtp { on = \"*\" }", "posthouse.conf:1: `on = *` is no address with a port; "
					"write \"*:25\", \"127.0.0.1:25\" or \"[::1]:25\"" },
	{ "listen smtp { on = \"*:65536\" }",
		"posthouse.conf:1: `on = *:65536` is no address with a port; write \"*:25\", "
		"\"127.0.0.1:25\" or \"[::1]:25\"" },
	{ "listen smtp { on = \"::1:25\" }",
		"posthouse.conf:1: `on = ::1:25` is no address with a port; write \"*:25\", "
		"\"127.0.0.1:25\" or \"[::1]:25\"" },
	{ "hostname = a.example\nlisten web {\n on = \"*:80\"\n no-tls = true\n}",
		"posthouse.conf: a web door with no-tls listens beyond loopback; leave no-tls out, "
		"or listen on 127.0.0.1" },
	{ "listen smpt { on = \"*:25\" }", "posthouse.conf:1: `listen smpt` is no door; write "
					   "smtp, submission, submissions or web" },
	{ "domain \"exa mple\" {}", "posthouse.conf:1: `domain exa mple` has no domain name; write "
				    "one such as example.org" },
	{ "domain a.example { mailboxes = \"mail/%u\" }",
		"posthouse.conf:1: `mailboxes = mail/%u` is no absolute path; write one such as "
		"/var/mail/%d/%u" },
	{ "domain a.example { mailboxes = \"/mail/%d\" }",
		"posthouse.conf:1: `mailboxes = /mail/%d` has no %u: all mailboxes would be one" },
	{ "domain a.example { mailboxes = \"/mail/%u/%s\" }",
		"posthouse.conf:1: `mailboxes = /mail/%u/%s` has a % that is neither %d (domain) "
		"nor %u (mailbox)" },
	{ "domain a.example { catch-all = \"\" }",
		"posthouse.conf:1: `catch-all = ` is empty; leave the option out" },
	{ "domain a.example { alias x { to = \"a@b@c\" } }",
		"posthouse.conf:1: `to = a@b@c` is no address; write one such as bob@example.net" },
	{ "domain a.example { alias x { to = \"a b\" } }",
		"posthouse.conf:1: `to = a b` is neither a mailbox of this domain nor an address" },
	{ "domain a.example { alias \"x/y\" { to = b } }",
		"posthouse.conf:1: `alias x/y` has no name that a mailbox here can have; take a-z, "
		"0-9 and . _ - +" },
	{ "domain a.example { moved x { to = y } }",
		"posthouse.conf:1: `to = y` is no address; write one such as bob@example.net" },
	{ "route \".\" { via = \"smtp://192.0.2.1\" }",
		"posthouse.conf:1: `route .` has no pattern; write a domain, .domain (any name "
		"below it), \"*\" or \"from @example.org\"" },
	{ "route \"*\" { via = \"192.0.2.1:25\" }",
		"posthouse.conf:1: `via = 192.0.2.1:25` is no next host; write smtp://HOST:PORT, "
		"smtps://HOST, "
		"lmtp://HOST:PORT or lmtp+unix:/PATH" },
	{ "route \"*\" { via = \"lmtp+unix:run\" }",
		"posthouse.conf:1: `via = lmtp+unix:run` names no socket; write one such as "
		"lmtp+unix:/run/dovecot/lmtp (at most 107 octets)" },
	{ "route \"*\" { via = \"smtp://bad_host\" }",
		"posthouse.conf:1: `via = smtp://bad_host` names no host; write a name or an "
		"address" },
	{ "route \"*\" { from = \"wei\" }",
		"posthouse.conf:1: `from = wei` is no sender; write an address, or a domain as "
		"@example.org" },
	{ HEAD LISTEN "route \"*\" { source = \"192.0.2.0/24\" }",
		"posthouse.conf:3: `source = 192.0.2.0/24` is no address; write one such as "
		"192.0.2.9 or 2001:db8::9" },
	{ HEAD LISTEN "route \"*\" { source = {\"192.0.2.1\", \"192.0.2.2\"} }",
		"posthouse.conf: `source` of a route has two addresses of one family" },
	{ "resolver { forward = \"dns.example\" }",
		"posthouse.conf:1: `forward = dns.example` is no DNS server; write one such as "
		"192.0.2.53 or 127.0.0.1@5353" },
	{ "resolver { forward = \"127.0.0.1@0\" }",
		"posthouse.conf:1: `forward = 127.0.0.1@0` is no DNS server; write one such as "
		"192.0.2.53 or 127.0.0.1@5353" },
	{ "resolver { trust-anchor = \"yes\" }", "posthouse.conf:1: `trust-anchor = yes` is no "
						 "trust anchor; write the absolute path "
						 "of a file, or a DS or DNSKEY record" },
	{ "route \"*\" { login = \"bob:secret\" }",
		"posthouse.conf:1: `login = bob:secret` is no login; write file: and the absolute "
		"path of a file of two lines, user and password" },
	{ "route \"*\" { connections = 0 }",
		"posthouse.conf:1: `connections = 0` is not between 1 and 1000" },
	{ "smtp { vrfy = yes }",
		"posthouse.conf:1: `vrfy = yes` is not one of never, login, always" },
	{ "smtp { repair-line-ends = 1 }",
		"posthouse.conf:1: `repair-line-ends = 1` is not one of false, true" },
	{ "limits { message = \"50MB\" }", "posthouse.conf:1: `message = 50MB` is no size; write "
					   "octets, or a number with K, M, G or T, such as 50M" },
	{ "limits { message = 99999999999T }",
		"posthouse.conf:1: `message = 99999999999T` is not between 1K and 4G" },
	{ "limits { recipients = -1 }", "posthouse.conf:1: `recipients = -1` is no number" },
	{ "limits { idle = 5 }", "posthouse.conf:1: `idle = 5` is no time; write a number with ms, "
				 "s, m, h or d, such as 5m" },
	{ "queue { expire = 61d }",
		"posthouse.conf:1: `expire = 61d` is not between 100ms and 60d" },
	{ HEAD LISTEN "queue { segment-size = 5000001 }",
		"posthouse.conf: `segment-size` is no multiple of 4K" },
	{ HEAD LISTEN "queue { retry-first = 5h }",
		"posthouse.conf: `retry-first` is longer than `retry-most`" },
};

static void
each_mistake_is_named_with_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
		struct config c = { 0 };
		struct err e = { 0 };

		if (config_parse(&c, str_of(mistakes[i].text), "posthouse.conf", &e))
			fail_msg("taken: %s", mistakes[i].text);
		assert_string_equal(e.text, mistakes[i].message);
		assert_int_equal(e.class, ERR_PERMANENT);
		assert_null(c.arena.chunks);
	}
}

static void
a_nul_is_refused(void **state)
{
	struct config c = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_false(config_parse(&c, S("hostname = a.example\n#\0\n"), "f", &e));
	assert_string_equal(e.text, "f:2: octet 0 is no text");
}

static void
a_missing_file_says_what_to_do(void **state)
{
	struct config c = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_false(config_load(&c, "/nonexistent/posthouse.conf", &e));
	assert_string_equal(e.text,
		"/nonexistent/posthouse.conf: there is no such file; write one "
		"(posthouse serve --help has a small one) or name another with --config FILE");
	assert_false(config_load(&c, "/tmp", &e));
	assert_string_equal(e.text, "/tmp: this is no file");
}

static void
the_file_is_found_by_the_environment(void **state)
{
	char path[] = "/tmp/posthouse-config-XXXXXX";
	int fd = mkstemp(path);
	struct config c = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, full, sizeof full - 1), sizeof full - 1);
	close(fd);
	setenv("POSTHOUSE_CONFIG", path, 1);
	assert_true(config_load(&c, NULL, &e));
	assert_text(c.hostname, "mail.example.org");
	config_free(&c);
	assert_false(config_load(&c, "/nonexistent/other.conf", &e)); /* the argument wins */
	setenv("POSTHOUSE_CONFIG", "", 1);			      /* as if it were not set */
	assert_string_equal(config_path(NULL), "/etc/posthouse/posthouse.conf");
	unsetenv("POSTHOUSE_CONFIG");
	unlink(path);
}

static bool
is_trusted(const struct config *c, const char *text)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return config_networks_have(&c->trusted, (const void *)&in);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return config_networks_have(&c->trusted, (const void *)&in6);
}

static void
networks_hold_their_addresses(void **state)
{
	struct config c = parse(
		HEAD LISTEN "trusted = {\"127.0.0.1/32\", \"10.16.0.0/12\", \"2001:db8::/33\"}");

	(void)state;
	assert_true(is_trusted(&c, "127.0.0.1"));
	assert_true(is_trusted(&c, "::ffff:127.0.0.1"));
	assert_false(is_trusted(&c, "127.0.0.2"));
	assert_true(is_trusted(&c, "10.31.255.255"));
	assert_false(is_trusted(&c, "10.32.0.0"));
	assert_true(is_trusted(&c, "2001:db8:7fff::1"));
	assert_false(is_trusted(&c, "2001:db8:8000::1"));
	assert_false(is_trusted(&c, "::1"));
	config_free(&c);
}

static void
domains_are_found_in_any_case(void **state)
{
	struct config c = parse(full);

	(void)state;
	assert_ptr_equal(config_domain(&c, S("EXAMPLE.Org")), &c.domains[0]);
	assert_null(config_domain(&c, S("example.com")));
	config_free(&c);
}

static void
the_table_describes_itself(void **state)
{
	struct buf text = { .max = 65536 }, json = { .max = 65536 };

	(void)state;
	config_describe(&text, false);
	assert_true(str_find_str(buf_str(&text), S("\nlimits.message          size        50M      "
						   "             largest message\n")) < text.n);
	config_describe(&json, true);
	assert_true(str_starts(buf_str(&json), S("{\"section\":\"\",\"name\":\"hostname\",\"type\":"
						 "\"name\",\"default\":null,\"help\":")));
	buf_free(&text);
	buf_free(&json);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_file_means_what_it_says),
		cmocka_unit_test(doors_have_locks_and_manners),
		cmocka_unit_test(a_filter_may_be_written_as_others_write_it),
		cmocka_unit_test(a_filter_may_be_written_as_others_write_it),
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(each_mistake_is_named_with_its_line),
		cmocka_unit_test(a_nul_is_refused),
		cmocka_unit_test(a_missing_file_says_what_to_do),
		cmocka_unit_test(the_file_is_found_by_the_environment),
		cmocka_unit_test(networks_hold_their_addresses),
		cmocka_unit_test(domains_are_found_in_any_case),
		cmocka_unit_test(the_table_describes_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
