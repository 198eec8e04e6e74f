/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "cmd/queue.h"
#include "role/queue/filter.h"

/*
 * `posthouse queue`: what waits, and the operator's hand on it. The queue does the matching and the deeds; here words become an
 * order, and in queue_tell.c answers become lines. A deed goes in two orders: a trial, which shows what it would be done to, and the deed, which is
 * bound to mails that were there at the trial.
 */

static const char help[] =
	"posthouse queue [FILTER…]                     what waits, by destination\n"
	"posthouse queue [FILTER…] list [--by WHAT]    a line a recipient; or by destination, "
	"sender, recipient, age\n"
	"posthouse queue [FILTER…] show                with all their recipients; `show ID` needs "
	"only the first digits\n"
	"posthouse queue [FILTER…] hold | release      nothing is tried, until it is let go\n"
	"posthouse queue [FILTER…] retry               now\n"
	"posthouse queue [FILTER…] bounce              back to the sender\n"
	"posthouse queue [FILTER…] drop                away, and nobody is told\n"
	"posthouse queue undo                          brings back what was dropped in the last 60 "
	"seconds\n"
	"posthouse queue suspend NAME --until WHEN     a domain or host gets nothing until then "
	"(2h, 3d, 2026-12-24T18:00Z)\n"
	"posthouse queue resume NAME\n"
	"posthouse queue suspended                     what is\n"
	"\n"
	"FILTER: words that must all fit; ! before one negates it, \"…\" holds blanks together\n"
	"  to:TEXT from:TEXT dest:HOST   a part of it; with * the whole; from:<> is the null "
	"sender\n"
	"  domain:NAME id:DIGITS         the recipient's domain; how the id begins (id: may be "
	"left out)\n"
	"  age>2h age<1d tries>3 size>1M\n"
	"  err:~WORDS err:4.7.28 err:421 what the other host said last\n"
	"  state:WORD hold:yes|no        waiting, deferred, held, dropped, failed\n"
	"\n"
	"  --yes           do not ask first       --dry-run  only show what it would be done to\n"
	"  --config FILE   else $POSTHOUSE_CONFIG, else /etc/posthouse/posthouse.conf\n"
	"  --json          one object a line: id, arrived, size, from, to, state, tries, next, "
	"host, words;\n"
	"                  groups: recipients, mails, size, oldest, name; deeds: deed, dry_run, "
	"mails, recipients, later;\n"
	"                  suspended: suspended, name, until; suspend, resume: deed, until\n"
	"\n"
	"States: waiting, deferred (words say why, next when it is tried again), held, dropped, "
	"failed (its bounce is being\n"
	"written); with show also delivered, expanded (an alias: its members follow).\n"
	"\n"
	"Example\n"
	"  posthouse queue 'age>1d' 'err:~greylist' retry\n"
	"  posthouse queue list --json | grep '\"state\":\"deferred\"'\n";

static const struct queue_verb verbs[] = {
	{ "list", ORDER_LIST, false, false, NULL },
	{ "show", ORDER_SHOW, false, false, NULL },
	{ "hold", ORDER_HOLD, true, false, "held" },
	{ "release", ORDER_RELEASE, true, false, "released" },
	{ "retry", ORDER_RETRY, true, false, "tried again now" },
	{ "bounce", ORDER_BOUNCE, true, false, "sent back" },
	{ "drop", ORDER_DROP, true, false, "dropped" },
	{ "undo", ORDER_UNDO, true, false, "brought back" },
	{ "suspend", ORDER_SUSPEND, false, true, NULL },
	{ "resume", ORDER_RESUME, false, true, NULL },
	{ "suspended", ORDER_SUSPENDED, false, false, NULL },
};

static const struct queue_verb summary = { "list", ORDER_GROUP, false, false, NULL };
static const char *const by_words[ORDER_BYS] = { [BY_DESTINATION] = "destination",
	[BY_SENDER] = "sender",
	[BY_RECIPIENT] = "recipient",
	[BY_AGE] = "age" };

/* ── orders ── */

static int
order(struct queue_asker *a, int64_t until_ms)
{
	enum order_by by = BY_DESTINATION;

	while (a->by && by < ORDER_BYS && strcmp(a->by, by_words[by]) != 0)
		by++;
	return ask_order(&a->ask, &(struct ipc_order){ .fd = -1,
					  .verb = (uint8_t)(a->by ? ORDER_GROUP : a->verb->verb),
					  .by = (uint8_t)by,
					  .is_trial = a->is_trial,
					  .until_ms = (uint64_t)until_ms,
					  .what = buf_str(&a->what) });
}

static void
print_count(const struct ipc_end *end, const char *ending)
{
	printf("%llu mail%s, %llu recipient%s%s\n", (unsigned long long)end->mails,
		end->mails == 1 ? "" : "s", (unsigned long long)end->recipients,
		end->recipients == 1 ? "" : "s", ending);
}

static int
list(struct queue_asker *a)
{
	bool is_group = a->by || a->verb->verb == ORDER_GROUP;
	int code;

	if (is_group && !a->is_json)
		printf("recipients       mails       size  oldest                %s\n",
			a->by ? a->by : by_words[BY_DESTINATION]);
	code = order(a, 0);
	if (code != EX_OK)
		return code;
	if (a->verb->verb == ORDER_SHOW && a->ask.end.mails == 0 && !a->ask.end.is_partial) {
		fprintf(stderr,
			"posthouse queue: no mail here fits %.*s: it may be settled (see posthouse "
			"why)\n",
			STR_ARG(buf_str(&a->what)));
		return EX_DATAERR;
	}
	code = ask_partial(&a->ask);
	if (code == EX_OK && !a->is_json && a->verb->verb != ORDER_SHOW &&
		a->verb->verb != ORDER_SUSPENDED)
		print_count(&a->ask.end, "");
	return code;
}

static bool
is_confirmed(const struct queue_asker *a, int *code)
{
	char answer[16];

	*code = EX_OK;
	if (a->is_sure)
		return true;
	if (!isatty(STDIN_FILENO) || a->is_json) {
		fprintf(stderr, "posthouse queue: nothing was done: say --yes, or --dry-run\n");
		*code = EX_USAGE;
		return false;
	}
	printf("%s them? (y/N) ", a->verb->name);
	fflush(stdout);
	return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* What it would be done to; false: nothing more is to be done. */
static bool
try_deed(struct queue_asker *a, int64_t now_ms, int *code)
{
	char size[32], age[32], ending[96];

	a->is_trial = true;
	*code = order(a, now_ms);
	if (*code == EX_OK)
		*code = ask_partial(&a->ask);
	if (*code != EX_OK)
		return false;
	a->is_trial = false;
	a->expected = a->ask.end.recipients;
	snprintf(ending, sizeof ending, ", %s, the oldest came %s ago: %s",
		ask_size(a->ask.end.size, size),
		ask_duration(now_ms - (int64_t)a->ask.end.oldest_ms, age), a->verb->name);
	if (!a->is_json)
		print_count(&a->ask.end, a->expected ? ending : ": nothing fits");
	return a->expected && !a->is_dry && is_confirmed(a, code);
}

static void
print_done(const struct queue_asker *a)
{
	const struct ipc_end *end = &a->ask.end;

	if (a->is_json) {
		printf("{\"deed\":\"%s\",\"dry_run\":%s,\"mails\":%llu,\"recipients\":%llu,"
		       "\"later\":%llu}\n",
			a->verb->name, a->is_dry ? "true" : "false", (unsigned long long)end->mails,
			(unsigned long long)end->recipients, (unsigned long long)end->later);
		return;
	}
	printf("%s: ", a->verb->past);
	print_count(end, "");
	if (end->later)
		printf("%llu of them are under way now: as soon as they come back unsettled\n",
			(unsigned long long)end->later);
	if (a->verb->verb == ORDER_DROP && end->recipients)
		printf("posthouse queue undo brings them back, for 60 seconds\n");
}

static int
deed(struct queue_asker *a)
{
	bool needs_thought = a->verb->verb != ORDER_UNDO;
	int64_t now_ms = loop_wall_ms();
	int code = EX_OK;

	if (needs_thought && !try_deed(a, now_ms, &code)) {
		if (a->is_json && code == EX_OK)
			print_done(a);
		return code;
	}
	code = order(a, needs_thought ? now_ms : 0);
	if (a->expected && isatty(STDERR_FILENO) && !a->is_json)
		fputs("\r\033[K", stderr);
	if (code == EX_OK)
		print_done(a);
	return code;
}

/* ── words ── */

/* "2026-12-24T18:00Z", with or without seconds. */
static bool
read_moment(const char *text, int64_t *ms)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M", &tm);

	if (end && *end == ':')
		end = strptime(end, ":%S", &tm);
	*ms = (int64_t)timegm(&tm) * 1000;
	return end && strcmp(end, "Z") == 0;
}

/* A moment, or "2h" from now; 0: neither. */
static int64_t
read_until(const char *text)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
	struct str rest = str_of(text);
	int64_t ms;
	uint64_t n;

	if (read_moment(text, &ms))
		return ms;
	if (scan_u64(&rest, &n) && rest.n == 1 && n > 0 && n < 100000)
		for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
			if (rest.p[0] == units[i].unit)
				return loop_wall_ms() + (int64_t)n * units[i].ms;
	return 0;
}

static int
suspend(struct queue_asker *a)
{
	int64_t until_ms = a->until ? read_until(a->until) : 0;
	char text[32];
	int code;

	if (a->verb->verb == ORDER_SUSPEND && until_ms <= loop_wall_ms()) {
		fprintf(stderr, "posthouse queue: say until when: --until 2h, or --until "
				"2026-12-24T18:00Z\n");
		return EX_USAGE;
	}
	code = order(a, until_ms);
	if (code != EX_OK)
		return code;
	if (a->is_json)
		printf("{\"deed\":\"%s\",\"until\":\"%s\"}\n", a->verb->name,
			ask_time((uint64_t)until_ms, text));
	else if (until_ms)
		printf("suspended until %s; posthouse queue resume %.*s ends it before\n",
			ask_time((uint64_t)until_ms, text), STR_ARG(buf_str(&a->what)));
	else
		printf("resumed\n");
	return EX_OK;
}

static const struct queue_verb *
verb_of(const char *word)
{
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (strcmp(word, verbs[i].name) == 0)
			return &verbs[i];
	return NULL;
}

/* The verb that this may be a slip of; else NULL. */
static const struct queue_verb *
verb_near(const char *word)
{
	const struct queue_verb *meant = NULL;
	size_t least = strlen(word) / 3 + 1;

	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		size_t d = str_distance(str_of(word), str_of(verbs[i].name));

		if (d <= least && (!meant || d < least)) {
			least = d;
			meant = &verbs[i];
		}
	}
	return meant;
}

/* A filter that cannot be read may begin or end in a slip of a verb. */
static bool
read_filter(const struct queue_asker *a, int n, char **words, struct err *e)
{
	const int ends[] = { n - 1, 0 };
	const struct queue_verb *meant;
	struct filter f;

	if (filter_parse(&f, buf_str(&a->what), e))
		return true;
	for (size_t i = 0; i < 2 && a->verb == &summary; i++)
		if ((meant = verb_near(words[ends[i]])))
			return err_set(e, ERR_PERMANENT, ERR_OTHER,
				"`%s` is no verb; did you mean `%s`?", words[ends[i]], meant->name);
	return false;
}

/* The verb stands behind the filter, or before it. */
static bool
read_words(struct queue_asker *a, int n, char **words)
{
	struct err e = { 0 };

	a->verb = n ? verb_of(words[n - 1]) : NULL;
	if (a->verb) {
		n--;
	} else if (n && (a->verb = verb_of(words[0]))) {
		words++;
		n--;
	}
	for (int i = 0; i < n; i++) {
		if (i)
			buf_add_char(&a->what, ' ');
		buf_add(&a->what, str_of(words[i]));
	}
	if (!a->verb)
		a->verb = &summary;
	if (a->verb->takes_name && n == 1)
		return true;
	if (a->verb->takes_name)
		err_set(&e, ERR_PERMANENT, ERR_OTHER,
			"say one domain or host: posthouse queue %s example.org", a->verb->name);
	else if (a->verb->verb == ORDER_SHOW && n == 0)
		err_set(&e, ERR_PERMANENT, ERR_OTHER,
			"show needs the first digits of an id, or a filter: posthouse queue "
			"to:wei@example.org show; posthouse queue list has the ids");
	else if (read_filter(a, n, words, &e))
		return true;
	fprintf(stderr, "posthouse queue: %s\n", e.text);
	return false;
}

static bool
by_is_known(const char *by)
{
	for (size_t i = 0; i < ORDER_BYS; i++)
		if (strcmp(by, by_words[i]) == 0)
			return true;
	return false;
}

static int
run(struct queue_asker *a)
{
	int code = ask_open(&a->ask, a->config);

	if (code == EX_OK)
		code = a->verb->is_deed ? deed(a) : a->verb->takes_name ? suspend(a) : list(a);
	ask_close(&a->ask);
	return code;
}

/* getopt_long takes --y for --yes: no deed is let loose by half a word. */
static bool
is_half_a_word(const struct option *o, const char *given)
{
	return o && (o->val == 'y' || o->val == 'n') && strcmp(given + 2, o->name) != 0;
}

int
cmd_queue(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "by", required_argument, NULL, 'b' },
		{ "until", required_argument, NULL, 'u' },
		{ "yes", no_argument, NULL, 'y' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct queue_asker a = { .ask = { .command = "posthouse queue", .came = queue_tell },
		.what = { .max = IPC_TEXT_MAX } };
	int o, code, at = -1;

	a.ask.owner = &a;
	opterr = 0;
	for (; (o = getopt_long(argc, argv, "c:jyn", options, &at)) != -1; at = -1)
		switch (is_half_a_word(at < 0 ? NULL : &options[at], argv[optind - 1]) ? '?' : o) {
		case 'c':
			a.config = optarg;
			break;
		case 'j':
			a.is_json = true;
			break;
		case 'b':
			a.by = optarg;
			break;
		case 'u':
			a.until = optarg;
			break;
		case 'y':
			a.is_sure = true;
			break;
		case 'n':
			a.is_dry = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EX_OK;
		default:
			fprintf(stderr,
				"posthouse: %s: no such option; see 'posthouse queue --help'\n",
				argv[optind - 1]);
			return EX_USAGE;
		}
	if (a.by && !by_is_known(a.by)) {
		fprintf(stderr, "posthouse queue: --by destination, sender, recipient or age\n");
		return EX_USAGE;
	}
	code = read_words(&a, argc - optind, argv + optind) ? run(&a) : EX_USAGE;
	buf_free(&a.what);
	return code;
}
