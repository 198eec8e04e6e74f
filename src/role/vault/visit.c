/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/visit.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/codec.h"
#include "base/log.h"
#include "base/must.h"

enum { ARENA_MAX = 4 * 1024 * 1024, NAME_MAX_OCTETS = 512 };

#define TOKEN_SEAT_AGE_MS (24 * 3600 * (int64_t)1000)

/* ── a reader's token ──
 * A token as the queue has them, of a login that no mailbox can be called: it relays nothing by itself. In base64, since a
 * password has no NUL. In its name stands the mark of the password, so that it ends with that. */

static void
add_name(struct buf *to, const struct book_entry *user)
{
	struct session_mark mark;
	char octets[SHA256_DIGEST_LENGTH];
	struct buf whole = { .max = NAME_MAX_OCTETS };

	session_mark(user->hash, &mark);
	buf_add(&whole, (struct str){ (const char *)mark.octets, SESSION_MARK });
	buf_add(&whole, user->name);
	must(!whole.overflow);
	SHA256((const unsigned char *)whole.p, whole.n, (unsigned char *)octets);
	buf_add_char(to, ':');
	codec_add_base64(to, (struct str){ octets, sizeof octets });
	buf_free(&whole);
}

static void
add_token(const struct vault *v, const struct book_entry *user, struct buf *to)
{
	struct buf name = { .max = TOKEN_LOGIN_MAX }, token = { .max = TOKEN_MAX };

	add_name(&name, user);
	token_make(&token, (struct str){ v->key, TOKEN_KEY_SIZE }, buf_str(&name), loop_wall_ms());
	codec_add_base64(to, buf_str(&token));
	buf_free(&name);
	buf_free(&token);
}

bool
visit_is_token(const struct vault *v, const struct book_entry *user, struct str password)
{
	struct buf token = { .max = TOKEN_MAX }, name = { .max = TOKEN_LOGIN_MAX };
	struct str login;
	bool is;

	add_name(&name, user);
	is = codec_add_from_base64(&token, password) &&
	     token_verify((struct str){ v->key, TOKEN_KEY_SIZE }, buf_str(&token), loop_wall_ms(),
		     TOKEN_SEAT_AGE_MS, &login) &&
	     str_eq(login, buf_str(&name));
	buf_free(&token);
	buf_free(&name);
	return is;
}

/* ── a yes ── */

/* Master opens the mailbox, if it is not open. */
static void
seat(struct vault *v, const struct book_entry *user)
{
	struct buf token = { .max = 2 * TOKEN_MAX }, directory = { .max = 1024 },
		   addresses = { .max = IPC_TEXT_MAX / 2 };
	struct arena arena = { .max = ARENA_MAX };
	struct str local, domain, *names;
	size_t n;

	must(str_cut(user->name, '@', &local, &domain));
	n = book_addresses(&v->book, user->name, &arena, &names);
	for (size_t i = 0; i < n; i++)
		codec_add_str(&addresses, names[i]);
	add_token(v, user, &token);
	if (config_mailbox_path(&v->role.config, local, domain, &directory) && !addresses.overflow)
		ipc_send_seat(v->role.master, &(struct ipc_seat){ .fd = -1,
						      .login = user->name,
						      .directory = buf_str(&directory),
						      .token = buf_str(&token),
						      .addresses = buf_str(&addresses) });
	else
		log_event("no-seat", "login=%s", log_quote(user->name));
	buf_free(&token);
	buf_free(&directory);
	buf_free(&addresses);
	arena_free(&arena);
}

static void
answer(struct vault *v, uint64_t ask, enum checked_result result, const struct book_entry *user,
	const char *session, int64_t until_ms)
{
	if (result == CHECKED_OK)
		seat(v, user);
	ipc_send_signed_in(v->web, &(struct ipc_signed_in){ .fd = -1,
					   .ask = ask,
					   .result = (uint8_t)result,
					   .login = user ? user->name : (struct str){ 0 },
					   .session = str_of(session),
					   .until_ms = (uint64_t)until_ms });
}

static void
answer_right(struct vault *v, uint64_t ask, bool begins_session, const struct book_entry *user)
{
	char secret[SESSION_SECRET + 1] = "";
	struct session_mark mark;
	int64_t until = 0;
	struct err e = { 0 };

	session_mark(user->hash, &mark);
	if (begins_session && !sessions_begin(v->sessions, user->name, &mark, loop_wall_ms(),
				      secret, &until, &e)) {
		log_event("no-session", "why=%s", log_quote(str_of(e.text)));
		answer(v, ask, CHECKED_LATER, NULL, "", 0);
		return;
	}
	answer(v, ask, CHECKED_OK, user, secret, until);
	explicit_bzero(secret, sizeof secret);
}

/* ── the questions ── */

static void
sign_in_again(struct vault *v, const struct ipc_sign_in *m)
{
	char login[SESSION_LOGIN_MAX + 1];
	struct session_mark mark, now;
	const struct book_entry *user = NULL;
	int64_t until;

	vault_refresh(v);
	if (sessions_find(v->sessions, m->secret, loop_wall_ms(), login, &mark, &until))
		user = book_login(&v->book, str_of(login));
	if (user)
		session_mark(user->hash, &now);
	if (!user && (user = vault_app_password(v, m->secret))) {
		answer(v, m->ask, CHECKED_OK, user, "", 0);
		return;
	}
	if (user && !user->is_suspended &&
		CRYPTO_memcmp(mark.octets, now.octets, SESSION_MARK) == 0)
		answer(v, m->ask, CHECKED_OK, user, "", until);
	else
		answer(v, m->ask, CHECKED_REFUSED, NULL, "", 0);
}

static void
sign_in_by_password(struct vault *v, const struct ipc_sign_in *m)
{
	struct hash_job job = { .ask = m->ask,
		.peer = PEER_WEB,
		.peer_generation = v->web_generation,
		.begins_session = m->how == SIGN_IN_BEGIN };
	const struct book_entry *user;

	switch (vault_check(v, &job, m->login, m->secret, m->client, &user)) {
	case VAULT_RIGHT:
		answer_right(v, m->ask, job.begins_session, user);
		break;
	case VAULT_BUSY:
		answer(v, m->ask, CHECKED_LATER, NULL, "", 0);
		break;
	case VAULT_ASKED:
		break;
	}
}

void
visit_hashed(struct vault *v, const struct hash_job *job, const struct book_entry *user)
{
	if (job->peer_generation != v->web_generation)
		return;
	if (user)
		answer_right(v, job->ask, job->begins_session, user);
	else
		answer(v, job->ask, CHECKED_REFUSED, NULL, "", 0);
}

void
visit_sign_in(struct vault *v, const struct ipc_sign_in *m)
{
	switch (m->how) {
	case SIGN_IN_BEGIN:
	case SIGN_IN_ONCE:
		sign_in_by_password(v, m);
		break;
	case SIGN_IN_AGAIN:
		sign_in_again(v, m);
		break;
	case SIGN_IN_END:
		sessions_end(v->sessions, m->secret);
		answer(v, m->ask, CHECKED_REFUSED, NULL, "", 0);
		break;
	default:
		answer(v, m->ask, CHECKED_REFUSED, NULL, "", 0);
		break;
	}
}
