/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_QUEUE_FILTER_H
#define ROLE_QUEUE_FILTER_H

#include "base/codec.h"
#include "base/err.h"

/*
 * The one language in which an operator names recipients that wait. Words divided by blanks, all of
 * which must fit; `!` before a word negates it; quotes hold blanks together.
 *
 *   to:TEXT from:TEXT dest:TEXT   a part of it, in any case; with `*` the whole, `*` for any octets;
 *                                 from:<> is the null sender; dest is its destination, as lists
 *                                 by destination have it, or the host that was tried last
 *   domain:NAME                   the recipient's domain, whole; `*` as above
 *   id:DIGITS                     how the id begins; four or more hexadecimal digits alone do too
 *   age>2h age<1d                 since it came in; s m h d w
 *   tries>3 size>1M               K M G
 *   err:~TEXT                     a part of the words of whoever said so
 *   err:4.7.28 err:4.7 err:421    its enhanced code, or the beginning of that; its reply code
 *   state:WORD                    waiting, deferred, held, dropped, failed
 *   hold:yes hold:no
 *
 * Pure: a text is parsed once and then asked about facts.
 */

enum { FILTER_TEXT_MAX = 1024, FILTER_TERMS_MAX = 32 };

/* As `item` carries it: what people are told about a recipient, in one letter. */
enum filter_state {
	FILTER_WAITING = 'W',
	FILTER_DEFERRED = 'D',
	FILTER_HELD = 'H',
	FILTER_DROPPED = 'X', /* held, until nobody can want it back any more */
	FILTER_FAILED = 'F',  /* its bounce is being kept */
	FILTER_DELIVERED = 'O',
	FILTER_EXPANDED = 'E',
};

const char *filter_state_word(enum filter_state s); /* "deferred" */

struct filter_facts {
	struct mail_id id;
	struct str reverse_path, address;
	struct str host,
		destination; /* who said `last`, perhaps empty; what lists by destination call it */
	int64_t age_ms;
	uint64_t size;
	uint32_t tries;
	enum filter_state state;
	const struct err *last; /* NULL: nothing was said yet */
};

struct filter_term {
	const struct filter_key *key;
	bool is_negated;
	char relation;	 /* ':' '~' '<' '>' '=' */
	struct str text; /* in filter.text */
	uint64_t number; /* ms, octets, a count, a reply code, an enum filter_state, yes */
	struct enhanced enhanced;
	unsigned parts; /* of the enhanced code that count */
};

/* Its terms point into it: not to be copied. */
struct filter {
	char text[FILTER_TEXT_MAX];
	size_t text_n;
	struct filter_term terms[FILTER_TERMS_MAX];
	size_t terms_n; /* none: fits all */
	/* else these facts may be left empty: they cost something to put together */
	bool wants_address, wants_last; /* last: last, host, destination */
};

/* False: e has one line with the place, the wrong word and the nearest right one. */
bool filter_parse(struct filter *f, struct str text, struct err *e);
bool filter_fits(const struct filter *f, const struct filter_facts *facts);

#endif
