/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "role/queue/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any octets are a filter, or a mistake with one line of words; a filter says yes or no to anything, and its negation the opposite. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct err last = { .class = ERR_TEMPORARY, .code = 450, .enhanced = { 4, 7, 1 } },
		   e = { 0 };
	struct filter_facts facts = { .reverse_path = text,
		.address = text,
		.host = text,
		.age_ms = (int64_t)size,
		.size = size,
		.state = FILTER_DEFERRED,
		.last = &last };
	static struct filter f;
	bool fits;

	memcpy(last.text, data, size < sizeof last.text ? size : sizeof last.text - 1);
	if (!filter_parse(&f, text, &e)) {
		must(str_starts(str_of(e.text), S("filter, column ")) || size > FILTER_TEXT_MAX);
		return 0;
	}
	must(!err_is(&e) && f.terms_n <= FILTER_TERMS_MAX);
	fits = filter_fits(&f, &facts);
	must(f.terms_n || fits);
	if (f.terms_n == 1) {
		f.terms[0].is_negated = !f.terms[0].is_negated;
		must(filter_fits(&f, &facts) != fits);
	}
	return 0;
}
