/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str
body_of(struct str message)
{
	struct header_field field;
	size_t n = 0;

	for (struct str rest = message; header_next(&rest, &field);)
		n += field.whole.n;
	return str_from(message, n);
}

/* Any message either keeps its body and gets an ASCII header, which is then left as it is, or is refused for
 * good. Any reports' address that decodes is UTF-8. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str message = { (const char *)data, size };
	struct buf to = { .max = 1 << 20 }, again = { .max = 1 << 20 };
	struct err e = { 0 };

	if (size > 1 << 16)
		return 0;
	if (message_to_ascii(&to, message, &e)) {
		struct str header = buf_str(&to), body = body_of(message);

		header.n -= body.n;
		must(str_is_ascii(header) && str_eq(str_from(buf_str(&to), header.n), body));
		must(message_to_ascii(&again, buf_str(&to), &e));
		must(str_eq(buf_str(&again), buf_str(&to)));
	} else {
		must(e.class == ERR_PERMANENT && e.text[0]);
	}
	buf_reset(&again);
	must(!dsn_add_utf8_address(&again, message) || str_is_utf8(buf_str(&again)));
	dsn_add_original(&again, message);
	buf_free(&to);
	buf_free(&again);
	return 0;
}
