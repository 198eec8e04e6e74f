/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPOOL_HISTORY_H
#define SPOOL_HISTORY_H

#include "base/codec.h"

/*
 * What happened to mails, for people: `posthouse why`. Never for decisions: those stand in the fate
 * log. It is written without a sync, so a power cut or a full disk costs explanations and nothing
 * else, and it is a ring: the oldest file goes when a new one is begun.
 */

enum history_kind {
	HISTORY_ARRIVED =
		1,	 /* who: reverse-path; how: client and login; number: octets; recipients */
	HISTORY_ATTEMPT, /* who: destination; recipients, steps */
	HISTORY_DELIVERED, /* who: host; words; recipients */
	HISTORY_DEFERRED,  /* who: host; words; due_ms; how: why then; number: tries; recipients */
	HISTORY_FAILED,	   /* who: host; words; recipients */
	HISTORY_BOUNCED,   /* how: id of the report; number: enum dsn_kind; recipients */
	HISTORY_EXPANDED, /* recipients: the alias; how: its members, "<a>, <b>", perhaps the first ones only */
	HISTORY_HELD, /* by the operator, as all to SETTLED; recipients */
	HISTORY_RELEASED,
	HISTORY_RETRIED,
	HISTORY_GIVEN_UP, /* `queue bounce` */
	HISTORY_DROPPED,
	HISTORY_SETTLED, /* every recipient has its end */
	HISTORY_KINDS
};

/* Texts are at most HISTORY_TEXT_MAX octets each; longer ones are left out. */
enum { HISTORY_FILES = 8, HISTORY_FILE_SIZE = 8 << 20, HISTORY_TEXT_MAX = 48 * 1024 };

struct history_event {
	enum history_kind kind;
	struct mail_id id;
	int64_t at_ms, due_ms;
	uint64_t number;
	struct str who, how, words;
	struct str recipients; /* packed texts, ASCII letters in lower case */
	struct str steps;      /* packed, as route/hop.h has it */
};

struct history;

/* In <spool>/history, which is made where it is not there. NULL with e; the other functions take NULL
 * for a history that keeps nothing. */
struct history *history_open(struct str spool, uint64_t file_size, struct err *e);
void history_close(struct history **h); /* writes what waits */

/* Gathered; history_flush writes all of it, once a turn. recipients may have capitals here. */
void history_add(struct history *h, const struct history_event *e);
void history_flush(struct history *h);

/*
 * A search goes from the oldest file to the newest, and hands back the turn after each: a file is a
 * few milliseconds. For a mail (by the first octets of its id, four or more) or for a recipient.
 */
struct history_search {
	struct history *history;
	bool is_address;
	struct buf needle;
	uint64_t number, last; /* files: the one that is read, the newest */
	const char *map;
	size_t map_n, at;
};

enum history_result {
	HISTORY_EVENT, /* *e is filled; its texts are valid until the next call */
	HISTORY_LATER, /* call again, in another turn of the loop */
	HISTORY_END
};

void history_find_mail(struct history_search *s, struct history *h, struct str id_octets);
void history_find_address(struct history_search *s, struct history *h, struct str address);
enum history_result history_next(struct history_search *s, struct history_event *e);
void history_search_end(struct history_search *s); /* also before HISTORY_END */

#endif
