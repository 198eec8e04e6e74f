/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROUTE_DNS_H
#define ROUTE_DNS_H

#include "base/arena.h"
#include "base/buf.h"

/*
 * Answers of the DNS as values (RFC 1035), read out of the packet that the resolver library hands
 * over. Pure; the packet is hostile.
 */

enum dns_type {
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
};

enum dns_status {
	DNS_OK,	       /* records of the asked type are there */
	DNS_NODATA,    /* the name exists, such records do not */
	DNS_NXDOMAIN,  /* the name does not exist; behind aliases: the last one does not */
	DNS_SERVFAIL,  /* the servers cannot answer now (any other rcode too) */
	DNS_TIMEOUT,   /* nobody answered */
	DNS_BOGUS,     /* the answer is signed, and the signature is wrong */
	DNS_MALFORMED, /* the packet is no answer to what was asked */
	DNS_STATUSES
};

const char *dns_status_name(enum dns_status s); /* "NXDOMAIN", for people */
const char *dns_type_name(enum dns_type t);

enum {
	DNS_RECORDS_MAX = 64,
	DNS_CHAIN_MAX = 8,
	DNS_NAME_MAX = 253,	    /* octets as text; RFC 1035 §2.3.4 counts 255 on the wire */
	DNS_NEGATIVE_TTL_MAX = 300, /* s; RFC 2308 §5 leaves the most to us */
	DNS_ANSWER_MAX = 24 * 1024, /* octets of its arena that an answer takes at most */
};

struct dns_record {
	struct str
		name; /* MX, PTR: the host; lower case, no dot behind; empty: the root (null MX). TXT:
			    its strings joined, any octets */
	uint16_t preference;	   /* MX */
	unsigned char address[16]; /* A: the first four */
};

struct dns_answer {
	enum dns_status status;
	bool is_secure; /* by the resolver library: the caller sets it, and DNS_BOGUS, DNS_TIMEOUT */
	bool was_cut;	/* there were more than DNS_RECORDS_MAX */
	uint32_t ttl_s; /* least of all records used, CNAMEs included; NODATA and NXDOMAIN: of the
			   SOA, at most DNS_NEGATIVE_TTL_MAX; other failures: 0 */
	struct str chain[DNS_CHAIN_MAX]; /* where CNAMEs led from the asked name, in turn */
	size_t aliases;			 /* that many */
	struct dns_record *records;
	size_t records_n;
	size_t unusable; /* records of the asked type that are broken, or name what no host can be
			    called; with DNS_OK they may be all */
};

/*
 * The packet as an answer to `name` (dns_name_is_valid) and `type`. All text lies in `arena`, which
 * should have room for DNS_ANSWER_MAX octets; with less an answer may be DNS_SERVFAIL. The rcode
 * and the chain of CNAMEs are read out of the packet; a chain that loops, or is longer than
 * DNS_CHAIN_MAX, is DNS_SERVFAIL. The packet's number is not looked at: the library has matched it.
 */
void dns_read(struct str packet, struct str name, enum dns_type type, struct arena *arena,
	struct dns_answer *answer);

/* The name under which a zone has an address: "1.2.0.192.in-addr.arpa", 32 hexadecimal digits with dots for the
 * 16 octets of IPv6 (RFC 3596 §2.5); lists have it too (RFC 5782 §2.1, §2.4). */
void dns_add_turned(struct buf *to, const unsigned char *address, size_t octets, struct str zone);

/* Could a host or a domain be called so: labels of letters, digits, hyphen and underscore, 63
 * octets each, DNS_NAME_MAX in all; no dot behind. */
bool dns_name_is_valid(struct str name);

#endif
