/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <sysexits.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/must.h"
#include "cmd/ask.h"
#include "message/message.h"
#include "role/queue/filter.h"
#include "route/hop.h"
#include "smtp/client.h"
#include "smtp/reply.h"
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

enum { EVENTS_SHOWN = 12, RECIPIENTS_SHOWN = 20, SETTLED_DIGITS_MIN = 8, ANSWER_MAX = 256 << 20 };

static const char *const kinds[HISTORY_KINDS] = {
	[HISTORY_ARRIVED] = "arrived",
	[HISTORY_ATTEMPT] = "attempt",
	[HISTORY_DELIVERED] = "delivered",
	[HISTORY_DEFERRED] = "deferred",
	[HISTORY_FAILED] = "failed",
	[HISTORY_BOUNCED] = "bounced",
	[HISTORY_EXPANDED] = "expanded",
	[HISTORY_HELD] = "held by the operator",
	[HISTORY_RELEASED] = "released by the operator",
	[HISTORY_RETRIED] = "hurried by the operator",
	[HISTORY_GIVEN_UP] = "sent back by the operator",
	[HISTORY_DROPPED] = "dropped by the operator",
	[HISTORY_SETTLED] = "settled",
};

struct event {
	struct list link;
	struct ipc_told told;
};

struct now {
	struct list link;
	struct ipc_item item;
};

struct life {
	struct list link;
	struct mail_id id;
	struct list events, nows;
	unsigned events_n, nows_n;
};

struct asker {
	struct ask ask;
	bool is_json, is_all, is_address; /* asked about an address, not an id */
	struct arena arena;
	struct list lives; /* the one that was told of last stands last */
	struct life *newest;
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

static struct life *
life_of(struct asker *a, struct mail_id id)
{
	struct life *l;

	list_each (at, &a->lives) {
		l = list_of(at, struct life, link);
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
	struct life *l = life_of(a, told->id);
	struct event *e = take(a, sizeof *e);

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
	struct life *l = life_of(a, item->id);
	struct now *n = take(a, sizeof *n);

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

/* ── what the last words mean ── */

/* False: nothing was said. */
static bool
explain(const struct ipc_item *i, struct enhanced *code, struct dsn_meaning *m)
{
	struct str rest = i->why;
	struct err why;

	*code = (struct enhanced){ 0 };
	*m = (struct dsn_meaning){ 0 };
	if (!codec_scan_err(&rest, &why) || !err_is(&why))
		return false;
	*code = reply_from_err(&why).enhanced;
	*m = dsn_explain(*code, str_of(why.text), DSN_ENGLISH);
	if (dsn_explain_own(&why).n)
		m->for_operator = dsn_explain_own(&why);
	return true;
}

/* The same of an event that has its words as text: "550 5.1.1 no such mailbox". */
static bool
explain_event(const struct ipc_told *e, struct dsn_meaning *m)
{
	struct str rest = e->words;
	struct enhanced code;
	uint64_t reply;

	if (scan_u64(&rest, &reply))
		scan_blanks(&rest);
	if (e->kind != HISTORY_FAILED || !ask_scan_enhanced(&rest, &code))
		return false;
	*m = dsn_explain(code, rest, DSN_ENGLISH);
	return true;
}

/* ── JSON ── */

static void
add_steps_json(struct buf *to, struct str steps)
{
	struct step s;
	const char *comma = "";
	char enhanced[32];

	buf_add(to, S(",\"steps\":["));
	for (; step_scan(&steps, &s); comma = ",") {
		buf_addf(to, "%s{\"ms\":%u", comma, s.took_ms);
		ask_json_text(to, "host", s.host);
		ask_json_text(to, "address", s.address);
		ask_json_text(to, "tls", s.tls);
		ask_json_text(to, "stage", str_of(smtp_stage_name(s.stage)));
		snprintf(enhanced, sizeof enhanced, "%u.%u.%u", s.err.enhanced.class,
			s.err.enhanced.subject, s.err.enhanced.detail);
		ask_json_number(to, "code", s.err.code);
		ask_json_text(to, "enhanced", str_of(s.err.enhanced.class ? enhanced : ""));
		ask_json_text(to, "words", str_of(s.err.text));
		buf_add_char(to, '}');
	}
	buf_add_char(to, ']');
}

static void
print_event_json(const struct ipc_told *e)
{
	struct buf line = { .max = 8 * IPC_PACKET_MAX };
	struct str rest = e->recipients, address;
	char id[MAIL_ID_TEXT];
	const char *comma = "";

	buf_addf(&line, "{\"id\":\"%s\"", mail_id_text(e->id, id));
	ask_json_text(&line, "event", str_of(kinds[e->kind]));
	ask_json_time(&line, "at", e->at_ms);
	ask_json_text(&line, "who", e->who);
	ask_json_text(&line, "how", e->how);
	ask_json_text(&line, "words", e->words);
	ask_json_time(&line, "due", e->due_ms);
	ask_json_number(&line, "number", e->number);
	buf_add(&line, S(",\"to\":["));
	for (; codec_scan_str(&rest, &address); comma = ",") {
		buf_add(&line, str_of(comma));
		codec_add_json(&line, address);
	}
	buf_add_char(&line, ']');
	add_steps_json(&line, e->steps);
	printf("%.*s}\n", STR_ARG(buf_str(&line)));
	buf_free(&line);
}

static void
print_now_json(const struct ipc_item *i)
{
	struct buf line = { .max = 8 * IPC_PACKET_MAX };
	char id[MAIL_ID_TEXT], code[32] = "";
	struct enhanced enhanced;
	struct dsn_meaning m;

	if (explain(i, &enhanced, &m) && enhanced.class)
		snprintf(code, sizeof code, "%u.%u.%u", enhanced.class, enhanced.subject,
			enhanced.detail);
	buf_addf(&line, "{\"id\":\"%s\",\"event\":\"now\"", mail_id_text(i->id, id));
	ask_json_time(&line, "arrived", i->arrived_ms);
	ask_json_text(&line, "from", i->reverse_path);
	ask_json_text(&line, "to", i->address);
	ask_json_text(&line, "state", str_of(filter_state_word(i->state)));
	ask_json_number(&line, "tries", i->tries);
	ask_json_time(&line, "next", i->due_ms);
	ask_json_text(&line, "why_next", i->next);
	ask_json_text(&line, "host", i->host);
	ask_json_text(&line, "words", i->words);
	ask_json_text(&line, "code", str_of(code));
	ask_json_text(&line, "meaning", m.meaning);
	ask_json_text(&line, "sender", m.for_sender);
	ask_json_text(&line, "operator", m.for_operator);
	printf("%.*s}\n", STR_ARG(buf_str(&line)));
	buf_free(&line);
}

/* ── for people ── */

static void
print_recipients(struct str packed)
{
	enum { SHOWN = 3 };
	struct str address;
	unsigned n = 0;

	while (codec_scan_str(&packed, &address))
		if (n++ < SHOWN) {
			printf("%s<", n == 1 ? " " : ", ");
			ask_print_plain(address);
			putchar('>');
		}
	if (n > SHOWN)
		printf(" and %u more", n - SHOWN);
}

static void
print_steps(struct str steps)
{
	struct step s;

	while (step_scan(&steps, &s)) {
		printf("                          ");
		ask_print_plain(s.host);
		printf(" (");
		ask_print_plain(s.address);
		printf("%s", s.tls.n ? ", " : "");
		ask_print_plain(s.tls);
		printf(") %s, %u ms: ", smtp_stage_name(s.stage), s.took_ms);
		ask_print_said(&s.err);
		putchar('\n');
	}
}

static void
print_labelled(const char *label, struct str text)
{
	if (text.n == 0)
		return;
	printf("      %-10s", label);
	ask_print_plain(text);
	putchar('\n');
}

static void
print_meaning(const struct dsn_meaning *m)
{
	print_labelled("means", m->meaning);
	print_labelled("to do", m->for_operator);
}

static void
print_report(const struct ipc_told *e)
{
	static const char *const of[] = { [DSN_FAILED] = "of the failure",
		[DSN_DELAYED] = "of the delay",
		[DSN_RELAYED] = "that it was passed on",
		[DSN_DELIVERED] = "of the delivery",
		[DSN_EXPANDED] = "that it was passed on" };

	printf("told the sender %s, as mail ",
		e->number < sizeof of / sizeof of[0] ? of[e->number] : "");
	ask_print_plain(e->how);
	putchar(':');
}

static void
print_event(const struct ipc_told *e)
{
	char when[32], due[32], size[32];
	struct dsn_meaning m;

	printf("  %s  ", ask_time(e->at_ms, when));
	if (e->kind == HISTORY_BOUNCED)
		print_report(e);
	else
		printf("%s", kinds[e->kind]);
	if (e->kind == HISTORY_ARRIVED) {
		printf(" from ");
		ask_print_plain(e->how);
		printf(": %s from <", ask_size(e->number, size));
		ask_print_plain(e->who);
		printf("> to");
	}
	print_recipients(e->recipients);
	if (e->kind == HISTORY_EXPANDED && e->how.n) {
		printf(" into ");
		ask_print_plain(e->how);
	}
	if (e->due_ms)
		printf(" until %s", ask_time(e->due_ms, due));
	if (e->words.n && e->kind != HISTORY_ARRIVED) {
		printf(": ");
		ask_print_plain(e->who);
		printf("%s", e->who.n ? ": " : "");
		ask_print_plain(e->words);
	}
	putchar('\n');
	print_steps(e->steps);
	if (explain_event(e, &m))
		print_meaning(&m);
}

static void
print_now(const struct ipc_item *i)
{
	struct str rest = i->why;
	char when[32];
	struct enhanced code;
	struct dsn_meaning m;
	struct err why;

	printf("    <");
	ask_print_plain(i->address);
	printf(">  %s", filter_state_word(i->state));
	if (i->tries)
		printf(", %u %s", i->tries, i->tries == 1 ? "try" : "tries");
	if (i->due_ms)
		printf(", next %s", ask_time(i->due_ms, when));
	putchar('\n');
	print_labelled("next", i->next);
	print_labelled("said by", i->host);
	if (codec_scan_err(&rest, &why)) {
		printf("      words     ");
		ask_print_said(&why);
		putchar('\n');
	}
	if (explain(i, &code, &m))
		print_meaning(&m);
}

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
print_life(const struct asker *a, const struct life *l)
{
	char id[MAIL_ID_TEXT];
	unsigned n = 0;

	printf("%s\n", mail_id_text(l->id, id));
	list_each (at, &l->events) {
		const struct event *e = list_of(at, struct event, link);
		unsigned left = l->events_n - n++;

		if (n > 1 && left > EVENTS_SHOWN && !a->is_all)
			continue;
		if (n > 2 && left == EVENTS_SHOWN && !a->is_all)
			printf("  … %u more; --all tells them\n", l->events_n - EVENTS_SHOWN - 1);
		print_event(&e->told);
	}
	if (l->nows_n == 0) {
		print_settled(a);
		return;
	}
	printf("  now\n");
	n = 0;
	list_each (at, &l->nows)
		if (n++ < RECIPIENTS_SHOWN || a->is_all)
			print_now(&list_of(at, struct now, link)->item);
	if (n > RECIPIENTS_SHOWN && !a->is_all)
		printf("    and %u more; --all tells them\n", n - RECIPIENTS_SHOWN);
}

static void
print_others(const struct asker *a)
{
	char id[MAIL_ID_TEXT];
	bool is_first = true;

	list_each (at, &a->lives) {
		const struct life *l = list_of(at, struct life, link);

		if (l == a->newest)
			continue;
		if (is_first)
			printf("\nOthers; posthouse why ID tells of each\n");
		is_first = false;
		printf("  %s  %s\n", mail_id_text(l->id, id), l->nows_n ? "waits" : "settled");
	}
}

/* ── the command ── */

static void
came(void *owner, const struct ipc_message *m)
{
	struct asker *a = owner;

	if (m->kind == IPC_told && m->told.kind > 0 && m->told.kind < HISTORY_KINDS) {
		gather_event(a, &m->told);
		if (a->is_json)
			print_event_json(&m->told);
	} else if (m->kind == IPC_item) {
		gather_now(a, &m->item);
		if (a->is_json)
			print_now_json(&m->item);
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
		print_life(a, a->newest);
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
