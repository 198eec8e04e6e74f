/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/files.h"

#include <errno.h>

#include "base/must.h"
#include "io/file.h"

struct kept_file {
	struct list link;
	struct buf path, octets;
	int cause; /* errno; 0: it was read */
};

void
files_begin(struct files *f)
{
	list_init(&f->list);
}

void
files_add(struct files *f, struct str path, int fd, int cause)
{
	struct kept_file *k = calloc(1, sizeof *k);

	must(k);
	*k = (struct kept_file){
		.path.max = path.n, .octets.max = FILES_OCTETS_MAX, .cause = cause
	};
	buf_add(&k->path, path);
	if (fd >= 0)
		k->cause = file_read_whole(fd, &k->octets) ? 0 : errno;
	list_append(&f->list, &k->link);
}

bool
files_get(const struct files *f, struct str path, struct str *octets, struct err *e)
{
	list_each (at, &f->list) {
		const struct kept_file *k = list_of(at, struct kept_file, link);

		if (!str_eq(buf_str(&k->path), path))
			continue;
		*octets = buf_str(&k->octets);
		errno = k->cause;
		return k->cause == 0 || err_set_errno(e, "%.*s", STR_ARG(path));
	}
	return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%.*s: nobody has opened it", STR_ARG(path));
}

void
files_wipe(struct files *f)
{
	list_each_safe (at, &f->list) {
		struct kept_file *k = list_of(at, struct kept_file, link);

		list_remove(&k->link);
		if (k->octets.p)
			explicit_bzero(k->octets.p, k->octets.capacity);
		buf_free(&k->octets);
		buf_free(&k->path);
		free(k);
	}
}
