/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

#include "base/codec.h"

/*
 * The words of a message, for search and for lists. HTML is not parsed for that, only scanned once: tags go, those that end a block
 * leave a blank, what is never shown (scripts, styles, the head) goes with them, references become characters. Whoever shows HTML does not use this.
 */

enum { TAG_MAX = 10 };

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

/* Written with single blanks, and stopped before it gets too long. */
struct words {
	struct buf *to;
	size_t begin, end;
	bool is_full;
};

static void
add_blank(struct words *w)
{
	if (w->to->n > w->begin && w->to->p[w->to->n - 1] != ' ' && w->to->n < w->end)
		buf_add_char(w->to, ' ');
}

static void
add_run(struct words *w, struct str run)
{
	size_t room = w->end - w->to->n;

	if (run.n > room) {
		w->is_full = true;
		run.n = room;
		while (run.n > 0 && ((unsigned char)run.p[run.n] & 0xc0) == 0x80)
			run.n--;
	}
	buf_add(w->to, run);
}

static void
add_text(struct words *w, struct str text)
{
	for (size_t i = 0, n; i < text.n && !w->is_full; i += n) {
		if (is_space(text.p[i])) {
			add_blank(w);
			n = 1;
			continue;
		}
		for (n = 1; i + n < text.n && !is_space(text.p[i + n]);)
			n++;
		add_run(w, str_part(text, i, n));
	}
}

/* ── HTML ── */

static bool
is_one_of(struct str name, const char *const *names)
{
	for (; *names; names++)
		if (str_eq_nocase(name, str_of(*names)))
			return true;
	return false;
}

/* Past </name>, or to the end. */
static void
skip_element(struct str *in, struct str name)
{
	struct str rest = *in;

	while (rest.n) {
		rest = str_from(rest, str_find(rest, '<'));
		if (str_starts(rest, S("</")) && str_starts_nocase(str_from(rest, 2), name))
			break;
		rest = str_from(rest, 1);
	}
	*in = rest;
}

/* Past the '>' of a tag; one in an attribute's quotes is not it. */
static void
skip_tag(struct str *in)
{
	char quote = '\0';
	size_t i = 0;

	for (; i < in->n && (quote || in->p[i] != '>'); i++)
		if (quote && in->p[i] == quote)
			quote = '\0';
		else if (!quote && (in->p[i] == '"' || in->p[i] == '\'') && i > 0 &&
			 (in->p[i - 1] == '=' || is_space(in->p[i - 1])))
			quote = in->p[i];
	*in = str_from(*in, i + 1);
}

static void
read_tag(struct words *w, struct str *in)
{
	static const char *const hidden[] = { "script", "style", "head", "template", "title",
		"noscript", "select", NULL };
	static const char *const of_text[] = { "a", "abbr", "b", "bdi", "bdo", "big", "code", "del",
		"em", "font", "i", "ins", "kbd", "mark", "o:p", "q", "s", "small", "span", "strike",
		"strong", "sub", "sup", "tt", "u", "var", "wbr", NULL };
	struct str name;
	bool is_end;

	if (str_starts(*in, S("<!--"))) {
		*in = str_from(*in, str_find_str(*in, S("-->")) + 3);
		return;
	}
	*in = str_from(*in, 1);
	is_end = scan_char(in, '/');
	name = str_part(*in, 0, 0);
	while (name.n < in->n && name.n < TAG_MAX && !is_space(in->p[name.n]) &&
		in->p[name.n] != '>' && in->p[name.n] != '/')
		name.n++;
	if (name.n == 0 || !(char_is_alpha(name.p[0]) || name.p[0] == '!' || name.p[0] == '?')) {
		add_text(w, is_end ? S("</") : S("<")); /* it is no tag */
		return;
	}
	skip_tag(in);
	if (!is_end && is_one_of(name, hidden))
		skip_element(in, name);
	if (!is_one_of(name, of_text))
		add_blank(w);
}

static const struct {
	struct str name;
	uint32_t code_point;
} references[] = { { S("amp"), '&' }, { S("lt"), '<' }, { S("gt"), '>' }, { S("quot"), '"' },
	{ S("apos"), '\'' }, { S("nbsp"), ' ' }, { S("ensp"), ' ' }, { S("emsp"), ' ' },
	{ S("shy"), 0xad }, { S("zwnj"), 0x200c }, { S("zwj"), 0x200d }, { S("copy"), 0xa9 },
	{ S("reg"), 0xae }, { S("trade"), 0x2122 }, { S("hellip"), 0x2026 }, { S("mdash"), 0x2014 },
	{ S("ndash"), 0x2013 }, { S("lsquo"), 0x2018 }, { S("rsquo"), 0x2019 },
	{ S("ldquo"), 0x201c }, { S("rdquo"), 0x201d }, { S("laquo"), 0xab }, { S("raquo"), 0xbb },
	{ S("bull"), 0x2022 }, { S("middot"), 0xb7 }, { S("euro"), 0x20ac }, { S("pound"), 0xa3 },
	{ S("yen"), 0xa5 }, { S("deg"), 0xb0 }, { S("sect"), 0xa7 }, { S("times"), 0xd7 },
	{ S("auml"), 0xe4 }, { S("ouml"), 0xf6 }, { S("uuml"), 0xfc }, { S("Auml"), 0xc4 },
	{ S("Ouml"), 0xd6 }, { S("Uuml"), 0xdc }, { S("szlig"), 0xdf }, { S("eacute"), 0xe9 },
	{ S("egrave"), 0xe8 }, { S("ecirc"), 0xea }, { S("agrave"), 0xe0 }, { S("aacute"), 0xe1 },
	{ S("acirc"), 0xe2 }, { S("ccedil"), 0xe7 }, { S("iacute"), 0xed }, { S("oacute"), 0xf3 },
	{ S("ocirc"), 0xf4 }, { S("uacute"), 0xfa }, { S("ntilde"), 0xf1 } };

/* "&#x6d4b;" at the head. */
static bool
scan_number(struct str *in, uint32_t *code_point)
{
	struct str rest = *in;
	uint64_t value = 0;
	char digit;
	size_t n = 0;

	if (!scan_word_nocase(&rest, S("&#")))
		return false;
	if (scan_char(&rest, 'x') || scan_char(&rest, 'X'))
		for (; n < rest.n && n < 8 &&
			codec_from_hex((struct str){ (char[]){ '0', rest.p[n] }, 2 }, &digit, 1);
			n++)
			value = value << 4 | (unsigned char)digit;
	else
		for (; n < rest.n && n < 8 && char_is_digit(rest.p[n]); n++)
			value = value * 10 + (uint64_t)(rest.p[n] - '0');
	if (n == 0)
		return false;
	rest = str_from(rest, n);
	scan_char(&rest, ';');
	*in = rest;
	*code_point = value > 0x10ffff ? 0xfffd : (uint32_t)value;
	return true;
}

static bool
scan_named(struct str *in, uint32_t *code_point)
{
	for (size_t i = 0; i < sizeof references / sizeof references[0]; i++)
		if (str_starts(str_from(*in, 1), references[i].name) &&
			str_starts(str_from(*in, 1 + references[i].name.n), S(";"))) {
			*in = str_from(*in, references[i].name.n + 2);
			*code_point = references[i].code_point;
			return true;
		}
	return false;
}

static void
read_reference(struct words *w, struct str *in)
{
	struct buf character = { .max = 8 };
	uint32_t c;

	if (!scan_number(in, &c) && !scan_named(in, &c)) {
		*in = str_from(*in, 1);
		c = '&';
	}
	if (c == 0xa0 || c <= ' ')
		add_blank(w);
	else if (c != 0xad && c != 0xfeff && (c < 0x200b || c > 0x200f) &&
		 c != 0x34f) { /* those that cannot be seen fill the previews of newsletters */
		letter_charset_add(&character, c);
		add_run(w, buf_str(&character));
	}
	buf_free(&character);
}

static struct words
words_begin(struct buf *to, size_t max)
{
	size_t room = to->max - to->n;

	return (struct words){ .to = to, .begin = to->n, .end = to->n + (max < room ? max : room) };
}

static size_t
text_length(struct str in)
{
	size_t n = 0;

	while (n < in.n && in.p[n] != '<' && in.p[n] != '&')
		n++;
	return n;
}

static void
read_html(struct words *w, struct str html)
{
	while (html.n && !w->is_full) {
		size_t n = text_length(html);

		add_text(w, str_part(html, 0, n));
		html = str_from(html, n);
		if (html.n && html.p[0] == '<')
			read_tag(w, &html);
		else if (html.n)
			read_reference(w, &html);
	}
}

/* ── of a message ── */

/* HTML has more octets than words. */
enum { HTML_FACTOR = 8, READ_MAX = 2 * 1024 * 1024 };

static void
read_part(struct letter *l, const struct letter_part *p, struct words *w, struct buf *text)
{
	struct letter_text_facts facts;
	size_t room = w->end - w->to->n, want = room * HTML_FACTOR + 4096;

	buf_reset(text);
	letter_text(l, p, want < READ_MAX ? want : READ_MAX, text, &facts);
	if (str_eq(p->type, S("text/html")))
		read_html(w, buf_str(text));
	else
		add_text(w, buf_str(text));
	add_blank(w);
}

void
letter_words(struct letter *l, size_t max, struct buf *to)
{
	const struct letter_view *view = letter_view(l);
	struct words w = words_begin(to, max);
	struct buf text = { .max = READ_MAX };

	for (size_t i = 0; i < view->text_n && !w.is_full; i++)
		if (str_starts(view->text[i]->type, S("text/")))
			read_part(l, view->text[i], &w, &text);
	buf_free(&text);
}

/* Lines that somebody else wrote, "> …", and rules are no news. */
static void
add_own_lines(struct words *w, struct str text)
{
	struct str line;

	while (text.n && !w->is_full) {
		if (!scan_until(&text, '\n', &line)) {
			line = text;
			text = S("");
		}
		if (str_starts(str_trim(line), S(">")) || str_starts(line, S("-----")) ||
			str_starts(line, S("_____")))
			continue;
		add_text(w, line);
		add_blank(w);
	}
}

void
letter_preview(struct letter *l, struct buf *to)
{
	const struct letter_view *view = letter_view(l);
	struct words w = words_begin(to, LETTER_PREVIEW_MAX);
	struct buf text = { .max = 64 * 1024 };
	struct letter_text_facts facts;

	for (size_t i = 0; i < view->text_n && to->n == w.begin; i++) {
		buf_reset(&text);
		if (str_eq(view->text[i]->type, S("text/plain"))) {
			letter_text(
				l, view->text[i], LETTER_PREVIEW_MAX * HTML_FACTOR, &text, &facts);
			add_own_lines(&w, buf_str(&text));
		} else if (str_eq(view->text[i]->type, S("text/html"))) {
			letter_text(l, view->text[i], text.max, &text, &facts);
			read_html(&w, buf_str(&text));
		}
	}
	if (to->n > w.begin && to->p[to->n - 1] == ' ')
		to->n--;
	buf_free(&text);
}
