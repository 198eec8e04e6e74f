/* SPDX-License-Identifier: Apache-2.0 */
#include "role/send/attempt.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/must.h"
#include "message/message.h"
#include "route/road.h"
#include "spool/spool.h"

/*
 * What the queue asked for, made ready: the hops of the road with what their warm links are found by, the recipients, the
 * message as octets or as a sealed copy of it, and what of it the next hop gets. What becomes of it is attempt.c.
 */

enum {
	ARENA_MAX = 1 << 20,
	STEPS_MAX = IPC_TEXT_MAX,
	ATTEMPT_MS = 3600000,
	SLOWEST_OCTETS_A_MS = 4, /* 32 kbit/s */
};

void
attempt_free(struct attempt **attempt)
{
	struct attempt *a = *attempt;

	*attempt = NULL;
	if (a->mapped)
		munmap(a->mapped, a->message.n);
	buf_free(&a->ascii);
	buf_free(&a->steps);
	arena_free(&a->arena);
	free(a);
}

static bool
map_message(struct attempt *a, int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) != 0 || st.st_size <= 0)
		return false;
	a->mapped = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (a->mapped == MAP_FAILED) {
		a->mapped = NULL;
		return false;
	}
	a->message = (struct str){ a->mapped, (size_t)st.st_size };
	return true;
}

/* SMTPUTF8 is needed only where an address or a header field is not ASCII, whatever the sender
 * declared. */
static bool
needs_smtputf8(const struct attempt *a)
{
	if (!str_is_ascii(a->asked.reverse_path) ||
		!str_is_ascii(str_part(a->message, 0, str_find_str(a->message, S("\r\n\r\n")))))
		return true;
	for (size_t i = 0; i < a->asked.recipients_n; i++)
		if (!str_is_ascii(a->recipients[i]))
			return true;
	return false;
}

void *
attempt_take(struct attempt *a, size_t n)
{
	void *p = arena_take(&a->arena, n);

	must(p);
	return p;
}

struct str
attempt_dup(struct attempt *a, struct str s)
{
	struct str copy;

	must(arena_dup(&a->arena, s, &copy));
	return copy;
}

const struct config_route *
attempt_route(const struct attempt *a)
{
	const struct config *c = &a->house->role.config;

	for (size_t i = 0; a->route.n && i < c->routes_n; i++)
		if (str_eq(c->routes[i].name, a->route))
			return &c->routes[i];
	return NULL;
}

bool
attempt_has_its_route(const struct attempt *a, struct err *e)
{
	if (a->route.n && !attempt_route(a))
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL,
			"the route was taken out of the configuration");
	return true;
}

enum config_tls
attempt_demand(const struct attempt *a)
{
	const struct config_route *route = attempt_route(a);

	return route ? route->tls : CONFIG_TLS_TRY;
}

/* Links are alike for a mail when they lead to the same place, in the same protocol, as safely, with
 * the same login, from the same addresses; and under the same configuration, for a login may have
 * changed. Who proved one name has not proved another one that leads to the same place. */
static struct str
warm_key(struct attempt *a, const struct road_hop *h)
{
	const struct config_route *route = attempt_route(a);
	struct buf key = { .max = IPC_PACKET_MAX };
	struct str copy;

	codec_add_str(&key, h->text);
	codec_add_u8(&key, (uint8_t)h->hop.protocol);
	codec_add_u32(&key, a->house->configured);
	codec_add_u8(&key, (uint8_t)attempt_demand(a));
	if (attempt_demand(a) == CONFIG_TLS_VERIFY)
		codec_add_str(&key, h->hop.host);
	if (route) {
		codec_add_str(&key, route->login_file);
		for (size_t i = 0; i < route->source_n; i++)
			buf_add(&key, (struct str){ (const char *)route->source[i].address,
					      sizeof route->source[i].address });
	}
	copy = attempt_dup(a, buf_str(&key));
	buf_free(&key);
	return copy;
}

static void
take_hops(struct attempt *a, struct str packed)
{
	struct buf text = { .max = 1024 };
	struct hop hop;

	a->hops = attempt_take(a, ROAD_HOPS_MAX * sizeof a->hops[0]);
	while (a->hops_n < ROAD_HOPS_MAX && hop_scan(&packed, &hop)) {
		struct road_hop *h = &a->hops[a->hops_n++];

		h->hop = hop;
		h->hop.host = attempt_dup(a, hop.host);
		buf_reset(&text);
		hop_add_text(&text, &hop);
		h->text = attempt_dup(a, buf_str(&text));
		h->key = warm_key(a, h);
	}
	buf_free(&text);
}

/* Equal hosts share the load (RFC 5321 §5.1): each attempt begins with the next of those that the road
 * prefers. A host's hops stand together. */
static void
turn_hops(struct attempt *a)
{
	struct road_hop turned[ROAD_HOPS_MAX];
	size_t starts[ROAD_HOPS_MAX], hosts = 0, equal = 0, first;

	for (; equal < a->hops_n && a->hops[equal].hop.preference == a->hops[0].hop.preference;
		equal++)
		if (equal == 0 || !str_eq(a->hops[equal].hop.host, a->hops[equal - 1].hop.host))
			starts[hosts++] = equal;
	if (hosts < 2)
		return;
	first = starts[a->house->turns++ % hosts];
	for (size_t i = 0; i < equal; i++)
		turned[i] = a->hops[(first + i) % equal];
	memcpy(a->hops, turned, equal * sizeof turned[0]);
}

static bool
scan_recipient(struct str *in, struct str *address, struct smtp_client_dsn *dsn)
{
	return codec_scan_str(in, address) && codec_scan_u8(in, &dsn->notify) &&
	       codec_scan_str(in, &dsn->orcpt);
}

static void
take_recipients(struct attempt *a, struct str packed)
{
	struct smtp_client_dsn dsn;
	struct str rest = packed, address;
	size_t n = 0;

	while (n < SMTP_CLIENT_RECIPIENTS_MAX && scan_recipient(&rest, &address, &dsn))
		n++;
	a->recipients = attempt_take(a, n * sizeof a->recipients[0]);
	a->dsn = attempt_take(a, n * sizeof a->dsn[0]);
	a->outcomes = attempt_take(a, n * sizeof a->outcomes[0]);
	a->asked.recipients_n = n;
	packed = attempt_dup(a, packed);
	for (size_t i = 0; i < n; i++)
		must(scan_recipient(&packed, &a->recipients[i], &a->dsn[i]));
}

struct attempt *
attempt_new(struct send *s, const struct ipc_attempt *m)
{
	struct attempt *a = calloc(1, sizeof *a);

	must(a);
	*a = (struct attempt){
		.house = s, .number = m->attempt, .arena.max = ARENA_MAX, .steps.max = STEPS_MAX
	};
	a->route = attempt_dup(a, m->route);
	take_hops(a, m->hops);
	turn_hops(a);
	take_recipients(a, m->recipients);
	if (m->fd < 0)
		a->message = attempt_dup(a, m->message);
	else if (!map_message(a, m->fd))
		a->message = (struct str){ 0 };
	a->asked.reverse_path = attempt_dup(a, m->reverse_path);
	a->asked.envid = attempt_dup(a, m->envid);
	a->asked.ret = m->flags & SPOOL_RET_FULL ? 'F' : m->flags & SPOOL_RET_HDRS ? 'H' : 0;
	a->asked.recipients = a->recipients;
	a->asked.dsn = a->dsn;
	a->asked.outcomes = a->outcomes;
	a->asked.size = a->message.n;
	a->deadline_ms = loop_now_ms(s->role.loop) + ATTEMPT_MS +
			 (int64_t)(a->message.n / SLOWEST_OCTETS_A_MS);
	a->asked.smtputf8 = (m->flags & SPOOL_SMTPUTF8) && needs_smtputf8(a);
	a->asked.has_8bit = m->flags & SPOOL_8BIT;
	a->asked.needs_chunking = m->flags & SPOOL_NEEDS_CHUNKING;
	return a;
}

void
attempt_rewind(struct attempt *a)
{
	memset(a->outcomes, 0, a->asked.recipients_n * sizeof a->outcomes[0]);
	a->mail = a->asked;
	a->body = a->message;
	a->given = 0;
}

uint64_t
attempt_to_ascii(struct attempt *a)
{
	struct err e;

	if (a->ascii.n == 0) {
		/* encoded words are less than three times as long as what they encode */
		a->ascii.max =
			a->message.n + 3 * str_find_str(a->message, S("\r\n\r\n")) + IPC_PACKET_MAX;
		if (!message_to_ascii(&a->ascii, a->message, &e))
			buf_reset(&a->ascii);
	}
	a->body = buf_str(&a->ascii);
	return a->body.n;
}
