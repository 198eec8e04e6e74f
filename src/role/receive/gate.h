/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_RECEIVE_GATE_H
#define ROLE_RECEIVE_GATE_H

#include "base/map.h"
#include "role/receive/crowd.h"
#include "role/receive/manners.h"
#include "role/receive/receive.h"

struct inquiry {	 /* one question to resolve */
	uint64_t number; /* 0: not under way */
	struct session *session;
	enum answer_result result;
	bool was_asked;
	bool was_answered; /* by resolve; else it was not asked, or the answer was not waited for any longer */
};

/* What the gate knows of one stranger at an smtp door. Sessions of all others have none: NULL. */
struct gate {
	struct inquiry reverse, lists[CONFIG_ZONES_MAX];
	unsigned waiting; /* of them under way */
	int64_t asked_ms;
	struct loop_timer *pause; /* before the greeting */
	const char *hello_fault;  /* NULL: none */
	char name[256];	  /* that leads to the address and back; or the one that XCLIENT said */
	char listed[256]; /* "zen.example: what it says" */
	bool lacks_place; /* what a verdict needs was not asked, since too much was under way */
	bool was_noted, has_fault;
};

/* ── gate.c: who comes in, and how long it is listened to ── */

/* The client is known, by its connection, a PROXY header or XCLIENT: counts it. What is to be said for its greeting stands in s->unwelcome. name: what XCLIENT vouches for, so that the DNS is not
 * asked; else empty. */
void gate_enter(struct session *s, struct str name);
void gate_leave(struct session *s);			/* its counts, and whatever is under way */
enum turn gate_greet(struct session *s, struct err *e); /* ON_CONNECT; NEXT: e says why not */
bool gate_has_enough(
	struct session *s, struct err *e); /* more lines or mistakes than we listen to */
void gate_heard(struct session *s);	   /* all that came so far is worked off */
const char *gate_late(
	const struct session *s, int64_t now_ms); /* words for who is too slow; NULL: it is not */

enum turn gate_wait(struct session *s); /* WAIT, until gate_wake or gate_hurry */
void gate_wake(struct session *s);	/* runs the session, where it waits for the gate */
/* The caller will run it. False: it does not wait for the gate. */
bool gate_hurry(struct session *s);

bool gate_is_stranger(const struct session *s);
const struct config *gate_config(const struct session *s);
int64_t gate_now_s(void);
void gate_remember(struct session *s, enum crowd_kind kind, struct str key, uint32_t for_s);
uint32_t gate_count(const struct session *s, enum crowd_kind kind,
	uint32_t more); /* of this client, in an hour */

/* ── inquiry.c: questions to resolve, by the terms of the session ── */
void inquiry_begin(struct session *s); /* asks what was not yet asked */
void inquiry_drop_all(struct session *s);
void inquiry_came(struct receive *r, const struct ipc_answer *m);
void inquiry_give_up(struct receive *r, int64_t before_ms); /* what was asked up to that moment */
void inquiry_tick(struct receive *r);			    /* once a second */

/* ── judge.c: what is thought of it ── */
void judge_hello(struct session *s);
enum turn judge_recipient(struct session *s, struct err *e); /* NEXT: e says why not */
bool judge_unknown(struct session *s); /* nobody here is called so: has it named too many? */
void judge_kept(struct session *s);    /* it has brought a mail */

/* For Received (RFC 5321 §4.4), both empty where there is nothing to say: the client's confirmed name and a blank,
 * "unknown " where it has none; and what is wrong with its HELO. */
enum { GATE_TEXT = 320 };
const char *judge_name(const struct session *s, char to[GATE_TEXT]);
const char *judge_remark(const struct session *s, char to[GATE_TEXT]);

#endif
