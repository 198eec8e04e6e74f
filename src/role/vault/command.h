/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_COMMAND_H
#define ROLE_VAULT_COMMAND_H

/* `posthouse user …` and its like; argv[0] is "user". The exit code is one of sysexits(3). */
int command_user(int argc, char **argv);
int command_alias(int argc, char **argv);
int command_app_password(int argc, char **argv);

#endif
