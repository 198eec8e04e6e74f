/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"
#include "base/hash.h"

/* Apart from codec.c, since it keeps a store: libposthouse has none, and programs that fork must not share one. */

struct mail_id
mail_id_random(void)
{
	static _Thread_local struct mail_id store[64]; /* the kernel is asked once for many */
	static _Thread_local size_t left;

	if (left == 0) {
		hash_random(store, sizeof store);
		left = sizeof store / sizeof store[0];
	}
	return store[--left];
}
