/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <sysexits.h>

#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "role/receive/manners.h"
#include "route/dns.h"

/*
 * `posthouse explain session`: what a client would hear, in the order in which it would hear it. By the file and the
 * gate's own judgements (role/receive/manners.c); what the DNS or the gate's memory would add is told as a question.
 */

struct session {
	struct config config;
	struct config_network at;
	struct str address, hello;
	enum config_door door;
	bool is_json;
};

static const char *const doors[] = { [CONFIG_SMTP] = "smtp",
	[CONFIG_SUBMISSION] = "submission",
	[CONFIG_SUBMISSIONS] = "submissions" };

enum { DOORS = sizeof doors / sizeof doors[0] };

/* One rule: when it is met, the reply (or "ask", "note", "yes"), and why. */
__attribute__((format(printf, 4, 5))) static void
tell(const struct session *s, const char *when, const char *reply, const char *format, ...)
{
	struct buf line = { .max = 4096 };
	char rule[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(rule, sizeof rule, format, ap);
	va_end(ap);
	if (s->is_json) {
		buf_add(&line, S("{\"when\":"));
		codec_add_json(&line, str_of(when));
		ask_json_text(&line, "reply", str_of(reply));
		ask_json_text(&line, "rule", str_of(rule));
		printf("%.*s}\n", STR_ARG(buf_str(&line)));
	} else {
		printf("%-9s %-4s ", when, reply);
		ask_print_plain(str_of(rule));
		putchar('\n');
	}
	buf_free(&line);
}

static const char *
seconds(int64_t ms, char to[32])
{
	if (ms % 1000 == 0)
		snprintf(to, 32, "%lld s", (long long)(ms / 1000));
	else
		snprintf(to, 32, "%lld ms", (long long)ms);
	return to;
}

/* ── the rules, in their order ── */

static void
tell_who_speaks(const struct session *s, const struct sockaddr *a)
{
	for (size_t i = 0; i < s->config.listens_n; i++) {
		const struct config_listen *l = &s->config.listens[i];

		if (l->door != s->door)
			continue;
		if (config_networks_have(&l->proxy, a))
			tell(s, "before", "ask",
				"it is a proxy at a door %s: a PROXY header must come first, and "
				"its client is judged in its place",
				doors[s->door]);
		if (config_networks_have(&l->xclient, a))
			tell(s, "EHLO", "yes",
				"XCLIENT is offered: its client is judged in its place");
	}
}

/* Of whoever it is. */
static void
tell_house(const struct session *s)
{
	const struct config *c = &s->config;
	char time[32];

	tell(s, "greeting", "421", "above %u connections of all clients (limits: connections)",
		c->limits.connections);
	tell(s, "all", "421", "after %s for one request (limits: idle)",
		seconds(c->limits.idle_ms, time));
	if (c->limits.rate)
		tell(s, "RCPT", "450", "above %u recipients in a minute (limits: rate)",
			c->limits.rate);
}

/* A stranger is given less of everything, the fuller the house is. */
static void
tell_stress(const struct session *s)
{
	int64_t patience_ms, idle_ms = s->config.limits.idle_ms;
	char time[32];

	for (enum manners_stress at = STRESS_HALF; at < STRESS_FULL; at++) {
		patience_ms = manners_patience_ms(at, idle_ms);
		tell(s, "all", "421",
			"after %s for one request where %u %% of limits.connections are taken",
			seconds(patience_ms, time), manners_stress_percent(at));
	}
	tell(s, "all", "421", "after %u errors where %u %% of limits.connections are taken",
		manners_errors_most(STRESS_MOST), manners_stress_percent(STRESS_MOST));
}

static void
tell_limits(const struct session *s)
{
	const struct config *c = &s->config;

	if (c->gate.connections)
		tell(s, "greeting", "421",
			"above %u connections from its %s at once (gate: connections)",
			c->gate.connections, s->at.family == AF_INET ? "address" : "/64");
	if (c->gate.network)
		tell(s, "greeting", "421",
			"above %u connections from its %s at once (gate: network)", c->gate.network,
			s->at.family == AF_INET ? "/24" : "/48");
}

/* What it has done within the hour. */
static void
tell_record(const struct session *s)
{
	tell(s, "greeting", "421", "after %d of its sessions that went wrong within an hour",
		MANNERS_FAULTS_HOURLY);
	if (s->config.gate.unknown)
		tell(s, "greeting", "421",
			"after %u recipients that nobody here is within an hour (gate: unknown)",
			MANNERS_UNKNOWN_HOURLY * s->config.gate.unknown);
	tell(s, "greeting", "421",
		"where %u %% of limits.connections are taken, unless it brought mail before",
		manners_stress_percent(STRESS_FULL));
}

static void
tell_hello(const struct session *s)
{
	const char *fault = s->hello.n ? manners_hello_fault(&s->config, s->hello, &s->at) : NULL;

	if (!fault || s->config.gate.hello == CONFIG_IGNORE)
		return;
	if (s->config.gate.hello == CONFIG_REFUSE)
		tell(s, "RCPT", "550", "it calls itself %.*s, which is %s (gate: hello)",
			STR_ARG(s->hello), fault);
	else
		tell(s, "HELO", "note",
			"it calls itself %.*s, which is %s: written in Received (gate: hello)",
			STR_ARG(s->hello), fault);
}

static void
tell_question(const struct session *s, struct str zone, const char *type, const char *then)
{
	struct buf name = { .max = 512 };

	dns_add_turned(&name, s->at.address, s->at.family == AF_INET ? 4 : 16, zone);
	tell(s, "RCPT", s->config.resolver.is_off ? "no" : "ask", "%.*s %s%s",
		STR_ARG(buf_str(&name)), type,
		s->config.resolver.is_off ? " is not asked: the resolver is off" : then);
	buf_free(&name);
}

static void
tell_manners(const struct session *s)
{
	const struct config *c = &s->config;
	char time[32];

	tell_record(s);
	if (c->gate.pause_ms)
		tell(s, "greeting", "554",
			"for speaking within the %s before the greeting (gate: pause)",
			seconds(c->gate.pause_ms, time));
	for (size_t i = 0; i < c->gate.dnsbl_n; i++)
		tell_question(s, c->gate.dnsbl[i], "A", ": 554 where it is listed (gate: dnsbl)");
	tell_hello(s);
	if (c->gate.reverse != CONFIG_IGNORE)
		tell_question(s, s->at.family == AF_INET ? S("in-addr.arpa") : S("ip6.arpa"), "PTR",
			c->gate.reverse == CONFIG_REFUSE
				? ", and whether the name leads back: 550 where none does, 450 "
				  "where its DNS fails (gate: reverse)"
				: ", and whether the name leads back: written in Received (gate: "
				  "reverse)");
	if (c->gate.greylist)
		tell(s, "RCPT", "451", "at first contact, for %s (gate: greylist)",
			seconds(c->gate.greylist_wait_ms, time));
	if (c->gate.unknown)
		tell(s, "RCPT", "421", "after %u recipients that nobody here is (gate: unknown)",
			c->gate.unknown);
}

/* In the order of the file. */
static void
tell_filters(const struct session *s, bool is_stranger)
{
	for (size_t i = 0; i < s->config.filters_n; i++) {
		const struct config_filter *f = &s->config.filters[i];

		if (is_stranger || !f->only_strangers)
			tell(s, "MAIL", "ask",
				"the filter %.*s at %.*s, from here to the end of the message; "
				"while it "
				"does not answer: %s",
				STR_ARG(f->name), STR_ARG(f->at),
				f->when_down == CONFIG_ACCEPT ? "the mail goes on without it"
							      : "451");
	}
}

static void
tell_all(const struct session *s)
{
	struct sockaddr_storage a;
	bool is_trusted;

	config_make_socket(&s->at, 0, &a);
	is_trusted = config_networks_have(&s->config.trusted, (const struct sockaddr *)&a);
	tell_who_speaks(s, (const struct sockaddr *)&a);
	if (config_networks_have(&s->config.refuse, (const struct sockaddr *)&a)) {
		tell(s, "greeting", "554", "its network is refused (refuse)");
		return;
	}
	tell_house(s);
	if (manners_spare(&s->config, &s->at)) {
		if (is_trusted)
			tell(s, "all", "yes",
				"its network is trusted: it may relay, and the gate spares it");
		else
			tell(s, "all", "yes", "it is this machine itself: the gate spares it");
		tell_filters(s, !is_trusted && s->door == CONFIG_SMTP);
		return;
	}
	tell_limits(s);
	tell_stress(s);
	tell(s, "all", "421", "after %d commands without a mail", MANNERS_LINES_MOST);
	if (s->door == CONFIG_SMTP)
		tell_manners(s);
	else
		tell(s, "MAIL", "530", "without a login");
	tell_filters(s, s->door == CONFIG_SMTP);
}

/* ── the command ── */

static bool
read_words(struct session *s, char **words, int n)
{
	s->address = str_of(words[0]);
	for (size_t i = 0; n > 1 && i < DOORS; i++)
		if (strcmp(words[n - 1], doors[i]) == 0) {
			s->door = (enum config_door)i;
			n--;
			break;
		}
	if (n == 2)
		s->hello = str_of(words[1]);
	return n <= 2 && manners_parse_address(s->address, &s->at);
}

int
cmd_explain_session(const char *config, char **words, int n, bool is_json)
{
	struct session s = { .is_json = is_json };
	struct err e;

	if (!read_words(&s, words, n)) {
		fprintf(stderr, "posthouse explain: write session ADDRESS [HELO] [DOOR], as in "
				"session 192.0.2.1 mail.example.net smtp\n");
		return EX_USAGE;
	}
	if (!config_load(&s.config, config, &e)) {
		fprintf(stderr, "posthouse: %s\n", e.text);
		return EX_CONFIG;
	}
	tell_all(&s);
	config_free(&s.config);
	return EX_OK;
}
