/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
has_line_end(struct str s)
{
	return str_find(s, '\r') < s.n || str_find(s, '\n') < s.n || str_find(s, '\0') < s.n;
}

/* Whatever is taken as a path holds no line end or NUL, keeps the limits, and is written in a form
 * that is read as the same address, whole. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size }, in = text;
	struct arena arena = { .max = 4096 };
	struct buf written = { .max = 1024 };
	struct address a = { 0 }, again = { 0 };

	if (address_scan_path(&in, &arena, true, true, &a) == ADDRESS_OK) {
		must(in.n < text.n && str_ends_nocase(text, in));
		must(!has_line_end(a.local) && !has_line_end(a.domain));
		must(a.local.n <= ADDRESS_LOCAL_MAX && a.domain.n <= ADDRESS_DOMAIN_MAX);
		must(a.domain.n == 0 || domain_is_valid(a.domain, true));
		address_add(&written, a);
		must(written.n <= ADDRESS_PATH_MAX - 2);
		must(address_is_null(a) ||
			address_parse(buf_str(&written), &arena, true, &again) == ADDRESS_OK);
		must(str_eq(a.local, again.local) && str_eq(a.domain, again.domain));
	} else {
		must(in.p == text.p && in.n == text.n);
	}
	buf_free(&written);
	arena_free(&arena);
	return 0;
}
