/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "io/ipc.h"

enum { PIECE = 64 * 1024, SECRET = 16 };

/* The whole table; the octets are nothing to master. */
static bool
copy(int from, int to)
{
	static char piece[PIECE];
	ssize_t n;

	for (off_t at = 0; at < IPC_TABLE_SIZE; at += n) {
		n = pread(from, piece, sizeof piece, at);
		if (n <= 0 || pwrite(to, piece, (size_t)n, at) != n)
			return false;
	}
	return true;
}

static bool
read_kept(int fd, const char *state)
{
	char path[4096];
	struct stat st;
	bool is_whole;
	int kept;

	snprintf(path, sizeof path, "%s/gate", state);
	kept = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (kept < 0)
		return false;
	is_whole = fstat(kept, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == IPC_TABLE_SIZE &&
		   copy(kept, fd);
	close(kept);
	return is_whole;
}

int
table_open(const char *state)
{
	unsigned char secret[SECRET];
	int fd = memfd_create("posthouse-gate", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	must(fd >= 0 && ftruncate(fd, IPC_TABLE_SIZE) == 0);
	if (!read_kept(fd, state)) {
		hash_random(secret, sizeof secret);
		must(pwrite(fd, secret, sizeof secret, 0) == (ssize_t)sizeof secret);
	}
	must(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
	return fd;
}

void
table_keep(int fd, const char *state)
{
	char path[4096], fresh[4096];
	bool is_kept;
	int to;

	snprintf(path, sizeof path, "%s/gate", state);
	snprintf(fresh, sizeof fresh, "%s/gate.new", state);
	unlink(fresh);
	to = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	is_kept = to >= 0 && copy(fd, to);
	if (to >= 0)
		is_kept &= close(to) == 0;
	if (!is_kept || rename(fresh, path) != 0)
		log_event("gate-not-kept", "errno=%d", errno);
}
