/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "role/vault/command.h"
#include "role/vault/vault.h"

/* Everything that opens the accounts is in this executable, and nothing else is: the role, and the
 * commands that change them. */
int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "role") == 0)
		return vault_role();
	if (argc > 1 && strcmp(argv[1], "user") == 0)
		return command_user(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "alias") == 0)
		return command_alias(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "app-password") == 0)
		return command_app_password(argc - 1, argv + 1);
	fputs("posthouse-vault is started by posthouse: see `posthouse user --help`\n", stderr);
	return EX_USAGE;
}
