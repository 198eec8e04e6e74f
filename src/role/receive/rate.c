/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/receive.h"

#include "base/hash.h"
#include "base/must.h"

/*
 * Counts in a table of fixed size: a client that nobody has heard of takes the place of the one
 * whose hash falls there. Under attack a count can so be forgotten early, but never does the table
 * grow, nor does one client pay for another.
 */
enum { RATE_PLACES = 16384, MINUTE_MS = 60000 };

struct rates {
	uint64_t secret[2];
	struct {
		uint64_t who;
		int64_t minute;
		uint32_t count;
	} places[RATE_PLACES];
};

struct rates *
rates_open(void)
{
	struct rates *r = calloc(1, sizeof *r);

	must(r);
	hash_random(r->secret, sizeof r->secret);
	return r;
}

bool
rates_allow(struct rates *r, struct str who, uint32_t most, int64_t now_ms)
{
	uint64_t hash = hash_sip(r->secret, who);
	size_t at = hash % RATE_PLACES;

	if (most == 0)
		return true;
	if (r->places[at].who != hash || r->places[at].minute != now_ms / MINUTE_MS) {
		r->places[at].who = hash;
		r->places[at].minute = now_ms / MINUTE_MS;
		r->places[at].count = 0;
	}
	if (r->places[at].count >= most)
		return false;
	r->places[at].count++;
	return true;
}
