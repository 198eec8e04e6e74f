/* SPDX-License-Identifier: Apache-2.0 */
#include "route/route.h"

size_t
route_matches(struct str pattern, struct str domain)
{
	if (str_eq(pattern, S("*")))
		return 1;
	if (pattern.n > 1 && pattern.p[0] == '.')
		return domain.n > pattern.n && str_ends_nocase(domain, pattern) ? 1 + pattern.n : 0;
	return str_eq_nocase(pattern, domain) ? SIZE_MAX : 0;
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

bool
route_sender_matches(struct str pattern, struct str reverse_path)
{
	struct str wanted_local, wanted_domain, local, domain;

	split(pattern, &wanted_local, &wanted_domain);
	split(reverse_path, &local, &domain);
	return domain.n && str_eq_nocase(wanted_domain, domain) &&
	       (wanted_local.n == 0 || str_eq(wanted_local, local));
}
