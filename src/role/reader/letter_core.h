/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_LETTER_CORE_H
#define ROLE_READER_LETTER_CORE_H

#include "role/reader/letter.h"

/* What the files of letter share; nobody else includes it. */

/* ── letter_wall.c: where the parts lie ── */

struct letter_place {
	size_t parent;	   /* in the list; that of the root is its own */
	struct str header; /* without the empty line */
	struct str body;   /* of a multipart: its preamble */
	size_t fields_n, sub_n;
	bool is_multipart;
};
/* All parts, each behind its parent, in the order of the message; the list lies in the arena. False: too much of something; then the
 * list has the root alone, with as much of its header as the limits allow. */
bool letter_wall(struct str octets, struct arena *arena, struct letter_place **list, size_t *n);
/* The next field of a header, whose lines end in LF or CRLF. */
bool letter_next_field(struct str *header, struct letter_field *field);

/* ── letter_param.c: Content-Type and its like ── */

/* "text/plain", or "attachment": the value before the parameters, lower case, without comments; empty where it is no token or no two. */
void letter_value(struct str raw, bool is_type, struct buf *to);
/* A parameter in UTF-8, sections joined (RFC 2231); false: none. */
bool letter_param(struct str raw, struct str name, struct buf *to);
/* A file's name, by which it may be kept: the last part of its path, no control characters, none that turn the direction of writing. */
void letter_clean_name(struct str name, struct buf *to);
/* Blanks, line ends and comments (RFC 5322 §3.2.2) at the head of `in`; what the last comment said goes to `comment`, which may be NULL. */
void letter_skip_cfws(struct str *in, struct buf *comment);
/* At a '"': what it says. Backslashes hide what is behind them, or with keeps_backslash only another one and a quote: paths of DOS. */
bool letter_quoted(struct str *in, bool keeps_backslash, struct buf *to);

/* ── letter_transfer.c: Content-Transfer-Encoding ── */

enum letter_encoding { LETTER_PLAIN, LETTER_BASE64, LETTER_QUOTED_PRINTABLE, LETTER_UNKNOWN };
enum letter_encoding letter_encoding_of(struct str raw);
/* False: malformed, all the same decoded as far as it goes. Stops when `to` is full, which is no failure: the caller looks at to->overflow. */
bool letter_decode(enum letter_encoding encoding, struct str body, size_t max, struct buf *to);
uint64_t letter_decoded_size(enum letter_encoding encoding, struct str body);
void letter_decode_q(struct str word, struct buf *to); /* RFC 2047 §4.2 */

/* ── letter_charset.c, letter_guess.c ── */

enum letter_charset {
	LETTER_NO_CHARSET = -1,
	LETTER_UTF_8,
	LETTER_WINDOWS_1252,
	LETTER_ISO_2022_JP,
	LETTER_GB18030,
	LETTER_BIG5,
	LETTER_SHIFT_JIS,
	LETTER_EUC_JP,
	LETTER_EUC_KR,
	LETTER_OTHERS /* from here on by number: they are only declared, never guessed */
};
int letter_charset_of(struct str label);      /* LETTER_NO_CHARSET: none that we read */
const char *letter_charset_name(int charset); /* for iconv */
/* Octets to UTF-8, at most max octets of it, cut at a character. False: there was something malformed, in whose place U+FFFD stands. */
bool letter_charset_decode(int charset, struct str octets, size_t max, struct buf *to);
/* As declared; where that is nothing, not known, or the octets are not of it, as guessed. False: they were not as declared. */
bool letter_charset_text(struct str label, struct str octets, size_t max, struct buf *to);
void letter_charset_add(struct buf *to, uint32_t code_point); /* UTF-8 */
size_t letter_ascii_run(struct str s);			      /* octets of ASCII at the head */
size_t letter_utf8_length(struct str s); /* of the character at the head; 0: malformed */

void letter_guess_prepare(void);
int letter_guess(struct str octets);

/* ── letter_words.c ── */

/* What `mime` of a part points to. */
struct letter_piece {
	struct str body; /* as it stands in the message */
	enum letter_encoding encoding;
	bool is_charset_declared;
};

struct letter {
	struct str octets;
	struct arena arena;
	bool is_source, is_viewed;
	const struct letter_part **parts; /* each behind its parent; the first is the root */
	size_t parts_n;
	struct letter_view view;
};

static inline const struct letter_piece *
letter_piece(const struct letter_part *p)
{
	return p->mime;
}

#endif
