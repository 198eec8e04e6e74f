/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/codec.h"
#include "base/must.h"

/*
 * Which way a recipient goes, by the rule that choice.c finds.
 *
 *   a domain of ours ──▶ vault says what the address stands for: a mailbox, or others
 *   a route of the file with an address in it ──▶ that is the road
 *   one with a host's name, or none ──▶ resolve is asked: one question a road, however many wait for it
 *
 * A road is what recipients share who wait for the same answer: route and name. Of each kind at most
 * QUESTIONS_MAX questions are under way, in turns (turns.h); they are asked again of a vault or resolve that was
 * restarted.
 *
 *                 go_elsewhere          ask_more_roads          road_came           road_tell_more
 *   ROAD_IDLE ──────────────▶ ROAD_TO_ASK ─────────▶ ROAD_ASKED ─────────▶ ROAD_TOLD ───────────▶ ROAD_IDLE
 *                             behind its payer                   those who waited, a slice a turn
 *
 * An answer holds until its ttl ends; then the road is asked for anew when somebody wants it. One that
 * nobody wanted for KEPT_MS is forgotten, and of more than IDLE_MOST the one wanted longest ago, so that
 * a million domains that are written to once cost no memory for long. When the file is read anew, no road of
 * the old one tells its way any more: those who wait for it, and those in line, are sent on a slice a turn.
 */

enum {
	QUESTIONS_MAX = 1000,
	SLICE = 2000, /* recipients told of their road, or sent on, a turn of the loop */
	KEPT_MS = 10 * 60 * 1000,
	IDLE_MOST = 50000,
	SWEPT_MOST = 500, /* roads forgotten, a turn of the loop */
};

/* Of an older file those that were to be asked, or asked about, are in queue.roads_told as well. */
enum road_state {
	ROAD_IDLE,   /* nobody waits for it: in queue.roads_idle */
	ROAD_TO_ASK, /* in asker.roads */
	ROAD_ASKED,  /* in queue.roads_asked */
	ROAD_TOLD,   /* answered: in queue.roads_told */
};

struct road {
	struct list link;
	enum road_state state;
	uint32_t file;	     /* queue.roads_file when it was made */
	struct str key;	     /* owned; of queue.roads: file, route, and then its name */
	size_t name_n;	     /* the last octets of the key */
	uint64_t number;     /* of the question under way: the key of queue.roads_asked; 0: none */
	struct asker *asker; /* TO_ASK, ASKED */
	struct chain waiting;
	uint32_t chain;		      /* its name */
	struct queue_destination *to; /* NULL: not known */
	struct err *why;	      /* owned; or this */
	int64_t until_ms;	      /* monotonic; the answer holds till then */
	int64_t used_ms;	      /* IDLE: since when */
	const struct config_route *route;
	bool is_host;
	enum hop_protocol protocol;
	uint16_t port;
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
	turns_begin(&q->asking, QUESTIONS_MAX);
	list_init(&q->roads_told);
	list_init(&q->roads_idle);
	q->road_timer = loop_timer_open(q->role.loop, road_tell_more, q);
}

/* ── roads ── */

static struct str
road_name(const struct road *road)
{
	return str_from(road->key, road->key.n - road->name_n);
}

/* No question about it is under way. */
static void
road_free(struct queue *q, struct road *road)
{
	must(road->waiting.n == 0 && road->number == 0);
	if (road->state == ROAD_IDLE && list_is_linked(&road->link))
		q->roads_idle_n--;
	list_remove(&road->link);
	map_remove(&q->roads, road->key);
	if (road->to)
		road->to->roads_n--;
	pool_give(&q->chains, road->chain);
	free(road->why);
	free((char *)(uintptr_t)road->key.p);
	free(road);
}

static struct road *
first_idle(struct queue *q)
{
	return list_is_empty(&q->roads_idle) ? NULL
					     : list_of(q->roads_idle.next, struct road, link);
}

/* Nobody waits for it; it was wanted just now. */
static void
road_rest(struct queue *q, struct road *road)
{
	if (road->state != ROAD_IDLE || !list_is_linked(&road->link))
		q->roads_idle_n++;
	list_remove(&road->link);
	list_append(&q->roads_idle, &road->link);
	road->state = ROAD_IDLE;
	road->used_ms = loop_now_ms(q->role.loop);
	while (q->roads_idle_n > IDLE_MOST)
		road_free(q, first_idle(q));
}

bool
road_sweep(struct queue *q)
{
	int64_t now_ms = loop_now_ms(q->role.loop);
	struct road *road;

	for (unsigned n = SWEPT_MOST; n; n--) {
		road = first_idle(q);
		if (!road || (road->file == q->roads_file && now_ms - road->used_ms < KEPT_MS))
			return false;
		road_free(q, road);
	}
	return true;
}

static void
add_key(struct buf *key, const struct queue *q, const struct road_choice *choice)
{
	codec_add_u32(key, q->roads_file);
	if (choice->route)
		buf_add(key, choice->route->name);
	buf_add_char(key, choice->route && choice->route->from_n ? '<' : '\n');
	for (size_t i = 0; choice->route && i < choice->route->from_n; i++)
		buf_addf(key, "%.*s,", STR_ARG(choice->route->from[i]));
	buf_add_char(key, '\n');
	buf_add(key, road_choice_name(choice));
}

/* The road for that choice, made when it is not there. */
static struct road *
road_of(struct queue *q, const struct road_choice *choice)
{
	struct buf key = { .max = SIZE_MAX };
	struct road *road;

	add_key(&key, q, choice);
	road = map_get(&q->roads, buf_str(&key));
	if (road) {
		buf_free(&key);
		return road;
	}
	road = calloc(1, sizeof *road);
	must(road);
	*road = (struct road){ .file = q->roads_file,
		.key = buf_str(&key), /* its memory is the road's now */
		.name_n = choice->name_n,
		.route = choice->route,
		.is_host = choice->is_host,
		.protocol = choice->protocol,
		.port = choice->port };
	road->chain = chain_name(q, &road->waiting);
	map_put(&q->roads, road);
	return road;
}

/* ── asking ── */

static void
ask_resolve(struct queue *q, const struct road *road)
{
	ipc_send_road(q->resolve, &(struct ipc_road){ .fd = -1,
					  .ask = road->number,
					  .host = road->is_host,
					  .protocol = (uint8_t)road->protocol,
					  .port = road->port,
					  .domain = road_name(road) });
}

static void
ask_more_roads(struct queue *q)
{
	struct asker *asker;

	while (q->resolve && (asker = turns_next(q, &q->asking))) {
		struct road *road = list_of(asker->roads.next, struct road, link);

		list_remove(&road->link);
		if (road->waiting.n == 0) { /* held, dropped or expired meanwhile */
			road_free(q, road);
			continue;
		}
		road->state = ROAD_ASKED;
		road->number = ++q->numbers;
		map_put(&q->roads_asked, road);
		turns_started(&q->asking, asker);
		ask_resolve(q, road);
	}
}

/* Behind that asker, with all who wait for it. */
static void
road_put_behind(struct queue *q, struct road *road, struct asker *asker)
{
	if (road->state == ROAD_IDLE && list_is_linked(&road->link))
		q->roads_idle_n--;
	list_remove(&road->link);
	list_append(&asker->roads, &road->link);
	road->state = ROAD_TO_ASK;
	road->asker = asker;
	turns_ready(&q->asking, asker);
}

void
road_resolve_is_back(struct queue *q)
{
	struct road *road;

	for (size_t at = 0; (road = map_next(&q->roads_asked, &at));)
		ask_resolve(q, road);
	ask_more_roads(q);
}

uint64_t
road_explain(struct queue *q, const struct road_choice *choice)
{
	if (!q->resolve)
		return 0;
	ipc_send_road(q->resolve, &(struct ipc_road){ .fd = -1,
					  .ask = ++q->numbers,
					  .host = choice->is_host,
					  .protocol = (uint8_t)choice->protocol,
					  .port = choice->port,
					  .domain = road_choice_name(choice) });
	return q->numbers;
}

/* ── the answer, told to those who wait ── */

/* No road: those at the head that are one mail's hear of it together, so that its sender gets one
 * report. */
static unsigned
tell_in_vain(struct queue *q, struct road *road)
{
	uint32_t mail = recipient_of(q, road->waiting.first)->mail, r, n = 0;
	uint32_t those[ERRAND_RECIPIENTS_MAX];

	while ((r = road->waiting.first) && n < ERRAND_RECIPIENTS_MAX &&
		recipient_of(q, r)->mail == mail) {
		recipient_leave(q, r);
		recipient_note(q, r, road->why, (struct str){ 0 });
		those[n++] = r;
	}
	if (road->why->class == ERR_PERMANENT)
		bounce_begin(q, mail, those, n);
	else
		schedule_later(q, those, n);
	mail_check_settled(q, mail);
	return n;
}

/* How many were told. */
static unsigned
tell(struct queue *q, struct road *road)
{
	uint32_t r = road->waiting.first, mail = recipient_of(q, r)->mail;

	if (road->file == q->roads_file && !road->to)
		return tell_in_vain(q, road);
	recipient_leave(q, r);
	if (road->file == q->roads_file) {
		schedule_add(q, r, road->to);
	} else {
		road_find(q, r);
		mail_check_settled(q, mail);
	}
	return 1;
}

/* All who waited are told. Resolve itself remembers what it could not find. */
static void
told(struct queue *q, struct road *road)
{
	list_remove(&road->link);
	if (road->file != q->roads_file || !road->to) {
		if (road->number == 0) /* else it goes with its answer */
			road_free(q, road);
		return;
	}
	road_rest(q, road);
}

/* Who stands in line may have another road by the newest file. How many there were. */
static unsigned
send_on(struct queue *q, uint32_t mail)
{
	unsigned n = 0;

	for (uint32_t r = 0; (r = recipient_next(q, mail, r)); n++) {
		struct queue_destination *d = recipient_destination(q, r);

		if (!d || d == q->mailboxes)
			continue;
		recipient_leave(q, r);
		recipient_set_state(q, r, RECIPIENT_NEW);
		road_find(q, r);
	}
	mail_check_settled(q, mail);
	return n;
}

/* Many may wait: a slice of them a turn. */
static void
road_tell_more(void *owner)
{
	struct queue *q = owner;
	unsigned n = 0;
	uint32_t mail;

	while (n < SLICE && !list_is_empty(&q->roads_told)) {
		struct road *road = list_of(q->roads_told.next, struct road, link);

		n++;
		if (road->waiting.n)
			n += tell(q, road);
		else
			told(q, road);
	}
	while (n < SLICE && q->is_reseeking) {
		mail = index_next(q, &q->reseek_at);
		q->is_reseeking = mail != 0;
		n += mail ? 1 + send_on(q, mail) : 0;
	}
	if (!list_is_empty(&q->roads_told) || q->is_reseeking)
		loop_timer_set(q->road_timer, 0);
	schedule_go(q);
}

static void
road_answered(struct queue *q, struct road *road, struct str hops, uint32_t ttl_s)
{
	struct queue_destination *to = NULL;

	if (hops.n)
		to = destination_of(q, road->route, hops, road_name(road));
	if (to)
		to->roads_n++;
	if (road->to)
		road->to->roads_n--;
	road->to = to;
	road->until_ms = loop_now_ms(q->role.loop) + (int64_t)ttl_s * 1000;
}

static void
road_note(struct road *road, const struct err *why)
{
	free(road->why);
	road->why = NULL;
	if (!err_is(why))
		return;
	road->why = malloc(sizeof *why);
	must(road->why);
	*road->why = *why;
}

void
road_came(struct queue *q, const struct ipc_hops *m)
{
	struct road *road = map_remove(&q->roads_asked, number_key(&m->ask));
	struct str why = m->why, none = { 0 };
	struct err e = { 0 };

	if (!road) {
		control_hops(q, m);
		return;
	}
	road->number = 0;
	turns_ended(q, &q->asking, road->asker);
	if (!codec_scan_err(&why, &e) || (!err_is(&e) && m->hops.n == 0))
		err_set(&e, ERR_TEMPORARY, ERR_DNS, "the resolver's answer makes no sense");
	if (road->file == q->roads_file) {
		road_answered(q, road, err_is(&e) ? none : m->hops, m->ttl_s);
		road_note(road, &e);
		road->state = ROAD_TOLD;
		list_append(&q->roads_told, &road->link);
	} else if (!list_is_linked(&road->link)) {
		road_free(q, road);
	}
	ask_more_roads(q);
	road_tell_more(q);
}

/* ── setting out ── */

/* It waits for the answer. One that waits behind another payer comes forward when its new one has
 * nothing else to wait for. */
static void
wait_for(struct queue *q, struct road *road, uint32_t r)
{
	struct asker *asker;

	chain_append(q, &road->waiting, r);
	recipient_of(q, r)->line = road->chain;
	if (road->state != ROAD_IDLE && road->state != ROAD_TO_ASK)
		return;
	asker = turns_of(q, &q->asking, mail_of(q, recipient_of(q, r)->mail)->payer);
	if (road->state == ROAD_IDLE || !asker_waits(asker))
		road_put_behind(q, road, asker);
	ask_more_roads(q);
}

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
	if (!road->to || loop_now_ms(q->role.loop) >= road->until_ms ||
		road->waiting.n) { /* nobody overtakes those who still wait to be told */
		wait_for(q, road, r);
		return;
	}
	schedule_add(q, r, road->to);
	if (road->state == ROAD_IDLE)
		road_rest(q, road);
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

/* ── another file ── */

void
road_configured(struct queue *q)
{
	struct asker *asker;
	struct road *road;

	q->roads_file++;
	for (size_t at = 0; (asker = map_next(&q->asking.askers, &at));)
		list_move_all(&q->roads_told, &asker->roads);
	for (size_t at = 0; (road = map_next(&q->roads_asked, &at));)
		if (!list_is_linked(&road->link))
			list_append(&q->roads_told, &road->link);
	q->is_reseeking = true;
	q->reseek_at = 0;
	loop_timer_set(q->road_timer, 0);
}
