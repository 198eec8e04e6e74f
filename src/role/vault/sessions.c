/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/sessions.h"

#include <sys/stat.h>

#include <openssl/evp.h>
#include <sqlite3.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "role/state.h"

enum { SCHEMA = 1, SECRET_OCTETS = 32, HASH_SIZE = 32, A_LOGIN_MOST = 32 };

#define USED_AGAIN_MS (3600 * (int64_t)1000) /* so seldom its use is noted */

static const char schema[] =
	"CREATE TABLE sessions (secret BLOB PRIMARY KEY, login TEXT NOT NULL, mark BLOB NOT NULL,"
	" began INTEGER NOT NULL, used INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE INDEX of_login ON sessions (login, began);"
	"PRAGMA user_version = 1;";

struct sessions {
	sqlite3 *db;
};

static void
digest(struct str text, unsigned char to[HASH_SIZE])
{
	must(EVP_Digest(text.p, text.n, to, NULL, EVP_sha256(), NULL) == 1);
}

void
session_mark(struct str hash, struct session_mark *mark)
{
	digest(hash, mark->octets);
}

static bool
fail(struct sessions *s, struct err *e)
{
	return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s: %s", sqlite3_db_filename(s->db, NULL),
		sqlite3_errmsg(s->db));
}

static sqlite3_stmt *
statement(struct sessions *s, const char *sql)
{
	sqlite3_stmt *made = NULL;

	if (sqlite3_prepare_v2(s->db, sql, -1, &made, NULL) != SQLITE_OK)
		log_event("sessions-failed", "why=%s", log_quote(str_of(sqlite3_errmsg(s->db))));
	return made;
}

/* Runs it; true when it has ended well. */
static bool
finish(sqlite3_stmt *made)
{
	bool good = made && sqlite3_step(made) == SQLITE_DONE;

	sqlite3_finalize(made);
	return good;
}

static void
bind_hash(sqlite3_stmt *made, int place, const unsigned char hash[HASH_SIZE])
{
	sqlite3_bind_blob(made, place, hash, HASH_SIZE, SQLITE_TRANSIENT);
}

static bool
prepare(struct sessions *s, struct err *e)
{
	sqlite3_stmt *made;
	int version = -1;

	if (sqlite3_exec(s->db, "PRAGMA journal_mode = TRUNCATE; PRAGMA secure_delete = ON", NULL,
		    NULL, NULL) != SQLITE_OK)
		return fail(s, e);
	made = statement(s, "PRAGMA user_version");
	if (made && sqlite3_step(made) == SQLITE_ROW)
		version = sqlite3_column_int(made, 0);
	sqlite3_finalize(made);
	if (version > SCHEMA || version < 0)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"%s was written by a newer posthouse; install that one",
			sqlite3_db_filename(s->db, NULL));
	return version == SCHEMA || sqlite3_exec(s->db, schema, NULL, NULL, NULL) == SQLITE_OK ||
	       fail(s, e);
}

bool
sessions_open(struct sessions **s, struct str state, struct err *e)
{
	char directory[STATE_PATH_MAX], path[STATE_PATH_MAX + 16];
	mode_t before = umask(077);
	bool good;

	*s = calloc(1, sizeof **s);
	must(*s);
	snprintf(path, sizeof path, "%s/sessions.db", state_vault(state, directory));
	good = sqlite3_open_v2(path, &(*s)->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) ==
			       SQLITE_OK
		       ? prepare(*s, e)
		       : fail(*s, e);
	umask(before);
	if (!good)
		sessions_close(s);
	return good;
}

void
sessions_close(struct sessions **s)
{
	if (!*s)
		return;
	sqlite3_close((*s)->db);
	free(*s);
	*s = NULL;
}

/* What is over, and what is too much of one login. */
static void
clear_away(struct sessions *s, struct str login, int64_t now_ms)
{
	sqlite3_stmt *made = statement(s, "DELETE FROM sessions WHERE began < ?1 OR used < ?2");

	sqlite3_bind_int64(made, 1, now_ms - SESSION_MOST_MS);
	sqlite3_bind_int64(made, 2, now_ms - SESSION_IDLE_MS);
	finish(made);
	made = statement(s, "DELETE FROM sessions WHERE secret IN"
			    " (SELECT secret FROM sessions WHERE login = ?1 ORDER BY began DESC "
			    "LIMIT -1 OFFSET ?2)");
	sqlite3_bind_text(made, 1, login.p, (int)login.n, SQLITE_STATIC);
	sqlite3_bind_int(made, 2, A_LOGIN_MOST - 1);
	finish(made);
}

/* Base64url of RFC 4648 §5, without padding: it stands in a cookie. */
static void
write_secret(const unsigned char octets[SECRET_OCTETS], char secret[SESSION_SECRET + 1])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (size_t i = 0; i < SESSION_SECRET; i++) {
		unsigned bit = (unsigned)i * 6, at = bit / 8;
		unsigned pair =
			(unsigned)octets[at] << 8 | (at + 1 < SECRET_OCTETS ? octets[at + 1] : 0);

		secret[i] = digits[pair >> (10 - bit % 8) & 63];
	}
	secret[SESSION_SECRET] = 0;
}

bool
sessions_begin(struct sessions *s, struct str login, const struct session_mark *mark,
	int64_t now_ms, char secret[SESSION_SECRET + 1], int64_t *until_ms, struct err *e)
{
	unsigned char octets[SECRET_OCTETS], hash[HASH_SIZE];
	sqlite3_stmt *made;

	clear_away(s, login, now_ms);
	hash_random(octets, sizeof octets);
	write_secret(octets, secret);
	digest((struct str){ secret, SESSION_SECRET }, hash);
	made = statement(s, "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?4)");
	bind_hash(made, 1, hash);
	sqlite3_bind_text(made, 2, login.p, (int)login.n, SQLITE_STATIC);
	bind_hash(made, 3, mark->octets);
	sqlite3_bind_int64(made, 4, now_ms);
	*until_ms = now_ms + SESSION_IDLE_MS;
	return finish(made) || fail(s, e);
}

static void
note_use(struct sessions *s, const unsigned char hash[HASH_SIZE], int64_t now_ms)
{
	sqlite3_stmt *made = statement(s, "UPDATE sessions SET used = ?2 WHERE secret = ?1");

	bind_hash(made, 1, hash);
	sqlite3_bind_int64(made, 2, now_ms);
	finish(made);
}

bool
sessions_find(struct sessions *s, struct str secret, int64_t now_ms,
	char login[SESSION_LOGIN_MAX + 1], struct session_mark *mark, int64_t *until_ms)
{
	unsigned char hash[HASH_SIZE];
	sqlite3_stmt *made;
	int64_t began = 0, used = 0;
	bool found;

	if (secret.n != SESSION_SECRET)
		return false;
	digest(secret, hash);
	made = statement(s, "SELECT login, mark, began, used FROM sessions WHERE secret = ?1");
	bind_hash(made, 1, hash);
	found = made && sqlite3_step(made) == SQLITE_ROW &&
		sqlite3_column_bytes(made, 1) == SESSION_MARK;
	if (found) {
		snprintf(login, SESSION_LOGIN_MAX + 1, "%s",
			(const char *)sqlite3_column_text(made, 0));
		memcpy(mark->octets, sqlite3_column_blob(made, 1), SESSION_MARK);
		began = sqlite3_column_int64(made, 2);
		used = sqlite3_column_int64(made, 3);
	}
	sqlite3_finalize(made);
	if (!found || now_ms - began >= SESSION_MOST_MS || now_ms - used >= SESSION_IDLE_MS)
		return false;
	if (now_ms - used >= USED_AGAIN_MS)
		note_use(s, hash, now_ms);
	*until_ms = now_ms + SESSION_IDLE_MS < began + SESSION_MOST_MS ? now_ms + SESSION_IDLE_MS
								       : began + SESSION_MOST_MS;
	return true;
}

void
sessions_end(struct sessions *s, struct str secret)
{
	unsigned char hash[HASH_SIZE];
	sqlite3_stmt *made = statement(s, "DELETE FROM sessions WHERE secret = ?1");

	digest(secret, hash);
	bind_hash(made, 1, hash);
	finish(made);
}
