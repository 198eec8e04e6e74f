/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/users.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/must.h"
#include "role/state.h"

/*
 * One connection, values only as bound parameters. journal_mode=TRUNCATE and synchronous=FULL: a
 * change that a command has reported survives a power cut, and the role, which only reads, needs no
 * files beside the one. PRAGMA data_version moves when another connection has committed: this is
 * how the role learns of a change.
 */

struct users {
	sqlite3 *db;
	int64_t version; /* of what was loaded last */
};

enum { SCHEMA = 2, BUSY_MS = 1000 };

static const char schema[] =
	"CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL,"
	" suspended INTEGER NOT NULL DEFAULT 0) STRICT;"
	"CREATE TABLE aliases (id INTEGER PRIMARY KEY, name TEXT NOT NULL, target TEXT NOT NULL,"
	" UNIQUE (name, target)) STRICT;";

/* What version 2 has besides: passwords for programs, gone with their user. */
static const char schema_2[] = "CREATE TABLE app_passwords (digest TEXT PRIMARY KEY, name TEXT NOT "
			       "NULL, label TEXT NOT NULL,"
			       " UNIQUE (name, label)) STRICT;"
			       "CREATE TRIGGER user_gone AFTER DELETE ON users"
			       " BEGIN DELETE FROM app_passwords WHERE name = OLD.name; END;"
			       "PRAGMA user_version = 2;";

static bool
fail(struct users *u, struct err *e)
{
	return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s: %s", sqlite3_db_filename(u->db, NULL),
		sqlite3_errmsg(u->db));
}

/* ── statements ── */

/* Prepared, with up to three texts bound to ?1 ?2 ?3. NULL with e. */
static sqlite3_stmt *
statement(struct users *u, const char *sql, const struct str *texts, int n, struct err *e)
{
	sqlite3_stmt *s = NULL;

	if (sqlite3_prepare_v2(u->db, sql, -1, &s, NULL) != SQLITE_OK) {
		fail(u, e);
		return NULL;
	}
	for (int i = 0; i < n; i++)
		if (sqlite3_bind_text64(s, i + 1, texts[i].p ? texts[i].p : "", texts[i].n,
			    SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK) {
			fail(u, e);
			sqlite3_finalize(s);
			return NULL;
		}
	return s;
}

static struct str
column(sqlite3_stmt *s, int i)
{
	const char *p = (const char *)sqlite3_column_text(s, i);

	return (struct str){ p, p ? (size_t)sqlite3_column_bytes(s, i) : 0 };
}

/* One change; *found: it met a row. */
static bool
change(struct users *u, const char *sql, const struct str *texts, int n, bool *found, struct err *e)
{
	sqlite3_stmt *s = statement(u, sql, texts, n, e);
	bool good = s && sqlite3_step(s) == SQLITE_DONE;

	if (s && !good)
		fail(u, e);
	*found = good && sqlite3_changes(u->db) > 0;
	sqlite3_finalize(s);
	return good;
}

static bool
number(struct users *u, const char *sql, int64_t *value, struct err *e)
{
	sqlite3_stmt *s = statement(u, sql, NULL, 0, e);
	bool good = s && sqlite3_step(s) == SQLITE_ROW;

	if (good)
		*value = sqlite3_column_int64(s, 0);
	else if (s)
		fail(u, e);
	sqlite3_finalize(s);
	return good;
}

/* ── opening ── */

/* Made by us, so that it is never readable for others. */
static bool
create_file(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 && errno == EACCES)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"%s: you may not read it: run this as root, or as the station's user",
			path);
	if (fd < 0)
		return errno == EEXIST || err_set_errno(e, "%s: cannot be made", path);
	close(fd);
	return true;
}

static bool
prepare(struct users *u, struct err *e)
{
	int64_t version = 0;

	sqlite3_busy_timeout(u->db, BUSY_MS);
	if (sqlite3_exec(u->db,
		    "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
		    NULL, NULL, NULL) != SQLITE_OK ||
		!number(u, "PRAGMA user_version", &version, e))
		return fail(u, e);
	if (version > SCHEMA)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"%s was written by a newer posthouse; install that one",
			sqlite3_db_filename(u->db, NULL));
	if ((version == 0 && sqlite3_exec(u->db, schema, NULL, NULL, NULL) != SQLITE_OK) ||
		(version < SCHEMA &&
			sqlite3_exec(u->db, schema_2, NULL, NULL, NULL) != SQLITE_OK) ||
		sqlite3_exec(u->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		return fail(u, e);
	return true;
}

/* A command run as root does as the owner of the accounts would, or the role could not write what root has made. */
static bool
become_owner(const char *directory, struct err *e)
{
	struct stat st;

	if (geteuid() != 0 || stat(directory, &st) != 0 || st.st_uid == 0)
		return true;
	return (setgroups(0, NULL) == 0 && setresgid(st.st_gid, st.st_gid, st.st_gid) == 0 &&
		       setresuid(st.st_uid, st.st_uid, st.st_uid) == 0) ||
	       err_set_errno(e, "%s: cannot become its owner", directory);
}

bool
users_open(struct users **u, struct str state, bool create, struct err *e)
{
	char directory[STATE_PATH_MAX], path[STATE_PATH_MAX + 16];
	struct stat st;

	*u = NULL;
	snprintf(directory, sizeof directory, "%.*s", STR_ARG(state));
	if (create && mkdir(directory, 0711) != 0 && errno != EEXIST)
		return err_set_errno(e, "%s: cannot be made", directory);
	if (access(directory, F_OK) == 0 && !state_make_vault(state, e))
		return false;
	state_vault(state, directory);
	if (!become_owner(directory, e))
		return false;
	snprintf(path, sizeof path, "%s/users.db", directory);
	if (create && !create_file(path, e))
		return false;
	if (stat(path, &st) != 0)
		return errno == ENOENT ? err_set(e, ERR_PERMANENT, ERR_LOCAL,
						 "%s: nobody is here yet; begin with `posthouse "
						 "user add NAME@DOMAIN`",
						 path)
				       : err_set_errno(e, "%s", path);
	*u = calloc(1, sizeof **u);
	must(*u);
	(*u)->version = -1;
	if (sqlite3_open_v2(path, &(*u)->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		fail(*u, e);
	else if (prepare(*u, e))
		return true;
	users_close(u);
	return false;
}

void
users_close(struct users **u)
{
	if (!*u)
		return;
	sqlite3_close((*u)->db);
	free(*u);
	*u = NULL;
}

/* ── reading ── */

bool
users_changed(struct users *u)
{
	struct err ignored;
	int64_t version;

	return number(u, "PRAGMA data_version", &version, &ignored) && version != u->version;
}

static bool
each_row(struct users *u, const char *sql, void (*row)(void *owner, sqlite3_stmt *s), void *owner,
	struct err *e)
{
	sqlite3_stmt *s = statement(u, sql, NULL, 0, e);
	int result = SQLITE_ERROR;

	while (s && (result = sqlite3_step(s)) == SQLITE_ROW)
		row(owner, s);
	if (s && result != SQLITE_DONE)
		fail(u, e);
	sqlite3_finalize(s);
	return result == SQLITE_DONE;
}

static void
load_user(void *owner, sqlite3_stmt *s)
{
	book_add_mailbox(owner, column(s, 0), column(s, 1), sqlite3_column_int(s, 2) != 0);
}

static void
load_alias(void *owner, sqlite3_stmt *s)
{
	book_add_alias(owner, column(s, 0), column(s, 1));
}

bool
users_load(struct users *u, struct book *b, struct err *e)
{
	int64_t version;
	bool good;

	/* One transaction: what is read is one state, and no newer than the version noted. */
	if (sqlite3_exec(u->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
		return fail(u, e);
	good = each_row(
		       u, "SELECT name, hash, suspended FROM users ORDER BY id", load_user, b, e) &&
	       each_row(u, "SELECT name, target FROM aliases ORDER BY id", load_alias, b, e) &&
	       number(u, "PRAGMA data_version", &version, e);
	if (good)
		u->version = version;
	sqlite3_exec(u->db, "COMMIT", NULL, NULL, NULL);
	return good;
}

struct lister {
	void (*row)(void *owner, const struct users_row *r);
	void *owner;
};

static void
list_user(void *owner, sqlite3_stmt *s)
{
	const struct lister *l = owner;

	l->row(l->owner, &(struct users_row){ .name = column(s, 0),
				 .is_suspended = sqlite3_column_int(s, 1) != 0 });
}

static void
list_alias(void *owner, sqlite3_stmt *s)
{
	const struct lister *l = owner;

	l->row(l->owner, &(struct users_row){ .name = column(s, 0), .value = column(s, 1) });
}

bool
users_list(struct users *u, void (*row)(void *owner, const struct users_row *r), void *owner,
	struct err *e)
{
	struct lister l = { row, owner };

	return each_row(u, "SELECT name, suspended FROM users ORDER BY name", list_user, &l, e);
}

bool
users_list_aliases(struct users *u, void (*row)(void *owner, const struct users_row *r),
	void *owner, struct err *e)
{
	struct lister l = { row, owner };

	return each_row(u, "SELECT name, target FROM aliases ORDER BY name, id", list_alias, &l, e);
}

bool
users_list_app_passwords(struct users *u, void (*row)(void *owner, const struct users_row *r),
	void *owner, struct err *e)
{
	struct lister l = { row, owner };

	return each_row(
		u, "SELECT name, label FROM app_passwords ORDER BY name, label", list_alias, &l, e);
}

bool
users_app_password(struct users *u, struct str digest, struct buf *name)
{
	struct err ignored;
	sqlite3_stmt *s = statement(
		u, "SELECT name FROM app_passwords WHERE digest = ?1", &digest, 1, &ignored);
	bool found = s && sqlite3_step(s) == SQLITE_ROW;

	if (found)
		buf_add(name, column(s, 0));
	sqlite3_finalize(s);
	return found;
}

/* ── changes ── */

bool
users_add(struct users *u, struct str name, struct str hash, bool *found, struct err *e)
{
	bool is_new;

	if (!change(u, "INSERT INTO users (name, hash) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
		    (struct str[]){ name, hash }, 2, &is_new, e))
		return false;
	*found = !is_new;
	return true;
}

bool
users_set_hash(struct users *u, struct str name, struct str hash, bool *found, struct err *e)
{
	return change(u, "UPDATE users SET hash = ?2 WHERE name = ?1", (struct str[]){ name, hash },
		2, found, e);
}

bool
users_set_suspended(struct users *u, struct str name, bool is_suspended, bool *found, struct err *e)
{
	return change(u,
		is_suspended ? "UPDATE users SET suspended = 1 WHERE name = ?1"
			     : "UPDATE users SET suspended = 0 WHERE name = ?1",
		&name, 1, found, e);
}

bool
users_remove(struct users *u, struct str name, bool *found, struct err *e)
{
	return change(u, "DELETE FROM users WHERE name = ?1", &name, 1, found, e);
}

bool
users_add_alias(struct users *u, struct str name, struct str to, bool *found, struct err *e)
{
	bool is_new;

	if (!change(u, "INSERT INTO aliases (name, target) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
		    (struct str[]){ name, to }, 2, &is_new, e))
		return false;
	*found = !is_new;
	return true;
}

bool
users_remove_alias(struct users *u, struct str name, struct str to, bool *found, struct err *e)
{
	return change(u, "DELETE FROM aliases WHERE name = ?1 AND (target = ?2 OR ?2 = '')",
		(struct str[]){ name, to }, 2, found, e);
}

bool
users_add_app_password(struct users *u, struct str name, struct str label, struct str digest,
	bool *found, struct err *e)
{
	return change(u,
		"INSERT INTO app_passwords (digest, name, label) SELECT ?3, name, ?2 FROM users "
		"WHERE name = ?1 ON CONFLICT DO NOTHING",
		(struct str[]){ name, label, digest }, 3, found, e);
}

bool
users_remove_app_password(
	struct users *u, struct str name, struct str label, bool *found, struct err *e)
{
	return change(u, "DELETE FROM app_passwords WHERE name = ?1 AND label = ?2",
		(struct str[]){ name, label }, 2, found, e);
}
