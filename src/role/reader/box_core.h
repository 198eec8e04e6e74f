/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_BOX_CORE_H
#define ROLE_READER_BOX_CORE_H

#include <sqlite3.h>
#include <sys/types.h>

#include "base/map.h"
#include "role/reader/box.h"

/*
 * What the files of the box share. Downwards: box.c and box_query.c stand on the index (box_index.c, box_mail.c), the index on
 * SQLite; box_look.c finds files and hands them to the index; box_maildir.c and box_folder.c change files.
 */

enum {
	BOX_NAME_MAX = 256,  /* of a file or directory, with NUL */
	BOX_PATH_MAX = 1024, /* below the Maildir */
	BOX_STATEMENTS = 64,
	BOX_HASH = 16,
	BOX_WORDS_MAX = 64 * 1024, /* of a message that are indexed */
	BOX_FOLDERS_MAX = 4096,
};

enum box_part { BOX_NEW, BOX_CUR, BOX_PARTS };

/* A folder, in memory as in its row. */
struct folder {
	int64_t number;
	char id[BOX_ID];
	char path[BOX_NAME_MAX]; /* its directory's name: ".Sent"; "": the inbox */
	ino_t inode;
	enum box_role role;
	int64_t made, changed,
		counted; /* states: of its birth, of its name, of its numbers of mails */
	int64_t mtime_ns
		[BOX_PARTS]; /* of its directories when all in them was known; 0: look again */
	int64_t mtime_seen_ns[BOX_PARTS]; /* the same, while something is due */
	int watch[BOX_PARTS];		  /* -1: none */
	bool is_there;			  /* found by the last reading of the Maildir */
	bool is_due;			  /* its directories are to be read */
	bool is_touched;		  /* its row is to be written */
	bool has_counts;
	uint32_t total, unread, threads, unread_threads;
};

/* A file that is not in the index yet. */
struct due {
	struct due *same; /* another of the same base name */
	int64_t folder;
	enum box_part part;
	struct str name, base;
	uint64_t time; /* what its name begins with */
};

struct box {
	char *path; /* the Maildir */
	int directory;
	/* index */
	sqlite3 *db;
	struct {
		const char *sql;
		sqlite3_stmt *statement;
	} statements[BOX_STATEMENTS];
	size_t statements_n;
	char epoch[17];
	int64_t state, states[BOX_KINDS], forgotten, dead;
	unsigned depth;	 /* of box_begin */
	bool is_filling; /* box_look has left its transaction open, until: */
	int64_t commit_ms;
	bool is_broken;	 /* the index takes nothing any more: it is to be opened again */
	bool is_spoiled; /* and made anew */
	bool is_whole;
	struct folder *folders;
	size_t folders_n;
	/* look */
	int queue; /* of inotify: one descriptor as long as the box is open, for somebody waits on it */
	int inotify, root_watch; /* the same; -1: it is of no use */
	bool is_blind;		 /* a folder has no watch, and can have none any more */
	bool is_root_due, is_first;
	struct due **due; /* newest last */
	size_t due_n, due_capacity;
	bool due_is_sorted;
	int64_t *lost; /* mails whose file has gone from where it was */
	size_t lost_n, lost_capacity;
	struct map due_names; /* by base */
	struct arena due_arena;
};

/* ── box_index.c: SQLite ── */

bool index_open(struct box *b, struct err *e);
void index_close(struct box *b);
void index_delete(struct box *b); /* its files; it is closed */
/* A statement with its values bound: 'i' int64_t, 't' struct str as text, 'b' struct str as octets. NULL: the index is broken.
 * `sql` is a literal: the statement is kept. */
sqlite3_stmt *index_ask(struct box *b, const char *sql, const char *kinds, ...);
bool index_next(
	struct box *b, sqlite3_stmt *s); /* a row; at the end, the statement is free again */
void index_done(sqlite3_stmt *s);	 /* no more rows are wanted */
bool index_do(struct box *b, const char *sql, const char *kinds, ...);
int64_t index_number(struct box *b, const char *sql, const char *kinds,
	...);					    /* the one value of the one row; -1: none */
void index_note(struct box *b, int result);	    /* of a call of SQLite: is the index broken? */
struct str index_text(sqlite3_stmt *s, int column); /* until the next step */
struct str index_octets(sqlite3_stmt *s, int column);
int64_t index_change(struct box *b, enum box_kind kind); /* a new state of this kind */
void index_gone(struct box *b, enum box_kind kind, struct str id, int64_t made);

/* ── box_mail.c: mails in the index ── */

/* What is known of a mail's file. */
struct mail_row {
	int64_t number, folder, thread, made;
	unsigned flags;
	enum box_part part;
	char name[BOX_NAME_MAX];
};
bool mail_row(struct box *b, int64_t number, struct mail_row *row);
/* The mail whose file has this base name, in this folder, or in any where its file is no longer. */
bool mail_of_file(struct box *b, int64_t folder, struct str base, struct mail_row *row);
/* A new one. False: its file is gone, or none that a mail could be in. */
bool mail_enter(struct box *b, const struct folder *f, enum box_part part, struct str name,
	int64_t *number);
void mail_place(struct box *b, const struct mail_row *was, const struct folder *f,
	enum box_part part, struct str name, unsigned flags);
void mail_leave(struct box *b, const struct mail_row *row);

/* ── box_thread.c ── */

struct thread_hints {
	struct str *ids; /* its references, oldest first, and its own Message-ID */
	size_t ids_n;
	struct str subject; /* base subject */
};
int64_t threads_join(struct box *b, const struct thread_hints *h, struct str mail_id);
void threads_leave(struct box *b, int64_t thread);
void threads_touch(
	struct box *b, int64_t thread); /* the folders in which it has mails count anew */
/* What is left of a subject when marks of replies and forwards are taken off: RFC 5256 §2.1, and 回复 and its like. */
struct str threads_base_subject(struct str subject);

/* ── box_folder.c ── */

void folders_load(struct box *b);
void folders_write(struct box *b);		 /* those that are touched */
bool folders_read(struct box *b, struct err *e); /* the Maildir's directories */
bool folders_make_roles(struct box *b, struct err *e);
struct folder *folder_of_number(struct box *b, int64_t number);
struct folder *folder_of_id(struct box *b, struct str id);
void folder_count_anew(struct box *b, struct folder *f);
void folder_fail(struct err *e, const char *what); /* from errno */

/* ── box_name.c: names of files and folders ── */

struct str name_base(struct str name);		   /* before ":2," */
bool name_flags(struct str name, unsigned *flags); /* false: it is trashed */
void name_with_flags(struct str name, unsigned flags,
	char to[BOX_NAME_MAX]); /* letters that are not ours stay */
void name_new(char to[BOX_NAME_MAX - 64]);
uint64_t name_time(struct str name);
void name_hash(struct str s, struct str salt, unsigned char hash[BOX_HASH]);
void name_id(char kind, const unsigned char hash[BOX_HASH], char id[BOX_ID]);
bool name_id_hash(char kind, struct str id, unsigned char hash[BOX_HASH]);
bool name_to_mutf7(
	struct str utf8, struct buf *to); /* RFC 3501 §5.1.3; false: no name for a folder */
void name_from_mutf7(
	struct str coded, struct buf *to); /* what is malformed is taken as it stands */

/* ── box_maildir.c: files ── */

const char *maildir_path(
	const struct folder *f, enum box_part part, const char *name, char path[BOX_PATH_MAX]);
bool maildir_has(struct box *b, const struct folder *f, enum box_part part, const char *name);
/* A regular file's descriptor; -1: none. Never waits, follows no link. */
int maildir_open(struct box *b, const struct folder *f, enum box_part part, const char *name);
bool maildir_make(struct box *b, const char *folder); /* with tmp, new, cur; synced */
bool maildir_sync(struct box *b, const char *path);   /* a directory */

/* ── box_look.c ── */

void look_open(struct box *b);
bool look_files(struct box *b, int64_t budget_ms, struct err *e); /* box_look */
void look_close(struct box *b);
void look_watch(struct box *b, struct folder *f);      /* where it is not watched yet */
void look_await(struct box *b, const char *directory); /* in which somebody is making a folder */
void look_unwatch(struct box *b, struct folder *f);

/* ── box_query.c ── */

bool query_open(struct box *b); /* what its SQL needs of us, once a connection */

/* ── box_words.c ── */

/* Text as the index has it: runs of Chinese, Japanese, Korean become their overlapping pairs and the last character. */
void words_add(struct buf *to, struct str text);
/* What somebody looks for, as an expression of FTS5; false: there is no word in it. columns: "" or that of `words`. */
bool words_match(struct buf *to, struct str text, struct str columns);

/* ── box_contact.c ── */

struct json_t;
void contacts_note(struct box *b, const struct json_t *addresses, bool is_written_to);

#endif
