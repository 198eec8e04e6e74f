/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include "base/arena.h"
#include "base/buf.h"

/*
 * A mailbox that the grammar has accepted (RFC 5321 §4.1.2, RFC 6531 §3.3). `local` is decoded: no
 * quotes, no backslashes, case kept. `domain` is kept as it was written; an address literal keeps
 * its brackets. Both empty: the null reverse-path. Domain empty with local "postmaster" (any case):
 * the one name that needs no domain. No octet of either is NUL, CR or LF.
 */
struct address {
	struct str local, domain;
};

enum {
	ADDRESS_LOCAL_MAX = 64,	  /* RFC 5321 §4.5.3.1.1, octets */
	ADDRESS_DOMAIN_MAX = 255, /* RFC 5321 §4.5.3.1.2 */
	ADDRESS_PATH_MAX = 256,	  /* RFC 5321 §4.5.3.1.3, with the angle brackets */
};

enum address_problem {
	ADDRESS_OK,
	ADDRESS_SYNTAX,	    /* 501 5.1.7 / 5.1.3 */
	ADDRESS_TOO_LONG,   /* the same codes, said as such */
	ADDRESS_NEEDS_UTF8, /* non-ASCII without SMTPUTF8: 553 5.6.7, RFC 6531 §3.5 */
};

/*
 * The path that `in` begins with, copied decoded into the arena; on success `in` stands behind it.
 * Takes `<a@b>`, a source route `<@x,@y:a@b>` (ignored, RFC 5321 §4.1.2), quoted local parts,
 * address literals, and the sloppy form without brackets, which ends at a blank. `<>` only when
 * allow_null. U-labels only when allow_utf8.
 */
enum address_problem address_scan_path(
	struct str *in, struct arena *arena, bool allow_null, bool allow_utf8, struct address *out);

/* The same grammar for a bare mailbox that must fill `text` wholly: user@domain from a file, a
 * command line, a record. */
enum address_problem address_parse(
	struct str text, struct arena *arena, bool allow_utf8, struct address *out);

/* local@domain as it goes on a wire or into a record, the local part quoted where the grammar
 * demands it; null: nothing. */
void address_add(struct buf *to, struct address a);

bool address_is_null(struct address a);
bool address_is_ascii(struct address a);
bool domain_is_valid(struct str domain,
	bool allow_utf8); /* dotted labels or an address literal; RFC 5321 §4.1.2 */

#endif
