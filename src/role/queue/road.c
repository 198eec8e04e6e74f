/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/must.h"
#include "route/route.h"

/*
 * Which way a recipient goes.
 *
 *   a domain of ours ──▶ vault says what the address stands for: a mailbox, or others
 *   a route of the file with an address in it ──▶ that is the road
 *   one with a host's name, or none ──▶ resolve is asked: one question a road, however many wait for it
 *
 * A road is what recipients share who wait for the same answer: route and name. It is kept until its
 * ttl ends, or the file is read anew. Of each kind at most QUESTIONS_MAX questions are under way; they are
 * asked again of a vault or resolve that was restarted.
 */

enum {
	QUESTIONS_MAX = 1000,
	SLICE = 2000, /* recipients told of their road, a turn of the loop */
};

struct road {
	struct list link; /* to be asked, or answered with recipients still to be told */
	struct str key;	  /* owned; of queue.roads */
	uint64_t number;  /* of the question under way: the key of queue.roads_asked; 0: none */
	struct chain waiting;
	uint32_t chain;		      /* its name */
	struct queue_destination *to; /* NULL: not known */
	struct err why;		      /* or this */
	int64_t until_ms;	      /* monotonic; the answer holds till then */
	const struct config_route *route;
	struct road_choice choice;
};

static struct str
number_key(const uint64_t *number)
{
	return (struct str){ (const char *)number, sizeof *number };
}

static struct str
road_key(const void *member)
{
	return ((const struct road *)member)->key;
}

static struct str
road_number(const void *member)
{
	return number_key(&((const struct road *)member)->number);
}

static void road_tell_more(void *owner);

void
road_start(struct queue *q)
{
	q->roads.key_of = road_key;
	q->roads_asked.key_of = road_number;
	list_init(&q->roads_to_ask);
	list_init(&q->roads_answered);
	q->road_timer = loop_timer_open(q->role.loop, road_tell_more, q);
}

/* ── choosing ── */

static bool
sender_fits(const struct config_route *route, struct str reverse_path)
{
	for (size_t i = 0; i < route->from_n; i++)
		if (route_sender_matches(route->from[i], reverse_path))
			return true;
	return route->from_n == 0;
}

/* The best fitting pattern; of two that fit alike, the one that names its senders. */
static const struct config_route *
best_route(const struct config *c, struct str domain, struct str reverse_path)
{
	const struct config_route *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < c->routes_n; i++) {
		const struct config_route *route = &c->routes[i];
		size_t fit = route_matches(route->pattern, domain);

		if (fit == 0 || !sender_fits(route, reverse_path))
			continue;
		fit = 2 * fit + (route->from_n > 0);
		if (fit > most) {
			most = fit;
			best = route;
		}
	}
	return best;
}

static void
choice_name(struct road_choice *choice, struct str name)
{
	size_t n = name.n < sizeof choice->text ? name.n : sizeof choice->text;

	for (size_t i = 0; i < n; i++)
		choice->text[i] = char_lower(name.p[i]);
	choice->name_n = n;
}

void
road_choose(const struct config *c, struct str domain, struct str reverse_path,
	struct road_choice *choice)
{
	const struct config_route *route = NULL;

	*choice = (struct road_choice){ .port = ROAD_PORT };
	choice->is_ours = domain.n == 0 || config_domain(c, domain);
	if (!choice->is_ours)
		choice->route = route = best_route(c, domain, reverse_path);
	if (!route) {
		choice->is_refused = !choice->is_ours && c->resolver.is_off;
		choice_name(choice, domain);
		return;
	}
	choice->is_made = route->via.family != 0;
	choice->is_host = route->via.text.n > 0;
	choice->protocol = route->via.protocol;
	choice->port = (uint16_t)route->port;
	if (choice->is_host)
		choice->port = route->via.port;
	choice->is_refused = !choice->is_made && c->resolver.is_off;
	choice_name(choice, choice->is_host ? route->via.host : domain);
}

void
road_add_made_hops(const struct road_choice *choice, struct buf *to)
{
	const struct config_via *via = &choice->route->via;
	struct hop h = { .host = via->host,
		.family = via->family,
		.protocol = via->protocol,
		.port = via->port };

	must(choice->is_made);
	memcpy(h.address, via->address, sizeof h.address);
	hop_add(to, &h);
}

/* ── roads ── */

/* Its places in the tables are the caller's to empty. */
static void
road_free(struct queue *q, struct road *road)
{
	must(road->waiting.n == 0);
	list_remove(&road->link);
	if (road->to)
		road->to->roads_n--;
	pool_give(&q->chains, road->chain);
	free((char *)(uintptr_t)road->key.p);
	free(road);
}

/* The road for that choice, made when it is not there. */
static struct road *
road_of(struct queue *q, const struct road_choice *choice)
{
	struct buf key = { .max = 1024 };
	struct road *road;

	if (choice->route)
		buf_add(&key, choice->route->name);
	buf_add_char(&key, choice->route && choice->route->from_n ? '<' : '\n');
	for (size_t i = 0; choice->route && i < choice->route->from_n; i++)
		buf_addf(&key, "%.*s,", STR_ARG(choice->route->from[i]));
	buf_add_char(&key, '\n');
	buf_add(&key, road_choice_name(choice));
	road = map_get(&q->roads, buf_str(&key));
	if (road) {
		buf_free(&key);
		return road;
	}
	road = calloc(1, sizeof *road);
	must(road);
	road->key = buf_str(&key); /* its memory is the road's now */
	road->choice = *choice;
	road->route = choice->route;
	road->chain = chain_name(q, &road->waiting);
	map_put(&q->roads, road);
	return road;
}

static void
ask_resolve(struct queue *q, const struct road_choice *choice, uint64_t number)
{
	ipc_send_road(q->resolve, &(struct ipc_road){ .fd = -1,
					  .ask = number,
					  .host = choice->is_host,
					  .protocol = (uint8_t)choice->protocol,
					  .port = choice->port,
					  .domain = road_choice_name(choice) });
}

static void
ask_more_roads(struct queue *q)
{
	while (q->resolve && q->roads_asked.used < QUESTIONS_MAX &&
		!list_is_empty(&q->roads_to_ask)) {
		struct road *road = list_of(q->roads_to_ask.next, struct road, link);

		list_remove(&road->link);
		road->number = ++q->numbers;
		map_put(&q->roads_asked, road);
		ask_resolve(q, &road->choice, road->number);
	}
}

void
road_resolve_is_back(struct queue *q)
{
	struct road *road;

	for (size_t at = 0; (road = map_next(&q->roads_asked, &at));)
		ask_resolve(q, &road->choice, road->number);
	ask_more_roads(q);
}

uint64_t
road_explain(struct queue *q, const struct road_choice *choice)
{
	if (!q->resolve)
		return 0;
	ask_resolve(q, choice, ++q->numbers);
	return q->numbers;
}

/* ── the answer, told to those who wait ── */

static void
tell(struct queue *q, struct road *road, uint32_t r)
{
	uint32_t mail = recipient_of(q, r)->mail;

	if (road->to) {
		schedule_add(q, r, road->to);
		return;
	}
	recipient_note(q, r, &road->why, (struct str){ 0 });
	if (road->why.class == ERR_PERMANENT)
		bounce_begin(q, mail, &r, 1);
	else
		schedule_later(q, &r, 1);
	mail_check_settled(q, mail);
}

/* Many may wait: a slice of them a turn. */
static void
road_tell_more(void *owner)
{
	struct queue *q = owner;

	for (unsigned n = SLICE; n && !list_is_empty(&q->roads_answered); n--) {
		struct road *road = list_of(q->roads_answered.next, struct road, link);
		uint32_t r = road->waiting.first;

		if (r) {
			recipient_leave(q, r);
			tell(q, road, r);
			continue;
		}
		list_remove(&road->link);
		if (!road->to) { /* resolve itself remembers what it could not find */
			map_remove(&q->roads, road->key);
			road_free(q, road);
		}
	}
	if (!list_is_empty(&q->roads_answered))
		loop_timer_set(q->road_timer, 0);
	schedule_go(q);
}

static void
road_answered(struct queue *q, struct road *road, struct str hops, uint32_t ttl_s)
{
	struct queue_destination *to = NULL;

	if (hops.n)
		to = destination_of(q, road->route, hops, road_choice_name(&road->choice));
	if (to)
		to->roads_n++;
	if (road->to)
		road->to->roads_n--;
	road->to = to;
	road->until_ms = loop_now_ms(q->role.loop) + (int64_t)ttl_s * 1000;
}

void
road_came(struct queue *q, const struct ipc_hops *m)
{
	struct road *road = map_remove(&q->roads_asked, number_key(&m->ask));
	struct str why = m->why, none = { 0 };

	if (!road) {
		control_hops(q, m);
		return;
	}
	road->number = 0;
	road->why = (struct err){ 0 };
	if (!codec_scan_err(&why, &road->why) || (!err_is(&road->why) && m->hops.n == 0))
		err_set(&road->why, ERR_TEMPORARY, ERR_DNS, "the resolver's answer makes no sense");
	road_answered(q, road, err_is(&road->why) ? none : m->hops, m->ttl_s);
	list_append(&q->roads_answered, &road->link);
	ask_more_roads(q);
	road_tell_more(q);
}

/* ── setting out ── */

static void
go_elsewhere(struct queue *q, uint32_t r, const struct road_choice *choice)
{
	struct road *road = road_of(q, choice);
	struct buf hops = { .max = 1024 };

	if (choice->is_made && !road->to) {
		road_add_made_hops(choice, &hops);
		road_answered(q, road, buf_str(&hops), UINT32_MAX);
		buf_free(&hops);
	}
	if (road->to && loop_now_ms(q->role.loop) < road->until_ms &&
		road->waiting.n == 0) { /* nobody overtakes those who still wait to be told */
		schedule_add(q, r, road->to);
		return;
	}
	chain_append(q, &road->waiting, r);
	recipient_of(q, r)->line = road->chain;
	if (road->number == 0 && !list_is_linked(&road->link))
		list_append(&q->roads_to_ask, &road->link);
	ask_more_roads(q);
}

void
road_find(struct queue *q, uint32_t r)
{
	const struct recipient *p = recipient_of(q, r);
	struct road_choice choice;

	if (p->is_mailbox) { /* vault has followed the alias to its end */
		schedule_add(q, r, q->mailboxes);
		return;
	}
	road_choose(&q->role.config, recipient_domain(q, r), mail_sender(q, p->mail), &choice);
	if (choice.is_ours) {
		expand_find(q, r);
	} else if (!mail_of(q, p->mail)->may_relay && !p->is_child) {
		recipient_refuse(q, r, ERR_PERMANENT, ERR_RELAY_DENIED,
			"this mail may not leave our house: it came without a valid login");
	} else if (choice.is_refused && p->last) { /* it had one: the file may name it again */
		recipient_refuse(
			q, r, ERR_TEMPORARY, ERR_NO_ROUTE, "no route leads there any more");
	} else if (choice.is_refused) {
		recipient_refuse(q, r, ERR_PERMANENT, ERR_NO_ROUTE,
			"no route leads there: name one in the configuration");
	} else if (suspend_of_domain(q, recipient_domain(q, r))) {
		recipient_set_state(q, r, RECIPIENT_DEFERRED);
		wheel_put(q, r, suspend_of_domain(q, recipient_domain(q, r)));
	} else {
		go_elsewhere(q, r, &choice);
	}
}

/* ── forgetting ── */

static void
set_out_all(struct queue *q, struct buf *names)
{
	for (size_t at = 0; at < names->n; at += sizeof(uint32_t)) {
		uint32_t r = codec_get_u32(names->p + at), mail = recipient_of(q, r)->mail;

		road_find(q, r);
		mail_check_settled(q, mail);
	}
	buf_free(names);
}

void
road_configured(struct queue *q)
{
	struct buf waiting = { .max = SIZE_MAX };
	struct road *road;

	for (size_t at = 0; (road = map_next(&q->roads, &at));) {
		while (road->waiting.n) {
			codec_add_u32(&waiting, road->waiting.first);
			recipient_leave(q, road->waiting.first);
		}
		road_free(q, road);
	}
	map_free(&q->roads);
	map_free(&q->roads_asked);
	schedule_leave_all(q, &waiting); /* who stands in line may have another road now */
	set_out_all(q, &waiting);
}

void
road_sweep(struct queue *q)
{
	int64_t now_ms = loop_now_ms(q->role.loop);
	struct road *past[64], *road;
	size_t n = 0;

	for (size_t at = 0; n < sizeof past / sizeof past[0] && (road = map_next(&q->roads, &at));)
		if (road->to && now_ms >= road->until_ms && road->waiting.n == 0 &&
			road->number == 0 && !list_is_linked(&road->link))
			past[n++] = road;
	while (n) {
		map_remove(&q->roads, past[--n]->key);
		road_free(q, past[n]);
	}
}
