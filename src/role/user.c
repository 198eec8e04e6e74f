/* SPDX-License-Identifier: Apache-2.0 */
#include "role/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

static const enum ipc_role order[] = { ROLE_RECEIVE, ROLE_QUEUE, ROLE_SEND, ROLE_STORE, ROLE_VAULT,
	ROLE_RESOLVE };

bool
user_of_role(const struct config *c, enum ipc_role role, struct sandbox_user *user)
{
	char name[64];
	const struct passwd *known;
	unsigned place = 0;

	if (geteuid() != 0 || c->users.n == 0 || !sandbox_is_built())
		return false;
	snprintf(name, sizeof name, "%.*s%s", STR_ARG(c->users), ipc_role_name(role));
	known = getpwnam(name);
	if (known) {
		*user = (struct sandbox_user){ known->pw_uid, known->pw_gid };
		return true;
	}
	while (order[place] != role)
		place++;
	*user = (struct sandbox_user){ USER_BLOCK + place, USER_BLOCK + place };
	return true;
}

bool
user_may_write(const struct sandbox_user *user, const char *directory)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		_exit(setgroups(0, NULL) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
			setresuid(user->uid, user->uid, user->uid) != 0 ||
			access(directory, W_OK | X_OK) != 0);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0;
}
