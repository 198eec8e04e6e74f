/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "role/reader/box_core.h"

/*
 * The index: one connection, values only as bound parameters. It holds nothing that the Maildir has not, so that
 *
 *   1. its sync may be lazy (WAL, synchronous=NORMAL): a power cut takes it back to an older state, and box_look finds the rest again;
 *   2. a file that is broken, or of another schema, is deleted, and the next one has a new epoch;
 *   3. numbers of states that were lost with it are never given again: each opening begins far behind the last that is known (STATE_LEAP);
 *   4. locking_mode=EXCLUSIVE: one reader a mailbox, no memory shared with anybody.
 *
 * `words` is an FTS5 table without content, of which SQLite 3.40 cannot delete: rows of mails that are gone stay in it, and are joined away.
 * Hence numbers of mails are never used twice, and when there are more dead than alive the index is made anew (index_is_worn).
 */

enum { SCHEMA = 1, STATE_LEAP = 1 << 24, BUSY_MS = 2000, GONE_MAX = 20000, DEAD_MIN = 20000 };

static const char settings[] =
	"PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
	" PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768; PRAGMA mmap_size = 0;"
	" PRAGMA journal_size_limit = 8388608; PRAGMA wal_autocheckpoint = 8000;";

static const char schema[] =
	"CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	"CREATE TABLE folder (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
	"path BLOB NOT NULL,"
	" inode INTEGER NOT NULL, made INTEGER NOT NULL, changed INTEGER NOT NULL, counted INTEGER "
	"NOT NULL,"
	" mtime_new INTEGER NOT NULL DEFAULT 0, mtime_cur INTEGER NOT NULL DEFAULT 0) STRICT;"
	/* `key`: the first octets of the base name's hash, to find a file's row by; `id` is that hash, or a salted one where it was taken. */
	"CREATE TABLE mail (number INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, key "
	"INTEGER NOT NULL,"
	" folder INTEGER NOT NULL, part INTEGER NOT NULL, name BLOB NOT NULL, flags INTEGER NOT "
	"NULL, thread INTEGER NOT NULL,"
	" size INTEGER NOT NULL, received INTEGER NOT NULL, sent INTEGER NOT NULL, attachment "
	"INTEGER NOT NULL,"
	" author TEXT NOT NULL, reader TEXT NOT NULL, subject TEXT NOT NULL,"
	" made INTEGER NOT NULL, changed INTEGER NOT NULL) STRICT;"
	"CREATE INDEX mail_key ON mail (key);"
	"CREATE INDEX mail_folder ON mail (folder, received DESC, number DESC, thread, flags);"
	"CREATE INDEX mail_received ON mail (received DESC, number DESC, thread);"
	"CREATE INDEX mail_thread ON mail (thread, folder, flags);"
	"CREATE INDEX mail_unread ON mail (thread) WHERE flags & 9 = 0;" /* BOX_SEEN | BOX_DRAFT */
	"CREATE INDEX mail_made ON mail (made);"
	"CREATE INDEX mail_changed ON mail (changed);"
	"CREATE TABLE summary (mail INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;"
	"CREATE VIRTUAL TABLE words USING fts5 (author, reader, copied, hidden, subject, body, "
	"content = '', columnsize = 0,"
	" tokenize = 'unicode61 remove_diacritics 2');"
	"CREATE TABLE thread (number INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, "
	"mails INTEGER NOT NULL,"
	" made INTEGER NOT NULL, changed INTEGER NOT NULL) STRICT;"
	"CREATE INDEX thread_made ON thread (made);"
	"CREATE INDEX thread_changed ON thread (changed);"
	"CREATE TABLE reference (hash INTEGER PRIMARY KEY, thread INTEGER NOT NULL) STRICT;"
	"CREATE TABLE gone (state INTEGER PRIMARY KEY, kind INTEGER NOT NULL, id TEXT NOT NULL, "
	"made INTEGER NOT NULL) STRICT;"
	"CREATE TABLE contact (email TEXT PRIMARY KEY COLLATE NOCASE, name TEXT NOT NULL, written "
	"INTEGER NOT NULL, got INTEGER NOT NULL)"
	" WITHOUT ROWID, STRICT;"
	"PRAGMA user_version = 1;";

/* ── statements ── */

/* Whatever a statement of ours cannot do, the transaction is lost, and what lies in memory is ahead of the file: it is opened again. A full disk is not
 * the file's fault. */
void
index_note(struct box *b, int result)
{
	result &= 0xff;
	if (result == SQLITE_OK || result == SQLITE_ROW || result == SQLITE_DONE)
		return;
	if (!b->is_broken)
		log_event("index-broken", "why=%s",
			log_quote(str_of(b->db ? sqlite3_errmsg(b->db) : "")));
	b->is_broken = true;
	b->is_spoiled |= result != SQLITE_FULL && result != SQLITE_IOERR && result != SQLITE_BUSY;
}

static sqlite3_stmt *
kept_statement(struct box *b, const char *sql)
{
	sqlite3_stmt *s = NULL;
	size_t i = 0;

	if (!b->db || b->is_broken)
		return NULL;
	while (i < b->statements_n && b->statements[i].sql != sql)
		i++;
	if (i < b->statements_n)
		return b->statements[i].statement;
	must(i < BOX_STATEMENTS);
	index_note(b, sqlite3_prepare_v3(b->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL));
	if (!s)
		return NULL;
	b->statements[i].sql = sql;
	b->statements[i].statement = s;
	b->statements_n++;
	return s;
}

static sqlite3_stmt *
ask(struct box *b, const char *sql, const char *kinds, va_list values)
{
	sqlite3_stmt *s = kept_statement(b, sql);

	if (!s)
		return NULL;
	sqlite3_reset(s);
	for (int i = 1; kinds[i - 1]; i++)
		if (kinds[i - 1] == 'i') {
			sqlite3_bind_int64(s, i, va_arg(values, int64_t));
		} else {
			struct str text = va_arg(values, struct str);

			if (kinds[i - 1] == 't')
				sqlite3_bind_text64(s, i, text.n ? text.p : "", text.n,
					SQLITE_TRANSIENT, SQLITE_UTF8);
			else
				sqlite3_bind_blob64(
					s, i, text.n ? text.p : "", text.n, SQLITE_TRANSIENT);
		}
	return s;
}

sqlite3_stmt *
index_ask(struct box *b, const char *sql, const char *kinds, ...)
{
	sqlite3_stmt *s;
	va_list values;

	va_start(values, kinds);
	s = ask(b, sql, kinds, values);
	va_end(values);
	return s;
}

bool
index_next(struct box *b, sqlite3_stmt *s)
{
	int result = s ? sqlite3_step(s) : SQLITE_DONE;

	if (result == SQLITE_ROW)
		return true;
	index_note(b, result);
	index_done(s);
	return false;
}

void
index_done(sqlite3_stmt *s)
{
	if (s)
		sqlite3_reset(s);
}

bool
index_do(struct box *b, const char *sql, const char *kinds, ...)
{
	int result = SQLITE_ERROR;
	sqlite3_stmt *s;
	va_list values;

	va_start(values, kinds);
	s = ask(b, sql, kinds, values);
	va_end(values);
	if (s) {
		result = sqlite3_step(s);
		index_note(b, result);
		index_done(s);
	}
	return result == SQLITE_DONE;
}

int64_t
index_number(struct box *b, const char *sql, const char *kinds, ...)
{
	int64_t value = -1;
	sqlite3_stmt *s;
	va_list values;

	va_start(values, kinds);
	s = ask(b, sql, kinds, values);
	va_end(values);
	if (index_next(b, s)) {
		value = sqlite3_column_int64(s, 0);
		index_done(s);
	}
	return value;
}

struct str
index_text(sqlite3_stmt *s, int column)
{
	const char *p = (const char *)sqlite3_column_text(s, column);

	return (struct str){ p, p ? (size_t)sqlite3_column_bytes(s, column) : 0 };
}

struct str
index_octets(sqlite3_stmt *s, int column)
{
	const char *p = sqlite3_column_blob(s, column);

	return (struct str){ p, p ? (size_t)sqlite3_column_bytes(s, column) : 0 };
}

/* ── opening ── */

static bool
run(struct box *b, const char *sql)
{
	int result = sqlite3_exec(b->db, sql, NULL, NULL, NULL);

	index_note(b, result);
	return result == SQLITE_OK;
}

static void
load_meta(struct box *b)
{
	struct {
		const char *name;
		int64_t *value;
	} const rows[] = { { "state", &b->state }, { "mails", &b->states[BOX_MAILS] },
		{ "folders", &b->states[BOX_FOLDERS] }, { "threads", &b->states[BOX_THREADS] },
		{ "forgotten", &b->forgotten }, { "dead", &b->dead } };
	int64_t whole = index_number(b, "SELECT value FROM meta WHERE name = 'whole'", "");
	sqlite3_stmt *s = index_ask(b, "SELECT value FROM meta WHERE name = 'epoch'", "");

	b->is_whole = whole > 0;
	b->epoch[0] = 0;
	if (index_next(b, s)) {
		snprintf(b->epoch, sizeof b->epoch, "%.*s", STR_ARG(index_text(s, 0)));
		index_done(s);
	}
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		*rows[i].value = index_number(
			b, "SELECT value FROM meta WHERE name = ?1", "t", str_of(rows[i].name));
		if (*rows[i].value < 0)
			*rows[i].value = 0;
	}
	b->state += STATE_LEAP;
}

static void
write_meta(struct box *b)
{
	const struct {
		const char *name;
		int64_t value;
	} rows[] = { { "state", b->state }, { "mails", b->states[BOX_MAILS] },
		{ "folders", b->states[BOX_FOLDERS] }, { "threads", b->states[BOX_THREADS] },
		{ "forgotten", b->forgotten }, { "dead", b->dead }, { "whole", b->is_whole } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		index_do(b, "INSERT OR REPLACE INTO meta VALUES (?1, ?2)", "ti",
			str_of(rows[i].name), rows[i].value);
}

static bool
make_schema(struct box *b)
{
	uint64_t random;

	hash_random(&random, sizeof random);
	snprintf(b->epoch, sizeof b->epoch, "%016llx", (unsigned long long)random);
	return run(b, "BEGIN") && run(b, schema) &&
	       index_do(b, "INSERT INTO meta VALUES ('epoch', ?1)", "t", str_of(b->epoch)) &&
	       run(b, "COMMIT");
}

/* More dead rows in `words` than living ones make searches slow. */
static bool
index_is_worn(struct box *b)
{
	return b->dead > DEAD_MIN && b->dead > index_number(b, "SELECT count(*) FROM summary", "");
}

/* A directory, a link: somebody's mistake, and no index. */
static bool
is_no_file(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* False, *again: what is there is of no use, and is to be deleted. */
static bool
open_file(struct box *b, const char *path, bool *again, struct err *e)
{
	int64_t version;
	int result = sqlite3_open_v2(path, &b->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL);

	b->is_broken = b->is_spoiled = false;
	if (result == SQLITE_OK) {
		sqlite3_busy_timeout(b->db, BUSY_MS);
		result = query_open(b) ? sqlite3_exec(b->db, settings, NULL, NULL, NULL)
				       : SQLITE_NOMEM;
	}
	*again = result == SQLITE_CORRUPT || result == SQLITE_NOTADB ||
		 (result == SQLITE_CANTOPEN && is_no_file(path));
	if (result != SQLITE_OK)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s: %s", path, sqlite3_errmsg(b->db));
	version = index_number(b, "PRAGMA user_version", "");
	if (version == 0 && !b->is_broken && !make_schema(b))
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s: %s", path, sqlite3_errmsg(b->db));
	load_meta(b);
	*again = b->is_broken || (version != 0 && version != SCHEMA) || index_is_worn(b) ||
		 !*b->epoch;
	return !*again || err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s: cannot be made", path);
}

static const char *
index_path(const struct box *b, const char *tail, char path[BOX_PATH_MAX])
{
	snprintf(path, BOX_PATH_MAX, "%s/posthouse/index.db%s", b->path, tail);
	return path;
}

void
index_delete(struct box *b)
{
	static const char *const tails[] = { "", "-wal", "-shm", "-journal" };
	char path[BOX_PATH_MAX];

	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
		if (unlink(index_path(b, tails[i], path)) != 0 && errno == EISDIR)
			rmdir(path);
}

bool
index_open(struct box *b, struct err *e)
{
	char path[BOX_PATH_MAX];
	bool again = true;

	snprintf(path, sizeof path, "%s/posthouse", b->path);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_set_errno(e, "%s: cannot be made", path);
	for (int turn = 0; turn < 2 && again; turn++) {
		if (open_file(b, index_path(b, "", path), &again, e))
			return true;
		index_close(b);
		if (again)
			index_delete(b);
	}
	return false;
}

void
index_close(struct box *b)
{
	for (size_t i = 0; i < b->statements_n; i++)
		sqlite3_finalize(b->statements[i].statement);
	b->statements_n = 0;
	sqlite3_close(b->db);
	b->db = NULL;
	b->depth = 0;
}

/* ── transactions and states ── */

void
box_begin(struct box *b)
{
	if (b->depth++ == 0 && b->db)
		run(b, "BEGIN");
}

void
box_end(struct box *b)
{
	must(b->depth > 0);
	if (--b->depth > 0 || !b->db || b->is_broken)
		return;
	folders_write(b);
	write_meta(b);
	if (!b->is_broken)
		run(b, "COMMIT");
}

int64_t
index_change(struct box *b, enum box_kind kind)
{
	b->states[kind] = ++b->state;
	return b->state;
}

void
index_gone(struct box *b, enum box_kind kind, struct str id, int64_t made)
{
	int64_t state = index_change(b, kind);

	index_do(b, "INSERT INTO gone VALUES (?1, ?2, ?3, ?4)", "iiti", state, (int64_t)kind, id,
		made);
	if (kind != BOX_MAILS || b->dead % 1024 != 0)
		return;
	state = index_number(b, "SELECT state FROM gone ORDER BY state DESC LIMIT 1 OFFSET ?1", "i",
		(int64_t)GONE_MAX);
	if (state > b->forgotten) {
		index_do(b, "DELETE FROM gone WHERE state <= ?1", "i", state);
		b->forgotten = state;
	}
}
