/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

/*
 * Header fields in the forms of RFC 8621 §4.1.2. Every form reads its value once, from left to right, and at most LETTER_FIELD_MAX octets of it.
 *
 * Text is gathered as octets, with the charset of the word they came from: neighbouring encoded words of one charset are joined before they are
 * decoded, since many programs cut them in the middle of a character, which RFC 2047 §5 forbids.
 */

/* ── text: RFC 2047 ── */

enum { WORD_MAX = 4096 }; /* 75 by the RFC, and some write a whole subject in one */

struct word {
	struct str charset, text;
	bool is_base64;
};

/* "=?charset*language?B?text?=" at the head. */
static bool
scan_encoded_word(struct str *in, struct word *w)
{
	struct str rest = str_part(*in, 0, WORD_MAX), kind, language;
	size_t end;

	if (!scan_word_nocase(&rest, S("=?")) || !scan_until(&rest, '?', &w->charset) ||
		!scan_until(&rest, '?', &kind) || kind.n != 1)
		return false;
	str_cut(w->charset, '*', &w->charset, &language); /* RFC 2231 §5 */
	w->is_base64 = char_lower(kind.p[0]) == 'b';
	if ((!w->is_base64 && char_lower(kind.p[0]) != 'q') || w->charset.n == 0 ||
		w->charset.n > 40)
		return false;
	end = str_find_str(rest, S("?="));
	if (end == rest.n)
		return false;
	w->text = str_part(rest, 0, end);
	*in = str_from(*in, (size_t)(w->text.p - in->p) + end + 2);
	return true;
}

struct texts {
	struct buf octets; /* of `charset`, not decoded yet */
	struct str charset;
	struct buf *to;
};

static void
flush(struct texts *t)
{
	if (t->octets.n)
		letter_charset_text(t->charset, buf_str(&t->octets), t->to->max - t->to->n, t->to);
	buf_reset(&t->octets);
}

static void
add_octets(struct texts *t, struct str charset, struct str octets)
{
	if (!str_eq_nocase(charset, t->charset))
		flush(t);
	t->charset = charset;
	buf_add(&t->octets, octets);
}

static void
add_word(struct texts *t, const struct word *w)
{
	struct buf octets = { .max = LETTER_FIELD_MAX };

	if (w->is_base64)
		letter_decode(LETTER_BASE64, w->text, w->text.n, &octets);
	else
		letter_decode_q(w->text, &octets);
	add_octets(t, w->charset, buf_str(&octets));
	buf_free(&octets);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Where the next encoded word might begin. */
static size_t
plain_length(struct str in)
{
	size_t n = 1 + str_find_str(str_from(in, 1), S("=?"));

	return n < in.n ? n : in.n;
}

/* Control characters in what was decoded, line ends above all, are nobody's business: blanks. */
static void
clean(struct buf *to, size_t begin)
{
	for (size_t i = begin; i < to->n; i++)
		if ((unsigned char)to->p[i] < ' ' || to->p[i] == 127)
			to->p[i] = ' ';
}

static void
add_plain(struct texts *t, struct str s)
{
	for (size_t i = 0, n; i < s.n; i += n + 1) {
		for (n = 0; i + n < s.n && s.p[i + n] != '\r' && s.p[i + n] != '\n';)
			n++;
		add_octets(t, S(""),
			str_part(s, i, n)); /* a fold goes, its blank stays: RFC 5322 §2.2.3 */
	}
}

void
letter_field_text(struct str raw, struct buf *to)
{
	struct texts t = { .octets = { .max = LETTER_FIELD_MAX }, .to = to };
	struct word w;
	size_t begin = to->n, n;
	bool was_word = false;

	raw = str_part(raw, 0, LETTER_FIELD_MAX);
	while (raw.n && is_space(raw.p[0]))
		raw = str_from(raw, 1);
	while (raw.n && is_space(raw.p[raw.n - 1]))
		raw.n--;
	while (raw.n) {
		struct str behind = raw;

		for (n = 0; n < raw.n && is_space(raw.p[n]);)
			n++;
		if (was_word) /* blanks between two encoded words do not count: RFC 2047 §6.2 */
			behind = str_from(raw, n);
		if (scan_encoded_word(&behind, &w)) {
			add_word(&t, &w);
			raw = behind;
			was_word = true;
			continue;
		}
		n = plain_length(raw);
		add_plain(&t, str_part(raw, 0, n));
		raw = str_from(raw, n);
		was_word = false;
	}
	flush(&t);
	clean(to, begin);
	buf_free(&t.octets);
}

/* ── addresses: RFC 5322 §3.4 and what comes instead ── */

enum { ROUTE_MAX = 1024 };

struct reading {
	struct arena *arena;
	struct buf list;    /* struct letter_address */
	struct buf phrase;  /* before the '<', or all of it; out of its quotes */
	struct buf email;   /* between '<' and '>' */
	struct buf comment; /* the last one: "wei@example.org (Wei)" */
	bool has_angle, is_in_group, begins_group;
	struct str group;
};

static struct str
kept_text(struct reading *r, struct str octets)
{
	struct buf text = { .max = LETTER_FIELD_MAX * 4 };
	struct str copy;

	letter_field_text(octets, &text);
	if (!arena_dup(r->arena, str_trim(buf_str(&text)), &copy))
		copy = S("");
	buf_free(&text);
	return copy;
}

/* "jdoe@test . example" is an address with blanks that mean nothing (RFC 5322 §4.4), "Mary Smith mary@example.net" one without its brackets. */
static struct str
bare_address(struct str phrase, struct buf *email)
{
	size_t last = phrase.n;

	for (size_t i = 0; i < phrase.n; i++) {
		char before = email->n ? email->p[email->n - 1] : '\0',
		     next = i + 1 < phrase.n ? phrase.p[i + 1] : '\0';

		if (phrase.p[i] != ' ') {
			buf_add_char(email, phrase.p[i]);
			continue;
		}
		if (before == '.' || before == '@' || next == '.' || next == '@')
			continue;
		buf_reset(email);
		last = i;
	}
	return last < phrase.n ? str_part(phrase, 0, last) : S("");
}

static void
put_address(struct reading *r)
{
	struct letter_address a = {
		.group = r->group, .is_in_group = r->is_in_group, .begins_group = r->begins_group
	};
	struct str phrase = str_trim(buf_str(&r->phrase));

	if (r->has_angle) {
		a.email = kept_text(r, buf_str(&r->email));
		a.name = kept_text(r, phrase.n ? phrase : buf_str(&r->comment));
	} else if (str_find(phrase, '@') < phrase.n) {
		struct str name = bare_address(phrase, &r->email);

		a.email = kept_text(r, buf_str(&r->email));
		a.name = kept_text(r, name.n ? name : buf_str(&r->comment));
	} else
		a.name = kept_text(r, phrase);
	if (a.email.n || a.name.n) {
		buf_add(&r->list, (struct str){ (const char *)&a, sizeof a });
		r->begins_group = false;
	}
	buf_reset(&r->phrase);
	buf_reset(&r->email);
	buf_reset(&r->comment);
	r->has_angle = false;
}

static void
begin_group(struct reading *r)
{
	r->group = kept_text(r, buf_str(&r->phrase));
	r->is_in_group = r->begins_group = true;
	buf_reset(&r->phrase);
}

static void
end_group(struct reading *r)
{
	struct letter_address none = {
		.group = r->group, .is_in_group = true, .begins_group = true
	};

	put_address(r);
	if (r->is_in_group && r->begins_group)
		buf_add(&r->list, (struct str){ (const char *)&none, sizeof none });
	r->is_in_group = r->begins_group = false;
	r->group = S("");
}

/* Behind '<', to the '>' or where an address without it ends. A route, "@a,@b:", is dropped (RFC 5322 §4.4). */
static void
read_angle(struct reading *r, struct str *in)
{
	struct str route;

	r->has_angle = true;
	buf_reset(&r->email);
	letter_skip_cfws(in, NULL);
	if (in->n && in->p[0] == '@' &&
		str_find(str_part(*in, 0, ROUTE_MAX), ':') <
			str_find(str_part(*in, 0, ROUTE_MAX), '>'))
		scan_until(in, ':', &route);
	while (in->n && in->p[0] != '>') {
		if (in->p[0] == '"') {
			buf_add_char(&r->email, '"');
			letter_quoted(in, false, &r->email);
			buf_add_char(&r->email, '"');
			continue;
		}
		if (in->p[0] == ',' || in->p[0] == '<')
			return;
		if (in->p[0] == '(' || is_space(in->p[0])) {
			letter_skip_cfws(in, NULL);
			continue;
		}
		buf_add_char(&r->email, in->p[0]);
		*in = str_from(*in, 1);
	}
	scan_char(in, '>');
}

static void
add_blank(struct reading *r, struct str before, struct str behind)
{
	if (behind.n < before.n && r->phrase.n && !is_space(r->phrase.p[r->phrase.n - 1]))
		buf_add_char(&r->phrase, ' ');
}

/* One piece of an address list. */
static void
read_piece(struct reading *r, struct str *in)
{
	struct str before = *in;
	struct word w;

	letter_skip_cfws(in, &r->comment);
	add_blank(r, before, *in);
	if (in->n == 0)
		return;
	before = *in;
	if (letter_quoted(in, false, &r->phrase))
		return;
	if (scan_encoded_word(in, &w)) { /* its text may have commas in it */
		buf_add(&r->phrase, str_part(before, 0, before.n - in->n));
		return;
	}
	*in = str_from(*in, 1);
	switch (before.p[0]) {
	case '<':
		read_angle(r, in);
		break;
	case ',':
		put_address(r);
		break;
	case ';':
		end_group(r);
		break;
	case ':':
		if (!r->is_in_group && !r->has_angle)
			begin_group(r);
		break;
	default:
		buf_add_char(&r->phrase, before.p[0]);
	}
}

size_t
letter_field_addresses(struct str raw, struct arena *arena, struct letter_address **list)
{
	struct reading r = { .arena = arena,
		.list = { .max = LETTER_FIELD_MAX * sizeof(struct letter_address) },
		.phrase = { .max = LETTER_FIELD_MAX * 2 },
		.email = { .max = LETTER_FIELD_MAX * 2 },
		.comment = { .max = LETTER_FIELD_MAX } };
	size_t n = 0;

	raw = str_part(raw, 0, LETTER_FIELD_MAX);
	while (raw.n)
		read_piece(&r, &raw);
	end_group(&r);
	*list = arena_take(arena, r.list.n + 1);
	if (*list && r.list.n) {
		memcpy(*list, r.list.p, r.list.n);
		n = r.list.n / sizeof **list;
	}
	buf_free(&r.list);
	buf_free(&r.phrase);
	buf_free(&r.email);
	buf_free(&r.comment);
	return n;
}

/* ── what stands between < and > ── */

static struct str
trim(struct str s)
{
	while (s.n && is_space(s.p[0]))
		s = str_from(s, 1);
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

static size_t
read_angles(struct str raw, struct arena *arena, struct str **list)
{
	size_t n = 0, room = 0;
	struct str item, before;

	for (size_t i = 0; i < raw.n; i++)
		room += raw.p[i] == '<';
	*list = arena_take(arena, (room + 1) * sizeof **list);
	while (*list && scan_until(&raw, '<', &before) && scan_until(&raw, '>', &item)) {
		item = trim(item);
		if (item.n)
			(*list)[n++] = item;
	}
	return n;
}

size_t
letter_field_ids(struct str raw, struct arena *arena, struct str **list)
{
	size_t n;

	raw = trim(str_part(raw, 0, LETTER_FIELD_MAX));
	n = read_angles(raw, arena, list);
	if (n == 0 && *list && raw.n && str_find(raw, '<') == raw.n)
		(*list)[n++] =
			raw; /* without its brackets: RFC 5322 forbids it, and it names a message all the same */
	return n;
}

size_t
letter_field_urls(struct str raw, struct arena *arena, struct str **list)
{
	return read_angles(str_part(raw, 0, LETTER_FIELD_MAX), arena, list);
}
