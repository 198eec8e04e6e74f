/* SPDX-License-Identifier: Apache-2.0 */
#include "role/resolve/ours.h"

#include <ifaddrs.h>

#include "base/must.h"

enum { DOORS_MAX = 1024 };

static void
add(struct ours *o, int family, const void *address, uint16_t port)
{
	struct hop *h = &o->doors[o->doors_n];

	if (o->doors_n == DOORS_MAX)
		return;
	*h = (struct hop){ .family = family == AF_INET ? HOP_IPV4 : HOP_IPV6, .port = port };
	memcpy(h->address, address, family == AF_INET ? 4 : 16);
	o->doors_n++;
}

/* The address's own octets, and its port; NULL: neither IPv4 nor IPv6. */
static const void *
octets(const struct sockaddr *a, uint16_t *port)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)a;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)a;

	if (!a || (a->sa_family != AF_INET && a->sa_family != AF_INET6))
		return NULL;
	*port = ntohs(a->sa_family == AF_INET ? four->sin_port : six->sin6_port);
	return a->sa_family == AF_INET ? (const void *)&four->sin_addr : &six->sin6_addr;
}

/* "*:25" is [::]:25 and takes IPv4 too; "0.0.0.0:25" takes IPv4 alone. */
static void
add_machine(struct ours *o, int family, uint16_t port)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) != 0)
		return;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		uint16_t none;
		const void *address = octets(i->ifa_addr, &none);

		if (address && (family == AF_INET6 || i->ifa_addr->sa_family == AF_INET))
			add(o, i->ifa_addr->sa_family, address, port);
	}
	freeifaddrs(all);
}

static void
add_door(struct ours *o, const struct sockaddr *door)
{
	static const unsigned char any[16];
	uint16_t port;
	const void *address = octets(door, &port);

	must(address);
	if (memcmp(address, any, door->sa_family == AF_INET ? 4 : 16) == 0)
		add_machine(o, door->sa_family, port);
	else
		add(o, door->sa_family, address, port);
}

void
ours_read(struct ours *o, const struct config *c)
{
	const struct config_networks *allow = &c->resolver.allow;

	ours_free(o);
	o->arena.max = DOORS_MAX * sizeof *o->doors + allow->n * sizeof *o->allowed + 4096;
	o->doors = arena_take(&o->arena, DOORS_MAX * sizeof *o->doors);
	o->allowed = arena_take(&o->arena, (allow->n + 1) * sizeof *o->allowed);
	must(o->doors && o->allowed);
	for (size_t i = 0; i < c->listens_n; i++)
		for (size_t j = 0; c->listens[i].door == CONFIG_SMTP && j < c->listens[i].on_n; j++)
			add_door(o, (const struct sockaddr *)&c->listens[i].on[j]);
	for (size_t i = 0; i < allow->n; i++) {
		const struct config_network *from = &allow->list[i];
		struct road_network *to = &o->allowed[o->allowed_n++];

		to->family = from->family == AF_INET ? HOP_IPV4 : HOP_IPV6;
		to->prefix = from->prefix;
		memcpy(to->address, from->address, sizeof to->address);
	}
}

void
ours_free(struct ours *o)
{
	arena_free(&o->arena);
	*o = (struct ours){ 0 };
}
