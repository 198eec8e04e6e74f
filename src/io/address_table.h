/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_ADDRESS_TABLE_H
#define IO_ADDRESS_TABLE_H

#include "base/err.h"
#include "base/str.h"

/*
 * Which mailboxes are here, for receive to read without asking: a sealed memfd that vault makes
 * anew whenever something changed. It holds no names, only a keyed hash of 64 bits for each, so
 * that a reader who was taken over cannot list the house. Only "yes" is final. Aliases,
 * plus-addresses, suspended and moved people are not in it: for all else vault is asked.
 *
 * The octets: magic u64 · secret 2 × u64 · number of hashes u64 · the hashes, u64 each, ascending.
 * All little-endian.
 */

/* names: "local@domain" in lower case, in any order. Returns the descriptor, or -1 with e. */
int address_table_make(const struct str *names, size_t n, struct err *e);

struct address_table;

/* Maps it read-only. fd is the table's from now on, and is closed here, also on failure: not
 * sealed, or not of this shape. */
bool address_table_open(struct address_table **t, int fd, struct err *e);
void address_table_close(struct address_table **t);

bool address_table_has(
	const struct address_table *t, struct str local, struct str domain); /* any case */

#endif
