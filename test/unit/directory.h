/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_UNIT_DIRECTORY_H
#define TEST_UNIT_DIRECTORY_H

#include <ftw.h>
#include <stdio.h>

static inline int
directory_remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

/* With all that is in it: a test leaves nothing behind. */
static inline void
directory_remove(const char *path)
{
	assert_int_equal(nftw(path, directory_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
