/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"

/* In place of base/must.c, which speaks to the daemon's log: a library has none. */
void
must_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "libposthouse: bug: must(%s) failed at %s:%d\n", what, file, line);
	abort();
}
