/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any octets are a configuration, or a mistake with one line of words; and the same octets are
 * always the same. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct config first = { 0 }, second = { 0 };
	struct err e = { 0 }, again = { 0 };
	bool good;

	if (size > 16384)
		return 0;
	good = config_parse(&first, text, "f", &e);
	must(good == !err_is(&e));
	must(good ? first.hostname.n && first.listens_n : str_starts(str_of(e.text), S("f:")));
	must(config_parse(&second, text, "f", &again) == good && strcmp(e.text, again.text) == 0);
	config_free(&first);
	config_free(&second);
	return 0;
}
