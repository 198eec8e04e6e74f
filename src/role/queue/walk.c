/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/control.h"

#include "base/must.h"

/*
 * Orders over the index: every mail is met once, every recipient of it that waits is held against the
 * filter, and what fits is told, counted, grouped, or has the deed done to it. The table `deeds` says
 * whom a deed is for. Numbers are exact: they count what was done, not what was meant.
 */

enum {
	SLICE_MS = 4,
	LOOKS = 64,		  /* recipients between two looks at the clock */
	SLICE_LOOKS_MOST = 65536, /* the clock may be set back meanwhile */
	GROUPS_MOST =
		16384, /* what is kept of them must fit into the cache: every recipient is looked up */
	GROUPS_TOLD_MOST = 900, /* below CONTROL_WAITING_MOST: they go out at once */
};

struct walk_group {
	struct str key, name; /* owned, one piece of memory */
	uint64_t mails, recipients, size;
	uint64_t oldest_ms;
	uint32_t mail; /* that was counted last */
};

enum filter_state
walk_state(const struct queue *q, uint32_t r)
{
	const struct recipient *recipient = recipient_of(q, r);

	switch ((enum recipient_state)recipient->state) {
	case RECIPIENT_ASKED:
	case RECIPIENT_UNDER_WAY: /* a wish counts as done: else it could not be taken back */
		if (recipient->wish == WISH_HOLD)
			return FILTER_HELD;
		if (recipient->wish == WISH_DROP)
			return FILTER_DROPPED;
		return recipient->last ? FILTER_DEFERRED : FILTER_WAITING;
	case RECIPIENT_NEW:
	case RECIPIENT_IN_LINE:
	case RECIPIENT_DEFERRED:
		return recipient->last ? FILTER_DEFERRED : FILTER_WAITING;
	case RECIPIENT_HELD:
		return recipient->is_dropped ? FILTER_DROPPED : FILTER_HELD;
	case RECIPIENT_BOUNCING:
	case RECIPIENT_FAILED:
		return FILTER_FAILED;
	case RECIPIENT_DELIVERED:
		return FILTER_DELIVERED;
	case RECIPIENT_EXPANDED:
		return FILTER_EXPANDED;
	}
	return FILTER_WAITING;
}

/* ── what fits ── */

static const char waiting_states[] = { FILTER_WAITING, FILTER_DEFERRED, FILTER_HELD, 0 };
static const char held_states[] = { FILTER_HELD, 0 };
static const char dropped_states[] = { FILTER_DROPPED, 0 };
static const char going_states[] = { FILTER_WAITING, FILTER_DEFERRED, 0 };
static const char open_states[] = { FILTER_WAITING, FILTER_DEFERRED, FILTER_HELD, FILTER_DROPPED,
	FILTER_FAILED, 0 };

static bool
bounce_by_operator(struct queue *q, uint32_t r)
{
	return recipient_bounce(q, r, "the operator of this station sent it back");
}

static const struct {
	const char *states; /* whom the order is for; NULL: all */
	bool (*act)(struct queue *q, uint32_t r);
	enum history_kind story;
} deeds[ORDER_VERBS] = {
	[ORDER_LIST] = { open_states, NULL, 0 },
	[ORDER_GROUP] = { open_states, NULL, 0 },
	[ORDER_HOLD] = { going_states, recipient_hold, HISTORY_HELD },
	[ORDER_RELEASE] = { held_states, recipient_release, HISTORY_RELEASED },
	[ORDER_RETRY] = { going_states, recipient_retry, HISTORY_RETRIED },
	[ORDER_BOUNCE] = { waiting_states, bounce_by_operator, HISTORY_GIVEN_UP },
	[ORDER_DROP] = { waiting_states, recipient_drop, HISTORY_DROPPED },
	[ORDER_UNDO] = { dropped_states, recipient_release, HISTORY_RELEASED },
};

/* Where it is in line; in none, its domain. */
static struct str
destination_name(const struct queue *q, uint32_t r)
{
	const struct queue_destination *d = recipient_destination(q, r);

	return d ? d->name : recipient_domain(q, r);
}

/* What was said is packed, and many share it: it is unpacked once a row of those. */
static void
walk_last(struct control *c, uint32_t r, struct filter_facts *facts)
{
	struct walk *w = &c->walk;
	struct queue_destination *d = recipient_destination(c->queue, r);
	uint32_t name = recipient_of(c->queue, r)->last, number = d ? d->fair.number : 0;

	/* In line for a host that is down, its destination's counts. */
	if (name == 0 || name != w->last_name || number != w->last_destination) {
		w->has_last = recipient_last(c->queue, r, &w->last, &w->last_host);
		w->last_name = name;
		w->last_destination = number;
	}
	facts->last = w->has_last ? &w->last : NULL;
	facts->host = w->last_host;
	facts->destination = destination_name(c->queue, r);
}

static bool
walk_fits(struct control *c, uint32_t r)
{
	struct queue *q = c->queue;
	struct walk *w = &c->walk;
	const struct mail *mail = mail_of(q, w->mail);
	struct filter_facts facts = { .state = walk_state(q, r) };

	if (c->verb == ORDER_WHY)
		return why_wants(c, r);
	if (c->verb == ORDER_SUSPEND || c->verb == ORDER_RESUME)
		return str_eq_nocase(recipient_domain(q, r), buf_str(&c->what));
	if (recipient_of(q, r)->state == RECIPIENT_FAILED && c->verb != ORDER_SHOW)
		return false;
	if (deeds[c->verb].states && !strchr(deeds[c->verb].states, (char)facts.state))
		return false;
	if (c->until_ms && (int64_t)mail->arrived_ms > c->until_ms)
		return false;
	if (c->filter.terms_n == 0)
		return true;
	facts.id = mail->id;
	facts.reverse_path = mail_sender(q, w->mail);
	facts.age_ms = w->now_ms - (int64_t)mail->arrived_ms;
	facts.size = mail->size;
	facts.tries = recipient_of(q, r)->tries;
	if (c->filter.wants_address) {
		buf_reset(&w->address);
		recipient_address(q, r, &w->address);
		facts.address = buf_str(&w->address);
	}
	if (c->filter.wants_last)
		walk_last(c, r, &facts);
	return filter_fits(&c->filter, &facts);
}

/* ── groups ── */

static struct str
group_key(const void *member)
{
	return ((const struct walk_group *)member)->key;
}

static struct walk_group *
group_new(struct str key, struct str name)
{
	struct walk_group *g = calloc(1, sizeof *g);
	char *p = malloc(key.n + name.n + 1);

	must(g && p);
	memcpy(p, key.p, key.n);
	if (name.n)
		memcpy(p + key.n, name.p, name.n);
	g->key = (struct str){ p, key.n };
	g->name = (struct str){ p + key.n, name.n };
	return g;
}

static struct str
age_name(int64_t age_ms)
{
	static const struct {
		int64_t below_s;
		const char *name;
	} ages[] = { { 60, "under a minute" }, { 600, "under 10 minutes" },
		{ 3600, "under an hour" }, { 4 * 3600, "under 4 hours" }, { 86400, "under a day" },
		{ 5 * 86400, "under 5 days" } };

	for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++)
		if (age_ms < ages[i].below_s * 1000)
			return str_of(ages[i].name);
	return S("5 days and more");
}

/* What the recipient's group is called; the key tells groups apart, and is cheaper to come by than most names. */
static struct str
group_of(struct control *c, uint32_t r, uint32_t key[2], struct str *name)
{
	struct queue *q = c->queue;
	const struct queue_destination *d;

	key[0] = key[1] = 0;
	*name = (struct str){ 0 };
	switch (c->by) {
	case BY_DESTINATION:
		d = recipient_destination(q, r);
		key[0] = d ? d->fair.number : recipient_of(q, r)->domain;
		key[1] = d != NULL;
		*name = destination_name(q, r);
		break;
	case BY_SENDER:
		key[0] = mail_of(q, c->walk.mail)->sender;
		*name = key[0] ? mail_sender(q, c->walk.mail) : S("<>");
		break;
	case BY_RECIPIENT:
		buf_reset(&c->walk.address);
		recipient_address(q, r, &c->walk.address);
		return *name = buf_str(&c->walk.address);
	case BY_AGE:
		return *name = age_name(
			       c->walk.now_ms - (int64_t)mail_of(q, c->walk.mail)->arrived_ms);
	case ORDER_BYS:
		break;
	}
	return (struct str){ (const char *)key, 2 * sizeof *key };
}

static void
group_add(struct control *c, uint32_t r)
{
	struct walk *w = &c->walk;
	const struct mail *mail = mail_of(c->queue, w->mail);
	uint32_t numbers[2];
	struct str name, key = group_of(c, r, numbers, &name);
	struct walk_group *g =
		w->group && str_eq(w->group->key, key) ? w->group : map_get(&w->groups, key);

	if (!g && w->groups.used < GROUPS_MOST) {
		g = group_new(key, name);
		map_put(&w->groups, g);
	} else if (!g) {
		if (!w->others)
			w->others = group_new((struct str){ "", 0 }, S("(others)"));
		g = w->others;
	}
	w->group = g;
	g->recipients++;
	if (g->mail != w->mail) {
		g->mail = w->mail;
		g->mails++;
		g->size += mail->size;
	}
	if (!g->oldest_ms || mail->arrived_ms < g->oldest_ms)
		g->oldest_ms = mail->arrived_ms;
}

static int
group_compare(const void *a, const void *b)
{
	const struct walk_group *const *x = a, *const *y = b;

	return ((*x)->recipients < (*y)->recipients) - ((*x)->recipients > (*y)->recipients);
}

static void
group_send(struct control *c, const struct walk_group *g)
{
	ipc_send_group(c->channel, &(struct ipc_group){ .fd = -1,
					   .mails = g->mails,
					   .recipients = g->recipients,
					   .size = g->size,
					   .oldest_ms = g->oldest_ms,
					   .name = g->name });
}

static void
groups_tell(struct control *c)
{
	struct walk *w = &c->walk;
	struct walk_group **sorted = calloc(w->groups.used + 1, sizeof *sorted), *g;
	size_t n = 0;

	must(sorted);
	for (size_t i = 0; (g = map_next(&w->groups, &i));)
		sorted[n++] = g;
	qsort(sorted, n, sizeof *sorted, group_compare);
	if (n > GROUPS_TOLD_MOST && !w->others)
		w->others = group_new((struct str){ "", 0 }, S("(others)"));
	for (size_t i = GROUPS_TOLD_MOST; i < n; i++) {
		w->others->recipients += sorted[i]->recipients;
		w->others->mails += sorted[i]->mails;
		w->others->size += sorted[i]->size;
		if (!w->others->oldest_ms || sorted[i]->oldest_ms < w->others->oldest_ms)
			w->others->oldest_ms = sorted[i]->oldest_ms;
	}
	for (size_t i = 0; i < n && i < GROUPS_TOLD_MOST; i++)
		group_send(c, sorted[i]);
	if (w->others)
		group_send(c, w->others);
	free(sorted);
}

static void
group_free(struct walk_group *g)
{
	if (g)
		free((void *)(uintptr_t)g->key.p);
	free(g);
}

/* ── items ── */

void
walk_send_item(struct control *c, uint32_t r, bool has_next)
{
	struct queue *q = c->queue;
	const struct recipient *recipient = recipient_of(q, r);
	const struct mail *mail = mail_of(q, recipient->mail);
	struct walk *w = &c->walk;
	struct buf why = { .max = 1024 };
	struct err last = { 0 };
	struct str host = { 0 };

	buf_reset(&w->address);
	recipient_address(q, r, &w->address);
	if (recipient_last(q, r, &last, &host))
		codec_add_err(&why, &last);
	buf_reset(&w->text);
	if (has_next)
		why_add_next(q, r, &w->text);
	ipc_send_item(c->channel, &(struct ipc_item){ .fd = -1,
					  .id = mail->id,
					  .arrived_ms = (uint64_t)mail->arrived_ms,
					  .size = mail->size,
					  .recipient = recipient->place,
					  .state = (uint8_t)walk_state(q, r),
					  .tries = recipient->tries,
					  .due_ms = (uint64_t)recipient_due_ms(q, r),
					  .reverse_path = mail_sender(q, recipient->mail),
					  .address = buf_str(&w->address),
					  .host = host,
					  .words = str_of(last.text),
					  .why = buf_str(&why),
					  .next = buf_str(&w->text) });
	buf_free(&why);
}

/* ── from recipient to recipient ── */

/* One step on: to a recipient, or past a mail that is not meant, with w->r 0. False: there is no more. */
static bool
walk_next(struct control *c)
{
	struct queue *q = c->queue;
	struct walk *w = &c->walk;

	if (w->may_be_gone && w->mail && index_find(q, w->id) != w->mail)
		w->mail = 0;
	w->may_be_gone = false;
	w->r = w->mail ? recipient_next(q, w->mail, w->r) : 0;
	if (w->r)
		return true;
	w->mail = index_next(q, &w->cursor);
	if (!w->mail)
		return false;
	w->id = mail_of(q, w->mail)->id;
	w->is_counted = false;
	if (c->verb == ORDER_WHY && !why_wants_mail(c, w->id))
		w->mail = 0;
	else
		w->r = recipient_next(q, w->mail, 0);
	return true;
}

static void
walk_count(struct control *c)
{
	const struct mail *mail = mail_of(c->queue, c->walk.mail);
	struct ipc_end *end = &c->end;

	end->recipients++;
	if (c->walk.is_counted)
		return;
	c->walk.is_counted = true;
	end->mails++;
	end->size += mail->size;
	if (!end->oldest_ms || (uint64_t)mail->arrived_ms < end->oldest_ms)
		end->oldest_ms = (uint64_t)mail->arrived_ms;
}

/* Counted and noted before it is done, since the mail may be gone then; the states in `deeds` let it be done. What is away has the wish
 * kept for it, if it is one. */
static void
walk_act(struct control *c, uint32_t r)
{
	struct queue *q = c->queue;

	if (recipient_is_away(q, r)) {
		if (!deeds[c->verb].act(q, r))
			return;
		walk_count(c);
		c->end.later += recipient_of(q, r)->wish != WISH_NONE;
		return;
	}
	story_add_deed(q, r, deeds[c->verb].story);
	walk_count(c);
	c->walk.may_be_gone = true;
	c->walk.last_name = 0;
	must(deeds[c->verb].act(q, r));
}

static void
walk_meet(struct control *c, uint32_t r)
{
	switch (c->verb) {
	case ORDER_LIST:
	case ORDER_SHOW:
	case ORDER_WHY:
		walk_count(c);
		walk_send_item(c, r, c->verb != ORDER_LIST);
		return;
	case ORDER_GROUP:
		walk_count(c);
		group_add(c, r);
		return;
	case ORDER_SUSPEND:
	case ORDER_RESUME:
		c->walk.may_be_gone = true;
		if (suspend_recipient(c->queue, r, c->until_ms))
			walk_count(c);
		return;
	default:
		break;
	}
	if (!c->is_trial) {
		walk_act(c, r);
		return;
	}
	walk_count(c);
	if (c->walk.samples++ < ORDER_SAMPLES)
		walk_send_item(c, r, false);
}

void
walk_begin(struct control *c)
{
	walk_end(c);
	c->walk.address.max = c->walk.text.max = IPC_TEXT_MAX / 4;
	c->walk.groups.key_of = group_key;
}

bool
walk_go_on(struct control *c)
{
	c->walk.now_ms = loop_wall_ms();
	c->walk.may_be_gone = true;
	c->walk.last_name = 0; /* it may name something else by now */
	for (unsigned looks = 1; walk_next(c); looks++) {
		if (c->walk.r && walk_fits(c, c->walk.r))
			walk_meet(c, c->walk.r);
		if (ipc_waiting(c->channel) >= CONTROL_WAITING_MOST || looks >= SLICE_LOOKS_MOST ||
			(looks % LOOKS == 0 && loop_wall_ms() - c->walk.now_ms >= SLICE_MS))
			return true;
	}
	if (c->verb == ORDER_GROUP)
		groups_tell(c);
	return false;
}

void
walk_end(struct control *c)
{
	struct walk *w = &c->walk;
	struct walk_group *g;

	for (size_t i = 0; (g = map_next(&w->groups, &i));)
		group_free(g);
	map_free(&w->groups);
	group_free(w->others);
	buf_free(&w->address);
	buf_free(&w->text);
	*w = (struct walk){ 0 };
}
