/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

void
must_fail(const char *what, const char *file, int line)
{
	log_flush();
	fprintf(stderr, "posthouse: bug: must(%s) failed at %s:%d\n", what, file, line);
	abort();
}
