/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_SESSIONS_H
#define ROLE_VAULT_SESSIONS_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Who is signed in at the web: STATE/vault/sessions.db. The browser has a random secret, here is only its hash. A session ends when it is signed out,
 * when it was not used for SESSION_IDLE_MS, SESSION_MOST_MS after it began, and when the password it began with is not the account's any more: `mark` is a
 * hash of the account's hash.
 */
struct sessions;

enum { SESSION_SECRET = 43 /* octets of text */, SESSION_MARK = 32, SESSION_LOGIN_MAX = 320 };
#define SESSION_IDLE_MS (7 * 24 * 3600 * (int64_t)1000)
#define SESSION_MOST_MS (30 * 24 * 3600 * (int64_t)1000)

struct session_mark {
	unsigned char octets[SESSION_MARK];
};
void session_mark(struct str hash, struct session_mark *mark);

bool sessions_open(struct sessions **s, struct str state, struct err *e);
void sessions_close(struct sessions **s);
/* secret: with a NUL. Of one login the oldest beyond 32 ends. */
bool sessions_begin(struct sessions *s, struct str login, const struct session_mark *mark,
	int64_t now_ms, char secret[SESSION_SECRET + 1], int64_t *until_ms, struct err *e);
bool sessions_find(struct sessions *s, struct str secret, int64_t now_ms,
	char login[SESSION_LOGIN_MAX + 1], struct session_mark *mark, int64_t *until_ms);
void sessions_end(struct sessions *s, struct str secret);

#endif
