/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <stdio.h>

/*
 * Words for people. They quote what callers and servers gave us, which may be anything; out of the library comes UTF-8, and one line.
 */

/* Octets of the character that words begin with. 0: none. */
static size_t
character(struct str words)
{
	for (size_t n = 1; n <= 4 && n <= words.n; n++)
		if (str_is_utf8(str_part(words, 0, n)))
			return n;
	return 0;
}

void
text_add(struct buf *to, struct str words)
{
	size_t n;

	for (; words.n && !to->overflow; words = str_from(words, n ? n : 1)) {
		unsigned char first = (unsigned char)words.p[0];

		n = character(words);
		if (first < ' ' || first == 0x7f)
			buf_add_char(to, '?');
		else if (n)
			buf_add(to, str_part(words, 0, n));
		else
			buf_addf(to, "\\x%02x", first);
	}
}

void
text_copy(char *to, size_t size, const char *words)
{
	struct buf text = { .p = to, .capacity = size - 1, .max = size - 1 };

	text_add(&text, str_of(words));
	to[text.n] = '\0';
}

bool
text_fail(struct err *e, const char *format, va_list args)
{
	char words[1024], text[TEXT_ERROR_MAX + 1];

	if (err_is(e))
		return false;
	vsnprintf(words, sizeof words, format, args);
	text_copy(text, sizeof text, words);
	return err_set(e, ERR_PERMANENT, ERR_OTHER, "%s", text);
}

void
text_wipe(struct str *secret)
{
	if (secret->n)
		explicit_bzero((char *)(uintptr_t)secret->p, secret->n);
	*secret = S("");
}
