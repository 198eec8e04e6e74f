/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SHELL_H
#define CMD_SHELL_H

#include <spawn.h>

/* Begins what a person wrote for sh: a command that says a password, an editor with its options. Its $1 is `argument`, if any. It has
 * the signals of a new program, whatever we ignore. 0, or an errno. */
int shell_start(const char *command, const char *argument,
	const posix_spawn_file_actions_t *actions, pid_t *pid);

#endif
