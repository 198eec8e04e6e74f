/* SPDX-License-Identifier: Apache-2.0 */
#include "role/resolve/resolve.h"

#include <idn2.h>

#include "base/hash.h"
#include "base/must.h"
#include "route/road.h"

/*
 * A road under way. The policy (route/road.c) says what it still wants to know and in the end which hops there are; here its
 * questions are put to the resolver.
 *
 *   errand_begin ── domain in A-labels ──▶ run ◀── answered ──┐
 *                                           │ ask … ──────────┘
 *                                           ▼ road.is_done, or DEADLINE_MS: what is unanswered timed out
 *                                         `hops`
 *
 * An answer may come inside the very call that asks: `is_running` makes of it one more turn of the loop that is there already.
 */

enum { DEADLINE_MS = 20000 };

struct errand {
	struct list link; /* in resolve.errands */
	struct resolve *house;
	uint64_t ask;
	char domain[DNS_NAME_MAX + 1]; /* A-labels, or a literal */
	struct road_settings settings;
	struct road road;
	struct question *questions[ROAD_QUESTIONS_MAX]; /* by number; NULL: not under way */
	struct loop_timer *deadline;
	bool is_running, is_late;
};

static void run(struct errand *e);

static void
errand_free(struct errand *e)
{
	for (size_t i = 0; i < ROAD_QUESTIONS_MAX; i++)
		resolver_forget(&e->questions[i]);
	road_free(&e->road);
	loop_timer_close(&e->deadline);
	list_remove(&e->link);
	e->house->errands_n--;
	free(e);
}

/* ── the answer to the queue ── */

static void
say(struct resolve *r, uint64_t ask, const struct err *why, const struct road *road)
{
	struct buf packed = { .max = 1024 };

	codec_add_err(&packed, why);
	ipc_send_hops(
		r->queue, &(struct ipc_hops){ .fd = -1,
				  .ask = ask,
				  .ttl_s = road ? road->ttl_s : 0,
				  .why = buf_str(&packed),
				  .hops = road ? buf_str(&road->hops) : (struct str){ 0 },
				  .trace = road ? buf_str(&road->trace) : (struct str){ 0 } });
	buf_free(&packed);
}

static void
end(struct errand *e)
{
	struct resolve *r = e->house;

	say(r, e->ask, &e->road.why, &e->road);
	errand_free(e);
	if (r->queue && r->errands_n < ERRANDS_MAX)
		ipc_pause(r->queue, false);
}

/* ── questions and answers ── */

static void
answered(void *owner, unsigned number, const struct dns_answer *answer)
{
	struct errand *e = owner;

	road_answer(&e->road, number, answer);
	run(e);
}

static void
run(struct errand *e)
{
	static const struct dns_answer too_late = { .status = DNS_TIMEOUT };
	struct road_question q;

	if (e->is_running)
		return;
	e->is_running = true;
	while (!e->road.is_done && road_next(&e->road, &q)) {
		must(q.number < ROAD_QUESTIONS_MAX);
		if (e->is_late)
			road_answer(&e->road, q.number, &too_late);
		else
			resolver_ask(e->house->resolver, q.name, q.type, &e->questions[q.number],
				answered, e, q.number);
	}
	e->is_running = false;
	if (e->road.is_done)
		end(e);
}

static void
deadline_due(void *owner)
{
	struct errand *e = owner;

	e->is_late = true;
	for (unsigned i = 0; i < ROAD_QUESTIONS_MAX && !e->road.is_done; i++) {
		if (!e->questions[i])
			continue;
		resolver_forget(&e->questions[i]);
		road_answer(&e->road, i, &(struct dns_answer){ .status = DNS_TIMEOUT });
	}
	run(e);
}

/* ── beginning ── */

/* The domain as the DNS knows it: A-labels of RFC 5891 §4.4, in lower case. A literal stays what it is. */
static bool
as_name(struct str domain, char name[DNS_NAME_MAX + 1], struct err *e)
{
	char text[4 * DNS_NAME_MAX + 1]; /* as UTF-8 it may be longer */
	uint8_t *ascii = NULL;
	int why = IDN2_OK;

	if (domain.n == 0 || domain.n >= sizeof text || memchr(domain.p, 0, domain.n))
		why = IDN2_TOO_BIG_DOMAIN;
	snprintf(text, sizeof text, "%.*s", STR_ARG(domain));
	if (why == IDN2_OK && !str_is_ascii(domain))
		why = idn2_lookup_u8(
			(const uint8_t *)text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (why == IDN2_OK &&
		snprintf(name, DNS_NAME_MAX + 1, "%s", ascii ? (char *)ascii : text) > DNS_NAME_MAX)
		why = IDN2_TOO_BIG_DOMAIN;
	idn2_free(ascii);
	for (char *c = name; why == IDN2_OK && *c; c++)
		*c = char_lower(*c);
	return why == IDN2_OK || err_set(e, ERR_PERMANENT, ERR_DOMAIN_UNKNOWN,
					 "no domain can have this name: %s", idn2_strerror(why));
}

static void
set_out(struct errand *e)
{
	struct resolve *r = e->house;
	uint64_t seed;

	e->settings.hostname = r->role.config.hostname;
	e->settings.ours = r->ours.doors;
	e->settings.ours_n = r->ours.doors_n;
	e->settings.allowed = r->ours.allowed;
	e->settings.allowed_n = r->ours.allowed_n;
	hash_random(&seed, sizeof seed);
	road_begin(&e->road, &e->settings, str_of(e->domain), seed);
	e->is_late = false;
	loop_timer_set(e->deadline, DEADLINE_MS);
	run(e);
}

/* What is refused without asking anybody. */
static bool
may_begin(struct resolve *r, const struct ipc_road *m, struct err *e)
{
	if (r->role.config.resolver.is_off && !m->host)
		return err_set(e, ERR_PERMANENT, ERR_NO_ROUTE,
			"no route of the file leads there, and it says that the DNS is not asked");
	if (!r->resolver)
		*e = r->refusal;
	return r->resolver != NULL;
}

void
errand_begin(struct resolve *r, const struct ipc_road *m)
{
	struct err why = { 0 };
	struct errand *e;
	char name[DNS_NAME_MAX + 1];

	if (!may_begin(r, m, &why) || !as_name(m->domain, name, &why)) {
		say(r, m->ask, &why, NULL);
		return;
	}
	e = calloc(1, sizeof *e);
	must(e);
	e->house = r;
	e->ask = m->ask;
	memcpy(e->domain, name, sizeof name);
	e->settings = (struct road_settings){
		.port = m->port, .protocol = (enum hop_protocol)m->protocol, .is_host = m->host
	};
	e->deadline = loop_timer_open(r->role.loop, deadline_due, e);
	list_append(&r->errands, &e->link);
	if (++r->errands_n == ERRANDS_MAX)
		ipc_pause(r->queue, true);
	set_out(e);
}

/* ── all of them ── */

void
errand_pause_all(struct resolve *r)
{
	list_each (at, &r->errands) {
		struct errand *e = list_of(at, struct errand, link);

		for (size_t i = 0; i < ROAD_QUESTIONS_MAX; i++)
			resolver_forget(&e->questions[i]);
		road_free(&e->road);
	}
}

void
errand_resume_all(struct resolve *r)
{
	list_each_safe (at, &r->errands) {
		struct errand *e = list_of(at, struct errand, link);

		if (r->resolver) {
			set_out(e);
		} else {
			say(r, e->ask, &r->refusal, NULL);
			errand_free(e);
		}
	}
}

void
errand_drop_all(struct resolve *r)
{
	list_each_safe (at, &r->errands)
		errand_free(list_of(at, struct errand, link));
}
