/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROUTE_ROAD_H
#define ROUTE_ROAD_H

#include "base/arena.h"
#include "route/dns.h"
#include "route/hop.h"

/*
 * From a domain to hops (RFC 5321 §5.1, RFC 7505), as a value: it says which names it still wants
 * to know, is told the answers in any order, and ends in hops or in one error. What is decided on
 * which answer is the table in road.c. The driver's whole duty:
 *
 *   road_begin(&r, &settings, domain, seed);
 *   until r.is_done:
 *           while (road_next(&r, &question)) ask it;
 *           wait for an answer; road_answer(&r, question.number, &answer);
 *   r.why, r.hops, r.ttl_s, r.trace; road_free(&r)
 *
 * An answer may be given while questions are still being fetched (a cache answers at once). Each
 * question that was fetched must be answered once; what takes too long the driver answers with
 * DNS_TIMEOUT.
 */

enum {
	ROAD_HOSTS_MAX = 20,	/* the best ones */
	ROAD_ADDRESSES_MAX = 8, /* of a host and family */
	ROAD_HOPS_MAX = 40,
	ROAD_QUESTIONS_MAX = 1 + 2 * ROAD_HOSTS_MAX,
	ROAD_TRACE_MAX = 16 * 1024, /* octets; lines that do not fit are left out */
	ROAD_TTL_MIN = 30,	    /* s */
	ROAD_TTL_MAX = 86400,
	ROAD_ERROR_TTL_MIN = 60,
	ROAD_ERROR_TTL_MAX = 300,
};

struct road_network {
	enum hop_family family; /* HOP_IPV4 or HOP_IPV6 */
	unsigned char address[16];
	unsigned prefix; /* bits */
};

struct road_settings {
	struct str hostname; /* ours */
	uint16_t port;	     /* of the hops: 25 */
	enum hop_protocol protocol;
	/* Only the addresses of this one name, a `via` of the file: no MX, and no address is
	 * refused. That the name has none is a fault of the file, hence temporary. */
	bool is_host;
	const struct hop *ours; /* address and port where a door of this station listens */
	size_t ours_n;
	/* Where hosts may be although no mail of the world goes there: see the table in road.c. */
	const struct road_network *allowed;
	size_t allowed_n;
};

struct road_question {
	unsigned number;
	struct str name; /* lower case A-labels, no dot behind; lives as long as the road */
	enum dns_type type;
};

struct road {
	bool is_done;
	struct err why;	  /* class none: there are hops */
	struct buf hops;  /* packed, in the order in which they are to be tried */
	struct buf trace; /* for people: lines "MX example.org: 10 mx1.example.org (ttl 300)\n" */
	uint32_t ttl_s;	  /* how long this holds; errors too */
	/* the core's own; see road.c */
	const struct road_settings *settings;
	uint64_t seed;
	struct arena arena;
	struct str domain;
	struct road_host *hosts; /* best first */
	size_t hosts_n, hops_n;
	unsigned asked, answered;
	unsigned own_preference; /* of the best MX that is ourselves; UINT_MAX: none */
	bool is_implicit;	 /* the domain is its own host: no MX stands before it */
	bool is_secure;		 /* the answer that named the hosts was */
};

/* `domain`: an A-label domain in any case, or an address literal. The settings must live as long
 * as the road; r is empty. The road may be done at once. */
void road_begin(
	struct road *r, const struct road_settings *settings, struct str domain, uint64_t seed);
bool road_next(struct road *r, struct road_question *q); /* false: nothing more to ask now */
void road_answer(struct road *r, unsigned number, const struct dns_answer *answer); /* copied */
void road_free(struct road *r);

#endif
