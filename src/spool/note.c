/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Notes: small files beside the log that a person's order makes, each replaced as a whole. */

bool
keeper_write_note(struct spool_keeper *k, const char *name, struct str content, struct err *e)
{
	struct job *j = maker_new_job(JOB_WRITE, k->root);
	bool ok;

	snprintf(j->name, sizeof j->name, "%s", name);
	buf_add(&j->content, content);
	maker_run(j);
	ok = !err_is(&j->e);
	if (!ok)
		*e = j->e;
	maker_free_job(j);
	return ok;
}

bool
keeper_read_note(struct spool_keeper *k, const char *name, struct buf *to, struct err *e)
{
	int fd = openat(k->root, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	char *room;

	if (fd < 0)
		return errno == ENOENT || err_set_errno(e, "cannot open %s in the spool", name);
	while ((room = buf_room(to, 4096)) && (n = read(fd, room, 4096)) > 0)
		buf_grew(to, (size_t)n);
	close(fd);
	return (room && n == 0) || err_set_errno(e, "cannot read %s in the spool", name);
}
