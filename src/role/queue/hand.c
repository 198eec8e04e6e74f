/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/control.h"

#include "base/must.h"

/*
 * The operator's hand on one recipient. What is under way, or asked about, cannot be called back: the wish is
 * kept, and done when it comes back unsettled (recipient_wished). What is settled stays so.
 */

enum { UNDO_MS = 60000 };

void
recipient_leave(struct queue *q, uint32_t r)
{
	struct recipient *p = recipient_of(q, r);
	struct chain *c;

	if (p->state == RECIPIENT_DEFERRED || (p->state == RECIPIENT_HELD && p->is_dropped))
		wheel_remove(q, r);
	p->is_dropped = false;
	if (!p->line)
		return;
	memcpy(&c, pool_at(&q->chains, p->line), sizeof(struct chain *));
	if (p->state == RECIPIENT_IN_LINE) {
		schedule_leave(q, r, list_of(c, struct line, waiting));
		return;
	}
	chain_remove(q, c, r);
	p->line = 0;
}

bool
recipient_is_at_hand(const struct queue *q, uint32_t r)
{
	switch ((enum recipient_state)recipient_of(q, r)->state) {
	case RECIPIENT_NEW:
	case RECIPIENT_IN_LINE:
	case RECIPIENT_DEFERRED:
	case RECIPIENT_HELD:
		return true;
	case RECIPIENT_ASKED:
	case RECIPIENT_UNDER_WAY:
	case RECIPIENT_BOUNCING:
	case RECIPIENT_FAILED:
	case RECIPIENT_DELIVERED:
	case RECIPIENT_EXPANDED:
		return false;
	}
	return false;
}

bool
recipient_is_away(const struct queue *q, uint32_t r)
{
	const struct recipient *p = recipient_of(q, r);

	return p->state == RECIPIENT_ASKED || p->state == RECIPIENT_UNDER_WAY;
}

static bool
keep_wish(struct queue *q, uint32_t r, enum recipient_wish wish)
{
	if (!recipient_is_away(q, r))
		return false;
	recipient_of(q, r)->wish = (uint8_t)wish;
	return true;
}

static void
hold(struct queue *q, uint32_t r, int64_t drop_ms)
{
	recipient_set_state(q, r, RECIPIENT_HELD);
	recipient_of(q, r)->is_dropped = drop_ms != 0;
	recipient_log(q, r, FATE_HELD, drop_ms);
	if (drop_ms)
		wheel_put(q, r, drop_ms);
}

bool
recipient_hold(struct queue *q, uint32_t r)
{
	if (!recipient_is_at_hand(q, r))
		return keep_wish(q, r, WISH_HOLD);
	recipient_leave(q, r);
	hold(q, r, 0);
	return true;
}

bool
recipient_drop(struct queue *q, uint32_t r)
{
	if (!recipient_is_at_hand(q, r))
		return keep_wish(q, r, WISH_DROP);
	recipient_leave(q, r);
	hold(q, r, loop_wall_ms() + UNDO_MS);
	return true;
}

static void
set_out(struct queue *q, uint32_t r)
{
	uint32_t mail = recipient_of(q, r)->mail;

	recipient_leave(q, r);
	/* In line no more: nothing may look for its line. */
	recipient_set_state(q, r, RECIPIENT_NEW);
	recipient_log(q, r, FATE_DEFERRED, loop_wall_ms());
	road_find(q, r);
	mail_check_settled(q, mail);
}

/* What its sender wants sent later (RFC 4865) is not sent now because the operator's own wish is over. */
bool
recipient_release(struct queue *q, uint32_t r)
{
	uint32_t mail = recipient_of(q, r)->mail;
	int64_t hold_ms = mail_hold_ms(q, mail);

	if (recipient_of(q, r)->state != RECIPIENT_HELD)
		return keep_wish(q, r, WISH_NONE);
	if (hold_ms > loop_wall_ms()) {
		recipient_leave(q, r);
		recipient_set_state(q, r, RECIPIENT_DEFERRED);
		recipient_log(q, r, FATE_DEFERRED, hold_ms);
		wheel_put(q, r, hold_ms);
	} else {
		set_out(q, r);
	}
	return true;
}

bool
recipient_retry(struct queue *q, uint32_t r)
{
	if (recipient_of(q, r)->state == RECIPIENT_HELD || !recipient_is_at_hand(q, r))
		return false; /* one that is away is being tried */
	recipient_of(q, r)->wish = WISH_PROBE;
	set_out(q, r);
	return true;
}

static void
give_back(struct queue *q, uint32_t r, const char *why)
{
	struct str host = { 0 };
	struct err e;

	err_set(&e, ERR_PERMANENT, ERR_EXPIRED, "%s", why);
	recipient_note(q, r, &e, host);
	bounce_begin(q, recipient_of(q, r)->mail, &r, 1);
}

bool
recipient_bounce(struct queue *q, uint32_t r, const char *why)
{
	uint32_t mail = recipient_of(q, r)->mail;

	if (!recipient_is_at_hand(q, r))
		return keep_wish(q, r, WISH_BOUNCE);
	recipient_leave(q, r);
	give_back(q, r, why);
	mail_check_settled(q, mail);
	return true;
}

bool
recipient_wished(struct queue *q, uint32_t r)
{
	enum recipient_wish wish = (enum recipient_wish)recipient_of(q, r)->wish;

	recipient_of(q, r)->wish = WISH_NONE;
	switch (wish) {
	case WISH_NONE:
	case WISH_PROBE:
		return false;
	case WISH_HOLD:
		story_add_deed(q, r, HISTORY_HELD);
		hold(q, r, 0);
		return true;
	case WISH_DROP:
		story_add_deed(q, r, HISTORY_DROPPED);
		hold(q, r, loop_wall_ms() + UNDO_MS);
		return true;
	case WISH_BOUNCE:
		story_add_deed(q, r, HISTORY_GIVEN_UP);
		give_back(q, r, "given up by the postmaster");
		return true;
	}
	return false;
}
