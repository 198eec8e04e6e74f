/* SPDX-License-Identifier: Apache-2.0 */
#include <sysexits.h>

#include "cmd/sendmail.h"
#include "smtp/address.h"

/* Where one stands in a list of addresses. */
struct lexer {
	struct buf *text;
	unsigned comments; /* how deep */
	bool is_quoted, is_angled, has_angle, is_literal;
	bool is_nameless; /* begins with ':', as :include: does */
	const char *end;  /* in the list: behind the address, so far */
};

/* What is inside quotes, comments, brackets or a literal divides nothing. */
static bool
is_divider(const struct lexer *l, char c)
{
	return (c == ',' || c == ';') && !l->is_quoted && !l->comments && !l->is_angled;
}

/* Behind an address in brackets another one begins, where somebody forgot the comma. */
static bool
is_next(const struct lexer *l, char c)
{
	return l->has_angle && !l->comments && !strchr(" \t\r\n(,;", c);
}

static bool
has_words(const struct buf *text)
{
	return str_trim(buf_str(text)).n > 0;
}

/* In quotes and comments, where a backslash takes the next octet with it. True: what stands at `at` is done with. */
static bool
take_shielded(struct lexer *l, const char *at, struct str *list)
{
	char c = *at;

	if (!l->is_quoted && !l->comments)
		return false;
	if (l->is_quoted && !l->has_angle)
		buf_add_char(l->text, c);
	if (c == '\\' && list->n) {
		if (l->is_quoted && !l->has_angle)
			buf_add_char(l->text, list->p[0]);
		*list = str_from(*list, 1);
	} else if (l->is_quoted) {
		l->is_quoted = c != '"';
		l->end = at + 1;
	} else {
		l->comments += (unsigned)(c == '(') - (unsigned)(c == ')');
	}
	return true;
}

static void
take_bare(struct lexer *l, char c, const char *behind)
{
	switch (c) {
	case '(':
		l->comments = 1;
		return;
	case '<': /* what stood before it was a name */
		buf_reset(l->text);
		l->is_angled = true;
		return;
	case '>':
		l->has_angle = l->is_angled;
		l->is_angled = false;
		return;
	case '[':
	case ']':
		l->is_literal = c == '[';
		break;
	case ':': /* the name of a group, or a source route, which RFC 5321 §4.1.2 has us leave out */
		l->is_nameless |= !l->is_literal && !has_words(l->text);
		if (!l->is_literal && !l->is_nameless) {
			buf_reset(l->text);
			return;
		}
		break;
	case '"':
		l->is_quoted = true;
		break;
	}
	if (l->has_angle)
		return;
	buf_add_char(l->text, c);
	if (c != ' ' && c != '\t')
		l->end = behind;
}

bool
sendmail_next_address(struct str *list, struct buf *text, const char **end)
{
	struct lexer l = { .text = text };

	buf_reset(text);
	while (list->n) {
		const char *at = list->p;

		if (is_next(&l, *at)) {
			if (has_words(text))
				break;
			l = (struct lexer){ .text = text };
		}
		*list = str_from(*list, 1);
		if (take_shielded(&l, at, list))
			continue;
		if (!is_divider(&l, *at)) {
			take_bare(&l, *at == '\r' || *at == '\n' ? ' ' : *at, at + 1);
			continue;
		}
		if (has_words(text))
			break;
		l = (struct lexer){ .text = text };
	}
	*end = l.end;
	return has_words(text);
}

static bool
has_domain(struct str address)
{
	bool is_quoted = false;

	for (size_t i = 0; i < address.n; i++)
		if (address.p[i] == '"')
			is_quoted = !is_quoted;
		else if (address.p[i] == '@' && !is_quoted)
			return true;
		else if (address.p[i] == '\\')
			i++;
	return false;
}

bool
sendmail_wire_form(struct sendmail *s, struct str address, struct str *wire)
{
	struct buf text = { .max = 4 * ADDRESS_PATH_MAX },
		   written = { .max = 2 * ADDRESS_PATH_MAX };
	struct address parsed;
	bool ok;

	address = str_trim(address);
	if (!has_domain(address)) {
		buf_add(&text, address);
		buf_add_char(&text, '@');
		buf_add(&text, str_of(s->domain));
	} else { /* as DNS writes a whole name: "example.org." */
		buf_add(&text, str_part(address, 0, address.n - (address.p[address.n - 1] == '.')));
	}
	ok = !text.overflow &&
	     address_parse(buf_str(&text), &s->arena, true, &parsed) == ADDRESS_OK;
	if (ok) {
		address_add(&written, parsed);
		wire->n = written.n;
		buf_add_char(&written, '\0'); /* the library takes its addresses so */
		ok = !written.overflow && arena_dup(&s->arena, buf_str(&written), wire);
		wire->n -= ok;
	}
	buf_free(&text);
	buf_free(&written);
	return ok;
}

void
sendmail_add_recipient(struct sendmail *s, struct str wire)
{
	struct sendmail_recipients *r = &s->recipients;

	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 16;
		r->p = memory_resize(NULL, r->p, r->room * sizeof *r->p);
	}
	r->p[r->n++] = wire;
}

/* The next of words that blanks divide; in quotes they divide nothing. */
static bool
next_word(struct str *words, struct str *word)
{
	bool is_quoted = false;
	size_t n = 0;

	*words = str_trim(*words);
	for (; n < words->n && (is_quoted || (words->p[n] != ' ' && words->p[n] != '\t')); n++)
		if (words->p[n] == '"')
			is_quoted = !is_quoted;
		else if (words->p[n] == '\\' && n + 1 < words->n)
			n++;
	*word = str_part(*words, 0, n);
	*words = str_from(*words, n);
	return n > 0;
}

/* What /etc/aliases knows, and no mail goes to from here. */
static bool
is_of_aliases(struct str text)
{
	bool is_local = !has_domain(text);

	scan_char(&text, '"');
	return str_starts(text, S(":")) ||
	       (is_local && (str_starts(text, S("|")) || str_starts(text, S("/"))));
}

/* An address, or several without the commas: all of them, or none and false. */
static bool
add_words(struct sendmail *s, struct str words)
{
	size_t before = s->recipients.n;
	struct str word, wire;

	while (next_word(&words, &word)) {
		if (!sendmail_wire_form(s, word, &wire)) {
			s->recipients.n = before;
			return false;
		}
		sendmail_add_recipient(s, wire);
	}
	return true;
}

void
sendmail_add_recipients(struct sendmail *s, struct str list, int exit_code)
{
	struct buf text = { .max = SENDMAIL_MEMORY_MAX };
	const char *end;

	while (sendmail_next_address(&list, &text, &end)) {
		struct str words = str_trim(buf_str(&text));

		if (is_of_aliases(words))
			sendmail_complain(s, exit_code, words,
				"there are no :include: lists, programs and files here; mail goes "
				"to addresses");
		else if (!add_words(s, words))
			sendmail_complain(s, exit_code, words, "this is not an address");
	}
	buf_free(&text);
}

void
sendmail_add_whole(struct sendmail *s, struct buf *to, struct str list)
{
	struct buf text = { .max = SENDMAIL_MEMORY_MAX };
	struct str rest = list, wire;
	const char *end, *copied = list.p;

	while (sendmail_next_address(&rest, &text, &end))
		if (end && !has_domain(buf_str(&text)) &&
			sendmail_wire_form(s, buf_str(&text), &wire)) {
			buf_add(to, (struct str){ copied, (size_t)(end - copied) });
			buf_add_char(to, '@');
			buf_add(to, str_of(s->domain));
			copied = end;
		}
	buf_add(to, str_from(list, (size_t)(copied - list.p)));
	buf_free(&text);
}
