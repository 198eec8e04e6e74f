/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVE_OURS_H
#define RESOLVE_OURS_H

#include "config/config.h"
#include "route/road.h"

/* What the DNS may not lead to. All of it lies in the arena. */
struct ours {
	struct hop *
		doors; /* where this station itself takes mail: each address with its port; of a wildcard all of the machine */
	size_t doors_n;
	struct road_network *allowed;
	size_t allowed_n;
	struct arena arena;
};

void ours_read(struct ours *o, const struct config *c);
void ours_free(struct ours *o);

#endif
