/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/must.h"
#include "route/route.h"
#include "smtp/address.h"

/*
 * Which way a recipient goes. A domain of ours: vault says what the address stands for. Another's:
 * the best fitting route of the file. At most ROADS_ASKED_MAX questions are on their way to vault
 * at once; when vault was restarted they are asked again.
 */

enum { ROADS_ASKED_MAX = 1000 };

struct road {
	struct list link;  /* in queue.roads, until asked */
	uint64_t number;   /* then the key of queue.asked */
	struct mail *mail; /* cannot go while this recipient is open */
	uint32_t recipient;
};

struct str
road_key(const void *road)
{
	const struct road *r = road;

	return (struct str){ (const char *)&r->number, sizeof r->number };
}

static void
split(struct str address, struct str *local, struct str *domain)
{
	size_t at = address.n;

	while (at > 0 && address.p[at - 1] != '@')
		at--;
	*local = at ? str_part(address, 0, at - 1) : address;
	*domain = at ? str_from(address, at) : (struct str){ 0 };
}

static void
ask(struct queue *q, struct road *r)
{
	struct str address = r->mail->recipients[r->recipient].address;
	struct arena arena = { .max = 2 * ADDRESS_PATH_MAX };
	struct address a; /* as vault knows it: without the quotes of the wire */

	if (address_parse(address, &arena, true, &a) != ADDRESS_OK)
		split(address, &a.local, &a.domain); /* "postmaster" alone */
	ipc_send_expand(q->vault,
		&(struct ipc_expand){
			.fd = -1, .ask = r->number, .local = a.local, .domain = a.domain });
	arena_free(&arena);
}

static void
ask_more(struct queue *q)
{
	while (q->vault && q->asked.used < ROADS_ASKED_MAX && !list_is_empty(&q->roads)) {
		struct road *r = list_of(q->roads.next, struct road, link);

		list_remove(&r->link);
		r->number = ++q->numbers;
		map_put(&q->asked, r);
		ask(q, r);
	}
}

void
road_vault_is_back(struct queue *q)
{
	struct road *r;

	for (size_t i = 0; (r = map_next(&q->asked, &i));)
		ask(q, r);
	ask_more(q);
}

static void
fail(struct queue *q, struct mail *mail, uint32_t i, enum err_kind kind, const char *words)
{
	struct err e;

	err_set(&e, ERR_PERMANENT, kind, "%s", words);
	recipient_note(&mail->recipients[i], &e, (struct str){ 0 });
	bounce_begin(q, mail, &i, 1);
}

static void
go_elsewhere(struct queue *q, struct mail *mail, uint32_t i, struct str domain)
{
	const struct config *c = &q->role.config;
	const struct config_route *best = NULL;
	size_t most = 0;
	struct err e;

	for (size_t k = 0; k < c->routes_n; k++) {
		size_t fit = route_matches(c->routes[k].pattern, domain);

		if (fit > most) {
			most = fit;
			best = &c->routes[k];
		}
	}
	if (!best && mail->recipients[i].last) { /* it had one: the file may name it again */
		err_set(&e, ERR_TEMPORARY, ERR_NO_ROUTE, "no route leads there any more");
		recipient_note(&mail->recipients[i], &e, (struct str){ 0 });
		schedule_later(q, mail, &i, 1);
	} else if (!best)
		fail(q, mail, i, ERR_NO_ROUTE,
			"no route leads there: name one in the configuration");
	else
		schedule_add(q, mail, i, best->pattern);
}

void
road_find(struct queue *q, struct mail *mail, uint32_t i)
{
	struct recipient *r = &mail->recipients[i];
	struct str local, domain;
	struct road *road;

	r->state = RECIPIENT_NEW;
	if (r->mailbox.n && r->is_child) { /* vault has followed the alias to its end */
		schedule_add(q, mail, i, (struct str){ 0 });
		return;
	}
	split(r->address, &local, &domain);
	if (domain.n && !config_domain(&q->role.config, domain)) {
		if (mail->may_relay || r->is_child)
			go_elsewhere(q, mail, i, domain);
		else
			fail(q, mail, i, ERR_RELAY_DENIED,
				"this mail may not leave our house: it came without a valid login");
		return;
	}
	road = calloc(1, sizeof *road);
	must(road);
	*road = (struct road){ .mail = mail, .recipient = i };
	list_append(&q->roads, &road->link);
	ask_more(q);
}

/* One mailbox: the recipient itself goes there. Anything else becomes recipients of its own. */
static void
take_targets(struct queue *q, struct mail *mail, uint32_t i, struct str targets)
{
	struct recipient *r = &mail->recipients[i];
	struct str rest = targets, first = { 0 };

	if (!codec_scan_str(&rest, &first) || first.n < 2) {
		fail(q, mail, i, ERR_MAILBOX_UNKNOWN, "this address leads to nobody");
		return;
	}
	if (rest.n == 0 && first.p[0] == 'M') {
		char *p = malloc(first.n - 1);

		must(p);
		memcpy(p, first.p + 1, first.n - 1);
		free((char *)(uintptr_t)r->mailbox.p);
		r->mailbox = (struct str){ p, first.n - 1 };
		schedule_add(q, mail, i, (struct str){ 0 });
		return;
	}
	if (!recipient_expanded(q, mail, i, targets))
		fail(q, mail, i, ERR_TOO_MANY_RECIPIENTS,
			"the aliases of this mail have more members than a mail may have "
			"recipients");
}

void
road_came(struct queue *q, struct ipc_expanded *m)
{
	struct road *r =
		map_remove(&q->asked, (struct str){ (const char *)&m->ask, sizeof m->ask });
	struct mail *mail;
	struct err e;
	uint32_t i;

	if (!r)
		return;
	mail = r->mail;
	i = r->recipient;
	free(r);
	switch ((enum expanded_kind)m->kind) {
	case EXPANDED_TARGETS:
		take_targets(q, mail, i, m->targets);
		break;
	case EXPANDED_UNKNOWN:
		fail(q, mail, i, ERR_MAILBOX_UNKNOWN, "no such mailbox here");
		break;
	case EXPANDED_MOVED:
		fail(q, mail, i, ERR_MAILBOX_UNKNOWN,
			"this person has moved away and left no forwarding");
		break;
	case EXPANDED_LOOP:
		fail(q, mail, i, ERR_LOOP, "the aliases of this address lead round in a circle");
		break;
	case EXPANDED_BUSY:
		err_set(&e, ERR_TEMPORARY, ERR_MAILBOX_BUSY,
			"this mailbox takes no mail for the moment");
		recipient_note(&mail->recipients[i], &e, (struct str){ 0 });
		schedule_later(q, mail, &i, 1);
		break;
	}
	mail_check_settled(q, mail);
	ask_more(q);
	schedule_go(q);
}
