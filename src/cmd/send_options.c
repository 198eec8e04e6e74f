/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/send.h"

#include <getopt.h>
#include <stddef.h>
#include <sysexits.h>
#include <time.h>

#include "cmd/profile.h"

/* The command line of `posthouse send`: one table of its settings, from which getopt's is made. */

static const char help[] =
	"posthouse send TO… [options]     the text comes from standard input\n"
	"\n"
	"To whom: addresses, or lists of them: 'Bob <bob@example.org>, ann@example.org'; all may "
	"be given more than once\n"
	"      --to, --cc, --bcc, --reply-to LIST     (bcc stands nowhere in the message)\n"
	"      --from ADDRESS      else the profile's, else USER of --via where that is an "
	"address, else your name at the\n"
	"                          station's domain, or at this host\n"
	"What\n"
	"  -s, --subject TEXT\n"
	"  -m, --message TEXT      or --text FILE, or --edit: write it in $EDITOR; else standard "
	"input\n"
	"      --html FILE         the same as HTML, or instead of a text\n"
	"      --inline ID=FILE    a picture for it: <img src=\"cid:ID\">\n"
	"  -a, --attach FILE[;name=NAME][;type=TYPE]\n"
	"      --header 'NAME: VALUE'\n"
	"      --raw FILE          a finished message in place of all that; - is standard input. "
	"Its line ends become CRLF,\n"
	"                          and Bcc is taken out; nothing else is changed\n"
	"By which way: else the default profile, else the station of the configuration file\n"
	"      --profile NAME      of ~/.config/posthouse/profiles: profile \"NAME\" { via = \"…\" "
	"password = \"cmd:…\" }\n"
	"      --via WAY           smtp://[USER@]HOST[:PORT], smtps://…, lmtp://…, unix:PATH, "
	"lmtp+unix:PATH. Port 25, with\n"
	"                          USER 587; smtps 465; lmtp 24\n"
	"      --config FILE       the station's; else $POSTHOUSE_CONFIG, else "
	"/etc/posthouse/posthouse.conf\n"
	"      --password-stdin    the password is the first line of standard input; else the "
	"terminal is asked\n"
	"      --tls WHAT          verify: the host proves its name; encrypt: whoever it is; try: "
	"if "
	"that works; never. Else\n"
	"                          verify, and try for localhost and 127.0.0.1\n"
	"      --in-clear          as encrypt, and where there is no TLS in clear, the password "
	"too\n"
	"      --trust FILE        PEM file of the authorities that vouch for names; else the "
	"system's\n"
	"How\n"
	"      --notify WHEN       reports: never, or some of success,failure,delay; --envelope-id "
	"ID names it in them\n"
	"      --require-tls       encrypted and verified on the whole way, or not at all\n"
	"      --in 2h30m, --at '2026-12-24 18:00'    sent on no earlier\n"
	"      --wait              until the station has delivered it, sent it back or put it off; "
	"for its operator\n"
	"      --no-outbox         an error when nobody answers; else the mail waits, and goes "
	"later: but not with --via,\n"
	"                          --tls, --trust, --in-clear, --require-tls, --in, --at or a "
	"password that was asked for\n"
	"      --dry-run           print the message, send nothing; of --merge the first\n"
	"  -v                      show the dialogue, secrets masked\n"
	"      --json              one object: from, via, tls, size, message_id, recipients, each "
	"with to, result (sent,\n"
	"                          later, refused, unsure, kept), code, status, stage, text, "
	"advice; --merge and --wait: one a\n"
	"                          recipient with these; what is wrong before: error, exit\n"
	"Many mails: --merge FILE, a mail for each row of CSV or JSON lines; {name} in subject, "
	"text and header is a column\n"
	"      --results FILE      what became of each; given again, it goes on where it stopped\n"
	"      --again             rows that were refused, or of which nobody knows, too; "
	"--connections N: at once\n"
	"\n"
	"Exit codes: 0 all sent or kept, 64 usage, 65 the message or an address is wrong, 66 a "
	"file cannot be read, 68 no such\n"
	"host, 69 refused, 75 try again later, 76 perhaps sent: the answer got lost, 77 login "
	"refused, 78 "
	"configuration.\n"
	"\n"
	"Examples\n"
	"  echo 'See you at noon.' | posthouse send bob@example.org -s Lunch -v\n"
	"  posthouse send bob@example.org --cc ann@example.org -s Menu -m 'Here it is.' -a "
	"menu.pdf -a 'x.csv;name=prices.csv'\n"
	"  posthouse send bob@example.net --profile work -s Lunch --edit\n"
	"  posthouse send '{email}' --merge guests.csv --results done.jsonl -s 'Dear {name}' "
	"--text invitation.txt\n";

enum kind { TEXT, WORDS, FLAG, NUMBER, IN, AT };

/* kind, and where in struct send_order it goes. */
static const struct setting {
	const char *name;
	char letter;
	enum kind kind;
	size_t place;
} settings[] = {
#define SETTING(name, letter, kind, field)                             \
	{                                                              \
		name, letter, kind, offsetof(struct send_order, field) \
	}
	SETTING("to", 0, WORDS, to),
	SETTING("cc", 0, WORDS, cc),
	SETTING("bcc", 0, WORDS, bcc),
	SETTING("reply-to", 0, WORDS, reply_to),
	SETTING("from", 0, TEXT, from),
	SETTING("subject", 's', TEXT, subject),
	SETTING("message", 'm', TEXT, text),
	SETTING("text", 0, TEXT, text_file),
	SETTING("edit", 0, FLAG, edits),
	SETTING("html", 0, TEXT, html_file),
	SETTING("inline", 0, WORDS, inlines),
	SETTING("attach", 'a', WORDS, attachments),
	SETTING("header", 0, WORDS, headers),
	SETTING("raw", 0, TEXT, raw),
	SETTING("profile", 0, TEXT, profile),
	SETTING("via", 0, TEXT, via),
	SETTING("config", 0, TEXT, config_file),
	SETTING("password-stdin", 0, FLAG, reads_password),
	SETTING("in-clear", 0, FLAG, sends_in_clear),
	SETTING("tls", 0, TEXT, tls),
	SETTING("trust", 0, TEXT, trust),
	SETTING("notify", 0, TEXT, notify),
	SETTING("envelope-id", 0, TEXT, envelope_id),
	SETTING("require-tls", 0, FLAG, requires_tls),
	SETTING("in", 0, IN, hold_s),
	SETTING("at", 0, AT, hold_s),
	SETTING("wait", 0, FLAG, waits),
	SETTING("no-outbox", 0, FLAG, never_waits_offline),
	SETTING("dry-run", 0, FLAG, is_dry),
	SETTING("verbose", 'v', FLAG, is_verbose),
	SETTING("json", 0, FLAG, is_json),
	SETTING("merge", 0, TEXT, merge),
	SETTING("results", 0, TEXT, results),
	SETTING("connections", 0, NUMBER, connections),
	SETTING("again", 0, FLAG, again),
	SETTING("help", 0, FLAG, is_help),
#undef SETTING
};

enum { SETTINGS = sizeof settings / sizeof settings[0], WORD = 1, LONG = 256 };

static void
add_word(struct words *words, const char *word)
{
	words->p = memory_resize(NULL, words->p, (words->n + 1) * sizeof *words->p);
	words->p[words->n++] = word;
}

/* "2h30m", "90s", "1d": at least one number with its unit. */
static bool
read_duration(const char *word, uint64_t *seconds)
{
	static const struct {
		char unit;
		unsigned seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	struct str rest = str_of(word);
	uint64_t n;
	size_t i;

	for (*seconds = 0; rest.n;) {
		if (!scan_u64(&rest, &n) || n > UINT32_MAX)
			return false;
		for (i = 0; i < sizeof units / sizeof *units && !scan_char(&rest, units[i].unit);
			i++)
			;
		if (i == sizeof units / sizeof *units)
			return false;
		*seconds += n * units[i].seconds;
	}
	return *seconds > 0;
}

/* What the form leaves open is as it is at `about`. -1: not of this form. */
static time_t
moment_of(const char *word, const char *form, time_t about)
{
	const char *end;
	struct tm tm;

	localtime_r(&about, &tm);
	tm.tm_sec = 0;
	end = strptime(word, form, &tm);
	tm.tm_isdst = -1;
	return end && !*end ? mktime(&tm) : -1;
}

/* "2026-12-24 18:00", "2026-12-24T18:00:30" in local time, "18:00": the next time it is that late. */
static bool
read_moment(const char *word, uint64_t *seconds)
{
	static const char *const forms[] = { "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
		"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S" };
	static const char of_a_day[] = "%H:%M";
	time_t now = time(NULL), then = moment_of(word, of_a_day, now);

	if (then >= 0 && then <= now)
		then = moment_of(word, of_a_day, now + 86400);
	for (size_t i = 0; i < sizeof forms / sizeof *forms && then < 0; i++)
		then = moment_of(word, forms[i], now);
	*seconds = then > now ? (uint64_t)(then - now) : 0;
	return then > now;
}

static int
take_setting(struct send_order *o, const struct setting *setting, const char *value)
{
	void *place = (char *)o + setting->place;
	struct str rest = str_of(value);
	uint64_t n = 0;

	switch (setting->kind) {
	case TEXT:
		*(const char **)place = value;
		break;
	case WORDS:
		add_word(place, value);
		break;
	case FLAG:
		*(bool *)place = true;
		break;
	case NUMBER:
		if (!scan_u64(&rest, &n) || rest.n || n == 0 || n > MERGE_CONNECTIONS_MAX)
			return send_complain(EX_USAGE, "--connections is 1 to 64, not", value);
		*(unsigned *)place = (unsigned)n;
		break;
	case IN:
		if (!read_duration(value, place))
			return send_complain(
				EX_USAGE, "--in is such as 90s, 2h30m or 1d, not", value);
		break;
	case AT:
		if (!read_moment(value, place))
			return send_complain(EX_USAGE,
				"--at is a moment to come, '2026-12-24 18:00' or 18:00, not",
				value);
		break;
	}
	return EX_OK;
}

static const struct setting *
setting_of(int c)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (c == LONG + (int)i || (c < LONG && c == settings[i].letter))
			return &settings[i];
	return NULL;
}

static int
read_options(struct send_order *o, int argc, char **argv)
{
	struct option options[SETTINGS + 1] = { 0 };
	int code = EX_OK;

	for (size_t i = 0; i < SETTINGS; i++)
		options[i] = (struct option){ settings[i].name,
			settings[i].kind == FLAG ? no_argument : required_argument, NULL,
			LONG + (int)i };
	opterr = 0;
	for (int c;
		code == EX_OK && (c = getopt_long(argc, argv, "-:s:m:a:v", options, NULL)) != -1;) {
		const struct setting *setting = setting_of(c);

		if (c == WORD) {
			add_word(&o->to, optarg);
			continue;
		}
		if (setting) {
			code = take_setting(o, setting, optarg);
			continue;
		}
		code = send_complain(EX_USAGE, argv[optind - 1],
			c == ':' ? "needs a value; see 'posthouse send --help'"
				 : "no such option; see 'posthouse send --help'");
	}
	for (; optind < argc; optind++)
		add_word(&o->to, argv[optind]);
	return code;
}

/* ── what cannot be meant ── */

/* Name: value; ID=FILE */
static const char *
wrong_word(const struct words *words, char sign)
{
	for (size_t i = 0; i < words->n; i++) {
		const char *at = strchr(words->p[i], sign);

		if (!at || at == words->p[i] || !at[1])
			return words->p[i];
	}
	return NULL;
}

static const char *
wrong_mixture(const struct send_order *o)
{
	bool has_parts = o->text || o->text_file || o->edits || o->subject || o->html_file ||
			 o->attachments.n || o->inlines.n || o->headers.n || o->reply_to.n;
	enum ph_tls tls = PH_TLS_VERIFY;

	if (o->to.n + o->cc.n + o->bcc.n == 0)
		return "to whom? posthouse send bob@example.org -s Lunch";
	if (o->raw && has_parts)
		return "--raw is a finished message: no -s, no -m, nothing else of a message with "
		       "it";
	if ((o->text != NULL) + (o->text_file != NULL) + o->edits > 1)
		return "one text: -m, --text or --edit";
	if (o->inlines.n && !o->html_file)
		return "--inline is a picture for --html";
	if (o->from && !*o->from && !o->raw)
		return "an empty --from is for --raw alone";
	if (o->waits && (o->via || o->profile))
		return "--wait asks the station of this host: no --via and no --profile with it";
	if (o->waits && o->merge)
		return "--wait is for one mail: --results tells of those of --merge";
	if (o->tls && !profile_tls_word(o->tls, &tls))
		return "--tls is verify, encrypt, try or never";
	if (o->tls && o->sends_in_clear)
		return "--in-clear or --tls: which?";
	if (o->requires_tls && (o->sends_in_clear || (o->tls && tls != PH_TLS_VERIFY)))
		return "--require-tls is for a host that proves its name: no --in-clear, and no "
		       "--tls but verify with it";
	if (o->waits && o->hold_s)
		return "--wait is for a mail that goes at once: no --in and no --at with it";
	if (o->via && o->profile)
		return "one way: --via or --profile";
	if (o->results && !o->merge)
		return "--results is for --merge";
	return NULL;
}

static int
check(const struct send_order *o)
{
	const char *wrong = wrong_mixture(o);
	struct err e;

	if (wrong)
		return send_complain(EX_USAGE, wrong, "");
	if ((wrong = wrong_word(&o->headers, ':')))
		return send_complain(EX_USAGE, "--header is 'Name: value', not", wrong);
	if ((wrong = wrong_word(&o->inlines, '=')))
		return send_complain(EX_USAGE, "--inline is ID=FILE, not", wrong);
	if (o->notify && !order_notify(o->notify, &e))
		return send_complain(EX_USAGE, e.text, "");
	if (o->merge)
		return EX_OK; /* the files of each row are looked for with the row */
	return order_check_files(o, &e) ? EX_OK : send_complain(EX_NOINPUT, e.text, "");
}

int
send_options(struct send_order *o, int argc, char **argv)
{
	int code;

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			send_complain_in_json(); /* of what stands before it, too */
	code = read_options(o, argc, argv);
	if (code == EX_OK && o->is_help)
		fputs(help, stdout);
	return code != EX_OK || o->is_help ? code : check(o);
}
