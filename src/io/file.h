/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include "base/buf.h"

/* Files as wholes. All of these say why not in errno. */

/* All of s, however often the system takes only a part. */
bool file_write_all(int fd, struct str s);

/* All that is left of it, behind what `to` has. More than to->max allows: EFBIG. */
bool file_read_all(int fd, struct buf *to);

/* All of a regular file or memfd, wherever others who share the descriptor have read to. EINVAL: it is none; EFBIG as above. Up to
 * the file's size nothing is moved in memory, so that whoever wipes *to afterwards has wiped the only copy. */
bool file_read_whole(int fd, struct buf *to);

/* `name` in `directory` becomes a file with these octets: whoever opens it finds the former one or this, never half of one.
 * `lasts`: after a power cut too, and from the return on this one. On the way it is called NAME.new. */
bool file_replace(
	const char *directory, const char *name, struct str octets, unsigned mode, bool lasts);

/* A memfd with these octets, sealed: nobody can change them any more. -1 with errno. */
int file_sealed(const char *name, struct str octets);
bool file_seal(
	int fd); /* the same of one that is written: it must allow it, and nobody have it mapped for writing */

/* The directory with all its parents, for nobody but us (0700); one that is there stays as it is. False with errno. */
bool file_make_directories(const char *path);

#endif
