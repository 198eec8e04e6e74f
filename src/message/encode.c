/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

#include "base/codec.h"

/*
 * How text becomes what mail can carry.
 *
 * Header: plain ASCII goes as it is, folded before blanks. Anything else goes in encoded words,
 * `=?UTF-8?Q?…?=` or `=?UTF-8?B?…?=`, whichever is shorter for the whole text; each at most 75
 * octets, in lines of at most 76, and never cut inside a character (RFC 2047 §2, §5). Blanks
 * between neighbouring words vanish for the reader, so all blanks of the text lie inside words.
 *
 * Body: ASCII in lines up to 998 goes as it is; anything else as quoted-printable (RFC 2045 §6.7),
 * in lines of at most 76.
 */

enum {
	LINE_COLUMNS = 76,
	WORD_MAX = 75,
	WORD_FRAME = 12,      /* =?UTF-8?Q??= */
	WORD_LEAST = 24,      /* columns below which a word begins on the next line */
	PLAIN_WORD_MAX = 900, /* a longer one could not be folded below 998 */
	BODY_LINE_MAX = 998,
};

static const char hex_digits[] = "0123456789ABCDEF";

bool
encode_is_clean(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '\r' || text.p[i] == '\n' || text.p[i] == '\0')
			return false;
	return str_is_utf8(text);
}

static bool
is_printable(char c)
{
	return c >= ' ' && c < 0x7f;
}

size_t
encode_column(const struct buf *to)
{
	const char *line_end = to->n ? memrchr(to->p, '\n', to->n) : NULL;

	return line_end ? to->n - (size_t)(line_end - to->p) - 1 : to->n;
}

/* ── Encoded words ───────────────────────────────────────────────────────────────────────────── */

/* An octet as Q and quoted-printable write it. */
static void
add_escaped(struct buf *to, char octet)
{
	unsigned char c = (unsigned char)octet;
	char escaped[3] = { '=', hex_digits[c >> 4], hex_digits[c & 15] };

	buf_add(to, (struct str){ escaped, sizeof escaped });
}

/* What may stand for itself in a Q word anywhere, also in a phrase: RFC 2047 §5 (3). */
static bool
is_plain_in_q(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || (c && strchr("!*+-/", c));
}

static size_t
q_size(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += is_plain_in_q(s.p[i]) || s.p[i] == ' ' ? 1 : 3;
	return n;
}

static void
add_q(struct buf *to, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_plain_in_q(s.p[i]))
			buf_add_char(to, s.p[i]);
		else if (s.p[i] == ' ')
			buf_add_char(to, '_');
		else
			add_escaped(to, s.p[i]);
}

static size_t
b_size(struct str s)
{
	return (s.n + 2) / 3 * 4;
}

static size_t
character_size(struct str s)
{
	size_t n = 1;

	while (n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* The longest beginning of s, at least one character, that encodes into `room` octets. */
static struct str
fitting(struct str s, size_t room, bool as_q)
{
	struct str fits = str_part(s, 0, character_size(s)), more = fits;
	size_t used = as_q ? q_size(fits) : 0;

	while (more.n < s.n) {
		struct str next = str_part(s, more.n, character_size(str_from(s, more.n)));

		more.n += next.n;
		used += as_q ? q_size(next) : 0;
		if ((as_q ? used : b_size(more)) > room)
			break;
		fits = more;
	}
	return fits;
}

static void
add_encoded_words(struct buf *to, struct str text)
{
	bool as_q = q_size(text) <= b_size(text);

	while (text.n && !to->overflow) {
		size_t at = encode_column(to), room;
		struct str part;

		if (at + WORD_LEAST > LINE_COLUMNS) {
			buf_add(to, S("\r\n "));
			at = 1;
		}
		room = LINE_COLUMNS - at < WORD_MAX ? LINE_COLUMNS - at : WORD_MAX;
		part = fitting(text, room - WORD_FRAME, as_q);
		buf_add(to, as_q ? S("=?UTF-8?Q?") : S("=?UTF-8?B?"));
		if (as_q)
			add_q(to, part);
		else
			codec_add_base64(to, part);
		buf_add(to, S("?="));
		text = str_from(text, part.n);
		if (text.n)
			buf_add(to, S("\r\n "));
	}
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────── */

/* Printable ASCII that no reader would take for an encoded word. */
static bool
is_plain(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!is_printable(text.p[i]))
			return false;
	return str_find_str(text, S("=?")) == text.n;
}

/* Blanks and the word behind them. */
static struct str
leading_word(struct str text)
{
	size_t n = 0;

	while (n < text.n && text.p[n] == ' ')
		n++;
	while (n < text.n && text.p[n] != ' ')
		n++;
	return str_part(text, 0, n);
}

static bool
has_word_too_long(struct str text)
{
	for (struct str word; text.n; text = str_from(text, word.n)) {
		word = leading_word(text);
		if (word.n > PLAIN_WORD_MAX)
			return true;
	}
	return false;
}

void
encode_unstructured(struct buf *to, struct str text)
{
	text = str_trim(text);
	if (text.n)
		buf_add_char(to, ' ');
	if (!is_plain(text) || has_word_too_long(text)) {
		add_encoded_words(to, text);
		return;
	}
	for (struct str word; text.n; text = str_from(text, word.n)) {
		word = leading_word(text);
		if (word.p[0] == ' ' && encode_column(to) + word.n > LINE_COLUMNS)
			buf_add(to, S("\r\n"));
		buf_add(to, word);
	}
}

/* Letters, digits and what else an atom may hold (RFC 5322 §3.2.3), and blanks between atoms. */
static bool
is_phrase_of_atoms(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!char_is_alpha(text.p[i]) && !char_is_digit(text.p[i]) &&
			!strchr(" !#$%&'*+-/=?^_`{|}~", text.p[i]))
			return false;
	return true;
}

static void
add_quoted(struct buf *to, struct str text)
{
	buf_add_char(to, '"');
	for (size_t i = 0; i < text.n; i++) {
		bool is_escaped = text.p[i] == '\\' && i + 1 < text.n; /* kept as it came */

		if (text.p[i] == '"' || (text.p[i] == '\\' && !is_escaped))
			buf_add_char(to, '\\');
		buf_add_char(to, text.p[i]);
		if (is_escaped)
			buf_add_char(to, text.p[++i]);
	}
	buf_add_char(to, '"');
}

void
encode_mailbox(struct buf *to, struct str name, struct str address)
{
	buf_add(to,
		encode_column(to) + name.n + address.n + 4 > LINE_COLUMNS ? S("\r\n ") : S(" "));
	if (name.n == 0) {
		buf_add(to, address);
		return;
	}
	if (!is_plain(name) || name.n > LINE_COLUMNS)
		add_encoded_words(to, name);
	else if (is_phrase_of_atoms(name))
		buf_add(to, name);
	else
		add_quoted(to, name);
	buf_add(to, encode_column(to) + address.n + 3 > LINE_COLUMNS ? S("\r\n <") : S(" <"));
	buf_add(to, address);
	buf_add_char(to, '>');
}

/* ── Text ────────────────────────────────────────────────────────────────────────────────────── */

/* One line of text without its end, which may be CRLF, LF or CR. */
static bool
scan_text_line(struct str *in, struct str *line)
{
	size_t n = 0;

	if (in->n == 0)
		return false;
	while (n < in->n && in->p[n] != '\n' && in->p[n] != '\r')
		n++;
	*line = str_part(*in, 0, n);
	*in = str_from(*in, n);
	if (!scan_word_nocase(in, S("\r\n")) && !scan_char(in, '\n'))
		scan_char(in, '\r');
	return true;
}

static bool
is_plain_text(struct str text)
{
	for (struct str line; scan_text_line(&text, &line);) {
		if (line.n > BODY_LINE_MAX)
			return false;
		for (size_t i = 0; i < line.n; i++)
			if (!is_printable(line.p[i]) && line.p[i] != '\t')
				return false;
	}
	return true;
}

/* RFC 2045 §6.7: blanks at a line's end are encoded, and a soft line break is an `=` at column 76
 * at the latest. */
static void
add_quoted_printable_line(struct buf *to, struct str line)
{
	size_t at = 0;

	for (size_t i = 0; i < line.n; i++) {
		char c = line.p[i];
		bool is_last = i + 1 == line.n;
		bool is_blank = c == ' ' || c == '\t';
		bool is_itself = is_blank ? !is_last : is_printable(c) && c != '=';
		size_t n = is_itself ? 1 : 3, room = is_last ? LINE_COLUMNS : LINE_COLUMNS - 1;

		if (at + n > room) {
			buf_add(to, S("=\r\n"));
			at = 0;
		}
		if (is_itself)
			buf_add_char(to, c);
		else
			add_escaped(to, c);
		at += n;
	}
	buf_add(to, S("\r\n"));
}

void
encode_text(struct buf *to, struct str text)
{
	bool is_ascii = str_is_ascii(text), is_plain = is_plain_text(text);

	buf_add(to, S("Content-Type: text/plain; charset="));
	buf_add(to, is_ascii ? S("us-ascii\r\n") : S("utf-8\r\n"));
	buf_add(to, S("Content-Transfer-Encoding: "));
	buf_add(to, is_plain ? S("7bit\r\n\r\n") : S("quoted-printable\r\n\r\n"));
	for (struct str line; scan_text_line(&text, &line);)
		if (is_plain) {
			buf_add(to, line);
			buf_add(to, S("\r\n"));
		} else {
			add_quoted_printable_line(to, line);
		}
}
