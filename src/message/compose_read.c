/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "message/compose.h"
#include "message/message.h"

/*
 * A planned message in pieces. The plan's octets have holes, in their order; where one is, its part's octets come in, COMPOSE_FEED_MAX
 * at a time: whole lines of base64, so that nothing is carried from one feed to the next but at the end of the part.
 *
 *                     ┌──────── octets up to the hole ─────────┐
 *   at ──────────────►│ COMPOSE_PIECE …                        │── no hole left ──► COMPOSE_OVER
 *   ▲                 └────────────────────────────────────────┘
 *   │ all was fed                         │ hole
 *   └──────── COMPOSE_PIECE ◄── compose_feed ◄── COMPOSE_WANT_PART
 */

_Static_assert(COMPOSE_FEED_MAX % ENCODE_BASE64_LINE == 0, "a feed is whole lines");
_Static_assert(COMPOSE_FEED_MAX / ENCODE_BASE64_LINE * 78 <= COMPOSE_PIECE_MAX, "and one piece");

void
compose_begin(struct compose_reader *r, const struct compose_plan *plan)
{
	r->plan = plan;
	r->part = r->wanted = r->hole = r->at = 0;
	r->fed = 0;
	r->ready = (struct str){ 0 };
}

static void
take(struct compose_reader *r, struct str *piece)
{
	const struct compose_plan *plan = r->plan;
	size_t end = r->hole < plan->holes_n ? plan->holes[r->hole].at : plan->octets.n;

	*piece = r->ready;
	r->ready = (struct str){ 0 };
	if (piece->n)
		return;
	*piece = str_part(buf_str(&plan->octets), r->at,
		end - r->at < COMPOSE_PIECE_MAX ? end - r->at : COMPOSE_PIECE_MAX);
	r->at += piece->n;
}

enum compose_step
compose_next(struct compose_reader *r, struct str *piece)
{
	const struct compose_plan *plan = r->plan;

	for (;; r->hole++, r->fed = 0) {
		uint64_t left;

		take(r, piece);
		if (piece->n)
			return COMPOSE_PIECE;
		if (r->hole == plan->holes_n)
			return COMPOSE_OVER;
		left = plan->holes[r->hole].size - r->fed;
		if (left == 0)
			continue;
		r->part = plan->holes[r->hole].part;
		r->wanted = left < COMPOSE_FEED_MAX ? left : COMPOSE_FEED_MAX;
		return COMPOSE_WANT_PART;
	}
}

void
compose_feed(struct compose_reader *r, struct str octets)
{
	must(octets.n > 0 && octets.n == r->wanted && r->ready.n == 0);
	r->ready = (struct str){ r->out, octets.n };
	if (r->plan->holes[r->hole].is_plain)
		memcpy(r->out, octets.p, octets.n);
	else
		r->ready.n = encode_base64_lines(r->out, octets);
	r->fed += octets.n;
	r->wanted = 0;
}
