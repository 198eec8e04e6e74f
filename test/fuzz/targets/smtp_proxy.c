/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * What is whole is whole whatever stands behind it, and takes at most PROXY_HEADER_MAX octets; no
 * beginning of it is bad or whole. What is bad stays bad. Nobody is waited for beyond the longest
 * header.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str input = { (const char *)data, size };
	struct str in = input;
	struct proxy p = { 0 }, again;
	enum proxy_result result = proxy_scan(&in, &p);
	size_t used = input.n - in.n;

	must(result != PROXY_MORE || size < PROXY_HEADER_MAX);
	must(result == PROXY_OK ? used > 0 && used <= PROXY_HEADER_MAX : used == 0);
	must(p.family != PROXY_IPV4 || p.source.address[4] == 0);
	for (size_t n = 0; n < size && n < PROXY_HEADER_MAX; n++) {
		struct str cut = str_part(input, 0, n);
		enum proxy_result early = proxy_scan(&cut, &again);

		if (result == PROXY_OK)
			must(early == (n < used ? PROXY_MORE : PROXY_OK));
		else
			must(early == PROXY_MORE || result == PROXY_BAD);
	}
	return 0;
}
