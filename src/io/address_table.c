/* SPDX-License-Identifier: Apache-2.0 */
#include "io/address_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/hash.h"
#include "base/must.h"
#include "io/file.h"

#define MAGIC 0x3130524444414850u /* "PHADDR01" */

enum {
	HEAD_SIZE = 32,
	NAME_MAX_OCTETS = 64 + 1 + 255, /* RFC 5321 §4.5.3.1.1 and §4.5.3.1.2 */
	SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
};

struct address_table {
	uint64_t secret[2], n;
	const unsigned char *hashes;
	void *map;
	size_t map_size;
};

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
put_table(unsigned char *to, const struct str *names, size_t n)
{
	uint64_t secret[2], *hashes = calloc(n + 1, sizeof *hashes);

	must(hashes);
	hash_random(secret, sizeof secret);
	for (size_t i = 0; i < n; i++)
		hashes[i] = hash_sip(secret, names[i]);
	qsort(hashes, n, sizeof *hashes, by_value);
	codec_put_u64(to, MAGIC);
	codec_put_u64(to + 8, secret[0]);
	codec_put_u64(to + 16, secret[1]);
	codec_put_u64(to + 24, n);
	for (size_t i = 0; i < n; i++)
		codec_put_u64(to + HEAD_SIZE + 8 * i, hashes[i]);
	free(hashes);
}

int
address_table_make(const struct str *names, size_t n, struct err *e)
{
	size_t size = HEAD_SIZE + 8 * n;
	int fd = memfd_create("addresses", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *map = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED) {
		put_table(map, names, n);
		munmap(map, size); /* F_SEAL_WRITE needs that nobody can write through a map */
		if (file_seal(fd))
			return fd;
	}
	err_set_errno(e, "the address table cannot be made");
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The whole of fd as octets that will not change any more; NULL when somebody could still write
 * them. */
static unsigned char *
map_sealed(int fd, size_t *size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *map;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) != 0 || st.st_size < HEAD_SIZE)
		return NULL;
	*size = (size_t)st.st_size;
	map = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
	return map == MAP_FAILED ? NULL : map;
}

bool
address_table_open(struct address_table **t, int fd, struct err *e)
{
	size_t size;
	unsigned char *map = map_sealed(fd, &size);

	close(fd);
	*t = NULL;
	if (!map || codec_get_u64(map) != MAGIC || size % 8 ||
		codec_get_u64(map + 24) != (size - HEAD_SIZE) / 8) {
		if (map)
			munmap(map, size);
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "this is no sealed address table");
	}
	*t = calloc(1, sizeof **t);
	must(*t);
	**t = (struct address_table){ .secret = { codec_get_u64(map + 8), codec_get_u64(map + 16) },
		.n = codec_get_u64(map + 24),
		.hashes = map + HEAD_SIZE,
		.map = map,
		.map_size = size };
	return true;
}

void
address_table_close(struct address_table **t)
{
	if (!*t)
		return;
	munmap((*t)->map, (*t)->map_size);
	free(*t);
	*t = NULL;
}

bool
address_table_has(const struct address_table *t, struct str local, struct str domain)
{
	char name[NAME_MAX_OCTETS];
	uint64_t hash, low = 0, high = t->n;
	size_t n = 0;

	if (local.n + 1 + domain.n > sizeof name)
		return false;
	for (size_t i = 0; i < local.n; i++)
		name[n++] = char_lower(local.p[i]);
	name[n++] = '@';
	for (size_t i = 0; i < domain.n; i++)
		name[n++] = char_lower(domain.p[i]);
	hash = hash_sip(t->secret, (struct str){ name, n });
	while (low < high) {
		uint64_t middle = low + (high - low) / 2,
			 there = codec_get_u64(t->hashes + 8 * middle);

		if (there == hash)
			return true;
		if (there < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}
