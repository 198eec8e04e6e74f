/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "role/reader/letter.h"
#include "role/reader/reader.h"

/* Everything that parses a person's messages is in this executable. What the conversion of charsets loads, they load here: afterwards no file can be opened
 * but the mailbox's, and no code comes into the process. */
int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "role") == 0) {
		letter_prepare();
		return reader_role();
	}
	fputs("posthouse-reader is started by posthouse: see `posthouse serve --help`\n", stderr);
	return EX_USAGE;
}
