/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/data.h"

#include "smtp/reply.h"

/*
 * Where a message ends, and what its octets are.
 *
 * Smuggling is two hosts that disagree about the end of a message: one takes LF.LF or CR.CR for it,
 * the other does not, and what lies behind becomes a second mail that nobody admitted. Four rules
 * keep us out of that:
 *
 *  1. Only the five octets CR LF . CR LF end a message. The CRLF behind the DATA command counts as
 *     the first of them, so that a lone dot is an empty message.
 *  2. Only a dot that follows CRLF is taken away. A dot behind a bare CR or LF is text, also where
 *     that bare end is repaired: it did not begin a line on the wire, and when the message goes on
 *     with real line ends, the next client stuffs it.
 *  3. A CR without LF, or an LF without CR, is noted. The caller refuses the whole message, or has
 *     asked for repair: then CRLF comes out in its place, never the bare octet.
 *  4. Where the input happens to be cut changes nothing. A cut may fall between any two octets, so
 *     what is not decided yet (a CR, a first dot) is held back in the state, not in the piece.
 *
 *                      ┌───────── CR LF (whole in the input: text_next) ─────────┐
 *                      ▼                                                         │
 *   data_begin ──▶ LINE_START ──── any other octet ──────────────────────────▶ TEXT ◀── data_begin
 *                    │   ▲                                                     ▲  │     (a chunk)
 *                    '.' │ LF: CRLF comes out                                  │  │ CR, input cut
 *                    │   └────────────────────── CR ◀──────────────────────────┼──┘ (text_next)
 *                    ▼                           ▲ └─ any other: bare CR ──────┤
 *                   DOT ── any other: the dot is dropped ──────────────────────┘
 *                    │                           │
 *                    CR                          │
 *                    ▼                           │
 *                 DOT_CR ─── any other ──────────┘
 *                    │
 *                    LF
 *                    ▼
 *                 DATA_END
 *
 * Chunks of BDAT know neither dots nor LINE_START: their CRLF leads back to TEXT.
 *
 * The common case is one call of text_next over a whole buffer of clean lines: plain_run looks at
 * eight octets at a time and stops only for control characters, of which a message has few others
 * than its line ends.
 */

void
data_begin(struct data *d, bool dots, bool repair)
{
	*d = (struct data){
		.state = dots ? DATA_LINE_START : DATA_TEXT, .dots = dots, .repair = repair
	};
}

static void
line_ended(struct data *d)
{
	d->state = d->dots ? DATA_LINE_START : DATA_TEXT;
	d->line_length = 0;
}

/* n octets more in this line. The count stops where it can no longer matter, so that it cannot
 * wrap.
 */
static void
line_grew(struct data *d, size_t n)
{
	if (n > SMTP_TEXT_LINE_MAX - d->line_length) {
		d->has_long_line = true;
		n = SMTP_TEXT_LINE_MAX - d->line_length;
	}
	d->line_length += (uint32_t)n;
}

/* A CR or LF that stands alone is about to come out: as it is, or repaired. */
static struct str
bare_line_end(struct data *d, struct str as_it_is)
{
	d->state = DATA_TEXT;
	d->has_bare_line_end = true;
	if (!d->repair) {
		line_grew(d, 1);
		return as_it_is;
	}
	d->line_length = 0;
	return S("\r\n");
}

#define EACH_OCTET(value) (UINT64_MAX / 255 * (value))

/*
 * How many octets from p on are neither NUL, CR nor LF; stops early at the other control characters
 * up to CR, which the caller steps over. In x - 14… a high bit comes up in the lowest octet below
 * 14 (borrows only spoil octets above it), and ~x takes out those that had theirs before.
 */
static size_t
plain_run(const char *p, size_t n, uint64_t *high_bits)
{
	size_t at = 0;

	for (; n - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
		uint64_t x, stops;

		memcpy(&x, p + at, sizeof x);
		if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
			x = __builtin_bswap64(x);
		stops = (x - EACH_OCTET(14)) & ~x & EACH_OCTET(0x80);
		if (stops) {
			*high_bits |= x & ((stops & -stops) - 1); /* what lies before it */
			return at + (size_t)__builtin_ctzll(stops) / 8;
		}
		*high_bits |= x;
	}
	for (; at < n && (unsigned char)p[at] >= 14; at++)
		*high_bits |= (unsigned char)p[at];
	return at;
}

/*
 * From TEXT: as much as can come out as one piece. It ends at a dot that begins a line (LINE_START
 * decides about it), at a CR that ends the input, before a line end to be repaired, or with the
 * input.
 */
static struct str
text_next(struct data *d, struct str *in)
{
	const char *p = in->p;
	size_t at = 0, n = in->n, skip = 0;
	uint64_t high_bits = 0;

	while (at < n) {
		size_t run = plain_run(p + at, n - at, &high_bits);

		line_grew(d, run);
		at += run;
		if (at == n)
			break;
		if (p[at] == '\r' && at + 1 == n) {
			d->state = DATA_CR;
			skip = 1;
			break;
		}
		if (p[at] == '\r' && p[at + 1] == '\n') {
			at += 2;
			line_ended(d);
			if (d->dots && at < n && p[at] != '.')
				d->state = DATA_TEXT;
			if (d->state != DATA_TEXT)
				break;
			continue;
		}
		if (p[at] == '\r' || p[at] == '\n') {
			if (d->repair)
				break;
			d->has_bare_line_end = true;
		}
		d->has_nul |= p[at] == '\0';
		line_grew(d, 1);
		at++;
	}
	d->has_8bit |= (high_bits & EACH_OCTET(0x80)) != 0;
	*in = str_from(*in, at + skip);
	return (struct str){ p, at };
}

enum data_event
data_next(struct data *d, struct str *in, struct str *piece)
{
	while (in->n)
		switch (d->state) {
		case DATA_LINE_START:
			d->state = scan_char(in, '.') ? DATA_DOT : DATA_TEXT;
			break;
		case DATA_TEXT:
			*piece = text_next(d, in);
			if (piece->n)
				return DATA_PIECE;
			if (d->state == DATA_TEXT) { /* in stands at a bare CR or LF to repair */
				*piece = bare_line_end(d, str_part(*in, 0, 1));
				*in = str_from(*in, 1);
				return DATA_PIECE;
			}
			break;
		case DATA_CR:
			if (scan_char(in, '\n')) {
				line_ended(d);
				*piece = S("\r\n");
			} else {
				*piece = bare_line_end(d, S("\r"));
			}
			return DATA_PIECE;
		case DATA_DOT:
			d->state = scan_char(in, '\r') ? DATA_DOT_CR : DATA_TEXT;
			break;
		case DATA_DOT_CR:
			if (scan_char(in, '\n'))
				return DATA_END;
			d->state = DATA_CR;
			break;
		}
	return DATA_MORE;
}

bool
data_finish(struct data *d, struct str *piece)
{
	if (d->state != DATA_CR)
		return false;
	*piece = bare_line_end(d, S("\r"));
	return d->repair;
}
