/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <poll.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/ask.h"

/* `posthouse top`: how the queue runs, looked at once a second. Rates are those of the last seconds. */

static const char help[] =
	"posthouse top           how the queue runs: rates, destinations, hosts that fail; anew "
	"each second on a terminal\n"
	"\n"
	"  --once          one look, then the end; so it is also where the output is no "
	"terminal\n"
	"  --config FILE   else $POSTHOUSE_CONFIG, else /etc/posthouse/posthouse.conf\n"
	"  --json          one object a look: in, out, deferred, failed (recipients a second), "
	"mails, recipients, waiting,\n"
	"                  under_way, segments, destinations (waiting, name, route, under_way, "
	"limit, down_since,\n"
	"                  next_probe, suspended_until, host, words); and when: at\n"
	"\n"
	"Example\n"
	"  posthouse top --once --json\n";

enum { LOOK_MS = 1000, LINES_MOST = 30, SCREEN_MAX = 4 << 20 };

struct asker {
	struct ask ask;
	bool is_json;
	struct ipc_totals now;
	struct buf places; /* as they are shown */
	unsigned places_n;
};

static double
a_second(const struct asker *a, uint64_t lately)
{
	return a->now.lately_ms ? (double)lately * 1000 / (double)a->now.lately_ms : 0;
}

/* ── destinations ── */

static void
add_place_json(struct asker *a, const struct ipc_place *p)
{
	struct buf *to = &a->places;

	buf_addf(to, "%s{\"waiting\":%u", a->places_n ? "," : "", p->waiting);
	ask_json_text(to, "name", p->name);
	ask_json_text(to, "route", p->route);
	ask_json_number(to, "under_way", p->under_way);
	ask_json_number(to, "limit", p->limit);
	ask_json_time(to, "down_since", p->down_since_ms);
	ask_json_time(to, "next_probe", p->probe_ms);
	ask_json_time(to, "suspended_until", p->suspended_until_ms);
	ask_json_text(to, "host", p->host);
	ask_json_text(to, "words", p->words);
	buf_add_char(to, '}');
}

static void
add_place(struct asker *a, const struct ipc_place *p)
{
	struct buf *to = &a->places;
	int64_t now_ms = (int64_t)a->now.now_ms;
	char since[32], probe[32];

	if (a->places_n >= LINES_MOST)
		return;
	buf_addf(to, "%8u  %5u of %-4u  ", p->waiting, p->under_way, p->limit);
	ask_add_plain(to, p->name);
	if (p->suspended_until_ms)
		buf_addf(to, "  suspended for %s",
			ask_duration((int64_t)p->suspended_until_ms - now_ms, since));
	if (p->down_since_ms)
		buf_addf(to, "  down for %s, tried again ",
			ask_duration(now_ms - (int64_t)p->down_since_ms, since));
	if (p->down_since_ms && p->waiting)
		buf_addf(to, "in %s", ask_duration((int64_t)p->probe_ms - now_ms, probe));
	else if (p->down_since_ms)
		buf_addf(to, p->under_way ? "now" : "with the next mail");
	if (p->words.n) {
		buf_add(to, S("\n                            "));
		ask_add_plain(to, p->host);
		buf_add(to, p->host.n ? S(": ") : S(""));
		ask_add_plain(to, p->words);
	}
	buf_add_char(to, '\n');
}

static void
came(void *owner, const struct ipc_message *m)
{
	struct asker *a = owner;

	if (m->kind == IPC_totals) {
		a->now = m->totals;
		buf_reset(&a->places);
		a->places_n = 0;
	} else if (m->kind == IPC_place) {
		if (a->is_json)
			add_place_json(a, &m->place);
		else
			add_place(a, &m->place);
		a->places_n++;
	}
}

/* ── looks ── */

static void
print_json(const struct asker *a)
{
	const struct ipc_totals *n = &a->now;
	char when[32];

	printf("{\"at\":\"%s\",\"in\":%.1f,\"out\":%.1f,\"deferred\":%.1f,\"failed\":%.1f,"
	       "\"mails\":%llu,"
	       "\"recipients\":%llu,\"waiting\":%llu,\"under_way\":%llu,\"segments\":%llu,"
	       "\"destinations\":[%.*s]}\n",
		ask_time(n->now_ms, when), a_second(a, n->kept), a_second(a, n->delivered),
		a_second(a, n->deferred), a_second(a, n->failed), (unsigned long long)n->mails,
		(unsigned long long)n->open, (unsigned long long)n->waiting,
		(unsigned long long)n->under_way, (unsigned long long)n->segments,
		STR_ARG(buf_str(&a->places)));
}

static void
print_look(const struct asker *a)
{
	const struct ipc_totals *n = &a->now;
	char when[32], up[32];

	printf("%s, up %s\n", ask_time(n->now_ms, when),
		ask_duration((int64_t)(n->now_ms - n->since_ms), up));
	printf("a second   in %.1f   out %.1f   deferred %.1f   failed %.1f\n",
		a_second(a, n->kept), a_second(a, n->delivered), a_second(a, n->deferred),
		a_second(a, n->failed));
	printf("queue      mails %llu, recipients %llu: %llu in line, %llu under way; %llu "
	       "segments\n\n",
		(unsigned long long)n->mails, (unsigned long long)n->open,
		(unsigned long long)n->waiting, (unsigned long long)n->under_way,
		(unsigned long long)n->segments);
	printf(" in line      under way  destination\n%.*s", STR_ARG(buf_str(&a->places)));
	if (a->places_n > LINES_MOST)
		printf("and %u more\n", a->places_n - LINES_MOST);
}

static int
look(struct asker *a)
{
	return ask_order(&a->ask, &(struct ipc_order){ .fd = -1, .verb = ORDER_TOP });
}

/* After the pause between two looks. True: a key, or the end of the input, asks for the end. */
static bool
is_over(void)
{
	struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&keys, 1, LOOK_MS) > 0;
}

static int
run(struct asker *a, bool is_live)
{
	int code;

	while ((code = look(a)) == EX_OK) {
		if (is_live)
			fputs("\033[H\033[2J", stdout);
		if (a->is_json)
			print_json(a);
		else
			print_look(a);
		fflush(stdout);
		if (!is_live || is_over())
			break;
	}
	return code;
}

int
cmd_top(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "once", no_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct asker a = { .ask = { .command = "posthouse top", .came = came },
		.places = { .max = SCREEN_MAX } };
	bool is_live = isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
	const char *config = NULL;
	int o, code;

	opterr = 0;
	while ((o = getopt_long(argc, argv, "c:jo", options, NULL)) != -1)
		switch (o) {
		case 'c':
			config = optarg;
			break;
		case 'j':
			a.is_json = true;
			is_live = false;
			break;
		case 'o':
			is_live = false;
			break;
		case 'h':
			fputs(help, stdout);
			return EX_OK;
		default:
			fprintf(stderr,
				"posthouse: %s: no such option; see 'posthouse top --help'\n",
				argv[optind - 1]);
			return EX_USAGE;
		}
	if (optind < argc) {
		fprintf(stderr, "posthouse top: takes no words; posthouse top --help has more\n");
		return EX_USAGE;
	}
	a.ask.owner = &a;
	code = ask_open(&a.ask, config);
	if (code == EX_OK)
		code = run(&a, is_live);
	ask_close(&a.ask);
	buf_free(&a.places);
	return code;
}
