/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/why.h"

#include "cmd/ask.h"
#include "message/message.h"
#include "role/queue/filter.h"
#include "route/hop.h"
#include "smtp/client.h"
#include "smtp/reply.h"
#include "spool/history.h"

/* The life of a mail in lines: what was done, what was said, and what the words mean. */

enum { EVENTS_SHOWN = 12, RECIPIENTS_SHOWN = 20 };

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

void
why_tell_event_json(const struct ipc_told *e)
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

void
why_tell_now_json(const struct ipc_item *i)
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

void
why_tell_life(const struct why_life *l, bool is_all)
{
	char id[MAIL_ID_TEXT];
	unsigned n = 0;

	printf("%s\n", mail_id_text(l->id, id));
	list_each (at, &l->events) {
		const struct why_event *e = list_of(at, struct why_event, link);
		unsigned left = l->events_n - n++;

		if (n > 1 && left > EVENTS_SHOWN && !is_all)
			continue;
		if (n > 2 && left == EVENTS_SHOWN && !is_all)
			printf("  … %u more; --all tells them\n", l->events_n - EVENTS_SHOWN - 1);
		print_event(&e->told);
	}
	if (l->nows_n == 0)
		return;
	printf("  now\n");
	n = 0;
	list_each (at, &l->nows)
		if (n++ < RECIPIENTS_SHOWN || is_all)
			print_now(&list_of(at, struct why_now, link)->item);
	if (n > RECIPIENTS_SHOWN && !is_all)
		printf("    and %u more; --all tells them\n", n - RECIPIENTS_SHOWN);
}
