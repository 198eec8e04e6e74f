/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a peer says is a reply, needs more, or is refused; cut in two it is the same. The words of
 * any reply can be said again without becoming another one. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size }, head = str_part(in, 0, size / 2), rest;
	struct reply_reader r = { .text.max = 1 << 20 }, cut = { .text.max = 1 << 20 };
	struct buf said = { .max = 1 << 22 };
	int verdict = reply_read(&r, &in), cut_verdict = reply_read(&cut, &head);

	if (cut_verdict == 0) {
		rest = str_from((struct str){ (const char *)data, size }, size / 2 - head.n);
		cut_verdict = reply_read(&cut, &rest);
	}
	must(verdict == cut_verdict);
	if (verdict == 1) {
		must(r.code >= 200 && r.code <= 599 && r.code == cut.code);
		must(str_eq(buf_str(&r.text), buf_str(&cut.text)));
		reply_add(&said, (struct reply){ r.code, { 0 }, buf_str(&r.text), .utf8 = true });
		in = buf_str(&said);
		reply_reader_reset(&cut);
		must(reply_read(&cut, &in) == 1 && in.n == 0);
		must(cut.code == r.code && cut.lines == r.lines);
	}
	buf_free(&r.text);
	buf_free(&cut.text);
	buf_free(&said);
	return 0;
}
