/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/door.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "role/master/notify.h"

enum { BACKLOG = 4096 };

static int
bind_inet(const struct sockaddr_storage *address)
{
	int s = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1,
	    off = 0, why;
	socklen_t n = address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
						    : sizeof(struct sockaddr_in6);

	if (s < 0)
		return -1;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
		int *only = IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr) ? &off : &on;

		setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, only, sizeof *only);
	}
	if (bind(s, (const struct sockaddr *)address, n) == 0 && listen(s, BACKLOG) == 0)
		return s;
	why = errno;
	close(s);
	errno = why;
	return -1;
}

bool
door_open_inet(const struct master_door *door, int *fd, struct err *e)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)&door->address;
	struct sockaddr_storage four = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)&four;

	*fd = notify_take_socket(door);
	if (*fd >= 0)
		return true;
	*fd = bind_inet(&door->address);
	if (*fd < 0 && errno == EAFNOSUPPORT && door->address.ss_family == AF_INET6 &&
		IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr)) {
		*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = six->sin6_port };
		*fd = bind_inet(&four);
	}
	if (*fd >= 0)
		return true;
	if (errno == EADDRINUSE)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL,
			"%s is taken by another program: stop it, or listen on another port",
			door->name);
	if (errno == EACCES)
		return err_set_errno(e,
			"%s needs root (ports below 1024): start as root or enable "
			"posthouse.socket, or "
			"listen on a high port",
			door->name);
	return err_set_errno(e, "cannot listen on %s", door->name);
}

bool
door_open_unix(
	const char *directory, const char *name, int type, unsigned mode, int *fd, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", directory, name),
	    probe;
	struct stat st;

	if ((size_t)n >= sizeof address.sun_path)
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"%s/%s is too long for a socket's name (107 octets): choose a shorter "
			"`state`",
			directory, name);
	probe = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (probe >= 0 && connect(probe, (struct sockaddr *)&address, sizeof address) == 0) {
		close(probe);
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL,
			"another station answers at %s: stop it, or choose another `state`",
			address.sun_path);
	}
	if (probe >= 0)
		close(probe);
	if (lstat(address.sun_path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return err_set(e, ERR_PERMANENT, ERR_LOCAL,
				"%s is there, and is no station's socket: choose another `state`",
				address.sun_path);
		unlink(address.sun_path);
	}
	*fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&address, sizeof address) != 0 ||
		chmod(address.sun_path, mode) != 0 || listen(*fd, BACKLOG) != 0)
		return err_set_errno(e, "cannot listen on %s", address.sun_path);
	return true;
}
