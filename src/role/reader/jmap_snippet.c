/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_email.h"

/*
 * SearchSnippet/get, RFC 8621 §5.1: the subject, and the words around the first place in the body, with what was looked for in <mark>. Everything else
 * is escaped, so that the page may show it as HTML: a snippet has no other tag than this one.
 *
 * What was looked for are the words of the filter's text, subject and body; "…" holds several together. Case does not matter; so both sides are
 * compared in small letters, character by character.
 */

enum {
	WORDS_MAX = 32,
	TEXT_MAX = 256 * 1024, /* octets of a body that are looked at */
	SNIPPET_MAX = 255,     /* octets: RFC 8621 §5 */
	BEFORE = 40,	       /* octets shown before the first place */
};

struct word {
	uint32_t *letters; /* small */
	size_t n;
	bool in_subject, in_body;
};

struct snippets {
	struct arena *arena;
	struct word words[WORDS_MAX];
	size_t n;
};

/* ── letters ── */

/* Capital letters and how far off the small ones are: alphabets where that is regular. `every` second one is a capital where they take turns. */
static const struct {
	uint32_t first, last, every, off;
} capitals[] = {
	{ 'A', 'Z', 1, 32 },
	{ 0xc0, 0xd6, 1, 32 },
	{ 0xd8, 0xde, 1, 32 },
	{ 0x100, 0x136, 2, 1 },
	{ 0x139, 0x147, 2, 1 },
	{ 0x14a, 0x176, 2, 1 },
	{ 0x179, 0x17d, 2, 1 },
	{ 0x391, 0x3a9, 1, 32 },
	{ 0x400, 0x40f, 1, 80 },
	{ 0x410, 0x42f, 1, 32 },
	{ 0x460, 0x480, 2, 1 },
	{ 0x531, 0x556, 1, 48 },
	{ 0x1e00, 0x1efe, 2, 1 },
	{ 0xff21, 0xff3a, 1, 32 },
};

static uint32_t
small_letter(struct str text, size_t *n)
{
	uint32_t rune = box_rune(text, n);

	for (size_t i = 0; i < sizeof capitals / sizeof *capitals; i++)
		if (rune >= capitals[i].first && rune <= capitals[i].last)
			return (rune - capitals[i].first) % capitals[i].every
				       ? rune
				       : rune + capitals[i].off;
	return rune;
}

/* ── what was looked for ── */

static void
add_word(struct snippets *s, struct str word, enum box_term_kind kind)
{
	struct word *w = &s->words[s->n];

	if (!word.n || s->n == WORDS_MAX)
		return;
	w->letters = arena_take(s->arena, word.n * sizeof *w->letters);
	if (!w->letters)
		return;
	for (size_t n; word.n; word = str_from(word, n))
		w->letters[w->n++] = small_letter(word, &n);
	w->in_subject = kind != BOX_BODY;
	w->in_body = kind != BOX_SUBJECT;
	s->n++;
}

/* As words_match cuts them: a quote of either kind begins a phrase, where it stands before a word and there is another to end it. */
static void
add_words(struct snippets *s, struct str text, enum box_term_kind kind)
{
	while (text.n) {
		bool is_quoted = *text.p == '"' || *text.p == '\'';
		struct str rest = str_from(text, is_quoted), phrase;
		size_t n = 0;

		if (is_quoted && str_find(rest, *text.p) < rest.n) {
			str_cut(rest, *text.p, &phrase, &text);
			add_word(s, phrase, kind);
			continue;
		}
		while (n < rest.n && !strchr(" \t\r\n\"", rest.p[n]))
			n++;
		add_word(s, str_part(rest, 0, n), kind);
		text = str_from(rest, n < rest.n && rest.p[n] != '"' ? n + 1 : n);
	}
}

/* What a filter says must be there: of NOT nothing. As deep as email_read_filter lets it be. */
static void
collect(struct snippets *s, const struct box_term *t)
{
	if (t->kind == BOX_TEXT || t->kind == BOX_SUBJECT || t->kind == BOX_BODY)
		add_words(s, t->text, t->kind);
	for (size_t i = 0; i < t->sub_n && t->kind != BOX_NOT; i++)
		collect(s, &t->sub[i]);
}

/* ── finding and marking ── */

/* Octets at the beginning of `text` that are this word; 0: they are not. */
static size_t
length_here(const struct word *w, struct str text)
{
	size_t at = 0, n;

	for (size_t i = 0; i < w->n; i++, at += n)
		if (at == text.n || small_letter(str_from(text, at), &n) != w->letters[i])
			return 0;
	return at;
}

static size_t
longest_here(const struct snippets *s, struct str text, bool is_subject)
{
	size_t longest = 0, n;

	for (size_t i = 0; i < s->n; i++)
		if (is_subject ? s->words[i].in_subject : s->words[i].in_body) {
			n = length_here(&s->words[i], text);
			longest = n > longest ? n : longest;
		}
	return longest;
}

static size_t
character_size(struct str text)
{
	size_t n;

	box_rune(text, &n);
	return n;
}

/* The first place of any of the words, or text.n. */
static size_t
first_place(const struct snippets *s, struct str text, bool is_subject)
{
	size_t at = 0;

	while (at < text.n && !longest_here(s, str_from(text, at), is_subject))
		at += character_size(str_from(text, at));
	return at;
}

/* Ends before a piece that would make it longer than its cap. */
static json_t *
mark(const struct snippets *s, struct str text, bool is_subject, size_t most)
{
	struct buf to = { .max = most };
	json_t *j;

	while (text.n && !to.overflow) {
		size_t found = longest_here(s, text, is_subject),
		       n = found ? found : character_size(text), kept = to.n;

		if (found)
			buf_add(&to, S("<mark>"));
		buf_add_markup(&to, str_part(text, 0, n));
		if (found)
			buf_add(&to, S("</mark>"));
		if (to.overflow)
			to.n = kept;
		text = str_from(text, n);
	}
	j = jmap_text(buf_str(&to));
	buf_free(&to);
	return j;
}

/* ── one mail ── */

/* Null: none of the words is in it (RFC 8621 §5). */
static json_t *
subject_of(const struct snippets *s, const struct box_mail *m)
{
	json_t *summary = json_loadb(m->summary.p ? m->summary.p : "", m->summary.n, 0, NULL),
	       *snippet = json_null();
	struct str subject = jmap_str(json_object_get(summary, "subject"));

	if (subject.n && first_place(s, subject, true) < subject.n)
		snippet = mark(s, subject, true, 16 * subject.n + 64);
	json_decref(summary);
	return snippet;
}

static json_t *
preview_in(const struct snippets *s, struct str text)
{
	size_t at = first_place(s, text, false), begin;

	if (at == text.n)
		return json_null();
	begin = at > BEFORE ? at - BEFORE : 0;
	while (begin < at && ((unsigned char)text.p[begin] & 0xc0) == 0x80)
		begin++;
	return mark(s, str_from(text, begin), false, SNIPPET_MAX);
}

static json_t *
preview_of(const struct snippets *s, struct box *box, const struct box_mail *m)
{
	struct buf text = { .max = 4 * TEXT_MAX };
	struct letter *letter;
	json_t *snippet = json_null();
	struct str octets;

	if (!box_read(box, m, &octets))
		return snippet;
	letter = letter_open(octets);
	letter_words(letter, TEXT_MAX, &text);
	if (text.n && str_is_utf8(buf_str(&text)))
		snippet = preview_in(s, str_trim(buf_str(&text)));
	letter_free(&letter);
	box_read_free(&octets);
	buf_free(&text);
	return snippet;
}

static json_t *
snippet_of(const struct snippets *s, struct box *box, const struct box_mail *m)
{
	return json_pack("{s:o, s:o, s:o}", "emailId", jmap_text(m->id), "subject",
		subject_of(s, m), "preview", s->n ? preview_of(s, box, m) : json_null());
}

enum jmap_step
jmap_search_snippet_get(struct jmap_request *r, json_t *arguments, json_t **answer)
{
	static const char *const names[] = { "filter", "emailIds", NULL };
	const struct box_term *filter;
	struct snippets s = { .arena = &r->arena };
	json_t *list, *not_found, *id;
	bool all, is_fixed;
	size_t i;

	if ((*answer = jmap_check_arguments(arguments, names)) ||
		!email_read_filter(
			r, json_object_get(arguments, "filter"), &filter, &is_fixed, answer) ||
		!jmap_ids(arguments, "emailIds", JMAP_OBJECTS_GET_MAX, &all, answer))
		return JMAP_DONE;
	if (all) {
		*answer = jmap_error("invalidArguments", "emailIds is missing");
		return JMAP_DONE;
	}
	if (filter)
		collect(&s, filter);
	list = json_array();
	not_found = json_array();
	json_array_foreach (json_object_get(arguments, "emailIds"), i, id) {
		struct box_mail m;

		if (box_mail(r->box, jmap_id(r, id), &r->arena, &m))
			json_array_append_new(list, snippet_of(&s, r->box, &m));
		else
			json_array_append(not_found, id);
	}
	*answer = json_pack("{s:s, s:o, s:o}", "accountId", JMAP_ACCOUNT, "list", list, "notFound",
		json_array_size(not_found) ? not_found : json_null());
	if (!json_array_size(not_found))
		json_decref(not_found);
	return JMAP_DONE;
}
