/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "role/vault/signing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Key, scheme, content. What is signed is one of two things, and as long as it says. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str content;
	uint16_t scheme;

	if (size < 3)
		return 0;
	scheme = (uint16_t)(data[1] << 8 | data[2]);
	content = (struct str){ (const char *)data + 3, size - 3 };
	if (!signing_check((enum signing_key)(data[0] % 4), scheme, content))
		return 0;
	must(content.n > 64);
	if (content.p[64] == 'T')
		must(content.p[0] == ' ' && (content.n == 130 || content.n == 146) &&
			content.p[97] == 0);
	else
		must(content.p[64] == 3 && content.n == 68 + (size_t)(unsigned char)content.p[67]);
	return 0;
}
