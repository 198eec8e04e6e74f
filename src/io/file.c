/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

/* From `at` on; -1: from where it stands. */
static bool
read_from(int fd, off_t at, struct buf *to)
{
	enum { AT_ONCE = 65536 };
	char one_more = 0;

	for (;;) {
		size_t left = to->max - to->n;
		size_t room = to->capacity > to->n ? to->capacity - to->n : AT_ONCE;
		size_t want = left < room ? left : room;
		char *p = want ? buf_room(to, want) : &one_more;
		ssize_t n =
			at < 0 ? read(fd, p, want ? want : 1) : pread(fd, p, want ? want : 1, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		if (want == 0) {
			errno = EFBIG;
			return false;
		}
		buf_grew(to, (size_t)n);
		if (at >= 0)
			at += n;
	}
}

bool
file_read_all(int fd, struct buf *to)
{
	return read_from(fd, -1, to);
}

bool
file_read_whole(int fd, struct buf *to)
{
	size_t left = to->max - to->n;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return false;
	errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > left)
		return false;
	buf_room(to, (size_t)st.st_size < left ? (size_t)st.st_size + 1 : left);
	return read_from(fd, 0, to);
}

static bool
write_new(int directory, const char *name, struct str octets, unsigned mode, bool lasts)
{
	int fd =
		openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good;

	if (fd < 0)
		return false;
	good = file_write_all(fd, octets) && fchmod(fd, mode) == 0 && (!lasts || fsync(fd) == 0);
	return close(fd) == 0 && good;
}

bool
file_replace(const char *directory, const char *name, struct str octets, unsigned mode, bool lasts)
{
	int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), cause;
	char fresh[NAME_MAX + 1];
	bool good;

	if (at < 0)
		return false;
	snprintf(fresh, sizeof fresh, "%s.new", name);
	unlinkat(at, fresh, 0);
	good = write_new(at, fresh, octets, mode, lasts) && renameat(at, fresh, at, name) == 0 &&
	       (!lasts || fsync(at) == 0);
	cause = errno;
	close(at);
	errno = cause;
	return good;
}

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };

bool
file_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, SEALS) == 0;
}

int
file_sealed(const char *name, struct str octets)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), cause;

	if (fd < 0)
		return -1;
	if (file_write_all(fd, octets) && file_seal(fd))
		return fd;
	cause = errno;
	close(fd);
	errno = cause;
	return -1;
}

bool
file_make_directories(const char *path)
{
	char part[4096];
	size_t n = strlen(path);

	if (n >= sizeof part) {
		errno = ENAMETOOLONG;
		return false;
	}
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, 0700) != 0 && errno != EEXIST)
			return false;
	}
	return true;
}
