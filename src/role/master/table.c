/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "io/file.h"
#include "io/ipc.h"

enum { SECRET = 16 };

/* The octets are nothing to master. */
static bool
read_kept(int fd, const char *state)
{
	struct buf octets = { .max = IPC_TABLE_SIZE };
	char path[4096];
	bool is_whole;
	int kept;

	snprintf(path, sizeof path, "%s/gate", state);
	kept = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (kept < 0)
		return false;
	is_whole = file_read_whole(kept, &octets) && octets.n == IPC_TABLE_SIZE &&
		   file_write_all(fd, buf_str(&octets));
	close(kept);
	buf_free(&octets);
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
	void *octets = mmap(NULL, IPC_TABLE_SIZE, PROT_READ, MAP_SHARED, fd, 0);

	must(octets != MAP_FAILED);
	if (!file_replace(state, "gate", (struct str){ octets, IPC_TABLE_SIZE }, 0600, true))
		log_event("gate-not-kept", "errno=%d", errno);
	munmap(octets, IPC_TABLE_SIZE);
}
