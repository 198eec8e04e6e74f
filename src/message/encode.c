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
 * Body: ASCII in lines up to 998 goes as it is; anything else as quoted-printable (RFC 2045 §6.7) or
 * base64 (§6.8), whichever is shorter, in lines of at most 76. Three octets of Chinese are nine columns in the one and four in
 * the other.
 */

enum {
	LINE_COLUMNS = 76,
	WORD_MAX = 75,
	WORD_FRAME = 12,      /* =?UTF-8?Q??= */
	WORD_LEAST = 24,      /* columns below which a word begins on the next line */
	PLAIN_WORD_MAX = 900, /* a longer one could not be folded below 998 */
	BODY_LINE_MAX = 998,
	SOFT_BREAK = 3, /* =CRLF */
	CHUNK_LINES = 64,
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

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
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

struct str
encode_character(struct str text)
{
	size_t n = 1;

	while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n++;
	return str_part(text, 0, n);
}

/* Ends base64 without padding. */
static bool
is_unpadded(struct str s)
{
	return s.n % 3 == 0;
}

/* The longest beginning of s, at least one character, that encodes into `room` octets; in base64, the longest that needs no
 * padding, if there is one. */
static struct str
fitting(struct str s, size_t room, bool as_q)
{
	struct str fits = encode_character(s), more = fits, unpadded = { 0 };
	size_t used = as_q ? q_size(fits) : 0;

	while (more.n < s.n) {
		struct str next = encode_character(str_from(s, more.n));

		more.n += next.n;
		used += as_q ? q_size(next) : 0;
		if ((as_q ? used : codec_base64_size(more.n)) > room)
			return unpadded.n ? unpadded : fits;
		fits = more;
		if (!as_q && is_unpadded(fits))
			unpadded = fits;
	}
	return fits;
}

/*
 * Some readers (GMime) take neighbouring words for one run of base64, and lose what is behind its padding. So only the last word has
 * any, and one that cannot do without is in Q.
 */
void
encode_words(struct buf *to, struct str text)
{
	bool as_q = q_size(text) <= codec_base64_size(text.n);

	while (text.n && !to->overflow) {
		size_t at = encode_column(to), room;
		bool is_q = as_q;
		struct str part;

		if (at + WORD_LEAST > LINE_COLUMNS) {
			buf_add(to, S("\r\n "));
			at = 1;
		}
		room = LINE_COLUMNS - at < WORD_MAX ? LINE_COLUMNS - at : WORD_MAX;
		part = fitting(text, room - WORD_FRAME, is_q);
		if (!is_q && part.n < text.n && !is_unpadded(part)) {
			is_q = true;
			part = fitting(text, room - WORD_FRAME, is_q);
		}
		buf_add(to, is_q ? S("=?UTF-8?Q?") : S("=?UTF-8?B?"));
		if (is_q)
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
bool
encode_is_plain(struct str text)
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

	while (n < text.n && is_blank(text.p[n]))
		n++;
	while (n < text.n && !is_blank(text.p[n]))
		n++;
	return str_part(text, 0, n);
}

bool
encode_can_fold(struct str text)
{
	for (struct str word; text.n; text = str_from(text, word.n)) {
		word = leading_word(text);
		if (word.n > PLAIN_WORD_MAX)
			return false;
	}
	return true;
}

void
encode_folded(struct buf *to, struct str text)
{
	if (text.n)
		buf_add_char(to, ' ');
	for (struct str word; text.n; text = str_from(text, word.n)) {
		word = leading_word(text);
		if (is_blank(word.p[0]) && encode_column(to) + word.n > LINE_COLUMNS)
			buf_add(to, S("\r\n"));
		buf_add(to, word);
	}
}

void
encode_unstructured(struct buf *to, struct str text)
{
	text = str_trim(text);
	if (encode_is_plain(text) && encode_can_fold(text)) {
		encode_folded(to, text);
		return;
	}
	buf_add_char(to, ' ');
	encode_words(to, text);
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

/* A name in encoded words has no quotes to escape (RFC 2047 §5 (3)). */
static void
add_encoded_name(struct buf *to, struct str name)
{
	struct buf plain = { .max = name.n + 1, .memory = to->memory };

	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '\\' && i + 1 < name.n)
			i++;
		buf_add_char(&plain, name.p[i]);
	}
	encode_words(to, buf_str(&plain));
	to->overflow |= plain.overflow;
	buf_free(&plain);
}

void
encode_quoted(struct buf *to, struct str text)
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
	if (!encode_is_plain(name) || name.n > LINE_COLUMNS)
		add_encoded_name(to, name);
	else if (is_phrase_of_atoms(name))
		buf_add(to, name);
	else
		encode_quoted(to, name);
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

/* RFC 2045 §6.7 (2), (3): blanks at a line's end do not stand for themselves. */
static bool
is_itself_in_quoted_printable(struct str line, size_t i)
{
	char c = line.p[i];

	return is_blank(c) ? i + 1 < line.n : is_printable(c) && c != '=';
}

/* §6.7 (5): a soft line break is an `=` at column 76 at the latest. */
static void
add_quoted_printable_line(struct buf *to, struct str line)
{
	size_t at = 0;

	for (size_t i = 0; i < line.n; i++) {
		bool is_itself = is_itself_in_quoted_printable(line, i);
		size_t n = is_itself ? 1 : 3;

		if (at + n > (i + 1 == line.n ? LINE_COLUMNS : LINE_COLUMNS - 1)) {
			buf_add(to, S("=\r\n"));
			at = 0;
		}
		if (is_itself)
			buf_add_char(to, line.p[i]);
		else
			add_escaped(to, line.p[i]);
		at += n;
	}
	buf_add(to, S("\r\n"));
}

size_t
encode_base64_lines(char *to, struct str s)
{
	char *begin = to;

	for (; s.n; s = str_from(s, ENCODE_BASE64_LINE)) {
		to += codec_base64(to, str_part(s, 0, ENCODE_BASE64_LINE));
		*to++ = '\r';
		*to++ = '\n';
	}
	return (size_t)(to - begin);
}

uint64_t
encode_base64_lines_size(uint64_t n)
{
	return (n + 2) / 3 * 4 + (n + ENCODE_BASE64_LINE - 1) / ENCODE_BASE64_LINE * 2;
}

/* Octets on their way into base64, a chunk of whole lines at a time. */
struct chunk {
	struct buf *to;
	size_t n;
	char octets[CHUNK_LINES * ENCODE_BASE64_LINE];
};

static void
chunk_end(struct chunk *c)
{
	char *room = buf_room(c->to, encode_base64_lines_size(c->n));

	if (room)
		buf_grew(c->to, encode_base64_lines(room, (struct str){ c->octets, c->n }));
	c->n = 0;
}

static void
chunk_add(struct chunk *c, struct str s)
{
	while (s.n) {
		struct str part = str_part(s, 0, sizeof c->octets - c->n);

		memcpy(c->octets + c->n, part.p, part.n);
		c->n += part.n;
		s = str_from(s, part.n);
		if (c->n == sizeof c->octets)
			chunk_end(c);
	}
}

/* RFC 2045 §6.8: line ends are CRLF before they are encoded. */
static void
add_base64_text(struct buf *to, struct str text)
{
	struct chunk chunk = { .to = to };

	for (struct str line; scan_text_line(&text, &line);) {
		chunk_add(&chunk, line);
		chunk_add(&chunk, S("\r\n"));
	}
	chunk_end(&chunk);
}

static bool
is_shorter_as_quoted_printable(struct str text)
{
	size_t octets = 0, columns = 0;

	for (struct str line; scan_text_line(&text, &line); octets += line.n + 2) {
		size_t begin = columns;

		for (size_t i = 0; i < line.n; i++)
			columns += is_itself_in_quoted_printable(line, i) ? 1 : 3;
		columns += (columns - begin) / LINE_COLUMNS * SOFT_BREAK + 2;
	}
	return columns <= encode_base64_lines_size(octets);
}

void
encode_text(struct buf *to, struct str subtype, struct str text)
{
	bool is_plain = is_plain_text(text);
	bool is_quoted = !is_plain && is_shorter_as_quoted_printable(text);

	buf_add(to, S("Content-Type: text/"));
	buf_add(to, subtype);
	buf_add(to, str_is_ascii(text) ? S("; charset=us-ascii\r\n") : S("; charset=utf-8\r\n"));
	buf_add(to, S("Content-Transfer-Encoding: "));
	buf_add(to, is_plain ? S("7bit") : is_quoted ? S("quoted-printable") : S("base64"));
	buf_add(to, S("\r\n\r\n"));
	if (!is_plain && !is_quoted) {
		add_base64_text(to, text);
		return;
	}
	for (struct str line; scan_text_line(&text, &line);)
		if (is_plain) {
			buf_add(to, line);
			buf_add(to, S("\r\n"));
		} else {
			add_quoted_printable_line(to, line);
		}
}
