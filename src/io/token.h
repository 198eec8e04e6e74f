/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_TOKEN_H
#define IO_TOKEN_H

#include "base/buf.h"

/*
 * The proof that somebody logged in. Vault makes it when a password was right; receive carries it
 * into the spool with the mail; the queue relays to strangers only for a mail whose token is good.
 * So a receiver that was taken over can neither invent a login nor change the name in one. Made and
 * checked with the same key, which only vault and the queue have.
 *
 * The octets: version (1) u8 · issued, ms since 1970, u64 · random salt, 16 · login, u32 length and
 * octets · HMAC-SHA256 of all before it, 32. Numbers are little-endian.
 */

enum {
	TOKEN_KEY_SIZE = 32,
	TOKEN_LOGIN_MAX = 320,
	TOKEN_MAX = 1 + 8 + 16 + 4 + TOKEN_LOGIN_MAX + 32
};

/* key is TOKEN_KEY_SIZE octets, login at most TOKEN_LOGIN_MAX. */
void token_make(struct buf *to, struct str key, struct str login, int64_t now_ms);

/*
 * Was this token made with this key, at most age_max_ms before at_ms (since 1970; for a mail: when
 * it arrived)? *login then points into it. A token from the future is taken: only our own clock,
 * set back, can make one.
 */
bool token_verify(
	struct str key, struct str token, int64_t at_ms, int64_t age_max_ms, struct str *login);

#endif
