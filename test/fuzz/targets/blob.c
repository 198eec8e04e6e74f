/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "role/reader/blob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ID_MAX = 255, TYPE_ROOM = 254, DISPOSITION_ROOM = 2048 };

/* It goes into a header: printable ASCII, one line. */
static bool
is_line(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < ' ' || text.p[i] > '~')
			return false;
	return text.n > 0;
}

static void
look_at_answer(struct str wanted, struct str name)
{
	struct buf type = { .max = TYPE_ROOM }, disposition = { .max = DISPOSITION_ROOM };

	blob_add_type(&type, wanted);
	must(!type.overflow && is_line(buf_str(&type)));
	blob_add_disposition(&disposition, buf_str(&type), name);
	must(!disposition.overflow && is_line(buf_str(&disposition)));
	if (str_starts(buf_str(&disposition), S("inline")))
		must(!str_starts(buf_str(&type), S("text/html")) &&
			!str_starts(buf_str(&type), S("image/svg")));
	buf_free(&type);
	buf_free(&disposition);
}

/* What a URL of a download asks for, decoded; and what of it comes back: nothing that could be another line of a header, nothing that would run. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str path = { (const char *)data, size };
	struct blob_wish w;

	blob_scan_path(path, &w);
	must(w.id.n <= ID_MAX && !w.name.overflow && !w.type.overflow);
	must(w.id.n + w.name.n + w.type.n <= path.n);
	if (blob_is_upload(buf_str(&w.id)))
		must(str_find(buf_str(&w.id), '/') == w.id.n &&
			str_find(buf_str(&w.id), '.') == w.id.n);
	look_at_answer(buf_str(&w.type), buf_str(&w.name));
	blob_wish_free(&w);
	return 0;
}
