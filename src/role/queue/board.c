/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/control.h"

#include "base/must.h"

/* What `top` shows, and where a mail would go. */

enum { PLACES_MOST = 200, LATELY_MS = 2000, DOMAIN_MAX = 255 /* RFC 5321 §4.5.3.1.2 */ };

/* ── totals ── */

/* When nothing was counted for two periods, nobody was here to put anything aside: they are what they were. */
struct queue_totals *
queue_totals_now(struct queue *q)
{
	int64_t now_ms = loop_now_ms(q->role.loop), past_ms = now_ms - q->lately.at_ms;

	if (past_ms >= LATELY_MS) {
		q->before = past_ms < 2 * LATELY_MS ? q->lately : q->totals;
		if (past_ms >= 2 * LATELY_MS)
			q->before.at_ms = now_ms - LATELY_MS;
		q->lately = q->totals;
		q->lately.at_ms = now_ms;
	}
	return &q->totals;
}

static struct ipc_totals
totals_as_message(struct queue *q)
{
	const struct queue_totals *now = queue_totals_now(q), *before = &q->before;

	return (struct ipc_totals){ .fd = -1,
		.since_ms = (uint64_t)q->epoch_ms,
		.now_ms = (uint64_t)loop_wall_ms(),
		.lately_ms = (uint64_t)(loop_now_ms(q->role.loop) - before->at_ms),
		.kept = now->kept - before->kept,
		.delivered = now->delivered - before->delivered,
		.deferred = now->deferred - before->deferred,
		.failed = now->failed - before->failed,
		.mails = q->mails.live,
		.open = q->open_n,
		.segments = keeper_segments(q->keeper) };
}

/* ── destinations ── */

static void
send_place(struct control *c, const struct queue_destination *d)
{
	struct queue *q = c->queue;
	const struct pace *p = &d->fair.pace;
	int64_t now_ms = loop_wall_ms();
	struct str host = { 0 };
	struct err last = { 0 };

	destination_last(q, d, &last, &host);
	ipc_send_place(c->channel,
		&(struct ipc_place){ .fd = -1,
			.waiting = d->fair.waiting_n,
			.under_way = p->under_way,
			.limit = p->limit,
			.down_since_ms =
				p->down_n ? (uint64_t)destination_wall_ms(q, p->down_since_ms) : 0,
			.probe_ms =
				p->down_n ? (uint64_t)destination_wall_ms(q, p->probe_at_ms) : 0,
			.suspended_until_ms = d->fair.suspended_until_ms > now_ms
						      ? (uint64_t)d->fair.suspended_until_ms
						      : 0,
			.name = d->name,
			.route = d->route,
			.host = host,
			.words = str_of(last.text) });
}

static bool
is_worth_a_line(const struct queue_destination *d)
{
	return d->fair.waiting_n || d->fair.pace.under_way || d->fair.pace.down_n ||
	       d->fair.suspended_until_ms > loop_wall_ms();
}

static int
place_compare(const void *a, const void *b)
{
	const struct queue_destination *const *x = a, *const *y = b;
	unsigned left = (*x)->fair.waiting_n, right = (*y)->fair.waiting_n;

	return (left < right) - (left > right);
}

void
board_top(struct control *c)
{
	struct queue *q = c->queue;
	struct queue_destination *d, **sorted;
	struct ipc_totals totals = totals_as_message(q);
	size_t n = 0;

	sorted = calloc(q->destinations.used + 2, sizeof *sorted);
	must(sorted);
	for (size_t at = 0; (d = destination_next(q, &at));) {
		totals.waiting += d->fair.waiting_n;
		totals.under_way += d->fair.pace.under_way;
		if (is_worth_a_line(d))
			sorted[n++] = d;
	}
	qsort(sorted, n, sizeof *sorted, place_compare);
	ipc_send_totals(c->channel, &totals);
	for (size_t i = 0; i < n && i < PLACES_MOST; i++)
		send_place(c, sorted[i]);
	free(sorted);
}

/* ── where a mail would go ── */

/* What is asked about: a whole address, or a domain alone. */
static struct str
domain_of(const struct control *c)
{
	struct str domain = buf_str(&c->what);
	size_t at;

	while ((at = str_find(domain, '@')) < domain.n) /* a quoted local part may have one too */
		domain = str_from(domain, at + 1);
	return domain;
}

/* One label alone is more likely a name without its domain; unless it is a domain of ours. */
static bool
is_place(const struct control *c, struct str domain)
{
	bool has_more = domain.n < c->what.n || str_find(domain, '.') < domain.n;

	if (domain.n == 0 || domain.n > DOMAIN_MAX)
		return false;
	return has_more || domain.p[0] == '[' || config_domain(&c->queue->role.config, domain);
}

static void
add_rule(struct buf *to, const struct road_choice *choice, struct str domain)
{
	const struct config_route *route = choice->route;

	if (choice->is_ours) {
		buf_addf(to,
			"%.*s is a domain of this station: its mailboxes and aliases decide "
			"(posthouse user list, posthouse alias list)",
			STR_ARG(domain));
		return;
	}
	if (choice->is_refused && route) {
		buf_addf(to,
			"route \"%.*s\" of the file has no address as its `via`, and the resolver "
			"section is off: refused",
			STR_ARG(route->name));
		return;
	}
	if (choice->is_refused) {
		buf_add(to,
			S("no route of the file fits, and its resolver section is off: refused"));
		return;
	}
	if (!route) {
		buf_add(to, S("no route of the file fits: the DNS decides"));
		return;
	}
	buf_addf(to, "route \"%.*s\" of the file", STR_ARG(route->name));
	for (size_t i = 0; i < route->from_n; i++)
		buf_addf(to, "%s%.*s", i ? ", " : " for mail from ", STR_ARG(route->from[i]));
	if (route->via.text.n)
		buf_addf(to, ": via %.*s", STR_ARG(route->via.text));
	else
		buf_addf(to, ": by the DNS, to port %u", route->port);
}

void
board_send_traced(struct control *c, const struct ipc_hops *m)
{
	struct buf rule = { .max = 4096 };
	struct str domain = domain_of(c);
	struct road_choice choice;

	road_choose(&c->queue->role.config, domain, buf_str(&c->sender), &choice);
	add_rule(&rule, &choice, domain);
	ipc_send_traced(c->channel,
		&(struct ipc_traced){ .fd = -1,
			.tls = choice.route ? (uint8_t)choice.route->tls : CONFIG_TLS_TRY,
			.rule = buf_str(&rule),
			.why = m->why,
			.hops = m->hops,
			.trace = m->trace });
	buf_free(&rule);
}

bool
board_route(struct control *c)
{
	struct buf hops = { .max = IPC_TEXT_MAX }, why = { .max = 1024 };
	struct ipc_hops answer = { .fd = -1 };
	struct str domain = domain_of(c);
	struct road_choice choice;
	struct err e = { 0 };

	if (!is_place(c, domain)) {
		err_set(&e, ERR_PERMANENT, ERR_OTHER,
			"%.*s is no address: write name@domain, or a domain alone",
			STR_ARG(str_part(buf_str(&c->what), 0, 100)));
		control_refuse(c, e.text);
		return false;
	}
	road_choose(&c->queue->role.config, domain, buf_str(&c->sender), &choice);
	if (!choice.is_ours && !choice.is_refused && !choice.is_made) {
		c->ask = road_explain(c->queue, &choice);
		if (c->ask == 0)
			control_refuse(c, "resolve is not there: see the station's log");
		return c->ask != 0;
	}
	codec_add_err(&why, &(struct err){ 0 });
	if (choice.is_made)
		road_add_made_hops(&choice, &hops);
	answer.why = buf_str(&why);
	answer.hops = buf_str(&hops);
	board_send_traced(c, &answer);
	control_end(c);
	buf_free(&hops);
	buf_free(&why);
	return false;
}
