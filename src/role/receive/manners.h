/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_RECEIVE_MANNERS_H
#define ROLE_RECEIVE_MANNERS_H

#include "config/config.h"

/*
 * What is thought of a client, by the file and by what it says of itself, without asking anybody: pure, so that
 * the gate and `posthouse explain session` cannot differ.
 */

/* Address of a connection; IPv4 mapped into IPv6 is IPv4. False: it has none. */
bool manners_read_address(const struct sockaddr *a, struct config_network *to);
bool manners_parse_address(struct str text, struct config_network *to);

/* Whom nothing of the gate concerns: trusted networks, and this machine talking to itself by 127.0.0.1 and ::1.
 * The rest of 127.0.0.0/8 are strangers like all others. */
bool manners_spare(const struct config *c, const struct config_network *a);

/* What one client is: an address, or all that a network gives to one (IPv6: /64). */
enum manners_scope {
	MANNERS_CLIENT,	 /* /32, /64 */
	MANNERS_SENDER,	 /* /24, /64: who sends mail together */
	MANNERS_NETWORK, /* /24, /48 */
};
enum { MANNERS_KEY = 18 };
struct str manners_key(
	const struct config_network *a, enum manners_scope scope, char to[MANNERS_KEY]);

/* What is wrong with the name that a client gives itself, in words; NULL: nothing that one can see. */
const char *manners_hello_fault(
	const struct config *c, struct str hello, const struct config_network *a);

/* The part of a host's name that its owner has bought: "mx7.eu.example.org" → "example.org", and with a short second
 * label one more: "mail.example.co.uk" → "example.co.uk". */
struct str manners_owner(struct str host);
bool manners_is_within(struct str domain, struct str owner); /* the same, or below it */

/* Brakes that the file has no word for. */
enum {
	MANNERS_FAULTS_HOURLY =
		10, /* sessions that we ended for what the client did, then it is not greeted */
	MANNERS_UNKNOWN_HOURLY = 10, /* times gate.unknown, over sessions */
	MANNERS_LINES_MOST = 200,    /* without a recipient or a mail taken */
};

/* How full the house is, and what that means for strangers. */
enum manners_stress { STRESS_NONE, STRESS_HALF, STRESS_MOST, STRESS_FULL };
unsigned manners_stress_percent(
	enum manners_stress s); /* it begins with so many of all connections */
enum manners_stress manners_stress(unsigned sessions, unsigned most);
int64_t manners_patience_ms(
	enum manners_stress s, int64_t idle_ms);     /* for one request of a stranger */
unsigned manners_errors_most(enum manners_stress s); /* of a stranger's session; 0: what all may */

#endif
