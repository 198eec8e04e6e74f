/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include "base/str.h"

/* All of s, however often the system takes only a part. False with errno. */
bool file_write_all(int fd, struct str s);

#endif
