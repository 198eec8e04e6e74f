/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_BOX_H
#define ROLE_READER_BOX_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * A mailbox: folders of mails, what was changed since when, and search. This is the one interface that JMAP stands on.
 *
 * The truth is the Maildir (Maildir++ folders, flags in file names): other programs deliver, read, flag and move in it at the same time.
 * The index beside it (DIRECTORY/posthouse/index.db, SQLite) only remembers what was found, and is made anew when it is missing or
 * broken. box_look finds what others have done. Names that begin with no dot are no folders of Maildir++, so that nobody minds `posthouse`.
 *
 * Ids: a mail's is made of the part of its file's name before ":2,", so that it is the same after a move, a change of flags, and when the index
 * was rebuilt. A state is a number that grows with each change; it is shown with the index's epoch, which is drawn when the index
 * is made: a state of another epoch is unknown.
 */

struct box;

enum { BOX_ID = 36 }; /* room for an id: a letter, 32 hexadecimal digits, NUL */
enum { BOX_STATE = 40 };
enum {
	BOX_OCTETS_MAX = 64 * 1024 * 1024
}; /* of a message that are looked at: one that box_read gives so long may be cut */

enum box_flag {		    /* keywords, as they stand in a file's name */
	BOX_SEEN = 1,	    /* S $seen */
	BOX_ANSWERED = 2,   /* R $answered */
	BOX_FLAGGED = 4,    /* F $flagged */
	BOX_DRAFT = 8,	    /* D $draft */
	BOX_FORWARDED = 16, /* P $forwarded */
			    /* T: the mail is as good as gone, and not in the index */
};

enum box_kind { BOX_MAILS, BOX_FOLDERS, BOX_THREADS, BOX_KINDS };

/* `directory`: the Maildir; made when missing, with the folders that have a role (Drafts, Sent, Trash, Junk, Archive). */
bool box_open(struct box **b, struct str directory, struct err *e);
void box_close(struct box **b);

/* What others did to the files since the last look. Works for at most `budget_ms`; false: there is more, call again, or, with e, something is in the way.
 * Never between box_begin and box_end. */
bool box_look(struct box *b, int64_t budget_ms, struct err *e);
/* A descriptor that is readable when it is time for box_look (inotify), the same as long as the box is open; -1: none, or none any more (ask after each
 * look): look every few seconds. */
int box_watched(const struct box *b);
/* Not all of it is watched: look every second. A sandbox forbids new watches (they follow names, which no other lock would hold back): then
 * those of the folders that were there at the first box_look are all there are. */
bool box_is_blind(const struct box *b);
/* The index takes nothing and tells nothing any more, until the next box_look has opened it anew: what is read meanwhile looks empty. */
bool box_is_broken(const struct box *b);
bool box_is_whole(const struct box
		*b); /* every mail has been seen once: false while a fresh index is filled */

/* ── states ── */

void box_state(struct box *b, enum box_kind kind, char state[BOX_STATE]);

struct box_changes {
	struct str *created, *updated, *destroyed; /* ids */
	size_t created_n, updated_n, destroyed_n;
	char state[BOX_STATE]; /* up to here */
	bool has_more;
	bool only_counts; /* of folders: nothing but the numbers of mails changed */
};
/* False: the state is of no use (other epoch, malformed, forgotten): cannotCalculateChanges. max 0: any number. */
bool box_changes(struct box *b, enum box_kind kind, struct str since, size_t max,
	struct arena *arena, struct box_changes *c);

/* ── folders ── */

enum box_role {
	BOX_NO_ROLE,
	BOX_INBOX,
	BOX_DRAFTS,
	BOX_SENT,
	BOX_TRASH,
	BOX_JUNK,
	BOX_ARCHIVE,
	BOX_ROLES
};

struct box_folder {
	int64_t number;
	struct str id, name; /* name: the last part, UTF-8 */
	struct str parent;   /* id; empty: none */
	enum box_role role;
	uint32_t total, unread, threads, unread_threads;
};
size_t box_folders(struct box *b, struct arena *arena, struct box_folder **list);
bool box_folder(struct box *b, struct str id, struct arena *arena, struct box_folder *f);
bool box_folder_of_role(
	struct box *b, enum box_role role, struct arena *arena, struct box_folder *f);
/* e->kind tells why not: ERR_MAILBOX_NAME a name that cannot be or is taken, ERR_MAILBOX_UNKNOWN no such folder, ERR_MAILBOX_BUSY mails or folders are in it, ERR_REFUSED it has a role, ERR_NO_SPACE; directories are synced before true. */
bool box_folder_make(struct box *b, struct str parent, struct str name, struct arena *arena,
	struct str *id, struct err *e);
bool box_folder_rename(
	struct box *b, struct str id, struct str parent, struct str name, struct err *e);
bool box_folder_remove(struct box *b, struct str id, bool with_mails,
	struct err *e); /* never one with a role or with folders below */

/* ── mails ── */

struct box_mail {
	int64_t number; /* grows with the order in which they were found */
	struct str id, thread, folder;
	unsigned flags;
	uint64_t size;
	int64_t received_ms;
	bool has_attachment;
	struct str
		summary; /* JSON: messageId inReplyTo references sender from to cc bcc replyTo subject sentAt preview hasAttachment, as RFC 8621 §4.1.3 and §4.1.4 have them */
};
bool box_mail(struct box *b, struct str id, struct arena *arena, struct box_mail *m);
/* The message, read into memory (of one beyond 64 MiB, those); box_read_free it. False: its file is gone (and will be gone from the index at the next look). */
bool box_read(struct box *b, const struct box_mail *m, struct str *octets);
void box_read_free(struct str *octets);

/* Into a folder, synced before true. */
bool box_add(struct box *b, struct str folder, struct str octets, unsigned flags,
	int64_t received_ms, struct arena *arena, struct box_mail *m, struct err *e);
/* Into this folder, with these flags, by one rename: where it fails, neither is changed. */
bool box_place(
	struct box *b, const struct box_mail *m, struct str folder, unsigned flags, struct err *e);
bool box_remove(struct box *b, const struct box_mail *m, struct err *e); /* the file itself */
/* Between these two many changes become one transaction of the index; files are changed one by one all the same. */
void box_begin(struct box *b);
void box_end(struct box *b);

/* Ids of a thread's mails, oldest first; 0: no such thread. */
size_t box_thread(struct box *b, struct str thread, struct arena *arena, struct str **ids);

/* ── query ── */

enum box_term_kind {
	BOX_AND,
	BOX_OR,
	BOX_NOT, /* of `sub`; NOT: none of them */
	BOX_IN_FOLDER,
	BOX_IN_NO_FOLDER_OF, /* text: id; the second: `texts` */
	BOX_BEFORE,
	BOX_AFTER, /* number: received_ms; before is exclusive, after inclusive */
	BOX_SMALLER,
	BOX_LARGER, /* number: octets; larger is inclusive */
	BOX_HAS_FLAG,
	BOX_HAS_NOT_FLAG, /* number: flags of which one is enough */
	BOX_THREAD_ALL,
	BOX_THREAD_SOME,
	BOX_THREAD_NONE,    /* number: flag that the thread's mails have */
	BOX_HAS_ATTACHMENT, /* number: 0 or 1 */
	BOX_TEXT,
	BOX_FROM,
	BOX_TO,
	BOX_CC,
	BOX_BCC,
	BOX_SUBJECT,
	BOX_BODY,   /* text: words, all of them; "…" a phrase; Chinese from one character on */
	BOX_HEADER, /* text: field name; other: text in it, empty: it is there. Opens the files of what the other terms leave: slow */
	BOX_TERMS
};
struct box_term {
	enum box_term_kind kind;
	const struct box_term *sub;
	size_t sub_n;
	struct str text, other;
	const struct str *texts;
	size_t texts_n;
	int64_t number;
};
enum box_order {
	BY_RECEIVED,
	BY_SENT,
	BY_SIZE,
	BY_FROM,
	BY_TO,
	BY_SUBJECT,
	BY_FLAG,
	BY_THREAD_ALL,
	BY_THREAD_SOME,
	BOX_ORDERS
};
struct box_query {
	const struct box_term *filter; /* NULL: all */
	struct box_sort {
		enum box_order by;
		bool is_descending;
		unsigned flag;
	} sort[8];
	size_t sort_n; /* 0: newest received first; ties are broken by number, descending */
	bool collapses_threads;
	bool wants_total;
	int64_t position;  /* negative: from the end */
	struct str anchor; /* an id; then `position` is not looked at */
	int64_t anchor_offset;
	size_t limit;
};
struct box_found {
	struct str *ids;
	size_t n;
	int64_t position;
	uint64_t total;
	bool has_no_anchor; /* anchorNotFound */
};
bool box_query(struct box *b, const struct box_query *q, struct arena *arena,
	struct box_found *found, struct err *e);

/* The first character of s, as the search reads text, and its octets; what is no UTF-8 is one octet and U+FFFD. */
uint32_t box_rune(struct str s, size_t *n);

/* Addresses this mailbox has written to or got mail from, that begin with or contain `text` in name or address, the most used first: for address completion.
 * Each: {"name":…,"email":…}. */
struct box_contact {
	struct str name, email;
};
size_t box_contacts(struct box *b, struct str text, size_t most, struct arena *arena,
	struct box_contact **list);

#endif
