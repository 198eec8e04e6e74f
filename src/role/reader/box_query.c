/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "role/reader/box_core.h"
#include "role/reader/letter.h"

/*
 * Filters and orders become one statement of SQL over `mail m`, every value bound. It gives numbers of mails and of threads in the order asked for; collapsing,
 * counting and the window are done here, as the rows come: so that one pass over an index of (folder, received) serves the inbox.
 */

enum {
	QUERY_SQL_MAX = 1024 * 1024,
	QUERY_VALUES_MAX = 10000,
	QUERY_TERMS_MAX = 2000,
	QUERY_DEPTH_MAX = 32,
	HEADER_MAX = 1024 * 1024
};

struct asked {
	struct box *b;
	struct buf sql;
	struct value {
		bool is_text;
		int64_t number;
		struct buf text;
	} * values;
	size_t values_n, terms_n;
	bool is_wrong; /* too much of it */
};

/* ── values ── */

static struct value *
add_value(struct asked *a)
{
	if (a->values_n == QUERY_VALUES_MAX) {
		a->is_wrong = true;
		return NULL;
	}
	if (a->values_n % 64 == 0) {
		a->values = realloc(a->values, (a->values_n + 64) * sizeof *a->values);
		must(a->values);
	}
	a->values[a->values_n] = (struct value){ .text.max = QUERY_SQL_MAX };
	buf_addf(&a->sql, "?%zu", ++a->values_n);
	return &a->values[a->values_n - 1];
}

static void
add_number(struct asked *a, int64_t number)
{
	struct value *v = add_value(a);

	if (v)
		v->number = number;
}

static void
add_text(struct asked *a, struct str text)
{
	struct value *v = add_value(a);

	if (!v)
		return;
	v->is_text = true;
	buf_add(&v->text, text);
}

static void
bind_values(const struct asked *a, sqlite3_stmt *s)
{
	for (size_t i = 0; i < a->values_n; i++) {
		const struct value *v = &a->values[i];

		if (v->is_text)
			sqlite3_bind_text64(s, (int)i + 1, v->text.n ? v->text.p : "", v->text.n,
				SQLITE_STATIC, SQLITE_UTF8);
		else
			sqlite3_bind_int64(s, (int)i + 1, v->number);
	}
}

static void
asked_free(struct asked *a)
{
	for (size_t i = 0; i < a->values_n; i++)
		buf_free(&a->values[i].text);
	free(a->values);
	buf_free(&a->sql);
}

/* ── terms ── */

/* What of a term is SQL and what a number: "… ?n". */
static const char *const number_terms[BOX_TERMS] = {
	[BOX_BEFORE] = "m.received <",
	[BOX_AFTER] = "m.received >=",
	[BOX_SMALLER] = "m.size <",
	[BOX_LARGER] = "m.size >=",
	[BOX_HAS_FLAG] = "0 <> m.flags &",
	[BOX_HAS_NOT_FLAG] = "0 = m.flags &",
	[BOX_HAS_ATTACHMENT] = "m.attachment =",
};
/* "… ?n)" */
static const char *const thread_terms[BOX_TERMS] = {
	[BOX_THREAD_ALL] =
		"NOT EXISTS (SELECT 1 FROM mail t WHERE t.thread = m.thread AND 0 = t.flags &",
	[BOX_THREAD_SOME] =
		"EXISTS (SELECT 1 FROM mail t WHERE t.thread = m.thread AND 0 <> t.flags &",
	[BOX_THREAD_NONE] =
		"NOT EXISTS (SELECT 1 FROM mail t WHERE t.thread = m.thread AND 0 <> t.flags &",
};
/* The column of `words`. */
static const char *const word_terms[BOX_TERMS] = {
	[BOX_TEXT] = "",
	[BOX_FROM] = "author",
	[BOX_TO] = "reader",
	[BOX_CC] = "copied",
	[BOX_BCC] = "hidden",
	[BOX_SUBJECT] = "subject",
	[BOX_BODY] = "body",
};

static void
add_words(struct asked *a, const struct box_term *t)
{
	struct buf match = { .max = 256 * 1024 };

	if (words_match(&match, t->text, str_of(word_terms[t->kind]))) {
		buf_add(&a->sql, S("m.number IN (SELECT rowid FROM words WHERE words MATCH "));
		add_text(a, buf_str(&match));
		buf_add(&a->sql, S(")"));
	} else {
		buf_add(&a->sql, S("0")); /* no word at all is in no mail */
	}
	a->is_wrong |= match.overflow;
	buf_free(&match);
}

static void
add_folders(struct asked *a, const struct box_term *t)
{
	buf_add(&a->sql, S("m.folder NOT IN ("));
	for (size_t i = 0; i < t->texts_n; i++) {
		const struct folder *f = folder_of_id(a->b, t->texts[i]);

		buf_add(&a->sql, i ? S(", ") : S(""));
		add_number(a, f ? f->number : -1);
	}
	buf_add(&a->sql, S(")"));
}

static void add_term(struct asked *a, const struct box_term *t, unsigned depth);

/* Terms that open files stand last, so that they are asked of what the others leave. */
static void
add_group(struct asked *a, const struct box_term *t, unsigned depth)
{
	bool is_first = true;

	buf_add(&a->sql, t->kind == BOX_NOT ? S("NOT (") : S("("));
	for (int turn = 0; turn < 2; turn++)
		for (size_t i = 0; i < t->sub_n; i++) {
			if ((t->sub[i].kind == BOX_HEADER) != turn)
				continue;
			if (!is_first)
				buf_add(&a->sql, t->kind == BOX_AND ? S(" AND ") : S(" OR "));
			add_term(a, &t->sub[i], depth + 1);
			is_first = false;
		}
	if (is_first)
		buf_add(&a->sql, t->kind == BOX_AND ? S("1") : S("0"));
	buf_add(&a->sql, S(")"));
}

static void
add_term(struct asked *a, const struct box_term *t, unsigned depth)
{
	const struct folder *f;

	if (depth > QUERY_DEPTH_MAX || ++a->terms_n > QUERY_TERMS_MAX) {
		a->is_wrong = true;
		return;
	}
	switch (t->kind) {
	case BOX_AND:
	case BOX_OR:
	case BOX_NOT:
		add_group(a, t, depth);
		break;
	case BOX_IN_FOLDER:
		f = folder_of_id(a->b, t->text);
		buf_add(&a->sql, S("m.folder = "));
		add_number(a, f ? f->number : -1);
		break;
	case BOX_IN_NO_FOLDER_OF:
		add_folders(a, t);
		break;
	case BOX_BEFORE:
	case BOX_AFTER:
	case BOX_SMALLER:
	case BOX_LARGER:
	case BOX_HAS_FLAG:
	case BOX_HAS_NOT_FLAG:
	case BOX_HAS_ATTACHMENT:
		buf_addf(&a->sql, "%s ", number_terms[t->kind]);
		add_number(a, t->number);
		break;
	case BOX_THREAD_ALL:
	case BOX_THREAD_SOME:
	case BOX_THREAD_NONE:
		buf_addf(&a->sql, "%s ", thread_terms[t->kind]);
		add_number(a, t->number);
		buf_add(&a->sql, S(")"));
		break;
	case BOX_TEXT:
	case BOX_FROM:
	case BOX_TO:
	case BOX_CC:
	case BOX_BCC:
	case BOX_SUBJECT:
	case BOX_BODY:
		add_words(a, t);
		break;
	case BOX_HEADER:
		buf_add(&a->sql, S("header_has(m.number, "));
		add_text(a, t->text);
		buf_add(&a->sql, S(", "));
		add_text(a, t->other);
		buf_add(&a->sql, S(")"));
		break;
	case BOX_TERMS:
		a->is_wrong = true;
		break;
	}
}

/* ── a field of a header, from the file ── */

static bool
field_has(const struct letter_field *f, struct str name, struct str text)
{
	struct buf value = { .max = LETTER_FIELD_MAX };
	bool has;

	if (!str_eq_nocase(f->name, name))
		return false;
	letter_field_text(f->raw, &value);
	has = str_has_nocase(buf_str(&value), text);
	buf_free(&value);
	return has;
}

static bool
letter_has(struct str octets, struct str name, struct str text)
{
	size_t end = str_find_str(octets, S("\r\n\r\n")),
	       other_end = str_find_str(octets, S("\n\n"));
	struct letter *l =
		letter_open(str_part(octets, 0, (end < other_end ? end : other_end) + 2));
	const struct letter_part *root = letter_root(l);
	bool has = false;

	for (size_t i = 0; i < root->fields_n && !has; i++)
		has = field_has(&root->fields[i], name, text);
	letter_free(&l);
	return has;
}

static struct str
value_text(sqlite3_value *v)
{
	const char *p = (const char *)sqlite3_value_text(v);

	return (struct str){ p, p ? (size_t)sqlite3_value_bytes(v) : 0 };
}

/* header_has(number, name, text) */
static void
header_has(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct box_mail m = { .number = sqlite3_value_int64(v[0]) };
	struct str octets;
	bool has = false;

	(void)n;
	if (box_read(sqlite3_user_data(c), &m, &octets)) {
		has = letter_has(octets, value_text(v[1]), value_text(v[2]));
		box_read_free(&octets);
	}
	sqlite3_result_int(c, has);
}

bool
query_open(struct box *b)
{
	return sqlite3_create_function(
		       b->db, "header_has", 3, SQLITE_UTF8, b, header_has, NULL, NULL) == SQLITE_OK;
}

/* ── orders ── */

static void
add_order(struct asked *a, const struct box_query *q)
{
	static const char *const orders[BOX_ORDERS] = {
		[BY_RECEIVED] = "m.received",
		[BY_SENT] = "m.sent",
		[BY_SIZE] = "m.size",
		[BY_FROM] = "m.author COLLATE NOCASE",
		[BY_TO] = "m.reader COLLATE NOCASE",
		[BY_SUBJECT] = "m.subject COLLATE NOCASE",
		[BY_FLAG] = "0 <> m.flags & ",
		[BY_THREAD_ALL] = "NOT EXISTS (SELECT 1 FROM mail t WHERE t.thread = m.thread AND "
				  "0 = t.flags & ",
		[BY_THREAD_SOME] = "EXISTS (SELECT 1 FROM mail t WHERE t.thread = m.thread AND 0 "
				   "<> t.flags & ",
	};

	buf_add(&a->sql, S(" ORDER BY "));
	for (size_t i = 0; i < q->sort_n; i++) {
		enum box_order by = q->sort[i].by;

		buf_addf(&a->sql, "(%s", orders[by]);
		if (by == BY_FLAG || by == BY_THREAD_ALL || by == BY_THREAD_SOME)
			add_number(a, q->sort[i].flag);
		buf_add(&a->sql, by == BY_THREAD_ALL || by == BY_THREAD_SOME ? S("))") : S(")"));
		buf_add(&a->sql, q->sort[i].is_descending ? S(" DESC, ") : S(", "));
	}
	buf_add(&a->sql, q->sort_n ? S("m.number DESC") : S("m.received DESC, m.number DESC"));
}

/* ── what comes ── */

/* Numbers of threads that were seen: open addressing, 0 is free. */
struct seen {
	int64_t *slots;
	size_t used, capacity;
};

static bool
seen_put(int64_t *slots, size_t capacity, int64_t number)
{
	size_t at = (size_t)((uint64_t)number * 0x9e3779b97f4a7c15u >> 20) & (capacity - 1);

	while (slots[at] && slots[at] != number)
		at = (at + 1) & (capacity - 1);
	if (slots[at])
		return false;
	slots[at] = number;
	return true;
}

/* False: it was there. */
static bool
seen_add(struct seen *s, int64_t number)
{
	bool is_new;

	if (2 * s->used >= s->capacity) {
		size_t capacity = s->capacity ? s->capacity * 2 : 1024;
		int64_t *slots = calloc(capacity, sizeof *slots);

		must(slots);
		for (size_t i = 0; i < s->capacity; i++)
			if (s->slots[i])
				seen_put(slots, capacity, s->slots[i]);
		free(s->slots);
		s->slots = slots;
		s->capacity = capacity;
	}
	is_new = seen_put(s->slots, s->capacity, number);
	s->used += is_new;
	return is_new;
}

struct gathered {
	int64_t *numbers; /* in order, collapsed */
	size_t n, capacity, enough;
	size_t anchor_at; /* SIZE_MAX: not there */
};

static bool
gather(struct box *b, sqlite3_stmt *s, const struct box_query *q, int64_t anchor,
	struct gathered *g)
{
	struct seen threads = { 0 };
	int result = SQLITE_DONE;

	g->anchor_at = SIZE_MAX;
	while (g->n < g->enough && (result = sqlite3_step(s)) == SQLITE_ROW) {
		if (q->collapses_threads && !seen_add(&threads, sqlite3_column_int64(s, 1)))
			continue;
		if (g->n == g->capacity) {
			g->capacity = g->capacity ? g->capacity * 2 : 1024;
			g->numbers = realloc(g->numbers, g->capacity * sizeof *g->numbers);
			must(g->numbers);
		}
		g->numbers[g->n] = sqlite3_column_int64(s, 0);
		if (g->numbers[g->n] == anchor)
			g->anchor_at = g->n;
		g->n++;
	}
	free(threads.slots);
	if (result !=
		SQLITE_ERROR) /* that is what a filter can lead to, and no fault of the index */
		index_note(b, result);
	return result == SQLITE_ROW || result == SQLITE_DONE;
}

/* RFC 8620 §5.5: where the window begins. False: the anchor is not there. */
static bool
window(const struct box_query *q, const struct gathered *g, int64_t *position)
{
	int64_t n = (int64_t)g->n;

	if (q->anchor.n && g->anchor_at == SIZE_MAX)
		return false;
	*position = q->anchor.n	      ? (int64_t)g->anchor_at + q->anchor_offset
		    : q->position < 0 ? n + q->position
				      : q->position;
	if (*position < 0)
		*position = 0;
	return true;
}

static bool
tell(struct box *b, const struct box_query *q, const struct gathered *g, struct arena *arena,
	struct box_found *found)
{
	size_t from = found->position < (int64_t)g->n ? (size_t)found->position : g->n,
	       most = g->n - from < q->limit ? g->n - from : q->limit;

	found->ids = arena_take(arena, (most + 1) * sizeof *found->ids);
	for (found->n = 0; found->ids && found->n < most; found->n++) {
		sqlite3_stmt *s = index_ask(b, "SELECT id FROM mail WHERE number = ?1", "i",
			g->numbers[from + found->n]);
		char id[BOX_ID];
		bool good = index_next(b, s);

		if (good)
			name_id('M', (const unsigned char *)index_octets(s, 0).p, id);
		index_done(s);
		if (!good || !arena_dup(arena, str_of(id), &found->ids[found->n]))
			return false;
	}
	return found->ids != NULL;
}

static int64_t
number_of(struct box *b, struct str id)
{
	unsigned char hash[BOX_HASH];

	if (!name_id_hash('M', id, hash))
		return -1;
	return index_number(b, "SELECT number FROM mail WHERE id = ?1", "b",
		(struct str){ (const char *)hash, sizeof hash });
}

static sqlite3_stmt *
prepare(struct asked *a, const struct box_query *q, struct err *e)
{
	sqlite3_stmt *s = NULL;

	a->sql.max = QUERY_SQL_MAX;
	buf_add(&a->sql, S("SELECT m.number, m.thread FROM mail m WHERE "));
	if (q->filter)
		add_term(a, q->filter, 0);
	else
		buf_add(&a->sql, S("1"));
	add_order(a, q);
	if (a->is_wrong || a->sql.overflow) {
		err_set(e, ERR_PERMANENT, ERR_TOO_BIG, "the filter has too many terms");
		return NULL;
	}
	if (!a->b->db || a->b->is_broken ||
		sqlite3_prepare_v2(a->b->db, a->sql.p, (int)a->sql.n, &s, NULL) != SQLITE_OK)
		err_set(e, ERR_TEMPORARY, ERR_LOCAL, "the index: %s",
			a->b->db ? sqlite3_errmsg(a->b->db) : "closed");
	return s;
}

bool
box_query(struct box *b, const struct box_query *q, struct arena *arena, struct box_found *found,
	struct err *e)
{
	bool is_short = !q->wants_total && !q->anchor.n && q->position >= 0;
	struct asked a = { .b = b };
	struct gathered g = { .enough = SIZE_MAX };
	sqlite3_stmt *s = prepare(&a, q, e);
	bool good = s != NULL;

	*found = (struct box_found){ 0 };
	if (is_short && q->limit < SIZE_MAX / 2 && q->position < INT64_MAX / 2)
		g.enough = (size_t)q->position + q->limit;
	if (good) {
		bind_values(&a, s);
		good = gather(b, s, q, q->anchor.n ? number_of(b, q->anchor) : -1, &g) ||
		       err_set(e, ERR_TEMPORARY, ERR_LOCAL, "the index: %s", sqlite3_errmsg(b->db));
		sqlite3_finalize(s);
	}
	found->total = g.n;
	found->has_no_anchor = good && !window(q, &g, &found->position);
	if (good && !found->has_no_anchor)
		good = tell(b, q, &g, arena, found) ||
		       err_set(e, ERR_TEMPORARY, ERR_NO_SPACE, "the answer is too long");
	free(g.numbers);
	asked_free(&a);
	return good;
}
