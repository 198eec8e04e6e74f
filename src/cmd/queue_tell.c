/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/queue.h"

#include <unistd.h>

#include "role/queue/filter.h"

/* Each answer of the queue is a line for people, or one JSON object. */

static void
print_item_json(const struct ipc_item *i)
{
	struct buf line = { .max = 2 * IPC_PACKET_MAX };
	char id[MAIL_ID_TEXT];

	buf_addf(&line, "{\"id\":\"%s\"", mail_id_text(i->id, id));
	ask_json_time(&line, "arrived", i->arrived_ms);
	ask_json_number(&line, "size", i->size);
	ask_json_text(&line, "from", i->reverse_path);
	ask_json_text(&line, "to", i->address);
	ask_json_text(&line, "state", str_of(filter_state_word(i->state)));
	ask_json_number(&line, "tries", i->tries);
	ask_json_time(&line, "next", i->due_ms);
	ask_json_text(&line, "host", i->host);
	ask_json_text(&line, "words", i->words);
	printf("%.*s}\n", STR_ARG(buf_str(&line)));
	buf_free(&line);
}

static void
print_mail_head(struct queue_asker *a, const struct ipc_item *i)
{
	char id[MAIL_ID_TEXT], when[32];

	if (mail_id_eq(a->last, i->id))
		return;
	printf("%s%s\n  from     <", a->shown ? "\n" : "", mail_id_text(i->id, id));
	ask_print_plain(i->reverse_path);
	printf(">\n  arrived  %s\n  size     %llu\n", ask_time(i->arrived_ms, when),
		(unsigned long long)i->size);
	a->last = i->id;
	a->shown++;
}

static void
print_item(struct queue_asker *a, const struct ipc_item *i)
{
	const char *state = filter_state_word(i->state);
	struct str why = i->why;
	struct err last;
	char id[MAIL_ID_TEXT], when[32];

	if (a->verb->verb == ORDER_SHOW) {
		print_mail_head(a, i);
		printf("  to       <");
	} else {
		printf("%.12s  %s  %-9s <", mail_id_text(i->id, id), ask_time(i->arrived_ms, when),
			state);
	}
	ask_print_plain(i->address);
	printf(">");
	if (a->verb->verb == ORDER_SHOW)
		printf("  %s", state);
	if (i->tries)
		printf("  tries %u", i->tries);
	if (i->due_ms)
		printf("  next %s", ask_time(i->due_ms, when));
	if (codec_scan_err(&why, &last)) {
		printf("  ");
		ask_print_said(&last);
	}
	if (i->next.n && i->state != FILTER_DEFERRED) {
		printf("  ");
		ask_print_plain(i->next);
	}
	putchar('\n');
}

static void
print_group(const struct queue_asker *a, const struct ipc_group *g)
{
	struct buf line = { .max = 2 * IPC_PACKET_MAX };
	char size[32], oldest[32];

	if (a->is_json) {
		buf_addf(&line, "{\"recipients\":%llu", (unsigned long long)g->recipients);
		ask_json_number(&line, "mails", g->mails);
		ask_json_number(&line, "size", g->size);
		ask_json_time(&line, "oldest", g->oldest_ms);
		ask_json_text(&line, "name", g->name);
		printf("%.*s}\n", STR_ARG(buf_str(&line)));
	} else {
		printf("%10llu  %10llu  %9s  %s  ", (unsigned long long)g->recipients,
			(unsigned long long)g->mails, ask_size(g->size, size),
			ask_time(g->oldest_ms, oldest));
		ask_print_plain(g->name);
		putchar('\n');
	}
	buf_free(&line);
}

static void
print_suspended(const struct queue_asker *a, const struct ipc_place *p)
{
	struct buf line = { .max = IPC_PACKET_MAX };
	char until[32];

	if (a->is_json) {
		buf_add(&line, S("{\"suspended\":true"));
		ask_json_text(&line, "name", p->name);
		ask_json_time(&line, "until", p->suspended_until_ms);
		printf("%.*s}\n", STR_ARG(buf_str(&line)));
	} else {
		printf("until %s  ", ask_time(p->suspended_until_ms, until));
		ask_print_plain(p->name);
		putchar('\n');
	}
	buf_free(&line);
}

static void
print_progress(const struct queue_asker *a, uint64_t done)
{
	enum { WIDTH = 40 };
	uint64_t most = a->expected ? a->expected : 1;
	int filled = (int)((done > most ? most : done) * WIDTH / most);

	if (isatty(STDERR_FILENO) && !a->is_json)
		fprintf(stderr, "\r[%.*s%*s] %llu of %llu", filled,
			"########################################", WIDTH - filled, "",
			(unsigned long long)done, (unsigned long long)a->expected);
}

void
queue_tell(void *owner, const struct ipc_message *m)
{
	struct queue_asker *a = owner;

	if (m->kind == IPC_item && a->is_json && (!a->is_trial || a->is_dry))
		print_item_json(&m->item);
	else if (m->kind == IPC_item && a->is_json)
		return; /* a sample, for people who are asked */
	else if (m->kind == IPC_item)
		print_item(a, &m->item);
	else if (m->kind == IPC_group)
		print_group(a, &m->group);
	else if (m->kind == IPC_place)
		print_suspended(a, &m->place);
	else if (m->kind == IPC_end)
		print_progress(a, m->end.recipients);
}
