/* SPDX-License-Identifier: Apache-2.0 */
#include <sysexits.h>

#include "cmd/sendmail.h"
#include "smtp/address.h"

/* Where one stands in a list of addresses. */
struct lexer {
	struct buf *text;
	unsigned comments; /* how deep */
	bool is_quoted, is_angled, has_angle, is_literal;
	const char *end; /* in the list: behind the address, so far */
};

/* What is inside quotes, comments, brackets or a literal divides nothing. */
static bool
is_divider(const struct lexer *l, char c)
{
	return (c == ',' || c == ';') && !l->is_quoted && !l->comments && !l->is_angled;
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
		if (!l->is_literal) {
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
	bool is_over = false;

	buf_reset(text);
	while (list->n && !is_over) {
		const char *at = list->p;

		*list = str_from(*list, 1);
		if (take_shielded(&l, at, list))
			continue;
		if (is_divider(&l, *at) && str_trim(buf_str(text)).n)
			is_over = true;
		else if (is_divider(&l, *at))
			l = (struct lexer){ .text = text };
		else
			take_bare(&l, *at == '\r' || *at == '\n' ? ' ' : *at, at + 1);
	}
	*end = l.end;
	return str_trim(buf_str(text)).n > 0;
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

	buf_add(&text, str_trim(address));
	if (!has_domain(address)) {
		buf_add_char(&text, '@');
		buf_add(&text, str_of(s->domain));
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

void
sendmail_add_recipients(struct sendmail *s, struct str list)
{
	struct buf text = { .max = SENDMAIL_MEMORY_MAX };
	struct str wire;
	const char *end;

	while (sendmail_next_address(&list, &text, &end))
		if (sendmail_wire_form(s, buf_str(&text), &wire))
			sendmail_add_recipient(s, wire);
		else
			sendmail_complain(s, EX_DATAERR, buf_str(&text), "this is not an address");
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
