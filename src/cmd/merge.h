/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_MERGE_H
#define CMD_MERGE_H

#include <posthouse.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "cmd/send.h"

/*
 * What the files of mail merge know of each other.
 *
 *   merge.c           the run: rows become mails, the mails go into a pool
 *   merge_mail.c      the order and a row become a mail
 *   merge_table.c     a table, row by row
 *   merge_fill.c      {columns} in the fields of a mail
 *   merge_results.c   what became of each row, in a file that a later run goes on from
 *   merge_progress.c  how far it is, for people
 */

/* ── merge_table.c ── */

enum {
	MERGE_ROW_MAX = 1 << 20, /* octets of a row */
	MERGE_COLUMNS_MAX = 1000,
};

/*
 * A table is read once through, a row in memory at a time. CSV (RFC 4180): lines end in CRLF or LF, the first row names the
 * columns, a row without any octet is none. JSON lines: an object a line, whose strings, numbers and booleans are the cells; the first
 * row's names are the columns; null and what a row does not have is empty. Both are UTF-8, with or without a byte order mark.
 */
struct merge_table {
	FILE *in; /* can be rewound; the caller's */
	bool is_json;
	struct arena arena; /* of the names */
	struct str *columns;
	size_t columns_n;
	struct buf cells; /* of the row, each with a NUL behind it */
	size_t *ends;	  /* of each cell in `cells`, the NUL included */
	size_t row;	  /* 1: the first behind the names */
	size_t line;	  /* that was read last */
};

enum merge_next {
	MERGE_ROW,
	MERGE_WRONG_ROW, /* e says why; the next may be right */
	MERGE_END,
	MERGE_BROKEN, /* no more can be read: e */
};

bool merge_table_open(struct merge_table *t, FILE *in, bool is_json, struct err *e);
enum merge_next merge_table_next(struct merge_table *t, struct err *e);
struct str merge_table_cell(const struct merge_table *t, size_t column); /* until the next row */
bool merge_table_find(const struct merge_table *t, struct str name, size_t *column);
bool merge_table_rewind(struct merge_table *t, struct err *e); /* to the first row */
void merge_table_close(struct merge_table *t);

/* ── merge_fill.c ── */

/* What a cell may hold depends on where it goes. */
enum merge_field {
	MERGE_TEXT, /* anything */
	MERGE_HTML, /* anything: its markup is escaped */
	MERGE_LINE, /* of a header: no control character, so no second field */
	MERGE_MAILBOXES, /* "{name} <{email}>, …": a cell is a name or one mailbox, never a second one */
	MERGE_PATH, /* no way up: ".." */
};

/* form with the cells of the table's row, NUL-terminated, in arena. False: this row cannot be a mail. */
bool merge_fill(const struct merge_table *t, struct str form, enum merge_field field,
	struct arena *arena, const char **filled, struct err *e);
/* Whether each {column} of the form is one of the table. */
bool merge_check(const struct merge_table *t, struct str form, struct err *e);

/* ── merge_results.c ── */

enum {
	MERGE_DIGEST_TEXT = 65, /* SHA-256 in hexadecimal, and a NUL */
};

/* What is known of a row. */
enum {
	ROW_BEGUN = 1, /* handed over, and nothing heard */
	ROW_SENT = 2,
	ROW_LATER = 4,
	ROW_REFUSED = 8,
	ROW_UNSURE = 16,
	ROW_INVALID = 32, /* not a mail; nothing was said */
	ROW_RESUMED = 64, /* for some of its recipients: those who were to get it later */
	ROW_AGAIN = 128,  /* with RESUMED: for all who do not have it */
};

/* What a file of results is of. */
struct merge_digests {
	char table[MERGE_DIGEST_TEXT], mail[MERGE_DIGEST_TEXT];
};

struct merge_results {
	int fd;		     /* -1: kept nowhere */
	bool shows;	     /* on standard output too */
	bool again;	     /* who was refused, or perhaps has it, is not settled */
	unsigned char *rows; /* ROW_… of each, from 1 on */
	size_t rows_n;
	struct buf line;
	struct arena arena;
	struct map settled; /* recipients of rows that have others which wait */
	/* while lines are read: the row of the last one, and how many of it came */
	size_t at_row, at_row_n;
};

/* path NULL: kept nowhere. `again` is set, and the rest of *r zero. */
bool merge_results_open(struct merge_results *r, const char *path,
	const struct merge_digests *digests, size_t rows_n, bool writes, struct err *e);
void merge_results_close(struct merge_results *r);
/* Rows that an earlier run left under way become unsure. */
bool merge_results_settle(struct merge_results *r, struct err *e);
/* Before the mail of this row is handed over. */
bool merge_results_begin(struct merge_results *r, size_t row, bool is_resumed, struct err *e);
bool merge_results_note(struct merge_results *r, size_t row, const ph_mail *m, struct err *e);
bool merge_results_wrong(struct merge_results *r, size_t row, const char *why, struct err *e);
/* Whether this recipient of the row had its answer in an earlier run. */
bool merge_results_has(const struct merge_results *r, size_t row, const char *address);
/* The server was not even asked about this mail: it, or the login, is what is wrong. */
bool merge_is_before_mail(const struct ph_result *result);

/* ── merge_mail.c ── */

enum { MERGE_MAIL_MAX = 256 << 20 }; /* octets of the filled fields of a row */

/* Whether each {column} of the order is one of the table. */
bool merge_order_check(const struct merge_table *t, const struct send_order *order, struct err *e);
/* Of all that the order has of a mail, the columns unfilled; of files the names alone. */
void merge_digest_text(const unsigned char value[32], char digest[MERGE_DIGEST_TEXT]);
void merge_order_digest(const struct send_order *order, char digest[MERGE_DIGEST_TEXT]);
/* The mail of the table's row; the arena must live as long. rest: it is for those recipients alone who have no answer there; NULL: for all.
 * NULL: e says what is wrong with the row. */
ph_mail *merge_order_mail(const struct merge_table *t, const struct send_order *order,
	const struct config *config, const struct merge_results *rest, struct arena *arena,
	struct err *e);

/* ── merge_progress.c ── */

struct merge_progress {
	size_t total, before;	     /* rows; done by earlier runs */
	size_t done, refused, wrong; /* done in this run; of all */
	bool is_terminal;
	int64_t begin_ms, shown_ms;
};

int64_t merge_now_ms(void); /* of CLOCK_MONOTONIC, as the deadlines of a pool */
void merge_progress_begin(struct merge_progress *p, size_t total, size_t before);
void merge_progress_show(struct merge_progress *p, bool is_end);

#endif
