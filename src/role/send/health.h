/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_SEND_HEALTH_H
#define ROLE_SEND_HEALTH_H

#include "base/list.h"
#include "base/map.h"
#include "route/hop.h"

/*
 * What is known of hops that did not answer, so that they are tried behind those that may. It only
 * orders: a hop is never left out, for what is remembered may be wrong by now. And those whose TLS
 * fails. Zero-initialised is healthy; health_open before the first use. Times are of any clock that only goes forward, in ms.
 */
struct health {
	struct health_memory {
		struct map hops;    /* struct known_hop, by address */
		struct list oldest; /* the same ones; the front one has been known longest */
	} dead, clear;		    /* clear: TLS failed there */
	struct health_family {
		unsigned silent;	 /* hops in a row of which nothing was heard */
		bool works;		 /* the last hop answered */
		int64_t broken_until_ms; /* 0: it is not known to be broken */
	} ipv4, ipv6;
};

/* In the order in which hops are to be tried. */
enum health_standing { HEALTH_GOOD, HEALTH_FAMILY_BROKEN, HEALTH_DEAD };

void health_open(struct health *h);
void health_free(struct health *h);

/* address: as hop_add_text has it. */
enum health_standing health_look(
	const struct health *h, struct str address, enum hop_family family, int64_t now_ms);
void health_worked(struct health *h, struct str address, enum hop_family family, int64_t now_ms);

/* cause: the errno of connect, or 0: it was reached and did not want to talk. */
void health_failed(
	struct health *h, struct str address, enum hop_family family, int cause, int64_t now_ms);

/* TLS is offered there and fails: for a while no mail that may go in clear need find that out again. */
void health_tls_failed(struct health *h, struct str address, int64_t now_ms);
bool health_tls_fails(const struct health *h, struct str address, int64_t now_ms);

#endif
