/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/codec.h"
#include "base/must.h"

/*
 * Each kind counts its changes; an object has the number of the change that made it and of its newest one. What was removed leaves a
 * row in `gone`, the newest GONE_MAX of a kind: a state from before the oldest that was forgotten is of no use any more.
 *
 * A state is "EPOCH-NUMBER". The epoch is drawn when the file is made, so that a state from a lost file is not taken for one of this.
 *
 * synchronous=FULL and a journal that is truncated: what was told to be kept survives a power cut.
 */

enum { SCHEMA = 1, BUSY_MS = 1000, GONE_MAX = 5000, EPOCH_DIGITS = 16, PATH_ROOM = 4096 };

struct kept {
	sqlite3 *db;
	char epoch[EPOCH_DIGITS + 1];
};

static const char schema[] = "CREATE TABLE epoch (text TEXT NOT NULL) STRICT;"
			     "CREATE TABLE kind (kind INTEGER PRIMARY KEY, changes INTEGER NOT "
			     "NULL DEFAULT 0, forgotten INTEGER NOT NULL DEFAULT 0) STRICT;"
			     "CREATE TABLE object (kind INTEGER NOT NULL, id TEXT NOT NULL, "
			     "created INTEGER NOT NULL, changed INTEGER NOT NULL,"
			     " json TEXT NOT NULL, PRIMARY KEY (kind, id)) STRICT;"
			     "CREATE INDEX object_created ON object (kind, created);"
			     "CREATE INDEX object_changed ON object (kind, changed);"
			     "CREATE TABLE gone (kind INTEGER NOT NULL, changed INTEGER NOT NULL, "
			     "created INTEGER NOT NULL, id TEXT NOT NULL,"
			     " PRIMARY KEY (kind, changed)) STRICT;"
			     "PRAGMA user_version = 1;";

/* Of one mail there are few submissions among many. A file that an older posthouse made has no such index yet. */
static const char index_of_mails[] = "CREATE INDEX IF NOT EXISTS object_mail ON object (kind, "
				     "json_extract(json, '$.emailId'))";

/* Clients read this too: no path of the server in it. */
static bool
fail(struct kept *k, struct err *e)
{
	return err_set(e, ERR_TEMPORARY,
		sqlite3_errcode(k->db) == SQLITE_FULL ? ERR_NO_SPACE : ERR_LOCAL,
		"what the mailbox keeps (kept.db): %s", sqlite3_errmsg(k->db));
}

/* ── statements: ?1 is the kind, ?2 an id, ?3 a text, ?4 a number ── */

struct values {
	enum kept_kind kind;
	struct str id, text;
	int64_t number;
};

static void
bind_text(sqlite3_stmt *s, int at, struct str text)
{
	if (at <= sqlite3_bind_parameter_count(s))
		must(sqlite3_bind_text64(s, at, text.p ? text.p : "", text.n, SQLITE_STATIC,
			     SQLITE_UTF8) == SQLITE_OK);
}

static sqlite3_stmt *
statement(struct kept *k, const char *sql, const struct values *v)
{
	sqlite3_stmt *s = NULL;

	if (sqlite3_prepare_v2(k->db, sql, -1, &s, NULL) != SQLITE_OK)
		return NULL;
	if (sqlite3_bind_parameter_count(s) >= 1)
		sqlite3_bind_int64(s, 1, v->kind);
	bind_text(s, 2, v->id);
	bind_text(s, 3, v->text);
	if (sqlite3_bind_parameter_count(s) >= 4)
		sqlite3_bind_int64(s, 4, v->number);
	return s;
}

static bool
change(struct kept *k, const char *sql, const struct values *v)
{
	sqlite3_stmt *s = statement(k, sql, v);
	bool good = s && sqlite3_step(s) == SQLITE_DONE;

	sqlite3_finalize(s);
	return good;
}

/* The first column of the first row; `otherwise` where there is none. */
static int64_t
number(struct kept *k, const char *sql, const struct values *v, int64_t otherwise)
{
	sqlite3_stmt *s = statement(k, sql, v);

	if (s && sqlite3_step(s) == SQLITE_ROW)
		otherwise = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return otherwise;
}

static struct str
text_of_column(sqlite3_stmt *s, int at)
{
	const char *p = (const char *)sqlite3_column_text(s, at);

	return (struct str){ p, p ? (size_t)sqlite3_column_bytes(s, at) : 0 };
}

static bool
column(sqlite3_stmt *s, int at, struct arena *arena, struct str *to)
{
	return arena_dup(arena, text_of_column(s, at), to);
}

static bool
run(struct kept *k, const char *sql)
{
	return sqlite3_exec(k->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* ── opening ── */

static bool
draw_epoch(struct kept *k)
{
	char text[MAIL_ID_TEXT];

	mail_id_text(mail_id_random(), text);
	for (int kind = 0; kind < KEPT_KINDS; kind++)
		if (!change(k, "INSERT INTO kind (kind) VALUES (?1)",
			    &(struct values){ .kind = (enum kept_kind)kind }))
			return false;
	return change(k, "INSERT INTO epoch VALUES (?3)",
		&(struct values){ .text = str_part(str_of(text), 0, EPOCH_DIGITS) });
}

static bool
read_epoch(struct kept *k)
{
	sqlite3_stmt *s = statement(k, "SELECT text FROM epoch", &(struct values){ 0 });
	bool good = s && sqlite3_step(s) == SQLITE_ROW;

	if (good)
		snprintf(k->epoch, sizeof k->epoch, "%s", (const char *)sqlite3_column_text(s, 0));
	sqlite3_finalize(s);
	return good;
}

static bool
prepare(struct kept *k, struct err *e)
{
	int64_t version;

	sqlite3_busy_timeout(k->db, BUSY_MS);
	if (!run(k, "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; BEGIN IMMEDIATE"))
		return fail(k, e);
	version = number(k, "PRAGMA user_version", &(struct values){ 0 }, 0);
	if (version > SCHEMA)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"%s was written by a newer posthouse; install that one",
			sqlite3_db_filename(k->db, NULL));
	if (version == 0 && (!run(k, schema) || !draw_epoch(k)))
		return fail(k, e);
	return (run(k, index_of_mails) && run(k, "COMMIT") && read_epoch(k)) || fail(k, e);
}

bool
kept_open(struct kept **k, struct str directory, struct err *e)
{
	char path[PATH_ROOM];
	int n = snprintf(path, sizeof path, "%.*s/posthouse", STR_ARG(directory));

	*k = NULL;
	if (n < 0 || (size_t)n >= sizeof path - sizeof "/kept.db")
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "the path of the mailbox is too long");
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_set_errno(e, "%s: cannot be made", path);
	snprintf(path + n, sizeof path - (size_t)n, "/kept.db");
	*k = calloc(1, sizeof **k);
	must(*k);
	if (sqlite3_open_v2(path, &(*k)->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
		SQLITE_OK)
		fail(*k, e);
	else if (prepare(*k, e))
		return true;
	kept_close(k);
	return false;
}

void
kept_close(struct kept **k)
{
	if (!*k)
		return;
	sqlite3_close((*k)->db);
	free(*k);
	*k = NULL;
}

/* ── states ── */

static int64_t
changes_of(struct kept *k, enum kept_kind kind)
{
	return number(
		k, "SELECT changes FROM kind WHERE kind = ?1", &(struct values){ .kind = kind }, 0);
}

static void
state_text(const struct kept *k, int64_t changes, char state[KEPT_STATE])
{
	snprintf(state, KEPT_STATE, "%s-%lld", k->epoch, (long long)changes);
}

void
kept_state(struct kept *k, enum kept_kind kind, char state[KEPT_STATE])
{
	state_text(k, changes_of(k, kind), state);
}

static bool
state_read(struct kept *k, enum kept_kind kind, struct str state, int64_t *since)
{
	struct str epoch, digits;
	uint64_t n;

	if (!str_cut(state, '-', &epoch, &digits) || !str_eq(epoch, str_of(k->epoch)) ||
		!scan_u64(&digits, &n) || digits.n || n > INT64_MAX)
		return false;
	*since = (int64_t)n;
	return *since <= changes_of(k, kind) &&
	       *since >= number(k, "SELECT forgotten FROM kind WHERE kind = ?1",
				 &(struct values){ .kind = kind }, INT64_MAX);
}

/* ── objects ── */

static bool
end_change(struct kept *k, bool good, struct err *e)
{
	if (good && run(k, "COMMIT"))
		return true;
	fail(k, e);
	run(k, "ROLLBACK");
	return false;
}

static bool
count_change(struct kept *k, const struct values *v)
{
	return change(k, "UPDATE kind SET changes = changes + 1 WHERE kind = ?1", v);
}

/* Out of the objects, and noted as gone; too many of those: the oldest are forgotten. */
static bool
take_away(struct kept *k, const struct values *v)
{
	/* clang-format off */
	static const char *const steps[] = {
		"UPDATE kind SET changes = changes + 1 WHERE kind = ?1",
		("INSERT INTO gone SELECT o.kind, k.changes, o.created, o.id FROM object o JOIN kind k ON k.kind = o.kind"
		 " WHERE o.kind = ?1 AND o.id = ?2"),
		"DELETE FROM object WHERE kind = ?1 AND id = ?2",
		("UPDATE kind SET forgotten = max(forgotten, coalesce((SELECT changed FROM gone WHERE kind = ?1"
		 " ORDER BY changed DESC LIMIT 1 OFFSET ?4), 0)) WHERE kind = ?1"),
		"DELETE FROM gone WHERE kind = ?1 AND changed <= (SELECT forgotten FROM kind WHERE kind = ?1)",
	};
	/* clang-format on */

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		if (!change(k, steps[i], v))
			return false;
	return true;
}

/* The oldest object goes where there are too many. */
static bool
keep_room(struct kept *k, enum kept_kind kind)
{
	struct values v = { .kind = kind, .number = GONE_MAX };
	struct arena arena = { .max = 4096 };
	sqlite3_stmt *s;
	bool good = true;

	if (number(k, "SELECT count(*) FROM object WHERE kind = ?1", &v, 0) <= KEPT_OBJECTS_MAX)
		return true;
	s = statement(k, "SELECT id FROM object WHERE kind = ?1 ORDER BY created LIMIT 1", &v);
	good = s && sqlite3_step(s) == SQLITE_ROW && column(s, 0, &arena, &v.id);
	sqlite3_finalize(s);
	good = good && take_away(k, &v);
	arena_free(&arena);
	return good;
}

static bool
draw_id(enum kept_kind kind, struct arena *arena, struct str *id)
{
	char hex[MAIL_ID_TEXT], text[MAIL_ID_TEXT + 1];

	snprintf(text, sizeof text, "%c%s", kind == KEPT_IDENTITY ? 'I' : 'S',
		mail_id_text(mail_id_random(), hex));
	return arena_dup(arena, str_of(text), id);
}

bool
kept_put(struct kept *k, enum kept_kind kind, struct str *id, struct str json, struct arena *arena,
	struct err *e)
{
	struct values v = { .kind = kind, .text = json };

	if (!id->n && !draw_id(kind, arena, id))
		return err_set(e, ERR_TEMPORARY, ERR_OVERLOAD, "no memory for an id");
	v.id = *id;
	if (!run(k, "BEGIN IMMEDIATE"))
		return fail(k, e);
	return end_change(k,
		count_change(k, &v) &&
			change(k,
				"INSERT INTO object SELECT kind, ?2, changes, changes, ?3 FROM "
				"kind WHERE kind = ?1"
				" ON CONFLICT (kind, id) DO UPDATE SET changed = excluded.changed, "
				"json = excluded.json",
				&v) &&
			keep_room(k, kind),
		e);
}

bool
kept_get(struct kept *k, enum kept_kind kind, struct str id, struct arena *arena, struct str *json)
{
	sqlite3_stmt *s = statement(k, "SELECT json FROM object WHERE kind = ?1 AND id = ?2",
		&(struct values){ .kind = kind, .id = id });
	bool found = s && sqlite3_step(s) == SQLITE_ROW && column(s, 0, arena, json);

	sqlite3_finalize(s);
	return found;
}

bool
kept_remove(struct kept *k, enum kept_kind kind, struct str id, struct err *e)
{
	struct values v = { .kind = kind, .id = id, .number = GONE_MAX };

	if (!number(k, "SELECT count(*) FROM object WHERE kind = ?1 AND id = ?2", &v, 0))
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "there is none of this id");
	if (!run(k, "BEGIN IMMEDIATE"))
		return fail(k, e);
	return end_change(k, take_away(k, &v), e);
}

size_t
kept_list(struct kept *k, enum kept_kind kind, struct arena *arena, struct str **ids)
{
	struct values v = { .kind = kind };
	size_t most = (size_t)number(k, "SELECT count(*) FROM object WHERE kind = ?1", &v, 0),
	       n = 0;
	sqlite3_stmt *s =
		statement(k, "SELECT id FROM object WHERE kind = ?1 ORDER BY created DESC", &v);

	*ids = arena_take(arena, (most + 1) * sizeof **ids);
	while (*ids && s && n < most && sqlite3_step(s) == SQLITE_ROW &&
		column(s, 0, arena, &(*ids)[n]))
		n++;
	sqlite3_finalize(s);
	return n;
}

void
kept_walk_begin(struct kept *k, enum kept_kind kind, struct str mails, struct kept_walk *w)
{
	struct values v = { .kind = kind, .text = mails };

	w->statement = statement(k,
		mails.n ? "SELECT id, json FROM object INDEXED BY object_mail WHERE kind = ?1 AND "
			  "json_extract(json, '$.emailId') IN (SELECT value FROM json_each(?3)) "
			  "ORDER BY created DESC"
			: "SELECT id, json FROM object WHERE kind = ?1 ORDER BY created DESC",
		&v);
}

bool
kept_walk_next(struct kept_walk *w, struct str *id, struct str *json)
{
	if (!w->statement || sqlite3_step(w->statement) != SQLITE_ROW)
		return false;
	*id = text_of_column(w->statement, 0);
	*json = text_of_column(w->statement, 1);
	return true;
}

void
kept_walk_end(struct kept_walk *w)
{
	sqlite3_finalize(w->statement);
	w->statement = NULL;
}

/* ── changes ── */

/*
 * What happened since, in the order of `at`. What was made and changed since is told as made, at the moment when it was made: a client that is
 * told only a part of the changes hears of the change in a later one. What was made and removed since is not told at all.
 */
static const char changes_sql[] =
	"SELECT id, created > ?4, 0 AS is_gone, iif(created > ?4, created, changed) AS at FROM "
	"object WHERE kind = ?1 AND changed > ?4"
	" UNION ALL SELECT id, 0, 1, changed FROM gone WHERE kind = ?1 AND changed > ?4 AND "
	"created <= ?4"
	" ORDER BY at";

bool
kept_changes(struct kept *k, enum kept_kind kind, struct str since, size_t max, struct arena *arena,
	struct kept_changes *c)
{
	struct values v = { .kind = kind };
	int64_t up_to;
	size_t most, n = 0;
	sqlite3_stmt *s;

	if (!state_read(k, kind, since, &v.number))
		return false;
	*c = (struct kept_changes){ 0 }; /* `since` may lie in it */
	up_to = v.number;
	most = (size_t)(changes_of(k, kind) - up_to); /* a change is told once at most */
	if (max && max < most)
		most = max;
	c->created = arena_take(arena, (3 * most + 1) * sizeof *c->created);
	if (!c->created)
		return false;
	c->updated = c->created + most;
	c->destroyed = c->updated + most;
	s = statement(k, changes_sql, &v);
	while (s && sqlite3_step(s) == SQLITE_ROW) {
		bool is_new = sqlite3_column_int(s, 1), is_gone = sqlite3_column_int(s, 2);
		struct str *to = is_gone  ? &c->destroyed[c->destroyed_n]
				 : is_new ? &c->created[c->created_n]
					  : &c->updated[c->updated_n];

		c->has_more = n == most;
		if (c->has_more || !column(s, 0, arena, to))
			break;
		up_to = sqlite3_column_int64(s, 3);
		n++;
		++*(is_gone ? &c->destroyed_n : is_new ? &c->created_n : &c->updated_n);
	}
	sqlite3_finalize(s);
	state_text(k, c->has_more ? up_to : changes_of(k, kind), c->state);
	return true;
}
