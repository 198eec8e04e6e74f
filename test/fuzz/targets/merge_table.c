/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cmd/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Whatever was filled: a header stays one line, and where a form has one pair of angles and no name, so has what it became. */
static void
check_filled(const struct merge_table *t, struct str form, enum merge_field field)
{
	struct arena arena = { .max = 64 << 20 };
	const char *filled;
	struct err e = { 0 };

	if (!merge_fill(t, form, field, &arena, &filled, &e)) {
		if (!err_is(&e))
			abort();
	} else if (field == MERGE_LINE || field == MERGE_MAILBOXES) {
		if (strpbrk(filled, "\r\n"))
			abort();
		if (field == MERGE_MAILBOXES &&
			(strchr(filled, '<') != strrchr(filled, '<') || strchr(filled, ',')))
			abort();
	}
	arena_free(&arena);
}

static bool
has_brace(struct str name)
{
	return str_find(name, '{') < name.n || str_find(name, '}') < name.n;
}

static size_t
read_rows(struct merge_table *t)
{
	static const enum merge_field fields[] = { MERGE_TEXT, MERGE_HTML, MERGE_LINE, MERGE_PATH };
	struct buf form = { .max = MERGE_ROW_MAX }, mailbox = { .max = MERGE_ROW_MAX };
	enum merge_next next;
	size_t rows = 0;
	struct err e;

	buf_addf(&form, "a {%.*s} b", STR_ARG(t->columns[0]));
	buf_addf(&mailbox, "<{%.*s}>", STR_ARG(t->columns[0]));
	while ((next = merge_table_next(t, &e)) == MERGE_ROW || next == MERGE_WRONG_ROW) {
		rows++;
		if (next == MERGE_WRONG_ROW && !err_is(&e))
			abort();
		if (next == MERGE_WRONG_ROW || has_brace(t->columns[0]) ||
			!merge_check(t, buf_str(&form), &e))
			continue; /* a name with a brace cannot be written in a form */
		for (size_t i = 0; i < t->columns_n; i++)
			if (memchr(merge_table_cell(t, i).p, '\0', merge_table_cell(t, i).n))
				abort();
		for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
			check_filled(t, buf_str(&form), fields[i]);
		check_filled(t, buf_str(&mailbox), MERGE_MAILBOXES);
	}
	buf_free(&form);
	buf_free(&mailbox);
	return rows;
}

/* A table of any octets, CSV or JSON lines as the first says: rows or errors, the same number when it is read again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct merge_table t;
	struct err e = { 0 };
	FILE *in;

	if (n < 2)
		return 0;
	in = fmemopen((void *)(uintptr_t)(data + 1), n - 1, "r");
	if (!in)
		return 0;
	if (!merge_table_open(&t, in, data[0] & 1, &e)) {
		if (!err_is(&e))
			abort();
	} else if (t.columns_n) {
		size_t rows = read_rows(&t);

		if (!merge_table_rewind(&t, &e) || read_rows(&t) != rows)
			abort();
	}
	merge_table_close(&t);
	fclose(in);
	return 0;
}
