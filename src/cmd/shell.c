/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/shell.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

int
shell_start(const char *command, const char *argument, const posix_spawn_file_actions_t *actions,
	pid_t *pid)
{
	/* posix_spawn only reads them */
	char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, (char *)(uintptr_t)command,
		(char[]){ "sh" }, (char *)(uintptr_t)argument, NULL };
	posix_spawnattr_t attributes;
	sigset_t signals;
	int problem;

	sigemptyset(&signals);
	sigaddset(&signals, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	problem = posix_spawn(pid, "/bin/sh", actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	return problem;
}
