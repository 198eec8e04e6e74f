/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "cmd/merge.h"

/*
 * {column} becomes the cell, {{ a brace; any other } stands for itself.
 *
 * Whoever made the table may not be who writes the mail, so a cell stays what the form has it for: in a header field it is a part of that
 * field, in a list of mailboxes a name or one mailbox, in HTML a text, in a path nothing that leads up. Where it cannot be, the row is
 * wrong; nothing is left out or changed silently.
 */

enum { FILLED_MAX = 64 << 20 };

/* Where a cell stands. */
enum place { IN_TEXT, IN_HTML, IN_LINE, IN_PATH, IN_NAME, IN_ANGLES, IN_MAILBOX };

enum piece { PIECE_TEXT, PIECE_COLUMN, PIECE_END, PIECE_OPEN };

/* The next piece of a form: text, or the name of a column. PIECE_OPEN: a brace that is not closed. */
static enum piece
next_piece(struct str *form, struct str *piece)
{
	size_t brace = str_find(*form, '{'), end;
	bool is_closed;

	if (form->n == 0)
		return PIECE_END;
	if (brace > 0) {
		*piece = str_part(*form, 0, brace);
		*form = str_from(*form, brace);
		return PIECE_TEXT;
	}
	if (str_starts(*form, S("{{"))) {
		*piece = S("{");
		*form = str_from(*form, 2);
		return PIECE_TEXT;
	}
	end = str_find(*form, '}');
	is_closed = end < form->n;
	*piece = str_part(*form, 1, end - 1);
	*form = str_from(*form, end + is_closed);
	return is_closed ? PIECE_COLUMN : PIECE_OPEN;
}

static void
list_columns(const struct merge_table *t, struct buf *list)
{
	for (size_t i = 0; i < t->columns_n; i++) {
		buf_add(list, i ? S(", ") : S(""));
		buf_add(list, str_trim(t->columns[i]));
	}
}

bool
merge_check(const struct merge_table *t, struct str form, struct err *e)
{
	struct buf names = { .max = 100 };
	struct str piece;
	size_t column;

	for (;;)
		switch (next_piece(&form, &piece)) {
		case PIECE_TEXT:
			break;
		case PIECE_COLUMN:
			if (merge_table_find(t, piece, &column))
				break;
			list_columns(t, &names);
			err_set(e, ERR_PERMANENT, ERR_OTHER,
				"no column is called {%.*s}: there are %.*s%s (a brace of its own "
				"is {{)",
				STR_ARG(str_part(piece, 0, 30)), STR_ARG(buf_str(&names)),
				names.overflow ? ", …" : "");
			buf_free(&names);
			return false;
		case PIECE_OPEN:
			return err_set(e, ERR_PERMANENT, ERR_OTHER,
				"a { without its }: {%.*s (a brace of its own is {{)",
				STR_ARG(str_part(piece, 0, 30)));
		case PIECE_END:
			return true;
		}
}

/* ── Cells ── */

static bool
has_any(struct str s, const char *octets)
{
	for (size_t i = 0; i < s.n; i++)
		if (strchr(octets, s.p[i]))
			return true;
	return false;
}

static bool
has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == '\x7F')
			return true;
	return false;
}

static bool
leads_up(struct str path)
{
	struct str part;

	while (path.n) {
		str_cut(path, '/', &part, &path);
		if (str_eq(part, S("..")))
			return true;
	}
	return false;
}

/* Why the cell may not stand here; NULL: it may. */
static const char *
objection(struct str cell, enum place place)
{
	switch (place) {
	case IN_TEXT:
	case IN_HTML:
		return NULL;
	case IN_PATH:
		if (has_control(cell) || str_find_str(cell, S(";name=")) < cell.n ||
			str_find_str(cell, S(";type=")) < cell.n)
			return "holds more than a path";
		return leads_up(cell) ? "holds \"..\"" : NULL;
	case IN_ANGLES:
		if (has_any(cell, "<> \t"))
			return "holds more than an address";
		break;
	case IN_MAILBOX:
		break;
	case IN_LINE:
	case IN_NAME:
		return has_control(cell) ? "holds a line end or control character" : NULL;
	}
	if (has_control(cell))
		return "holds a line end or control character";
	return has_any(cell, ",;") ? "holds more than one mailbox" : NULL;
}

static void
add_escaped(struct buf *to, struct str cell, enum place place)
{
	for (size_t i = 0; i < cell.n; i++) {
		char c = cell.p[i];

		if (place == IN_NAME && (c == '"' || c == '\\'))
			buf_add_char(to, '\\');
		if (place != IN_HTML || !strchr("&<>\"'", c))
			buf_add_char(to, c);
		else
			buf_addf(to, "&#%d;", c);
	}
}

/* All of a form into `to`, its cells as the place wants them. */
static bool
add_form(const struct merge_table *t, struct str form, enum place place, struct buf *to,
	struct err *e)
{
	struct str piece, cell;
	const char *wrong;
	size_t column;

	for (enum piece kind; (kind = next_piece(&form, &piece)) != PIECE_END;) {
		if (kind == PIECE_TEXT) {
			buf_add(to, piece);
			continue;
		}
		must(kind == PIECE_COLUMN && merge_table_find(t, piece, &column));
		cell = merge_table_cell(t, column);
		if (place != IN_TEXT && place != IN_HTML)
			cell = str_trim(cell);
		wrong = objection(cell, place);
		if (wrong)
			return err_set(e, ERR_PERMANENT, ERR_OTHER, "{%.*s} %s",
				STR_ARG(str_part(piece, 0, 60)), wrong);
		add_escaped(to, cell, place);
	}
	return true;
}

/* ── Mailboxes ── */

/* The form of one mailbox, up to a comma that is in no quotes, braces or angles. */
static struct str
next_mailbox(struct str *forms)
{
	bool in_quotes = false, in_braces = false, in_angles = false;
	struct str one;
	size_t i;

	for (i = 0; i < forms->n; i++) {
		char c = forms->p[i];

		if (c == '"' && !in_braces)
			in_quotes = !in_quotes;
		else if (c == '{' || c == '}')
			in_braces = c == '{';
		else if ((c == '<' || c == '>') && !in_quotes)
			in_angles = c == '<';
		else if (c == ',' && !in_quotes && !in_braces && !in_angles)
			break;
	}
	one = str_trim(str_part(*forms, 0, i));
	*forms = str_from(*forms, i < forms->n ? i + 1 : i);
	return one;
}

/* NAME: as a quoted string (RFC 5322 §3.2.4), whatever is in it; none where all of it is empty. */
static bool
add_name(const struct merge_table *t, struct str form, struct buf *to, struct err *e)
{
	size_t begin;

	form = str_trim(form);
	if (form.n >= 2 && form.p[0] == '"' && form.p[form.n - 1] == '"')
		form = str_part(form, 1, form.n - 2);
	buf_add_char(to, '"');
	begin = to->n;
	if (!add_form(t, form, IN_NAME, to, e))
		return false;
	if (str_trim(str_from(buf_str(to), begin)).n == 0)
		to->n = begin - 1;
	else
		buf_add(to, S("\" "));
	return true;
}

/* NAME <ADDRESS>, or a form that has no angles, which becomes nothing where it is empty. */
static bool
add_mailbox(const struct merge_table *t, struct str form, struct buf *to, struct err *e)
{
	size_t angle = str_find(form, '<'), begin = to->n;
	struct str address = str_from(form, angle);

	buf_add(to, begin ? S(", ") : S(""));
	if (angle == form.n) {
		size_t filled = to->n;
		bool ok = add_form(t, form, IN_MAILBOX, to, e);

		if (to->n == filled)
			to->n = begin;
		return ok;
	}
	if (!add_name(t, str_part(form, 0, angle), to, e) ||
		!add_form(t, address, IN_ANGLES, to, e))
		return false;
	if (str_ends_nocase(buf_str(to), S("<>")))
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "%.*s is empty", STR_ARG(address));
	return true;
}

static bool
add_mailboxes(const struct merge_table *t, struct str forms, struct buf *to, struct err *e)
{
	while (forms.n)
		if (!add_mailbox(t, next_mailbox(&forms), to, e))
			return false;
	return true;
}

bool
merge_fill(const struct merge_table *t, struct str form, enum merge_field field,
	struct arena *arena, const char **filled, struct err *e)
{
	static const enum place places[] = { [MERGE_TEXT] = IN_TEXT,
		[MERGE_HTML] = IN_HTML,
		[MERGE_LINE] = IN_LINE,
		[MERGE_PATH] = IN_PATH };
	struct buf to = { .max = FILLED_MAX };
	struct str copy = { 0 };
	bool ok = field == MERGE_MAILBOXES ? add_mailboxes(t, form, &to, e)
					   : add_form(t, form, places[field], &to, e);

	buf_add_char(&to, '\0');
	if (ok && (to.overflow || !arena_dup(arena, buf_str(&to), &copy)))
		ok = err_set(e, ERR_PERMANENT, ERR_OTHER, "the filled mail is too large");
	*filled = copy.p;
	buf_free(&to);
	return ok;
}
