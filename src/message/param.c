/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

/*
 * Parameters whose value may be any text, above all the names of files. There are two ways to write one that is not plain ASCII, and
 * readers that know only one of them each:
 *
 *   filename*=UTF-8''%E5%8D%95.pdf              RFC 2231: Gmail, mutt, everybody who is not old
 *   name="=?UTF-8?B?5Y2VLnBkZg==?="             nobody's RFC: old Outlook
 *
 * So a file's name goes as filename the first way and as name the second.
 */

enum {
	SECTION_MAX = 50, /* octets of a value in one section */
	PLAIN_MAX = 60,	  /* octets of a value that needs no second line */
};

/* RFC 2231 §7. */
bool
param_is_attribute_char(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || (c && strchr("!#$&+-.^_`{|}~", c));
}

static size_t
encoded_size(struct str s)
{
	size_t size = 0;

	for (size_t i = 0; i < s.n; i++)
		size += param_is_attribute_char(s.p[i]) ? 1 : 3;
	return size;
}

/* As many characters of the value as one section holds, percent-encoded. */
static void
add_section(struct buf *to, struct str *value)
{
	struct str character = encode_character(*value);

	for (size_t room = SECTION_MAX; value->n && encoded_size(character) <= room;
		character = encode_character(*value)) {
		room -= encoded_size(character);
		for (size_t i = 0; i < character.n; i++)
			if (param_is_attribute_char(character.p[i]))
				buf_add_char(to, character.p[i]);
			else
				buf_addf(to, "%%%02X", (unsigned char)character.p[i]);
		*value = str_from(*value, character.n);
	}
}

void
param_add_extended(struct buf *to, struct str name, struct str value)
{
	bool is_long = encoded_size(value) > SECTION_MAX;

	for (unsigned section = 0; section == 0 || (value.n && !to->overflow); section++) {
		buf_add(to, section ? S(";\r\n ") : S("\r\n "));
		buf_add(to, name);
		if (is_long)
			buf_addf(to, "*%u", section);
		buf_add(to, section ? S("*=") : S("*=UTF-8''"));
		add_section(to, &value);
	}
}

bool
param_is_plain(struct str value)
{
	return value.n <= PLAIN_MAX && encode_is_plain(value);
}

void
param_add_quoted(struct buf *to, struct str name, struct str value)
{
	buf_add(to, S("\r\n "));
	buf_add(to, name);
	buf_add_char(to, '=');
	if (param_is_plain(value)) {
		encode_quoted(to, value);
		return;
	}
	buf_add_char(to, '"');
	encode_words(to, value);
	buf_add_char(to, '"');
}
