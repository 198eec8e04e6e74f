/* SPDX-License-Identifier: Apache-2.0 */
#include "role/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

static const enum ipc_role order[] = { ROLE_RECEIVE, ROLE_QUEUE, ROLE_SEND, ROLE_STORE, ROLE_VAULT,
	ROLE_RESOLVE, ROLE_WEB };

bool
user_of_role(const struct config *c, enum ipc_role role, struct sandbox_user *user)
{
	char name[64];
	const struct passwd *known;
	unsigned place = 0;

	if (geteuid() != 0 || c->users.n == 0 || !sandbox_is_built())
		return false;
	if (role == ROLE_READER) /* whose files it changes */
		role = ROLE_STORE;
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
user_may_write(const struct sandbox_user *user, const char *directory, struct err *e)
{
	enum { MAY, CANNOT_BE, CANNOT_WRITE };
	int status = -1;
	pid_t child = fork();

	if (child < 0)
		return err_set_errno(e, "no process to ask for user %u", user->uid);
	if (child == 0) {
		if (setgroups(0, NULL) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
			setresuid(user->uid, user->uid, user->uid) != 0)
			_exit(CANNOT_BE);
		_exit(access(directory, W_OK | X_OK) == 0 ? MAY : CANNOT_WRITE);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_BE)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"no process can become user %u: this container gives root no CAP_SETUID or "
			"CAP_SETGID; add them, or write users = \"\"",
			user->uid);
	return status == MAY ||
	       err_set(e, ERR_PERMANENT, ERR_LOCAL,
		       "%s: the user %u of its role cannot get there: open the directories above "
		       "to all (chmod o+x), choose another place, or write users = \"\"",
		       directory, user->uid);
}
