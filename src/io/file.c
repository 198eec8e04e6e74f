/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

bool
file_write_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		s = str_from(s, (size_t)n);
	}
	return true;
}

bool
file_read_all(int fd, struct buf *to)
{
	enum { AT_ONCE = 65536 };

	for (;;) {
		char *room = buf_room(to, AT_ONCE);
		ssize_t n = room ? read(fd, room, AT_ONCE) : 0;

		if (n == 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			buf_grew(to, (size_t)n);
	}
}

int
file_sealed(const char *name, struct str octets)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), cause;

	if (fd < 0)
		return -1;
	if (file_write_all(fd, octets) &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) ==
			0)
		return fd;
	cause = errno;
	close(fd);
	errno = cause;
	return -1;
}
