/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/sasl.h"

/*
 * The first octet chooses the mechanism, the rest are challenges, one a line. Whatever they are: a response stays under its cap, an
 * err comes with a no, and SCRAM is not done unless the server has shown the one signature that is right.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MECHANISMS = 7 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str challenge, rest = { (const char *)data, size };
	struct sasl s = {
		.mechanism = 1u << (size ? data[0] % MECHANISMS : 0),
		.login = S("user"),
		.secret = S("pencil"),
		.nonce = S("rOprNGfwEbeRWgbNEkqO"),
		.binding_kind = S("tls-exporter"),
		.binding = S("0123456789abcdef"),
		.host = S("mx.example"),
	};
	struct buf response = { .max = SASL_RESPONSE_MAX };
	bool goes_on = size > 0;
	struct err e;

	for (rest = str_from(rest, 1); goes_on && rest.n;) {
		str_cut(rest, '\n', &challenge, &rest);
		e = (struct err){ 0 };
		goes_on = sasl_respond(&s, challenge, &response, &e);
		must(goes_on != err_is(&e));
		must(goes_on || !s.is_done);
		must(!s.is_done || !(s.mechanism & MECHANISMS_SCRAM) ||
			str_starts(challenge, S("v=")));
		buf_reset(&response);
	}
	buf_free(&response);
	return 0;
}
