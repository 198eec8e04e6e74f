/* SPDX-License-Identifier: Apache-2.0 */
#include "role/send/health.h"

#include <errno.h>

#include "base/must.h"

/*
 * A hop that failed is dead for a minute; for twice as long, up to ten minutes, each time that it
 * fails when that has passed. One success and it is forgotten.
 *
 * A family (IPv4, IPv6) is broken when the network says so, or when two of its hops in a row were
 * silent while the other family works; ten minutes later one hop may try again, and a single silent
 * one is enough to believe it still broken. So it costs one time-out, not one a mail. A refusal is
 * an answer: the family works.
 *
 *   errno of connect                hop     family
 *   ENETUNREACH, EAFNOSUPPORT       -       broken at once: no packet left
 *   ETIMEDOUT, EHOSTUNREACH         dead    silent
 *   EADDRNOTAVAIL                   -       -       a source address or port of ours is missing
 *   any other, and 0                dead    works
 *
 * That TLS fails is remembered for ten minutes, and not longer: whoever can break one handshake has
 * the mails of that time in clear (RFC 7435 §3), and no more of them.
 */

enum {
	DEAD_FIRST_MS = 60000,
	DEAD_MOST_MS = 600000,
	CLEAR_MS = 600000,
	KNOWN_HOPS_MAX =
		4096, /* remembered of each kind; then the one known longest is forgotten */
	FAMILY_BROKEN_MS = 600000,
	FAMILY_SILENT_MOST = 2,
};

struct known_hop {
	struct list link; /* in health_memory.oldest */
	int64_t until_ms, wait_ms;
	struct str address; /* behind the struct */
};

static struct str
address_of(const void *member)
{
	return ((const struct known_hop *)member)->address;
}

static void
memory_open(struct health_memory *m)
{
	m->hops.key_of = address_of;
	list_init(&m->oldest);
}

void
health_open(struct health *h)
{
	memory_open(&h->dead);
	memory_open(&h->clear);
}

static void
forget(struct health_memory *m, struct known_hop *known)
{
	map_remove(&m->hops, known->address);
	list_remove(&known->link);
	free(known);
}

static void
memory_free(struct health_memory *m)
{
	while (!list_is_empty(&m->oldest))
		forget(m, list_of(m->oldest.next, struct known_hop, link));
	map_free(&m->hops);
}

void
health_free(struct health *h)
{
	memory_free(&h->dead);
	memory_free(&h->clear);
}

/* As it is known already, or anew. */
static struct known_hop *
remember(struct health_memory *m, struct str address)
{
	struct known_hop *known = map_get(&m->hops, address);

	if (known)
		return known;
	if (m->hops.used >= KNOWN_HOPS_MAX)
		forget(m, list_of(m->oldest.next, struct known_hop, link));
	known = malloc(sizeof *known + address.n);
	must(known);
	*known = (struct known_hop){ .address = { (char *)(known + 1), address.n } };
	memcpy(known + 1, address.p, address.n);
	map_put(&m->hops, known);
	list_append(&m->oldest, &known->link);
	return known;
}

/* NULL: a UNIX socket has none. */
static struct health_family *
family_of(struct health *h, enum hop_family family)
{
	switch (family) {
	case HOP_IPV4:
		return &h->ipv4;
	case HOP_IPV6:
		return &h->ipv6;
	case HOP_UNIX:
		return NULL;
	}
	return NULL;
}

enum health_standing
health_look(const struct health *h, struct str address, enum hop_family family, int64_t now_ms)
{
	const struct known_hop *dead = map_get(&h->dead.hops, address);
	int64_t broken_until_ms = family == HOP_IPV4   ? h->ipv4.broken_until_ms
				  : family == HOP_IPV6 ? h->ipv6.broken_until_ms
						       : 0;

	if (dead && now_ms < dead->until_ms)
		return HEALTH_DEAD;
	return now_ms < broken_until_ms ? HEALTH_FAMILY_BROKEN : HEALTH_GOOD;
}

static void
check_broken(struct health_family *f, const struct health_family *other, int64_t now_ms)
{
	if (f->silent >= FAMILY_SILENT_MOST && other->works && now_ms >= f->broken_until_ms)
		f->broken_until_ms = now_ms + FAMILY_BROKEN_MS;
}

static void
note_silent(struct health *h, struct health_family *f, int64_t now_ms)
{
	f->silent++;
	f->works = false;
	check_broken(f, f == &h->ipv4 ? &h->ipv6 : &h->ipv4, now_ms);
}

static void
note_answer(struct health *h, struct health_family *f, int64_t now_ms)
{
	struct health_family *other = f == &h->ipv4 ? &h->ipv6 : &h->ipv4;

	*f = (struct health_family){ .works = true };
	check_broken(other, f, now_ms);
}

/* Many connections may fail at once: what is dead already does not get deader, nor is it a sign
 * about its family once more (false). */
static bool
note_dead(struct health *h, struct str address, int64_t now_ms)
{
	struct known_hop *dead = remember(&h->dead, address);

	if (now_ms < dead->until_ms)
		return false;
	dead->wait_ms = dead->wait_ms ? dead->wait_ms * 2 : DEAD_FIRST_MS;
	if (dead->wait_ms > DEAD_MOST_MS)
		dead->wait_ms = DEAD_MOST_MS;
	dead->until_ms = now_ms + dead->wait_ms;
	return true;
}

void
health_worked(struct health *h, struct str address, enum hop_family family, int64_t now_ms)
{
	struct known_hop *dead = map_get(&h->dead.hops, address);
	struct health_family *f = family_of(h, family);

	if (dead)
		forget(&h->dead, dead);
	if (f)
		note_answer(h, f, now_ms);
}

void
health_failed(
	struct health *h, struct str address, enum hop_family family, int cause, int64_t now_ms)
{
	struct health_family *f = family_of(h, family);

	switch (cause) {
	case ENETUNREACH:
	case EAFNOSUPPORT:
		if (f)
			*f = (struct health_family){ .silent = FAMILY_SILENT_MOST,
				.broken_until_ms = now_ms + FAMILY_BROKEN_MS };
		break;
	case ETIMEDOUT:
	case EHOSTUNREACH:
		if (note_dead(h, address, now_ms) && f)
			note_silent(h, f, now_ms);
		break;
	case EADDRNOTAVAIL:
		break;
	default:
		note_dead(h, address, now_ms);
		if (f)
			note_answer(h, f, now_ms);
	}
}

void
health_tls_failed(struct health *h, struct str address, int64_t now_ms)
{
	remember(&h->clear, address)->until_ms = now_ms + CLEAR_MS;
}

bool
health_tls_fails(const struct health *h, struct str address, int64_t now_ms)
{
	const struct known_hop *known = map_get(&h->clear.hops, address);

	return known && now_ms < known->until_ms;
}
