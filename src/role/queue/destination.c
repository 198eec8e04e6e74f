/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/hash.h"
#include "base/must.h"
#include "route/road.h"
#include "smtp/client.h"

/*
 * Destinations: the set of hops, not the name. Two domains whose mail goes to the same addresses by the same
 * route share one line a sender, one number under way, and what was learned. The store is one as well.
 *
 * One that nothing goes to is kept for KEPT_MS, for what was learned. When there are more than KEPT_MOST of all
 * kinds, each new one makes room by the idle ones among those that were used longest ago.
 */

enum {
	STORE_UNDER_WAY_MOST = 256,
	CONNECTIONS = 20, /* to one destination, where no route says otherwise */
	KEPT_MS = 10 * 60 * 1000,
	KEPT_MOST = 50000,
	SWEPT_MOST = 500,	/* a turn of the loop */
	LOOKED_AT = 4,		/* for room, with each new one */
	PLACE = 1 + 1 + 2 + 16, /* octets of a hop in the key */
};

static struct str
owned(struct str s)
{
	char *p = malloc(s.n + 1);

	must(p);
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return (struct str){ p, s.n };
}

static void
disown(struct str *s)
{
	free((char *)(uintptr_t)s->p);
	*s = (struct str){ 0 };
}

static int
compare_places(const void *a, const void *b)
{
	return memcmp(a, b, PLACE);
}

/* Route, then where the hops are, in an order of its own. */
static void
add_key(struct buf *key, const struct config_route *route, struct str hops)
{
	char places[ROAD_HOPS_MAX][PLACE];
	struct hop h;
	size_t n = 0;

	if (route)
		buf_add(key, route->name);
	buf_add_char(key, '\n');
	while (n < ROAD_HOPS_MAX && hop_scan(&hops, &h)) {
		places[n][0] = (char)h.protocol;
		places[n][1] = (char)h.family;
		codec_put_u16(&places[n][2], h.port);
		memcpy(&places[n][4], h.address, sizeof h.address);
		n++;
		if (h.family == HOP_UNIX)
			buf_add(key, h.host);
	}
	qsort(places, n, PLACE, compare_places);
	buf_add(key, (struct str){ places[0], n * PLACE });
}

static unsigned
quarter(const struct config *c)
{
	return c->limits.outbound < 4 ? 1 : c->limits.outbound / 4;
}

static unsigned
most_of(const struct config *c, const struct config_route *route)
{
	unsigned most = route ? route->connections : CONNECTIONS;

	return most < quarter(c) ? most : quarter(c);
}

static struct queue_destination *
destination_new(struct queue *q, const struct config_route *route, struct str key)
{
	struct queue_destination *d = calloc(1, sizeof *d);

	must(d);
	destination_begin(&d->fair, ++q->destinations_n, most_of(&q->role.config, route),
		route ? route->rate : 0, loop_now_ms(q->role.loop));
	d->key = owned(key);
	d->route = owned(route ? route->name : (struct str){ 0 });
	list_init(&d->under_way);
	map_put(&q->destinations, d);
	return d;
}

void
destination_used(struct queue *q, struct queue_destination *d)
{
	d->used_ms = loop_now_ms(q->role.loop);
	if (d == q->mailboxes)
		return;
	list_remove(&d->link);
	list_append(&q->destinations_used, &d->link);
}

static void
destination_free(struct queue *q, struct queue_destination *d)
{
	list_remove(&d->link);
	map_remove(&q->destinations, d->key);
	fair_forget(&q->outbound, &d->fair);
	intern_drop(&q->texts, d->last);
	disown(&d->key);
	disown(&d->name);
	disown(&d->route);
	disown(&d->hops);
	disown(&d->domain);
	free(d);
}

/* The `most` that were used longest ago, and not later than at that time: idle ones are forgotten, others are in use
 * until now. False: there are no more. */
static bool
forget_idle(struct queue *q, int64_t used_ms, unsigned most)
{
	for (; most && !list_is_empty(&q->destinations_used); most--) {
		struct queue_destination *d =
			list_of(q->destinations_used.next, struct queue_destination, link);

		if (d->used_ms > used_ms)
			return false;
		if (d->roads_n == 0 && list_is_empty(&d->fair.lines) &&
			list_is_empty(&d->under_way))
			destination_free(q, d);
		else
			destination_used(q, d);
	}
	return most == 0;
}

bool
destination_sweep(struct queue *q)
{
	return forget_idle(q, loop_now_ms(q->role.loop) - KEPT_MS, SWEPT_MOST);
}

struct queue_destination *
destination_of(
	struct queue *q, const struct config_route *route, struct str hops, struct str domain)
{
	struct buf key = { .max = SIZE_MAX };
	struct queue_destination *d;
	struct str rest = hops;
	struct hop first = { 0 };
	bool is_new;

	add_key(&key, route, hops);
	d = map_get(&q->destinations, buf_str(&key));
	is_new = !d;
	if (is_new) {
		if (q->destinations.used >= KEPT_MOST)
			forget_idle(q, INT64_MAX, LOOKED_AT);
		d = destination_new(q, route, buf_str(&key));
		hop_scan(&rest, &first);
		d->name = owned(route && route->via.text.n ? route->via.text : first.host);
		d->domain = owned(domain);
	}
	buf_free(&key);
	disown(&d->hops);
	d->hops = owned(hops);
	destination_used(q, d);
	if (is_new)
		d->fair.suspended_until_ms = suspend_of_destination(q, d);
	return d;
}

static struct str
destination_key(const void *member)
{
	return ((const struct queue_destination *)member)->key;
}

void
destination_start(struct queue *q)
{
	q->destinations.key_of = destination_key;
	list_init(&q->destinations_used);
	q->mailboxes = destination_new(q, NULL, S("mailboxes"));
	q->mailboxes->name = owned(S("mailboxes"));
	/* The store is ours: nothing to learn. */
	q->mailboxes->fair.pace.most = q->mailboxes->fair.pace.limit = STORE_UNDER_WAY_MOST;
}

/* ── for people ── */

struct queue_destination *
destination_next(struct queue *q, size_t *at)
{
	return map_next(&q->destinations, at);
}

int64_t
destination_wall_ms(struct queue *q, int64_t now_ms)
{
	return loop_wall_ms() + now_ms - loop_now_ms(q->role.loop);
}

void
destination_suspend(struct queue *q, struct queue_destination *d, int64_t until_ms)
{
	d->fair.suspended_until_ms = until_ms;
	fair_wake(d == q->mailboxes ? &q->inbound : &q->outbound, &d->fair);
	schedule_go(q);
}

/* ── learning ── */

/* Does the host say that it is too much? */
static bool
is_slowing(const struct step *s)
{
	if (s->stage >= STAGE_MAIL &&
		(s->err.kind == ERR_TIMEOUT || s->err.kind == ERR_CONNECTION_LOST))
		return true;
	return s->err.code == 421 ||
	       (s->stage <= STAGE_MAIL && s->err.class == ERR_TEMPORARY &&
		       s->err.kind == ERR_REMOTE && s->err.enhanced.subject == 7);
}

/* The last hop that was tried decided. None came as far as MAIL: nobody is there; nor is one there for us
 * that finds a single connection too much. */
void
destination_learn(struct queue *q, struct queue_destination *d, struct str steps, struct str *host)
{
	const struct config *c = &q->role.config;
	bool is_reached = false, is_slowed = false;
	struct step s, last = { 0 };
	uint64_t random;

	while (step_scan(&steps, &s)) {
		is_reached |= s.stage >= STAGE_MAIL || s.err.class != ERR_TEMPORARY;
		is_slowed = is_slowing(&s);
		last = s;
	}
	*host = last.host.n ? last.host : last.address;
	if (!last.address.n && !last.host.n)
		return; /* nothing was tried: no news */
	if (is_reached && !is_slowed) {
		pace_went_well(&d->fair.pace);
		return;
	}
	intern_drop(&q->texts, d->last);
	buf_reset(&q->packed);
	codec_add_err(&q->packed, &last.err);
	buf_add(&q->packed, *host);
	d->last = intern_add(&q->texts, buf_str(&q->packed));
	if (is_slowed && (is_reached || d->fair.pace.limit > 1)) {
		pace_was_slowed(&d->fair.pace);
		return;
	}
	hash_random(&random, sizeof random);
	pace_was_down(&d->fair.pace, loop_now_ms(q->role.loop), c->queue.retry_first_ms,
		c->queue.retry_most_ms, random);
}

/* ── changing ── */

void
destination_probe(struct queue *q, struct queue_destination *d)
{
	struct pace *pace = &d->fair.pace;
	int64_t now_ms = loop_now_ms(q->role.loop);

	if (pace->down_n == 0 || pace->probe_at_ms <= now_ms)
		return;
	pace->probe_at_ms = now_ms;
	fair_wake(&q->outbound, &d->fair);
}

void
destination_configured(struct queue *q)
{
	const struct config *c = &q->role.config;
	struct queue_destination *d;

	for (size_t at = 0; (d = map_next(&q->destinations, &at));) {
		const struct config_route *route = NULL;

		if (d == q->mailboxes)
			continue;
		for (size_t i = 0; i < c->routes_n && !route; i++)
			if (str_eq(c->routes[i].name, d->route))
				route = &c->routes[i];
		pace_configure(&d->fair.pace, most_of(c, route), route ? route->rate : 0);
		fair_wake(&q->outbound, &d->fair);
	}
}
