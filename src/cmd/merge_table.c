/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "base/must.h"
#include "cmd/merge.h"

/*
 * A table for mail merge, read as a stream. A wrong row is an error of its own, for the line behind it is a row again; but for quotes that do
 * not end: there nobody knows where the next row begins, and the reader gives up.
 */

enum { MERGE_NAMES_MAX = 1 << 20 };

static bool
wrong(const struct merge_table *t, struct err *e, const char *what)
{
	return err_set(e, ERR_PERMANENT, ERR_OTHER, "line %zu: %s", t->line, what);
}

static int
get(struct merge_table *t)
{
	int c = getc_unlocked(t->in);

	t->line += c == '\n';
	return c;
}

/* The next octet, where it is this one. */
static bool
get_if(struct merge_table *t, char wanted)
{
	int c = getc_unlocked(t->in);

	if (c != EOF && (char)c == wanted) {
		t->line += c == '\n';
		return true;
	}
	if (c != EOF)
		ungetc(c, t->in);
	return false;
}

static bool
is_text(struct str s)
{
	return str_is_utf8(s) && str_find(s, '\0') == s.n;
}

/* ── CSV: RFC 4180 ── */

/* Begins behind the opening quote, ends behind the closing one. */
static enum merge_next
read_quoted(struct merge_table *t, struct err *e)
{
	for (int c; (c = get(t)) != EOF;) {
		if (c == '"' && !get_if(t, '"'))
			return MERGE_ROW;
		buf_add_char(&t->cells, (char)c);
		if (t->cells.overflow)
			break;
	}
	wrong(t, e, "the quotes of a row do not end, or it is larger than 1 MiB");
	return MERGE_BROKEN;
}

/* Up to the comma, line end or end of file, which is returned. */
static int
read_bare(struct merge_table *t)
{
	for (;;) {
		int c = get(t);

		if (c == ',' || c == '\n' || c == EOF)
			return c;
		if (c == '\r' && get_if(t, '\n'))
			return '\n';
		buf_add_char(&t->cells, (char)c);
	}
}

/* One row into cells and ends, no more than `max` cells; *n is how many it has. */
static enum merge_next
read_csv(struct merge_table *t, size_t max, size_t *n, struct err *e)
{
	bool has_stray = false;
	int c = ',';

	buf_reset(&t->cells);
	for (*n = 0; c == ','; (*n)++) {
		size_t begin;

		if (get_if(t, '"')) {
			if (read_quoted(t, e) == MERGE_BROKEN)
				return MERGE_BROKEN;
			begin = t->cells.n;
			c = read_bare(t);
			has_stray = has_stray || t->cells.n > begin;
		} else {
			c = read_bare(t);
			if (c == EOF && *n == 0 && t->cells.n == 0)
				return MERGE_END;
		}
		buf_add_char(&t->cells, '\0');
		if (*n < max)
			t->ends[*n] = t->cells.n;
	}
	if (ferror(t->in)) {
		err_set_errno(e, "cannot read the table");
		return MERGE_BROKEN;
	}
	if (t->cells.overflow)
		wrong(t, e, "the row is larger than 1 MiB");
	else if (has_stray)
		wrong(t, e, "text behind closing quotes; a quote in a cell is written \"\"");
	else
		return MERGE_ROW;
	return MERGE_WRONG_ROW;
}

static bool
is_blank_line(const struct merge_table *t, size_t cells_n)
{
	return cells_n == 1 && t->cells.n == 1;
}

/* Each cell, for it may have a NUL that is not the one behind it. */
static bool
has_text_only(const struct merge_table *t)
{
	for (size_t i = 0; i < t->columns_n; i++)
		if (!is_text(merge_table_cell(t, i)))
			return false;
	return true;
}

static enum merge_next
next_csv(struct merge_table *t, struct err *e)
{
	enum merge_next next;
	size_t n;

	do
		next = read_csv(t, t->columns_n, &n, e);
	while (next == MERGE_ROW && is_blank_line(t, n));
	t->row += next == MERGE_ROW || next == MERGE_WRONG_ROW;
	if (next != MERGE_ROW)
		return next;
	if (n != t->columns_n)
		err_set(e, ERR_PERMANENT, ERR_OTHER, "line %zu: %zu cells, and %zu columns",
			t->line, n, t->columns_n);
	else if (!has_text_only(t))
		wrong(t, e, "a cell is not UTF-8");
	else
		return MERGE_ROW;
	return MERGE_WRONG_ROW;
}

/* ── JSON lines ── */

/* The next line that is not blank, as an object; NULL: see *next. The caller gives it back. */
static json_t *
read_object(struct merge_table *t, enum merge_next *next, struct err *e)
{
	json_t *object;
	int c = '\n';

	buf_reset(&t->cells);
	while (str_trim(buf_str(&t->cells)).n == 0 && c != EOF) {
		buf_reset(&t->cells);
		while ((c = read_bare(t)) == ',')
			buf_add_char(&t->cells, ',');
	}
	*next = ferror(t->in) ? MERGE_BROKEN : MERGE_END;
	if (*next == MERGE_BROKEN)
		err_set_errno(e, "cannot read the table");
	if (*next == MERGE_BROKEN || str_trim(buf_str(&t->cells)).n == 0)
		return NULL;
	t->row++;
	object = t->cells.overflow
			 ? NULL
			 : json_loadb(t->cells.p, t->cells.n, JSON_REJECT_DUPLICATES, NULL);
	*next = MERGE_WRONG_ROW;
	if (json_is_object(object))
		return object;
	wrong(t, e, "not a JSON object of its own line");
	json_decref(object);
	return NULL;
}

/* A value as the text of a cell. False: it is a list or an object. */
static bool
add_value(struct buf *to, const json_t *value)
{
	char *number;

	switch (json_typeof(value)) {
	case JSON_STRING:
		buf_add(to, (struct str){ json_string_value(value), json_string_length(value) });
		return true;
	case JSON_INTEGER:
	case JSON_REAL:
		number = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
		must(number);
		buf_add(to, str_of(number));
		free(number);
		return true;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_add(to, json_is_true(value) ? S("true") : S("false"));
		return true;
	case JSON_NULL:
		return true;
	case JSON_OBJECT:
	case JSON_ARRAY:
		break;
	}
	return false;
}

static enum merge_next
next_json(struct merge_table *t, struct err *e)
{
	enum merge_next next;
	json_t *object = read_object(t, &next, e);
	bool is_right = true;

	if (!object)
		return next;
	buf_reset(&t->cells);
	for (size_t i = 0; i < t->columns_n; i++) {
		const json_t *value = json_object_get(object, t->columns[i].p);

		is_right = is_right && (!value || add_value(&t->cells, value));
		buf_add_char(&t->cells, '\0');
		t->ends[i] = t->cells.n;
	}
	json_decref(object);
	if (is_right && !t->cells.overflow)
		return MERGE_ROW;
	wrong(t, e, "a cell is a list or an object");
	return MERGE_WRONG_ROW;
}

/* ── The names ── */

static bool
keep_column(struct merge_table *t, struct str name, struct err *e)
{
	size_t same;

	if (t->columns_n == MERGE_COLUMNS_MAX)
		return wrong(t, e, "more than 1000 columns");
	if (!is_text(name))
		return wrong(t, e, "the names of the columns are not UTF-8");
	if (name.n && merge_table_find(t, name, &same))
		return err_set(
			e, ERR_PERMANENT, ERR_OTHER, "two columns are called %.*s", STR_ARG(name));
	/* a NUL behind it, for jansson */
	if (!arena_dup(&t->arena, (struct str){ name.p, name.n + 1 }, &t->columns[t->columns_n]))
		return wrong(t, e, "the names of the columns are too long");
	t->columns[t->columns_n++].n = name.n;
	return true;
}

static bool
name_csv(struct merge_table *t, struct err *e)
{
	size_t n = 0, begin = 0;
	enum merge_next next = read_csv(t, MERGE_COLUMNS_MAX, &n, e);

	if (next == MERGE_END)
		return wrong(t, e, "the table is empty");
	if (next != MERGE_ROW)
		return false;
	if (n > MERGE_COLUMNS_MAX)
		return wrong(t, e, "more than 1000 columns");
	for (size_t i = 0; i < n; begin = t->ends[i++])
		if (!keep_column(t, (struct str){ t->cells.p + begin, t->ends[i] - begin - 1 }, e))
			return false;
	return true;
}

static bool
name_json(struct merge_table *t, struct err *e)
{
	enum merge_next next;
	json_t *object = read_object(t, &next, e);
	const char *name;
	json_t *value;
	bool ok = true;

	if (!object)
		return next == MERGE_END ? wrong(t, e, "the table is empty") : false;
	json_object_foreach (object, name, value)
		ok = ok && keep_column(t, str_of(name), e);
	json_decref(object);
	return ok;
}

static bool
begin(struct merge_table *t, struct err *e)
{
	if (fseeko(t->in, 0, SEEK_SET) < 0)
		return err_set_errno(e, "the table must be a file");
	t->row = 0;
	t->line = 0;
	if (get_if(t, '\xEF') && !(get_if(t, '\xBB') && get_if(t, '\xBF')))
		return wrong(t, e, "the table is not UTF-8");
	return true;
}

bool
merge_table_open(struct merge_table *t, FILE *in, bool is_json, struct err *e)
{
	*t = (struct merge_table){ .in = in,
		.is_json = is_json,
		.arena.max = MERGE_NAMES_MAX + MERGE_COLUMNS_MAX * 64,
		.cells.max = MERGE_ROW_MAX };
	t->columns = arena_take(&t->arena, MERGE_COLUMNS_MAX * sizeof *t->columns);
	t->ends = arena_take(&t->arena, MERGE_COLUMNS_MAX * sizeof *t->ends);
	must(t->columns && t->ends);
	if (!begin(t, e))
		return false;
	return is_json ? name_json(t, e) && merge_table_rewind(t, e) : name_csv(t, e);
}

/* ── Rows ── */

bool
merge_table_rewind(struct merge_table *t, struct err *e)
{
	size_t n;

	return begin(t, e) && (t->is_json || read_csv(t, MERGE_COLUMNS_MAX, &n, e) == MERGE_ROW);
}

enum merge_next
merge_table_next(struct merge_table *t, struct err *e)
{
	return t->is_json ? next_json(t, e) : next_csv(t, e);
}

struct str
merge_table_cell(const struct merge_table *t, size_t column)
{
	size_t begin_at = column ? t->ends[column - 1] : 0;

	return (struct str){ t->cells.p + begin_at, t->ends[column] - begin_at - 1 };
}

bool
merge_table_find(const struct merge_table *t, struct str name, size_t *column)
{
	for (*column = 0; *column < t->columns_n; (*column)++)
		if (str_eq(str_trim(t->columns[*column]), str_trim(name)))
			return true;
	return false;
}

void
merge_table_close(struct merge_table *t)
{
	buf_free(&t->cells);
	arena_free(&t->arena);
}
