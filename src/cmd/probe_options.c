/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe.h"

#include <getopt.h>
#include <sysexits.h>
#include <unistd.h>

#include "smtp/address.h"

/* What a person asks `posthouse probe` for. */

static const char help[] =
	"posthouse probe HOST[:PORT] | URL [options]\n"
	"\n"
	"Speaks SMTP with a host and times each step. Without --to no mail is sent: it tells what\n"
	"the host offers, its TLS, its certificate and its logins.\n"
	"\n"
	"URL is smtp://[USER@]HOST[:PORT], smtps://…, lmtp://…, unix:PATH or lmtp+unix:PATH\n"
	"\n"
	"  --to ADDRESS             send a mail there (may be repeated)\n"
	"  --from ADDRESS           else the user, or postmaster of this host; '' is <>\n"
	"  --data FILE              the message; - is standard input; else a line of ours\n"
	"  --mail-parameters TEXT   behind MAIL: \"SIZE=1000 BODY=8BITMIME\"\n"
	"  --rcpt-parameters TEXT   behind each RCPT: \"NOTIFY=NEVER\"\n"
	"  --ehlo NAME              who we are; else the name of this host\n"
	"  --helo                   HELO in place of EHLO\n"
	"  --lmtp                   LHLO, and a reply for each recipient (RFC 2033)\n"
	"  --pipeline               MAIL, RCPT and DATA at once\n"
	"  --raw-line TEXT          a line in front of MAIL, sent as it is (may be repeated)\n"
	"  --quit-after STEP        connect, banner, ehlo, starttls, tls, auth, mail, rcpt, data.\n"
	"                           Behind starttls and data the connection is closed without "
	"QUIT\n"
	"  --tls try|require|never|first\n"
	"                           try: STARTTLS where it is offered; require: and a certificate\n"
	"                           that is good for the host; first: before the banner.\n"
	"                           Versions below 1.2 are not tried\n"
	"  --trust FILE             PEM file of the authorities that vouch; else the system's\n"
	"  --user NAME              log in\n"
	"  --auth MECHANISM         in this way; else the best that is offered\n"
	"  --password-stdin         the password is the first line of standard input; else it is\n"
	"                           asked for on the terminal\n"
	"  --in-clear               send the password unencrypted, or to a host that does not "
	"prove\n"
	"                           its name, and not only to this host\n"
	"  --timeout SECONDS        for each answer (30)\n"
	"  --json                   one object: ok, exit, target, error, steps, tls, extensions\n"
	"\n"
	"Exit codes: 0 all was taken, 64 usage, 66 a file cannot be read, 69 refused, 75 try "
	"again\n"
	"later, 77 login refused.\n"
	"\n"
	"Example\n"
	"  posthouse probe mail.example.org:587\n"
	"  posthouse probe mail.example.org --to bob@example.org --quit-after rcpt\n";

enum { TARGET_MAX = 512, PATIENCE_S = 30, PATIENCE_S_MAX = 3600 };

int
probe_complain(int exit_code, const char *what, const char *detail)
{
	fprintf(stderr, "posthouse probe: %s%s%s\n", what, *detail ? ": " : "", detail);
	return exit_code;
}

/* ── what is asked for ── */

enum option_name {
	TO = 256,
	FROM,
	DATA,
	MAIL_PARAMETERS,
	RCPT_PARAMETERS,
	EHLO,
	HELO,
	LMTP,
	PIPELINE,
	RAW_LINE,
	QUIT_AFTER,
	TLS,
	TRUST,
	USER,
	AUTH,
	PASSWORD,
	CLEAR,
	TIMEOUT,
	JSON,
	HELP,
};

static const struct option options[] = {
	{ "to", required_argument, NULL, TO },
	{ "from", required_argument, NULL, FROM },
	{ "data", required_argument, NULL, DATA },
	{ "mail-parameters", required_argument, NULL, MAIL_PARAMETERS },
	{ "rcpt-parameters", required_argument, NULL, RCPT_PARAMETERS },
	{ "ehlo", required_argument, NULL, EHLO },
	{ "helo", no_argument, NULL, HELO },
	{ "lmtp", no_argument, NULL, LMTP },
	{ "pipeline", no_argument, NULL, PIPELINE },
	{ "raw-line", required_argument, NULL, RAW_LINE },
	{ "quit-after", required_argument, NULL, QUIT_AFTER },
	{ "tls", required_argument, NULL, TLS },
	{ "trust", required_argument, NULL, TRUST },
	{ "user", required_argument, NULL, USER },
	{ "auth", required_argument, NULL, AUTH },
	{ "password-stdin", no_argument, NULL, PASSWORD },
	{ "in-clear", no_argument, NULL, CLEAR },
	{ "timeout", required_argument, NULL, TIMEOUT },
	{ "json", no_argument, NULL, JSON },
	{ "help", no_argument, NULL, HELP },
	{ 0 },
};

static const char *const quit_steps[] = { "connect", "banner", "ehlo", "starttls", "tls", "auth",
	"mail", "rcpt", "data" };

static bool
is_quit_step(const char *name)
{
	for (size_t i = 0; i < sizeof quit_steps / sizeof quit_steps[0]; i++)
		if (strcmp(quit_steps[i], name) == 0)
			return true;
	return false;
}

static bool
read_tls(struct probe_order *o, const char *word)
{
	o->is_tls_first = o->is_tls_first || strcmp(word, "first") == 0;
	if (strcmp(word, "require") == 0)
		o->tls = PROBE_TLS_REQUIRE;
	else if (strcmp(word, "never") == 0)
		o->tls = PROBE_TLS_NEVER;
	else
		return strcmp(word, "try") == 0 || strcmp(word, "first") == 0;
	return true;
}

static bool
read_timeout(struct probe_order *o, struct str word)
{
	uint64_t seconds;

	if (!scan_u64(&word, &seconds) || word.n || seconds == 0 || seconds > PATIENCE_S_MAX)
		return false;
	o->patience_ms = (int64_t)seconds * 1000;
	return true;
}

/* A line end would be a second command: only --raw-line is for those who mean it. */
static bool
is_one_line(const char *value)
{
	return !value || strpbrk(value, "\r\n") == NULL;
}

/* Where a text goes; NULL: it is no plain text. */
static const char **
place_of_text(struct probe_order *o, enum option_name name)
{
	switch ((int)name) {
	case FROM:
		return &o->from;
	case DATA:
		return &o->data;
	case MAIL_PARAMETERS:
		return &o->mail_parameters;
	case RCPT_PARAMETERS:
		return &o->rcpt_parameters;
	case EHLO:
		return &o->hello;
	case TRUST:
		return &o->trust;
	case USER:
		return &o->user;
	case AUTH:
		return &o->mechanism;
	case TO:
		return &o->to.p[o->to.n++];
	case RAW_LINE:
		return &o->raw_lines.p[o->raw_lines.n++];
	}
	return NULL;
}

static bool *
place_of_switch(struct probe_order *o, enum option_name name)
{
	switch ((int)name) {
	case HELO:
		return &o->says_helo;
	case LMTP:
		return &o->is_lmtp;
	case PIPELINE:
		return &o->pipelines;
	case PASSWORD:
		return &o->reads_password;
	case CLEAR:
		return &o->sends_in_clear;
	case JSON:
		return &o->is_json;
	}
	return NULL;
}

/* False: it is none of the words that it may be. */
static bool
read_option(struct probe_order *o, enum option_name name, const char *value)
{
	const char **text = place_of_text(o, name);
	bool *is_set = text ? NULL : place_of_switch(o, name);

	if (text)
		*text = value;
	else if (is_set)
		*is_set = true;
	else if (name == TLS)
		return read_tls(o, value);
	else if (name == TIMEOUT)
		return read_timeout(o, str_of(value));
	else
		return is_quit_step(o->quit_after = value);
	return true;
}

/* An exit code; *is_over: it was --help. */
static int
read_options(struct probe_order *o, int argc, char **argv, bool *is_over)
{
	int at = 0;

	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, ":", options, &at)) != -1;) {
		if (c == '?' || c == ':') {
			fprintf(stderr, "posthouse: %s: %s; see 'posthouse probe --help'\n",
				argv[optind - 1], c == ':' ? "needs a value" : "no such option");
			return EX_USAGE;
		}
		if (c == HELP) {
			*is_over = true;
			fputs(help, stdout);
			return EX_OK;
		}
		if ((c != RAW_LINE && !is_one_line(optarg)) ||
			!read_option(o, (enum option_name)c, optarg)) {
			fprintf(stderr, "posthouse probe: --%s: %s; see 'posthouse probe --help'\n",
				options[at].name,
				is_one_line(optarg) ? "not one of its words" : "a line end in it");
			return EX_USAGE;
		}
	}
	if (argc - optind != 1)
		return probe_complain(EX_USAGE, "which host? posthouse probe mail.example.org", "");
	o->target = argv[optind];
	return is_one_line(o->target)
		       ? EX_OK
		       : probe_complain(EX_USAGE, "a line end in the host's name", "");
}

/* HOST[:PORT] is smtp://HOST[:PORT]. */
static int
find_way(struct probe_order *o, struct way *way)
{
	bool is_url = strstr(o->target, "://") || strncmp(o->target, "unix:", 5) == 0 ||
		      strncmp(o->target, "lmtp+unix:", 10) == 0;
	char url[TARGET_MAX];
	struct err e;

	if (snprintf(url, sizeof url, "%s%s", is_url ? "" : "smtp://", o->target) >=
		(int)sizeof url)
		return probe_complain(EX_USAGE, "no host has so long a name", "");
	if (!way_parse(way, str_of(url), &e))
		return probe_complain(EX_USAGE, e.text, "");
	o->is_lmtp = o->is_lmtp || way->is_lmtp;
	o->is_tls_first = o->is_tls_first || way->is_smtps;
	if (way->user[0] && !o->user)
		o->user = way->user;
	if (o->is_tls_first && o->tls == PROBE_TLS_NEVER)
		return probe_complain(
			EX_USAGE, "--tls never, and TLS before the banner: which?", "");
	return EX_OK;
}

static const char *
wrong_mixture(const struct probe_order *o)
{
	bool has_mail = o->to.n || (o->quit_after && strcmp(o->quit_after, "mail") == 0);

	return o->data && !has_mail ? "--data is the message of a mail: to whom? --to ADDRESS"
				    : NULL;
}

static int
find_password(struct probe_order *o)
{
	struct err e;

	if (!o->user && (o->mechanism || o->reads_password))
		return probe_complain(EX_USAGE, "whose password? --user NAME", "");
	if (!o->user)
		return EX_OK;
	return (o->reads_password ? secret_read_line(&o->password, STDIN_FILENO, &e)
				  : secret_ask(&o->password, o->user, &e))
		       ? EX_OK
		       : probe_complain(EX_USAGE, e.text, "");
}

/* Who we are, and who sends. */
static void
find_names(struct probe_order *o)
{
	if (gethostname(o->hostname, sizeof o->hostname - 1) < 0 ||
		!domain_is_valid(str_of(o->hostname), false))
		snprintf(o->hostname, sizeof o->hostname, "localhost");
	if (!o->hello)
		o->hello = o->hostname;
	snprintf(o->sender, sizeof o->sender, "postmaster@%s", o->hostname);
	if (!o->from)
		o->from = o->user && strchr(o->user, '@') ? o->user : o->sender;
}

int
probe_read_order(struct probe_order *o, int argc, char **argv, struct way *way, bool *is_over)
{
	int code;

	o->patience_ms = PATIENCE_S * 1000;
	code = read_options(o, argc, argv, is_over);
	if (code == EX_OK && !*is_over)
		code = find_way(o, way);
	if (code == EX_OK && !*is_over && wrong_mixture(o))
		code = probe_complain(EX_USAGE, wrong_mixture(o), "");
	if (code == EX_OK && !*is_over)
		code = find_password(o);
	if (code == EX_OK && !*is_over)
		find_names(o);
	return code;
}
