/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/notify.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"

enum { FIRST_FD = 3 };

static bool is_taken[NOTIFY_SOCKETS_MAX];

void
notify_say(const char *lines)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	int s;

	if (n == 0 || n >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = 0;
	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return;
	sendto(s, lines, strlen(lines), MSG_NOSIGNAL, (struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(s);
}

static uint64_t
number_in(const char *name)
{
	struct str text = str_of(getenv(name));
	uint64_t value;

	return scan_u64(&text, &value) && text.n == 0 ? value : 0;
}

int64_t
notify_watchdog_ms(void)
{
	const uint64_t us = number_in("WATCHDOG_USEC");
	const uint64_t pid = number_in("WATCHDOG_PID");

	return us < INT64_MAX / 2 && (pid == 0 || pid == (uint64_t)getpid()) ? (int64_t)(us / 1000)
									     : 0;
}

static unsigned
sockets(void)
{
	uint64_t n = number_in("LISTEN_FDS");

	if (number_in("LISTEN_PID") != (uint64_t)getpid())
		return 0;
	return n < NOTIFY_SOCKETS_MAX ? (unsigned)n : NOTIFY_SOCKETS_MAX;
}

static bool
has_address(int fd, const struct sockaddr_storage *wanted)
{
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} is = { 0 };
	const struct sockaddr_in *four = (const void *)wanted;
	const struct sockaddr_in6 *six = (const void *)wanted;
	socklen_t n = sizeof is;

	if (getsockname(fd, &is.any, &n) != 0 || is.any.sa_family != wanted->ss_family)
		return false;
	if (n == sizeof is.four && is.any.sa_family == AF_INET)
		return is.four.sin_port == four->sin_port &&
		       is.four.sin_addr.s_addr == four->sin_addr.s_addr;
	return n == sizeof is.six && is.six.sin6_port == six->sin6_port &&
	       memcmp(&is.six.sin6_addr, &six->sin6_addr, sizeof six->sin6_addr) == 0;
}

/* The name of the i-th: LISTEN_FDNAMES has them with colons between. */
static struct str
socket_name(unsigned i)
{
	struct str rest = str_of(getenv("LISTEN_FDNAMES")), name;

	do
		str_cut(rest, ':', &name, &rest);
	while (i-- > 0);
	return name;
}

static bool
fits(unsigned i, const struct master_door *door, bool by_name)
{
	static const char *const names[] = { [CONFIG_SMTP] = "smtp",
		[CONFIG_SUBMISSION] = "submission",
		[CONFIG_SUBMISSIONS] = "submissions",
		[CONFIG_WEB] = "web" };

	return by_name ? str_eq(socket_name(i), str_of(names[door->door]))
		       : has_address(FIRST_FD + (int)i, &door->address);
}

static void
make_ours(int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int
notify_take_socket(const struct master_door *door)
{
	for (int by_name = 0; by_name < 2; by_name++)
		for (unsigned i = 0; i < sockets(); i++) {
			int fd = FIRST_FD + (int)i;

			if (is_taken[i] || !fits(i, door, by_name))
				continue;
			is_taken[i] = true;
			make_ours(fd);
			return fd;
		}
	return -1;
}

/* Where it listens, for people. */
static void
address_text(int fd, char *text, size_t size)
{
	struct sockaddr_storage is = { 0 };
	socklen_t n = sizeof is;
	char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";

	if (getsockname(fd, (struct sockaddr *)&is, &n) == 0)
		getnameinfo((struct sockaddr *)&is, n, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(text, size, is.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

size_t
notify_unused(int to[NOTIFY_SOCKETS_MAX])
{
	char address[NI_MAXHOST + NI_MAXSERV + 4];
	size_t n = 0;

	for (unsigned i = 0; i < sockets(); i++) {
		struct str name = socket_name(i);
		int fd = FIRST_FD + (int)i;

		if (is_taken[i])
			continue;
		make_ours(fd);
		address_text(fd, address, sizeof address);
		log_event("socket-unused",
			"name=%s at=%s why=\"the file has no listen for it: write one, or "
			"disable its socket unit\"",
			log_quote(name.n ? name : S("-")), address);
		to[n++] = fd;
	}
	return n;
}

void
notify_forget_environment(void)
{
	static const char *const names[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
		"WATCHDOG_USEC", "WATCHDOG_PID" };

	for (unsigned i = 0; i < sockets(); i++)
		fcntl(FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		unsetenv(names[i]);
}
