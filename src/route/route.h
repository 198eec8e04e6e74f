/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "base/str.h"

/*
 * Which way a mail goes, as pure policy. Today the ways that the file names; the answers of DNS
 * join them here.
 *
 * route_matches: does `pattern` ("partner.example", ".partner.example" for any name below it, "*")
 * fit `domain`, and how well? 0: no; otherwise the greater the better: an exact name beats a
 * suffix, a longer suffix a shorter one, anything beats "*".
 */
size_t route_matches(struct str pattern, struct str domain);

#endif
