/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* -1 with errno. Over TCP the connection may not stand yet; writing to it tells. */
static int
connection_begin(const struct master_filter *f)
{
	int on = 1,
	    fd = socket(f->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int cause;

	if (fd < 0)
		return -1;
	if (f->address.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(fd, (const struct sockaddr *)&f->address, f->address_size) == 0 ||
		errno == EINPROGRESS)
		return fd;
	cause = errno;
	close(fd);
	errno = cause;
	return -1;
}

void
dial(const struct master_plan *plan, uint32_t configuration, struct ipc *who,
	const struct ipc_dial *asked)
{
	struct ipc_dialled answer = { .fd = -1, .ask = asked->ask, .cause = ENOENT };

	if (asked->configuration != configuration) {
		answer.cause = ESTALE;
	} else if (asked->filter < plan->filters_n) {
		answer.fd = connection_begin(&plan->filters[asked->filter]);
		answer.cause = answer.fd < 0 ? (uint32_t)errno : 0;
	}
	ipc_send_dialled(who, &answer);
	if (answer.fd >= 0)
		close(answer.fd);
}
