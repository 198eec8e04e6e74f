/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_BOOK_H
#define ROLE_VAULT_BOOK_H

#include "base/map.h"
#include "config/config.h"
#include "io/ipc.h"

/*
 * Who is who: every name of this house in memory, and what a name stands for. Filled once from the
 * file and the accounts, then only read; when either changes a new one is made. Zero-initialise;
 * set by book_begin.
 *
 * What a name stands for, first match wins: an alias of the file · an alias made at run time · a
 * person who moved · a mailbox · the same four for the name before a plus sign · postmaster: the
 * domain's first mailbox (RFC 5321 §4.5.1), in a domain without any one of its own that takes no login ·
 * the catch-all. An alias that names itself means the
 * mailbox of that name.
 */

struct book_entry {
	struct str name;  /* "bob@example.org", lower case */
	struct str *to;	  /* alias: whole addresses */
	size_t to_n;	  /* 0: no alias */
	struct str moved; /* the new address; empty: not moved */
	struct str hash;  /* of the password, crypt(5) */
	bool is_mailbox,
		is_suspended; /* a suspended one takes no login, and mail only by an alias */
	bool is_spare; /* a postmaster's where there is nobody yet; in no map: no login finds it */
};

struct book {
	const struct config *config;
	struct map entries;
	struct book_entry *
		*first; /* the oldest mailbox of each domain of the file, or its postmaster's */
	struct arena arena;
};

void book_begin(struct book *b, const struct config *c); /* config must outlive the book */
void book_add_mailbox(
	struct book *b, struct str name, struct str hash, bool is_suspended); /* oldest first */
void book_add_alias(
	struct book *b, struct str name, struct str to); /* one more address behind it */
void book_free(struct book *b);

/* A login as somebody typed it ("Alice", "alice@example.org") → its mailbox, NULL when there is
 * none. Suspended ones are found. */
const struct book_entry *book_login(const struct book *b, struct str login);

/* All mailboxes that take mail under their own name, for the address table. *names is the caller's
 * to free. */
size_t book_mailboxes(const struct book *b, struct str **names);

/* What that mailbox may write as: its own name first, then aliases that name it; at most BOOK_ADDRESSES_MAX. *names lies in the arena. */
enum { BOOK_ADDRESSES_MAX = 100 };
size_t book_addresses(
	const struct book *b, struct str mailbox, struct arena *arena, struct str **names);

/* `found` of messages.def: `why` is 'R', 'V', 'E' or 'S'. *text lies in the arena or in the book.
 */
enum found_kind book_lookup(const struct book *b, uint8_t why, struct str local, struct str domain,
	struct str login, struct arena *arena, struct str *text);

enum { BOOK_DEPTH_MAX = 20, BOOK_TARGETS_MAX = 1000 };

/* `expanded`: where the mail goes in the end, each target once. */
struct book_targets {
	struct book_target {
		struct str address;
		bool is_here;
	} list[BOOK_TARGETS_MAX];
	size_t n;
	struct str words;   /* unknown, loop, moved: for the bounce */
	struct str nowhere; /* the first member of ours that nobody has, if any: its copy is not
			       sent */
};

enum expanded_kind book_expand(const struct book *b, struct str local, struct str domain,
	struct arena *arena, struct book_targets *targets);

#endif
