/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "role/reader/box_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 16 * 1024, DIRECTORY_MAX = 255, ALL_FLAGS = 31 };

/* A directory of any name is a folder whose name people can read; what can be written again is read as the same. */
static void
look_at_directory(struct str coded)
{
	struct buf text = { .max = ROOM }, again = { .max = ROOM }, same = { .max = ROOM };

	name_from_mutf7(coded, &text);
	must(!text.overflow && str_is_utf8(buf_str(&text)) &&
		str_find(buf_str(&text), '\n') == text.n);
	if (name_to_mutf7(buf_str(&text), &again)) {
		must(str_is_ascii(buf_str(&again)));
		name_from_mutf7(buf_str(&again), &same);
		must(str_eq(buf_str(&same), buf_str(&text)));
	}
	buf_free(&text);
	buf_free(&again);
	buf_free(&same);
}

/* What somebody calls a folder is a directory that lies nowhere else, and means the same. */
static void
look_at_folder(struct str text)
{
	struct buf coded = { .max = ROOM }, same = { .max = ROOM };

	if (name_to_mutf7(text, &coded)) {
		must(str_find(buf_str(&coded), '/') == coded.n &&
			str_find(buf_str(&coded), '.') == coded.n);
		name_from_mutf7(buf_str(&coded), &same);
		must(str_eq(buf_str(&same), text));
	}
	buf_free(&coded);
	buf_free(&same);
}

/* A file that changes its flags keeps its base, and has them. */
static void
look_at_file(struct str name)
{
	unsigned flags, now;
	char changed[BOX_NAME_MAX];

	if (name.n > DIRECTORY_MAX || str_find(name, '\0') < name.n || str_find(name, '/') < name.n)
		return;
	name_time(name);
	name_flags(name, &flags);
	name_with_flags(name, flags ^ ALL_FLAGS, changed);
	if (name.n + 8 >= BOX_NAME_MAX)
		return; /* no room for the letters */
	must(str_eq(name_base(str_of(changed)), name_base(name)));
	name_flags(str_of(changed), &now);
	must(now == (flags ^ ALL_FLAGS));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	unsigned char hash[BOX_HASH];
	char id[BOX_ID];

	if (size <= DIRECTORY_MAX)
		look_at_directory(text);
	look_at_folder(text);
	look_at_file(text);
	if (name_id_hash('M', text, hash)) {
		name_id('M', hash, id);
		must(str_eq(str_of(id), text));
	}
	return 0;
}
