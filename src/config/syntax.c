/* SPDX-License-Identifier: Apache-2.0 */
#include "config/syntax.h"

#include "base/must.h"

/*
 * libconfuse reads the file; what it would get wrong or leave unsaid is dealt with before and
 * around it.
 *
 * Before (struct sweep), on a copy of the text:
 *   – comments become blanks: each # or // moves the library's count of lines by two too many
 *   – what it takes in silence is refused: an open brace, quote or comment, an unquoted *, ${…}
 * (every role parses the same octets, and must not see another meaning through its environment),
 * NUL, BOM, control characters, what is not UTF-8 – the line of each section's opening brace is
 * kept, because the library has only that of the closing one Around: each value is checked as it is
 * read, when the line is known; messages of the library are said in our words; an unknown word is
 * looked up among its neighbours.
 */

enum { DEPTH_MAX = 8, SHOWN_MAX = 60, WRONG_MAX = 160 };

/* A bit of cfg_opt_t.flags that the library does not use: this option was set before. */
#define OPTION_SEEN ((cfg_flag_t)1 << 24)

struct syntax {
	const char *name;
	struct err *e;
	unsigned *opened; /* the lines of the sections' opening braces, in the order in which the
			     sections close */
	size_t opened_n, closed;
};

/* Whose parse this is: the library hands nothing of ours to its callbacks. */
static _Thread_local struct syntax *current;

static bool fail(struct syntax *s, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool
fail(struct syntax *s, unsigned line, const char *format, ...)
{
	char text[sizeof s->e->text];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return err_set(s->e, ERR_PERMANENT, ERR_OTHER, "%s:%u: %s", s->name, line, text);
}

/* A word of the file, for a message: as much as fits. */
static struct str
shown(const char *word)
{
	return str_part(str_of(word), 0, SHOWN_MAX);
}

/* ── before: the sweep ── */

struct sweep {
	struct syntax *syntax;
	char *at, *end; /* the copy, NUL-terminated at end */
	unsigned line;
	char before; /* the last character that is not blank */
	struct {
		unsigned line;
		bool is_list;
	} open[DEPTH_MAX];
	size_t depth;
};

static bool
sweep_starts(const struct sweep *w, struct str prefix)
{
	return str_starts((struct str){ w->at, (size_t)(w->end - w->at) }, prefix);
}

static void
sweep_line_comment(struct sweep *w)
{
	while (w->at < w->end && *w->at != '\n')
		*w->at++ = ' ';
}

static bool
sweep_long_comment(struct sweep *w)
{
	unsigned begin = w->line;

	*w->at++ = ' ';
	*w->at++ = ' ';
	for (; w->at < w->end && !sweep_starts(w, S("*/")); w->at++) {
		if (*w->at == '\n')
			w->line++;
		else
			*w->at = ' ';
	}
	if (w->at == w->end)
		return fail(w->syntax, begin, "the comment that begins here has no */");
	*w->at++ = ' ';
	*w->at++ = ' ';
	return true;
}

static bool
is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7f;
}

/* Of the library's escapes only \" \' and \\ are taken, so that a value holds nothing that the file
 * does not show. */
static bool
sweep_quoted(struct sweep *w)
{
	char quote = *w->at++;

	for (; w->at < w->end && *w->at != '\n' && *w->at != quote; w->at++) {
		if (is_control(*w->at))
			return fail(
				w->syntax, w->line, "octet %u is no text", (unsigned char)*w->at);
		if (quote == '"' && sweep_starts(w, S("${")))
			return fail(w->syntax, w->line,
				"${…} is not taken here; write the value itself");
		if (*w->at == '\\' && (++w->at == w->end || str_find(S("\"'\\"), *w->at) == 3))
			return fail(w->syntax, w->line, "write \\ as \\\\ inside quotes");
	}
	if (w->at == w->end || *w->at != quote)
		return fail(w->syntax, w->line, "a quote (%c) is not closed on its line", quote);
	w->at++;
	w->before = quote;
	return true;
}

static bool
sweep_open(struct sweep *w)
{
	if (w->depth == DEPTH_MAX)
		return fail(w->syntax, w->line, "too many open braces");
	w->open[w->depth].line = w->line;
	w->open[w->depth++].is_list = w->before == '=';
	return true;
}

static bool
sweep_close(struct sweep *w)
{
	struct syntax *s = w->syntax;

	if (w->depth == 0)
		return fail(s, w->line, "a closing brace without an opening one");
	if (!w->open[--w->depth].is_list)
		s->opened[s->opened_n++] = w->open[w->depth].line;
	return true;
}

static bool
sweep_bare(struct sweep *w)
{
	char c = *w->at;

	if (is_control(c))
		return fail(w->syntax, w->line, "octet %u is no text", (unsigned char)c);
	if (c == '*')
		return fail(w->syntax, w->line, "a * stands in quotes: \"*\", \"*:25\"");
	if (c == '|' || sweep_starts(w, S("${")))
		return fail(w->syntax, w->line, "`%.*s` is not taken here; write it in '…' quotes",
			c == '|' ? 1 : 2, w->at);
	if ((c == '{' && !sweep_open(w)) || (c == '}' && !sweep_close(w)))
		return false;
	if (c == '\n')
		w->line++;
	else if (c != ' ' && c != '\t' && c != '\r')
		w->before = c;
	w->at++;
	return true;
}

/* Inside an unquoted word // is part of it, as in smtp://[::1]. */
static bool
at_word(const struct sweep *w, const char *begin)
{
	return w->at == begin || str_find(S(" \t\r\n={},"), w->at[-1]) < 8;
}

static bool
sweep(struct syntax *s, struct str copy)
{
	struct sweep w = { .syntax = s, .at = (char *)(uintptr_t)copy.p, .line = 1 };
	bool good = true;

	w.end = w.at + copy.n;
	while (good && w.at < w.end) {
		if (*w.at == '#' || (at_word(&w, copy.p) && sweep_starts(&w, S("//"))))
			sweep_line_comment(&w);
		else if (at_word(&w, copy.p) && sweep_starts(&w, S("/*")))
			good = sweep_long_comment(&w);
		else if (*w.at == '"' || *w.at == '\'')
			good = sweep_quoted(&w);
		else
			good = sweep_bare(&w);
	}
	if (good && w.depth)
		return fail(
			s, w.open[w.depth - 1].line, "the brace that opens here is never closed");
	return good;
}

static bool
check_encoding(struct syntax *s, struct str text)
{
	struct str rest = text, line;

	if (str_starts(text, S("\xef\xbb\xbf")))
		return fail(s, 1, "the file begins with a byte order mark; save it as plain UTF-8");
	for (unsigned number = 1; rest.n; number++) {
		str_cut(rest, '\n', &line, &rest);
		if (!str_is_utf8(line))
			return fail(s, number, "this line is not UTF-8");
		if (str_find(line, '\0') < line.n)
			return fail(s, number, "octet 0 is no text");
	}
	return true;
}

/* ── did you mean ── */

static const char *
nearest(const cfg_t *section, struct str word)
{
	const char *found = NULL;
	size_t least = word.n / 3 + 1;

	for (const cfg_opt_t *o = section->opts; o->name; o++) {
		size_t d = str_distance(word, str_of(o->name));

		if (d <= least && (!found || d < least)) {
			least = d;
			found = o->name;
		}
	}
	return found;
}

/* The section's row: the library knows a section by the last part of its path, the file as a whole
 * as "root". */
static const struct option_section *
section_of(const cfg_t *section)
{
	for (size_t i = 1; i < option_sections_n; i++)
		if (strcmp(section->name, option_sections[i].name) == 0)
			return &option_sections[i];
	return &option_sections[0];
}

static bool
fail_unknown(struct syntax *s, const cfg_t *section, const char *word)
{
	const char *meant = nearest(section, str_of(word));
	struct str text = shown(word);
	unsigned line = (unsigned)section->line;

	if (meant)
		return fail(
			s, line, "unknown option `%.*s`; did you mean `%s`?", STR_ARG(text), meant);
	for (const struct option *o = option_table; o < option_table + option_table_n; o++)
		if (strcmp(o->name, word) == 0)
			return fail(s, line, "`%s` does not belong here, but %s%s", word,
				o->section[0] ? "into " : "outside of all braces",
				o->section[0] ? o->section : "");
	return fail(s, line, "unknown option `%.*s`; `posthouse check --options` lists all",
		STR_ARG(text));
}

/* ── around: the library's callbacks ── */

/* What the library says, and how we say it; each has one word in it, or none. */
static const struct {
	const char *theirs, *ours;
	bool has_word;
} words[] = {
	{ "missing equal sign after option '%s'", "`%.*s` needs = and a value", true },
	{ "missing title for section '%s'", "`%.*s` needs a name, then {", true },
	{ "missing opening brace for section '%s'", "`%.*s` needs an opening brace", true },
	{ "found duplicate title '%s'", "`%.*s` is here twice%s", true },
	{ "attempt to append to non-list option '%s'",
		"`%.*s` is no list: write = instead of +=", true },
	{ "unexpected token '%s'", "`%.*s` is not expected here", true },
	{ "premature end of file", "the file ends in the middle of an option", false },
};

/* The library does not say of which kind the section is: the doors' names are those that people write twice. */
static const char *
twice_advice(struct str title)
{
	return str_eq(title, S("smtp")) || str_starts(title, S("submission"))
		       ? "; write both addresses in one: on = {\"…\", \"…\"}"
		       : "";
}

static void
on_error(cfg_t *section, const char *format, va_list args)
{
	struct syntax *s = current;
	unsigned line = (unsigned)section->line;
	char text[WRONG_MAX];

	if (err_is(s->e))
		return;
	if (strcmp(format, "no such option '%s'") == 0) {
		fail_unknown(s, section, va_arg(args, const char *));
		return;
	}
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		struct str word;

		if (strcmp(format, words[i].theirs) != 0)
			continue;
		word = words[i].has_word ? shown(va_arg(args, const char *)) : (struct str){ 0 };
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* from the table above */
		snprintf(text, sizeof text, words[i].ours, STR_ARG(word), twice_advice(word));
		fail(s, line, "%s", text);
		return;
	}
	vsnprintf(text, sizeof text, format, args);
#pragma GCC diagnostic pop
	fail(s, line, "%s", text);
}

static const struct option *
option_of(const cfg_t *section, const char *name)
{
	const char *path = section_of(section)->path;

	for (const struct option *o = option_table; o < option_table + option_table_n; o++)
		if (strcmp(o->section, path) == 0 && strcmp(o->name, name) == 0)
			return o;
	must(false);
	return NULL;
}

/* After each value, for a list after each member and once more at its end. Nonzero stops the parse.
 */
static int
on_value(cfg_t *section, cfg_opt_t *opt)
{
	const struct option *o = option_of(section, opt->name);
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
	struct buf wrong = { .max = WRONG_MAX };
	union option_value ignored;
	unsigned line = (unsigned)section->line;
	struct str text = shown(value);

	if (!option_is_list(o) && (opt->flags & OPTION_SEEN)) {
		fail(current, line, "`%s` is set twice", o->name);
	} else if (!option_read(o, str_of(value), &ignored, &wrong)) {
		fail(current, line, "`%s = %.*s` %.*s", o->name, STR_ARG(text),
			STR_ARG(buf_str(&wrong)));
	}
	opt->flags |= OPTION_SEEN;
	buf_free(&wrong);
	return err_is(current->e) ? -1 : 0;
}

/* The same title in other letters: the library has found those that are alike to the octet. */
static bool
has_twin(cfg_opt_t *opt, const char *title)
{
	for (unsigned i = 0; i + 1 < cfg_opt_size(opt); i++)
		if (str_eq_nocase(str_of(cfg_title(cfg_opt_getnsec(opt, i))), str_of(title)))
			return true;
	return false;
}

/* When a section closes. */
static int
on_section(cfg_t *parent, cfg_opt_t *opt)
{
	struct syntax *s = current;
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	const struct option_section *row = section_of(section);
	const char *title = cfg_title(section), *wrong;
	unsigned line = s->opened[s->closed++];
	struct str text = shown(title);

	(void)parent;
	if (!row->title && (opt->flags & OPTION_SEEN))
		fail(s, line, "`%s` is here twice", row->name);
	else if (row->title && has_twin(opt, title))
		fail(s, line, "`%s %.*s` is here twice", row->name, STR_ARG(text));
	else if (row->title && (wrong = row->wrong(str_of(title))))
		fail(s, line, "`%s %.*s` %s", row->name, STR_ARG(text), wrong);
	for (const struct option *o = option_table; o < option_table + option_table_n; o++)
		if (!err_is(s->e) && strcmp(o->section, row->path) == 0 && !o->value &&
			cfg_size(section, o->name) == 0)
			fail(s, line, "`%s %.*s` has no `%s`; write %s = %s", row->name,
				STR_ARG(text), o->name, o->name, o->example);
	opt->flags |= OPTION_SEEN;
	return err_is(s->e) ? -1 : 0;
}

/* ── the whole ── */

static cfg_opt_t
option_declaration(const struct option *o)
{
	return (cfg_opt_t){ .name = o->name,
		.type = CFGT_STR,
		.validcb = on_value,
		.flags = CFGF_NODEFAULT | (option_is_list(o) ? CFGF_LIST : CFGF_NONE) };
}

/* The table as the library wants it, the inner sections first. The library copies it. */
static cfg_t *
declare(void)
{
	enum { SECTIONS_MAX = 16, OPTIONS_MAX = 24 };
	cfg_opt_t lists[SECTIONS_MAX][OPTIONS_MAX];
	size_t n;

	must(option_sections_n <= SECTIONS_MAX);
	for (size_t i = option_sections_n; i-- > 0;) {
		const struct option_section *row = &option_sections[i];

		n = 0;
		for (const struct option *o = option_table; o < option_table + option_table_n; o++)
			if (strcmp(o->section, row->path) == 0)
				lists[i][n++] = option_declaration(o);
		for (size_t child = i + 1; child < option_sections_n; child++)
			if (strcmp(option_sections[child].parent, row->path) == 0)
				lists[i][n++] = (cfg_opt_t){ .name = option_sections[child].name,
					.type = CFGT_SEC,
					.subopts = lists[child],
					.validcb = on_section,
					.flags = option_sections[child].title
							 ? CFGF_MULTI | CFGF_TITLE |
								   CFGF_NO_TITLE_DUPES
							 : CFGF_NODEFAULT };
		must(n < OPTIONS_MAX);
		lists[i][n] = (cfg_opt_t)CFG_END();
	}
	return cfg_init(lists[0], CFGF_NONE);
}

cfg_t *
syntax_parse(struct str text, const char *name, struct err *e)
{
	struct syntax s = { .name = name, .e = e };
	char *copy = malloc(text.n + 1);
	cfg_t *tree = NULL;

	*e = (struct err){ 0 };
	s.opened = calloc(text.n + 1, sizeof *s.opened);
	must(copy && s.opened && !current);
	if (text.n)
		memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	if (!check_encoding(&s, text) || !sweep(&s, (struct str){ copy, text.n }))
		goto done;
	current = &s;
	tree = declare();
	must(tree);
	cfg_set_error_function(tree, on_error);
	if (cfg_parse_buf(tree, copy) != CFG_SUCCESS) {
		if (!err_is(e))
			fail(&s, (unsigned)tree->line, "this cannot be read");
		cfg_free(tree);
		tree = NULL;
	}
	current = NULL;
done:
	free(s.opened);
	free(copy);
	return tree;
}
