/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/pace.h"

/*
 * The law of learning:
 *
 *   begins at 2 ──went well, all of it used──▶ +1, up to 8; then +1 for as many successes as it is
 *   was slowed ──▶ half, at least 1
 *   was down   ──▶ one probe at a time, each later than the one before
 *   a probe that went well ──▶ 2 again
 *
 * It grows only while it is used up, by all or by one to whom no more of it is let: a limit that nobody reached proves
 * nothing.
 */

enum { MINUTE_US = 60 * 1000 * 1000, BURST_US = 1000 * 1000 };

int64_t
pace_delay_ms(int64_t first_ms, int64_t most_ms, uint32_t tries, uint64_t random)
{
	int64_t delay = first_ms;

	for (uint32_t i = 1; i < tries && delay < most_ms; i++)
		delay *= 2;
	if (delay > most_ms)
		delay = most_ms;
	return delay - delay / 5 + (int64_t)(random % (uint64_t)(delay * 2 / 5 + 1)); /* ± 20 % */
}

static unsigned
at_most(unsigned n, unsigned most)
{
	return n < most ? n : most;
}

void
pace_configure(struct pace *p, unsigned most, unsigned rate)
{
	p->most = most ? most : 1;
	p->limit = at_most(p->limit, p->most);
	p->rate = rate;
}

void
pace_begin(struct pace *p, unsigned most, unsigned rate, int64_t now_ms)
{
	*p = (struct pace){ .limit = PACE_BEGIN, .credited_ms = now_ms, .credit_us = MINUTE_US };
	pace_configure(p, most, rate);
}

/* ── a rate, as credit that grows with time: no more than a second's, or one mail's, is kept ── */

static int64_t
price_us(const struct pace *p)
{
	return MINUTE_US / p->rate;
}

static void
credit(struct pace *p, int64_t now_ms)
{
	int64_t most = price_us(p) > BURST_US ? price_us(p) : BURST_US;

	if (now_ms > p->credited_ms)
		p->credit_us += (now_ms - p->credited_ms) * 1000;
	p->credited_ms = now_ms;
	if (p->credit_us > most)
		p->credit_us = most;
}

/* ── starting ── */

bool
pace_may_start(struct pace *p, int64_t now_ms, int64_t *wait_ms)
{
	*wait_ms = -1;
	if (p->down_n) {
		if (p->under_way)
			return false;
		*wait_ms = p->probe_at_ms - now_ms;
		return *wait_ms <= 0;
	}
	if (p->under_way >= p->limit)
		return false;
	if (p->rate == 0)
		return true;
	credit(p, now_ms);
	*wait_ms = (price_us(p) - p->credit_us + 999) / 1000;
	return *wait_ms <= 0;
}

void
pace_start(struct pace *p, int64_t now_ms)
{
	p->under_way++;
	if (p->rate) {
		credit(p, now_ms);
		p->credit_us -= price_us(p);
	}
}

unsigned
pace_share(const struct pace *p)
{
	unsigned others = p->limit / 4 ? p->limit / 4 : 1;

	return p->is_shared && p->limit > others ? p->limit - others : p->limit;
}

/* ── learning ── */

void
pace_went_well(struct pace *p)
{
	if (p->down_n) {
		p->down_n = 0;
		p->limit = at_most(PACE_BEGIN, p->most);
		p->successes = 0;
		return;
	}
	if (p->limit >= p->most || p->under_way < pace_share(p))
		return;
	p->successes++;
	if (p->limit < PACE_SLOW_START || p->successes >= p->limit) {
		p->limit++;
		p->successes = 0;
	}
}

void
pace_was_slowed(struct pace *p)
{
	p->limit = p->limit > 1 ? p->limit / 2 : 1;
	p->successes = 0;
}

void
pace_was_down(struct pace *p, int64_t now_ms, int64_t retry_first_ms, int64_t retry_most_ms,
	uint64_t random)
{
	int64_t first = retry_first_ms < PACE_PROBE_FIRST_MS ? retry_first_ms : PACE_PROBE_FIRST_MS;

	if (p->down_n && now_ms < p->probe_at_ms)
		return; /* was under way when the first one came back: no news */
	if (p->down_n == 0)
		p->down_since_ms = now_ms;
	p->down_n++;
	p->limit = 1;
	p->successes = 0;
	p->probe_at_ms = now_ms + pace_delay_ms(first, retry_most_ms, p->down_n, random);
}
