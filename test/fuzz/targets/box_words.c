/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "role/reader/box_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 1 << 20 };

static sqlite3 *
index_of_words(void)
{
	static sqlite3 *db;

	if (db)
		return db;
	must(sqlite3_open(":memory:", &db) == SQLITE_OK);
	must(sqlite3_exec(db,
		     "CREATE VIRTUAL TABLE words USING fts5 (subject, body, content = '', "
		     "columnsize = 0, tokenize = 'unicode61 remove_diacritics 2')",
		     NULL, NULL, NULL) == SQLITE_OK);
	return db;
}

/* One statement with one text. A filter must never be a fault of SQL. */
static void
run(const char *sql, struct str text)
{
	sqlite3_stmt *s = NULL;
	int result;

	must(sqlite3_prepare_v2(index_of_words(), sql, -1, &s, NULL) == SQLITE_OK);
	if (text.n)
		must(sqlite3_bind_text64(s, 1, text.p, text.n, SQLITE_STATIC, SQLITE_UTF8) ==
			SQLITE_OK);
	do
		result = sqlite3_step(s);
	while (result == SQLITE_ROW);
	must(result == SQLITE_DONE);
	sqlite3_finalize(s);
}

/* Any text can be put into the index of words, and any text be looked for in it. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const columns[] = { "", "subject", "body" };
	struct str text = { (const char *)data, size };
	struct buf words = { .max = ROOM };

	words_add(&words, text);
	must(words.overflow || str_is_utf8(buf_str(&words)));
	run("BEGIN", (struct str){ 0 });
	run("INSERT INTO words (rowid, body) VALUES (1, ?1)", buf_str(&words));
	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
		struct buf match = { .max = ROOM };

		if (words_match(&match, text, str_of(columns[i])))
			run("SELECT rowid FROM words WHERE words MATCH ?1", buf_str(&match));
		buf_free(&match);
	}
	run("ROLLBACK", (struct str){ 0 });
	buf_free(&words);
	return 0;
}
