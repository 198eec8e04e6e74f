/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "base/str.h"

/*
 * Which of the file's routes fits a mail. Where the DNS leads is route/road.h.
 *
 * route_matches: does `pattern` ("partner.example", ".partner.example" for any name below it, "*")
 * fit `domain`, and how well? 0: no; otherwise the greater the better: an exact name beats a
 * suffix, a longer suffix a shorter one, anything beats "*".
 */
size_t route_matches(struct str pattern, struct str domain);

/* Is `pattern` ("wei@example.org", "@example.org", "example.org") the sender's address (2) or its
 * domain (1)? 0: neither. Domains in any case, local parts as they are (RFC 5321 §2.4). The null
 * reverse-path is nobody's. */
size_t route_sender_matches(struct str pattern, struct str reverse_path);

/* Both: how well does the route of this pattern and these senders (none: it is for all) fit a mail
 * to `domain` from `reverse_path`? 0: not; otherwise the greater the better: of two patterns that fit
 * alike, the one that names the sender's address wins, then the one that names its domain. */
size_t route_fits(struct str pattern, const struct str *from, size_t from_n, struct str domain,
	struct str reverse_path);

#endif
