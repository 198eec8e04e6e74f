/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <sysexits.h>

#include "cmd/ask.h"
#include "config/config.h"
#include "message/message.h"
#include "route/hop.h"

/*
 * `posthouse explain`: what a reply code means, or which rules a client would meet (explain_session.c), without asking anybody; and where a mail would go, which the running station is asked,
 * because its resolver has the answers.
 */

static const char help[] =
	"posthouse explain CODE…                       what 550, 4.7.28 or \"550 5.1.1\" means, "
	"and what to do\n"
	"posthouse explain route ADDRESS [--from WHO]  where a mail to it would go, by which rule, "
	"on which answers; sends\n"
	"                                              nothing; --from: for mail of that sender\n"
	"posthouse explain session ADDRESS [HELO] [DOOR]  which rules of the file such a client "
	"would meet, and "
	"what the DNS\n"
	"                                              would be asked; asks nothing; DOOR: smtp, "
	"submission, "
	"submissions\n"
	"\n"
	"  --config FILE   else $POSTHOUSE_CONFIG, else /etc/posthouse/posthouse.conf\n"
	"  --json          one object: code, enhanced, meaning, sender (what the sender can do), "
	"operator; or address,\n"
	"                  rule, tls, hops (preference, host, to, secure), error, trace; session: "
	"an object a rule: "
	"when, reply, rule\n"
	"\n"
	"Example\n"
	"  posthouse explain 4.7.28\n"
	"  posthouse explain route wei@example.org --json\n";

struct asker {
	struct ask ask;
	const char *address;
	bool is_json, has_failed;
};

/* ── codes ── */

/* RFC 5321 §4.2.3, RFC 4954 §6, RFC 7504, RFC 7505. */
static const struct {
	uint16_t code;
	const char *meaning;
} replies[] = {
	{ 211, "The answer to a question about the host's state." },
	{ 214, "The answer to HELP." },
	{ 220, "The host is ready; or, to STARTTLS: begin the encryption." },
	{ 221, "The host closes the connection, as it was asked to." },
	{ 235, "The login is right." },
	{ 250, "Done. To the end of a message: the host has taken charge of it." },
	{ 251, "The person is elsewhere; the host passes the mail on." },
	{ 252, "The host does not say whether the address exists, but takes mail for it." },
	{ 334, "Go on with the login." },
	{ 354, "Send the message." },
	{ 421, "The host closes the connection for now: it is busy, going down, or has had enough "
	       "of this client." },
	{ 432, "The login needs a change of the password first." },
	{ 450, "The mailbox cannot take mail now: it is in use, or policy makes the sender wait "
	       "(greylisting)." },
	{ 451, "Something in the host failed while it worked on this." },
	{ 452, "The host has no room now, or the mail has more recipients than it takes at once." },
	{ 454, "Login or encryption is not available now." },
	{ 455, "The host cannot do what the parameters of this command ask for now." },
	{ 500, "The host does not know this command, or the line was too long." },
	{ 501, "The host does not understand what stands behind the command." },
	{ 502, "The host knows this command, but does not do it." },
	{ 503, "This command does not come at this place." },
	{ 504, "The host does not do this command with this parameter." },
	{ 521, "This host takes no mail at all." },
	{ 530, "A login, or encryption, is needed first." },
	{ 534, "The way of logging in is too weak for this account." },
	{ 535, "Wrong name or password." },
	{ 538, "This way of logging in needs encryption." },
	{ 550, "Refused: there is no such mailbox, or policy forbids it." },
	{ 551, "The person is not here; the words may have the new address." },
	{ 552, "The mail, or the mailbox, is over its size." },
	{ 553, "The address is written in a way that cannot be right." },
	{ 554, "Refused; at the beginning of a connection: this host will not talk to that "
	       "client." },
	{ 555, "The host does not know a parameter of MAIL or RCPT." },
	{ 556, "The domain takes no mail." },
};

struct codes {
	uint16_t reply;		  /* 0: none given */
	struct enhanced enhanced; /* class 0: none given */
};

/* "550", "5.1.1", "550 5.1.1" */
static bool
read_codes(struct str text, struct codes *c)
{
	struct str rest = text;
	uint64_t n;

	*c = (struct codes){ 0 };
	if (!ask_scan_enhanced(&rest, &c->enhanced)) {
		c->enhanced = (struct enhanced){ 0 };
		if (!scan_u64(&rest, &n) || n < 200 || n > 599)
			return false;
		c->reply = (uint16_t)n;
		scan_blanks(&rest);
		if (rest.n && !ask_scan_enhanced(&rest, &c->enhanced))
			return false;
	}
	return rest.n == 0;
}

static const char *
reply_meaning(uint16_t code)
{
	static const char *const first[] = { [2] = "Done.",
		[3] = "Go on.",
		[4] = "Not now; the same may work later.",
		[5] = "No, and the same will not work later." };

	for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++)
		if (replies[i].code == code)
			return replies[i].meaning;
	return first[code / 100];
}

static int
explain_code(const struct asker *a, struct str text)
{
	struct buf line = { .max = 65536 };
	struct dsn_meaning m;
	struct str class;
	char enhanced[32] = "";
	struct codes c;

	if (!read_codes(text, &c)) {
		fprintf(stderr,
			"posthouse explain: %.*s is no reply code: write 550, 4.7.28 or "
			"\"550 5.1.1\"\n",
			STR_ARG(text));
		return EX_USAGE;
	}
	m = dsn_explain(c.enhanced, S(""), DSN_ENGLISH);
	if (c.enhanced.class) {
		snprintf(enhanced, sizeof enhanced, "%u.%u.%u", c.enhanced.class,
			c.enhanced.subject, c.enhanced.detail);
	} else {
		m.meaning = m.for_sender = (struct str){ 0 };
	}
	class = dsn_explain_class(
		c.enhanced.class ? c.enhanced : (struct enhanced){ .class = c.reply / 100 },
		DSN_ENGLISH);
	if (a->is_json) {
		buf_addf(&line, "{\"code\":%u", c.reply);
		ask_json_text(&line, "enhanced", str_of(enhanced));
		ask_json_text(
			&line, "meaning", m.meaning.n ? m.meaning : str_of(reply_meaning(c.reply)));
		ask_json_text(&line, "sender", m.for_sender);
		ask_json_text(&line, "operator", m.for_operator);
		printf("%.*s}\n", STR_ARG(buf_str(&line)));
		buf_free(&line);
		return EX_OK;
	}
	if (c.reply)
		printf("%u       %s\n", c.reply, reply_meaning(c.reply));
	if (m.meaning.n)
		printf("%-8s  %.*s\n", enhanced, STR_ARG(m.meaning));
	printf("hope      %.*s\n", STR_ARG(class));
	if (m.for_sender.n)
		printf("sender    %.*s\n", STR_ARG(m.for_sender));
	printf("operator  %.*s\n", STR_ARG(m.for_operator));
	return EX_OK;
}

/* ── roads ── */

/* By enum config_tls. A station that is newer than this command may have others. */
static const struct {
	struct str word;
	const char *meaning;
} demands[] = {
	[CONFIG_TLS_TRY] = { S("try"), "encrypted where the host can" },
	[CONFIG_TLS_NEVER] = { S("never"), "in clear" },
	[CONFIG_TLS_REQUIRE] = { S("require"), "encrypted, or the mail waits" },
	[CONFIG_TLS_VERIFY] = { S("verify"),
		"encrypted, and the host proves its name, or the mail waits" },
};

enum { DEMANDS_N = sizeof demands / sizeof demands[0] };

static void
add_hops_json(struct buf *to, struct str hops)
{
	struct hop h;
	const char *comma = "";

	buf_add(to, S(",\"hops\":["));
	for (; hop_scan(&hops, &h); comma = ",") {
		struct buf place = { .max = 1024 };

		hop_add_text(&place, &h);
		buf_addf(to, "%s{\"preference\":%u", comma, h.preference);
		ask_json_text(to, "host", h.host);
		ask_json_text(to, "to", buf_str(&place));
		buf_addf(to, ",\"secure\":%s}", h.is_secure ? "true" : "false");
		buf_free(&place);
	}
	buf_add_char(to, ']');
}

static void
print_traced_json(const struct asker *a, const struct ipc_traced *t, const struct err *why)
{
	struct buf line = { .max = 8 * IPC_PACKET_MAX };

	buf_add(&line, S("{\"address\":"));
	codec_add_json(&line, str_of(a->address));
	ask_json_text(&line, "rule", t->rule);
	ask_json_text(&line, "tls", t->tls < DEMANDS_N ? demands[t->tls].word : S(""));
	add_hops_json(&line, t->hops);
	ask_json_text(&line, "error", str_of(why->text));
	ask_json_text(&line, "trace", t->trace);
	printf("%.*s}\n", STR_ARG(buf_str(&line)));
	buf_free(&line);
}

static void
print_hops(struct str hops)
{
	static const char *const protocols[] = {
		[HOP_SMTP] = "", [HOP_LMTP] = "  LMTP", [HOP_SMTPS] = "  TLS first"
	};
	struct hop h;
	unsigned n = 0;

	while (hop_scan(&hops, &h)) {
		struct buf place = { .max = 1024 };

		hop_add_text(&place, &h);
		printf("  %2u. ", ++n);
		ask_print_plain(h.host);
		printf("  ");
		ask_print_plain(buf_str(&place));
		if (h.preference)
			printf("  MX %u", h.preference);
		printf("%s%s\n", protocols[h.protocol], h.is_secure ? "  (DNSSEC)" : "");
		buf_free(&place);
	}
}

/* To smtps:// nothing goes in clear, whatever the route says. */
static void
print_demand(const struct ipc_traced *t)
{
	struct str rest = t->hops;
	struct hop first = { 0 };
	bool is_less = t->tls == CONFIG_TLS_TRY || t->tls == CONFIG_TLS_NEVER;

	if (is_less && hop_scan(&rest, &first) && first.protocol == HOP_SMTPS)
		printf("tls    %.*s, to smtps:// as require: %s\n", STR_ARG(demands[t->tls].word),
			demands[CONFIG_TLS_REQUIRE].meaning);
	else
		printf("tls    %.*s: %s\n", STR_ARG(demands[t->tls].word), demands[t->tls].meaning);
}

static void
print_traced(const struct ipc_traced *t, const struct err *why)
{
	struct str rest = t->trace, line;

	printf("rule   ");
	ask_print_plain(t->rule);
	putchar('\n');
	while (rest.n) {
		str_cut(rest, '\n', &line, &rest);
		printf("asked  ");
		ask_print_plain(line);
		putchar('\n');
	}
	if (err_is(why)) {
		printf("%s  ", why->class == ERR_PERMANENT ? "no way" : "not now");
		ask_print_plain(str_of(why->text));
		putchar('\n');
	} else if (t->hops.n) {
		if (t->tls < DEMANDS_N)
			print_demand(t);
		printf("hosts, in the order in which they are tried\n");
		print_hops(t->hops);
	}
}

static void
came(void *owner, const struct ipc_message *m)
{
	struct asker *a = owner;
	struct str rest = m->traced.why;
	struct err why = { 0 };

	if (m->kind != IPC_traced)
		return;
	codec_scan_err(&rest, &why);
	a->has_failed = err_is(&why);
	if (a->is_json)
		print_traced_json(a, &m->traced, &why);
	else
		print_traced(&m->traced, &why);
}

static int
explain_route(struct asker *a, const char *config, const char *from)
{
	int code = ask_open(&a->ask, config);

	if (code == EX_OK)
		code = ask_order(&a->ask, &(struct ipc_order){ .fd = -1,
						  .verb = ORDER_ROUTE,
						  .what = str_of(a->address),
						  .sender = str_of(from) });
	ask_close(&a->ask);
	return code == EX_OK && a->has_failed ? EX_NOHOST : code;
}

/* ── the command ── */

static int
run(struct asker *a, int n, char **words, const char *config, const char *from)
{
	struct buf text = { .max = 1024 };
	int code;

	if (n == 2 && strcmp(words[0], "route") == 0) {
		a->address = words[1];
		return explain_route(a, config, from);
	}
	if (n >= 2 && n <= 4 && strcmp(words[0], "session") == 0)
		return cmd_explain_session(config, words + 1, n - 1, a->is_json);
	if (n == 0 || n > 2 || strcmp(words[0], "route") == 0 || strcmp(words[0], "session") == 0) {
		fprintf(stderr, "posthouse explain: say a code, route ADDRESS, or session ADDRESS; "
				"posthouse explain "
				"--help has examples\n");
		return EX_USAGE;
	}
	for (int i = 0; i < n; i++) {
		buf_add(&text, i ? S(" ") : S(""));
		buf_add(&text, str_of(words[i]));
	}
	code = explain_code(a, buf_str(&text));
	buf_free(&text);
	return code;
}

int
cmd_explain(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "from", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct asker a = { .ask = { .command = "posthouse explain", .came = came } };
	const char *config = NULL, *from = "";
	int o;

	a.ask.owner = &a;
	opterr = 0;
	while ((o = getopt_long(argc, argv, "c:f:j", options, NULL)) != -1)
		switch (o) {
		case 'c':
			config = optarg;
			break;
		case 'f':
			from = optarg;
			break;
		case 'j':
			a.is_json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EX_OK;
		default:
			fprintf(stderr,
				"posthouse: %s: no such option; see 'posthouse explain --help'\n",
				argv[optind - 1]);
			return EX_USAGE;
		}
	return run(&a, argc - optind, argv + optind, config, from);
}
