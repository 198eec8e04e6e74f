/* SPDX-License-Identifier: Apache-2.0 */
#include "route/route.h"

enum { FIT_EXACT = 1 << 16, SENDER_FITS = 3 }; /* above all suffixes; kinds of fit of a sender */

size_t
route_matches(struct str pattern, struct str domain)
{
	if (str_eq(pattern, S("*")))
		return 1;
	if (pattern.n > 1 && pattern.p[0] == '.')
		return domain.n > pattern.n && str_ends_nocase(domain, pattern) ? 1 + pattern.n : 0;
	return str_eq_nocase(pattern, domain) ? FIT_EXACT : 0;
}

/* At the last '@': a quoted local part may have others. Without any, all is domain. */
static void
split(struct str address, struct str *local, struct str *domain)
{
	size_t at = address.n;

	while (at > 0 && address.p[at - 1] != '@')
		at--;
	*local = str_part(address, 0, at ? at - 1 : 0);
	*domain = str_from(address, at);
}

size_t
route_sender_matches(struct str pattern, struct str reverse_path)
{
	struct str wanted_local, wanted_domain, local, domain;

	split(pattern, &wanted_local, &wanted_domain);
	split(reverse_path, &local, &domain);
	if (domain.n == 0 || !str_eq_nocase(wanted_domain, domain))
		return 0;
	if (wanted_local.n == 0)
		return 1;
	return str_eq(wanted_local, local) ? 2 : 0;
}

size_t
route_fits(struct str pattern, const struct str *from, size_t from_n, struct str domain,
	struct str reverse_path)
{
	size_t fit = route_matches(pattern, domain), best = 0;

	for (size_t i = 0; i < from_n; i++) {
		size_t sender = route_sender_matches(from[i], reverse_path);

		best = sender > best ? sender : best;
	}
	return fit == 0 || (from_n && best == 0) ? 0 : SENDER_FITS * fit + best;
}
