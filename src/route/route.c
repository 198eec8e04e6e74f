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
