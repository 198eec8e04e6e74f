/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <sysexits.h>

#include "base/arena.h"
#include "base/must.h"
#include "cmd/ask.h"
#include "cmd/why.h"
#include "spool/history.h"

/* `posthouse why`: the life of a mail on one screen. What the station tells is gathered by mail, and printed when all is there. */

static const char help[] =
	"posthouse why ID        one mail: how it came, every attempt, how it stands, what happens "
	"next and why, what to do\n"
	"posthouse why ADDRESS   the mails to that address: the newest one, and the ids of the "
	"others\n"
	"\n"
	"  The first digits of an id are enough: four while the mail waits, eight when it is "
	"settled. What is settled\n"
	"  is told as far as the history of the station reaches.\n"
	"\n"
	"  --all           every event, not only the newest\n"
	"  --config FILE   else $POSTHOUSE_CONFIG, else /etc/posthouse/posthouse.conf\n"
	"  --json          one object a line: id, event, at, who, how, words, due, number, to, "
	"steps (ms, host, address,\n"
	"                  tls, stage, code, enhanced, words); and of each recipient that waits, "
	"event \"now\": id, arrived,\n"
	"                  from, to, state, tries, next, why_next, host, words, code, meaning, "
	"sender (what the sender\n"
	"                  can do), operator\n"
	"\n"
	"Example\n"
	"  posthouse why wei@example.org\n";

enum { SETTLED_DIGITS_MIN = 8, ANSWER_MAX = 256 << 20 };

struct asker {
	struct ask ask;
	bool is_json, is_all, is_address; /* asked about an address, not an id */
	struct arena arena;
	struct list lives; /* the one that was told of last stands last */
	struct why_life *newest;
};

/* ── gathering ── */

static void *
take(struct asker *a, size_t n)
{
	void *p = arena_take(&a->arena, n);

	must(p); /* the queue tells of a bounded number of events */
	return p;
}

static struct str
kept(struct asker *a, struct str s)
{
	struct str copy;

	must(arena_dup(&a->arena, s, &copy));
	return copy;
}

static struct why_life *
life_of(struct asker *a, struct mail_id id)
{
	struct why_life *l;

	list_each (at, &a->lives) {
		l = list_of(at, struct why_life, link);
		if (mail_id_eq(l->id, id))
			return l;
	}
	l = take(a, sizeof *l);
	l->id = id;
	list_init(&l->events);
	list_init(&l->nows);
	list_append(&a->lives, &l->link);
	return l;
}

static void
gather_event(struct asker *a, const struct ipc_told *told)
{
	struct why_life *l = life_of(a, told->id);
	struct why_event *e = take(a, sizeof *e);

	e->told = *told;
	e->told.who = kept(a, told->who);
	e->told.how = kept(a, told->how);
	e->told.words = kept(a, told->words);
	e->told.recipients = kept(a, told->recipients);
	e->told.steps = kept(a, told->steps);
	list_append(&l->events, &e->link);
	l->events_n++;
	a->newest = l;
}

static void
gather_now(struct asker *a, const struct ipc_item *item)
{
	struct why_life *l = life_of(a, item->id);
	struct why_now *n = take(a, sizeof *n);

	n->item = *item;
	n->item.reverse_path = kept(a, item->reverse_path);
	n->item.address = kept(a, item->address);
	n->item.host = kept(a, item->host);
	n->item.words = kept(a, item->words);
	n->item.why = kept(a, item->why);
	n->item.next = kept(a, item->next);
	list_append(&l->nows, &n->link);
	l->nows_n++;
	if (!a->newest)
		a->newest = l;
}

/* ── the command ── */

/* Nobody waits of what was asked about: of an address, others of the same mail may. */
static void
print_settled(const struct asker *a)
{
	if (a->ask.end.is_partial)
		return;
	if (a->is_address)
		printf("  It is settled for this address; posthouse why ID tells of the whole "
		       "mail.\n");
	else
		printf("  It is settled: nothing more happens.\n");
}

static void
print_others(const struct asker *a)
{
	char id[MAIL_ID_TEXT];
	bool is_first = true;

	list_each (at, &a->lives) {
		const struct why_life *l = list_of(at, struct why_life, link);

		if (l == a->newest)
			continue;
		if (is_first)
			printf("\nOthers; posthouse why ID tells of each\n");
		is_first = false;
		printf("  %s  %s\n", mail_id_text(l->id, id), l->nows_n ? "waits" : "settled");
	}
}

static void
came(void *owner, const struct ipc_message *m)
{
	struct asker *a = owner;

	if (m->kind == IPC_told && m->told.kind > 0 && m->told.kind < HISTORY_KINDS) {
		gather_event(a, &m->told);
		if (a->is_json)
			why_tell_event_json(&m->told);
	} else if (m->kind == IPC_item) {
		gather_now(a, &m->item);
		if (a->is_json)
			why_tell_now_json(&m->item);
	}
}

static int
ask(struct asker *a, const char *config, const char *what)
{
	int code = ask_open(&a->ask, config);

	a->is_address = strchr(what, '@') != NULL;
	if (code == EX_OK)
		code = ask_order(&a->ask,
			&(struct ipc_order){ .fd = -1, .verb = ORDER_WHY, .what = str_of(what) });
	if (code != EX_OK)
		return code;
	if (a->newest && !a->is_json) {
		why_tell_life(a->newest, a->is_all);
		if (a->newest->nows_n == 0)
			print_settled(a);
		print_others(a);
	}
	code = ask_partial(&a->ask);
	if (!a->newest && code == EX_OK) {
		fprintf(stderr, "posthouse why: nothing is known of %s: no such mail waits, %s\n",
			what,
			!a->is_address && strlen(what) < SETTLED_DIGITS_MIN
				? "and a settled one is found by eight or more digits of its id"
				: "and the history does not reach it");
		return EX_DATAERR;
	}
	return code;
}

int
cmd_why(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "all", no_argument, NULL, 'a' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct asker a = { .ask = { .command = "posthouse why", .came = came },
		.arena = { .max = ANSWER_MAX } };
	const char *config = NULL;
	int o, code;

	opterr = 0;
	while ((o = getopt_long(argc, argv, "c:ja", options, NULL)) != -1)
		switch (o) {
		case 'c':
			config = optarg;
			break;
		case 'j':
			a.is_json = true;
			break;
		case 'a':
			a.is_all = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EX_OK;
		default:
			fprintf(stderr,
				"posthouse: %s: no such option; see 'posthouse why --help'\n",
				argv[optind - 1]);
			return EX_USAGE;
		}
	if (argc - optind != 1) {
		fprintf(stderr, "posthouse why: say one id or address; posthouse why --help has "
				"more\n");
		return EX_USAGE;
	}
	a.ask.owner = &a;
	list_init(&a.lives);
	code = ask(&a, config, argv[optind]);
	ask_close(&a.ask);
	arena_free(&a.arena);
	return code;
}
