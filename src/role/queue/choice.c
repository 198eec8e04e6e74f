/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/must.h"
#include "route/route.h"

/*
 * Which rule of the file decides about a domain. A domain of ours goes before any route; of the routes
 * the one that fits best counts (route/route.h), and without one it is the DNS. Asked for each recipient
 * that sets out (road.c), and by `explain route` (board.c).
 */

static const struct config_route *
best_route(const struct config *c, struct str domain, struct str reverse_path)
{
	const struct config_route *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < c->routes_n; i++) {
		const struct config_route *route = &c->routes[i];
		size_t fit = route_fits(
			route->pattern, route->from, route->from_n, domain, reverse_path);

		if (fit > most) {
			most = fit;
			best = route;
		}
	}
	return best;
}

static void
choice_name(struct road_choice *choice, struct str name)
{
	size_t n = name.n < sizeof choice->text ? name.n : sizeof choice->text;

	for (size_t i = 0; i < n; i++)
		choice->text[i] = char_lower(name.p[i]);
	choice->name_n = n;
}

void
road_choose(const struct config *c, struct str domain, struct str reverse_path,
	struct road_choice *choice)
{
	const struct config_route *route = NULL;

	*choice = (struct road_choice){ .port = ROAD_PORT };
	choice->is_ours = domain.n == 0 || config_domain(c, domain);
	if (!choice->is_ours)
		choice->route = route = best_route(c, domain, reverse_path);
	if (!route) {
		choice->is_refused = !choice->is_ours && c->resolver.is_off;
		choice_name(choice, domain);
		return;
	}
	choice->is_made = route->via.family != 0;
	choice->is_host = route->via.text.n > 0;
	choice->protocol = route->via.protocol;
	choice->port = (uint16_t)route->port;
	if (choice->is_host)
		choice->port = route->via.port;
	choice->is_refused = !choice->is_made && c->resolver.is_off;
	choice_name(choice, choice->is_host ? route->via.host : domain);
}

void
road_add_made_hops(const struct road_choice *choice, struct buf *to)
{
	const struct config_via *via = &choice->route->via;
	struct hop h = { .host = via->host,
		.family = via->family,
		.protocol = via->protocol,
		.port = via->port };

	must(choice->is_made);
	memcpy(h.address, via->address, sizeof h.address);
	hop_add(to, &h);
}
