/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>

#include "base/must.h"

char *
buf_room(struct buf *b, size_t n)
{
	size_t want;

	must(b->max > 0);
	if (b->overflow || __builtin_add_overflow(b->n, n, &want) || want > b->max) {
		b->overflow = true;
		return NULL;
	}
	if (want > b->capacity || !b->p) {
		size_t capacity = b->capacity ? b->capacity : 64;
		char *p;

		while (capacity < want)
			capacity *= 2;
		if (capacity > b->max)
			capacity = b->max;
		p = memory_resize(b->memory, b->p, capacity);
		if (!p) {
			b->overflow = b->refused = true;
			return NULL;
		}
		b->p = p;
		b->capacity = capacity;
	}
	return b->p + b->n;
}

void
buf_grew(struct buf *b, size_t n)
{
	must(n <= b->capacity - b->n);
	b->n += n;
}

void
buf_add(struct buf *b, struct str s)
{
	char *to = buf_room(b, s.n);

	if (!to || s.n == 0)
		return;
	memcpy(to, s.p, s.n);
	b->n += s.n;
}

void
buf_add_char(struct buf *b, char c)
{
	buf_add(b, (struct str){ &c, 1 });
}

void
buf_add_clean(struct buf *b, struct str s, bool utf8)
{
	utf8 = utf8 && str_is_utf8(s);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		buf_add_char(b, c < ' ' || c == 0x7f || (c & 0x80 && !utf8) ? '?' : (char)c);
	}
}

void
buf_add_u64(struct buf *b, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	buf_add(b, (struct str){ digits + at, sizeof digits - at });
}

void
buf_addf(struct buf *b, const char *format, ...)
{
	char small[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(small, sizeof small, format, args);
	va_end(args);
	must(n >= 0);
	if ((size_t)n < sizeof small) {
		buf_add(b, (struct str){ small, (size_t)n });
		return;
	}
	if (!buf_room(b, (size_t)n + 1))
		return;
	va_start(args, format);
	vsnprintf(b->p + b->n, (size_t)n + 1, format, args);
	va_end(args);
	b->n += (size_t)n;
}

void
buf_drop(struct buf *b, size_t n)
{
	must(n <= b->n);
	if (n && n < b->n)
		memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->overflow = false;
}

void
buf_free(struct buf *b)
{
	memory_release(b->memory, b->p);
	*b = (struct buf){ .max = b->max, .memory = b->memory };
}

void
buf_add_markup(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		switch (s.p[i]) {
		case '<':
			buf_add(b, S("&lt;"));
			break;
		case '>':
			buf_add(b, S("&gt;"));
			break;
		case '&':
			buf_add(b, S("&amp;"));
			break;
		case '"':
			buf_add(b, S("&quot;"));
			break;
		case '\'':
			buf_add(b, S("&#39;"));
			break;
		default:
			buf_add_char(b, s.p[i]);
			break;
		}
}

void
buf_set(struct buf *b, struct str s)
{
	buf_reset(b);
	buf_add(b, s);
}
