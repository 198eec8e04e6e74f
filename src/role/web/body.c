/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "io/file.h"

enum { BLOCK = 64 * 1024 }; /* of a body in a memfd that goes out at once */

void
body_open(struct body *b)
{
	*b = (struct body){ .small.max = ROLE_BODY_INLINE_MAX, .fd = -1 };
}

/* What a reader gets is sealed then (call.c). */
static bool
move_to_memfd(struct body *b)
{
	b->fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (b->fd < 0 || !file_write_all(b->fd, buf_str(&b->small)))
		return false;
	buf_free(&b->small);
	return true;
}

bool
body_add(struct body *b, struct str octets)
{
	b->size += octets.n;
	if (b->fd < 0 && b->size <= ROLE_BODY_INLINE_MAX) {
		buf_add(&b->small, octets);
		return true;
	}
	return (b->fd >= 0 || move_to_memfd(b)) && file_write_all(b->fd, octets);
}

void
body_free(struct body *b)
{
	if (b->small.p) /* it may have been a password */
		explicit_bzero(b->small.p, b->small.capacity);
	buf_free(&b->small);
	if (b->fd >= 0)
		close(b->fd);
	body_open(b);
}

static ssize_t
block_read(void *owner, uint64_t at, char *to, size_t room)
{
	ssize_t n = pread(*(int *)owner, to, room, (off_t)at);

	return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void
block_close(void *owner)
{
	close(*(int *)owner);
	free(owner);
}

/* libmicrohttpd would read a file by pieces of 4 KiB, with a turn of the loop for each. */
static struct MHD_Response *
response_from_fd(uint64_t size, int fd)
{
	int *kept = malloc(sizeof *kept);
	struct MHD_Response *response;

	must(kept);
	*kept = fd;
	response = MHD_create_response_from_callback(size, BLOCK, block_read, kept, block_close);
	if (!response)
		free(kept);
	return response;
}

struct MHD_Response *
body_response(const struct body *b)
{
	struct MHD_Response *response;
	int fd;

	if (b->fd < 0)
		return MHD_create_response_from_buffer(
			b->small.n, b->small.p, MHD_RESPMEM_MUST_COPY);
	fd = fcntl(b->fd, F_DUPFD_CLOEXEC, 0);
	response = fd < 0 ? NULL : response_from_fd(b->size, fd);
	if (!response && fd >= 0)
		close(fd);
	return response;
}
