/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include "base/buf.h"

/* All of s, however often the system takes only a part. False with errno. */
bool file_write_all(int fd, struct str s);

/* All that is left of it, up to to->max: more than that sets to->overflow. False with errno. */
bool file_read_all(int fd, struct buf *to);

/* A memfd with these octets, sealed: nobody can change them any more. -1 with errno. */
int file_sealed(const char *name, struct str octets);

#endif
