/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "role/web/web.h"

/* Everything that speaks HTTP is in this executable, and nothing else is. */
int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "role") == 0)
		return web_main();
	fputs("posthouse-web is started by posthouse: see `listen web` in `posthouse check "
	      "--options`\n",
		stderr);
	return EX_USAGE;
}
