/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "role/web/web.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUE_MAX = 300 };

static void
look_at_claim(struct str field)
{
	struct claim c;

	if (claim_read_field(field, &c)) {
		must(!c.is_cookie && !c.login.overflow && !c.secret.overflow);
		must(c.how == SIGN_IN_ONCE ? c.login.n > 0 : c.login.n == 0 && c.secret.n > 0);
		must(str_find(buf_str(&c.login), ':') == c.login.n);
	}
	claim_free(&c);
}

static void
look_at_query(struct str query)
{
	struct buf value = { .max = VALUE_MAX };

	if (query_get(query, S("types"), &value))
		must(!value.overflow && value.n <= query.n);
	buf_free(&value);
}

/* The field Authorization, or the query of a URL: whatever stands in it, who claims to be somebody has a name and no colon in it. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };

	look_at_claim(text);
	look_at_query(text);
	return 0;
}
