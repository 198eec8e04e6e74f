/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The fields of any octets, put one after another, are the octets they came from; and a look at
 * them agrees. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str message = { (const char *)data, size }, rest = message, name, address;
	struct header_field field;
	struct header_facts facts;
	size_t n = 0, fields = 0;

	while (header_next(&rest, &field)) {
		must(field.whole.p == message.p + n && field.name.p == field.whole.p);
		must(field.name.n > 0 && field.value.n < field.whole.n);
		must(field.value.p == NULL || field.value.p > field.name.p);
		mailbox_split(field.value, &name, &address);
		must(name.n + address.n <= field.value.n);
		n += field.whole.n;
		fields++;
	}
	must(rest.n == 0 || rest.p >= message.p + n);
	header_look(message, &facts);
	must(facts.begins_with_field || fields == 0);
	must(facts.received <= fields);
	return 0;
}
