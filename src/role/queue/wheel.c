/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/log.h"
#include "base/must.h"

/*
 * What waits for a moment: a wheel of SLOTS slots, a tick apart. A recipient hangs in the slot of its
 * due tick by the links that it has anyway; one that is due in a later round is passed over. And the
 * sweep, which looks at every mail from time to time, a slice a turn: those that wait in line, or for a road,
 * must grow late and expire as well, though nothing happens to them.
 *
 * Ticks count from queue.epoch_ms, by the wall clock: what is due at a moment is due at that moment. When that clock is set
 * forward, more is due at once. When it is set back, the epoch goes back with it: each pause stays as long as it
 * was, and nobody waits for the clock to come to the same hour again; what was wanted at a moment (RFC 4865, the
 * end of a suspension) is put in anew when it comes out too early.
 */

enum {
	SLOTS = 1 << 14,
	FIRED_MOST = 1000,			    /* a turn of the loop */
	LOOK_AHEAD = 600,			    /* ticks */
	SLEEP_MOST_MS = LOOK_AHEAD * WHEEL_TICK_MS, /* the wall clock may be set meanwhile */
	SLICE = 2000,				    /* mails of a sweep, a turn */
	SWEEP_MOST_MS = 60000,
	SWEEP_LEAST_MS = 200,
	SET_BACK_MS = 2000, /* less is a clock that is kept in step */
};

void
wheel_clocks(struct queue *q, int64_t wall_ms, int64_t clock_ms)
{
	int64_t step_ms = wall_ms - clock_ms - q->wall_ahead_ms;

	if (step_ms < SET_BACK_MS && step_ms > -SET_BACK_MS)
		return;
	q->wall_ahead_ms += step_ms;
	if (step_ms > 0)
		return;
	q->epoch_ms += step_ms;
	log_event("clock-set-back", "seconds=%lld", (long long)(-step_ms / 1000));
}

static uint64_t
tick_now(const struct queue *q)
{
	int64_t ms = loop_wall_ms() - q->epoch_ms;

	return ms < 0 ? 0 : (uint64_t)ms / WHEEL_TICK_MS;
}

static struct chain *
slot_of(struct queue *q, uint64_t tick)
{
	return &q->wheel[tick & (SLOTS - 1)];
}

/* Sleeps up to the next slot that holds something. */
static void
wheel_sleep(struct queue *q)
{
	uint64_t tick = q->wheel_at + 1;
	int64_t in_ms;

	while (tick < q->wheel_at + LOOK_AHEAD && slot_of(q, tick)->n == 0)
		tick++;
	q->wheel_next = tick;
	in_ms = q->epoch_ms + (int64_t)tick * WHEEL_TICK_MS - loop_wall_ms();
	loop_timer_set(q->wheel_timer, in_ms < 0	       ? 0
				       : in_ms < SLEEP_MOST_MS ? in_ms
							       : SLEEP_MOST_MS);
}

void
wheel_put(struct queue *q, uint32_t r, int64_t due_ms)
{
	uint64_t now, due;
	int64_t ticks;

	wheel_clocks(q, loop_wall_ms(), loop_clock_ms());
	now = tick_now(q);
	ticks = (due_ms - q->epoch_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
	due = ticks < 0 ? 0 : ticks > UINT32_MAX ? UINT32_MAX : (uint64_t)ticks;
	if (q->recipients_waiting == 0 && now > q->wheel_at)
		q->wheel_at = now; /* an empty wheel stands still */
	if (due <= q->wheel_at)
		due = q->wheel_at + 1; /* the slots up to here were looked at */
	recipient_of(q, r)->due = (uint32_t)due;
	chain_append(q, slot_of(q, due), r);
	q->recipients_waiting++;
	if (q->recipients_waiting == 1 || due < q->wheel_next)
		wheel_sleep(q);
}

void
wheel_remove(struct queue *q, uint32_t r)
{
	chain_remove(q, slot_of(q, recipient_of(q, r)->due), r);
	q->recipients_waiting--;
}

/* Its moment has come. */
static void
fire(struct queue *q, uint32_t r)
{
	uint32_t mail = recipient_of(q, r)->mail;

	wheel_remove(q, r);
	if (recipient_of(q, r)->state == RECIPIENT_HELD) {
		recipient_failed(q, r); /* dropped, and nobody wanted it back */
		mail_check_settled(q, mail);
		return;
	}
	if (recipient_of(q, r)->tries == 0 && mail_hold_ms(q, mail) > loop_wall_ms()) {
		wheel_put(q, r, mail_hold_ms(q, mail));
		return;
	}
	recipient_set_state(q, r, RECIPIENT_NEW);
	road_find(q, r);
	mail_check_settled(q, mail);
}

/* False: enough for one turn. */
static bool
turn_slot(struct queue *q, uint64_t slot, uint64_t now, unsigned *fired)
{
	for (uint32_t r = slot_of(q, slot)->first, next; r; r = next) {
		next = recipient_of(q, r)->next;
		if (recipient_of(q, r)->due > now)
			continue;
		if (++*fired > FIRED_MOST)
			return false;
		/* A fate here never fires or frees another recipient of this slot but those of the same
		 * mail, which are final then and in no slot. */
		fire(q, r);
	}
	return true;
}

static void
wheel_turn(void *owner)
{
	struct queue *q = owner;
	uint64_t now;
	unsigned fired = 0;

	if (q->is_draining)
		return;
	wheel_clocks(q, loop_wall_ms(), loop_clock_ms());
	now = tick_now(q);
	if (now > q->wheel_at + SLOTS)
		q->wheel_at = now - SLOTS;
	while (q->wheel_at < now && q->recipients_waiting) {
		if (!turn_slot(q, q->wheel_at + 1, now, &fired))
			break;
		q->wheel_at++;
	}
	if (q->recipients_waiting)
		wheel_sleep(q);
	schedule_go(q);
}

/* ── the sweep ── */

static int64_t
sweep_period_ms(const struct config *c)
{
	int64_t ms = c->queue.expire_ms;

	if (c->queue.warn_ms && c->queue.warn_ms < ms)
		ms = c->queue.warn_ms;
	ms /= 10;
	return ms > SWEEP_MOST_MS ? SWEEP_MOST_MS : ms < SWEEP_LEAST_MS ? SWEEP_LEAST_MS : ms;
}

/* Those that wait in line, or for a road, wait no longer. */
static void
expire(struct queue *q, uint32_t mail)
{
	uint32_t *gone = calloc(mail_of(q, mail)->recipients_n, sizeof *gone), n = 0;
	struct err e;
	struct str host;

	must(gone);
	for (uint32_t r = 0; (r = recipient_next(q, mail, r));) {
		struct recipient *p = recipient_of(q, r);

		if (p->state != RECIPIENT_IN_LINE && p->state != RECIPIENT_NEW)
			continue;
		if (!recipient_last(q, r, &e, &host)) {
			host = (struct str){ 0 };
			err_set(&e, ERR_PERMANENT, ERR_EXPIRED,
				"it waited as long as it may, and its turn never came");
		}
		recipient_leave(q, r);
		recipient_note_expired(q, r, &e, host);
		gone[n++] = r;
	}
	if (n)
		bounce_begin(q, mail, gone, n);
	free(gone);
	mail_check_settled(q, mail);
}

bool
recipient_is_late(const struct queue *q, uint32_t r)
{
	const struct recipient *p = recipient_of(q, r);

	return p->state == RECIPIENT_NEW || p->state == RECIPIENT_IN_LINE ||
	       (p->state == RECIPIENT_DEFERRED && p->last); /* something was said of it */
}

/* Its sender is told once, also over a restart: the log says so with the fates of those who wait. */
static void
grow_late(struct queue *q, uint32_t mail)
{
	struct mail *m = mail_of(q, mail);

	for (uint32_t r = 0; !m->is_warned && (r = recipient_next(q, mail, r));)
		m->is_warned = recipient_is_late(q, r);
	if (!m->is_warned)
		return;
	mail_late(q, mail);
	for (uint32_t r = 0; (r = recipient_next(q, mail, r));)
		if (recipient_is_late(q, r))
			recipient_log(q, r, FATE_DEFERRED,
				recipient_of(q, r)->state == RECIPIENT_DEFERRED
					? recipient_due_ms(q, r)
					: loop_wall_ms());
}

static void
sweep_mail(struct queue *q, uint32_t mail, int64_t now_ms)
{
	const struct config *c = &q->role.config;
	struct mail *m = mail_of(q, mail);
	int64_t age_ms = mail_age_ms(q, mail, now_ms);

	if (age_ms >= c->queue.expire_ms) {
		expire(q, mail);
	} else if (c->queue.warn_ms && age_ms >= c->queue.warn_ms && !m->is_warned) {
		grow_late(q, mail);
	}
}

static void
sweep(void *owner)
{
	struct queue *q = owner;
	int64_t now_ms = loop_wall_ms();
	bool has_more;
	uint32_t mail;

	if (q->is_draining)
		return;
	for (unsigned n = SLICE; n; n--) {
		mail = index_next(q, &q->sweep_at);
		if (!mail) {
			has_more = road_sweep(q);
			has_more |= destination_sweep(q);
			if (!has_more)
				q->sweep_at = 0;
			schedule_go(q);
			loop_timer_set(
				q->sweep_timer, has_more ? 1 : sweep_period_ms(&q->role.config));
			return;
		}
		sweep_mail(q, mail, now_ms);
	}
	loop_timer_set(q->sweep_timer, 1);
}

void
wheel_look_anew(struct queue *q)
{
	q->sweep_at = 0;
	loop_timer_set(q->sweep_timer, 0);
	loop_timer_set(q->wheel_timer, 0);
}

void
wheel_begin(struct queue *q)
{
	q->wheel = calloc(SLOTS, sizeof *q->wheel);
	must(q->wheel);
	q->epoch_ms = loop_wall_ms();
	q->wall_ahead_ms = q->epoch_ms - loop_clock_ms();
	q->wheel_timer = loop_timer_open(q->role.loop, wheel_turn, q);
	q->sweep_timer = loop_timer_open(q->role.loop, sweep, q);
	wheel_look_anew(q);
}
