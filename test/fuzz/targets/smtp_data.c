/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/must.h"
#include "smtp/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WITH_DOTS = 1, WITH_REPAIR = 2 };

struct outcome {
	struct buf message;
	size_t taken; /* 0: no end */
	struct data notes;
};

static struct outcome
run(struct str wire, unsigned how, size_t step)
{
	struct outcome o = { .message.max = SIZE_MAX };
	struct str in, piece;
	enum data_event event = DATA_MORE;

	data_begin(&o.notes, how & WITH_DOTS, how & WITH_REPAIR);
	for (size_t at = 0; at < wire.n && event != DATA_END; at += step) {
		in = str_part(wire, at, step);
		while ((event = data_next(&o.notes, &in, &piece)) == DATA_PIECE)
			buf_add(&o.message, piece);
		if (event == DATA_END)
			o.taken = at + str_part(wire, at, step).n - in.n;
	}
	if (!(how & WITH_DOTS) && data_finish(&o.notes, &piece))
		buf_add(&o.message, piece);
	return o;
}

/* Where CRLF.CRLF first stands, behind the CRLF of the DATA command. */
static size_t
end_of(struct str wire)
{
	size_t at;

	if (str_starts(wire, S(".\r\n")))
		return 3;
	at = str_find_str(wire, S("\r\n.\r\n"));
	return at < wire.n ? at + 5 : 0;
}

static bool
has_bare_line_end(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')) ||
			(s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')))
			return true;
	return false;
}

/* The first octet is how to read, the second how the input is cut. The end is where the law says;
 * cuts change nothing; repair leaves no bare line end, and without it none goes unnoticed. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str wire;
	struct outcome whole, cut;
	unsigned how;

	if (size < 3)
		return 0;
	how = data[0];
	wire = (struct str){ (const char *)data + 2, size - 2 };
	whole = run(wire, how, wire.n);
	cut = run(wire, how, 1u + data[1] % 16);
	must(whole.taken == (how & WITH_DOTS ? end_of(wire) : 0));
	must(cut.taken == whole.taken);
	must(str_eq(buf_str(&cut.message), buf_str(&whole.message)) || !whole.taken);
	must(cut.notes.has_nul == whole.notes.has_nul &&
		cut.notes.has_8bit == whole.notes.has_8bit);
	must(cut.notes.has_bare_line_end == whole.notes.has_bare_line_end);
	must(cut.notes.has_long_line == whole.notes.has_long_line);
	if (how & WITH_REPAIR)
		must(!has_bare_line_end(buf_str(&whole.message)));
	else
		must(whole.notes.has_bare_line_end || !has_bare_line_end(buf_str(&whole.message)));
	buf_free(&whole.message);
	buf_free(&cut.message);
	return 0;
}
