/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/control.h"

#include "base/log.h"
#include "base/must.h"

/*
 * What the operator has suspended: names of domains or hosts, each until a moment. A host takes nothing; recipients of a domain are
 * deferred, whichever hosts it shares with others. Kept in the spool as the note `suspensions` (packed:
 * name, u64 ms), written before the order is answered, so it outlives the queue. One that is over is left out when the note is
 * written next.
 */

enum { SUSPENSIONS_MOST = 1000, NOTE_MAX = SUSPENSIONS_MOST * 300, EXACT_MS = 2000 };

static const char note[] = "suspensions";

static struct buf *
suspensions(struct queue *q)
{
	struct err e = { 0 };

	if (q->suspensions.max)
		return &q->suspensions;
	q->suspensions.max = NOTE_MAX;
	if (!keeper_read_note(q->keeper, note, &q->suspensions, &e)) {
		log_event("suspensions-unread", "why=%s", log_quote(str_of(e.text)));
		buf_reset(&q->suspensions);
	}
	return &q->suspensions;
}

bool
suspend_next(struct queue *q, size_t *at, struct str *name, int64_t *until_ms)
{
	struct str rest = str_from(buf_str(suspensions(q)), *at);
	uint64_t until;

	while (codec_scan_str(&rest, name) && codec_scan_u64(&rest, &until)) {
		*at = q->suspensions.n - rest.n;
		*until_ms = (int64_t)until;
		if (*until_ms > loop_wall_ms())
			return true;
	}
	return false;
}

/* Does the operator's word mean this destination: its own name, or one of its hosts? */
static bool
is_meant(const struct queue_destination *d, struct str name)
{
	struct str rest = d->hops;
	struct hop hop;

	while (hop_scan(&rest, &hop))
		if (str_eq_nocase(hop.host, name))
			return true;
	return str_eq_nocase(d->name, name);
}

int64_t
suspend_of_destination(struct queue *q, const struct queue_destination *d)
{
	int64_t until_ms, most_ms = 0;
	struct str name;

	for (size_t at = 0; suspend_next(q, &at, &name, &until_ms);)
		if (until_ms > most_ms && is_meant(d, name))
			most_ms = until_ms;
	return most_ms;
}

int64_t
suspend_of_domain(struct queue *q, struct str domain)
{
	int64_t until_ms;
	struct str name;

	for (size_t at = 0; suspend_next(q, &at, &name, &until_ms);)
		if (str_eq_nocase(name, domain))
			return until_ms;
	return 0;
}

bool
suspend_is_awaited(const struct queue *q, uint32_t r, int64_t until_ms)
{
	return until_ms && recipient_of(q, r)->state == RECIPIENT_DEFERRED &&
	       llabs(recipient_due_ms(q, r) - until_ms) < EXACT_MS;
}

/* Recipients in line for a suspended domain wait for its end instead, as those do whose road is sought later; when it is resumed, those
 * that wait for that end set out, unless their sender wants them sent later yet (RFC 4865). */
bool
suspend_recipient(struct queue *q, uint32_t r, int64_t before_ms)
{
	const struct recipient *recipient = recipient_of(q, r);
	int64_t until_ms = suspend_of_domain(q, recipient_domain(q, r));

	if (suspend_is_awaited(q, r, before_ms))
		return mail_hold_ms(q, recipient->mail) <= loop_wall_ms() && recipient_retry(q, r);
	if (!until_ms ||
		(recipient->state != RECIPIENT_NEW && recipient->state != RECIPIENT_IN_LINE))
		return false;
	recipient_leave(q, r);
	recipient_set_state(q, r, RECIPIENT_DEFERRED);
	wheel_put(q, r, until_ms);
	return true;
}

bool
suspend_set(struct queue *q, struct str name, int64_t until_ms, int64_t *before_ms, struct err *e)
{
	struct buf all = { .max = NOTE_MAX };
	struct queue_destination *d;
	bool was_there = false;
	int64_t other_ms;
	struct str other;

	if (name.n == 0 || name.n > 255)
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "that is no name of a domain or host");
	for (size_t at = 0; suspend_next(q, &at, &other, &other_ms);) {
		if (str_eq_nocase(other, name)) {
			was_there = true;
			*before_ms = other_ms;
			continue;
		}
		codec_add_str(&all, other);
		codec_add_u64(&all, (uint64_t)other_ms);
	}
	if (until_ms) {
		codec_add_str(&all, name);
		codec_add_u64(&all, (uint64_t)until_ms);
	}
	if (all.overflow)
		err_set(e, ERR_TEMPORARY, ERR_OTHER, "too many are suspended already");
	else if (!until_ms && !was_there)
		err_set(e, ERR_PERMANENT, ERR_OTHER, "%.*s is not suspended", STR_ARG(name));
	else
		keeper_write_note(q->keeper, note, buf_str(&all), e);
	if (err_is(e)) {
		buf_free(&all);
		return false;
	}
	buf_free(&q->suspensions);
	q->suspensions = all;
	for (size_t at = 0; (d = destination_next(q, &at));)
		if (is_meant(d, name))
			destination_suspend(q, d, suspend_of_destination(q, d));
	return true;
}
