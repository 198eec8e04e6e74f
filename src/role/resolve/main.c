/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "role/resolve/resolve.h"

/* Everything that asks the DNS is in this executable, and nothing else is. */
int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "role") == 0)
		return resolve_role();
	fputs("posthouse-resolve is started by posthouse: see `posthouse explain --help`\n",
		stderr);
	return EX_USAGE;
}
